package script_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tachograph/inference/script"
	"tachograph/schemas/chat"
)

func parse(t testing.TB, source string) *script.Script {
	t.Helper()
	s, err := script.Parse("test", []byte(source))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// next returns the turn after the messages, and its message read.
func next(t testing.TB, s *script.Script, messages []chat.Message) (script.Turn, chat.Parsed) {
	t.Helper()
	turn, err := s.Next(messages)
	if err != nil {
		t.Fatal(err)
	}
	if turn.Message == nil {
		return turn, chat.Parsed{}
	}
	p, err := chat.Parse(turn.Message)
	if err != nil {
		t.Fatal(err)
	}
	return turn, p
}

// extend plays n turns; every call is answered with "ok".
func extend(t testing.TB, s *script.Script, messages []chat.Message, n int) []chat.Message {
	t.Helper()
	for range n {
		turn, p := next(t, s, messages)
		messages = append(messages, turn.Message)
		for _, c := range p.ToolCalls {
			messages = append(messages, chat.ToolResult(c.ID, "ok"))
		}
	}
	return messages
}

func user(text string) []chat.Message { return []chat.Message{chat.User(text)} }

func text(p *string) string {
	if p == nil {
		return "<absent>"
	}
	return *p
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	turn := func(s string) string { return "turns:\n  - " + strings.ReplaceAll(s, "\n", "\n    ") + "\n" }
	call := func(s string) string { return turn("calls: [" + s + "]") }
	for source, want := range map[string]string{
		"":                                         "the file is empty",
		"# nothing":                                "the file is empty",
		"{}":                                       "no turns",
		"turns: []":                                "no turns",
		"turns: x":                                 "line 1: cannot unmarshal !!str `x` into a list of turns",
		"[1]":                                      "into a script",
		"\tturns: []":                              "found character that cannot start any token",
		"turns: [{say: a}]\n---\nturns: []":        "more than one document",
		"turns: [{say: a}]\nturns: [{say: b}]":     "line 2: field turns already set",
		"turn: []":                                 "line 1: field turn is unknown at the top of a script",
		turn("say: a\nsya: b"):                     "line 3: field sya is unknown in a turn",
		call("{tool: a, arg: {}}"):                 "line 2: field arg is unknown in a call",
		turn("say: a\nusage: {in: 1}"):             "field in is unknown in usage",
		turn("say: a\nexpect: [{has: x}]"):         "field has is unknown in an expectation or when",
		"scenes: [{whan: {}}]":                     "field whan is unknown in a scene",
		turn("label: a"):                           `scene "start", turn 1 (a): neither say nor calls nor fail`,
		turn("say: a\nfail: b"):                    "fail stands beside say",
		turn(`fail: ""`):                           "fail without a text",
		call("{intent: a}"):                        "call 1: no tool",
		call("{tool: a, raw: x, args: {}}"):        "raw stands beside",
		call("{tool: a, raw: x, intent: y}"):       "raw stands beside",
		call("{tool: a, args: [1]}"):               "into arguments",
		call("{tool: a, args: {1: x}}"):            "key 1 is not text",
		call("{tool: a, args: {yes: x}}"):          "key true is not text: quote it (y, n,",
		call("{tool: a, args: {x: 1, x: 2}}"):      `key "x" twice`,
		call("{tool: a, args: {x: {b: 1, b: 2}}}"): `key "b" twice`,
		call("{tool: a, intent: x, args: {intent: y}}"):                                           `key "intent" twice`,
		call("{tool: a, args: {x: .nan}}"):                                                        "NaN is no JSON number",
		call("{tool: a, args: {x: " + strings.Repeat("[", 200) + strings.Repeat("]", 200) + "}}"): "nested deeper than 100",
		turn("say: a\nfinish: done"):                                                              `finish "done": known are stop`,
		turn("say: a\nusage: {input: -1}"):                                                        "must not be negative",
		turn("say: a\nusage: {input: 1, cached: 2}"):                                              "cached above input",
		turn("say: a\npace: fast"):                                                                `pace "fast" is no duration`,
		turn("say: a\npace: -1s"):                                                                 `pace "-1s"`,
		"pace: 2h\nturns: [{say: a}]":                                                             `pace "2h"`,
		turn("say: a\nexpect: [{from: last}]"):                                                    "expectation 1: none of contains",
		turn("say: a\nexpect: [{contains: ''}]"):                                                  "need a text",
		turn("say: a\nexpect: [{matches: '('}]"):                                                  "missing closing )",
		turn("say: a\nexpect: [{call: 0, contains: x}]"):                                          "calls count from 1",
		turn("say: a\nexpect: [{call: 1, from: any, contains: x}]"):                               "call stands beside from",
		turn("say: a\nrepeat: 0"):                                                                 "repeat 0 is not within",
		turn("say: a\nrepeat: 1000001"):                                                           "repeat 1000001 is not within",
		turn("say: a\nrepeat: 2\nturns: []"):                                                      "a group has turns and repeat",
		turn("repeat: 2\nturns: []"):                                                              "a group without turns",
		turn("repeat: 2\nturns: [{say: a}, {label: x}]"):                                          "turn 2 of the group: neither",
		turn("repeat: 2\nturns: [{say: a, repeat: 2}]"):                                           "field repeat is unknown in a turn",
		turn("repeat: 2\nsay: ${n%0}"):                                                            "${n%0}: division by zero",
		turn("repeat: 2\ncalls: [{tool: a, raw: '${n/0}'}]"):                                      "${n/0}: division by zero",
		"turns:\n" + strings.Repeat("- {repeat: 1000000, say: a}\n", 11):                          "more than 10000000 turns",
		"scenes: [{turns: [{say: a}]}]":                                                           `scene "1": no when`,
		"scenes: [{name: x, when: {contains: a}}]":                                                `scene "x": no turns`,
		"scenes: [{when: {from: any, contains: a}, turns: [{say: a}]}]":                           `from "any" has no meaning here`,
		"scenes: [{when: {call: 1, contains: a}, turns: [{say: a}]}]":                             "call has no meaning here",
		"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]":                           "unknown at the top",
		call("{tool: a, args: {a: &a [x,x,x,x,x,x,x,x,x], b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a], c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b], d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c], e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d], f: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e], g: [*f,*f,*f,*f,*f,*f,*f,*f,*f]}}"): "",
		strings.Repeat("#", script.MaxBytes+1): "bytes are more than",
	} {
		_, err := script.Parse("test", []byte(source))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "read script test: ") {
			t.Errorf("%.200q:\n error %v\n  want %q", source, err, want)
		} else if strings.Contains(err.Error(), "yaml.") || strings.Contains(err.Error(), "script.") {
			t.Errorf("%.200q: error with names of types: %v", source, err)
		}
	}
}

