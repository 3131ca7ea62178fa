package gate_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"tachograph/runner/gate"
	"tachograph/runner/state"
	"tachograph/runner/workspace"
	"tachograph/schemas/journal"
)

// failing refuses to keep objects while it is told to.
type failing struct {
	workspace.Objects
	full *atomic.Bool
}

var errNoRoom = errors.New("no room for objects")

func (f failing) Put(ctx context.Context, name journal.Object, b []byte) error {
	if f.full.Load() {
		return errNoRoom
	}
	return f.Objects.Put(ctx, name, b)
}

// A change that cannot be recorded is undone, and the model is told.
func TestChangeThatCannotBeKept(t *testing.T) {
	t.Parallel()
	l := newLab(t, map[string]string{"a.txt": "one\n"}, nil)
	l.turn("/", 4)
	l.gate.Close()
	var full atomic.Bool
	var err error
	root := l.run.State().Root
	if l.tree, err = workspace.Open(t.Context(), l.tree.Dir(), failing{l.run.Objects(), &full}, root, l.options()); err != nil {
		t.Fatal(err)
	}
	l.openGate(nil)
	full.Store(true)
	for i, r := range []gate.Request{
		bash(0, "echo two > a.txt; echo new > b.txt"),
		request("/", 1, "write_file", map[string]any{"path": "a.txt", "content": "two\n"}),
		request("/", 2, "delete_file", map[string]any{"path": "a.txt"}),
	} {
		end := l.do(r)
		if i < 2 && (end.Status != "error" || !strings.Contains(text(end), "nothing that it changed")) {
			t.Errorf("%d: %s %q", i, end.Status, text(end))
		}
		if i < 2 && l.file("a.txt") != "one\n" {
			t.Errorf("%d: a.txt is %q", i, l.file("a.txt"))
		}
	}
	full.Store(false)
	if end := l.do(bash(3, "echo three > c.txt")); end.Status != "ok" || l.file("c.txt") != "three\n" {
		t.Errorf("afterwards: %s %q", end.Status, text(end))
	}
}

// A store that is full lets no new call begin, and a held one keeps its place.
func TestFullStore(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil, nil)
	l.turn("/", 1)
	l.gate.Close()
	l.store.Close()
	store, err := state.Open(filepath.Join(l.dir, "data"), state.Options{Quota: 1, Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	if l.run, err = store.Run(t.Context(), labRun); err != nil {
		t.Fatal(err)
	}
	if l.tree, err = workspace.Open(t.Context(), l.tree.Dir(), l.run.Objects(), l.run.State().Root, l.options()); err != nil {
		t.Fatal(err)
	}
	l.openGate(nil)
	if _, err := l.gate.Do(t.Context(), bash(0, "echo x > x")); !errors.Is(err, state.ErrFull) {
		t.Errorf("want ErrFull, got %v", err)
	}
	if _, err := os.Stat(filepath.Join(l.tree.Dir(), "x")); err == nil {
		t.Error("the call ran")
	}
	l.consistent()
}

// Other arguments than those that were decided on are not run.
func TestContinueWithOtherArguments(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil, func(c *gate.Config) { c.Policy = askBash })
	l.turn("/", 1)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { l.gate.Do(ctx, bash(0, "echo x > x")); close(done) }()
	held := l.await(journal.KindCallHeld)
	cancel()
	<-done
	if err := l.gate.Approve(t.Context(), held.Call, "anna", ""); err != nil {
		t.Fatal(err)
	}
	for _, r := range []gate.Request{bash(0, "rm -rf /"), bash(1, "echo x > x"), request("/", 0, "write_file", map[string]any{"path": "x", "content": "x"})} {
		if _, err := l.gate.Continue(t.Context(), held.Call, r); err == nil || !strings.Contains(err.Error(), "other arguments") {
			t.Errorf("%s: %v", r.Arguments, err)
		}
	}
	if end, err := l.gate.Continue(t.Context(), held.Call, bash(0, "echo x > x")); err != nil || end.Status != "ok" {
		t.Errorf("%+v %v", end, err)
	}
	// Once more: it has ended, and says again what it said.
	if end, err := l.gate.Continue(t.Context(), held.Call, bash(0, "echo x > x")); err != nil || end.Status != "ok" || end.Call != held.Call {
		t.Errorf("%+v %v", end, err)
	}
}

