package store_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/google/uuid"

	"tachograph/schemas/tables"
)

// agentLoad makes spans as ../../../shared/load sends them: chat and execute_tool in turn, agents of about 1,200 spans, eight
// at once, taken apart as the collector does.
type agentLoad struct {
	rng    *rand.Rand
	agents [8]*agent
}

type agent struct {
	trace        [16]byte
	root         uint64
	name, id     string
	conversation string
	now          int64
	left, step   int
	input        int64
}

func newAgentLoad(seed uint64) *agentLoad { return &agentLoad{rng: rand.New(rand.NewPCG(seed, 0))} }

// agentSpans are the first n of a load.
func agentSpans(n int, seed uint64) []tables.Span {
	load, rows := newAgentLoad(seed), make([]tables.Span, n)
	for i := range rows {
		load.next(&rows[i])
	}
	return rows
}

func (l *agentLoad) pick(words ...string) string { return words[l.rng.IntN(len(words))] }

func (l *agentLoad) newAgent() *agent {
	return &agent{trace: [16]byte(uuid.Must(uuid.NewRandomFromReader(reader{l.rng}))), root: l.rng.Uint64(),
		name: l.pick("planner", "coder", "reviewer", "researcher", "tester"), id: fmt.Sprintf("agent_%08x", l.rng.Uint32()),
		conversation: fmt.Sprintf("conv_%016x", l.rng.Uint64()), now: 1_790_000_000e9 + l.rng.Int64N(3600e9), left: 1000 + l.rng.IntN(401)}
}

// next makes one row.
func (l *agentLoad) next(r *tables.Span) {
	slot := l.rng.IntN(len(l.agents))
	a := l.agents[slot]
	if a == nil {
		a = l.newAgent()
		l.agents[slot] = a
	}
	if a.left--; a.left == 0 {
		l.agents[slot] = nil
	}
	r.Reset()
	r.Project, r.Source, r.TraceID, r.SpanID, r.ParentSpanID, r.Flags = "default", tables.SourceOTLP, a.trace, l.rng.Uint64(), a.root, 1
	r.Start, r.DurationNS = a.now, uint64(20e6+l.rng.Int64N(6e9))
	a.now += int64(r.DurationNS)
	r.Service, r.ScopeName, r.ScopeVersion = "agent-runner", "agent-runner/loop", "1.4.2"
	r.Resource = `{"service.name":"agent-runner","service.version":"1.4.2","service.instance.id":"runner-003-0badcafe","host.name":"node-03.agents.internal","deployment.environment.name":"production","telemetry.sdk.language":"go"}`
	r.ConversationID, r.AgentID, r.Agent = a.conversation, a.id, a.name
	r.Lifted = 1<<tables.LiftOperation | 1<<tables.LiftConversationID | 1<<tables.LiftAgentID | 1<<tables.LiftAgent
	r.Attributes = append(r.Attributes, tables.Attr{Key: "agent.step", Value: strconv.Itoa(a.step), Type: tables.TypeInt},
		tables.Attr{Key: "agent.intent", Value: l.pick("find where the failing assertion is raised", "rewrite the hot loop without allocations", "compare the measured latency with the budget",
			"collect sources that support the claim", "roll the schema change back and try again", "write a regression test for the parser")})
	switch {
	case a.left == 0:
		r.Name, r.Kind, r.Operation, r.ParentSpanID, r.SpanID = "invoke_agent "+a.name, 1, "invoke_agent", 0, a.root
	case a.left%2 == 1:
		l.chat(a, r)
	default:
		l.call(a, r)
	}
}

func (l *agentLoad) chat(a *agent, r *tables.Span) {
	a.step++
	r.Name, r.Kind, r.Operation, r.Provider, r.RequestModel, r.ResponseModel = "chat kimi-k2.6", 3, "chat", "moonshot_ai", "kimi-k2.6", "kimi-k2.6-2026-04"
	r.ResponseID, r.OutputTokens = fmt.Sprintf("chatcmpl-%016x", l.rng.Uint64()), 50+l.rng.Int64N(900)
	a.input = 2000 + (a.input+r.OutputTokens)%120_000
	r.InputTokens = a.input
}

func (l *agentLoad) call(a *agent, r *tables.Span) {
	r.Tool = l.pick("bash", "read_file", "edit_file", "search_code", "run_tests", "http_get", "git_diff", "sql_query")
	r.Name, r.Kind, r.Operation, r.ToolCallID = "execute_tool "+r.Tool, 1, "execute_tool", fmt.Sprintf("call_%016x", l.rng.Uint64())
	r.Attributes = append(r.Attributes, tables.Attr{Key: "gen_ai.tool.type", Value: "function"},
		tables.Attr{Key: "gen_ai.tool.call.arguments", Value: fmt.Sprintf(`{"path":%q,"line":%d,"limit":%d}`, l.pick("internal/store/writer.go", "internal/api/handler.go", "cmd/server/main.go", "docs/design.md", "web/src/trace.ts"), l.rng.IntN(3000), 1+l.rng.IntN(400))})
	if l.rng.IntN(50) == 0 {
		r.StatusCode, r.StatusMessage = 2, "tool exited with status 1"
		r.Events = append(r.Events, tables.Event{Time: a.now, Name: "exception", Attributes: []tables.Attr{{Key: "exception.type", Value: "ToolError"}, {Key: "exception.message", Value: r.Tool + ": no such file: docs/design.md"}}})
	}
}

type reader struct{ rng *rand.Rand }

func (r reader) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(r.rng.Uint32())
	}
	return len(p), nil
}
