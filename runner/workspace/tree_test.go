//go:build linux

package workspace_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"tachograph/runner/workspace"
	"tachograph/schemas/journal"
)

func ordinary() map[string]string {
	return map[string]string{
		"README.md":        "# hello\n",
		"cmd/main.go":      "package main\n",
		"cmd/sub/x.go":     "package sub\n",
		"empty/":           "",
		"link":             "-> cmd/main.go",
		"absolute":         "-> /etc/hostname",
		"dangling":         "-> not/there",
		"todir":            "-> cmd",
		"binary":           "\x00\x01\xff",
		"not\xffutf8":      "x",
		"with\nline feed":  "y",
		"ünïcödé 漢字":       "z",
		".git/HEAD":        "ref: refs/heads/main\n",
		"cmd/empty file":   "",
		"cmd/sub/deep/er/": "",
	}
}

func TestImport(t *testing.T) {
	t.Parallel()
	objs := newObjects(t)
	dir := t.TempDir()
	src := filepath.Join(dir, "src")
	makeTree(t, src, ordinary())
	must(t, os.Link(filepath.Join(src, "README.md"), filepath.Join(src, "hard")))
	must(t, os.Chmod(filepath.Join(src, "binary"), 0o4711|fs.ModeSetuid), os.Chmod(filepath.Join(src, "empty"), 0o555))
	must(t, unix.Mkfifo(filepath.Join(src, "fifo"), 0o644))
	socket, err := net.Listen("unix", filepath.Join(src, "socket"))
	must(t, err)
	defer socket.Close()
	before, _, err := workspace.HashDir(t.Context(), src, own())
	must(t, err)

	tree, r, err := workspace.Import(t.Context(), src, filepath.Join(dir, "tree"), objs, own())
	must(t, err)
	want := workspace.Report{Files: 10, Dirs: 6, Links: 4, LeftOut: workspace.Left{Special: 2}, Bytes: r.Bytes}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	if tree.Root() != before {
		t.Errorf("root %s, the directory's is %s", tree.Root(), before)
	}
	wantTree(t, objs, tree)
	wantHash(t, src, before, own())
	var a, b unix.Stat_t
	must(t, unix.Stat(filepath.Join(tree.Dir(), "README.md"), &a), unix.Stat(filepath.Join(tree.Dir(), "hard"), &b))
	if a.Ino == b.Ino {
		t.Error("hard links became one file in the tree")
	}
	top, err := os.Stat(tree.Dir())
	must(t, err)
	if top.Mode().Perm() != 0o700 {
		t.Errorf("the top has permissions %v, so others could reach setuid files", top.Mode())
	}
}

func TestImportRefusesAFullDirectory(t *testing.T) {
	t.Parallel()
	src, dst := t.TempDir(), t.TempDir()
	makeTree(t, dst, map[string]string{"mine": "x"})
	if _, _, err := workspace.Import(t.Context(), src, dst, newObjects(t), own()); err == nil {
		t.Fatal("imported over a file that was there")
	}
}

// TestImportOfItsOwnParent: the managed tree and the data directory may lie in the user's directory.
func TestImportOfItsOwnParent(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	makeTree(t, src, map[string]string{"a": "x", "data/objects/o": "x"})
	o := own()
	o.Exclude = []string{filepath.Join(src, "data")}
	_, r, err := workspace.Import(t.Context(), src, filepath.Join(src, "tree"), newObjects(t), o)
	must(t, err)
	if r.Files != 1 || r.LeftOut.Excluded != 2 {
		t.Errorf("report %+v, want one file and two excluded directories", r)
	}
}

