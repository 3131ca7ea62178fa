//go:build amd64 || arm64

package sandbox_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tachograph/runner/sandbox"
)

func TestOverlay(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	c.Tier = sandbox.TierNamespaces
	writeTree(t, c, map[string]string{"keep": "1", "gone": "2", "dir/a": "3", "dir/b": "4"})
	r := open(t, c)
	_, res := r.bash("rm gone; rm -r dir; mkdir dir; echo new > dir/c; echo more >> keep; mkdir -m 0 closed; mkdir -m 555 full; chmod 755 full; touch full/x; chmod 555 full")
	if res.Exit != 0 {
		t.Fatalf("%+v", res)
	}
	if d := cmp.Diff([]string{"closed", "dir", "full", "gone", "keep"}, names(t, res.Upper)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"dir", "gone", "keep"}, names(t, c.Tree)); d != "" {
		t.Error("the tree itself changed:", d)
	}
	if st, err := os.Lstat(filepath.Join(res.Upper, "gone")); err != nil || st.Mode().Type() != os.ModeDevice|os.ModeCharDevice {
		t.Errorf("deletion is %v, %v", st, err)
	}
	if out, _ := r.bash("cat gone keep; ls dir"); out != "21a\nb" { // another call's overlay shows none of it
		t.Errorf("the next call sees %q", out)
	}
	if _, err := r.Run(t.Context(), sandbox.Command{ID: "call-1", Args: []string{"true"}, Overlay: true}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("an id used twice: %v", err)
	}
	if len(names(t, res.Upper)) != 5 {
		t.Error("the refused call took the first one's changes with it")
	}
	for _, id := range []string{"call-1", "call-2"} {
		if err := r.Discard(id); err != nil {
			t.Error(err)
		}
	}
	if left := names(t, c.Scratch); len(left) != 0 {
		t.Errorf("discarded calls left %v", left)
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") { // what a zygote keeps ready in Scratch
			out = append(out, e.Name())
		}
	}
	return out
}

func TestTreeWithoutOverlay(t *testing.T) {
	t.Parallel()
	eachTier(t, func(t *testing.T, c sandbox.Config) {
		writeTree(t, c, map[string]string{"a": "text"})
		r := open(t, c)
		out, res := r.do(sandbox.Command{Args: []string{"bash", "-c", "cat a; for c in 'echo x > a' 'echo x > b' 'rm a' 'mkdir d' 'ln a l'; do eval \"$c\" 2>/dev/null && echo \"$c worked\"; done; true"}})
		if out != "text" || res.Exit != 0 || res.Upper != "" {
			t.Errorf("got %q, %+v", out, res)
		}
		if d := cmp.Diff([]string{"a"}, names(t, c.Tree)); d != "" {
			t.Error(d)
		}
	})
}

func TestTier2WritesInPlace(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	c.Tier = sandbox.TierLandlock
	r := open(t, c)
	if got, want := r.Path(c.Mount+"/a"), c.Tree+"/a"; got != want {
		t.Errorf("Path gives %s, want %s", got, want)
	}
	if _, res := r.bash("echo x > a; mkdir d; mv a d/b"); res.Exit != 0 || res.Upper != "" {
		t.Errorf("%+v", res)
	}
	if b, err := os.ReadFile(filepath.Join(c.Tree, "d/b")); err != nil || string(b) != "x\n" {
		t.Errorf("%q, %v", b, err)
	}
}

