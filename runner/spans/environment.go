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
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"tachograph/schemas/attr"
	"tachograph/schemas/journal"
)

// environment reads variables. Those below are read here, not by the SDK, so that a caller decides
// what they are; the SDK's exporters look into the process's own where one of them is empty.
//
//	OTEL_SDK_DISABLED                       true: nothing is done
//	OTEL_TRACES_EXPORTER                    otlp, console or none; if empty, otlp where an endpoint is set, else none
//	OTEL_TRACES_SAMPLER, …_SAMPLER_ARG      decided once a run: all of its spans or none
//	OTEL_SERVICE_NAME                       tacho
//	OTEL_RESOURCE_ATTRIBUTES                key=value,…
//	OTEL_BSP_SCHEDULE_DELAY                 how long spans wait for more of them, ms; 500
//	OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT, OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT   bytes
//	OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT   false, no, 0, no_content or event_only: no content on spans
//
// and with OTEL_EXPORTER_OTLP_ or, before it, OTEL_EXPORTER_OTLP_TRACES_ in front of them
//
//	ENDPOINT, PROTOCOL (http/protobuf, http/json, grpc), HEADERS, TIMEOUT (ms), COMPRESSION (gzip, none),
//	INSECURE (grpc without a scheme), CERTIFICATE, CLIENT_CERTIFICATE, CLIENT_KEY (files)
type environment func(string) string

// settings are what the environment says, but for the OTLP exporter's own.
type settings struct {
	exporter string // otlp, console or none
	protocol string
	capture  bool
	limit    int // bytes of one value of content
	delay    time.Duration
	sampler  sdktrace.Sampler
}

const (
	exporterOTLP    = "otlp"
	exporterConsole = "console"
	exporterNone    = "none"

	protocolGRPC  = "grpc"
	protocolProto = "http/protobuf"
	protocolJSON  = "http/json"
)

func (env environment) settings() (settings, error) {
	s := settings{exporter: env("OTEL_TRACES_EXPORTER"), protocol: cmp.Or(env.otlp("PROTOCOL"), protocolProto), capture: env.capture()}
	if s.exporter == "" {
		s.exporter = exporterNone
		if env.otlp("ENDPOINT") != "" {
			s.exporter = exporterOTLP
		}
	}
	if strings.EqualFold(env("OTEL_SDK_DISABLED"), "true") {
		s.exporter = exporterNone
	}
	if !slices.Contains([]string{exporterOTLP, exporterConsole, exporterNone}, s.exporter) {
		return s, fmt.Errorf("read OTEL_TRACES_EXPORTER: %q is none of otlp, console, none", s.exporter)
	}
	if !slices.Contains([]string{protocolGRPC, protocolProto, protocolJSON}, s.protocol) {
		return s, fmt.Errorf("read OTEL_EXPORTER_OTLP_PROTOCOL: %q is none of http/protobuf, http/json, grpc", s.protocol)
	}
	delay, err := env.milliseconds("OTEL_BSP_SCHEDULE_DELAY", 500*time.Millisecond)
	if err != nil {
		return s, err
	}
	s.delay = delay
	if s.limit, err = env.valueLimit(); err != nil {
		return s, err
	}
	s.sampler, err = env.sampler()
	return s, err
}

// otlp is a variable of the OTLP exporter; that of the traces goes before the general one.
func (env environment) otlp(name string) string {
	return cmp.Or(env("OTEL_EXPORTER_OTLP_TRACES_"+name), env("OTEL_EXPORTER_OTLP_"+name))
}

// capture says whether content may stand on spans. The conventions' default is no; ours is yes,
// because a recorder that does not show what happened is none.
func (env environment) capture() bool {
	switch strings.ToLower(env("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT")) {
	case "false", "no", "0", "no_content", "event_only":
		return false
	}
	return true
}

func (env environment) valueLimit() (int, error) {
	limit := maxText
	for _, name := range []string{"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT"} {
		n, err := env.integer(name, -1)
		if err != nil {
			return 0, err
		}
		if n >= 0 {
			limit = min(maxText, n)
		}
	}
	return limit, nil
}

func (env environment) integer(name string, otherwise int) (int, error) {
	text := env(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("read %s: %q is no number", name, text)
	}
	return n, nil
}

func (env environment) milliseconds(name string, otherwise time.Duration) (time.Duration, error) {
	n, err := env.integer(name, int(otherwise.Milliseconds()))
	if err == nil && n < 0 {
		err = fmt.Errorf("read %s: %d ms is less than none", name, n)
	}
	return time.Duration(n) * time.Millisecond, err
}

// sampler is asked about root spans only: a run is sampled whole or not at all, so parent based
// samplers are what they are based on.
func (env environment) sampler() (sdktrace.Sampler, error) {
	name := env("OTEL_TRACES_SAMPLER")
	switch strings.TrimPrefix(name, "parentbased_") {
	case "", "always_on":
		return sdktrace.AlwaysSample(), nil
	case "always_off":
		return sdktrace.NeverSample(), nil
	case "traceidratio":
		ratio, err := strconv.ParseFloat(cmp.Or(env("OTEL_TRACES_SAMPLER_ARG"), "1"), 64)
		if err != nil || !(ratio >= 0 && ratio <= 1) {
			return nil, fmt.Errorf("read OTEL_TRACES_SAMPLER_ARG: %q is no number from 0 to 1", env("OTEL_TRACES_SAMPLER_ARG"))
		}
		return sdktrace.TraceIDRatioBased(ratio), nil
	}
	return nil, fmt.Errorf("read OTEL_TRACES_SAMPLER: %q is none of always_on, always_off, traceidratio, and those with parentbased_", name)
}

