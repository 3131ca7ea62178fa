package spans

import (
	"crypto/tls"
	"strings"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"google.golang.org/grpc/credentials"
)

// otlpOptions are those that both of the SDK's OTLP exporters have.
type otlpOptions struct {
	headers map[string]string
	timeout time.Duration // of one request
	gzip    bool
	tls     *tls.Config // nil: the default
}

// The SDK's exporter tries again by itself for a while, because it alone sees Retry-After; then it
// gives up and the follower goes on with trying.
const (
	retryFirst = 200 * time.Millisecond
	retryMost  = 5 * time.Second
	retryFor   = 20 * time.Second
)

func (o otlpOptions) http(address string, asJSON bool) []otlptracehttp.Option {
	options := []otlptracehttp.Option{otlptracehttp.WithEndpointURL(address), otlptracehttp.WithHeaders(o.headers),
		otlptracehttp.WithTimeout(o.timeout), otlptracehttp.WithCompression(otlptracehttp.NoCompression),
		otlptracehttp.WithEncoding(otlptracehttp.EncodingProtobuf),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: true, InitialInterval: retryFirst, MaxInterval: retryMost, MaxElapsedTime: retryFor})}
	if o.gzip {
		options = append(options, otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
	}
	if asJSON {
		options = append(options, otlptracehttp.WithEncoding(otlptracehttp.EncodingJSON))
	}
	// A client with certificates that speaks plain HTTP is refused by the SDK.
	if o.tls != nil && strings.HasPrefix(address, "https:") {
		options = append(options, otlptracehttp.WithTLSClientConfig(o.tls))
	}
	return options
}

func (o otlpOptions) grpc(target string, plain bool) []otlptracegrpc.Option {
	options := []otlptracegrpc.Option{otlptracegrpc.WithEndpoint(target), otlptracegrpc.WithHeaders(o.headers),
		otlptracegrpc.WithTimeout(o.timeout),
		otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{Enabled: true, InitialInterval: retryFirst, MaxInterval: retryMost, MaxElapsedTime: retryFor})}
	if o.gzip {
		options = append(options, otlptracegrpc.WithCompressor("gzip"))
	}
	switch {
	case plain:
		options = append(options, otlptracegrpc.WithInsecure())
	default:
		options = append(options, otlptracegrpc.WithTLSCredentials(credentials.NewTLS(o.tls)))
	}
	return options
}
