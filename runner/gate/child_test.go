package gate_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tachograph/runner/gate"
	"tachograph/runner/state"
	"tachograph/runner/workspace"
	"tachograph/schemas/journal"
)

// childEnv holds "directory|point|tool|policy" in a process that takes a lab's run up, makes a call
// and stops at the point, to be killed there.
const childEnv = "TACHO_GATE_TEST_CHILD"

// Points at which a child stops. What was announced before is durable.
const (
	atProposed = "call.proposed"
	atHeld     = "call.held"
	atApproved = "call.approved"
	atStarted  = "call.started" // and the tool has not begun
	atOutput   = "output"       // the tool has changed files and runs
	atObject   = "object"       // the tool has ended, its delta is being recorded
	atEnded    = "call.ended"   // and the delta is not applied
)

func child() {
	part := strings.Split(os.Getenv(childEnv), "|")
	dir, point, tool, mode := part[0], part[1], part[2], part[3]
	stop := func() {
		fmt.Println("reached " + point)
		select {} // until the kill
	}
	armed := false
	ctx, cancel := context.WithCancel(context.Background())
	held := int64(-1)
	a, err := attach(ctx, dir, objectGate(&armed, func() {
		if point == atObject {
			stop()
		}
	}), func(c *gate.Config) {
		labMode(c, mode)
		c.Notify = func(e gate.Event) {
			if string(e.Kind) == point {
				stop()
			}
			armed = armed || e.Kind == journal.KindCallStarted
			if e.Kind == journal.KindCallHeld {
				held = e.Call
				cancel() // nobody waits when the approval comes, so the call does not start before the kill
			}
		}
		c.Watch = func(string, string, []byte) {
			if point == atOutput {
				stop()
			}
		}
	})
	if err == nil {
		_, err = a.gate.Do(ctx, oneLine(tool))
	}
	if held >= 0 {
		err = a.gate.Approve(context.Background(), held, "anna", "")
	}
	fmt.Println("not reached:", err)
	os.Exit(1)
}

// labMode configures a gate: "allow", "hold" or "off" (no sandbox, so the scope is not the workspace).
func labMode(c *gate.Config, mode string) {
	c.Policy = permitAll
	if mode == "hold" {
		c.Policy = permitAll + `@id("ask") @hold("asked") forbid (principal, action, resource);`
	}
	c.Sandbox.Off = mode == "off"
}

// oneLine appends a line to the file log, or makes it: done twice, it shows.
func oneLine(tool string) gate.Request {
	if tool == "write_file" {
		return request("/", 0, "write_file", map[string]any{"path": "log", "content": "line\n"})
	}
	return bash(0, "echo line >> log; rm -f doomed; echo out")
}

// watched calls before with every object that is put while armed.
type watched struct {
	workspace.Objects
	armed  *bool
	before func()
}

func (w watched) Put(ctx context.Context, name journal.Object, b []byte) error {
	if *w.armed {
		w.before()
	}
	return w.Objects.Put(ctx, name, b)
}

func objectGate(armed *bool, before func()) func(workspace.Objects) workspace.Objects {
	return func(o workspace.Objects) workspace.Objects { return watched{o, armed, before} }
}

// attached is a run that was taken up.
type attached struct {
	store *state.Store
	run   *state.Run
	tree  *workspace.Tree
	gate  *gate.Gate
}

func (a *attached) close() {
	if a.gate != nil {
		a.gate.Close()
	}
	a.store.Close()
}

// attach takes up the run in a lab's directory as a new process does, except for `recovered`.
func attach(ctx context.Context, dir string, wrap func(workspace.Objects) workspace.Objects, configure func(*gate.Config)) (*attached, error) {
	store, err := state.Open(filepath.Join(dir, "data"), state.Options{Reserve: -1})
	if err != nil {
		return nil, err
	}
	a := &attached{store: store}
	if a.run, err = store.Run(ctx, labRun); err != nil {
		return a, err
	}
	root := a.run.State().Root
	if a.tree, err = workspace.Open(ctx, filepath.Join(dir, "tree"), wrap(a.run.Objects()), root, workspace.Options{UID: gate.ToolUser()}); err != nil {
		return a, err
	}
	c := gate.Config{Run: a.run, Tree: a.tree, Toolsets: []string{"filesystem", "bash"}, Policy: permitAll, Mount: mount,
		Home: filepath.Join(dir, "home"), Tmp: filepath.Join(dir, "tmp"), Scratch: filepath.Join(dir, "scratch")}
	configure(&c)
	a.gate, err = gate.Open(ctx, c)
	return a, err
}

// killAt starts a child on the lab's run, which must not be in use, and kills it at the point.
func killAt(t *testing.T, dir, point, tool, mode string) {
	t.Helper()
	cmd := exec.CommandContext(limited(t), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+strings.Join([]string{dir, point, tool, mode}, "|"))
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if line != "reached "+point+"\n" {
		t.Errorf("child says %q (%v)", line, err)
	}
	cmd.Process.Kill()
	cmd.Wait()
}

