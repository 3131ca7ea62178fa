package inference_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tachograph/inference"
	"tachograph/inference/script"
	"tachograph/schemas/chat"
)

func TestOpen(t *testing.T) {
	t.Parallel()
	const repair = "turns: [{say: hi}]\n"
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ok.yaml"), []byte(repair), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "bad.yaml"), []byte("turns:\n  - say: hi\n    shout: hey\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(t.TempDir(), "outside.yaml")
	if err := os.WriteFile(outside, []byte(repair), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link.yaml")); err != nil {
		t.Fatal(err)
	}
	kimi, openai := []string{"KIMI_API_KEY", testKey}, []string{"OPENAI_API_KEY", testKey}
	own := []string{"OPENAI_BASE_URL", "http://127.0.0.1:1/v1"}
	for _, tc := range []struct {
		model    string
		env      []string
		confined bool
		name     string // or
		fail     string
	}{
		{model: "kimi/kimi-k2.6", env: kimi, name: "kimi/kimi-k2.6"},
		{model: "kimi/kimi-k2.6", env: []string{"MOONSHOT_API_KEY", testKey}, name: "kimi/kimi-k2.6"},
		{model: "kimi/kimi-k2.6", env: []string{"KIMI_API_KEY", " " + testKey + "\n"}, name: "kimi/kimi-k2.6"},
		{model: "kimi-k2-6", env: kimi, name: "kimi/kimi-k2.6"},
		{model: "kimi-k2-7-code", env: kimi, name: "kimi/kimi-k2.7-code"},
		{model: "kimi-k2-0905-preview", env: kimi, name: "kimi/kimi-k2-0905-preview"},
		{model: "kimi-k2-6", env: append(own, kimi...), name: "kimi/kimi-k2.6"},
		{model: "kimi-k2-6", env: own, name: "openai/kimi-k2-6"},
		{model: "kimi-k2-6", env: openai, fail: "no key for kimi: set KIMI_API_KEY or MOONSHOT_API_KEY"},
		{model: "gpt-5", env: openai, name: "openai/gpt-5"},
		{model: "gpt-5", env: kimi, fail: "set OPENAI_API_KEY, or OPENAI_BASE_URL"},
		{model: "openai/org/model", env: own, name: "openai/org/model"},
		{model: "openai/x", fail: "no key for openai: set OPENAI_API_KEY"},
		{model: "openai/x", env: []string{"OPENAI_BASE_URL", "https://models.example/v1"}, fail: "no key for openai"},
		{model: "openai/x", env: []string{"OPENAI_API_KEY", "two words"}, fail: "white space"},
		{model: "openai/x", env: []string{"OPENAI_BASE_URL", "models.example/v1"}, fail: "OPENAI_BASE_URL must be an address such as"},
		{model: "openai/x", env: []string{"OPENAI_BASE_URL", "https://u:" + testKey + "@h/v1"}, fail: "belongs into OPENAI_API_KEY"},
		{model: "openai/x", env: []string{"OPENAI_BASE_URL", "https://h/v1?key=" + testKey}, fail: "query"},
		{model: "openai/x", env: []string{"OPENAI_BASE_URL", "https://" + testKey + "%zz"}, fail: "OPENAI_BASE_URL is not a URL"},
		{model: "openai/", env: openai, fail: `no name after "openai/"`},
		{model: "", fail: "kimi, openai, script"},
		{model: "vertex/x", fail: `unknown provider "vertex": known are kimi, openai, script`},
		{model: "demo.yaml", fail: "script/demo.yaml"},
		{model: "script/ok.yaml", name: "script/ok.yaml"},
		{model: "script/ok.yaml", confined: true, name: "script/ok.yaml"},
		{model: "script/" + outside, name: "script/" + outside},
		{model: "script/link.yaml", name: "script/link.yaml"},
		{model: "script/link.yaml", confined: true, fail: "escapes"},
		{model: "script/" + outside, confined: true, fail: "escapes"},
		{model: "script/../ok.yaml", confined: true, fail: "escapes"},
		{model: "script/none.yaml", fail: "no such file"},
		{model: "script/.", fail: "not a regular file"},
		{model: "script/bad.yaml", fail: "line 3: field shout is unknown in a turn"},
	} {
		m, err := inference.Open(tc.model, inference.Config{Env: env(tc.env...), Dir: dir, Confined: tc.confined})
		switch {
		case tc.fail == "" && err != nil:
			t.Errorf("%q with %q: %v", tc.model, tc.env, err)
		case tc.fail == "" && m.Name() != tc.name:
			t.Errorf("%q with %q: name %q, want %q", tc.model, tc.env, m.Name(), tc.name)
		case tc.fail != "" && (err == nil || !strings.Contains(err.Error(), tc.fail)):
			t.Errorf("%q with %q: error %v, want one with %q", tc.model, tc.env, err, tc.fail)
		case err != nil && strings.Contains(err.Error(), testKey):
			t.Errorf("the key shows: %v", err)
		}
	}
}

