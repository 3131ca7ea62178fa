package spans

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// Signals, as variables spell them.
const (
	signalTraces = "TRACES"
	signalLogs   = "LOGS"
)

const (
	protocolGRPC  = "grpc"
	protocolProto = "http/protobuf"
	protocolJSON  = "http/json"
)

// endpoint is who receives one signal. Each of the variables below has OTEL_EXPORTER_OTLP_ in front
// of it; one with OTEL_EXPORTER_OTLP_TRACES_ (or _LOGS_) in front goes before it.
//
//	ENDPOINT, PROTOCOL (http/protobuf, http/json, grpc), HEADERS, TIMEOUT (ms), COMPRESSION (gzip, none),
//	INSECURE (grpc without a scheme), CERTIFICATE, CLIENT_CERTIFICATE, CLIENT_KEY (files)
type endpoint struct {
	env    environment
	signal string
}

func (p endpoint) get(name string) string {
	return cmp.Or(p.env("OTEL_EXPORTER_OTLP_"+p.signal+"_"+name), p.env("OTEL_EXPORTER_OTLP_"+name))
}

// openTraces makes the SDK's exporter of spans. It connects when the first ones are sent.
func (env environment) openTraces(ctx context.Context, exporter string, console io.Writer) (sdktrace.SpanExporter, error) {
	if exporter == exporterConsole {
		return stdouttrace.New(stdouttrace.WithWriter(console))
	}
	o, err := endpoint{env, signalTraces}.options()
	if err != nil {
		return nil, err
	}
	if o.protocol == protocolGRPC {
		return otlptracegrpc.New(ctx, o.traceGRPC()...)
	}
	return otlptracehttp.New(ctx, o.traceHTTP()...)
}

// openLogs makes the SDK's exporter of log records. It has no JSON: that is sent as protobuf, which
// every receiver of OTLP over HTTP takes.
func (env environment) openLogs(ctx context.Context) (sdklog.Exporter, error) {
	o, err := endpoint{env, signalLogs}.options()
	if err != nil {
		return nil, err
	}
	if o.protocol == protocolGRPC {
		return otlploggrpc.New(ctx, o.logGRPC()...)
	}
	return otlploghttp.New(ctx, o.logHTTP()...)
}

func (p endpoint) options() (o otlpOptions, err error) {
	o = otlpOptions{protocol: cmp.Or(p.get("PROTOCOL"), protocolProto), headers: map[string]string{}, gzip: p.get("COMPRESSION") == "gzip"}
	if !slices.Contains([]string{protocolGRPC, protocolProto, protocolJSON}, o.protocol) {
		return o, fmt.Errorf("read OTEL_EXPORTER_OTLP_PROTOCOL: %q is none of http/protobuf, http/json, grpc", o.protocol)
	}
	headers, err := pairs(p.get("HEADERS"))
	if err != nil {
		return o, fmt.Errorf("read OTEL_EXPORTER_OTLP_HEADERS: %w", err)
	}
	for _, h := range headers {
		o.headers[h[0]] = h[1]
	}
	if c := p.get("COMPRESSION"); c != "" && c != "gzip" && c != "none" {
		return o, fmt.Errorf("read OTEL_EXPORTER_OTLP_COMPRESSION: %q is none of gzip, none", c)
	}
	if o.timeout, err = p.timeout(); err != nil {
		return o, err
	}
	if o.tls, err = p.tls(); err != nil {
		return o, err
	}
	if o.protocol == protocolGRPC {
		o.address, o.plain, err = p.grpcTarget()
	} else {
		o.address, err = p.httpURL()
	}
	return o, err
}

func (p endpoint) timeout() (time.Duration, error) {
	name := "OTEL_EXPORTER_OTLP_TIMEOUT"
	if own := "OTEL_EXPORTER_OTLP_" + p.signal + "_TIMEOUT"; p.env(own) != "" {
		name = own
	}
	return p.env.milliseconds(name, 10*time.Second)
}

// httpURL is where requests go: the signal's endpoint as it is, or the general one and v1/traces or
// v1/logs.
func (p endpoint) httpURL() (string, error) {
	text, own := p.env("OTEL_EXPORTER_OTLP_"+p.signal+"_ENDPOINT"), true
	if text == "" {
		text, own = cmp.Or(p.env("OTEL_EXPORTER_OTLP_ENDPOINT"), "http://localhost:4318"), false
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", errors.New("read OTEL_EXPORTER_OTLP_ENDPOINT: it is no address such as http://localhost:4318")
	}
	if !own {
		u = u.JoinPath("v1", strings.ToLower(p.signal))
	}
	return u.String(), nil
}

// grpcTarget is where to connect, and whether without TLS.
func (p endpoint) grpcTarget() (target string, plain bool, err error) {
	text := cmp.Or(p.get("ENDPOINT"), "http://localhost:4317")
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return text, strings.EqualFold(p.get("INSECURE"), "true"), nil
	}
	switch scheme {
	case "http", "https":
		host, _, _ := strings.Cut(rest, "/")
		if host == "" {
			return "", false, errors.New("read OTEL_EXPORTER_OTLP_ENDPOINT: it is no address such as http://localhost:4317")
		}
		return host, scheme == "http", nil
	}
	return text, scheme == "unix" || strings.EqualFold(p.get("INSECURE"), "true"), nil
}

// tls is nil where no file is named: then the machine's certificates count.
func (p endpoint) tls() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	authority, cert, key := p.get("CERTIFICATE"), p.get("CLIENT_CERTIFICATE"), p.get("CLIENT_KEY")
	if authority == "" && cert == "" && key == "" {
		return nil, nil
	}
	if authority != "" {
		pem, err := os.ReadFile(authority)
		if err != nil {
			return nil, fmt.Errorf("read OTEL_EXPORTER_OTLP_CERTIFICATE: %w", err)
		}
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read OTEL_EXPORTER_OTLP_CERTIFICATE: %s holds no certificate", authority)
		}
	}
	if cert != "" || key != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("read OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and _KEY: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