func TestOpenRefusesBadPolicy(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil, nil)
	c := l.conf
	c.Policy = "permit (principal"
	if g, err := gate.Open(t.Context(), c); err == nil || g != nil || !strings.Contains(err.Error(), "policy:1:") {
		t.Errorf("%v", err)
	}
	c = l.conf
	c.Toolsets = []string{"github"}
	if _, err := gate.Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), "github") {
		t.Errorf("%v", err)
	}
}

func TestCheckSandbox(t *testing.T) {
	t.Parallel()
	if tier, err := gate.SandboxTier(t.Context(), gate.SandboxOptions{}); err != nil || tier != "1" && tier != "2" {
		t.Fatal(err)
	}
	if tier, err := gate.SandboxTier(t.Context(), gate.SandboxOptions{Off: true}); err != nil || tier != "off" {
		t.Errorf("without a sandbox: %q, %v", tier, err)
	}
	if err := gate.CheckSandbox(t.Context(), gate.SandboxOptions{ReadOnly: []string{"/no/such/path"}}); err == nil {
		t.Error("a path that cannot be shown was accepted")
	}
}

// A sandbox whose helper was killed costs the call that was in it, and no other.
func TestLostSandbox(t *testing.T) { // not parallel: it looks at this process's children
	before := children(t)
	l := newLab(t, map[string]string{"a": "a\n"}, nil)
	l.turn("/", 2)
	for _, pid := range children(t) {
		if !slices.Contains(before, pid) {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	if end := l.do(bash(0, "echo x > a")); end.Status != "error" || l.file("a") != "a\n" {
		t.Errorf("%s %q, a is %q", end.Status, text(end), l.file("a"))
	}
	if end := l.do(bash(1, "echo x > a")); end.Status != "ok" || l.file("a") != "x\n" {
		t.Errorf("%s %q, a is %q", end.Status, text(end), l.file("a"))
	}
}

func children(t *testing.T) (pids []int) {
	t.Helper()
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			continue // the thread has ended
		}
		for field := range strings.FieldsSeq(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// A call that came to nothing while nobody waited for it is told why when it is taken up.
func TestEndOfACallThatNobodyWaitedFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, want, status string
		answer             func(l *lab, call int64)
	}{
		{"refused", "use the other file", "refused", func(l *lab, call int64) {
			if err := l.gate.Refuse(l.Context(), call, "anna", "use the other file"); err != nil {
				l.Fatal(err)
			}
		}},
		{"expired", "nobody answered", "expired", func(l *lab, call int64) { l.append("/", &journal.CallExpired{Call: call}) }},
		{"denied", "because", "denied", func(l *lab, call int64) {
			d := gate.Decision{Verdict: gate.Deny, Reasons: []gate.Reason{{ID: "x", Text: "because"}}}
			l.append("/", &journal.CallDecided{Call: call, Decision: gate.Deny, Engine: gate.Engine, Policy: l.stage(l.conf.Policy),
				Reasons: l.stage(string(d.JSON([]string{"execute"})))})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, nil, func(g *gate.Config) { g.Policy = askBash })
			l.turn("/", 1)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { l.gate.Do(ctx, bash(0, "echo x > x")); close(done) }()
			held := l.await(journal.KindCallHeld)
			cancel()
			<-done
			c.answer(l, held.Call)
			end, err := l.gate.Continue(t.Context(), held.Call, bash(0, "echo x > x"))
			if err != nil || end.Status != c.status || !strings.Contains(text(end), c.want) {
				t.Errorf("%s %q %v", end.Status, text(end), err)
			}
			l.consistent()
		})
	}
}
