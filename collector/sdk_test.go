package collector_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tachograph/collector"
	"tachograph/collector/store"
	"tachograph/collector/store/embedded/embeddedtest"
)

// gate is a store that is away until it is opened.
type gate struct {
	store collector.Store
	open  chan struct{}
}

func (g *gate) Insert(ctx context.Context, b *store.Batch) error {
	select {
	case <-g.open:
		return g.store.Insert(ctx, b)
	default:
		return errors.New("connection refused")
	}
}

// refusals closes a channel when the first request is refused.
type refusals struct {
	once sync.Once
	seen chan struct{}
}

func (r *refusals) add() { r.once.Do(func() { close(r.seen) }) }

func (r *refusals) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err == nil && resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "" {
		r.add()
	}
	return resp, err
}

// TestSDKSeesTheRefusalAndDeliversLater runs the Go SDK's exporters against a collector whose ClickHouse is away:
// the spool becomes full, the exporters are refused, ClickHouse comes back, and all spans arrive, once.
func TestSDKSeesTheRefusalAndDeliversLater(t *testing.T) {
	t.Parallel()
	const spans = 3000
	exporters := map[string]func(*testing.T, *lab, *refusals) sdktrace.SpanExporter{
		"http": func(t *testing.T, l *lab, r *refusals) sdktrace.SpanExporter {
			e, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(l.http+"/v1/traces"), otlptracehttp.WithCompression(otlptracehttp.GzipCompression),
				otlptracehttp.WithHTTPClient(&http.Client{Transport: r}),
				otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: true, InitialInterval: 50 * time.Millisecond, MaxInterval: time.Second, MaxElapsedTime: patience}))
			if err != nil {
				t.Fatal(err)
			}
			return e
		},
		"grpc": func(t *testing.T, l *lab, r *refusals) sdktrace.SpanExporter {
			e, err := otlptracegrpc.New(t.Context(), otlptracegrpc.WithEndpoint(l.grpc), otlptracegrpc.WithInsecure(), otlptracegrpc.WithCompressor("gzip"),
				otlptracegrpc.WithTimeout(patience),
				otlptracegrpc.WithDialOption(grpc.WithUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
					err := invoke(ctx, method, req, reply, cc, options...)
					if status.Code(err) == codes.Unavailable && retryInfo(err) != nil {
						r.add()
					}
					return err
				})),
				otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{Enabled: true, InitialInterval: 50 * time.Millisecond, MaxInterval: time.Second, MaxElapsedTime: patience}))
			if err != nil {
				t.Fatal(err)
			}
			return e
		},
	}
	for name, exporter := range exporters {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, conn, _ := database(t)
			g := &gate{store: s, open: make(chan struct{})}
			l := collect(t, collector.Config{Store: g, SpoolBytes: 200 << 10})
			r := &refusals{seen: make(chan struct{})}
			provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter(t, l, r),
				sdktrace.WithMaxQueueSize(2*spans), sdktrace.WithMaxExportBatchSize(250), sdktrace.WithBatchTimeout(10*time.Millisecond), sdktrace.WithExportTimeout(patience)))
			tracer := provider.Tracer("sdk")
			for range spans {
				_, span := tracer.Start(t.Context(), "work")
				span.SetAttributes(attribute.String("gen_ai.operation.name", "execute_tool"), attribute.String("filler", strings.Repeat("x", 100)))
				span.End()
			}
			select {
			case <-r.seen:
			case <-time.After(patience):
				t.Fatalf("the exporter was never refused: %+v", l.Metrics())
			}
			close(g.open)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if err := provider.Shutdown(ctx); err != nil {
				t.Fatal(err)
			}
			l.flush(t)
			for query, want := range map[string]int64{
				"SELECT count() FROM spans":            spans,
				"SELECT uniqExact(span_id) FROM spans": spans,
				"SELECT count() FROM spans WHERE operation = 'execute_tool' AND duration_ns < 60000000000": spans,
			} {
				if got := embeddedtest.Number(t, conn, query); got != want {
					t.Errorf("%s: %d, want %d", query, got, want)
				}
			}
			http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		})
	}
}