// samples says whether a run's spans are sent.
func (s settings) samples(run journal.RunID) bool {
	result := s.sampler.ShouldSample(sdktrace.SamplingParameters{ParentContext: context.Background(), TraceID: TraceID(run),
		Name: nameAgent + "/", Kind: trace.SpanKindInternal})
	return result.Decision == sdktrace.RecordAndSample
}

// resource describes the sender. It holds nothing of the process, so that whoever goes on with a run
// sends the same.
func (env environment) resource(ctx context.Context) (*resource.Resource, error) {
	named := []attribute.KeyValue{attribute.String(attr.ServiceName, "tacho")}
	pairs, err := pairs(env("OTEL_RESOURCE_ATTRIBUTES"))
	if err != nil {
		return nil, fmt.Errorf("read OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	for _, p := range pairs {
		named = append(named, attribute.String(p[0], valid(p[1])))
	}
	if name := env("OTEL_SERVICE_NAME"); name != "" {
		named = append(named, attribute.String(attr.ServiceName, valid(name)))
	}
	r, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(named...))
	if err != nil {
		return nil, fmt.Errorf("describe this process to receivers: %w", err)
	}
	return r, nil
}

// pairs reads key=value,key=value with values in percent encoding. An error does not show a value,
// which may be a secret.
func pairs(text string) ([][2]string, error) {
	var out [][2]string
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		key, raw, ok := strings.Cut(item, "=")
		value, err := url.PathUnescape(strings.TrimSpace(raw))
		if key = strings.TrimSpace(key); !ok || key == "" || err != nil {
			return nil, errors.New("it is not a list of key=value with commas between and values in percent encoding")
		}
		out = append(out, [2]string{key, value})
	}
	return out, nil
}

// open makes the SDK's exporter. It connects when the first spans are sent.
func (env environment) open(ctx context.Context, s settings, console io.Writer) (sdktrace.SpanExporter, error) {
	if s.exporter == exporterConsole {
		return stdouttrace.New(stdouttrace.WithWriter(console))
	}
	headers, err := pairs(env.otlp("HEADERS"))
	if err != nil {
		return nil, fmt.Errorf("read OTEL_EXPORTER_OTLP_HEADERS: %w", err)
	}
	o := otlpOptions{headers: map[string]string{}, gzip: env.otlp("COMPRESSION") == "gzip"}
	for _, h := range headers {
		o.headers[h[0]] = h[1]
	}
	if c := env.otlp("COMPRESSION"); c != "" && c != "gzip" && c != "none" {
		return nil, fmt.Errorf("read OTEL_EXPORTER_OTLP_COMPRESSION: %q is none of gzip, none", c)
	}
	if o.timeout, err = env.timeout(); err != nil {
		return nil, err
	}
	if o.tls, err = env.tls(); err != nil {
		return nil, err
	}
	if s.protocol == protocolGRPC {
		host, plain, err := env.grpcTarget()
		if err != nil {
			return nil, err
		}
		return otlptracegrpc.New(ctx, o.grpc(host, plain)...)
	}
	address, err := env.httpURL()
	if err != nil {
		return nil, err
	}
	return otlptracehttp.New(ctx, o.http(address, s.protocol == protocolJSON)...)
}

func (env environment) timeout() (time.Duration, error) {
	name := "OTEL_EXPORTER_OTLP_TIMEOUT"
	if traces := "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"; env(traces) != "" {
		name = traces
	}
	return env.milliseconds(name, 10*time.Second)
}

// httpURL is where requests go: the traces' endpoint as it is, or the general one and v1/traces.
func (env environment) httpURL() (string, error) {
	text, own := env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), true
	if text == "" {
		text, own = cmp.Or(env("OTEL_EXPORTER_OTLP_ENDPOINT"), "http://localhost:4318"), false
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", errors.New("read OTEL_EXPORTER_OTLP_ENDPOINT: it is no address such as http://localhost:4318")
	}
	if !own {
		u = u.JoinPath("v1", "traces")
	}
	return u.String(), nil
}

// grpcTarget is where to connect, and whether without TLS.
func (env environment) grpcTarget() (target string, plain bool, err error) {
	text := cmp.Or(env.otlp("ENDPOINT"), "http://localhost:4317")
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return text, strings.EqualFold(env.otlp("INSECURE"), "true"), nil
	}
	switch scheme {
	case "http", "https":
		host, _, _ := strings.Cut(rest, "/")
		if host == "" {
			return "", false, errors.New("read OTEL_EXPORTER_OTLP_ENDPOINT: it is no address such as http://localhost:4317")
		}
		return host, scheme == "http", nil
	}
	return text, scheme == "unix" || strings.EqualFold(env.otlp("INSECURE"), "true"), nil
}

// tls is nil where no file is named: then the machine's certificates count.
func (env environment) tls() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	authority, cert, key := env.otlp("CERTIFICATE"), env.otlp("CLIENT_CERTIFICATE"), env.otlp("CLIENT_KEY")
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
