package collector_test

import (
	"context"
	"crypto/tls"
	"testing"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"tachograph/collector"
	"tachograph/schemas/access"
	"tachograph/schemas/access/accesstest"
)

// TestElsewhere: from other machines the Go SDK's exporters deliver over TLS with a token that may send, and with no
// other; what is refused is not stored.
func TestElsewhere(t *testing.T) {
	t.Parallel()
	gate, files := accesstest.Gate(t, t.TempDir(), "127.0.0.1")
	s, conn, _ := database(t)
	l := collect(t, collector.Config{Store: s})
	httpAddr, grpcAddr := open(t, l.Collector, gate)
	trust := &tls.Config{RootCAs: files.Pool}
	exporters := map[string]func(headers map[string]string) (sdktrace.SpanExporter, error){
		"http": func(headers map[string]string) (sdktrace.SpanExporter, error) {
			return otlptracehttp.New(t.Context(), otlptracehttp.WithEndpoint(httpAddr), otlptracehttp.WithTLSClientConfig(trust), otlptracehttp.WithHeaders(headers),
				otlptracehttp.WithRetry(otlptracehttp.RetryConfig{}))
		},
		"grpc": func(headers map[string]string) (sdktrace.SpanExporter, error) {
			return otlptracegrpc.New(t.Context(), otlptracegrpc.WithEndpoint(grpcAddr), otlptracegrpc.WithTLSCredentials(credentials.NewTLS(trust)), otlptracegrpc.WithHeaders(headers),
				otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{}))
		},
	}
	tokens := map[string]string{"nobody": "", "unknown": "Bearer tacho_x"}
	for _, role := range []access.Role{access.Viewer, access.Sender} {
		tokens[string(role)] = "Bearer " + accesstest.Token(t, gate, string(role), role)
	}
	for protocol, exporter := range exporters {
		for who, authorization := range tokens {
			headers := map[string]string{}
			if authorization != "" {
				headers["authorization"] = authorization
			}
			e, err := exporter(headers)
			if err != nil {
				t.Fatal(err)
			}
			err = export(t, e, protocol+" as "+who)
			if taken := err == nil; taken != (who == string(access.Sender)) {
				t.Errorf("%s as %s: %v", protocol, who, err)
			}
			if want := map[string]codes.Code{"nobody": codes.Unauthenticated, "viewer": codes.PermissionDenied}[who]; protocol == "grpc" && want != codes.OK && status.Code(err) != want {
				t.Errorf("%s as %s: %v, want %v", protocol, who, err, want)
			}
		}
	}
	l.flush(t)
	var names []string
	if err := conn.QueryRow(t.Context(), "SELECT groupArray(name) FROM (SELECT name FROM spans ORDER BY name)").Scan(&names); err != nil {
		t.Fatal(err)
	}
	if len(names) != 2 || names[0] != "grpc as sender" || names[1] != "http as sender" {
		t.Errorf("stored are %q", names)
	}
}

func export(t *testing.T, e sdktrace.SpanExporter, name string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	kept := &keeping{SpanExporter: e}
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(kept))
	_, span := provider.Tracer("sdk").Start(ctx, name)
	span.End()
	if err := provider.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	return kept.err
}

// keeping keeps what the exporter said.
type keeping struct {
	sdktrace.SpanExporter
	err error
}

func (k *keeping) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	k.err = k.SpanExporter.ExportSpans(ctx, spans)
	return nil
}
