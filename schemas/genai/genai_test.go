package genai_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"tachograph/schemas/genai"
)

func TestTexts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, messages, first, newest string }{
		{"conventions", `[{"role":"system","parts":[{"type":"text","content":"be brief"}]},{"role":"user","parts":[{"type":"text","content":"mend it"}]},
			{"role":"assistant","parts":[{"type":"reasoning","content":"hm"},{"type":"text","content":"I look first"},{"type":"tool_call","id":"1","name":"ls","arguments":{"content":"no","parts":[{"role":"user"}]}}]},
			{"role":"tool","parts":[{"type":"tool_call_response","id":"1","response":"a b"}]}]`, "mend it", "I look first"},
		{"keys in another order", `[{"parts":[{"content":"mend it","type":"text"}],"role":"user"}]`, "mend it", "mend it"},
		{"OpenAI text", `[{"role":"user","content":"mend it"},{"role":"assistant","content":null,"tool_calls":[{"function":{"arguments":"{\"a\":\"b\"}"}}]}]`, "mend it", "mend it"},
		{"OpenAI parts", `[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}},{"type":"text","text":"one"},{"type":"text","text":"two"}]}]`, "one", "two"},
		{"output without a role", `[{"parts":[{"type":"text","content":"done"}],"finish_reason":"stop"}]`, "", "done"},
		{"one message", `{"role":"user","content":"alone"}`, "alone", "alone"},
		{"strings as parts", `[{"role":"user","parts":["a","b"]}]`, "a", "b"},
		{"reasoning in a field of its own (otel-js)", `[{"role":"assistant","parts":[{"type":"reasoning","text":"hm"}]}]`, "", ""},
		{"escapes", `[{"role":"user","content":"\n\t a \"b\" \\ \u00e4 \ud83d\ude00 \/ \ud83d z\n"}]`, "a \"b\" \\ ä 😀 / \uFFFD z", "a \"b\" \\ ä 😀 / \uFFFD z"},
		{"blank texts are none", `[{"role":"user","content":"go"},{"role":"assistant","content":" \n "}]`, "go", "go"},
		{"cut in a text", `[{"role":"user","content":"mend i`, "mend i", "mend i"},
		{"cut in an escape", `[{"role":"user","content":"mend \u00`, "mend \uFFFD", "mend \uFFFD"},
		{"cut before the user", `[{"role":"system","content":"long`, "", ""},
		{"white space", " [ { \"role\" : \"user\" , \"content\" : \"x\" } ] ", "x", "x"},
		{"numbers and more", `[{"n":-1.5e3,"b":[true,false,null,{}],"role":"user","content":"x"},7,"s",null,{"role":"user","content":"y"}]`, "x", "y"},
		{"no JSON", "hello", "", ""},
		{"empty", "", "", ""},
		{"null", "null", "", ""},
		{"missing value", `[{"role":,"content":"x"}]`, "", "x"},
		{"stray bracket", `[}]`, "", ""},
	} {
		if got := genai.First(c.messages, 100); got != c.first {
			t.Errorf("%s: first %q, want %q", c.name, got, c.first)
		}
		if got := genai.Newest(c.messages, 100); got != c.newest {
			t.Errorf("%s: newest %q, want %q", c.name, got, c.newest)
		}
	}
}

// TestBound holds that a long text is cut at a character.
func TestBound(t *testing.T) {
	t.Parallel()
	messages := `[{"role":"user","content":"` + strings.Repeat("ä", 1000) + `"}]`
	if got := genai.First(messages, 9); got != "ääää" {
		t.Errorf("cut to %q", got)
	}
}

// FuzzTexts holds that nothing hangs or panics, that results are bounded UTF-8, and that a text of one plain message is
// what encoding/json reads.
func FuzzTexts(f *testing.F) {
	f.Add(`[{"role":"user","parts":[{"type":"text","content":"a"}]}]`)
	f.Add(`[{"role":"user","content":"\ud83d\ude00\\`)
	f.Add("a\x00\"\\u12")
	f.Fuzz(func(t *testing.T, text string) {
		for _, got := range []string{genai.First(text, 40), genai.Newest(text, 40)} {
			if len(got) > 40 || !utf8.ValidString(got) {
				t.Errorf("%q", got)
			}
		}
		quoted, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		var want string
		if err := json.Unmarshal(quoted, &want); err != nil {
			t.Fatal(err)
		}
		got := genai.First(`[{"role":"user","content":`+string(quoted)+`}]`, 3*len(text)+1)
		if len(text) < 200 && got != trim(want) {
			t.Errorf("read %q, want %q", got, trim(want))
		}
	})
}

// trim drops what readable does: control characters and spaces at the front, white space at the end.
func trim(s string) string {
	return strings.TrimSpace(strings.TrimLeftFunc(s, func(r rune) bool { return r <= ' ' }))
}
