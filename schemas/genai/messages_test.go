package genai_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"tachograph/schemas/genai"
)

func TestParse(t *testing.T) {
	t.Parallel()
	text := func(s string) genai.Part { return genai.Part{Kind: genai.PartText, Text: s} }
	for _, c := range []struct {
		name, text string
		want       []genai.Message
	}{
		{"conventions", `[{"role":"user","parts":[{"type":"text","content":"go"}]},{"role":"assistant","finish_reason":"tool_call","parts":[{"type":"reasoning","content":"hm"},
			{"type":"tool_call","id":"1","name":"ls","arguments":{"path":"."}},{"type":"blob","content":"eA=="}]},{"role":"tool","parts":[{"type":"tool_call_response","id":"1","response":"a b"}]}]`,
			[]genai.Message{{Role: "user", Parts: []genai.Part{text("go")}},
				{Role: "assistant", Finish: "tool_call", Parts: []genai.Part{{Kind: genai.PartReasoning, Text: "hm"}, {Kind: genai.PartCall, Text: `{"path":"."}`, ID: "1", Tool: "ls"}, {Kind: genai.PartOther, Text: "blob"}}},
				{Role: "tool", Parts: []genai.Part{{Kind: genai.PartResult, Text: "a b", ID: "1"}}}}},
		{"OpenAI", `[{"role":"assistant","content":null,"reasoning_content":"hm","tool_calls":[{"id":"1","type":"function","function":{"name":"ls","arguments":"{\"path\":\".\"}"}}]},
			{"role":"tool","tool_call_id":"1","content":"a b"},{"role":"user","content":[{"type":"text","text":"and?"},{"type":"image_url"}]}]`,
			[]genai.Message{{Role: "assistant", Parts: []genai.Part{{Kind: genai.PartReasoning, Text: "hm"}, {Kind: genai.PartCall, Text: `{"path":"."}`, ID: "1", Tool: "ls"}}},
				{Role: "tool", Parts: []genai.Part{{Kind: genai.PartResult, Text: "a b", ID: "1"}}},
				{Role: "user", Parts: []genai.Part{text("and?"), {Kind: genai.PartOther, Text: "image_url"}}}}},
		{"Vercel", `[{"role":"assistant","content":[{"type":"tool-call","toolCallId":"1","toolName":"add","input":{"a":1}}]},
			{"role":"tool","content":[{"type":"tool-result","toolCallId":"1","toolName":"add","output":{"type":"json","value":{"sum":2}}}]}]`,
			[]genai.Message{{Role: "assistant", Parts: []genai.Part{{Kind: genai.PartCall, Text: `{"a":1}`, ID: "1", Tool: "add"}}},
				{Role: "tool", Parts: []genai.Part{{Kind: genai.PartResult, Text: `{"sum":2}`, ID: "1", Tool: "add"}}}}},
		{"one message, reasoning as otel-js writes it", `{"parts":[{"type":"reasoning","text":"hm"},"bare"]}`,
			[]genai.Message{{Parts: []genai.Part{{Kind: genai.PartReasoning, Text: "hm"}, text("bare")}}}},
		{"what is none is left out", `[7,"s",{"role":1},{"role":"user","content":{"a":1}}]`, []genai.Message{{Role: "user"}}},
	} {
		got, err := genai.Parse(c.text)
		if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
			t.Errorf("%s (%v, want -, got +):\n%s", c.name, err, diff)
		}
	}
	if _, err := genai.Parse(`[{"role":"user","content":"cut`); err == nil {
		t.Error("cut messages are read as if they were whole")
	}
}

// FuzzParse holds that no text makes it panic, or gives more than the text has.
func FuzzParse(f *testing.F) {
	f.Add(`[{"role":"user","parts":[{"type":"text","content":"a"}]}]`)
	f.Add(`{"content":[{"type":"tool-result","output":{"type":"json","value":[]}}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		messages, err := genai.Parse(text)
		parts := 0
		for _, m := range messages {
			parts += len(m.Parts)
		}
		if err != nil && messages != nil || parts > len(text) {
			t.Errorf("%d messages, %d parts (%v)", len(messages), parts, err)
		}
	})
}
