//go:build linux

package workspace_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tachograph/runner/workspace"
	"tachograph/schemas/journal"
)

func updating() *bool {
	if f := flag.Lookup("update"); f != nil {
		v := f.Value.String() == "true"
		return &v
	}
	return flag.Bool("update", false, "rewrite golden files")
}

var update = updating()

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		must(t, os.MkdirAll("testdata", 0o755), os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	must(t, err)
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func edited(t *testing.T) (*objects, workspace.Delta) {
	t.Helper()
	objs := newObjects(t)
	tree, _ := imported(t, objs, own(), ordinary())
	must(t, shell(tree.Dir(), `
		printf '# hello\nworld' > README.md
		mv cmd/main.go cmd/renamed.go
		rm link; ln -s other link
		rm dangling; echo file > dangling
		printf '\000\002' > binary
		chmod 600 cmd/sub/x.go
		mkdir empty/more
		printf 'line\n' > "$(printf 'b\377\nd')"
		ln -s "$(printf 'not\377utf8')" tolatin
		rm -r .git
		printf 'secret' > key.pem`))
	d, err := tree.Scan(t.Context())
	must(t, err)
	return objs, d
}

// TestDeltaForm: the JSON form of a delta is fixed, and read back exactly.
func TestDeltaForm(t *testing.T) {
	t.Parallel()
	_, d := edited(t)
	b, err := d.Encode()
	must(t, err)
	golden(t, "delta-v1.json", append(b, '\n'))
	got, err := workspace.DecodeDelta(b)
	must(t, err)
	if diff := cmp.Diff(d, got, cmpopts.IgnoreUnexported(workspace.Delta{})); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
	for _, other := range []string{" " + string(b), string(b) + "\n", strings.Replace(string(b), `"v":1`, `"v":2`, 1), strings.Replace(string(b), "README.md", "../x", 1)} {
		if _, err := workspace.DecodeDelta([]byte(other)); err == nil {
			t.Errorf("another spelling was accepted: %.80q", other)
		}
	}
}

func TestPatch(t *testing.T) {
	t.Parallel()
	objs, d := edited(t)
	changes, err := workspace.Diff(t.Context(), objs, d.From, d.To, workspace.DiffOptions{Renames: true})
	must(t, err)
	var b bytes.Buffer
	must(t, workspace.Patch(t.Context(), objs, changes, &b, workspace.PatchOptions{}))
	golden(t, "changes.patch", b.Bytes())
	b.Reset()
	must(t, workspace.Patch(t.Context(), objs, changes, &b, workspace.PatchOptions{MaxBytes: 300}))
	if !strings.Contains(b.String(), "# cut here: ") {
		t.Errorf("a patch that was cut does not say so:\n%s", b.String())
	}
}

// TestDiffReadsOnlyWhatDiffers counts the objects that a comparison of two large trees reads.
func TestDiffReadsOnlyWhatDiffers(t *testing.T) {
	t.Parallel()
	objs := newObjects(t)
	files := make(map[string]string)
	for i := range 400 {
		files[fmt.Sprintf("d%02d/e%d/f%d", i/20, i/4%5, i)] = fmt.Sprint(i)
	}
	tree, _ := imported(t, objs, own(), files)
	before := tree.Root()
	must(t, os.WriteFile(filepath.Join(tree.Dir(), "d07/e1/f144"), []byte("x"), 0o644))
	d, err := tree.Scan(t.Context())
	must(t, err)
	objs.gets = 0
	changes, err := workspace.Diff(t.Context(), objs, before, d.To, workspace.DiffOptions{})
	must(t, err)
	if len(changes) != 1 || objs.gets != 6 {
		t.Errorf("%d changes, %d objects read; want 1, and 3 directories of each tree", len(changes), objs.gets)
	}
}

func FuzzDecodeDelta(f *testing.F) {
	d := workspace.Delta{
		From: journal.NameObject([]byte("a")), To: journal.NameObject([]byte("b")),
		Changes: []workspace.Change{{Path: "a/\xff", Kind: workspace.Added, New: journal.DirEntry{Name: "\xff", Type: journal.TypeLink, Mode: 0o777, Size: 2, Target: "t\xfe"}}},
	}
	b, err := d.Encode()
	must(f, err)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := workspace.DecodeDelta(b)
		if err != nil {
			return
		}
		again, err := d.Encode()
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("decoded, but encodes as %s, %v", again, err)
		}
	})
}

// TestCancelled: a context that has ended ends every method, and leaves nothing half-done.
func TestCancelled(t *testing.T) {
	t.Parallel()
	objs := newObjects(t)
	tree, src := imported(t, objs, own(), ordinary())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, scan := tree.Scan(ctx)
	_, restore := tree.Restore(ctx, tree.Root(), nil)
	_, _, hash := workspace.HashDir(ctx, src, own())
	_, _, imp := workspace.Import(ctx, src, filepath.Join(t.TempDir(), "t"), objs, own())
	for name, err := range map[string]error{"scan": scan, "restore": restore, "hash": hash, "import": imp, "sync": tree.Sync(ctx)} {
		if err == nil {
			t.Errorf("%s went on", name)
		}
	}
	_, err := tree.Scan(t.Context())
	must(t, err)
	wantTree(t, objs, tree)
}
