//go:build amd64 || arm64

package sandbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tachograph/runner/sandbox"
)

// run is what most tests need of a Sandbox: a command's output and result.
type run struct {
	t *testing.T
	*sandbox.Sandbox
	c sandbox.Config

	mu sync.Mutex
	n  int
}

// newConfig makes a run's directories, owned by whom Open wants.
func newConfig(t testing.TB) sandbox.Config {
	t.Helper()
	base := t.TempDir()
	if err := os.Chmod(filepath.Dir(base), 0o755); err != nil { // as root the tools' user must get through
		t.Fatal(err)
	}
	c := sandbox.Config{
		Tree: filepath.Join(base, "tree"), Mount: "/srv/project", Home: filepath.Join(base, "home"),
		Tmp: filepath.Join(base, "tmp"), Scratch: filepath.Join(base, "scratch"),
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	for _, d := range []string{c.Tree, c.Home, c.Tmp, c.Scratch} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	give(t, c.Tree)
	t.Cleanup(func() {
		if err := sandbox.RemoveScratch(c.Scratch); err != nil {
			t.Error(err)
		}
	})
	return c
}

// give makes the tools' user the owner of path and everything below.
func give(t testing.TB, path string) {
	t.Helper()
	if sandbox.ToolUser(0) < 0 {
		return
	}
	err := filepath.WalkDir(path, func(p string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(p, sandbox.DefaultUID, sandbox.DefaultUID)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func writeTree(t testing.TB, c sandbox.Config, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(c.Tree, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	give(t, c.Tree)
}

func open(t *testing.T, c sandbox.Config) *run {
	t.Helper()
	s, err := sandbox.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &run{t: t, Sandbox: s, c: c}
}

// id gives a call's name that this run has not used.
func (r *run) id() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n++
	return fmt.Sprintf("call-%d", r.n)
}

// bash runs a script that must start, with a writable tree, and gives its combined output.
func (r *run) bash(script string) (string, sandbox.Result) {
	r.t.Helper()
	return r.do(sandbox.Command{Args: []string{"bash", "-c", script}, Overlay: true})
}

func (r *run) do(c sandbox.Command) (string, sandbox.Result) {
	r.t.Helper()
	var out lockedBuffer
	c.ID, c.Stdout, c.Stderr = r.id(), &out, &out
	res, err := r.Run(context.Background(), c)
	if err != nil {
		r.t.Fatalf("%q: %v", c.Args, err)
	}
	return strings.TrimSpace(out.String()), res
}

// lockedBuffer takes stdout and stderr, which come from two goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// eachTier runs f in every tier that confines.
func eachTier(t *testing.T, f func(t *testing.T, c sandbox.Config)) {
	t.Helper()
	for _, tier := range []sandbox.Tier{sandbox.TierNamespaces, sandbox.TierLandlock} {
		t.Run(tier.String(), func(t *testing.T) {
			t.Parallel()
			c := newConfig(t)
			c.Tier = tier
			f(t, c)
		})
	}
}

func TestExit(t *testing.T) {
	t.Parallel()
	eachTier(t, func(t *testing.T, c sandbox.Config) {
		r := open(t, c)
		for _, tc := range []struct {
			script, signal string
			exit           int
		}{
			{"true", "", 0}, {"exit 7", "", 7}, {"kill -9 $$", "SIGKILL", 137}, {"kill -TERM $$", "SIGTERM", 143},
		} {
			_, res := r.bash(tc.script)
			if res.Exit != tc.exit || res.Signal != tc.signal || res.Killed || res.TimedOut {
				t.Errorf("%s: got %+v", tc.script, res)
			}
			if res.Duration <= 0 || res.MaxRSS <= 0 {
				t.Errorf("%s: no cost reported: %+v", tc.script, res)
			}
		}
	})
}

func TestOff(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	c.Tier = sandbox.Off
	r := open(t, c)
	out, res := r.bash("pwd; id -u")
	if want := fmt.Sprintf("%s\n%d", c.Tree, os.Getuid()); out != want || res.Exit != 0 {
		t.Errorf("got %q, exit %d, want %q", out, res.Exit, want)
	}
	c.MinTier = sandbox.TierLandlock
	if _, err := sandbox.Open(t.Context(), c); !errors.As(err, new(*sandbox.Unavailable)) {
		t.Errorf("off with a minimum tier: got %v, want Unavailable", err)
	}
}

func TestStartError(t *testing.T) {
	t.Parallel()
	eachTier(t, func(t *testing.T, c sandbox.Config) {
		writeTree(t, c, map[string]string{"plain": "text"})
		r := open(t, c)
		for _, tc := range []struct {
			program string
			want    error
		}{{"no-such-program", fs.ErrNotExist}, {"./plain", fs.ErrPermission}, {"./missing", fs.ErrNotExist}} {
			_, err := r.Run(t.Context(), sandbox.Command{ID: r.id(), Args: []string{tc.program}, Overlay: true})
			var start *sandbox.StartError
			if !errors.As(err, &start) || !errors.Is(err, tc.want) {
				t.Errorf("%s: got %v, want a StartError that is %v", tc.program, err, tc.want)
			}
		}
		_, err := r.Run(t.Context(), sandbox.Command{ID: r.id(), Args: []string{"true"}, Dir: c.Mount + "/missing"})
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("missing directory: got %v", err)
		}
		if left := names(t, c.Scratch); len(left) != 0 {
			t.Errorf("calls that did not start left %v", left)
		}
	})
}

func TestCommandChecked(t *testing.T) {
	t.Parallel()
	r := open(t, newConfig(t))
	for name, c := range map[string]sandbox.Command{
		"empty id":      {Args: []string{"true"}},
		"path in id":    {ID: "../x", Args: []string{"true"}},
		"comma in id":   {ID: "a,b", Args: []string{"true"}},
		"no program":    {ID: "a"},
		"nul":           {ID: "a", Args: []string{"true", "a\x00b"}},
		"bad variable":  {ID: "a", Args: []string{"true"}, Env: []string{"novalue"}},
		"dir elsewhere": {ID: "a", Args: []string{"true"}, Dir: "/etc"},
		"dir unclean":   {ID: "a", Args: []string{"true"}, Dir: r.c.Mount + "/../.."},
	} {
		if _, err := r.Run(t.Context(), c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestEnvironmentAndArguments(t *testing.T) {
	eachTier(t, func(t *testing.T, c sandbox.Config) {
		r := open(t, c)
		out, _ := r.do(sandbox.Command{Args: []string{"env"}, Env: []string{"A=1", "PATH=/usr/bin:/bin"}})
		got := map[string]string{}
		for line := range strings.SplitSeq(out, "\n") {
			k, v, _ := strings.Cut(line, "=")
			got[k] = v
		}
		tmp := "/tmp"
		if c.Tier == sandbox.TierLandlock {
			tmp = c.Tmp
		}
		want := map[string]string{"A": "1", "PATH": "/usr/bin:/bin", "HOME": r.Home(), "TMPDIR": tmp, "LANG": "C.UTF-8", "GIT_CONFIG_NOSYSTEM": "1"}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		weird := "\xff\xfe \n'\""
		if out, _ := r.do(sandbox.Command{Args: []string{"printf", "%s", "[" + weird + "]"}}); out != "["+weird+"]" {
			t.Errorf("argument that is not UTF-8 came out as %q", out)
		}
		long := strings.Repeat("x", 100_000)
		if out, _ := r.do(sandbox.Command{Args: []string{"printf", "%s%s", long, long}}); out != long+long {
			t.Errorf("long arguments came out as %d bytes", len(out))
		}
	})
}

func TestStreams(t *testing.T) {
	t.Parallel()
	eachTier(t, func(t *testing.T, c sandbox.Config) {
		r := open(t, c)
		toTool, fromTest := io.Pipe()
		fromTool, toTest := io.Pipe()
		done := make(chan error, 1)
		go func() {
			_, err := r.Run(t.Context(), sandbox.Command{ID: r.id(), Args: []string{"cat"}, Stdin: toTool, Stdout: toTest})
			toTest.Close()
			done <- err
		}()
		for _, line := range []string{"one\n", "two\n"} { // each answer arrives while the process runs
			if _, err := io.WriteString(fromTest, line); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(line))
			if _, err := io.ReadFull(fromTool, got); err != nil || string(got) != line {
				t.Fatalf("got %q, %v", got, err)
			}
		}
		fromTest.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestNoInput(t *testing.T) {
	t.Parallel()
	eachTier(t, func(t *testing.T, c sandbox.Config) {
		r := open(t, c)
		if out, res := r.bash("cat; cat /dev/stdin; echo -n done > /dev/stdout"); out != "done" || res.Exit != 0 {
			t.Errorf("got %q, exit %d", out, res.Exit)
		}
	})
}

// failing refuses every write.
type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("no room") }

func TestWriterErrorDoesNotKill(t *testing.T) {
	t.Parallel()
	r := open(t, newConfig(t))
	res, err := r.Run(t.Context(), sandbox.Command{ID: "a", Args: []string{"bash", "-c", "head -c 1000000 /dev/zero; exit 5"}, Stdout: failing{}})
	if err != nil || res.Exit != 5 {
		t.Errorf("got exit %d, %v", res.Exit, err)
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	eachTier(t, func(t *testing.T, c sandbox.Config) {
		r := open(t, c)
		out, res := r.do(sandbox.Command{
			Args:    []string{"bash", "-c", "trap 'echo bye; exit 3' TERM; while :; do sleep 0.01; done"},
			Timeout: 300 * time.Millisecond, Grace: time.Minute,
		})
		if !strings.Contains(out, "bye") || res.Exit != 3 || !res.TimedOut || res.Killed {
			t.Errorf("with grace: %q, %+v", out, res)
		}
		_, res = r.do(sandbox.Command{
			Args:    []string{"bash", "-c", "trap '' TERM; while :; do sleep 0.01; done"},
			Timeout: 100 * time.Millisecond, Grace: 100 * time.Millisecond,
		})
		if res.Signal != "SIGKILL" || !res.TimedOut || !res.Killed {
			t.Errorf("stubborn: %+v", res)
		}
	})
}

func TestCancel(t *testing.T) {
	t.Parallel()
	eachTier(t, func(t *testing.T, c sandbox.Config) {
		r := open(t, c)
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("nobody wants it")
		up := writerFunc(func(p []byte) { cancel(why) })
		res, err := r.Run(ctx, sandbox.Command{ID: "a", Args: []string{"bash", "-c", "setsid sleep 1000 & echo up; wait"}, Stdout: up})
		if !errors.Is(err, why) || !res.Killed {
			t.Errorf("got %+v, %v", res, err)
		}
		if out, _ := r.bash("echo fine"); out != "fine" {
			t.Errorf("the next call said %q", out)
		}
	})
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) { f(p); return len(p), nil }

// TestNothingIsLeft starts processes that detach in every way there is; they are gone when Run returns.
func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	eachTier(t, func(t *testing.T, c sandbox.Config) {
		r := open(t, c)
		mark := fmt.Sprintf("3600.%d", time.Now().UnixNano())
		_, res := r.bash(fmt.Sprintf(`
			sleep %[1]s & disown
			nohup setsid sleep %[1]s >/dev/null 2>&1 &
			(setsid bash -c 'setsid sleep %[1]s & exec sleep %[1]s' </dev/null >/dev/null 2>&1 &)
			(trap "" HUP TERM; exec setsid sleep %[1]s >/dev/null 2>&1) &
			exit 4`, mark))
		if res.Exit != 4 {
			t.Errorf("exit %d", res.Exit)
		}
		if left := processesWith(t, mark); len(left) > 0 {
			t.Errorf("still running: %v", left)
		}
	})
}

// processesWith lists the processes of this machine whose command line holds mark.
func processesWith(t *testing.T, mark string) []string {
	t.Helper()
	var out []string
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err == nil && bytes.Contains(b, []byte(mark)) {
			out = append(out, f+": "+string(bytes.ReplaceAll(b, []byte{0}, []byte{' '})))
		}
	}
	return out
}

func TestClose(t *testing.T) {
	t.Parallel()
	eachTier(t, func(t *testing.T, c sandbox.Config) {
		s, err := sandbox.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		mark := fmt.Sprintf("3601.%d", time.Now().UnixNano())
		up, done := make(chan struct{}), make(chan error, 1)
		go func() {
			_, err := s.Run(t.Context(), sandbox.Command{
				ID: "a", Args: []string{"bash", "-c", "setsid sleep " + mark + " & echo up; wait"},
				Stdout: writerFunc(func([]byte) { close(up) }),
			})
			done <- err
		}()
		<-up
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; c.Tier == sandbox.TierNamespaces && !errors.Is(err, sandbox.ErrClosed) {
			t.Errorf("the running call: %v", err)
		}
		if _, err := s.Run(t.Context(), sandbox.Command{ID: "b", Args: []string{"true"}}); !errors.Is(err, sandbox.ErrClosed) {
			t.Errorf("a call after Close: %v", err)
		}
		if left := processesWith(t, mark); len(left) > 0 {
			t.Errorf("still running: %v", left)
		}
		if err := s.Close(); err != nil {
			t.Errorf("closing again: %v", err)
		}
	})
}
