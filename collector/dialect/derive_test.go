package dialect_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"tachograph/collector/dialect"
	"tachograph/collector/otlp"
	"tachograph/schemas/tables"
)

// spansOnly keeps copies of the rows of spans. Any other call is an error of the test: the embedded interface is nil.
type spansOnly struct {
	dialect.Rows
	spans []tables.Span
}

func (r *spansOnly) Span(s *tables.Span) {
	c := *s
	c.Attributes = slices.Clone(s.Attributes)
	r.spans = append(r.spans, c)
}

func (r *spansOnly) Content(*tables.Content) {}

func write(t *testing.T, body []byte) []tables.Span {
	t.Helper()
	var rows spansOnly
	if err := dialect.NewWriter(&rows).Request(otlp.Traces, "default", time.UnixMilli(1), body, nil); err != nil {
		t.Fatal(err)
	}
	return rows.spans
}

// TestDerivedFromCaptures holds what real clients' spans are taken to mean.
func TestDerivedFromCaptures(t *testing.T) {
	t.Parallel()
	for client, want := range map[string][]string{
		"vercel-ai-7-genai": {`chat kimi-k2.6: derived "Check the plan."`, `chat kimi-k2.6: derived "Check the plan."`, `chat kimi-k2.6: derived "Check the plan."`, `chat kimi-k2.6: derived "Main risk: the plan has no rollback step."`, `chat kimi-k2.6: derived "The plan holds: the sum is 42, the unit suite fails in one case, and the main risk is the missing rollback step."`, `chat kimi-k2.6: derived "Summarise the plan, streamed."`, `chat kimi-k2.6: derived "The plan holds: the sum is 42, the unit suite fails in one case, and the main risk is the missing rollback step."`, `chat broken-model: derived "This call fails."`},
		"traceloop-openai":  {`chat kimi-k2.6: derived "Check the plan."`, `chat kimi-k2.6: derived "Check the plan."`, `chat kimi-k2.6: derived "Check the plan."`, `chat kimi-k2.6: derived "Main risk: the plan has no rollback step."`, `chat kimi-k2.6: derived "The plan holds: the sum is 42, the unit suite fails in one case, and the main risk is the missing rollback step."`, `chat kimi-k2.6: derived "The plan holds: the sum is 42, the unit suite fails in one case, and the main risk is the missing rollback step."`},
		// No messages on spans, only in log records.
		"otel-js-openai": {`chat kimi-k2.6:  ""`, `chat kimi-k2.6:  ""`, `chat kimi-k2.6:  ""`, `chat kimi-k2.6:  ""`, `chat kimi-k2.6:  ""`, `chat kimi-k2.6:  ""`, `chat broken-model:  ""`},
	} {
		files, err := filepath.Glob("../testdata/captures/" + client + "/*traces.pb")
		if err != nil || len(files) != 1 {
			t.Fatal(files, err)
		}
		body, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range write(t, body) {
			if s.IntentText != "" || s.Operation == "chat" {
				got = append(got, fmt.Sprintf("%s: %s %q", s.Name, s.IntentSource, s.IntentText))
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s:\n%s", client, diff)
		}
	}
}

// TestDerive holds which spans get an intent, and that their attributes stay as they were.
func TestDerive(t *testing.T) {
	t.Parallel()
	const asked = `[{"role":"user","parts":[{"type":"text","content":"mend it"}]}]`
	const answered = `[{"role":"assistant","parts":[{"type":"text","content":"I look first"}],"finish_reason":"tool_call"}]`
	const calls = `[{"role":"assistant","parts":[{"type":"tool_call","name":"ls","arguments":{}}]}]`
	long := `[{"role":"assistant","parts":[{"type":"text","content":"` + strings.Repeat("ä", 5000) + `"}]}]`
	for _, c := range []struct {
		name                 string
		attributes           map[string]any
		wantText, wantSource string
	}{
		{"answer", map[string]any{"gen_ai.operation.name": "chat", "gen_ai.input.messages": asked, "gen_ai.output.messages": answered}, "I look first", "derived"},
		{"answer without text", map[string]any{"gen_ai.operation.name": "chat", "gen_ai.input.messages": asked, "gen_ai.output.messages": calls}, "mend it", "derived"},
		{"tool", map[string]any{"gen_ai.operation.name": "execute_tool", "gen_ai.input.messages": asked}, "mend it", "derived"},
		{"structured", map[string]any{"gen_ai.operation.name": "chat", "gen_ai.output.messages": []any{map[string]any{"role": "assistant", "parts": []any{map[string]any{"type": "text", "content": "so"}}}}}, "so", "derived"},
		{"long", map[string]any{"gen_ai.operation.name": "chat", "gen_ai.output.messages": long}, strings.Repeat("ä", 256), "derived"},
		{"agent", map[string]any{"gen_ai.operation.name": "invoke_agent", "gen_ai.input.messages": asked}, "", ""},
		{"declared", map[string]any{"gen_ai.operation.name": "chat", "gen_ai.output.messages": answered, "tacho.intent.text": "why", "tacho.intent.source": "declared"}, "why", "declared"},
		{"declared without saying so", map[string]any{"gen_ai.operation.name": "execute_tool", "tacho.intent.text": "why"}, "why", "declared"},
		{"ours", map[string]any{"gen_ai.operation.name": "chat", "gen_ai.output.messages": answered, "tacho.run.id": "00010203-0405-0607-0809-0a0b0c0d0e0f"}, "", ""},
		{"no messages", map[string]any{"gen_ai.operation.name": "chat", "gen_ai.output.messages": int64(7)}, "", ""},
	} {
		req := ptraceotlp.NewExportRequest()
		span := req.Traces().ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty()
		span.SetTraceID(pcommon.TraceID{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})
		span.SetSpanID(pcommon.SpanID{1})
		if err := span.Attributes().FromRaw(c.attributes); err != nil {
			t.Fatal(err)
		}
		body, err := req.MarshalProto()
		if err != nil {
			t.Fatal(err)
		}
		row := write(t, body)[0]
		if row.IntentText != c.wantText || row.IntentSource != c.wantSource {
			t.Errorf("%s: %s %q, want %s %q", c.name, row.IntentSource, row.IntentText, c.wantSource, c.wantText)
		}
		if _, sent := c.attributes["tacho.intent.text"]; !sent && row.Lifted&(1<<tables.LiftIntentText|1<<tables.LiftIntentSource) != 0 {
			t.Errorf("%s: an intent that was not sent is marked as sent", c.name)
		}
		for _, key := range []string{"gen_ai.input.messages", "gen_ai.output.messages"} {
			_, sent := c.attributes[key]
			if kept := slices.ContainsFunc(row.Attributes, func(a tables.Attr) bool { return a.Key == key }); kept != sent {
				t.Errorf("%s: %s sent %v, kept %v", c.name, key, sent, kept)
			}
		}
	}
}
