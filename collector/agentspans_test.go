package collector

import (
	"encoding/binary"
	"fmt"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

// AgentSpans is a request of n spans of an agent as load/ makes them: twelve attributes, about 550 bytes each.
func AgentSpans(first, n int) []byte {
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	for _, key := range []string{"service.name", "service.version", "service.instance.id", "host.name", "deployment.environment.name", "telemetry.sdk.language"} {
		rs.Resource().Attributes().PutStr(key, "value of "+key)
	}
	ss := rs.ScopeSpans().AppendEmpty()
	ss.Scope().SetName("agent-runner/loop")
	for i := range n {
		id := uint64(first + i + 1)
		sp := ss.Spans().AppendEmpty()
		sp.SetTraceID(pcommon.TraceID(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, 0xa9e47), id/1200+1)))
		sp.SetSpanID(pcommon.SpanID(binary.BigEndian.AppendUint64(nil, id*0x9e3779b97f4a7c15)))
		sp.SetParentSpanID(pcommon.SpanID{1})
		sp.SetName("chat kimi-k2.6")
		sp.SetKind(ptrace.SpanKindClient)
		sp.SetStartTimestamp(pcommon.Timestamp(1_790_000_000_000_000_000 + id*1_000_003))
		sp.SetEndTimestamp(sp.StartTimestamp() + 700_000_000)
		a := sp.Attributes()
		a.PutStr("gen_ai.operation.name", "chat")
		a.PutStr("gen_ai.provider.name", "moonshot_ai")
		a.PutStr("gen_ai.request.model", "kimi-k2.6")
		a.PutStr("gen_ai.response.model", "kimi-k2.6-2026-04")
		a.PutStr("gen_ai.response.id", fmt.Sprintf("chatcmpl-%016x", id*0x9e3779b97f4a7c15))
		a.PutStr("gen_ai.conversation.id", fmt.Sprintf("conv_%016x", id/1200*77))
		a.PutStr("gen_ai.agent.id", fmt.Sprintf("agent_%08x", id/1200))
		a.PutStr("gen_ai.agent.name", "planner")
		a.PutInt("gen_ai.usage.input_tokens", int64(2000+id%120_000))
		a.PutInt("gen_ai.usage.output_tokens", int64(50+id%900))
		a.PutInt("agent.step", int64(id%1200))
		a.PutStr("agent.intent", "find where the failing assertion is raised")
	}
	body, err := ptraceotlp.NewExportRequestFromTraces(td).MarshalProto()
	if err != nil {
		panic(err)
	}
	return body
}