func TestIgnore(t *testing.T) {
	t.Parallel()
	objs := newObjects(t)
	tree, src := imported(t, objs, own(), map[string]string{
		".tachoignore": "node_modules/\n*.log\n!keep.log\n/.tachoignore\n", "node_modules/a/b": "x", "x.log": "x", "keep.log": "x", "src/y.log": "x", "src/z": "x",
	})
	_, r, err := workspace.HashDir(t.Context(), src, own())
	must(t, err)
	if r.Files != 3 || r.LeftOut.Ignored != 3 || tree.Report().LeftOut.Total() != 0 {
		t.Fatalf("report %+v, want .tachoignore, keep.log and src/z, and three left out; of the tree %+v", r, tree.Report())
	}
	root := tree.Root()
	// Made later, it stays in the tree and out of the root, and a changed rule does not help to hide.
	makeTree(t, tree.Dir(), map[string]string{"later.log": "x", "hidden": "x"})
	must(t, os.WriteFile(filepath.Join(tree.Dir(), ".tachoignore"), []byte("hidden\n"), 0o644))
	d, err := tree.TakePaths(t.Context(), []string{"later.log", "hidden", ".tachoignore"})
	must(t, err)
	if d.LeftOut != 1 || d.Files() != 2 {
		t.Errorf("delta %+v, want two files and one left out", d)
	}
	_, err = tree.Restore(t.Context(), root, nil)
	must(t, err)
	if _, err := os.Lstat(filepath.Join(tree.Dir(), "later.log")); err != nil {
		t.Errorf("a restore removed what it does not cover: %v", err)
	}
	text, err := workspace.IgnoreText(t.Context(), objs, root)
	must(t, err)
	if text != tree.Ignore() {
		t.Errorf("the root's ignore text is %q", text)
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	objs := newObjects(t)
	files := map[string]string{".env": "KEY=1\n", "deploy/id_rsa": "private", ".env.example": "KEY=\n", "main.go": "package main\n"}
	tree, src := imported(t, objs, own(), files)
	if has, _ := objs.Has(t.Context(), journal.NameObject([]byte("KEY=1\n"))); has {
		t.Error("a secret was stored")
	}
	_, r, err := workspace.HashDir(t.Context(), src, own())
	must(t, err)
	if diff := cmp.Diff([]string{".env", "deploy/id_rsa"}, r.NotStored); diff != "" {
		t.Errorf("not stored (-want +got):\n%s", diff)
	}
	root := tree.Root()
	// In place a right secret stays, and a wrong one is told.
	rr, err := tree.Restore(t.Context(), root, nil)
	must(t, err)
	if len(rr.Missing) != 0 || tree.Root() != root {
		t.Errorf("restore in place: %+v", rr)
	}
	must(t, os.WriteFile(filepath.Join(tree.Dir(), ".env"), []byte("KEY=2\n"), 0o644))
	rr, err = tree.Restore(t.Context(), root, nil)
	must(t, err)
	if diff := cmp.Diff([]string{".env"}, rr.Missing); diff != "" || tree.Root() == root {
		t.Errorf("a secret that is gone came back? missing (-want +got):\n%s", diff)
	}
	wantTree(t, objs, tree)
	m, err := workspace.Materialise(t.Context(), objs, root, filepath.Join(t.TempDir(), "out"), own())
	must(t, err)
	if diff := cmp.Diff([]string{".env", "deploy/id_rsa"}, m.Missing); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}

	all := own()
	all.CaptureAll = true
	imported(t, objs, all, files)
	if has, _ := objs.Has(t.Context(), journal.NameObject([]byte("KEY=1\n"))); !has {
		t.Error("CaptureAll did not store a secret")
	}
}

// TestTakePathsThroughLinks: a tool that writes through a link changes what it leads to.
func TestTakePathsThroughLinks(t *testing.T) {
	t.Parallel()
	objs := newObjects(t)
	tree, _ := imported(t, objs, own(), ordinary())
	must(t, os.WriteFile(filepath.Join(tree.Dir(), "todir/sub/x.go"), []byte("package changed\n"), 0o644))
	must(t, os.WriteFile(filepath.Join(tree.Dir(), "link"), []byte("package other\n"), 0o644))
	d, err := tree.TakePaths(t.Context(), []string{"todir/sub/x.go", "link"})
	must(t, err)
	wantTree(t, objs, tree)
	if d.Files() != 2 || d.Added != 2 || d.Removed != 2 {
		t.Errorf("delta %+v, want two files of one changed line each", d)
	}
}