func TestTurn(t *testing.T) {
	t.Parallel()
	s := parse(t, `
pace: 2s
turns:
  - {reasoning: "", say: "", calls: [{tool: bash, intent: "see <x>", args: {command: "echo ${n} ${HOME}", nested: {b: [1, 2.5, true, null, "yes"], a: 0x10}}}, {tool: odd, raw: '{"a": '}, {tool: none}]}
  - {say: "done ${n}", pace: 1s, usage: {input: 5, cached: 4, output: 3, reasoning: 2}}
  - {say: cut, finish: length}
  - {fail: broken}
`)
	messages := user("go")
	turn, _ := next(t, s, messages)
	if diff := cmp.Diff(script.Turn{
		Place: `scene "start", turn 1`, Finish: chat.FinishToolCalls, Pace: 2 * time.Second,
		Message: chat.Message(`{"role":"assistant","reasoning_content":"","tool_calls":[` +
			`{"id":"call_0_1_1_1","type":"function","function":{"name":"bash","arguments":"{\"intent\":\"see <x>\",\"command\":\"echo ${n} ${HOME}\",\"nested\":{\"b\":[1,2.5,true,null,\"yes\"],\"a\":16}}"}},` +
			`{"id":"call_0_1_1_2","type":"function","function":{"name":"odd","arguments":"{\"a\": "}},` +
			`{"id":"call_0_1_1_3","type":"function","function":{"name":"none","arguments":"{}"}}]}`),
	}, turn); diff != "" {
		t.Errorf("turn 1 (-want +got):\n%s", diff)
	}
	messages = extend(t, s, messages, 1)
	turn, _ = next(t, s, messages)
	if diff := cmp.Diff(script.Turn{
		Place: `scene "start", turn 2`, Finish: chat.FinishStop, Pace: time.Second,
		Message: chat.Message(`{"role":"assistant","content":"done ${n}"}`),
		Usage:   &chat.Usage{Input: 5, Cached: 4, Output: 3, Reasoning: 2, Known: true},
	}, turn); diff != "" {
		t.Errorf("turn 2 (-want +got):\n%s", diff)
	}
	messages = extend(t, s, messages, 1)
	if turn, _ = next(t, s, messages); turn.Finish != chat.FinishLength {
		t.Errorf("turn 3: %+v", turn)
	}
	messages = extend(t, s, messages, 1)
	if turn, _ = next(t, s, messages); turn.Fail != "broken" || turn.Message != nil {
		t.Errorf("turn 4: %+v", turn)
	}
	messages = append(messages, chat.Message(`{"role":"assistant","content":"given"}`))
	if _, err := s.Next(messages); !errors.Is(err, script.ErrOver) || !strings.Contains(err.Error(), `scene "start", turn 5: the script is over: the scene has 4 turns`) {
		t.Errorf("turn 5: %v", err)
	}
}

