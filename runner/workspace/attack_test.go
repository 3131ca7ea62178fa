//go:build linux

package workspace_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"tachograph/runner/workspace"
	"tachograph/schemas/journal"
)

// victim is a directory outside that must stay as it is.
func victim(t *testing.T) (dir string, check func()) {
	dir = filepath.Join(t.TempDir(), "victim")
	makeTree(t, dir, map[string]string{"main.go": "mine\n", "sub/x.go": "mine too\n", "README.md": "mine\n"})
	root, _, err := workspace.HashDir(t.Context(), dir, own())
	must(t, err)
	return dir, func() {
		t.Helper()
		wantHash(t, dir, root, own())
	}
}

// TestSwappedDirectory exchanges a directory with a link that leads outside, as fast as it can,
// while operations run. They may fail; nothing outside may change or come into the tree.
func TestSwappedDirectory(t *testing.T) {
	t.Parallel()
	objs := newObjects(t)
	outside, check := victim(t)
	tree, _ := imported(t, objs, own(), ordinary())
	root := tree.Root()
	must(t, os.Remove(filepath.Join(tree.Dir(), "cmd/main.go")))
	_, err := tree.Scan(t.Context())
	must(t, err)
	other := tree.Root()

	stop, swaps := swap(t, filepath.Join(tree.Dir(), "cmd"), outside)
	succeeded := 0
	for i := range 300 {
		goal := root
		if i%2 == 0 {
			goal = other
		}
		if _, err := tree.Restore(t.Context(), goal, nil); err == nil {
			succeeded++
		}
		if d, err := tree.Scan(t.Context()); err == nil {
			refuseOutside(t, objs, d)
		}
		if d, err := tree.TakePaths(t.Context(), []string{"cmd/main.go", "cmd/sub"}); err == nil {
			refuseOutside(t, objs, d)
		}
	}
	stop()
	check()
	t.Logf("%d of 300 restores succeeded, during %d swaps", succeeded, *swaps)
	if *swaps < 300 {
		t.Errorf("only %d swaps: the test proves little", *swaps)
	}
	_, err = tree.Restore(t.Context(), root, nil)
	must(t, err)
	wantTree(t, objs, tree)
}

// refuseOutside fails if bytes of the victim were taken.
func refuseOutside(t *testing.T, objs *objects, d workspace.Delta) {
	t.Helper()
	for _, text := range []string{"mine\n", "mine too\n"} {
		if has, _ := objs.Has(t.Context(), journal.NameObject([]byte(text))); has {
			t.Fatalf("%q from outside was taken: %v", text, d.Changes)
		}
	}
}

// swap exchanges the directory at path with a link to target until stop is called. It leaves the
// directory or the link.
func swap(t *testing.T, path, target string) (stop func(), swaps *int) {
	t.Helper()
	link := filepath.Join(t.TempDir(), "link") // the same file system
	must(t, os.Symlink(target, link))
	var wg sync.WaitGroup
	done := make(chan struct{})
	swaps = new(int)
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			*swaps++
			if err := unix.Renameat2(unix.AT_FDCWD, path, unix.AT_FDCWD, link, unix.RENAME_EXCHANGE); err != nil {
				_ = os.Symlink(target, link) // whichever is missing is put back
				_ = os.Mkdir(path, 0o755)
			}
		}
	})
	var once sync.Once
	stop = func() { once.Do(func() { close(done); wg.Wait() }) }
	t.Cleanup(stop)
	return stop, swaps
}

// TestSwappedUpper does the same to the upper directory, and to the tree while it is applied.
func TestSwappedUpper(t *testing.T) {
	t.Parallel()
	objs := newObjects(t)
	outside, check := victim(t)
	tree, _ := imported(t, objs, own(), ordinary())
	root := tree.Root()
	for i := range 60 {
		upper := filepath.Join(t.TempDir(), "upper")
		makeTree(t, upper, map[string]string{"cmd/main.go": "package evil\n", "cmd/sub/x.go": "package evil\n"})
		at := filepath.Join(upper, "cmd")
		if i%2 == 0 {
			at = filepath.Join(tree.Dir(), "cmd")
		}
		stop, _ := swap(t, at, outside)
		if d, err := tree.TakeUpper(t.Context(), upper); err == nil {
			refuseOutside(t, objs, d)
			_ = tree.ApplyUpper(t.Context(), upper, d) // it may fail, but must not leave the tree
		}
		stop()
		check()
		_, err := tree.Restore(t.Context(), root, nil)
		must(t, err)
	}
	wantTree(t, objs, tree)
}

// TestSwappedUserDirectory: Apply never follows a link out of the user's directory.
func TestSwappedUserDirectory(t *testing.T) {
	t.Parallel()
	objs := newObjects(t)
	outside, check := victim(t)
	tree, _ := imported(t, objs, own(), ordinary())
	base := tree.Root()
	must(t, os.WriteFile(filepath.Join(tree.Dir(), "cmd/main.go"), []byte("package evil\n"), 0o644), os.Remove(filepath.Join(tree.Dir(), "cmd/sub/x.go")))
	d, err := tree.Scan(t.Context())
	must(t, err)
	for range 60 {
		user := materialised(t, objs, base)
		stop, _ := swap(t, filepath.Join(user, "cmd"), outside)
		_, _ = workspace.Apply(t.Context(), objs, base, d.To, user, workspace.ApplyOptions{}) // may fail
		stop()
		check()
	}
}

// TestLinksAreNeverFollowed: links of every kind stand where files and directories are expected.
func TestLinksAreNeverFollowed(t *testing.T) {
	t.Parallel()
	objs := newObjects(t)
	outside, check := victim(t)
	tree, _ := imported(t, objs, own(), ordinary())
	root := tree.Root()
	for name, target := range map[string]string{"cmd": outside, "README.md": filepath.Join(outside, "README.md"), ".git/HEAD": "../../../../" + outside, "empty": outside} {
		must(t, os.RemoveAll(filepath.Join(tree.Dir(), name)), os.Symlink(target, filepath.Join(tree.Dir(), name)))
	}
	d, err := tree.TakePaths(t.Context(), []string{"cmd/main.go", "README.md", ".git/HEAD", "empty"})
	must(t, err)
	refuseOutside(t, objs, d)
	wantTree(t, objs, tree)
	_, err = tree.Restore(t.Context(), root, nil)
	must(t, err)
	check()
	wantTree(t, objs, tree)
}
