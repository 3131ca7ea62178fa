package genai_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"tachograph/runner/spans/genai"
	"tachograph/schemas/chat"
)

func TestFromChat(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]string{
		`{"role":"user","content":"a <b>"}`:                  `[{"role":"user","parts":[{"type":"text","content":"a <b>"}]}]`,
		`{"role":"assistant"}`:                               `[{"role":"assistant","parts":[]}]`,
		`{"role":"assistant","content":""}`:                  `[{"role":"assistant","parts":[{"type":"text","content":""}]}]`,
		`{"role":"assistant","reasoning_content":""}`:        `[{"role":"assistant","parts":[{"type":"reasoning","content":""}]}]`,
		`{"role":"tool","content":"ok","tool_call_id":"c1"}`: `[{"role":"tool","parts":[{"type":"tool_call_response","id":"c1","response":"ok"}]}]`,
		`{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"n","arguments":"{\"a\": 1}"}}]}`: `[{"role":"assistant","parts":[{"type":"tool_call","id":"c","name":"n","arguments":{"a":1}}]}]`,
		`{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"n","arguments":"{broken"}}]}`:                      `[{"role":"assistant","parts":[{"type":"tool_call","id":"c","name":"n","arguments":"{broken"}]}]`,
		`{"role":"user","content":[{"type":"image"}]}`:                                                                      `[{"role":"unknown","parts":[{"type":"text","content":"{\"role\":\"user\",\"content\":[{\"type\":\"image\"}]}"}]}]`,
		`nonsense`: `[{"role":"unknown","parts":[{"type":"text","content":"nonsense"}]}]`,
	} {
		got, whole := genai.Messages([]genai.Message{genai.FromChat(chat.Message(message))}, 1<<20)
		if got != want || whole != len(got) {
			t.Errorf("%s:\n got %s (%d)\nwant %s", message, got, whole, want)
		}
	}
}

func TestSplitAndFinish(t *testing.T) {
	t.Parallel()
	all := []genai.Message{genai.Text("system", "be good"), genai.Text("user", "hi"), genai.Text("system", "be brief")}
	instructions, rest := genai.Split(all)
	text, _ := genai.Instructions(instructions, 1000)
	if diff := cmp.Diff(`[{"type":"text","content":"be good"},{"type":"text","content":"be brief"}]`, text); diff != "" || len(rest) != 1 {
		t.Error(diff, rest)
	}
	for in, want := range map[string]string{chat.FinishToolCalls: "tool_call", chat.FinishStop: "stop", chat.FinishFilter: "content_filter", chat.FinishOther: "other"} {
		if got := genai.FinishReason(in); got != want {
			t.Errorf("FinishReason(%s) = %s", in, got)
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ä", 1000)
	two := []genai.Message{genai.Text("user", "short"), genai.Text("user", long)}
	text, whole := genai.Messages(two, 600)
	if whole != 2116 || len(text) > 600 || !strings.Contains(text, `"short"`) || !strings.Contains(text, "bytes cut]") {
		t.Errorf("%d of %d: %s", len(text), whole, text)
	}
	var many []genai.Message
	for range 1000 {
		many = append(many, genai.Text("user", "x"))
	}
	text, whole = genai.Messages(many, 1000)
	var shown []genai.Message
	if err := json.Unmarshal([]byte(text), &shown); err != nil || len(shown) == 0 || len(text) > 1000 || whole < 40_000 {
		t.Errorf("%d messages, %d of %d bytes, %v", len(shown), len(text), whole, err)
	}
	if text, whole := genai.Messages(two, 0); text != "[]" || whole == 0 {
		t.Errorf("without room: %s of %d", text, whole)
	}
	schema := json.RawMessage(`{"description":"` + long + `"}`)
	if text, _ := genai.Definitions([]genai.Tool{{Type: "function", Name: "n", Description: "d", Parameters: schema}}, 200); text != `[{"type":"function","name":"n","description":"d"}]` {
		t.Error(text)
	}
	if got := genai.Cut("aä", 2); got != "a [… 2 bytes cut]" {
		t.Errorf("%q", got)
	}
}

func TestParseFrame(t *testing.T) {
	t.Parallel()
	f, err := genai.ParseFrame([]byte(`{"model":"m","messages":[],"tools":[{"type":"function","function":{"name":"n","parameters":{}}}],"temperature":0.5,"max_tokens":7}`), 25)
	if err != nil || len(f.Tools) != 1 || f.Tools[0].Type != "function" || *f.Temperature != 0.5 || *f.MaxTokens != 7 || f.Stream != nil {
		t.Errorf("%+v, %v", f, err)
	}
	for _, bad := range []string{``, `[]`, `{"tools":[{}]}`, `{"tools":1}`} {
		if _, err := genai.ParseFrame([]byte(bad), 0); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
	if _, err := genai.ParseFrame([]byte(`{}`), 3); err == nil {
		t.Error("a place beyond the end was taken")
	}
}

// FuzzMessage holds that every message can be shown, as JSON and within any limit.
func FuzzMessage(f *testing.F) {
	f.Add([]byte(`{"role":"assistant","content":"x","reasoning_content":"y","tool_calls":[{"id":"c","function":{"name":"n","arguments":"{}"}}]}`), 100)
	f.Add([]byte("{\"role\":\"tool\",\"content\":\"\xff\"}"), 40)
	f.Fuzz(func(t *testing.T, message []byte, limit int) {
		m := genai.FromChat(message)
		text, whole := genai.Messages([]genai.Message{m, m}, limit)
		if !json.Valid([]byte(text)) || len(text) > max(limit, 2) || whole < len(text) {
			t.Errorf("%d of %d at most %d: %q", len(text), whole, limit, text)
		}
		if utf8.Valid(message) && !utf8.ValidString(text) {
			t.Errorf("not UTF-8: %q", text)
		}
	})
}

// FuzzFrame holds that what can be read as a frame can be shown.
func FuzzFrame(f *testing.F) {
	f.Add([]byte(`{"messages":[],"tools":[{"type":"function","function":{"name":"n","description":"d","parameters":{"a":[1]}}}]}`), int64(13), 60)
	f.Fuzz(func(t *testing.T, frame []byte, at int64, limit int) {
		parsed, err := genai.ParseFrame(frame, at)
		if err != nil {
			return
		}
		text, whole := genai.Definitions(parsed.Tools, limit)
		if !json.Valid([]byte(text)) || len(text) > max(limit, 2) || whole < len(text) {
			t.Errorf("%d of %d at most %d: %q", len(text), whole, limit, text)
		}
	})
}
