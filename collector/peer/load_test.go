package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

// The load: a fixed, seeded stream of agent spans. A connection is one agent process, with one resource and eight agents at
// work at once. An agent is one trace of 1,000 to 1,400 spans, chat and execute_tool in turn with 10 to 12 attributes, and an
// invoke_agent root, exported last; 2 % of the tool spans fail with an exception event. About 546 bytes a span.
const (
	loadConnections = 8
	loadRequest     = 512 // spans, as the SDK's batch processor sends them
	loadAgents      = 8
)

var (
	loadTools   = []string{"bash", "read_file", "edit_file", "search_code", "run_tests", "http_get", "git_diff", "sql_query"}
	loadNames   = []string{"planner", "coder", "reviewer", "researcher", "tester"}
	loadIntents = []string{
		"find where the failing assertion is raised", "rewrite the hot loop without allocations", "compare the measured latency with the budget",
		"collect sources that support the claim", "roll the schema change back and try again", "write a regression test for the parser",
	}
	loadPaths = []string{"internal/store/writer.go", "internal/api/handler.go", "cmd/server/main.go", "docs/design.md", "web/src/trace.ts"}
)

// loadStart is the time of the first span: recent enough for tables that forget what is old.
func loadStart() time.Time { return time.Now().Add(-2 * time.Hour).Truncate(time.Hour) }

// encodeLoad makes the requests of each connection, encoded before any clock starts. intent is the key under which a span
// says why; with "tacho.intent.text" our collector makes vectors of it.
func encodeLoad(spans int, seed uint64, intent string) [loadConnections][][]byte {
	var load [loadConnections][][]byte
	var encoders sync.WaitGroup
	start := loadStart()
	for i := range load {
		encoders.Go(func() {
			p := &loadProcess{rng: rand.New(rand.NewPCG(seed, uint64(i))), start: start, intent: intent}
			load[i] = p.requests(i, spans/loadConnections)
		})
	}
	encoders.Wait()
	return load
}

type loadProcess struct {
	rng    *rand.Rand
	start  time.Time
	intent string
	agents [loadAgents]*loadAgent
}

type loadAgent struct {
	trace                  pcommon.TraceID
	root                   pcommon.SpanID
	name, conversation, id string
	began, now             time.Time
	left, step             int
	input                  int64
}

func (p *loadProcess) requests(connection, n int) (encoded [][]byte) {
	instance, node := fmt.Sprintf("runner-%03d-%08x", connection, p.rng.Uint32()), fmt.Sprintf("node-%02d.agents.internal", connection)
	for ; n > 0; n -= loadRequest {
		traces := ptrace.NewTraces()
		group := traces.ResourceSpans().AppendEmpty()
		for _, pair := range [][2]string{{"service.name", "agent-runner"}, {"service.version", "1.4.2"}, {"service.instance.id", instance},
			{"host.name", node}, {"deployment.environment.name", "production"}, {"telemetry.sdk.language", "go"}} {
			group.Resource().Attributes().PutStr(pair[0], pair[1])
		}
		scope := group.ScopeSpans().AppendEmpty()
		scope.Scope().SetName("agent-runner/loop")
		scope.Scope().SetVersion("1.4.2")
		for range min(n, loadRequest) {
			p.span(scope.Spans().AppendEmpty())
		}
		body, err := ptraceotlp.NewExportRequestFromTraces(traces).MarshalProto()
		if err != nil {
			panic(err) // nothing in it can fail to encode
		}
		encoded = append(encoded, body)
	}
	return encoded
}

// spanID is anything but the zeros that mean none.
func (p *loadProcess) spanID() (id pcommon.SpanID) {
	binary.BigEndian.PutUint64(id[:], p.rng.Uint64()|1)
	return id
}

func (p *loadProcess) pick(from []string) string { return from[p.rng.IntN(len(from))] }

func (p *loadProcess) newAgent() *loadAgent {
	a := &loadAgent{root: p.spanID(), name: p.pick(loadNames), conversation: fmt.Sprintf("conv_%016x", p.rng.Uint64()),
		id: fmt.Sprintf("agent_%08x", p.rng.Uint32()), began: p.start.Add(time.Duration(p.rng.Int64N(int64(time.Hour)))), left: 1000 + p.rng.IntN(401), input: 2000}
	binary.BigEndian.PutUint64(a.trace[:8], p.rng.Uint64())
	binary.BigEndian.PutUint64(a.trace[8:], p.rng.Uint64())
	a.now = a.began
	return a
}

