package collector

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"tachograph/collector/dialect"
	"tachograph/collector/otlp"
	"tachograph/collector/store"
)

// discard is a store that encodes nothing.
type discard struct{}

func (discard) Insert(context.Context, *store.Batch) error { return nil }

// cpu is what this process has used.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkIngest measures spans per second of CPU: what reading them with pdata alone costs, what our own
// reading costs, with examining and rows, and the whole way from an HTTP handler through the spool, with
// its fsyncs, to columns. One run compares them.
func BenchmarkIngest(b *testing.B) {
	const spans = 512
	var bodies [][]byte
	for i := range 64 {
		bodies = append(bodies, AgentSpans(i*spans, spans))
	}
	report := func(b *testing.B, before time.Duration) {
		b.ReportMetric(float64(b.N)*spans/(cpu(b)-before).Seconds(), "spans/cpu-s")
		b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(b.N)/spans, "cpu-ns/span")
	}
	b.Run("pdata", func(b *testing.B) {
		before := cpu(b)
		for i := 0; b.Loop(); i++ {
			r := ptraceotlp.NewExportRequest()
			if err := r.UnmarshalProto(bodies[i%len(bodies)]); err != nil {
				b.Fatal(err)
			}
		}
		report(b, before)
	})
	b.Run("read", func(b *testing.B) {
		before := cpu(b)
		for i := 0; b.Loop(); i++ {
			if err := otlp.ReadTraces(bodies[i%len(bodies)], otlp.Limits{}, func(*otlp.Resource, *otlp.Scope, *otlp.Span) error { return nil }); err != nil {
				b.Fatal(err)
			}
		}
		report(b, before)
	})
	b.Run("examine", func(b *testing.B) {
		before := cpu(b)
		for i := 0; b.Loop(); i++ {
			if _, err := dialect.Examine(otlp.Traces, "default", bodies[i%len(bodies)], nil, otlp.Limits{}); err != nil {
				b.Fatal(err)
			}
		}
		report(b, before)
	})
	b.Run("rows", func(b *testing.B) {
		before := cpu(b)
		batch := store.NewBatch(uuid.New(), time.Now())
		w := dialect.NewWriter(batch)
		for i := 0; b.Loop(); i++ {
			if i%100 == 0 {
				batch.Reset(uuid.New(), time.Now())
				w = dialect.NewWriter(batch)
			}
			if err := w.Request(otlp.Traces, "default", time.Now(), bodies[i%len(bodies)], nil); err != nil {
				b.Fatal(err)
			}
		}
		report(b, before)
	})
	b.Run("all", func(b *testing.B) {
		c, err := Open(b.Context(), Config{Store: discard{}, SpoolDir: b.TempDir()})
		if err != nil {
			b.Fatal(err)
		}
		h := c.Handler(nil)
		fresh := make([][]byte, 0, 4096)
		for i := range cap(fresh) {
			fresh = append(fresh, AgentSpans((1000+i)*spans, spans)) // none is known
		}
		before, i := cpu(b), 0
		b.ResetTimer()
		for ; b.Loop(); i++ {
			if i == len(fresh) {
				b.StopTimer()
				stopped := cpu(b)
				for k := range fresh {
					fresh[k] = AgentSpans((1000+len(fresh)*(1+i)+k)*spans, spans)
				}
				i, before = 0, before+cpu(b)-stopped
				b.StartTimer()
			}
			r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, "http://127.0.0.1/v1/traces", bytes.NewReader(fresh[i]))
			if err != nil {
				b.Fatal(err)
			}
			r.Header.Set("Content-Type", typeProtobuf)
			w := nowhere{header: http.Header{}}
			h.ServeHTTP(&w, r)
			if w.code != http.StatusOK {
				b.Fatal(w.code)
			}
		}
		if err := c.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
		report(b, before)
		m := c.Metrics()
		b.ReportMetric(float64(m.Requests)/float64(max(1, m.Groups)), "requests/fsync")
		if m.Known != 0 {
			b.Fatal(fmt.Sprint(m.Known, " spans were known"))
		}
		if err := c.Close(); err != nil {
			b.Fatal(err)
		}
	})
}

type nowhere struct {
	header http.Header
	code   int
}

func (n *nowhere) Header() http.Header         { return n.header }
func (n *nowhere) WriteHeader(code int)        { n.code = code }
func (n *nowhere) Write(b []byte) (int, error) { return len(b), nil }
