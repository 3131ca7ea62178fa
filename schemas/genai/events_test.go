package genai_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"tachograph/schemas/genai"
)

// TestEvent reads bodies as log records have them (otel-js, Python's openai-v2), and what a stranger may send instead.
func TestEvent(t *testing.T) {
	t.Parallel()
	text := func(role, text string) genai.Message {
		return genai.Message{Role: role, Parts: []genai.Part{{Kind: genai.PartText, Text: text}}}
	}
	call := genai.Part{Kind: genai.PartCall, ID: "c1", Tool: "ls", Text: `{"p":1}`}
	result := func(text string) genai.Message {
		return genai.Message{Role: "tool", Parts: []genai.Part{{Kind: genai.PartResult, ID: "c1", Text: text}}}
	}
	for _, c := range []struct {
		name, event, body string
		want              genai.Message
	}{
		{"system", "gen_ai.system.message", `{"content":"be brief"}`, text("system", "be brief")},
		{"a role of its own", "gen_ai.system.message", `{"content":"be brief","role":"developer"}`, text("developer", "be brief")},
		{"user in parts", "gen_ai.user.message", `{"content":[{"type":"text","text":"go"}]}`, text("user", "go")},
		{"plain text", "gen_ai.user.message", "go \"on\"", text("user", "go \"on\"")},
		{"nothing", "gen_ai.user.message", "", genai.Message{Role: "user"}},
		{"nothing at all", "gen_ai.user.message", "{}", genai.Message{Role: "user"}},
		{"assistant", "gen_ai.assistant.message", `{"tool_calls":[{"id":"c1","type":"function","function":{"name":"ls","arguments":"{\"p\":1}"}}]}`,
			genai.Message{Role: "assistant", Parts: []genai.Part{call}}},
		{"tool", "gen_ai.tool.message", `{"id":"c1","content":"a b"}`, result("a b")},
		{"tool with structure", "gen_ai.tool.message", `{"id":"c1","content":{"sum":42}}`, result(`{"sum":42}`)},
		{"choice", "gen_ai.choice", `{"finish_reason":"tool_calls","index":0,"message":{"content":"hm","tool_calls":[{"id":"c1","function":{"name":"ls","arguments":{"p":1}}}]}}`,
			genai.Message{Role: "assistant", Finish: "tool_calls", Parts: []genai.Part{{Kind: genai.PartText, Text: "hm"}, call}}},
		{"choices within choices", "gen_ai.choice", `{"message":{"message":{"content":"deep"},"content":"flat"}}`, text("assistant", "flat")},
	} {
		got, ok := genai.Event(c.event, c.body)
		if diff := cmp.Diff(c.want, got); diff != "" || !ok {
			t.Errorf("%s (want -, got +):\n%s", c.name, diff)
		}
	}
	for _, c := range [][2]string{{"gen_ai.user.message", `{"content":"cut in th`}, {"gen_ai.choice", `{"message":7}`}, {"exception", `{"content":"x"}`}, {genai.EventDetails, "{}"}} {
		if m, ok := genai.Event(c[0], c[1]); ok {
			t.Errorf("%s %s is read as %+v", c[0], c[1], m)
		}
	}
}
