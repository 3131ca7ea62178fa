package store_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"tachograph/collector/store"
	"tachograph/schemas/tables"
)

// agentSpans are spans as ../../../shared/load sends them: chat and execute_tool in turn, agents of about 1,200 spans, eight
// at once, taken apart as the collector does.
func agentSpans(n int, seed uint64) []tables.Span {
	rng := rand.New(rand.NewPCG(seed, 0))
	type agent struct {
		trace        [16]byte
		root         uint64
		name, id     string
		conversation string
		now          int64
		left, step   int
		input        int64
	}
	pick := func(words ...string) string { return words[rng.IntN(len(words))] }
	agents := make([]*agent, 8)
	rows := make([]tables.Span, n)
	for i := range rows {
		slot := rng.IntN(len(agents))
		a := agents[slot]
		if a == nil {
			a = &agent{trace: [16]byte(uuid.Must(uuid.NewRandomFromReader(reader{rng}))), root: rng.Uint64(), name: pick("planner", "coder", "reviewer", "researcher", "tester"),
				id: fmt.Sprintf("agent_%08x", rng.Uint32()), conversation: fmt.Sprintf("conv_%016x", rng.Uint64()), now: 1_790_000_000e9 + rng.Int64N(3600e9), left: 1000 + rng.IntN(401)}
			agents[slot] = a
		}
		if a.left--; a.left == 0 {
			agents[slot] = nil
		}
		r := &rows[i]
		r.Reset()
		r.Project, r.Source, r.TraceID, r.SpanID, r.ParentSpanID, r.Flags = "default", tables.SourceOTLP, a.trace, rng.Uint64(), a.root, 1
		r.Start, r.DurationNS = a.now, uint64(20e6+rng.Int64N(6e9))
		a.now += int64(r.DurationNS)
		r.Service, r.ScopeName, r.ScopeVersion = "agent-runner", "agent-runner/loop", "1.4.2"
		r.Resource = `{"service.name":"agent-runner","service.version":"1.4.2","service.instance.id":"runner-003-0badcafe","host.name":"node-03.agents.internal","deployment.environment.name":"production","telemetry.sdk.language":"go"}`
		r.ConversationID, r.AgentID, r.Agent = a.conversation, a.id, a.name
		r.Lifted = 1<<tables.LiftOperation | 1<<tables.LiftConversationID | 1<<tables.LiftAgentID | 1<<tables.LiftAgent
		r.Attributes = append(r.Attributes, tables.Attr{Key: "agent.step", Value: strconv.Itoa(a.step), Type: tables.TypeInt},
			tables.Attr{Key: "agent.intent", Value: pick("find where the failing assertion is raised", "rewrite the hot loop without allocations", "compare the measured latency with the budget",
				"collect sources that support the claim", "roll the schema change back and try again", "write a regression test for the parser")})
		switch {
		case a.left == 0:
			r.Name, r.Kind, r.Operation, r.ParentSpanID, r.SpanID = "invoke_agent "+a.name, 1, "invoke_agent", 0, a.root
		case a.left%2 == 1:
			a.step++
			r.Name, r.Kind, r.Operation, r.Provider, r.RequestModel, r.ResponseModel = "chat kimi-k2.6", 3, "chat", "moonshot_ai", "kimi-k2.6", "kimi-k2.6-2026-04"
			r.ResponseID, r.OutputTokens = fmt.Sprintf("chatcmpl-%016x", rng.Uint64()), 50+rng.Int64N(900)
			a.input = 2000 + (a.input+r.OutputTokens)%120_000
			r.InputTokens = a.input
		default:
			r.Tool = pick("bash", "read_file", "edit_file", "search_code", "run_tests", "http_get", "git_diff", "sql_query")
			r.Name, r.Kind, r.Operation, r.ToolCallID = "execute_tool "+r.Tool, 1, "execute_tool", fmt.Sprintf("call_%016x", rng.Uint64())
			r.Attributes = append(r.Attributes, tables.Attr{Key: "gen_ai.tool.type", Value: "function"},
				tables.Attr{Key: "gen_ai.tool.call.arguments", Value: fmt.Sprintf(`{"path":%q,"line":%d,"limit":%d}`, pick("internal/store/writer.go", "internal/api/handler.go", "cmd/server/main.go", "docs/design.md", "web/src/trace.ts"), rng.IntN(3000), 1+rng.IntN(400))})
			if rng.IntN(50) == 0 {
				r.StatusCode, r.StatusMessage = 2, "tool exited with status 1"
				r.Events = append(r.Events, tables.Event{Time: a.now, Name: "exception", Attributes: []tables.Attr{{Key: "exception.type", Value: "ToolError"}, {Key: "exception.message", Value: r.Tool + ": no such file: docs/design.md"}}})
			}
		}
	}
	return rows
}

type reader struct{ rng *rand.Rand }

func (r reader) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(r.rng.Uint32())
	}
	return len(p), nil
}

// cpu is what this process has used, in seconds.
func cpu(tb testing.TB) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

// BenchmarkInsertPaths compares ways to insert the same spans, in one run: batches of 10,000 rows of 23 columns and one map,
// over HTTP. The last one is how the store does it, with all 80 columns. It reports CPU of this process and of the engine,
// in µs a row. (Arrow is not among them: its module is not ours yet. PROBES had it between columnar and Native.)
func BenchmarkInsertPaths(b *testing.B) {
	const size = 10_000
	dsn := database(b)
	s := open(b, dsn, store.Options{})
	conn := connect(b, dsn)
	rows := agentSpans(size, 1)
	maps := make([]map[string]string, size)
	for i := range rows {
		maps[i] = map[string]string{}
		for _, a := range rows[i].Attributes {
			maps[i][a.Key] = a.Value
		}
	}
	names := "project, source, trace_id, span_id, parent_span_id, start, duration_ns, early_end_ns, name, kind, service, operation, provider, request_model, response_id, conversation_id, agent, tool, tool_call_id, input_tokens, output_tokens, resource, received, attributes"
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
	return float64(number(b, conn, "SELECT sum(value) FROM system.events WHERE event = 'OSCPUVirtualTimeMicroseconds'")) / 1e6
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
	dsn := database(b)
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
	conn := connect(b, dsn)
	parts := func(of string) float64 {
		return float64(number(b, conn, "SELECT sum("+of+") FROM system.parts WHERE active AND database = currentDatabase() AND table = 'spans'"))
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
