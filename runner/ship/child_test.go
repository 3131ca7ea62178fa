package ship_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"go.opentelemetry.io/collector/pdata/plog"

	"tachograph/runner/ship"
	"tachograph/runner/state"
	"tachograph/runner/workspace"
	"tachograph/schemas/journal/journaltest"
)

const childVar = "TACHO_SHIP_TEST_CHILD"

// asChild makes this process the child of TestKill if the environment says so: it writes entries, one for
// each line that it reads, and ships the run meanwhile.
func asChild() {
	dir := os.Getenv(childVar)
	if dir == "" {
		return
	}
	if err := child(context.Background(), dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func child(ctx context.Context, dir string) (err error) {
	store, err := state.Open(filepath.Join(dir, "store"), state.Options{CheckpointEvery: 16})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	story := journaltest.New(uint64(os.Getpid()))
	run, err := store.Run(ctx, runID(1))
	if errors.Is(err, state.ErrNotFound) {
		run, err = begin(ctx, store, story, filepath.Join(dir, "source"), filepath.Join(dir, "tree"))
	}
	if err != nil {
		return err
	}
	story.Stage = run.Stage
	root := run.State().Root
	story.Root = nil
	s, err := ship.Open(hasty(store, os.Getenv(childVar+"_TO"), filepath.Join(dir, "cursors")))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close(ctx)) }()
	s.Follow(run.Journal)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if root, err = stepInto(ctx, run, root, run.Len()); err != nil {
			return err
		}
		fmt.Println(run.Len())
	}
	return s.Ship(ctx, run.ID(), nil)
}

func begin(ctx context.Context, store *state.Store, story *journaltest.Story, source, dir string) (*state.Run, error) {
	run, err := store.Create(ctx, runID(1), state.CreateOptions{})
	if err != nil {
		return nil, err
	}
	tree, _, err := workspace.Import(ctx, source, dir, run.Objects(), workspace.Options{UID: -1})
	if err != nil {
		return nil, err
	}
	if err := run.Objects().SealBase(ctx, tree.Root()); err != nil {
		return nil, err
	}
	story.Stage = run.Stage
	started := story.Start(run.ID())
	started.Base, started.Root = tree.Root(), tree.Root()
	_, err = run.Append(ctx, state.Draft{Agent: "/", Body: started})
	return run, err
}

// TestKill kills the process that writes and ships a run again and again, at random entries and while a request
// is under way, before and after the receiver kept it. In the end all is there, and nothing came
// with other bytes or before what it names.
func TestKill(t *testing.T) {
	t.Parallel()
	seed := seeded(t)
	random := rand.New(rand.NewPCG(seed, 1))
	dir := t.TempDir()
	if err := os.Rename(source(t, seed), filepath.Join(dir, "source")); err != nil {
		t.Fatal(err)
	}
	to := newReceiver()
	to.strict = true
	var victim atomic.Pointer[os.Process]
	var mode atomic.Int64
	to.decide = func(int, plog.Logs) answer {
		p := victim.Load()
		switch m := mode.Load(); {
		case p == nil || m == killAtEntry:
			return answer{}
		case m == killBefore:
			kill(t, p)
			return answer{code: http.StatusServiceUnavailable}
		}
		kill(t, p)
		return answer{}
	}
	env := append(os.Environ(), childVar+"="+dir, childVar+"_TO="+to.serveHTTP(t))
	for range 25 {
		c := startChild(t, env)
		steps := 1 + random.IntN(12)
		for i := range steps {
			if i == steps-1 {
				mode.Store(random.Int64N(killModes))
				victim.Store(c.cmd.Process)
			}
			if !c.step() {
				break
			}
		}
		kill(t, c.cmd.Process)
		c.wait(t)
		victim.Store(nil)
	}
	last := startChild(t, env)
	if err := last.in.Close(); err != nil {
		t.Error(err)
	}
	if err := last.cmd.Wait(); err != nil {
		t.Errorf("the last process: %v: %s", err, last.err)
	}
	store := openStore(t, filepath.Join(dir, "store"))
	j, err := store.Journal(t.Context(), runID(1))
	if err != nil {
		t.Fatal(err)
	}
	to.holds(t, j)
	t.Logf("%d entries, %d requests, %d records, %d came again", j.Len(), to.requests, to.records, to.again)
}

// When a child is killed.
const (
	killAtEntry = iota
	killBefore  // the receiver keeps the records of a request
	killAfter   // it kept them, before the child knows
	killModes
)

func kill(t testing.TB, p *os.Process) {
	if err := p.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
}

type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
	err *strings.Builder
}

func startChild(t testing.TB, env []string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(os.Args[0]), err: &strings.Builder{}}
	p.cmd.Env, p.cmd.Stderr = env, p.err
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.in, p.out = in, bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// step has the child write an entry; false if it is dead.
func (p *process) step() bool {
	if _, err := io.WriteString(p.in, "\n"); err != nil {
		return false
	}
	_, err := p.out.ReadString('\n')
	return err == nil
}

// wait reaps a child that was killed.
func (p *process) wait(t testing.TB) {
	t.Helper()
	if err := p.cmd.Wait(); err != nil && p.err.Len() > 0 {
		t.Errorf("child: %v: %s", err, p.err)
	}
}
