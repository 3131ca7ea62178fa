package inference_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"tachograph/inference"
	"tachograph/schemas/chat"
)

// canned is a transport that answers every request with the same bytes: what the loopback server
// does, without the network, for the many inputs of a fuzz test.
type canned []byte

func (c canned) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(c)), Request: r,
	}, nil
}

// askCanned reads one answer, without further tries.
func askCanned(t testing.TB, answer []byte, watch func(chat.Delta)) (chat.Answer, error) {
	t.Helper()
	m, err := inference.Open("kimi/test", inference.Config{
		Env: env("KIMI_API_KEY", testKey), HTTP: &http.Client{Transport: canned(answer)},
		Retry: inference.Retry{Tries: 1}, Idle: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	f, err := m.Frame(nil, inference.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return m.Ask(t.Context(), f, []chat.Message{chat.User("hello"), chat.User("again")}, watch)
}

func whole(message, finish string) string {
	return fmt.Sprintf(`{"id":"a","choices":[{"index":0,"message":%s,"finish_reason":%q}]}`, message, finish)
}

// callDelta is a chunk with pieces of calls.
func callDelta(pieces ...string) string {
	return piece(`{"tool_calls":[` + strings.Join(pieces, ",") + `]}`)
}

func TestMessages(t *testing.T) {
	t.Parallel()
	call := func(id, name, args string) string {
		return fmt.Sprintf(`{"id":%q,"type":"function","function":{"name":%q,"arguments":%q}}`, id, name, args)
	}
	with := func(calls ...string) string {
		return `{"role":"assistant","tool_calls":[` + strings.Join(calls, ",") + `]}`
	}
	var ten, tenWant []string
	for i := range 10 {
		ten = append(ten, callDelta(fmt.Sprintf(`{"index":%d,"id":"c%d","function":{"name":"read","arguments":"{\"n\":"}}`, i, i)))
		tenWant = append(tenWant, call(fmt.Sprintf("c%d", i), "read", fmt.Sprintf(`{"n":%d}`, i)))
	}
	for i := range 10 { // the ends of the arguments, the last call's first
		ten = append(ten, callDelta(fmt.Sprintf(`{"index":%d,"function":{"arguments":"%d}"}}`, 9-i, 9-i)))
	}
	ten = append(ten, finish("tool_calls"))

	for name, tc := range map[string]struct {
		answer, want string
		finish       string
	}{
		"reasoning absent": {stream(piece(`{"content":"x"}`), finish("stop")),
			`{"role":"assistant","content":"x"}`, chat.FinishStop},
		"reasoning empty": {stream(piece(`{"reasoning_content":""}`), piece(`{"content":"x"}`), finish("stop")),
			`{"role":"assistant","content":"x","reasoning_content":""}`, chat.FinishStop},
		"reasoning null": {stream(piece(`{"reasoning_content":null}`), piece(`{"content":"x"}`), finish("stop")),
			`{"role":"assistant","content":"x"}`, chat.FinishStop},
		"reasoning absent, whole": {whole(`{"role":"assistant","content":"x"}`, "stop"),
			`{"role":"assistant","content":"x"}`, chat.FinishStop},
		"reasoning empty, whole": {whole(`{"role":"assistant","content":"x","reasoning_content":""}`, "stop"),
			`{"role":"assistant","content":"x","reasoning_content":""}`, chat.FinishStop},
		"reasoning null, whole": {whole(`{"role":"assistant","content":"x","reasoning_content":null}`, "stop"),
			`{"role":"assistant","content":"x"}`, chat.FinishStop},
		"escapes as they came": {stream(piece(`{"reasoning_content":"\u003ca\u003e <b> é \u00e9 \/ \u2028"}`), piece(`{"content":"\u0041"}`), finish("stop")),
			`{"role":"assistant","content":"\u0041","reasoning_content":"\u003ca\u003e <b> é \u00e9 \/ \u2028"}`, chat.FinishStop},
		"surrogates in two pieces": {stream(piece(`{"reasoning_content":"\ud83d"}`), piece(`{"reasoning_content":"\ude00"}`), finish("stop")),
			`{"role":"assistant","content":"","reasoning_content":"\ud83d\ude00"}`, chat.FinishStop},
		"half a surrogate": {stream(piece(`{"reasoning_content":"\ud83d"}`), piece(`{"content":"x"}`), finish("stop")),
			`{"role":"assistant","content":"x","reasoning_content":"\ud83d"}`, chat.FinishStop},
		"a character in two pieces": {stream(piece("{\"content\":\"\xc3\"}"), piece("{\"content\":\"\xa9\"}"), finish("stop")),
			`{"role":"assistant","content":"é"}`, chat.FinishStop},
		"nothing at all": {stream(finish("stop")), `{"role":"assistant","content":""}`, chat.FinishStop},
		"refusal": {stream(piece(`{"content":"","refusal":"no"}`), finish("stop")),
			`{"role":"assistant","content":"","refusal":"no"}`, chat.FinishStop},
		"empty content beside a call": {stream(piece(`{"content":""}`), callDelta(`{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}`), finish("tool_calls")),
			with(call("a", "f", "{}")), chat.FinishToolCalls},
		"content beside a call": {stream(piece(`{"content":"so"}`), callDelta(`{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}`), finish("tool_calls")),
			`{"role":"assistant","content":"so","tool_calls":[` + call("a", "f", "{}") + `]}`, chat.FinishToolCalls},
		"ten calls in a step": {stream(ten...), with(tenWant...), chat.FinishToolCalls},
		"calls out of order": {stream(callDelta(`{"index":1,"id":"b","function":{"name":"g","arguments":"2"}}`, `{"index":0,"id":"a","function":{"name":"f","arguments":"1"}}`), finish("tool_calls")),
			with(call("a", "f", "1"), call("b", "g", "2")), chat.FinishToolCalls},
		"broken arguments": {stream(callDelta(`{"index":0,"id":"a","function":{"name":"f","arguments":"{\"path\": <oops"}}`), finish("tool_calls")),
			with(call("a", "f", `{"path": <oops`)), chat.FinishToolCalls},
		"no arguments": {stream(callDelta(`{"index":0,"id":"a","function":{"name":"f"}}`), finish("tool_calls")),
			with(call("a", "f", "")), chat.FinishToolCalls},
		"arguments as an object": {whole(`{"tool_calls":[{"id":"a","function":{"name":"f","arguments":{"x": 1}}}]}`, "tool_calls"),
			with(call("a", "f", `{"x": 1}`)), chat.FinishToolCalls},
		"no ids": {stream(callDelta(`{"index":0,"function":{"name":"f","arguments":"{}"}}`, `{"index":1,"function":{"name":"g","arguments":"{}"}}`), finish("tool_calls")),
			with(call("call_2_0", "f", "{}"), call("call_2_1", "g", "{}")), chat.FinishToolCalls},
		"one id for all": {stream(callDelta(`{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}`, `{"index":1,"id":"a","function":{"name":"g","arguments":"{}"}}`), finish("tool_calls")),
			with(call("a", "f", "{}"), call("call_2_1", "g", "{}")), chat.FinishToolCalls},
		"the id that we would give": {whole(`{"tool_calls":[{"function":{"name":"f","arguments":"{}"}},{"id":"call_2_0","function":{"name":"g","arguments":"{}"}}]}`, "tool_calls"),
			with(call("call_2_0_", "f", "{}"), call("call_2_0", "g", "{}")), chat.FinishToolCalls},
		"one index for all": {stream(callDelta(`{"index":0,"id":"a","function":{"name":"f","arguments":"{"}}`), callDelta(`{"index":0,"function":{"arguments":"}"}}`),
			callDelta(`{"index":0,"id":"b","function":{"name":"g","arguments":"{}"}}`), finish("tool_calls")),
			with(call("a", "f", "{}"), call("b", "g", "{}")), chat.FinishToolCalls},
		"no index": {stream(callDelta(`{"id":"a","function":{"name":"f","arguments":"{"}}`), callDelta(`{"function":{"arguments":"}"}}`),
			callDelta(`{"id":"b","function":{"name":"g","arguments":"{}"}}`), finish("tool_calls")),
			with(call("a", "f", "{}"), call("b", "g", "{}")), chat.FinishToolCalls},
		"no index and no id": {stream(callDelta(`{"function":{"name":"f","arguments":"{}"}}`, `{"function":{"name":"g","arguments":"{}"}}`), finish("tool_calls")),
			with(call("call_2_0", "f", "{}"), call("call_2_1", "g", "{}")), chat.FinishToolCalls},
		"whole, without index": {whole(`{"tool_calls":[{"id":"","function":{"name":"f","arguments":"{}"}},{"id":"","function":{"name":"f","arguments":"{}"}}]}`, "tool_calls"),
			with(call("call_2_0", "f", "{}"), call("call_2_1", "f", "{}")), chat.FinishToolCalls},
		"name in pieces": {stream(callDelta(`{"index":0,"id":"a","function":{"name":"read_"}}`), callDelta(`{"index":0,"function":{"name":"file","arguments":"{}"}}`), finish("tool_calls")),
			with(call("a", "read_file", "{}")), chat.FinishToolCalls},
		"name again and again": {stream(callDelta(`{"index":0,"id":"a","function":{"name":"f","arguments":"{"}}`), callDelta(`{"index":0,"id":"a","function":{"name":"f","arguments":"}"}}`), finish("tool_calls")),
			with(call("a", "f", "{}")), chat.FinishToolCalls},
		"stop beside a call": {stream(callDelta(`{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}`), finish("stop")),
			with(call("a", "f", "{}")), chat.FinishToolCalls},
		"a second choice": {stream(piece(`{"content":"x"}`), `{"choices":[{"index":1,"delta":{"content":"y"}}]}`, finish("stop")),
			`{"role":"assistant","content":"x"}`, chat.FinishStop},
		"length":         {stream(piece(`{"content":"x"}`), finish("length")), `{"role":"assistant","content":"x"}`, chat.FinishLength},
		"content filter": {stream(piece(`{"content":"x"}`), finish("content_filter")), `{"role":"assistant","content":"x"}`, chat.FinishFilter},
		"other finish":   {stream(piece(`{"content":"x"}`), finish("tired")), `{"role":"assistant","content":"x"}`, chat.FinishOther},
		"hyphens":        {stream(piece(`{"content":"x"}`), finish("tool-calls")), `{"role":"assistant","content":"x"}`, chat.FinishToolCalls},
		"no finish":      {stream(piece(`{"content":"x"}`)), `{"role":"assistant","content":"x"}`, chat.FinishOther},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := askCanned(t, []byte(tc.answer), nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, string(got.Message)); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
			if got.Finish != tc.finish || string(got.Raw) != tc.answer {
				t.Errorf("finish %s, raw:\n%s", got.Finish, got.Raw)
			}
			if _, err := chat.Parse(got.Message); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestReasoningGoesBack holds that what came as reasoning stands in the next request's bytes.
func TestReasoningGoesBack(t *testing.T) {
	t.Parallel()
	for reasoning, want := range map[string]string{
		`"reasoning_content":"\u003cb\u003e é",`: `,"reasoning_content":"\u003cb\u003e é","tool_calls"`,
		`"reasoning_content":"",`:                `{"role":"assistant","reasoning_content":"","tool_calls"`,
		``:                                       `{"role":"assistant","tool_calls"`,
	} {
		first := stream(piece(`{`+reasoning+`"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]}`), finish("tool_calls"))
		p := serve(t, events(first), events(okAnswer()))
		m := open(t, "kimi/test", p.config(newClock()))
		f, err := m.Frame(nil, inference.Options{})
		if err != nil {
			t.Fatal(err)
		}
		messages := []chat.Message{chat.User("hello")}
		a, err := m.Ask(t.Context(), f, messages, nil)
		if err != nil {
			t.Fatal(err)
		}
		messages = append(messages, a.Message, chat.ToolResult("a", "done"))
		if _, err := m.Ask(t.Context(), f, messages, nil); err != nil {
			t.Fatal(err)
		}
		if sent := string(p.requests()[1]); !strings.Contains(sent, want) {
			t.Errorf("no %s in\n%s", want, sent)
		}
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]chat.Usage{
		`{"prompt_tokens":10,"completion_tokens":5}`:                   {Input: 10, Output: 5, Known: true},
		`{"prompt_tokens":10,"completion_tokens":5,"cached_tokens":4}`: {Input: 10, Cached: 4, Output: 5, Known: true},
		`{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":3},"completion_tokens_details":{"reasoning_tokens":2}}`: {Input: 10, Cached: 3, Output: 5, Reasoning: 2, Known: true},
		`{"prompt_tokens":0,"completion_tokens":0}`: {Known: true},
		`{"prompt_tokens":10,"completion_tokens":5,"cached_tokens":400,"completion_tokens_details":{"reasoning_tokens":-2}}`: {Input: 10, Cached: 10, Output: 5, Known: true},
		`{"prompt_tokens":10}`:                         {},
		`{"prompt_tokens":"10","completion_tokens":5}`: {},
		`{"prompt_tokens":1e99,"completion_tokens":5}`: {},
		`null`: {}, `[]`: {}, `"many"`: {}, `{}`: {},
	} {
		for how, answer := range map[string]string{
			"at the end":    stream(piece(`{"content":"x"}`), finish("stop"), `{"choices":[],"usage":`+in+`}`),
			"in the choice": stream(piece(`{"content":"x"}`), `{"choices":[{"index":0,"delta":{},"finish_reason":"stop","usage":`+in+`}]}`),
			"whole":         `{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}],"usage":` + in + `}`,
		} {
			got, err := askCanned(t, []byte(answer), nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got.Usage); diff != "" {
				t.Errorf("%s, %s (-want +got):\n%s", in, how, diff)
			}
		}
	}
}

func TestTooManyCalls(t *testing.T) {
	t.Parallel()
	var calls []string
	for i := range 513 {
		calls = append(calls, callDelta(fmt.Sprintf(`{"index":%d,"id":"c%d","function":{"name":"f","arguments":"{}"}}`, i, i)))
	}
	if _, err := askCanned(t, []byte(stream(append(calls, finish("tool_calls"))...)), nil); err == nil || !strings.Contains(err.Error(), "more than 512 tool calls") {
		t.Errorf("error %v", err)
	}
}

// checkAnswer holds what is true of every answer.
func checkAnswer(t *testing.T, sent []byte, a chat.Answer) {
	t.Helper()
	if !json.Valid(a.Message) {
		t.Fatalf("message is no JSON: %q", a.Message)
	}
	if bytes.ContainsAny(a.Message, "\n\r") {
		t.Fatalf("message of several lines: %q", a.Message)
	}
	p, err := chat.Parse(a.Message)
	if err != nil || p.Role != "assistant" {
		t.Fatalf("%v: %s", err, a.Message)
	}
	if p.Content == nil && len(p.ToolCalls) == 0 {
		t.Fatalf("neither content nor calls: %s", a.Message)
	}
	ids := map[string]bool{"": true}
	for _, c := range p.ToolCalls {
		if ids[c.ID] {
			t.Fatalf("id %q is empty or twice: %s", c.ID, a.Message)
		}
		ids[c.ID] = true
	}
	if !bytes.HasPrefix(sent, a.Raw) {
		t.Fatalf("raw %q is not what was sent: %q", a.Raw, sent)
	}
	finishes := []string{chat.FinishStop, chat.FinishToolCalls, chat.FinishLength, chat.FinishFilter, chat.FinishOther}
	if !slices.Contains(finishes, a.Finish) {
		t.Fatalf("finish %q", a.Finish)
	}
	u := a.Usage
	if min(u.Input, u.Cached, u.Output, u.Reasoning) < 0 || u.Cached > u.Input || u.Reasoning > u.Output || !u.Known && u != (chat.Usage{}) {
		t.Fatalf("usage %+v", u)
	}
}

// FuzzAnswer gives the client any bytes for an answer.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		okAnswer(), callAnswer(), callAnswer()[:300], whole(`{"content":"x"}`, "stop"),
		stream(callDelta(`{"index":-1,"id":"a","function":{"name":"f","arguments":{"a":[]}}}`, `{"id":"a"}`), finish("x")),
		stream(piece("{\"content\":\"\xff\",\"reasoning_content\":\"\\ud83d\"}"), finish("stop")),
		`data: {"error":{"code":{},"message":"m"}}` + "\n\n", `{"error":"x"}`, "\xef\xbb\xbf {}", "data: [DONE]",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		a, err := askCanned(t, in, func(d chat.Delta) {
			if d == (chat.Delta{}) {
				t.Fatal("an empty delta")
			}
		})
		if err == nil {
			checkAnswer(t, in, a)
		} else if !utf8.ValidString(err.Error()) || len(err.Error()) > 3000 {
			t.Fatalf("error %q", err)
		}
	})
}

// FuzzDeltas cuts a text into deltas at any byte and holds that it is whole again afterwards.
func FuzzDeltas(f *testing.F) {
	f.Add("look first", "{\"path\":\"a\"}", uint16(3), true)
	f.Add("é\u2028<b>\U0001f600", "", uint16(7), false)
	f.Add("\x00\"\\", "{", uint16(2), true)
	f.Fuzz(func(t *testing.T, reasoning, arguments string, at uint16, escape bool) {
		reasoning, arguments = strings.ToValidUTF8(reasoning, "?"), strings.ToValidUTF8(arguments, "?")
		var chunks []string
		for _, p := range cutLiteral(t, reasoning, int(at), escape) {
			chunks = append(chunks, piece(`{"reasoning_content":`+p+`}`))
		}
		for i, p := range cutLiteral(t, arguments, int(at), escape) {
			open := ``
			if i == 0 {
				open = `"name":"f",`
			}
			chunks = append(chunks, callDelta(`{"index":0,"id":"a","function":{`+open+`"arguments":`+p+`}}`))
		}
		sent := []byte(stream(append(chunks, finish("tool_calls"))...))
		a, err := askCanned(t, sent, nil)
		if err != nil {
			t.Fatal(err)
		}
		checkAnswer(t, sent, a)
		p, err := chat.Parse(a.Message)
		if err != nil {
			t.Fatal(err)
		}
		if p.ReasoningContent == nil || *p.ReasoningContent != reasoning || p.ToolCalls[0].Function.Arguments != arguments {
			t.Fatalf("reasoning %q, arguments %q:\n%s", reasoning, arguments, a.Message)
		}
	})
}

// cutLiteral writes a text as two JSON strings. With escape every character is one or two \u
// escapes, and the cut may fall between the two.
func cutLiteral(t *testing.T, text string, at int, escape bool) []string {
	t.Helper()
	var units []string
	for _, r := range text {
		switch {
		case escape && r > 0xffff:
			units = append(units, fmt.Sprintf(`\u%04x`, 0xd800+(r-0x10000)>>10), fmt.Sprintf(`\u%04x`, 0xdc00+(r-0x10000)&0x3ff))
		case escape || r < ' ' || r == '"' || r == '\\' || r == 0x7f:
			units = append(units, fmt.Sprintf(`\u%04x`, r))
		default:
			for _, b := range []byte(string(r)) { // in the middle of a character, too
				units = append(units, string([]byte{b}))
			}
		}
	}
	at %= len(units) + 1
	return []string{`"` + strings.Join(units[:at], "") + `"`, `"` + strings.Join(units[at:], "") + `"`}
}

// BenchmarkAnswer reads an answer of 4,000 events, against reading its bytes and no more.
func BenchmarkAnswer(b *testing.B) {
	var chunks []string
	for range 4000 {
		chunks = append(chunks, piece(`{"reasoning_content":"four words of it "}`))
	}
	sent := []byte(stream(append(chunks, finish("stop"), usage)...))
	b.SetBytes(int64(len(sent)))
	var plain, ours time.Duration
	for b.Loop() {
		start := time.Now()
		if _, err := io.ReadAll(bytes.NewReader(sent)); err != nil {
			b.Fatal(err)
		}
		middle := time.Now()
		if _, err := askCanned(b, sent, nil); err != nil {
			b.Fatal(err)
		}
		plain, ours = plain+middle.Sub(start), ours+time.Since(middle)
	}
	b.ReportMetric(ours.Seconds()/plain.Seconds(), "×read")
	b.ReportMetric(float64(ours.Nanoseconds())/float64(b.N)/4000, "ns/event")
}
