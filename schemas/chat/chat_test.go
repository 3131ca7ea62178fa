package chat_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"tachograph/schemas/chat"
)

func text(s string) *string { return &s }

// Messages have the form of the chat completions API, and no character is spelled otherwise than
// it must be.
func TestMessages(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		message chat.Message
		want    string
		parsed  chat.Parsed
	}{
		{chat.System("a <b> & \"c\"\n"), `{"role":"system","content":"a <b> & \"c\"\n"}`, chat.Parsed{Role: "system", Content: text("a <b> & \"c\"\n")}},
		{chat.User(""), `{"role":"user","content":""}`, chat.Parsed{Role: "user", Content: text("")}},
		{chat.ToolResult("call_1", "ok"), `{"role":"tool","content":"ok","tool_call_id":"call_1"}`,
			chat.Parsed{Role: "tool", Content: text("ok"), ToolCallID: "call_1"}},
		{chat.Assistant(chat.Parsed{Content: text("läuft"), ReasoningContent: text("")}),
			`{"role":"assistant","content":"läuft","reasoning_content":""}`,
			chat.Parsed{Role: "assistant", Content: text("läuft"), ReasoningContent: text("")}},
		{chat.Assistant(chat.Parsed{Role: "user", ToolCalls: []chat.ToolCall{{ID: "call_1", Type: "function",
			Function: chat.FunctionCall{Name: "bash", Arguments: `{"command":"ls"}`}}}}),
			`{"role":"assistant","tool_calls":[{"id":"call_1","type":"function","function":{"name":"bash","arguments":"{\"command\":\"ls\"}"}}]}`,
			chat.Parsed{Role: "assistant", ToolCalls: []chat.ToolCall{{ID: "call_1", Type: "function",
				Function: chat.FunctionCall{Name: "bash", Arguments: `{"command":"ls"}`}}}}},
	} {
		if diff := cmp.Diff(c.want, string(c.message)); diff != "" {
			t.Errorf("message (-want +got):\n%s", diff)
		}
		parsed, err := chat.Parse(c.message)
		if diff := cmp.Diff(c.parsed, parsed); err != nil || diff != "" {
			t.Errorf("%s is read as (-want +got), %v:\n%s", c.message, err, diff)
		}
	}
}

// Absent reasoning is not empty reasoning: a model that keeps it demands it back as it was.
func TestReasoningAbsentIsNotEmpty(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]*string{
		`{"role":"assistant","content":"x"}`:                            nil,
		`{"role":"assistant","content":"x","reasoning_content":""}`:     text(""),
		`{"role":"assistant","content":"x","reasoning_content":"so"}`:   text("so"),
		`{"role":"assistant","content":null,"reasoning_content":"so"}`:  text("so"),
		`{"role":"assistant","content":"x","reasoning_content":null}`:   nil,
		`{"role":"assistant","content":"x","other":{"from":"a model"}}`: nil,
	} {
		p, err := chat.Parse(chat.Message(message))
		if diff := cmp.Diff(want, p.ReasoningContent); err != nil || diff != "" {
			t.Errorf("%s: reasoning (-want +got), %v:\n%s", message, err, diff)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, message := range []string{"", "null", "{}", "[]", `"user"`, `{"role":""}`, `{"role":1}`, `{"content":"x"}`,
		`{"role":"user"`, `{"role":"user"} {}`, `{"role":"user","content":[{"type":"text"}]}`, `{"role":"assistant","tool_calls":{}}`} {
		if p, err := chat.Parse(chat.Message(message)); err == nil {
			t.Errorf("%q is read as %+v", message, p)
		}
	}
}

// A request is frame and messages, byte for byte, whatever the messages' own spelling.
func TestRequest(t *testing.T) {
	t.Parallel()
	const before, after = `{"model":"m","messages":[`, `],"stream":true}`
	frame := chat.Frame{Bytes: []byte(before + after), At: len(before)}
	odd := chat.Message(`{ "content" : "\u00e4", "role" : "user", "vendor" : 1e2 }`)
	for _, c := range []struct {
		messages []chat.Message
		want     string
	}{
		{nil, ``},
		{[]chat.Message{odd}, string(odd)},
		{[]chat.Message{chat.System("s"), odd, chat.User("u")}, string(chat.System("s")) + "," + string(odd) + "," + string(chat.User("u"))},
	} {
		request := frame.Request(c.messages)
		if diff := cmp.Diff(before+c.want+after, string(request)); diff != "" {
			t.Errorf("request (-want +got):\n%s", diff)
		}
		if !json.Valid(request) {
			t.Errorf("%s is no JSON", request)
		}
	}
	if string(frame.Bytes) != before+after {
		t.Errorf("the frame became %s", frame.Bytes)
	}
}

// What a tool wrote may be any bytes; the message is valid JSON all the same.
func TestInvalidUTF8(t *testing.T) {
	t.Parallel()
	m := chat.ToolResult("id", "a\xffb\x00\u2028")
	if !utf8.Valid(m) || !json.Valid(m) {
		t.Errorf("%q is no JSON", m)
	}
	p, err := chat.Parse(m)
	if err != nil || *p.Content != "a\ufffdb\x00\u2028" {
		t.Errorf("%+v, %v", p, err)
	}
}

// A message that is read can be written and read again to the same meaning.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"role":"assistant","content":null,"reasoning_content":"","tool_calls":[{"id":"1","type":"function","function":{"name":"bash","arguments":"{"}}]}`))
	f.Add([]byte(chat.ToolResult("call_1", "<&>\u2028")))
	f.Add([]byte(`{"ROLE":"user","role":"tool"}`))
	f.Fuzz(func(t *testing.T, m []byte) {
		p, err := chat.Parse(m)
		if err != nil {
			return
		}
		if !json.Valid(m) || p.Role == "" {
			t.Fatalf("%q is read as %+v", m, p)
		}
		again, err := chat.Parse(chat.Assistant(p))
		p.Role = "assistant"
		if len(p.ToolCalls) == 0 {
			p.ToolCalls = nil
		}
		if diff := cmp.Diff(p, again); err != nil || diff != "" {
			t.Fatalf("read again (-first +second), %v:\n%s", err, diff)
		}
		request := string(chat.Frame{Bytes: []byte("[]"), At: 1}.Request([]chat.Message{m, m}))
		if want := "[" + strings.Join([]string{string(m), string(m)}, ",") + "]"; request != want {
			t.Fatalf("request %q, want %q", request, want)
		}
	})
}
