package sandbox_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tachograph/runner/sandbox"
)

// run is what most tests need of a Sandbox: a command's output and result.
type run struct {
	t *testing.T
	*sandbox.Sandbox
	c sandbox.Config
	n int
}

// newConfig makes a run's directories, owned by whom Open wants.
func newConfig(t testing.TB) sandbox.Config {
	t.Helper()
	base := t.TempDir()
	if err := os.Chmod(filepath.Dir(base), 0o755); err != nil {
		t.Fatal(err)
	}
	c := sandbox.Config{
		Tree: filepath.Join(base, "tree"), Mount: "/work/project", Home: filepath.Join(base, "home"),
		Tmp: filepath.Join(base, "tmp"), Scratch: filepath.Join(base, "scratch"), Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	for _, d := range []string{c.Tree, c.Home, c.Tmp, c.Scratch} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	give(t, c.Tree)
	return c
}

// give makes the tools' user the owner of path and everything below.
func give(t testing.TB, path string) {
	t.Helper()
	if os.Getuid() != 0 {
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

// bash runs a script that must start, and gives its combined output.
func (r *run) bash(script string) (string, sandbox.Result) {
	r.t.Helper()
	r.n++
	var out bytes.Buffer
	id := "call-" + string(rune('a'+r.n))
	res, err := r.Run(context.Background(), sandbox.Command{ID: id, Args: []string{"bash", "-c", script}, Stdout: &out, Stderr: &out, Overlay: true})
	if err != nil {
		r.t.Fatal(err)
	}
	return strings.TrimSpace(out.String()), res
}

func TestBasic(t *testing.T) {
	for _, tier := range []sandbox.Tier{1, 2, -1} {
		t.Run(tier.String(), func(t *testing.T) {
			c := newConfig(t)
			c.Tier = tier
			r := open(t, c)
			out, res := r.bash("id; pwd; hostname; ls -la / /tmp $HOME; cat /proc/self/status | egrep 'Cap|NoNew|Secc'; ip addr; mount; echo hi > x; git init . ; git status; env; ls /proc; exit 3")
			t.Log(out)
			t.Logf("%+v", res)
		})
	}
}

func TestMain(m *testing.M) {
	sandbox.RunIfHelper()
	os.Exit(m.Run())
}
