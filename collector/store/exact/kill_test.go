package exact_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"tachograph/collector/store"
	"tachograph/collector/store/embedded"
	"tachograph/collector/store/embedded/embeddedtest"
	"tachograph/schemas/tables"
)

var kills = flag.Int("kills", 4, "how often the kill test kills the engine")

func TestMain(m *testing.M) { embeddedtest.Main(m) }

// patience is for an engine on a busy machine, restarts among it.
const patience = 2 * time.Minute

// rows is how many spans a segment of the tests has.
const rows = 60

// segment makes the n-th segment: the same rows whenever it is made.
func segment(n int) *store.Batch {
	b := store.NewBatch(uuid.NewSHA1(uuid.Nil, fmt.Append(nil, n)), time.UnixMilli(1_790_000_000_000+int64(n)))
	var span tables.Span
	span.Reset()
	span.Project, span.Source, span.Operation = "default", tables.SourceOTLP, "execute_tool"
	for i := range rows {
		span.TraceID, span.SpanID = [16]byte{15: byte(n % 7)}, uint64(n*rows+i)
		span.Start, span.DurationNS, span.Tool = 1_790_000_000_000_000_000+int64(i)*1e9, uint64(i), []string{"bash", "grep", "read"}[i%3]
		b.Span(&span)
	}
	for i := range 10 {
		b.Entry(&tables.Entry{Project: "default", Run: [16]byte{15: 1}, Seq: int64(n*10 + i), Epoch: 1, Hash: [32]byte{byte(n), byte(n >> 8), byte(i)}, Kind: "note.x", Line: []byte("{}")})
	}
	return b
}

// persist inserts a segment until it is acknowledged, as a collector would: the same batch again, or, where the process
// is taken to have died, the segment made anew by one that knows nothing of it.
func persist(t *testing.T, ctx context.Context, stores []*store.Store, rng *rand.Rand, n int) bool {
	b := segment(n)
	b.Fresh = true
	for {
		s := stores[rng.IntN(len(stores))]
		err := s.Insert(ctx, b)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			t.Errorf("segment %d: not inserted in time: %v", n, err)
			return false
		}
		if rng.IntN(2) == 0 {
			b = segment(n)
		}
		for s.Ping(ctx) != nil && ctx.Err() == nil { // until the engine is there again
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
}

// TestKilledEngine kills the engine under inserts. Every segment that was acknowledged must stand in its tables, its
// rows once each, and the projections must say the same.
func TestKilledEngine(t *testing.T) {
	t.Parallel()
	engine := embeddedtest.Start(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience+time.Duration(*kills)*5*time.Second)
	defer cancel()
	stores := openStores(t, engine, 2)
	var acked, next atomic.Int64
	due := make(chan struct{}, 1) // enough acknowledgements for the next kill
	var until atomic.Int64        // acknowledgements at which that is
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	until.Store(1 + rng.Int64N(20))
	done := make(chan struct{})
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 7))
			for {
				select {
				case <-done:
					return
				default:
				}
				if !persist(t, ctx, stores, rng, int(next.Add(1)-1)) {
					return
				}
				if acked.Add(1) == until.Load() {
					due <- struct{}{}
				}
			}
		})
	}
	for range *kills {
		select {
		case <-due:
			engine.Kill()
			until.Store(acked.Load() + 5 + rng.Int64N(20))
		case <-ctx.Done():
			t.Error("too few segments were acknowledged")
		}
	}
	close(done)
	writers.Wait()
	if starts := engine.Starts(); starts < uint64(*kills) {
		t.Errorf("the engine was started %d times under %d kills", starts, *kills)
	}
	check(t, engine, acked.Load())
}

func openStores(t *testing.T, engine *embedded.Engine, n int) (stores []*store.Store) {
	t.Helper()
	for range n {
		s, err := store.Open(t.Context(), engine.DSN(), store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		stores = append(stores, s)
	}
	return stores
}

// check compares what stands in the tables with the segments that were acknowledged.
func check(t *testing.T, engine *embedded.Engine, segments int64) {
	t.Helper()
	conn := embeddedtest.Connect(t, engine.DSN())
	const force = " SETTINGS optimize_use_projections = 1, force_optimize_projection = 1"
	for what, c := range map[string]struct {
		query string
		want  int64
	}{
		"segments":                      {"SELECT uniqExact(seg) FROM spans", segments},
		"spans":                         {"SELECT count() FROM spans WHERE NOT ignore(span_id)", segments * rows},
		"distinct spans":                {"SELECT uniqExact(span_id) FROM spans", segments * rows},
		"segments with some spans":      {"SELECT count() FROM (SELECT seg FROM spans GROUP BY seg HAVING count() != 60)", 0},
		"spans by the minute":           {"SELECT sum(n) FROM (SELECT count() AS n FROM spans GROUP BY project, toStartOfMinute(start), operation, tool, request_model)" + force, segments * rows},
		"durations by the minute":       {"SELECT sum(d) FROM (SELECT sum(duration_ns) AS d FROM spans GROUP BY project, toStartOfMinute(start), operation, tool, request_model)" + force, segments * rows * (rows - 1) / 2},
		"spans of traces":               {"SELECT sum(n) FROM (SELECT count() AS n FROM spans GROUP BY project, source, trace_id)" + force, segments * rows},
		"entries":                       {"SELECT count() FROM (SELECT seq FROM entries ORDER BY seq, hash LIMIT 1 BY seq, hash)", segments * 10},
		"entries after they are merged": {"SELECT count() FROM entries FINAL", segments * 10},
	} {
		if got := number(t, conn, c.query); got != c.want {
			t.Errorf("%s: %d, want %d", what, got, c.want)
		}
	}
	t.Logf("%d segments acknowledged, %d starts", segments, engine.Starts())
}

func number(t *testing.T, conn driver.Conn, query string) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var n any
	rows, err := conn.Query(ctx, query)
	if err != nil {
		t.Fatal(query, err)
	}
	defer rows.Close()
	for rows.Next() {
		var u uint64
		if err := rows.Scan(&u); err != nil {
			t.Fatal(query, err)
		}
		n = u
	}
	if n == nil {
		t.Fatal(query, "gave no row", rows.Err())
	}
	return int64(n.(uint64))
}

// TestMemoryLimit lets inserts fail inside an engine that lives on, at as many places as a limit of memory can make it,
// and inserts the segment again. A process that knows nothing of it does that.
func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	engine := embeddedtest.Start(t)
	wide := openStores(t, engine, 1)[0]
	failed, n := 0, int64(0)
	for limit := 200_000; limit < 40_000_000; limit += limit / 5 {
		narrow, err := store.Open(t.Context(), fmt.Sprintf("%s?max_memory_usage=%d&max_untracked_memory=1024", engine.DSN(), limit), store.Options{})
		if err != nil {
			continue // even the first question is too much
		}
		b := segment(int(n))
		b.Fresh = true
		err = narrow.Insert(t.Context(), b)
		narrow.Close()
		if err != nil {
			failed++
			// MEMORY_LIMIT_EXCEEDED, or a connection that was cut where there was no memory even to say so.
			if store.Permanent(err) {
				t.Errorf("a limit of memory passes, but this says it does not: with %d bytes: %v", limit, err)
			}
			if err := wide.Insert(t.Context(), segment(int(n))); err != nil {
				t.Fatal(err)
			}
		}
		n++
	}
	if failed < 3 || int64(failed) == n {
		t.Fatalf("%d of %d inserts failed: the limits test nothing", failed, n)
	}
	t.Logf("%d of %d inserts failed", failed, n)
	check(t, engine, n)
}
