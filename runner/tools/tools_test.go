package tools_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"tachograph/runner/sandbox"
	"tachograph/runner/tools"
)

func TestMain(m *testing.M) {
	sandbox.RunIfHelper()
	goleak.VerifyTestMain(m)
}

const mount = "/srv/project"

// bench is a set of tools over a tree of its own.
type bench struct {
	testing.TB
	*tools.Set
	tree    string
	calls   int
	session []byte
}

// newBench makes a tree of files, given as path and content by turns; a path that ends in "/" is a directory.
func newBench(t testing.TB, files ...string) *bench {
	t.Helper()
	return newBenchIn(t, t.TempDir(), tools.Env{}, []string{"filesystem"}, files...)
}

func newBenchIn(t testing.TB, tree string, e tools.Env, sets []string, files ...string) *bench {
	t.Helper()
	for i := 0; i < len(files); i += 2 {
		put(t, tree, files[i], files[i+1])
	}
	root, err := os.OpenRoot(tree)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	e.Root, e.Mount = root, mount
	set, err := tools.New(sets, e)
	if err != nil {
		t.Fatal(err)
	}
	return &bench{TB: t, Set: set, tree: tree}
}

func put(t testing.TB, tree, name, content string) {
	t.Helper()
	full := filepath.Join(tree, name)
	err := os.MkdirAll(filepath.Dir(full), 0o755)
	if err == nil && strings.HasSuffix(name, "/") {
		err = os.MkdirAll(full, 0o755)
	} else if err == nil {
		err = os.WriteFile(full, []byte(content), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// args is a call's arguments.
type args map[string]any

func (a args) json(t testing.TB) string {
	t.Helper()
	if _, ok := a["intent"]; !ok {
		a["intent"] = "test it"
	}
	raw, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func (b *bench) plan(tool string, a args) tools.Plan {
	b.Helper()
	p, err := b.Plan(tool, a.json(b))
	if err != nil {
		b.Fatalf("plan %s: %v", tool, err)
	}
	return p
}

func (b *bench) runPlan(ctx context.Context, p tools.Plan, watch func(string, []byte)) tools.Outcome {
	b.Helper()
	b.calls++
	out, err := b.Run(ctx, p, tools.Input{ID: fmt.Sprintf("call-%d", b.calls), Session: b.session, Watch: watch})
	if err != nil {
		b.Fatalf("run %s: %v", p.Tool, err)
	}
	return out
}

// do plans and runs a call that must not fail on our side.
func (b *bench) do(tool string, a args) tools.Outcome {
	b.Helper()
	return b.runPlan(context.Background(), b.plan(tool, a), nil)
}

// ok is do for a call that must succeed; it gives the text.
func (b *bench) ok(tool string, a args) string {
	b.Helper()
	out := b.do(tool, a)
	if out.Status != tools.StatusOK {
		b.Fatalf("%s: status %s: %s", tool, out.Status, out.Text)
	}
	return out.Text
}

// refused gives what the model is told about a call that Plan or Run refuses.
func (b *bench) refused(tool string, a args) string {
	b.Helper()
	p, err := b.Plan(tool, a.json(b))
	if err != nil {
		return err.Error()
	}
	out := b.runPlan(context.Background(), p, nil)
	if out.Status != tools.StatusError {
		b.Fatalf("%s was not refused: %s: %s", tool, out.Status, out.Text)
	}
	return out.Text
}

func (b *bench) read(name string) string {
	b.Helper()
	raw, err := os.ReadFile(filepath.Join(b.tree, name))
	if err != nil {
		b.Fatal(err)
	}
	return string(raw)
}

func contains(t testing.TB, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q is not in:\n%s", p, text)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for name, want := range map[string]string{
		"bash": "no sandbox", "github": "not built yet", "http": "not built yet", "agent_swarm": "not built yet", "magic": "no such toolset",
	} {
		_, err := tools.New([]string{name}, tools.Env{Root: root, Mount: mount})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	for _, bad := range []string{"", "relative", "/", "/a/../b", "/a/"} {
		if _, err := tools.New(nil, tools.Env{Root: root, Mount: bad}); err == nil {
			t.Errorf("mount %q was taken", bad)
		}
	}
}

func TestDefinitions(t *testing.T) {
	t.Parallel()
	output := func(context.Context, string) ([]byte, error) { return nil, nil }
	b := newBenchIn(t, t.TempDir(), tools.Env{Shell: newLocalShell(t), Output: output}, []string{"filesystem", "bash"})
	var names []string
	for _, d := range b.Definitions() {
		names = append(names, d.Name)
		var s struct {
			Type                 string
			Properties           map[string]map[string]any
			Required             []string
			AdditionalProperties *bool
		}
		if err := json.Unmarshal(d.Parameters, &s); err != nil {
			t.Fatalf("%s: %v", d.Name, err)
		}
		if s.Type != "object" || s.AdditionalProperties == nil || *s.AdditionalProperties || len(s.Required) == 0 || s.Required[0] != "intent" {
			t.Errorf("%s: schema %s", d.Name, d.Parameters)
		}
		for _, r := range s.Required {
			if s.Properties[r] == nil {
				t.Errorf("%s: required %s is no property", d.Name, r)
			}
		}
	}
	want := "list_files read_file search_files write_file edit_file make_directory move_file delete_file read_output bash"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("tools are %s, want %s", got, want)
	}
}

func TestPlanArguments(t *testing.T) {
	t.Parallel()
	b := newBench(t, "a.txt", "x")
	for _, c := range []struct{ tool, raw, want string }{
		{"nothing", `{}`, "the tools are list_files, read_file"},
		{"read_file", ``, "are empty"},
		{"read_file", `[]`, "must be a JSON object"},
		{"read_file", `{"path":"a.txt"}`, `"intent" is missing`},
		{"read_file", `{"intent":" ","path":"a.txt"}`, "is blank"},
		{"read_file", `{"intent":"x"}`, `"path" is missing`},
		{"read_file", `{"intent":"x","path":null}`, `"path" is missing`},
		{"read_file", `{"intent":"x","path":3}`, `"path" must be a string, got the number 3`},
		{"read_file", `{"intent":"x","path":"a.txt","ofset":3}`, `no argument "ofset"; the arguments are intent, path, offset`},
		{"read_file", `{"intent":"x","path":"a.txt","offset":"3"}`, `"offset" must be an integer, got the string "3"`},
		{"read_file", `{"intent":"x","path":"a.txt","offset":1.5}`, `must be an integer`},
		{"read_file", `{"intent":"x","path":"a.txt","limit":0}`, `from 1 to`},
		{"read_file", `{"intent":"x","path":"a.txt","offset":0}`, `lines count from 1`},
		{"read_file", `{"intent":"x","path":"a.txt","offset":1,"byte_offset":0}`, `exclude each other`},
		{"read_file", `{"intent":"x","path":"a.txt","path":"b.txt"}`, `given twice`},
		{"read_file", `{"intent":"x","path":"a.txt"`, `end in the middle`},
		{"read_file", `{"intent":"x","path":"a`, `end in the middle`},
		{"read_file", `{"intent":"x","path":"a.txt"} {}`, `go on after`},
		{"read_file", `{"intent":"x","path":'a.txt'}`, `not JSON near byte`},
		{"read_file", "{\"intent\":\"x\",\"path\":\"a\xff\"}", `not valid UTF-8`},
		{"read_file", `{"intent":"x","path":"\ud800"}`, `surrogate`},
		{"read_file", `{"intent":"x","path":"\udc00\ud800"}`, `surrogate`},
		{"read_file", `{"intent":"x","path":` + strings.Repeat("[", 50) + `1` + strings.Repeat("]", 50) + `}`, `nested deeper`},
		{"edit_file", `{"intent":"x","path":"a.txt","edits":[]}`, `empty list`},
		{"edit_file", `{"intent":"x","path":"a.txt","edits":"y"}`, `must be a list of objects`},
		{"edit_file", `{"intent":"x","path":"a.txt","edits":[{"old_text":"x"}]}`, `"edits[0].new_text" is missing`},
		{"edit_file", `{"intent":"x","path":"a.txt","edits":[{"old_text":"","new_text":"y"}]}`, `must not be empty`},
		{"edit_file", `{"intent":"x","path":"a.txt","edits":[{"old_text":"x","new_text":"x"}]}`, `are the same`},
		{"search_files", `{"intent":"x","pattern":"("}`, `no regular expression`},
		{"search_files", `{"intent":"x","pattern":"a","glob":"[a"}`, `not closed`},
		{"list_files", `{"intent":"x","glob":"{a"}`, `not closed`},
	} {
		_, err := b.Plan(c.tool, c.raw)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %.80s: %v, want %q", c.tool, c.raw, err, c.want)
		}
	}
}

func TestPlanIsCanonical(t *testing.T) {
	t.Parallel()
	b := newBench(t, "a.txt", "x")
	p, err := b.Plan("read_file", ` { "path" : "\u0061.txt", "limit": 3.0, "intent": " see <it> ", "offset": null } `)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(p.Args), `{"limit":3,"path":"a.txt"}`; got != want {
		t.Errorf("args are %s, want %s", got, want)
	}
	if p.Intent != "see <it>" || p.Effect != tools.EffectRead || p.Scope != tools.ScopeWorkspace || !p.Idempotent {
		t.Errorf("plan is %+v", p)
	}
	if _, err := b.Run(t.Context(), tools.Plan{Tool: "read_file"}, tools.Input{}); err == nil {
		t.Error("a plan that Plan did not make was run")
	}
}

func TestPlanTargets(t *testing.T) {
	t.Parallel()
	b := newBench(t, "dir/a.txt", "x", "b\\\n\xff.txt", "y")
	must(t, os.Symlink("dir", filepath.Join(b.tree, "link")))
	must(t, os.Symlink(mount+"/dir/a.txt", filepath.Join(b.tree, "absolute")))
	for _, c := range []struct {
		tool string
		args args
		want string
	}{
		{"list_files", args{}, `read {"read":["."]}`},
		{"read_file", args{"path": mount + "/dir//./a.txt"}, `read {"read":["dir/a.txt"]}`},
		{"read_file", args{"path": "link/a.txt"}, `read {"read":["dir/a.txt"]}`},
		{"read_file", args{"path": "absolute"}, `read {"read":["dir/a.txt"]}`},
		{"read_file", args{"path": `b\\\x0a\xff.txt`}, `read {"read":["b\\\\\\x0a\\xff.txt"]}`},
		{"write_file", args{"path": "link/new/c", "content": ""}, `write {"write":["dir/new/c"]}`},
		{"move_file", args{"from": "link", "to": "dir/l"}, `write {"write":["dir/l"],"delete":["link"]}`},
		{"delete_file", args{"path": "link"}, `delete {"delete":["link"]}`},
		{"delete_file", args{"path": "link/a.txt"}, `delete {"delete":["dir/a.txt"]}`},
	} {
		p := b.plan(c.tool, c.args)
		raw, err := json.Marshal(p.Targets)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Effect + " " + string(raw); got != c.want {
			t.Errorf("%s %v: %s, want %s", c.tool, c.args, got, c.want)
		}
	}
}

func TestStopped(t *testing.T) {
	t.Parallel()
	b := newBench(t, "a.txt", "x\n")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		tool string
		args args
	}{{"list_files", args{}}, {"search_files", args{"pattern": "x"}}, {"read_file", args{"path": "a.txt"}}} {
		if out := b.runPlan(ctx, b.plan(c.tool, c.args), nil); out.Status != tools.StatusKilled {
			t.Errorf("%s: %s: %s", c.tool, out.Status, out.Text)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func isNotExist(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, os.ErrNotExist)
}

func FuzzPlan(f *testing.F) {
	for _, raw := range []string{
		``, `{}`, `{"intent":"x"}`, `{"intent":"x","path":"a.txt"}`, `{"intent":"x","path":"\\x00"}`, `{"intent":"x","path":"../../etc"}`,
		`{"intent":"x","path":"a.txt","edits":[{"old_text":"x","new_text":"y","replace_all":true,"expected_count":2}]}`,
		`{"intent":"x","pattern":"(a|b)+$","glob":"**/*.{go,ts}","context":3}`, `{"intent":"x","from":"a.txt","to":"l/x"}`,
		`{"intent":"\ud83d\ude00","command":"echo \u0000"}`, `{"intent":"x","path":"l/l/l/a"}`,
	} {
		for i := range 9 {
			f.Add(i, raw)
		}
	}
	b := newBenchIn(f, f.TempDir(), tools.Env{Shell: newLocalShell(f)}, []string{"filesystem", "bash"}, "a.txt", "x", "d/b.txt", "y")
	must(f, os.Symlink("d", filepath.Join(b.tree, "l")))
	defs := b.Definitions()
	f.Fuzz(func(t *testing.T, tool int, raw string) {
		p, err := b.Plan(defs[uint(tool)%uint(len(defs))].Name, raw)
		if err != nil {
			return
		}
		again, err := b.Plan(p.Tool, string(withIntent(t, p)))
		if err != nil || string(again.Args) != string(p.Args) || again.Intent != p.Intent {
			t.Fatalf("canonical arguments %s are not read again as they are: %s, %v", p.Args, again.Args, err)
		}
		for _, list := range [][]string{p.Targets.Read, p.Targets.Write, p.Targets.Delete} {
			for _, path := range list {
				if strings.HasPrefix(path, "/") || path == ".." || strings.HasPrefix(path, "../") || strings.ContainsRune(path, 0) {
					t.Fatalf("%s plans %q", raw, path)
				}
			}
		}
	})
}

// withIntent puts the intent back into the canonical arguments.
func withIntent(t testing.TB, p tools.Plan) []byte {
	t.Helper()
	var m map[string]any
	must(t, json.Unmarshal(p.Args, &m))
	m["intent"] = p.Intent
	raw, err := json.Marshal(m)
	must(t, err)
	return raw
}