// TestMounts puts the tree in places that are in the sandbox's own way.
func TestMounts(t *testing.T) {
	t.Parallel()
	for _, mount := range []string{"/tmp/user/project", "/home/agent", "/home/agent/src", "/home", "/root/go/src/x", "/var/tmp/p", "/a"} {
		t.Run(mount, func(t *testing.T) {
			t.Parallel()
			c := newConfig(t)
			c.Tier, c.Mount = sandbox.TierNamespaces, mount
			writeTree(t, c, map[string]string{"sub/file": "here"})
			if mount == "/home" {
				if _, err := sandbox.Open(t.Context(), c); err == nil {
					t.Error("accepted")
				}
				return
			}
			r := open(t, c)
			out, res := r.do(sandbox.Command{Args: []string{"bash", "-c", "pwd; cat file; echo x > new && cat new; echo h > ~/h && echo t > /tmp/t && cat ~/h /tmp/t"}, Dir: mount + "/sub", Overlay: true})
			if want := mount + "/sub\nherex\nh\nt"; out != want || res.Exit != 0 {
				t.Errorf("got %q, want %q, exit %d", out, want, res.Exit)
			}
		})
	}
}

// TestMountPointMoved has a call move the directory that the next call's mount point lies in.
func TestMountPointMoved(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	c.Tier, c.Mount = sandbox.TierNamespaces, "/tmp/user/project"
	r := open(t, c)
	if _, res := r.bash("cd /; mv /tmp/user /tmp/other && ln -s /etc /tmp/user && mkdir -p /tmp/x"); res.Exit != 0 {
		t.Fatalf("%+v", res)
	}
	_, err := r.Run(t.Context(), sandbox.Command{ID: r.id(), Args: []string{"true"}, Overlay: true})
	if !errors.As(err, new(*sandbox.StartError)) {
		t.Errorf("got %v, want a refusal", err)
	}
}

func TestReadOnlyPaths(t *testing.T) {
	t.Parallel()
	eachTier(t, func(t *testing.T, c sandbox.Config) {
		shown := filepath.Join(filepath.Dir(c.Tree), "shown")
		if err := os.MkdirAll(filepath.Join(shown, "sub"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(shown, "f"), []byte("cached"), 0o644); err != nil {
			t.Fatal(err)
		}
		give(t, shown)
		c.ReadOnly = []string{shown}
		r := open(t, c)
		out, _ := r.bash(fmt.Sprintf("cat %[1]s/f; echo x 2>/dev/null > %[1]s/f || echo -n ' kept'; touch %[1]s/sub/x 2>/dev/null || echo ' kept'", shown))
		if out != "cached kept kept" {
			t.Errorf("got %q", out)
		}
		c.ReadOnly = []string{shown + "/missing"}
		if _, err := sandbox.Open(t.Context(), c); !errors.As(err, new(*sandbox.Unavailable)) {
			t.Errorf("a missing path: got %v, want Unavailable", err)
		}
	})
}

// TestTools does what agents do all day.
func TestTools(t *testing.T) {
	t.Parallel()
	eachTier(t, func(t *testing.T, c sandbox.Config) {
		// println: to compile the runtime is work enough
		writeTree(t, c, map[string]string{"go.mod": "module m\n\ngo 1.24\n", "m.go": "package main\n\nfunc main() { println(6 * 7) }\n"})
		goroot, err := exec.Command("go", "env", "GOROOT").Output()
		if err != nil {
			t.Skip("needs go on PATH:", err)
		}
		root := strings.TrimSpace(string(goroot))
		c.ReadOnly = []string{root}
		r := open(t, c)
		env := []string{"PATH=" + root + "/bin:/usr/bin:/bin", "GOTOOLCHAIN=local", "GOFLAGS=-p=1", "GOROOT=" + root}
		out, res := r.do(sandbox.Command{Args: []string{"go", "run", "."}, Env: env, Overlay: true, Timeout: 5 * time.Minute})
		if res.Exit != 0 || out != "42" {
			t.Errorf("go run: exit %d: %s", res.Exit, out)
		}
		out, res = r.bash(`set -e
			git init -q . && git config user.email a@b && git config user.name n
			git add . && git commit -qm first && git log --oneline | wc -l
			diff <(echo a) <(echo a) && cat <<< here
			echo x > /dev/null; mktemp >/dev/null; id -u >/dev/null`)
		if res.Exit != 0 || out != "1\nhere" {
			t.Errorf("git and bash: exit %d: %s", res.Exit, out)
		}
	})
}
