package dialect

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"tachograph/collector/otlp"
	"tachograph/schemas/tables"
)

// TestOthersAreRead reads spans of other dialects into columns, and only where nothing else says it.
func TestOthersAreRead(t *testing.T) {
	t.Parallel()
	text := func(key, v string) otlp.Attr {
		return otlp.Attr{Key: key, Value: otlp.Value{Type: otlp.String, Text: v}}
	}
	for _, c := range []struct {
		name   string
		attrs  []otlp.Attr
		before func(*tables.Span)
		want   func(*tables.Span)
	}{
		{"Vercel, a model call", []otlp.Attr{text("ai.operationId", "ai.streamText.doStream"), text("ai.telemetry.functionId", "plan"), text("ai.usage.cachedInputTokens", "3"), text("ai.model.id", "m")},
			nil, func(s *tables.Span) { s.Operation, s.Agent, s.CachedTokens, s.RequestModel = "chat", "plan", 3, "m" }},
		{"Vercel, an agent", []otlp.Attr{text("ai.operationId", "ai.generateObject")}, nil, func(s *tables.Span) { s.Operation = "invoke_agent" }},
		{"Vercel, a tool", []otlp.Attr{text("ai.operationId", "ai.toolCall"), text("ai.toolCall.name", "ls"), text("ai.toolCall.id", "c1")},
			nil, func(s *tables.Span) { s.Operation, s.Tool, s.ToolCallID = "execute_tool", "ls", "c1" }},
		{"Vercel, outer embedding", []otlp.Attr{text("ai.operationId", "ai.embed")}, nil, func(*tables.Span) {}},
		{"Vercel, inner embedding", []otlp.Attr{text("ai.operationId", "ai.embedMany.doEmbed"), text("ai.usage.tokens", "8")},
			nil, func(s *tables.Span) { s.Operation, s.InputTokens = "embeddings", 8 }},
		{"traceloop, a tool", []otlp.Attr{text("traceloop.span.kind", "tool")}, func(s *tables.Span) { s.Name = "ls.tool" },
			func(s *tables.Span) { s.Name, s.Operation, s.Tool = "ls.tool", "execute_tool", "ls" }},
		{"traceloop, a task is a plain span", []otlp.Attr{text("traceloop.span.kind", "task")}, nil, func(*tables.Span) {}},
		{"OpenInference", []otlp.Attr{text("openinference.span.kind", "LLM"), text("llm.model_name", "m"), text("llm.token_count.prompt", "5")},
			nil, func(s *tables.Span) { s.Operation, s.RequestModel, s.InputTokens = "chat", "m", 5 }},
		{"what the conventions say stays", []otlp.Attr{text("ai.operationId", "ai.toolCall"), text("ai.model.id", "other"), text("ai.usage.inputTokens", "9")},
			func(s *tables.Span) { s.Operation, s.RequestModel, s.InputTokens = "chat", "m", 1 },
			func(s *tables.Span) { s.Operation, s.RequestModel, s.InputTokens = "chat", "m", 1 }},
		{"no text", []otlp.Attr{{Key: "ai.operationId", Value: otlp.Value{Type: otlp.Int}}, {Key: "ai", Value: otlp.Value{Type: otlp.String, Text: "x"}}}, nil, func(*tables.Span) {}},
	} {
		var got, want tables.Span
		got.Reset()
		want.Reset()
		if c.before != nil {
			c.before(&got)
		}
		for i := range c.attrs {
			readOld(&got, &c.attrs[i])
		}
		c.want(&want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (want -, got +):\n%s", c.name, diff)
		}
	}
}
