package store_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"tachograph/collector/store"
	"tachograph/collector/store/embedded/embeddedtest"
	"tachograph/schemas/columns"
	"tachograph/schemas/tables"
)

// cpu is what this process has used, in seconds.
func cpu(tb testing.TB) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

// BenchmarkInsertPaths compares ways to insert the same spans, in one run: batches of 10,000 rows of 23 columns and one map,
// over HTTP. Arrow is written by schemas/columns and posted as it is. The last one is how the store does it, with all 80
// columns. It reports CPU of this process and of the engine, in µs a row.
func BenchmarkInsertPaths(b *testing.B) {
	const size = 10_000
	dsn := embeddedtest.Database(b)
	s := open(b, dsn, store.Options{})
	conn := embeddedtest.Connect(b, dsn)
	rows := agentSpans(size, 1)
	maps := make([]map[string]string, size)
	for i := range rows {
		maps[i] = map[string]string{}
		for _, a := range rows[i].Attributes {
			maps[i][a.Key] = a.Value
		}
	}
	names := strings.Join(columns.RowNames(), ", ")
	for _, way := range []struct {
		name   string
		insert func(b *testing.B) error
	}{
		{"row", func(b *testing.B) error {
			batch, err := conn.PrepareBatch(b.Context(), "INSERT INTO spans ("+names+")")
			if err != nil {
				return err
			}
			now := time.Now()
			for i := range rows {
				r := &rows[i]
				if err := batch.Append(r.Project, r.Source, uuid.UUID(r.TraceID), r.SpanID, r.ParentSpanID, time.Unix(0, r.Start), r.DurationNS, r.EarlyEndNS, r.Name, r.Kind, r.Service, r.Operation, r.Provider, r.RequestModel,
					r.ResponseID, r.ConversationID, r.Agent, r.Tool, r.ToolCallID, r.InputTokens, r.OutputTokens, r.Resource, now, maps[i]); err != nil {
					return err
				}
			}
			return batch.Send()
		}},
		{"columnar", func(b *testing.B) error {
			batch, err := conn.PrepareBatch(b.Context(), "INSERT INTO spans ("+names+")")
			if err != nil {
				return err
			}
			for i, column := range columnsOfSpans(rows, maps) {
				if err := batch.Column(i).Append(column); err != nil {
					return err
				}
			}
			return batch.Send()
		}},
		{"arrow", arrowInsert(dsn, rows)},
		{"native", nativeInsert(s, rows)},
	} {
		b.Run(way.name, func(b *testing.B) {
			own, engine := cpu(b), engineCPU(b, conn)
			b.ReportAllocs()
			for b.Loop() {
				if err := way.insert(b); err != nil {
					b.Fatal(err)
				}
			}
			n := float64(b.N * size)
			b.ReportMetric((cpu(b)-own)*1e6/n, "own-µs/row")
			b.ReportMetric((engineCPU(b, conn)-engine)*1e6/n, "engine-µs/row")
		})
	}
}

// arrowInsert posts an Arrow stream over a connection that is kept, as the store posts its blocks.
func arrowInsert(dsn string, rows []tables.Span) func(b *testing.B) error {
	transport := &http.Transport{DisableCompression: true}
	var body bytes.Buffer
	return func(b *testing.B) error {
		body.Reset()
		stream, now := columns.NewRows(&body), time.Now().UnixMilli()
		for i := range rows {
			if err := stream.Write(&rows[i], now); err != nil {
				return err
			}
		}
		if err := stream.Close(); err != nil {
			return err
		}
		u, err := url.Parse(dsn)
		if err != nil {
			return err
		}
		u.RawQuery = url.Values{"database": {strings.TrimPrefix(u.Path, "/")}, "async_insert": {"0"},
			"query": {"INSERT INTO spans (" + strings.Join(columns.RowNames(), ", ") + ") FORMAT ArrowStream"}}.Encode()
		u.Path = "/"
		request, err := http.NewRequestWithContext(b.Context(), http.MethodPost, u.String(), bytes.NewReader(body.Bytes()))
		if err != nil {
			return err
		}
		password, _ := u.User.Password()
		request.SetBasicAuth(u.User.Username(), password)
		response, err := transport.RoundTrip(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err == nil && response.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: %.500s", response.Status, text)
		}
		return err
	}
}

func nativeInsert(s *store.Store, rows []tables.Span) func(b *testing.B) error {
	batch := store.NewBatch(uuid.New(), time.Now())
	return func(b *testing.B) error {
		batch.Reset(uuid.New(), time.Now())
		batch.Fresh = true
		for i := range rows {
			batch.Span(&rows[i])
		}
		return s.Insert(b.Context(), batch)
	}
}