// TestTakePathsOfLinkedFiles: writing to one name of a file changes the others too.
func TestTakePathsOfLinkedFiles(t *testing.T) {
	t.Parallel()
	objs := newObjects(t)
	tree, _ := imported(t, objs, own(), ordinary())
	must(t, os.Link(filepath.Join(tree.Dir(), "README.md"), filepath.Join(tree.Dir(), "cmd/hard")))
	_, err := tree.Scan(t.Context())
	must(t, err)
	root := tree.Root()
	must(t, os.WriteFile(filepath.Join(tree.Dir(), "README.md"), []byte("both\n"), 0o644))
	d, err := tree.TakePaths(t.Context(), []string{"README.md"})
	must(t, err)
	if d.Files() != 2 {
		t.Errorf("changes %v, want both names", d.Changes)
	}
	wantTree(t, objs, tree)
	must(t, os.Chmod(filepath.Join(tree.Dir(), "README.md"), 0o600))
	_, err = tree.Restore(t.Context(), root, []string{"README.md"})
	must(t, err)
	wantTree(t, objs, tree)
}

func TestTakePathsRefusesToLeave(t *testing.T) {
	t.Parallel()
	tree, _ := imported(t, newObjects(t), own(), ordinary())
	for _, p := range []string{"../x", "/etc/passwd", "a/../../x"} {
		if _, err := tree.TakePaths(t.Context(), []string{p}); err == nil {
			t.Errorf("path %q was accepted", p)
		}
	}
}

// TestRacyWrite changes a file again and again within one tick of the clock, and keeps its size.
func TestRacyWrite(t *testing.T) {
	t.Parallel()
	objs := newObjects(t)
	tree, _ := imported(t, objs, own(), ordinary())
	for i := range 200 {
		must(t, os.WriteFile(filepath.Join(tree.Dir(), "README.md"), fmt.Appendf(nil, "%6d", i), 0o644))
		_, err := tree.Scan(t.Context())
		must(t, err)
		must(t, os.WriteFile(filepath.Join(tree.Dir(), "README.md"), fmt.Appendf(nil, "%6d", -i-1), 0o644))
		_, err = tree.Scan(t.Context())
		must(t, err)
		wantTree(t, objs, tree)
	}
}

// TestOpen takes up a tree in every condition.
func TestOpen(t *testing.T) {
	t.Parallel()
	objs := newObjects(t)
	tree, _ := imported(t, objs, own(), ordinary())
	must(t, tree.Sync(t.Context()))
	root, dir := tree.Root(), tree.Dir()
	open := func(what string, written int64) {
		t.Helper()
		again, err := workspace.Open(t.Context(), dir, objs, root, own())
		must(t, err)
		if got := again.Opened().Written; got != written {
			t.Errorf("%s: %d entries written, want %d", what, got, written)
		}
		wantTree(t, objs, again)
		must(t, again.Sync(t.Context()))
	}
	open("untouched", 0)
	must(t, os.WriteFile(filepath.Join(dir, "README.md"), []byte("other\n"), 0o644))
	open("a file changed", 1)
	must(t, os.Remove(workspace.IndexPath(dir)))
	open("no index", 0)
	must(t, os.WriteFile(workspace.IndexPath(dir), []byte("tacho-index-v1\ndamaged"), 0o644))
	open("damaged index", 0)
	must(t, os.RemoveAll(dir))
	open("no tree", int64(len(ordinary())+4)) // and the four directories that hold something
}

// TestRemoveAll: a tree goes, whatever a tool forbade in it, and nothing that its links lead to.
func TestRemoveAll(t *testing.T) {
	t.Parallel()
	outside, check := victim(t)
	tree, _ := imported(t, newObjects(t), own(), ordinary())
	must(t, os.Symlink(outside, filepath.Join(tree.Dir(), "cmd/out")))
	must(t, shell(tree.Dir(), "chmod 000 cmd/sub cmd; chmod 555 .git ."))
	must(t, workspace.RemoveAll(tree.Dir()), workspace.RemoveAll(tree.Dir()), workspace.RemoveAll(filepath.Join(tree.Dir(), "no/such")))
	if _, err := os.Lstat(tree.Dir()); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", tree.Dir(), err)
	}
	check()
}