func TestRepeat(t *testing.T) {
	t.Parallel()
	s := parse(t, `
turns:
  - say: first ${n}
  - repeat: 3
    turns:
      - {calls: [{tool: a, args: {file: "f${n%2}.go", k: "${n}"}}]}
      - {calls: [{tool: b, raw: '{"x": ${n+1}, "y": ${n-1}, "z": ${n*10}, "q": ${n/2}, "o": "${m} ${n%} ${n!2}"}'}]}
  - repeat: 2
    reasoning: think ${n}
    say: last ${n}
    expect: [{from: user, contains: "go ${n/9}"}]
`)
	var got []string
	messages := user("go 0")
	for range 9 {
		turn, p := next(t, s, messages)
		line := text(p.Content)
		if len(p.ToolCalls) > 0 {
			line = p.ToolCalls[0].Function.Arguments
		}
		got = append(got, line)
		messages = append(messages, turn.Message)
	}
	if diff := cmp.Diff([]string{
		"first ${n}",
		`{"file":"f1.go","k":"1"}`, `{"x": 2, "y": 0, "z": 10, "q": 0, "o": "${m} ${n%} ${n!2}"}`,
		`{"file":"f0.go","k":"2"}`, `{"x": 3, "y": 1, "z": 20, "q": 1, "o": "${m} ${n%} ${n!2}"}`,
		`{"file":"f1.go","k":"3"}`, `{"x": 4, "y": 2, "z": 30, "q": 1, "o": "${m} ${n%} ${n!2}"}`,
		"last 1", "last 2",
	}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := s.Next(messages); !errors.Is(err, script.ErrOver) {
		t.Errorf("error %v", err)
	}
}

const scenes = `
turns:
  - {say: a1, calls: [{tool: t}]}
  - {say: a2, calls: [{tool: t}]}
  - {say: a3, calls: [{tool: t}]}
scenes:
  - {name: rolled back, when: {contains: rolled back}, turns: [{say: b1, calls: [{tool: t}]}, {say: b2}]}
  - {name: broken, when: {from: t, contains: broken}, turns: [{say: c1, calls: [{tool: t}]}, {say: c2}]}
  - {name: sub, when: {from: user, matches: '^You are /[0-9]'}, turns: [{say: d1, calls: [{tool: t}]}, {say: d2}]}
  - {name: tools, when: {from: tool, contains: anything, not_contains: but}, turns: [{say: e1}]}
`

// TestNextIsAFunctionOfTheMessages walks through what a runner does to a list.
func TestNextIsAFunctionOfTheMessages(t *testing.T) {
	t.Parallel()
	s := parse(t, scenes)
	start := []chat.Message{chat.System("rules"), chat.User("go")}
	two := extend(t, s, start, 2)
	given := chat.Message(`{"role":"assistant","content":"given","tool_calls":[{"id":"call_x","type":"function","function":{"name":"t","arguments":"{}"}}]}`)
	result := func(list []chat.Message, text string) []chat.Message { // the newest result says text
		p, err := chat.Parse(list[len(list)-1])
		if err != nil {
			t.Fatal(err)
		}
		return append(list[:len(list)-1:len(list)-1], chat.ToolResult(p.ToolCallID, text))
	}
	join := func(list []chat.Message, more ...chat.Message) []chat.Message {
		return append(list[:len(list):len(list)], more...)
	}
	note := chat.User("rolled back to step 1")
	inB := extend(t, s, join(start, note), 1)

	for name, tc := range map[string]struct {
		messages []chat.Message
		want     string
	}{
		"beginning":                     {start, "a1"},
		"nothing at all":                {nil, "a1"},
		"going on":                      {two, "a3"},
		"asked again after a crash":     {two, "a3"},
		"shorter after a rollback":      {two[:4], "a2"},
		"a note that fits":              {join(two[:4], note), "b1"},
		"a note as system message":      {join(two[:4], chat.System("rolled back")), "b1"},
		"a note as developer message":   {join(two[:4], chat.Message(`{"role":"developer","content":"rolled back"}`)), "b1"},
		"a note that does not fit":      {join(two, chat.User("hurry")), "a3"},
		"the scene goes on":             {inB, "b2"},
		"rolled back twice":             {join(inB, note), "b1"},
		"a turn that a fork gave":       {join(two[:4], given, chat.ToolResult("call_x", "ok")), "a3"},
		"a fork's turn in a scene":      {join(start, note, given, chat.ToolResult("call_x", "ok")), "b2"},
		"compacted, newest answer kept": {append([]chat.Message{chat.System("summary")}, two[4:]...), "a3"},
		"results may open a scene":      {result(two, "it is broken"), "c1"},
		"results of a tool at large":    {result(two, "anything"), "e1"},
		"results that do not fit":       {result(two, "anything but"), "a3"},
		"text of a result is no note":   {result(two, "rolled back"), "a3"},
		"an answer is no note":          {join(start, chat.Message(`{"role":"assistant","content":"rolled back"}`)), "a2"},
		"a sub-agent":                   {user("You are /2. Do it."), "d1"},
		"a sub-agent goes on":           {extend(t, s, user("You are /2. Do it."), 1), "d2"},
		"an answer of a larger script":  {join(start, chat.Message(`{"role":"assistant","tool_calls":[{"id":"call_9_1_1_1","type":"function","function":{"name":"t","arguments":""}}]}`)), "a2"},
		"an id that is nearly ours":     {join(start, chat.Message(`{"role":"assistant","tool_calls":[{"id":"call_0_0_1_1","type":"function","function":{"name":"t","arguments":""}}]}`)), "a2"},
	} {
		turn, err := s.Next(tc.messages)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		p, err := chat.Parse(turn.Message)
		if err != nil {
			t.Fatal(err)
		}
		if text(p.Content) != tc.want {
			t.Errorf("%s: %s, want %s", name, text(p.Content), tc.want)
		}
	}
}

func TestIDsDiffer(t *testing.T) {
	t.Parallel()
	s := parse(t, scenes)
	messages := user("go")
	for range 3 { // the same scene three times in one list
		messages = extend(t, s, append(messages, chat.User("rolled back")), 2)
	}
	seen := map[string]bool{}
	for _, m := range messages {
		p, err := chat.Parse(m)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range p.ToolCalls {
			if seen[c.ID] {
				t.Errorf("id %s twice", c.ID)
			}
			seen[c.ID] = true
		}
	}
	if len(seen) != 3 {
		t.Errorf("%d ids", len(seen))
	}
}

func TestExpect(t *testing.T) {
	t.Parallel()
	call := func(id, tool string) string {
		return fmt.Sprintf(`{"id":%q,"type":"function","function":{"name":%q,"arguments":""}}`, id, tool)
	}
	list := []chat.Message{
		chat.System("rules"), chat.User("go"),
		chat.Message(`{"role":"assistant","content":"one","tool_calls":[` + call("1", "bash") + `,` + call("2", "read") + `]}`),
		chat.ToolResult("1", "FAIL"), chat.ToolResult("2", "package a"),
		chat.Message(`{"role":"assistant","tool_calls":[` + call("3", "bash") + `,` + call("4", "bash") + `]}`),
		chat.ToolResult("3", "ok a"), chat.ToolResult("4", "ok "+strings.Repeat("b", 5000)),
	}
	for expect, want := range map[string]string{ // "" means that it holds
		`{contains: ok b}`:                            "",
		`{from: last, contains: ok b}`:                "",
		`{contains: ok a}`:                            `expected the last message to contain "ok a"; saw "ok bbb`,
		`{matches: "^ok b+$"}`:                        "",
		`{matches: "^ok b$"}`:                         `expected the last message to match "^ok b$"`,
		`{not_contains: FAIL}`:                        "",
		`{not_contains: ok}`:                          `expected the last message not to contain "ok"`,
		`{from: any, contains: FAIL}`:                 "",
		`{from: any, not_contains: FAIL}`:             `expected a message not to contain "FAIL"; saw 8 messages, the newest "ok bbb`,
		`{from: user, contains: go}`:                  "",
		`{from: system, contains: go}`:                `expected a message of role system to contain "go"; saw "rules"`,
		`{from: assistant, contains: one}`:            "",
		`{from: tool, contains: ok a}`:                "",
		`{from: tool, contains: FAIL}`:                `expected a result of the last answer's calls to contain "FAIL"; saw 2 messages`,
		`{from: bash, contains: ok b}`:                "",
		`{from: bash, contains: ok a}`:                `expected the newest result of bash to contain "ok a"`,
		`{from: read, matches: "package a"}`:          "",
		`{from: write, not_contains: x}`:              `expected the newest result of write; there is none`,
		`{call: 1, contains: ok a}`:                   "",
		`{call: 2, contains: ok a}`:                   `expected the result of call 2 to contain "ok a"`,
		`{call: 3, contains: ok}`:                     `expected the result of call 3; there is none`,
		`{contains: ok, not_contains: b, matches: b}`: `not to contain "b"`,
	} {
		s := parse(t, "turns: [{say: a}, {say: b}, {say: c, expect: [{contains: ok}, "+expect+"]}]")
		_, err := s.Next(list)
		var unmet *script.Unmet
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", expect, err)
		case want != "" && (!errors.As(err, &unmet) || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: error %v, want %q", expect, err, want)
		case err != nil && (len(err.Error()) > 1500 || !strings.HasPrefix(err.Error(), `script test: scene "start", turn 3: `)):
			t.Errorf("%s: error of %d bytes: %v", expect, len(err.Error()), err)
		}
	}
}

func TestNextRefusesBrokenMessages(t *testing.T) {
	t.Parallel()
	s := parse(t, scenes)
	for _, m := range []string{``, `{`, `[]`, `{"content":"x"}`} {
		_, err := s.Next([]chat.Message{chat.User("go"), chat.Message(m)})
		if err == nil || !strings.Contains(err.Error(), "message 2 of 2") {
			t.Errorf("%q: error %v", m, err)
		}
	}
}

func TestParseTurn(t *testing.T) {
	t.Parallel()
	m, err := script.ParseTurn("turn.yaml", []byte("reasoning: ''\nsay: |\n  two\n  lines\ncalls: [{tool: bash, intent: see, args: {command: 'echo ${n}'}}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"role":"assistant","content":"two\nlines\n","reasoning_content":"","tool_calls":[{"id":"call_given_df3ad3fd_1","type":"function",` +
		`"function":{"name":"bash","arguments":"{\"intent\":\"see\",\"command\":\"echo ${n}\"}"}}]}`
	if diff := cmp.Diff(want, string(m)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	s := parse(t, scenes) // a given turn counts as one
	if _, p := next(t, s, append(user("go"), m)); text(p.Content) != "a2" {
		t.Errorf("after it comes %s", text(p.Content))
	}
	for source, want := range map[string]string{
		"":                            "parse turn x: the file is empty",
		"say: a\nsya: b":              "parse turn x: line 2: field sya is unknown in a turn",
		"label: a":                    "neither say nor calls nor fail",
		"fail: a":                     "fail is no answer",
		"say: a\nrepeat: 2":           "field repeat is unknown",
		"say: a\n---\nsay: b":         "more than one document",
		"- say: a":                    "into a turn",
		"say: a\nexpect: [{call: 0}]": "expectation 1",
	} {
		if _, err := script.ParseTurn("x", []byte(source)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", source, err, want)
		}
	}
}

// FuzzParse holds that what Parse accepts can be played: every answer is a message, the same twice,
// and the ids tell the place.
func FuzzParse(f *testing.F) {
	f.Add([]byte(scenes))
	f.Add([]byte("pace: 1s\nturns:\n - repeat: 2\n   turns: [{say: 'x${n%3}'}, {calls: [{tool: a, args: {<<: {b: 1}, c: &x [1], d: *x}}]}]\n"))
	f.Add([]byte(`{"turns":[{"fail":"x","usage":{"input":1}}],"scenes":[{"when":{"from":"b","matches":"."},"turns":[{"say":""}]}]}`))
	f.Add([]byte("turns: [{calls: [{tool: a, raw: '{', }], expect: [{call: 1, contains: ok}]}]"))
	f.Fuzz(func(t *testing.T, source []byte) {
		s, err := script.Parse("fuzz", source)
		if err != nil {
			return
		}
		messages := user("go")
		for range 20 {
			turn, err := s.Next(messages)
			var unmet *script.Unmet
			if errors.Is(err, script.ErrOver) || errors.As(err, &unmet) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			again, err := s.Next(messages)
			if err != nil || !cmp.Equal(turn, again) {
				t.Fatalf("%v, %+v, then %+v", err, turn, again)
			}
			if turn.Fail != "" {
				return
			}
			p, err := chat.Parse(turn.Message)
			if err != nil || !json.Valid(turn.Message) {
				t.Fatalf("%v: %s", err, turn.Message)
			}
			messages = append(messages, turn.Message)
			for _, c := range p.ToolCalls {
				messages = append(messages, chat.ToolResult(c.ID, "ok"))
			}
		}
	})
}

// BenchmarkNext compares a turn at the end of a long run with one at its beginning: a run of 8,000
// steps must not grow slower.
func BenchmarkNext(b *testing.B) {
	s := parse(b, "turns: [{repeat: 9000, calls: [{tool: bash, intent: go on, args: {command: 'echo ${n}'}}]}]")
	short := extend(b, s, user("go"), 10)
	long := extend(b, s, user("go"), 8000)
	var early, late time.Duration
	for b.Loop() {
		start := time.Now()
		next(b, s, short)
		middle := time.Now()
		next(b, s, long)
		early, late = early+middle.Sub(start), late+time.Since(middle)
	}
	b.ReportMetric(late.Seconds()/early.Seconds(), "×step10")
}
