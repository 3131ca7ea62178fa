package collector_test

import (
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"tachograph/collector"
	"tachograph/collector/store/embedded/embeddedtest"
)

// TestResendsChangeNothing sends the same spans in one segment, in several, at the same time, and to the next process.
func TestResendsChangeNothing(t *testing.T) {
	t.Parallel()
	s, conn, _ := database(t)
	dir := t.TempDir()
	metric := []byte(`{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m","gauge":{"dataPoints":[{"asInt":"5","timeUnixNano":"1"}]}}]}]}]}`)
	log := []byte(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"once"}},{"body":{"stringValue":"once"}}]}]}]}`)
	sendAll := func(c *collector.Collector) {
		h := c.Handler(nil)
		var senders sync.WaitGroup
		for range 8 {
			senders.Go(func() {
				for i := range 10 {
					if a := serve(t.Context(), h, numbered(50*i, 100)); a.code != http.StatusOK { // each span is in two of them
						t.Errorf("%d %s", a.code, a.body)
					}
				}
			})
		}
		senders.Wait()
		for path, body := range map[string][]byte{"/v1/metrics": metric, "/v1/logs": log} {
			if a := serveJSON(t, h, path, body); a.code != http.StatusOK {
				t.Errorf("%d %s", a.code, a.body)
			}
		}
	}
	for range 2 {
		c, err := collector.Open(t.Context(), collector.Config{Store: s, SpoolDir: dir, SegmentRows: 70})
		if err != nil {
			t.Fatal(err)
		}
		sendAll(c)
		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		sendAll(c)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	c, err := collector.Open(t.Context(), collector.Config{Store: s, SpoolDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]int64{
		"SELECT count() FROM spans":   550,
		"SELECT count() FROM logs":    2,
		"SELECT count() FROM metrics": 1,
	} {
		if got := embeddedtest.Number(t, conn, query); got != want {
			t.Errorf("%s: %d, want %d", query, got, want)
		}
	}
}

func serveJSON(t *testing.T, h http.Handler, path string, body []byte) answer {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1"+path, strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", asJSON)
	w := &written{header: http.Header{}}
	h.ServeHTTP(w, r)
	return answer{code: w.code, header: w.header, body: w.body.Bytes()}
}

// TestLargeRequests takes 100,000 spans in one request and a body of 20 MB, and measures what they cost.
func TestLargeRequests(t *testing.T) { // not parallel: it measures memory
	many := numbered(0, 100_000)
	wide := ptrace.NewTraces()
	sp := wide.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty()
	sp.SetTraceID(pcommon.TraceID{9})
	sp.SetSpanID(pcommon.SpanID{9})
	sp.Attributes().PutStr("gen_ai.input.messages", strings.Repeat("twenty megabytes ", 20<<20/17))
	long, err := ptraceotlp.NewExportRequestFromTraces(wide).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		body  []byte
		spans int64
	}{{"100,000 spans", many, 100_000}, {"20 MB in one attribute", long, 1}} {
		t.Run(c.name, func(t *testing.T) {
			s, conn, _ := database(t)
			l := collect(t, collector.Config{Store: s})
			peak := watch()
			l.must(t, "/v1/traces", c.body)
			l.flush(t)
			grown := peak()
			t.Logf("a body of %d bytes: the heap grew by at most %d MiB", len(c.body), grown>>20)
			if grown > 384<<20 {
				t.Errorf("a body of %d bytes took %d bytes of memory", len(c.body), grown)
			}
			if got := embeddedtest.Number(t, conn, "SELECT count() FROM spans"); got != c.spans {
				t.Errorf("%d spans stored, want %d", got, c.spans)
			}
			if c.spans == 1 {
				if got := embeddedtest.Number(t, conn, "SELECT sum(length(bytes)) FROM content"); got < 20<<20-20 {
					t.Errorf("%d bytes in content", got)
				}
			}
		})
	}
}

// watch measures how far the heap grows until the function it returns is called.
func watch() func() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	base, most := m.HeapAlloc, uint64(0)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			if m.HeapAlloc > base {
				most = max(most, m.HeapAlloc-base)
			}
			runtime.Gosched()
		}
	}()
	return func() uint64 {
		close(stop)
		<-stopped
		return most
	}
}