// TestRemoveAllBesideOthers: a tree goes though others remove it at the same time, and one still fills it for a while.
func TestRemoveAllBesideOthers(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "run")
	for round := range 5 {
		for n := range 30 {
			must(t, os.MkdirAll(filepath.Join(dir, fmt.Sprint(n%10), fmt.Sprint(n/10), "x"), 0o700))
		}
		var others sync.WaitGroup
		for range 3 {
			others.Go(func() {
				if err := workspace.RemoveAll(dir); err != nil {
					t.Errorf("round %d: %v", round, err)
				}
			})
		}
		others.Go(func() { // until the tree is gone from under it
			for n := 0; os.MkdirAll(filepath.Join(dir, "1/1", fmt.Sprint(n)), 0o700) == nil && n < 20; n++ {
			}
		})
		others.Wait()
		must(t, workspace.RemoveAll(dir))
		if _, err := os.Lstat(dir); !os.IsNotExist(err) {
			t.Fatalf("round %d: %s is still there: %v", round, dir, err)
		}
	}
}

// TestRestoreRefusesAnUnknownRoot: nothing is touched for a root that cannot be read.
func TestRestoreRefusesAnUnknownRoot(t *testing.T) {
	t.Parallel()
	objs := newObjects(t)
	tree, _ := imported(t, objs, own(), ordinary())
	_, err := tree.Restore(t.Context(), journal.NameObject([]byte("no such root")), nil)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want one that matches fs.ErrNotExist", err)
	}
	wantTree(t, objs, tree)
}

// TestTornTree: after an operation that failed half-way the tree says so until it is restored.
func TestTornTree(t *testing.T) {
	t.Parallel()
	objs := newObjects(t)
	ctx, cancel := context.WithCancel(t.Context())
	o := own()
	armed := false
	o.Progress = func(p workspace.Progress) {
		if armed && p.Stage == workspace.StageWrite && p.Entries == 3 {
			cancel()
		}
	}
	tree, _ := imported(t, objs, o, ordinary())
	root := tree.Root()
	for _, name := range []string{"README.md", "cmd/main.go", "cmd/sub/x.go", "binary", ".git/HEAD"} {
		must(t, os.Remove(filepath.Join(tree.Dir(), name)))
	}
	armed = true
	if _, err := tree.Restore(ctx, root, nil); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want that of the context", err)
	}
	if _, err := tree.Scan(t.Context()); !errors.Is(err, workspace.ErrTorn) {
		t.Errorf("error %v, want ErrTorn", err)
	}
	_, err := tree.Restore(t.Context(), root, []string{})
	must(t, err)
	wantTree(t, objs, tree)
}

// TestDamagedStore: bytes that do not have their hash never reach the tree.
func TestDamagedStore(t *testing.T) {
	t.Parallel()
	objs := newObjects(t)
	tree, _ := imported(t, objs, own(), ordinary())
	objs.m[journal.NameObject([]byte("# hello\n"))] = []byte("# evil!\n")
	out := filepath.Join(t.TempDir(), "out")
	if _, err := workspace.Materialise(t.Context(), objs, tree.Root(), out, own()); err == nil || !strings.Contains(err.Error(), "README.md") {
		t.Errorf("error %v, want one that names README.md", err)
	}
}

// TestForbiddenEntries: what a tool forbids to its owner is recorded and restored all the same.
func TestForbiddenEntries(t *testing.T) {
	t.Parallel()
	objs := newObjects(t)
	tree, _ := imported(t, objs, own(), ordinary())
	first := tree.Root()
	at := func(name string) string { return filepath.Join(tree.Dir(), name) }
	must(t, os.Chmod(at("README.md"), 0), os.Chmod(at("cmd/sub"), 0), os.Chmod(at("cmd"), 0o555), os.Chmod(at("empty"), 0o300))
	_, err := tree.Scan(t.Context())
	must(t, err)
	forbidden := tree.Root()
	for _, root := range []journal.Object{first, forbidden, first} {
		_, err := tree.Restore(t.Context(), root, nil)
		must(t, err)
		if tree.Root() != root {
			t.Fatalf("restored to %s, want %s", tree.Root().Short(), root.Short())
		}
	}
	_, err = tree.Restore(t.Context(), forbidden, []string{})
	must(t, err)
	out := filepath.Join(t.TempDir(), "out")
	removeAtEnd(t, out)
	_, err = workspace.Materialise(t.Context(), objs, forbidden, out, own())
	must(t, err)
	info, err := os.Lstat(filepath.Join(out, "cmd/sub"))
	if err == nil && info.Mode().Perm() != 0 {
		t.Errorf("cmd/sub came out with permissions %v", info.Mode())
	}
	_, err = tree.Restore(t.Context(), first, []string{})
	must(t, err)
	wantTree(t, objs, tree)
}

