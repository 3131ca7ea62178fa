package collector_test

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"tachograph/collector"
	"tachograph/collector/store/embedded/embeddedtest"
)

// TestAllKindsOfValuesAreStoredWhole does the same for what no capture has.
func TestAllKindsOfValuesAreStoredWhole(t *testing.T) {
	t.Parallel()
	s, conn, _ := database(t)
	l := collect(t, collector.Config{Store: s})
	td := oddTraces()
	body, err := ptraceotlp.NewExportRequestFromTraces(td).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	l.must(t, "/v1/traces", body)
	l.flush(t)
	if diff := cmp.Diff(sentSpans(td), storedSpans(t, conn)); diff != "" {
		t.Errorf("sent and not stored (-), stored and not sent (+):\n%s", diff)
	}
	if n := embeddedtest.Number(t, conn, "SELECT count() FROM content WHERE space = 'attribute'"); n == 0 {
		t.Error("long values are not in content")
	}
}

// oddTraces has every type of value, values that are too long for a column, numbers at the edge, attributes
// of typed columns with other types than these have, and an end before the start.
func oddTraces() ptrace.Traces {
	long := strings.Repeat("a long text, é. ", 1000)
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("service.name", "odd")
	rs.Resource().Attributes().PutStr("long", long)
	oddValues(rs.Resource().Attributes())
	ss := rs.ScopeSpans().AppendEmpty()
	ss.Scope().SetName("scope")
	ss.Scope().SetVersion("2")
	oddValues(ss.Scope().Attributes())
	for i := range 3 {
		sp := ss.Spans().AppendEmpty()
		sp.SetTraceID(pcommon.TraceID{15: byte(i + 1)})
		sp.SetSpanID(pcommon.SpanID{255, 1, 2, 3, 4, 5, 6, byte(i)})
		sp.SetStartTimestamp(1_790_000_000_000_000_123)
		sp.SetEndTimestamp(1_790_000_000_000_000_122)
		sp.SetName(long)
		sp.SetKind(ptrace.SpanKindConsumer)
		sp.TraceState().FromRaw("vendor=" + long)
		sp.SetFlags(0xffffffff)
		sp.SetDroppedAttributesCount(3)
		sp.Status().SetCode(ptrace.StatusCodeError)
		sp.Status().SetMessage(long)
		oddValues(sp.Attributes())
		sp.Attributes().PutStr("long", long)
		e := sp.Events().AppendEmpty()
		e.SetName("event")
		e.SetTimestamp(7)
		oddValues(e.Attributes())
		e.Attributes().PutStr("long", long)
		sp.Events().AppendEmpty()
		k := sp.Links().AppendEmpty()
		k.SetTraceID(pcommon.TraceID{1})
		k.SetSpanID(pcommon.SpanID{2})
		k.TraceState().FromRaw("x=y")
		k.SetFlags(1)
		oddValues(k.Attributes())
	}
	spans := ss.Spans()
	lifted := spans.At(0).Attributes() // as typed columns have them
	lifted.PutStr("gen_ai.operation.name", "chat")
	lifted.PutInt("gen_ai.usage.input_tokens", -1)
	lifted.PutInt("gen_ai.usage.output_tokens", math.MaxInt64)
	lifted.PutInt("gen_ai.usage.cache_write.input_tokens", 5)
	lifted.PutEmptySlice("gen_ai.response.finish_reasons").AppendEmpty().SetStr("stop")
	lifted.PutStr("tacho.run.id", "00000000-0000-0000-0000-000000000001")
	lifted.PutStr("gen_ai.tool.name", "")
	other := spans.At(1).Attributes() // as they do not
	other.PutInt("gen_ai.operation.name", 5)
	other.PutStr("gen_ai.usage.input_tokens", "77")
	other.PutDouble("gen_ai.usage.output_tokens", 78)
	other.PutStr("gen_ai.request.model", long)
	other.PutInt("gen_ai.usage.cache_write.input_tokens", 5)
	other.PutInt("gen_ai.usage.cache_creation.input_tokens", 6)
	other.PutStr("gen_ai.response.finish_reasons", `["stop"]`)
	other.PutStr("tacho.run.id", "another")
	return td
}

func oddValues(m pcommon.Map) {
	m.PutStr("empty", "")
	m.PutStr("", "a key of nothing")
	m.PutStr("control", "\x00\x01\u2028<&>")
	m.PutBool("bool", true)
	m.PutInt("least", math.MinInt64)
	m.PutDouble("nan", math.NaN())
	m.PutDouble("infinite", math.Inf(-1))
	m.PutDouble("tiny", math.SmallestNonzeroFloat64)
	m.PutDouble("whole", 3)
	m.PutEmpty("nothing")
	m.PutEmptyBytes("bytes").FromRaw([]byte{0, 254, 255})
	list := m.PutEmptySlice("list")
	list.AppendEmpty().SetInt(1)
	list.AppendEmpty().SetDouble(1)
	list.AppendEmpty().SetStr("\xff")
	list.AppendEmpty()
	list.AppendEmpty().SetEmptyMap().PutStr("$bytes", "not bytes")
	list.AppendEmpty().SetEmptyMap().PutEmptyBytes("inner").FromRaw([]byte{1})
	m.PutEmptyMap("map").PutEmptyMap("in").PutDouble("x", math.NaN())
}