func (p *loadProcess) span(s ptrace.Span) {
	slot := p.rng.IntN(loadAgents)
	a := p.agents[slot]
	if a == nil {
		a = p.newAgent()
		p.agents[slot] = a
	}
	a.left--
	s.SetTraceID(a.trace)
	s.SetSpanID(p.spanID())
	s.SetParentSpanID(a.root)
	s.SetFlags(1)
	s.SetStartTimestamp(pcommon.NewTimestampFromTime(a.now))
	a.now = a.now.Add(20*time.Millisecond + time.Duration(p.rng.Int64N(int64(6*time.Second))))
	s.SetEndTimestamp(pcommon.NewTimestampFromTime(a.now))
	switch {
	case a.left == 0:
		p.agents[slot] = nil
		p.root(a, s)
	case a.left%2 == 1:
		p.chat(a, s)
	default:
		p.call(a, s)
	}
	at := s.Attributes()
	at.PutStr("gen_ai.conversation.id", a.conversation)
	at.PutStr("gen_ai.agent.id", a.id)
	at.PutStr("gen_ai.agent.name", a.name)
	at.PutInt("agent.step", int64(a.step))
	at.PutStr(p.intent, p.pick(loadIntents))
}

func (p *loadProcess) root(a *loadAgent, s ptrace.Span) {
	s.SetName("invoke_agent " + a.name)
	s.SetKind(ptrace.SpanKindInternal)
	s.SetSpanID(a.root)
	s.SetParentSpanID(pcommon.SpanID{})
	s.SetStartTimestamp(pcommon.NewTimestampFromTime(a.began))
	s.Attributes().PutStr("gen_ai.operation.name", "invoke_agent")
	s.Attributes().PutStr("gen_ai.provider.name", "moonshot_ai")
	s.Attributes().PutStr("gen_ai.request.model", "kimi-k2.6")
}

func (p *loadProcess) chat(a *loadAgent, s ptrace.Span) {
	a.step++
	out := 50 + p.rng.Int64N(900)
	a.input = 2000 + (a.input+out)%120_000 // the context grows and is compacted
	s.SetName("chat kimi-k2.6")
	s.SetKind(ptrace.SpanKindClient)
	at := s.Attributes()
	at.PutStr("gen_ai.operation.name", "chat")
	at.PutStr("gen_ai.provider.name", "moonshot_ai")
	at.PutStr("gen_ai.request.model", "kimi-k2.6")
	at.PutStr("gen_ai.response.model", "kimi-k2.6-2026-04")
	at.PutStr("gen_ai.response.id", fmt.Sprintf("chatcmpl-%016x", p.rng.Uint64()))
	at.PutInt("gen_ai.usage.input_tokens", a.input)
	at.PutInt("gen_ai.usage.output_tokens", out)
}

func (p *loadProcess) call(_ *loadAgent, s ptrace.Span) {
	tool := p.pick(loadTools)
	s.SetName("execute_tool " + tool)
	s.SetKind(ptrace.SpanKindInternal)
	at := s.Attributes()
	at.PutStr("gen_ai.operation.name", "execute_tool")
	at.PutStr("gen_ai.tool.name", tool)
	at.PutStr("gen_ai.tool.type", "function")
	at.PutStr("gen_ai.tool.call.id", fmt.Sprintf("call_%016x", p.rng.Uint64()))
	at.PutStr("gen_ai.tool.call.arguments", fmt.Sprintf(`{"path":%q,"line":%d,"limit":%d}`, p.pick(loadPaths), p.rng.IntN(3000), 1+p.rng.IntN(400)))
	if p.rng.IntN(50) == 0 {
		s.Status().SetCode(ptrace.StatusCodeError)
		s.Status().SetMessage("tool exited with status 1")
		e := s.Events().AppendEmpty()
		e.SetTimestamp(s.EndTimestamp())
		e.SetName("exception")
		e.Attributes().PutStr("exception.type", "ToolError")
		e.Attributes().PutStr("exception.message", tool+": no such file: "+p.pick(loadPaths))
	}
}
