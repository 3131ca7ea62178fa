package workspace_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"tachograph/runner/workspace"
	"tachograph/schemas/journal"
)

// objects is a store in memory that checks how it is called.
type objects struct {
	t    testing.TB
	mu   sync.Mutex
	m    map[journal.Object][]byte
	gets int
}

func newObjects(t testing.TB) *objects {
	return &objects{t: t, m: make(map[journal.Object][]byte)}
}

func (o *objects) Has(_ context.Context, name journal.Object) (bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, ok := o.m[name]
	return ok, nil
}

func (o *objects) Put(_ context.Context, name journal.Object, b []byte) error {
	if journal.NameObject(b) != name {
		o.t.Errorf("an object was put under a name that is not its own: %s", name)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, ok := o.m[name]; !ok {
		o.m[name] = append([]byte(nil), b...)
	}
	return nil
}

func (o *objects) Get(_ context.Context, name journal.Object) ([]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.gets++
	b, ok := o.m[name]
	if !ok {
		return nil, fmt.Errorf("memory: %w", fs.ErrNotExist)
	}
	return b, nil
}

// dirObjects is a store in a directory, for helpers that die.
type dirObjects string

func (d dirObjects) path(name journal.Object) string {
	return filepath.Join(string(d), hex.EncodeToString(name[:]))
}

func (d dirObjects) Has(_ context.Context, name journal.Object) (bool, error) {
	_, err := os.Stat(d.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (d dirObjects) Put(_ context.Context, name journal.Object, b []byte) error {
	f, err := os.CreateTemp(string(d), "tmp-")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close(), os.Rename(f.Name(), d.path(name)))
}

func (d dirObjects) Get(_ context.Context, name journal.Object) ([]byte, error) {
	return os.ReadFile(d.path(name))
}

func own() workspace.Options { return workspace.Options{UID: -1} }

// makeTree writes a small directory; keys that end in "/" are directories, values that begin with
// "-> " links.
func makeTree(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch {
		case name[len(name)-1] == '/':
			err = os.MkdirAll(path, 0o755)
		case len(text) > 3 && text[:3] == "-> ":
			err = os.Symlink(text[3:], path)
		default:
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// imported is a new tree with these files, and where its parts lie.
func imported(t testing.TB, objs workspace.Objects, o workspace.Options, files map[string]string) (*workspace.Tree, string) {
	t.Helper()
	dir := t.TempDir()
	src := filepath.Join(dir, "src")
	if err := os.Mkdir(src, 0o755); err != nil {
		t.Fatal(err)
	}
	makeTree(t, src, files)
	tree, _, err := workspace.Import(t.Context(), src, filepath.Join(dir, "tree"), objs, o)
	if err != nil {
		t.Fatal(err)
	}
	return tree, src
}

// wantTree checks that a managed tree is what its root says, by reading all of it.
func wantTree(t testing.TB, objs workspace.Objects, tree *workspace.Tree) {
	t.Helper()
	v, err := workspace.Verify(t.Context(), objs, tree.Root(), tree.Dir(), workspace.Options{Ignore: tree.Ignore()})
	must(t, err)
	if v.Root != tree.Root() {
		t.Fatalf("%s holds %s, want %s: %v", tree.Dir(), v.Root.Short(), tree.Root().Short(), v.Differences)
	}
}

// wantHash checks that a directory is what root says, by reading all of it.
func wantHash(t testing.TB, dir string, root journal.Object, o workspace.Options) {
	t.Helper()
	got, _, err := workspace.HashDir(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if got != root {
		t.Fatalf("%s holds %s, want %s", dir, got.Short(), root.Short())
	}
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// removeAtEnd removes directories that an ordinary user could not remove with os.RemoveAll.
func removeAtEnd(t testing.TB, dirs ...string) {
	t.Cleanup(func() {
		for _, dir := range dirs {
			must(t, workspace.RemoveAll(dir))
		}
	})
}
