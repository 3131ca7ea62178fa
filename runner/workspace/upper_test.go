//go:build linux

package workspace_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tachograph/runner/workspace"
)

// TestOverlayShell lets a shell do in a real overlay what mutate does not, and compares with the same
// in a plain directory.
func TestOverlayShell(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"directory replaced":     "rm -r cmd; mkdir cmd; echo new > cmd/other",
		"directory gone":         "rm -r cmd .git",
		"everything gone":        "find . -mindepth 1 -delete",
		"moved over":             "mv cmd/sub/x.go README.md; mv cmd gone",
		"file becomes directory": "rm README.md; mkdir -p README.md/a/b; echo x > README.md/a/b/c",
		"directory becomes link": "rm -r cmd; ln -s /tmp cmd",
		"link becomes directory": "rm todir; mkdir todir; echo x > todir/x",
		"touched only":           "touch README.md; chmod 600 cmd/main.go; chmod 644 cmd/main.go",
		"hard links":             "ln README.md one; ln README.md two; echo more >> one",
		"hard links in new":      "mkdir n; echo x > n/a; ln n/a n/b; ln n/a c",
		"fifo":                   "mkfifo pipe cmd/pipe; mkdir fresh; mkfifo fresh/pipe",
		"deleted in replaced":    "rm -r cmd; mkdir -p cmd/sub; echo 1 > cmd/sub/1; rm cmd/sub/1; echo 2 > cmd/sub/2",
		"ignored":                "mkdir -p out/x; echo 1 > out/x/1; echo 1 > a.tmp",
		"nothing":                ":",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objs := newObjects(t)
			files := ordinary()
			files[".tachoignore"] = "out/\n*.tmp\n"
			tree, src := imported(t, objs, own(), files)
			plain, _, err := workspace.Import(t.Context(), src, filepath.Join(t.TempDir(), "plain"), objs, own())
			must(t, err)
			// Twice, so that the second time works on what the first left in the tree.
			for range 2 {
				overlayAgainstPlain(t, tree, plain, script)
				wantTree(t, objs, tree)
				wantTree(t, objs, plain)
				script = "set +e; exec 2>/dev/null; " + script + "; true"
			}
		})
	}
}

func overlayAgainstPlain(t *testing.T, tree, plain *workspace.Tree, script string) {
	t.Helper()
	upper := overlaid(t, tree.Dir(), overlayTask{Shell: script})
	d, err := tree.TakeUpper(t.Context(), upper)
	must(t, err, tree.ApplyUpper(t.Context(), upper, d))
	must(t, shell(plain.Dir(), script))
	p, err := plain.Scan(t.Context())
	must(t, err)
	// Linked names show the same content in a plain directory, but one in an overlay whose lower
	// holds the others; only the trees without such links must agree.
	if !strings.Contains(script, "ln README.md") && d.To != p.To {
		t.Fatalf("overlay: %v\nplain:   %v", d.Changes, p.Changes)
	}
	if d.LeftOut != p.LeftOut {
		t.Errorf("left out: %d by the overlay, %d by the scan", d.LeftOut, p.LeftOut)
	}
}

// TestTakeUpperSince follows an upper directory that stays in use.
func TestTakeUpperSince(t *testing.T) {
	t.Parallel()
	objs := newObjects(t)
	tree, _ := imported(t, objs, own(), ordinary())
	first := tree.Root()
	upper := filepath.Join(t.TempDir(), "upper")
	makeTree(t, upper, map[string]string{"a": "1\n", "cmd/main.go": "package other\n"})
	d1, err := tree.TakeUpper(t.Context(), upper)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(upper, "a"), []byte("2\n"), 0o644), unix.Mknod(filepath.Join(upper, "binary"), unix.S_IFCHR, 0))
	d2, err := tree.TakeUpperSince(t.Context(), upper, d1)
	must(t, err)
	if d1.From != first || d2.From != d1.To || d2.Files() != 2 || tree.Root() != first {
		t.Errorf("first %v, then %v", d1.Changes, d2.Changes)
	}
	if err := tree.ApplyUpper(t.Context(), upper, workspace.Delta{}); err == nil {
		t.Error("a delta of no tree was applied")
	}
	must(t, tree.ApplyUpper(t.Context(), upper, d2))
	if tree.Root() != d2.To {
		t.Errorf("root %s, want %s", tree.Root().Short(), d2.To.Short())
	}
	wantTree(t, objs, tree)
	if err := tree.ApplyUpper(t.Context(), upper, d2); err == nil {
		t.Error("a delta was applied twice")
	}
	if _, err := tree.TakeUpperSince(t.Context(), upper, d2); err == nil {
		t.Error("a delta of an earlier state of the tree was gone on with")
	}
}

// TestDeviceInUpper: a device that somebody managed to make never comes into the tree.
func TestDeviceInUpper(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make devices")
	}
	t.Parallel()
	objs := newObjects(t)
	tree, _ := imported(t, objs, own(), ordinary())
	upper := filepath.Join(t.TempDir(), "upper")
	makeTree(t, upper, map[string]string{"fresh/ok": "x"})
	null := int(unix.Mkdev(1, 3))
	for _, name := range []string{"null", "README.md", "fresh/null"} {
		if err := unix.Mknod(filepath.Join(upper, name), unix.S_IFCHR|0o666, null); err != nil {
			t.Skipf("this machine forbids devices: %v", err)
		}
	}
	d, err := tree.TakeUpper(t.Context(), upper)
	must(t, err)
	if d.LeftOut != 3 {
		t.Errorf("%d left out, want three devices", d.LeftOut)
	}
	must(t, tree.ApplyUpper(t.Context(), upper, d))
	wantTree(t, objs, tree)
	for _, name := range []string{"null", "README.md", "fresh/null"} {
		if _, err := os.Lstat(filepath.Join(tree.Dir(), name)); !os.IsNotExist(err) {
			t.Errorf("%s in the tree: %v", name, err)
		}
	}
}

// TestRedirectedUpper: an overlay mounted so that its upper does not tell all is refused.
func TestRedirectedUpper(t *testing.T) {
	t.Parallel()
	for _, attr := range []string{"redirect", "metacopy"} {
		tree, _ := imported(t, newObjects(t), own(), ordinary())
		upper := filepath.Join(t.TempDir(), "upper")
		makeTree(t, upper, map[string]string{"dir/file": "x"})
		at := map[string]string{"redirect": "dir", "metacopy": "dir/file"}[attr]
		must(t, unix.Setxattr(filepath.Join(upper, at), "user.overlay."+attr, []byte("/cmd"), 0))
		if _, err := tree.TakeUpper(t.Context(), upper); err == nil || !strings.Contains(err.Error(), "redirect_dir=off") {
			t.Errorf("%s: error %v, want one that says how to mount", attr, err)
		}
	}
}
