package gate_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tachograph/runner/gate"
	"tachograph/runner/state"
	"tachograph/runner/workspace"
	"tachograph/schemas/chat"
	"tachograph/schemas/journal"
)

// lab is a run with a real store, tree, sandbox and tools, and a model played by the test.
type lab struct {
	testing.TB
	dir   string
	store *state.Store
	run   *state.Run
	tree  *workspace.Tree
	gate  *gate.Gate
	conf  gate.Config

	mu     sync.Mutex
	events []gate.Event
	told   chan gate.Event // every event, for tests that wait for one
}

const mount = "/home/user/project"

var labRun = journal.RunID{0x01, 0x93, 0xf1, 0xc2, 0, 1, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 1}

// newLab starts a run over files (path → content). configure may change the gate's configuration.
func newLab(t testing.TB, files map[string]string, configure func(*gate.Config)) *lab {
	t.Helper()
	base := t.TempDir()
	// The sandbox's user has to pass; what is inside has permissions of its own.
	for dir := base; dir != filepath.Dir(os.TempDir()) && strings.HasPrefix(dir, os.TempDir()+"/"); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	l := &lab{TB: t, dir: base, told: make(chan gate.Event, 4096)}
	source := filepath.Join(base, "source")
	l.write(source, files)
	l.open()
	var err error
	if l.run, err = l.store.Create(l.Context(), labRun, state.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"home", "tmp", "scratch"} {
		if err := os.Mkdir(filepath.Join(base, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if l.tree, _, err = workspace.Import(l.Context(), source, filepath.Join(base, "tree"), l.run.Objects(), l.options()); err != nil {
		t.Fatal(err)
	}
	l.openGate(configure)
	l.append("/", &journal.RunStarted{Spec: l.stage("{}"), Goal: l.stage("goal"), Model: "script/x", Family: labRun, Base: l.tree.Root(),
		Root: l.tree.Root(), Policy: l.stage(l.conf.Policy), Sandbox: l.gate.Sandbox()})
	if _, err := l.run.Snapshot(l.Context(), "started", 0); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *lab) options() workspace.Options { return workspace.Options{UID: gate.ToolUser()} }

func (l *lab) open() {
	l.Helper()
	var err error
	if l.store, err = state.Open(filepath.Join(l.dir, "data"), state.Options{Reserve: -1}); err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { l.store.Close() })
}

// openGate wires a gate to the lab's run and tree.
func (l *lab) openGate(configure func(*gate.Config)) {
	l.Helper()
	l.conf = gate.Config{Run: l.run, Tree: l.tree, Toolsets: []string{"filesystem", "bash"}, Policy: gate.Cautious(),
		Mount: mount, Home: filepath.Join(l.dir, "home"), Tmp: filepath.Join(l.dir, "tmp"), Scratch: filepath.Join(l.dir, "scratch"),
		Log: slog.New(slog.NewTextHandler(l.Output(), nil)), Notify: l.notify}
	if configure != nil {
		configure(&l.conf)
	}
	var err error
	if l.gate, err = gate.Open(l.Context(), l.conf); err != nil {
		l.Fatal(err)
	}
	g := l.gate
	l.Cleanup(func() { g.Close() })
}

func (l *lab) notify(e gate.Event) {
	l.mu.Lock()
	l.events = append(l.events, e)
	l.mu.Unlock()
	l.told <- e
}

// await returns the next event of that kind.
func (l *lab) await(kind journal.Kind) gate.Event {
	l.Helper()
	for {
		select {
		case e := <-l.told:
			if e.Kind == kind {
				return e
			}
		case <-l.Context().Done():
			l.Fatalf("no %s", kind)
		}
	}
}

func (l *lab) write(dir string, files map[string]string) {
	l.Helper()
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			l.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			l.Fatal(err)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		l.Fatal(err)
	}
}

func (l *lab) stage(s string) journal.Ref { return l.run.Stage([]byte(s)) }

func (l *lab) append(agent string, bodies ...journal.Body) []state.Written {
	l.Helper()
	var drafts []state.Draft
	for _, b := range bodies {
		drafts = append(drafts, state.Draft{Agent: agent, Body: b})
	}
	w, err := l.run.Append(l.Context(), drafts...)
	if err != nil {
		l.Fatal(err)
	}
	return w
}

// turn has the model of agent answer with n calls.
func (l *lab) turn(agent string, n int64) {
	l.Helper()
	var list journal.List
	var step int64
	l.run.View(func(s *journal.State) { list, step = s.Agent(agent).List, s.Agent(agent).Step })
	message := l.run.Stage(chat.User(fmt.Sprint("turn ", step)))
	next := list.Append(message)
	asked := l.append(agent, &journal.ModelAsked{Step: step + 1, Attempt: 1, Model: "script/x", Kept: int64(list.Len()), New: []journal.Ref{message},
		Head: next.Head(), Length: int64(next.Len()), Frame: l.stage("frame")})
	l.append(agent, &journal.ModelAnswered{Asked: asked[0].Seq, Status: "ok", Message: l.stage("answer"), Raw: l.stage("raw"),
		Finish: chat.FinishToolCalls, Calls: n})
}

// request makes a call of the newest answer. args is completed with an intent.
func request(agent string, index int64, tool string, args map[string]any) gate.Request {
	if _, ok := args["intent"]; !ok {
		args["intent"] = "Because the test wants it."
	}
	b, err := json.Marshal(args)
	if err != nil {
		panic(err)
	}
	return gate.Request{Agent: agent, Step: 1, Index: index, Tool: tool, Arguments: string(b), ToolCallID: fmt.Sprintf("id_%d", index)}
}

func bash(index int64, command string) gate.Request {
	return request("/", index, "bash", map[string]any{"command": command})
}

// do runs a call that must end, and holds the gate to its invariants.
func (l *lab) do(r gate.Request) gate.Ended {
	l.Helper()
	end, err := l.gate.Do(l.Context(), r)
	if err != nil {
		l.Fatalf("%s %s: %v", r.Tool, r.Arguments, err)
	}
	l.consistent()
	return end
}

// background runs a call in a goroutine of its own.
func (l *lab) background(r gate.Request) (wait func() (gate.Ended, error)) {
	type result struct {
		end gate.Ended
		err error
	}
	done := make(chan result, 1)
	go func() {
		end, err := l.gate.Do(l.Context(), r)
		done <- result{end, err}
	}()
	return func() (gate.Ended, error) {
		r := <-done
		return r.end, r.err
	}
}

// consistent checks that disk, tree and state are at one root.
func (l *lab) consistent() {
	l.Helper()
	root := l.run.State().Root
	if l.tree.Root() != root {
		l.Fatalf("the tree is at %s, the state at %s", l.tree.Root().Short(), root.Short())
	}
	onDisk, _, err := workspace.HashDir(l.Context(), l.tree.Dir(), l.options())
	if err != nil || onDisk != root {
		l.Fatalf("on disk is %s, the state at %s: %v", onDisk.Short(), root.Short(), err)
	}
}

func (l *lab) file(name string) string {
	l.Helper()
	b, err := os.ReadFile(filepath.Join(l.tree.Dir(), name))
	if err != nil {
		return "(" + err.Error() + ")"
	}
	return string(b)
}

func text(end gate.Ended) string {
	p, err := chat.Parse(end.Message)
	if err != nil || p.Content == nil {
		return "(no content)"
	}
	return *p.Content
}

// kinds lists the entries of a call.
func (l *lab) kinds(call int64) (kinds []string) {
	l.Helper()
	for line, err := range l.run.Entries(l.Context(), 0) {
		if err != nil {
			l.Fatal(err)
		}
		e, err := journal.Decode(line)
		if err != nil {
			l.Fatal(err)
		}
		body, err := journal.DecodeBody(e.Kind, e.Body)
		if err != nil {
			l.Fatal(err)
		}
		var of struct{ Call int64 }
		of.Call = -1
		if err := json.Unmarshal(e.Body, &of); err != nil {
			l.Fatal(err)
		}
		name := strings.TrimPrefix(string(e.Kind), "call.")
		if d, ok := body.(*journal.CallDecided); ok {
			name += " " + d.Decision
		}
		if d, ok := body.(*journal.CallEnded); ok {
			name += " " + d.Status
		}
		if of.Call == call || e.Seq == call {
			kinds = append(kinds, name)
		}
	}
	return kinds
}

func (l *lab) wantKinds(call int64, want string) {
	l.Helper()
	if got := strings.Join(l.kinds(call), ", "); got != want {
		l.Errorf("call %d went through\n %s\nwant\n %s", call, got, want)
	}
}

func contains(list []string, s string) bool { return slices.Contains(list, s) }

// clock is a time that the test moves; After fires when it is told to.
type clock struct {
	now   time.Time
	asked chan time.Duration
	fire  chan time.Time
}

func newClock() *clock {
	return &clock{now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), asked: make(chan time.Duration, 8), fire: make(chan time.Time)}
}

func (c *clock) After(d time.Duration) <-chan time.Time {
	c.asked <- d
	return c.fire
}

// limited is the test's context with a bound, for whatever could hang.
func limited(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}
