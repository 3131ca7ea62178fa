package store_test

import (
	"slices"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"tachograph/collector/store"
	"tachograph/collector/store/embedded/embeddedtest"
	"tachograph/schemas/tables"
)

// BenchmarkQueries asks what a page asks, of a million spans of about 840 traces that came in segments of 50,000: the list of
// traces, all spans of one trace as it is shown, and p95 by tool, from the spans and from the projection by minute. Times are
// those of the client, to the last row read; on a busy machine the CPU that the engine spent on an answer says more. First with the parts as they happen to be, then merged into one.
func BenchmarkQueries(b *testing.B) {
	const segments, size = 20, 50_000
	dsn := embeddedtest.Database(b)
	s := open(b, dsn, store.Options{})
	conn := embeddedtest.Connect(b, dsn)
	trace := storeAgents(b, s, segments, size)
	questions := []struct {
		name string
		ask  func() (rows int, err error)
	}{
		{"list", func() (int, error) {
			list, err := s.Traces(b.Context(), store.TraceFilter{}, store.Page{Limit: 50})
			return len(list), err
		}},
		{"run", func() (int, error) {
			spans, err := s.TraceSpans(b.Context(), trace, store.SpanPage{Limit: 10_000})
			return len(spans), err
		}},
		{"p95", func() (int, error) {
			return count(conn.Query(b.Context(), "SELECT tool, quantile(0.95)(duration_ns) FROM spans WHERE project = 'default' AND operation = 'execute_tool' GROUP BY tool"))
		}},
		{"p95-minutes", func() (int, error) {
			return count(conn.Query(b.Context(), "SELECT tool, quantilesTDigest(0.5, 0.95, 0.99)(duration_ns)[2] FROM spans WHERE project = 'default' AND operation = 'execute_tool' GROUP BY tool"))
		}},
	}
	parts := func() float64 {
		return float64(embeddedtest.Number(b, conn, "SELECT count() FROM system.parts WHERE active AND database = currentDatabase() AND table = 'spans'"))
	}
	for _, state := range []string{"inserted", "merged"} {
		if state == "merged" {
			if err := conn.Exec(b.Context(), "OPTIMIZE TABLE spans FINAL"); err != nil {
				b.Fatal(err)
			}
		}
		for _, q := range questions {
			b.Run(q.name+"/"+state, func(b *testing.B) {
				var times []time.Duration
				rows, engine := 0, engineCPU(b, conn)
				for b.Loop() {
					began := time.Now()
					n, err := q.ask()
					if err != nil {
						b.Fatal(err)
					}
					times, rows = append(times, time.Since(began)), n
				}
				b.ReportMetric((engineCPU(b, conn)-engine)*1e3/float64(len(times)), "engine-cpu-ms")
				slices.Sort(times)
				b.ReportMetric(float64(times[0].Microseconds())/1e3, "least-ms")
				b.ReportMetric(float64(times[len(times)/2].Microseconds())/1e3, "p50-ms")
				b.ReportMetric(float64(times[len(times)*95/100].Microseconds())/1e3, "p95-ms")
				b.ReportMetric(float64(rows), "rows")
				b.ReportMetric(parts(), "parts")
			})
		}
	}
}

// storeAgents stores segments of spans and returns the id of a trace of about 1,200 that begins in the middle.
func storeAgents(b *testing.B, s *store.Store, segments, size int) (trace uuid.UUID) {
	b.Helper()
	load, row, batch := newAgentLoad(1), tables.Span{}, store.NewBatch(uuid.New(), time.Now())
	for part := range segments {
		batch.Reset(uuid.New(), time.Now())
		batch.Fresh = true
		for range size {
			load.next(&row)
			batch.Span(&row)
		}
		if part == segments/2 {
			trace = load.agents[0].trace
		}
		if err := s.Insert(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	return trace
}

// count reads all rows of an answer.
func count(rows driver.Rows, err error) (n int, _ error) {
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		n++
	}
	return n, rows.Err()
}
