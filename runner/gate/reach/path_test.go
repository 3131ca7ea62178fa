package reach_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tachograph/runner/gate/reach"
)

// linkedTree has links that lead around, out and in circles.
func linkedTree(t testing.TB) reach.Tree {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"src/deep", ".git/hooks"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{
		"gitlink": ".git", "src/up": "..", "out": "/etc", "deep": "src/deep", "loop": "loop2", "loop2": "loop",
		"mount": "/home/user/project/src", "escape": "../../etc/passwd", "home": "/home/agent", "abs": "/home/user/project/.git/config",
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	open, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { open.Close() })
	return reach.Tree{Dir: open, Mount: "/home/user/project", Home: "/home/agent", Seen: "/data/run/tree"}
}

func TestLocate(t *testing.T) {
	t.Parallel()
	tree := linkedTree(t)
	for _, c := range []struct{ dir, path, want, where string }{
		{"", "a.go", "a.go", reach.InTree},
		{"", "./a//b/../c.go", "a/c.go", reach.InTree},
		{"", ".", ".", reach.InTree},
		{"src", "", "", reach.Invalid},
		{"src", "a", "src/a", reach.InTree},
		{"src", "../a", "a", reach.InTree},
		{"", "../project/a", "a", reach.InTree},
		{"", "..", "/home/user", reach.Outside},
		{"", "../../../../../etc/passwd", "/etc/passwd", reach.Outside},
		{"", "/home/user/project", ".", reach.InTree},
		{"", "/home/user/project/a/", "a", reach.InTree},
		{"", "/home/user/projects/a", "/home/user/projects/a", reach.Outside},
		{"", "/data/run/tree/a", "a", reach.InTree},
		{"", "/", "/", reach.Outside},
		{"", "//etc///passwd", "/etc/passwd", reach.Outside},
		{"", "/tmp/x", "/tmp/x", reach.Own},
		{"", "/tmp/../etc/x", "/etc/x", reach.Outside},
		{"", "/dev/null", "/dev/null", reach.Own},
		{"", "/dev/sda", "/dev/sda", reach.Outside},
		{"", "/home/agent/.cache", "/home/agent/.cache", reach.Own},
		{"/tmp", "x", "/tmp/x", reach.Own},
		{"", "a\x00b", "a\x00b", reach.Invalid},
		// Links are where they lead.
		{"", "gitlink/config", ".git/config", reach.InTree},
		{"", "src/up/gitlink/hooks", ".git/hooks", reach.InTree},
		{"", "out/passwd", "/etc/passwd", reach.Outside},
		{"", "out/../a", "/a", reach.Outside},
		{"", "deep/../a", "src/a", reach.InTree},
		{"", "mount/a", "src/a", reach.InTree},
		{"", "abs", ".git/config", reach.InTree},
		{"", "escape", "/home/etc/passwd", reach.Outside},
		{"", "home/x", "/home/agent/x", reach.Own},
		{"deep", "..", "src", reach.InTree},
		{"", "loop/x", "/home/user/project", reach.Invalid},
	} {
		got := tree.Locate(c.dir, c.path, true)
		if got.Where != c.where || got.Where != reach.Invalid && got.Path != c.want {
			t.Errorf("Locate(%q, %q) = %+v, want %s %s", c.dir, c.path, got, c.where, c.want)
		}
	}
	if got := tree.Locate("", "gitlink", false); got.Path != "gitlink" {
		t.Errorf("a link at the end is followed though it should not be: %+v", got)
	}
}

func TestWriteThroughLink(t *testing.T) {
	t.Parallel()
	tree := linkedTree(t)
	got := tree.Reach(reach.Claim{Command: "echo x > gitlink/hooks/pre-commit; cd src/up; rm -rf gitlink/"})
	check(t, got, want{facts: "TouchesGit RecursiveDelete DestroysHistory", written: list(".git/hooks/pre-commit"), deleted: list(".git")})
	got = tree.Reach(reach.Claim{Command: "rm gitlink"})
	check(t, got, want{deleted: list("gitlink")})
	got = tree.Reach(reach.Claim{Write: list("out/passwd"), Delete: list(".git")})
	check(t, got, want{facts: "OutsideTree WritesOutside TouchesGit DestroysHistory", written: list("/etc/passwd")})
}

func FuzzLocate(f *testing.F) {
	for _, s := range []string{"a/../b", "/etc/passwd", "../..", "gitlink/x", "out/../..", "loop", "~", "a\x00b", "////"} {
		f.Add("", s, true)
		f.Add("src", s, false)
	}
	tree := linkedTree(f)
	f.Fuzz(func(t *testing.T, dir, p string, last bool) {
		got := tree.Locate(dir, p, last)
		switch got.Where {
		case reach.InTree:
			if got.Path == "" || filepath.IsAbs(got.Path) || filepath.Clean(got.Path) != got.Path || !filepath.IsLocal(got.Path) {
				t.Errorf("Locate(%q, %q) = %+v: not a clean path below the tree", dir, p, got)
			}
		case reach.Own, reach.Outside:
			if !filepath.IsAbs(got.Path) || filepath.Clean(got.Path) != got.Path {
				t.Errorf("Locate(%q, %q) = %+v: not a clean absolute path", dir, p, got)
			}
		}
		// The kernel agrees: what it opens is what was located.
		if strings.IndexByte(got.Path, 0) >= 0 {
			return // of a working directory that no process can have
		}
		if again := tree.Locate("", got.Path, last); got.Where == reach.InTree && last && again != got {
			t.Errorf("Locate(%q, %q) = %+v, and of that %+v", dir, p, got, again)
		}
	})
}
