package spans_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tachograph/runner/spans"
	"tachograph/runner/state"
	"tachograph/schemas/journal"
)

const childVar = "TACHO_SPANS_TEST_CHILD"

// asChild makes this process the child of TestKill if the environment says so: it writes one step of
// the story for each line that it reads, says so, and exports spans meanwhile.
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
	id, err := journal.ParseRunID(os.Getenv(childVar + "_RUN"))
	if err != nil {
		return err
	}
	store, err := state.Open(filepath.Join(dir, "store"), state.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	run, err := store.Run(ctx, id)
	if errors.Is(err, state.ErrNotFound) {
		run, err = store.Create(ctx, id, state.CreateOptions{})
	}
	if err != nil {
		return err
	}
	e, err := spans.Open(ctx, spans.Config{Env: os.Getenv, Dir: filepath.Join(dir, "spans"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close(ctx)) }()
	e.Follow(run.Journal)
	s, _ := story()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if next := int(run.Len()); next < len(s.steps) {
			if err := s.play(ctx, run, next); err != nil {
				return err
			}
		}
		fmt.Println(run.Len())
	}
	return nil
}

// TestKill kills the process that writes and exports a run again and again, at random entries and
// while a request is under way, before and after the receiver kept it. In the end the receiver has
// the spans of an undisturbed run, each with the same bytes whenever it came again.
func TestKill(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	dir, id := t.TempDir(), newRunID(t)
	to := newReceiver()
	var victim atomic.Pointer[os.Process]
	var mode atomic.Int64
	to.answer = func(_ *http.Request, _, _ int) int {
		p := victim.Load()
		switch m := mode.Load(); {
		case p == nil || m == killAtEntry:
			return http.StatusOK
		case m == killBefore:
			kill(t, p)
			return http.StatusServiceUnavailable
		}
		kill(t, p)
		return http.StatusOK
	}
	env := append(os.Environ(), childVar+"="+dir, childVar+"_RUN="+id.String(), "OTEL_EXPORTER_OTLP_ENDPOINT="+to.serveHTTP(t), "OTEL_BSP_SCHEDULE_DELAY=1")
	s, _ := story()
	kills := 0
	for written := 0; written < len(s.steps); {
		mode.Store(random.Int64N(killModes))
		c := startChild(t, env)
		victim.Store(c.cmd.Process)
		steps := 1 + random.IntN(5)
		for range steps {
			if n, ok := c.step(); ok {
				written = n
			} else {
				break
			}
			if written == len(s.steps) {
				break
			}
		}
		kill(t, c.cmd.Process)
		kills++
		c.wait(t)
		victim.Store(nil)
	}
	last := startChild(t, env)
	if err := last.in.Close(); err != nil {
		t.Error(err)
	}
	if err := last.cmd.Wait(); err != nil {
		t.Errorf("the last process: %v", err)
	}
	t.Logf("%d kills, %d requests, %d spans came again", kills, to.requests, to.again)

	store, err := state.Open(filepath.Join(dir, "store"), state.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	j, err := store.Journal(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	to.same(t, undisturbed(t, j))
}

// When a child is killed.
const (
	killAtEntry = iota
	killBefore  // the receiver keeps the spans of a request
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

// step has the child write an entry; ok is false if it is dead.
func (p *process) step() (written int, ok bool) {
	if _, err := io.WriteString(p.in, "\n"); err != nil {
		return 0, false
	}
	line, err := p.out.ReadString('\n')
	if err != nil {
		return 0, false
	}
	_, err = fmt.Sscan(line, &written)
	return written, err == nil
}

// wait reaps a child that was killed.
func (p *process) wait(t testing.TB) {
	t.Helper()
	if err := p.cmd.Wait(); err != nil && p.err.Len() > 0 {
		t.Errorf("child: %v: %s", err, p.err)
	}
}