// recover does what an owner does with a run whose process died.
func recovered(t *testing.T, a *attached) (doubt, rerun []int64) {
	t.Helper()
	ctx := t.Context()
	if err := a.run.Take(ctx); err != nil {
		t.Fatal(err)
	}
	doubt, rerun = gate.Classify(a.run.State())
	if _, err := a.run.Append(ctx, state.Draft{Agent: "/", Body: &journal.Recovered{Doubt: doubt, Rerun: rerun}}); err != nil {
		t.Fatal(err)
	}
	return doubt, rerun
}

// newRunDir makes a lab's directory with a run whose model has asked for one call, not in use.
func newRunDir(t *testing.T, mode string) *lab {
	t.Helper()
	l := newLab(t, map[string]string{"doomed": "x", "keep": "k"}, func(c *gate.Config) { labMode(c, mode) })
	l.turn("/", 1)
	l.gate.Close()
	if err := l.store.Close(); err != nil {
		t.Fatal(err)
	}
	return l
}

// At whatever point the process is killed: the call is done once, the tree is at the state's root,
// nothing that was not decided has run.
func TestKilledAtEachPoint(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ point, tool, mode, kinds string }{
		{atProposed, "bash", "allow", "proposed, decided allow, started, ended ok"},
		{atHeld, "bash", "hold", "proposed, decided hold, held, approved, started, ended ok"},
		{atApproved, "bash", "hold", "proposed, decided hold, held, approved, started, ended ok"},
		{atStarted, "bash", "allow", "proposed, decided allow, started, started, ended ok"},
		{atOutput, "bash", "allow", "proposed, decided allow, started, started, ended ok"},
		{atObject, "bash", "allow", "proposed, decided allow, started, started, ended ok"},
		{atEnded, "bash", "allow", "proposed, decided allow, started, ended ok"},
		{atStarted, "write_file", "allow", "proposed, decided allow, started, started, ended ok"},
		{atObject, "write_file", "allow", "proposed, decided allow, started, started, ended ok"},
		{atEnded, "write_file", "allow", "proposed, decided allow, started, ended ok"},
	} {
		t.Run(c.point+" "+c.tool, func(t *testing.T) {
			t.Parallel()
			l := newRunDir(t, c.mode)
			killAt(t, l.dir, c.point, c.tool, c.mode)
			held := make(chan int64, 4)
			a, err := attach(t.Context(), l.dir, func(o workspace.Objects) workspace.Objects { return o }, func(g *gate.Config) {
				labMode(g, c.mode)
				g.Notify = func(e gate.Event) {
					if e.Kind == journal.KindCallHeld {
						held <- e.Call
					}
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(a.close)
			recovered(t, a)
			calls := a.run.State().Agent("/").Calls
			if len(calls) != 1 {
				t.Fatalf("calls: %+v", calls)
			}
			if calls[0].Phase == journal.CallIsHeld {
				if err := a.gate.Approve(t.Context(), calls[0].ID, "anna", ""); err != nil {
					t.Fatal(err)
				}
			}
			end, err := a.gate.Continue(t.Context(), calls[0].ID, oneLine(c.tool))
			if err != nil {
				t.Fatal(err)
			}
			l.run, l.tree = a.run, a.tree
			l.consistent()
			if end.Status != "ok" || l.file("log") != "line\n" || l.file("keep") != "k" {
				t.Errorf("%s %q, log %q", end.Status, text(end), l.file("log"))
			}
			l.wantKinds(end.Call, c.kinds)
		})
	}
}

// A call that may have happened beyond the workspace is held, skipped or run again as the spec says.
func TestInDoubt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ how, log, kinds string }{
		{"ask", "line\n", "proposed, decided allow, started, approved, started, ended ok"},
		{"retry", "line\n", "proposed, decided allow, started, approved, started, ended ok"},
		{"skip", "", "proposed, decided allow, started, ended skipped"},
	} {
		t.Run(c.how, func(t *testing.T) {
			t.Parallel()
			l := newRunDir(t, "off")
			killAt(t, l.dir, atOutput, "bash", "off")
			a, err := attach(t.Context(), l.dir, func(o workspace.Objects) workspace.Objects { return o }, func(g *gate.Config) {
				labMode(g, "off")
				g.OnInDoubt = c.how
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(a.close)
			doubt, rerun := recovered(t, a)
			if len(doubt) != 1 || len(rerun) != 0 {
				t.Fatalf("doubt %v, rerun %v", doubt, rerun)
			}
			if c.how == "ask" {
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				if _, err := a.gate.Continue(ctx, doubt[0], oneLine("bash")); err == nil {
					t.Error("a call in doubt ran without being asked for")
				}
				if err := a.gate.Approve(t.Context(), doubt[0], "anna", ""); err != nil {
					t.Fatal(err)
				}
			}
			end, err := a.gate.Continue(t.Context(), doubt[0], oneLine("bash"))
			if err != nil {
				t.Fatal(err)
			}
			l.run, l.tree = a.run, a.tree
			l.consistent()
			if log, _ := os.ReadFile(filepath.Join(l.dir, "tree", "log")); string(log) != c.log {
				t.Errorf("%s: log %q", end.Status, log)
			}
			l.wantKinds(end.Call, c.kinds)
		})
	}
}