// engineCPU is what queries have used of the engine so far, in seconds.
func engineCPU(b *testing.B, conn driver.Conn) float64 {
	return float64(embeddedtest.Number(b, conn, "SELECT sum(value) FROM system.events WHERE event = 'OSCPUVirtualTimeMicroseconds'")) / 1e6
}

func columnsOfSpans(rows []tables.Span, maps []map[string]string) []any {
	now := time.Now()
	return []any{each(rows, func(r *tables.Span) string { return r.Project }), each(rows, func(r *tables.Span) string { return r.Source }),
		each(rows, func(r *tables.Span) uuid.UUID { return r.TraceID }), each(rows, func(r *tables.Span) uint64 { return r.SpanID }), each(rows, func(r *tables.Span) uint64 { return r.ParentSpanID }),
		each(rows, func(r *tables.Span) time.Time { return time.Unix(0, r.Start) }), each(rows, func(r *tables.Span) uint64 { return r.DurationNS }), each(rows, func(r *tables.Span) int64 { return r.EarlyEndNS }),
		each(rows, func(r *tables.Span) string { return r.Name }), each(rows, func(r *tables.Span) uint8 { return r.Kind }), each(rows, func(r *tables.Span) string { return r.Service }),
		each(rows, func(r *tables.Span) string { return r.Operation }), each(rows, func(r *tables.Span) string { return r.Provider }), each(rows, func(r *tables.Span) string { return r.RequestModel }),
		each(rows, func(r *tables.Span) string { return r.ResponseID }), each(rows, func(r *tables.Span) string { return r.ConversationID }), each(rows, func(r *tables.Span) string { return r.Agent }),
		each(rows, func(r *tables.Span) string { return r.Tool }), each(rows, func(r *tables.Span) string { return r.ToolCallID }), each(rows, func(r *tables.Span) int64 { return r.InputTokens }),
		each(rows, func(r *tables.Span) int64 { return r.OutputTokens }), each(rows, func(r *tables.Span) string { return r.Resource }), each(rows, func(*tables.Span) time.Time { return now }), maps}
}

func each[T any](rows []tables.Span, of func(*tables.Span) T) []T {
	found := make([]T, len(rows))
	for i := range rows {
		found[i] = of(&rows[i])
	}
	return found
}

// BenchmarkBlock is what a span costs before it is sent: copied into its columns, and the block written.
func BenchmarkBlock(b *testing.B) {
	rows := agentSpans(10_000, 1)
	batch := store.NewBatch(uuid.New(), time.Now())
	b.ReportAllocs()
	for b.Loop() {
		batch.Reset(uuid.New(), time.Now())
		for i := range rows {
			batch.Span(&rows[i])
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(rows)), "ns/row")
}

// BenchmarkStoredBytes stores 200,000 spans in segments of 20,000 and reports bytes a span once they are merged, projections
// and indices among them. It is a measurement more than a benchmark: one round is enough.
func BenchmarkStoredBytes(b *testing.B) {
	const segments, size = 10, 20_000
	dsn := embeddedtest.Database(b)
	s := open(b, dsn, store.Options{})
	rows := agentSpans(segments*size, 1)
	for b.Loop() {
		for part := range segments {
			batch := store.NewBatch(uuid.New(), time.Now())
			batch.Fresh = true
			for i := range size {
				batch.Span(&rows[part*size+i])
			}
			if err := s.Insert(b.Context(), batch); err != nil {
				b.Fatal(err)
			}
		}
	}
	conn := embeddedtest.Connect(b, dsn)
	parts := func(of string) float64 {
		return float64(embeddedtest.Number(b, conn, "SELECT sum("+of+") FROM system.parts WHERE active AND database = currentDatabase() AND table = 'spans'"))
	}
	b.ReportMetric(parts("bytes_on_disk")/parts("rows"), "B/span-inserted")
	if err := conn.Exec(b.Context(), "OPTIMIZE TABLE spans FINAL"); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(parts("bytes_on_disk")/parts("rows"), "B/span-merged")
	all, err := conn.Query(b.Context(), "SELECT column, toInt64(sum(column_data_compressed_bytes)), toInt64(sum(rows)) FROM system.parts_columns WHERE active AND database = currentDatabase() AND table = 'spans' GROUP BY column ORDER BY 2 DESC LIMIT 25")
	if err != nil {
		b.Fatal(err)
	}
	defer all.Close()
	for all.Next() {
		var name string
		var bytes, n int64
		if err := all.Scan(&name, &bytes, &n); err != nil {
			b.Fatal(err)
		}
		b.Logf("%-20s %6.2f B/span", name, float64(bytes)/float64(n))
	}
}
