//go:build linux

package workspace_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"tachograph/runner/workspace"
	"tachograph/schemas/journal"
)

// applying is a run's base and result, and the user's directory as it was when the run began.
type applying struct {
	objs         *objects
	base, result journal.Object
	user         string
}

func newApplying(t *testing.T, change func(tree string)) applying {
	t.Helper()
	objs := newObjects(t)
	tree, src := imported(t, objs, own(), ordinary())
	removeAtEnd(t, src, tree.Dir())
	base := tree.Root()
	change(tree.Dir())
	_, err := tree.Scan(t.Context())
	must(t, err)
	return applying{objs, base, tree.Root(), src}
}

func (a *applying) apply(t *testing.T, o workspace.ApplyOptions) (workspace.ApplyReport, error) {
	t.Helper()
	return workspace.Apply(t.Context(), a.objs, a.base, a.result, a.user, o)
}

func editTree(t *testing.T) func(string) {
	return func(tree string) {
		t.Helper()
		must(t, shell(tree, `
			echo "package main // changed" > cmd/main.go
			rm README.md
			mkdir -p new/dir; echo n > new/dir/file; chmod 555 new/dir
			chmod 755 binary
			rm link; ln -s README.md link
			rm -r cmd/sub; echo file > cmd/sub
			rm "cmd/empty file"; mkdir "cmd/empty file"; echo in > "cmd/empty file/in"
			rmdir empty`))
	}
}

func TestApply(t *testing.T) {
	t.Parallel()
	a := newApplying(t, editTree(t))
	makeTree(t, a.user, map[string]string{"mine.txt": "the user's own\n", "cmd/mine.txt": "too\n"})
	dry, err := a.apply(t, workspace.ApplyOptions{DryRun: true})
	must(t, err)
	must(t, os.Remove(filepath.Join(a.user, "mine.txt")), os.Remove(filepath.Join(a.user, "cmd/mine.txt")))
	wantHash(t, a.user, a.base, own())
	done, err := a.apply(t, workspace.ApplyOptions{})
	must(t, err)
	if diff := cmp.Diff(dry.Changes, done.Changes); diff != "" {
		t.Errorf("a dry run told something else (-dry +done):\n%s", diff)
	}
	wantHash(t, a.user, a.result, own())
	again, err := a.apply(t, workspace.ApplyOptions{})
	must(t, err)
	if len(again.Changes) != 0 || again.Already != int64(len(done.Changes)) {
		t.Errorf("a second time: %d changes, %d already there; want 0, %d", len(again.Changes), again.Already, len(done.Changes))
	}
}

// TestApplyKeepsWhatIsNotItsOwn: other changes of the user's stay, also in a directory that the
// result lacks.
func TestApplyKeepsWhatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	a := newApplying(t, func(tree string) { must(t, shell(tree, "rm -r cmd/sub; echo x > x")) })
	makeTree(t, a.user, map[string]string{"cmd/sub/mine": "mine\n", "other": "mine\n"})
	must(t, os.WriteFile(filepath.Join(a.user, "cmd/main.go"), []byte("mine\n"), 0o644))
	r, err := a.apply(t, workspace.ApplyOptions{})
	must(t, err)
	if diff := cmp.Diff([]string{"cmd/sub"}, r.KeptDirs); diff != "" {
		t.Errorf("kept directories (-want +got):\n%s", diff)
	}
	for name, want := range map[string]string{"cmd/sub/mine": "mine\n", "cmd/main.go": "mine\n", "other": "mine\n", "x": "x\n"} {
		if got, err := os.ReadFile(filepath.Join(a.user, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, want)
		}
	}
}

// TestApplyConflicts: whatever the user did to a path that the run changed, nothing at all is done.
func TestApplyConflicts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ script, path string }{
		"edited":                                {"echo mine > cmd/main.go", "cmd/main.go"},
		"permissions":                           {"chmod 600 cmd/main.go", "cmd/main.go"},
		"removed":                               {"rm cmd/main.go", "cmd/main.go"},
		"edited and removed":                    {"echo mine > README.md", "README.md"},
		"became a directory":                    {"rm README.md; mkdir README.md", "README.md"},
		"became a link":                         {"mv cmd/main.go main.go; ln -s ../main.go cmd/main.go", "cmd/main.go"},
		"became a FIFO":                         {"rm cmd/main.go; mkfifo cmd/main.go", "cmd/main.go"},
		"added by both":                         {"mkdir -p new/dir; echo mine > new/dir/file", "new/dir/file"},
		"added as something else":               {"echo mine > new", "new"},
		"directory became a link":               {"mv cmd cmd2; ln -s cmd2 cmd", "cmd/main.go"},
		"link elsewhere":                        {"rm link; ln -s binary link", "link"},
		"directory went":                        {"rm -r cmd", "cmd/main.go"},
		"more in what is no directory any more": {"echo mine > cmd/sub/mine", "cmd/sub/mine"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApplying(t, editTree(t))
			must(t, shell(a.user, c.script))
			before, _, err := workspace.HashDir(t.Context(), a.user, own())
			must(t, err)
			r, err := a.apply(t, workspace.ApplyOptions{})
			if !errors.Is(err, workspace.ErrConflict) {
				t.Fatalf("error %v, want ErrConflict", err)
			}
			found := false
			for _, conflict := range r.Conflicts {
				found = found || conflict.Path == c.path && conflict.Why != ""
			}
			if !found {
				t.Errorf("conflicts %v, want one at %q", r.Conflicts, c.path)
			}
			wantHash(t, a.user, before, own())
		})
	}
}