// TestSetuid: recorded and kept in the managed tree, never set outside of it.
func TestSetuid(t *testing.T) {
	t.Parallel()
	objs := newObjects(t)
	tree, _ := imported(t, objs, own(), ordinary())
	base := tree.Root()
	must(t, os.WriteFile(filepath.Join(tree.Dir(), "su"), []byte("#!/bin/sh\n"), 0o755), os.Chmod(filepath.Join(tree.Dir(), "su"), 0o755|fs.ModeSetuid|fs.ModeSetgid))
	d, err := tree.TakePaths(t.Context(), []string{"su"})
	must(t, err)
	if got := d.Changes[0].New.Mode; got != 0o6755 {
		t.Errorf("recorded permissions %#o, want 06755", got)
	}
	user := materialised(t, objs, base)
	_, err = workspace.Apply(t.Context(), objs, base, d.To, user, workspace.ApplyOptions{})
	must(t, err)
	for _, out := range []string{user, materialised(t, objs, d.To)} {
		info, err := os.Lstat(filepath.Join(out, "su"))
		must(t, err)
		if info.Mode() != 0o755 {
			t.Errorf("%s/su has mode %v, want 0755", out, info.Mode())
		}
		wantSame(t, objs, d.To, out)
	}
}

// TestDeepPath goes down as far as a path of PATH_MAX bytes can.
func TestDeepPath(t *testing.T) {
	t.Parallel()
	objs := newObjects(t)
	tree, _ := imported(t, objs, own(), ordinary())
	deep := strings.Repeat("d/", (4000-len(tree.Dir()))/2)
	must(t, os.MkdirAll(filepath.Join(tree.Dir(), deep), 0o755), os.WriteFile(filepath.Join(tree.Dir(), deep, "f"), []byte("x"), 0o644))
	root := tree.Root()
	d, err := tree.TakePaths(t.Context(), []string{deep + "f"})
	must(t, err)
	wantTree(t, objs, tree)
	_, err = tree.Restore(t.Context(), root, nil)
	must(t, err)
	_, err = tree.Restore(t.Context(), d.To, nil)
	must(t, err)
	wantTree(t, objs, tree)
}

// TestLargeFile: a file of 1 GiB, mostly holes, keeps its holes and its content.
func TestLargeFile(t *testing.T) {
	if testing.Short() {
		t.Skip("1 GiB is hashed: not with -short")
	}
	t.Parallel()
	objs := newObjects(t)
	tree, _ := imported(t, objs, own(), ordinary())
	base := tree.Root()
	must(t, writeSparse(filepath.Join(tree.Dir(), "big"), 1<<30+12345, 3))
	d, err := tree.TakePaths(t.Context(), []string{"big"})
	must(t, err)
	if c := d.Changes[0]; c.New.Type != journal.TypeChunks || c.New.Size != 1<<30+12345 {
		t.Errorf("recorded as %+v", c.New)
	}
	must(t, os.Truncate(filepath.Join(tree.Dir(), "big"), 7))
	_, err = tree.Restore(t.Context(), d.To, []string{"big"})
	must(t, err)
	wantTree(t, objs, tree)
	var st unix.Stat_t
	must(t, unix.Stat(filepath.Join(tree.Dir(), "big"), &st))
	if st.Blocks*512 > 16<<20 {
		t.Errorf("the restored file takes %d bytes of disk, want holes", st.Blocks*512)
	}
	_, err = tree.Restore(t.Context(), base, []string{"big"})
	must(t, err)
	wantTree(t, objs, tree)
}
