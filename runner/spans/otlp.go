package spans

import (
	"crypto/tls"
	"strings"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"google.golang.org/grpc/credentials"
)

// otlpOptions are those that all of the SDK's OTLP exporters have. Each has types of its own for
// them, hence the four translations below.
type otlpOptions struct {
	protocol string
	address  string // URL of HTTP, target of gRPC
	plain    bool   // gRPC without TLS
	headers  map[string]string
	timeout  time.Duration // of one request
	gzip     bool
	tls      *tls.Config // nil: the default
}

// The SDK's exporter tries again by itself for a while, because it alone sees Retry-After; then it
// gives up and the follower goes on with trying. Hints are not tried again: the next heartbeat is.
const (
	retryFirst = 200 * time.Millisecond
	retryMost  = 5 * time.Second
	retryFor   = 20 * time.Second
)

// clientTLS is nil over plain HTTP: a client with certificates that speaks it is refused by the SDK.
func (o otlpOptions) clientTLS() *tls.Config {
	if strings.HasPrefix(o.address, "https:") {
		return o.tls
	}
	return nil
}

func (o otlpOptions) traceHTTP() []otlptracehttp.Option {
	options := []otlptracehttp.Option{otlptracehttp.WithEndpointURL(o.address), otlptracehttp.WithHeaders(o.headers),
		otlptracehttp.WithTimeout(o.timeout), otlptracehttp.WithCompression(otlptracehttp.NoCompression),
		otlptracehttp.WithEncoding(otlptracehttp.EncodingProtobuf),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: true, InitialInterval: retryFirst, MaxInterval: retryMost, MaxElapsedTime: retryFor})}
	if o.gzip {
		options = append(options, otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
	}
	if o.protocol == protocolJSON {
		options = append(options, otlptracehttp.WithEncoding(otlptracehttp.EncodingJSON))
	}
	if c := o.clientTLS(); c != nil {
		options = append(options, otlptracehttp.WithTLSClientConfig(c))
	}
	return options
}

func (o otlpOptions) traceGRPC() []otlptracegrpc.Option {
	options := []otlptracegrpc.Option{otlptracegrpc.WithEndpoint(o.address), otlptracegrpc.WithHeaders(o.headers),
		otlptracegrpc.WithTimeout(o.timeout),
		otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{Enabled: true, InitialInterval: retryFirst, MaxInterval: retryMost, MaxElapsedTime: retryFor})}
	if o.gzip {
		options = append(options, otlptracegrpc.WithCompressor("gzip"))
	}
	if o.plain {
		return append(options, otlptracegrpc.WithInsecure())
	}
	return append(options, otlptracegrpc.WithTLSCredentials(credentials.NewTLS(o.tls)))
}

func (o otlpOptions) logHTTP() []otlploghttp.Option {
	options := []otlploghttp.Option{otlploghttp.WithEndpointURL(o.address), otlploghttp.WithHeaders(o.headers),
		otlploghttp.WithTimeout(o.timeout), otlploghttp.WithCompression(otlploghttp.NoCompression),
		otlploghttp.WithRetry(otlploghttp.RetryConfig{Enabled: false})}
	if o.gzip {
		options = append(options, otlploghttp.WithCompression(otlploghttp.GzipCompression))
	}
	if c := o.clientTLS(); c != nil {
		options = append(options, otlploghttp.WithTLSClientConfig(c))
	}
	return options
}

func (o otlpOptions) logGRPC() []otlploggrpc.Option {
	options := []otlploggrpc.Option{otlploggrpc.WithEndpoint(o.address), otlploggrpc.WithHeaders(o.headers),
		otlploggrpc.WithTimeout(o.timeout), otlploggrpc.WithRetry(otlploggrpc.RetryConfig{Enabled: false})}
	if o.gzip {
		options = append(options, otlploggrpc.WithCompressor("gzip"))
	}
	if o.plain {
		return append(options, otlploggrpc.WithInsecure())
	}
	return append(options, otlploggrpc.WithTLSCredentials(credentials.NewTLS(o.tls)))
}