// TestApplyNotStored: a secret that the agent changed cannot be brought back, and that is told.
func TestApplyNotStored(t *testing.T) {
	t.Parallel()
	a := newApplying(t, func(tree string) { must(t, shell(tree, "echo K=1 > .env; echo x > x")) })
	r, err := a.apply(t, workspace.ApplyOptions{})
	must(t, err)
	if diff := cmp.Diff([]string{".env"}, r.NotStored); diff != "" || len(r.Changes) != 1 {
		t.Errorf("%d changes; not stored (-want +got):\n%s", len(r.Changes), diff)
	}
}

// TestApplyTouchedMeanwhile: a file that the user saves between check and rename is left alone.
func TestApplyTouchedMeanwhile(t *testing.T) {
	t.Parallel()
	a := newApplying(t, editTree(t))
	r, err := a.apply(t, workspace.ApplyOptions{Progress: func(p workspace.Progress) {
		if p.Stage == workspace.StageCommit {
			must(t, os.WriteFile(filepath.Join(a.user, "cmd/main.go"), []byte("mine\n"), 0o644))
		}
	}})
	if !errors.Is(err, workspace.ErrConflict) || len(r.Skipped) != 1 || r.Skipped[0].Path != "cmd/main.go" {
		t.Errorf("skipped %v, error %v; want cmd/main.go and ErrConflict", r.Skipped, err)
	}
	if got, err := os.ReadFile(filepath.Join(a.user, "cmd/main.go")); err != nil || string(got) != "mine\n" {
		t.Errorf("cmd/main.go: %q, %v; want the user's", got, err)
	}
}

// TestApplyExcludesAnother: two at once would undo one another.
func TestApplyExcludesAnother(t *testing.T) {
	t.Parallel()
	a := newApplying(t, editTree(t))
	var inner error
	_, err := a.apply(t, workspace.ApplyOptions{Progress: func(p workspace.Progress) {
		if p.Stage == workspace.StageCommit {
			_, inner = a.apply(t, workspace.ApplyOptions{})
		}
	}})
	must(t, err)
	if !errors.Is(inner, workspace.ErrApplying) {
		t.Errorf("error %v, want ErrApplying", inner)
	}
}

// TestApplyGivesToTheOwner: what root brings into somebody's directory belongs to them.
func TestApplyGivesToTheOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	t.Parallel()
	const uid = 12345
	a := newApplying(t, editTree(t))
	must(t, shell(a.user, "chown -hR 12345:12345 ."))
	_, err := a.apply(t, workspace.ApplyOptions{})
	must(t, err)
	for _, name := range []string{"new", "new/dir", "new/dir/file", "cmd/main.go", "link", "cmd/sub"} {
		var st unix.Stat_t
		must(t, unix.Lstat(filepath.Join(a.user, name), &st))
		if st.Uid != uid || st.Gid != uid {
			t.Errorf("%s belongs to %d:%d, want %d", name, st.Uid, st.Gid, uid)
		}
	}
}

// TestTreeOwner: everything in a managed tree belongs to the user it is made for.
func TestTreeOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	t.Parallel()
	const uid = 12345
	objs := newObjects(t)
	tree, _ := imported(t, objs, workspace.Options{UID: uid}, ordinary())
	root := tree.Root()
	must(t, shell(tree.Dir(), "rm -r cmd README.md link"))
	_, err := tree.Restore(t.Context(), root, nil)
	must(t, err)
	must(t, filepath.Walk(tree.Dir(), func(path string, _ os.FileInfo, err error) error {
		var st unix.Stat_t
		must(t, err, unix.Lstat(path, &st))
		if st.Uid != uid || st.Gid != uid {
			t.Errorf("%s belongs to %d:%d, want %d", strings.TrimPrefix(path, tree.Dir()), st.Uid, st.Gid, uid)
		}
		return nil
	}))
}