// TestOwnServerWithoutKey holds that no empty Authorization header is sent.
func TestOwnServerWithoutKey(t *testing.T) {
	t.Parallel()
	p := serve(t, events(okAnswer()))
	c := p.config(newClock())
	c.Env = env("OPENAI_BASE_URL", p.url+"/")
	m := open(t, "some-model", c)
	f, err := m.Frame(nil, inference.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Ask(t.Context(), f, nil, nil); err != nil {
		t.Fatal(err)
	}
	if _, there := p.headers[0]["Authorization"]; there {
		t.Errorf("headers %v", p.headers[0])
	}
}

// play asks a script until it has no further calls, and answers each call as the tools say.
func play(t *testing.T, m inference.Provider, messages []chat.Message, tools func(chat.ToolCall) string) ([]chat.Message, error) {
	t.Helper()
	f, err := m.Frame(nil, inference.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for {
		a, err := m.Ask(t.Context(), f, messages, nil)
		if err != nil {
			return messages, err
		}
		messages = append(messages, a.Message)
		p, err := chat.Parse(a.Message)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range p.ToolCalls {
			messages = append(messages, chat.ToolResult(c.ID, tools(c)))
		}
		if len(p.ToolCalls) == 0 {
			return messages, nil
		}
	}
}

// TestScriptedRun plays a run that fails, is rolled back, and takes the other way.
func TestScriptedRun(t *testing.T) {
	t.Parallel()
	m := open(t, "script/repair.yaml", inference.Config{Dir: "testdata", Clock: newClock()})
	tools := func(c chat.ToolCall) string {
		switch c.Function.Name {
		case "read_file":
			return "func Add(a, b int) int { return a - b }"
		case "bash":
			return "FAIL add_test.go"
		}
		return "ok"
	}
	messages, err := play(t, m, []chat.Message{chat.System("be brief"), chat.User("mend the tests")}, tools)
	var failed *inference.APIError
	if !errors.As(err, &failed) || failed.Retryable || failed.Message != "the tests do not pass" || failed.Model != "script/repair.yaml" {
		t.Fatalf("error %v", err)
	}
	messages = append(messages[:5:5], chat.User("Rolled back to step 1: add.go was restored."))
	messages, err = play(t, m, messages, tools)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, m := range messages {
		out.Write(m)
		out.WriteByte('\n')
	}
	golden(t, "repair.jsonl", []byte(strings.TrimSuffix(out.String(), "\n")))
}

func TestScriptedAnswer(t *testing.T) {
	t.Parallel()
	c := newClock()
	m := open(t, "script/repair.yaml", inference.Config{Dir: "testdata", Clock: c})
	f, err := m.Frame([]chat.Tool{{Name: "bash", Parameters: []byte(`{}`)}}, inference.Options{Temperature: "1"})
	if err != nil {
		t.Fatal(err)
	}
	messages := []chat.Message{chat.User("mend"), chat.User("and hurry")}
	var seen []chat.Delta
	a, err := m.Ask(t.Context(), f, messages, func(d chat.Delta) { seen = append(seen, d) })
	if err != nil {
		t.Fatal(err)
	}
	request := f.Request(messages)
	if !json.Valid(request) || !json.Valid(a.Raw) {
		t.Errorf("request %s\nanswer %s", request, a.Raw)
	}
	if want := (chat.Usage{Input: int64(len(request)+3) / 4, Output: int64(len(a.Message)+3) / 4, Known: true}); a.Usage != want {
		t.Errorf("usage %+v, want %+v", a.Usage, want)
	}
	var text strings.Builder
	for _, d := range seen {
		text.WriteString(d.Reasoning + d.Content + d.ToolName + d.ToolArguments)
	}
	if want := `First the file, then the tests.read_file{"intent":"See what is there","path":"add.go","lines":[1,40]}` +
		`list_files{"intent":"See the tests","glob":"*_test.go"}`; text.String() != want {
		t.Errorf("watched %q", text.String())
	}
	var sum time.Duration
	for _, d := range c.waited() {
		sum += d
	}
	if sum > 320*time.Millisecond || sum < 319*time.Millisecond || len(c.waited()) != len(seen) {
		t.Errorf("took %v in %d waits for %d pieces", sum, len(c.waited()), len(seen))
	}
	// What stands in Raw is the same answer.
	back, err := askCanned(t, a.Raw, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(a.Message), string(back.Message)); diff != "" || back.Finish != a.Finish || back.Usage != a.Usage {
		t.Errorf("raw says something else: %s\n%+v", diff, back)
	}
}

func TestScriptCancel(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	m := open(t, "script/repair.yaml", inference.Config{Dir: "testdata", Clock: stopped{cancel}})
	f, err := m.Frame(nil, inference.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Ask(ctx, f, []chat.Message{chat.User("mend")}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if _, err := m.Ask(ctx, f, []chat.Message{chat.User("mend")}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestScriptUnmet(t *testing.T) {
	t.Parallel()
	m := open(t, "script/repair.yaml", inference.Config{Dir: "testdata", Clock: newClock()})
	_, err := play(t, m, []chat.Message{chat.User("mend")}, func(chat.ToolCall) string { return "nothing" })
	var unmet *script.Unmet
	if !errors.As(err, &unmet) {
		t.Fatalf("error %v", err)
	}
	want := `ask script/repair.yaml: script repair.yaml: scene "start", turn 2 (wrong edit): ` +
		`expected the result of call 1 to contain "func Add"; saw "nothing"`
	if err.Error() != want {
		t.Errorf("error %v\nwant  %s", err, want)
	}
}
