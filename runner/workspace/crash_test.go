//go:build linux

package workspace_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"tachograph/runner/workspace"
	"tachograph/schemas/journal"
)

// crashTask is an operation in a process that is killed when it has reached an entry of a stage.
type crashTask struct {
	Operation   string // upper, restore or apply
	Tree, Upper string
	Objects     string
	Root, Goal  journal.Object
	Stage       workspace.Stage
	Entry       int64
}

// crashHelper says by a byte on descriptor 3 that it got there, and then waits to be killed. It
// closes the pipe by ending if it never does.
func crashHelper() error {
	var task crashTask
	if err := helperTask(&task); err != nil {
		return err
	}
	ready := os.NewFile(3, "ready")
	armed := false
	o := own()
	o.Progress = func(p workspace.Progress) {
		if armed && p.Stage == task.Stage && p.Entries == task.Entry {
			if _, err := ready.Write([]byte{'.'}); err != nil {
				panic(err)
			}
			for {
				_ = unix.Pause() // a select without cases would be reported as a deadlock
			}
		}
	}
	ctx, objs := context.Background(), dirObjects(task.Objects)
	if task.Operation == "apply" {
		armed = true
		_, err := workspace.Apply(ctx, objs, task.Root, task.Goal, task.Tree, workspace.ApplyOptions{Progress: o.Progress})
		return err
	}
	tree, err := workspace.Open(ctx, task.Tree, objs, task.Root, o)
	if err != nil {
		return err
	}
	armed = true
	if task.Operation == "restore" {
		_, err = tree.Restore(ctx, task.Goal, nil)
		return err
	}
	d, err := tree.TakeUpper(ctx, task.Upper)
	if err != nil {
		return err
	}
	return tree.ApplyUpper(ctx, task.Upper, d)
}

// crash runs a task and kills it; reached is false if it ended before.
func crash(t *testing.T, task crashTask) (reached bool) {
	t.Helper()
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	cmd := helperCommand(t, "crash", task)
	cmd.ExtraFiles = []*os.File{w}
	must(t, cmd.Start(), w.Close())
	n, err := r.Read(make([]byte, 1))
	if n == 1 {
		must(t, cmd.Process.Kill())
		err := cmd.Wait()
		if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
			t.Fatalf("the helper ended by itself: %v", err)
		}
		return true
	}
	if !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	must(t, cmd.Wait())
	return false
}

func diskObjects(t *testing.T) dirObjects {
	dir := filepath.Join(t.TempDir(), "objects")
	must(t, os.Mkdir(dir, 0o755))
	return dirObjects(dir)
}

// crashTree is a tree with an earlier root, which differs a lot from what it holds.
func crashTree(t *testing.T, objs dirObjects, seed uint64) (tree *workspace.Tree, before journal.Object) {
	t.Helper()
	dir := t.TempDir()
	src := filepath.Join(dir, "src")
	must(t, os.Mkdir(src, 0o755))
	_, err := mutate(seed, src, 60, true)
	must(t, err)
	tree, _, err = workspace.Import(t.Context(), src, filepath.Join(dir, "tree"), objs, own())
	must(t, err)
	before = tree.Root()
	_, err = mutate(seed+1, tree.Dir(), 30, true)
	must(t, err)
	_, err = tree.Scan(t.Context())
	must(t, err, tree.Sync(t.Context()))
	return tree, before
}

// TestCrashRestore kills a restore after every few entries; the next Open gives either root.
func TestCrashRestore(t *testing.T) {
	t.Parallel()
	for n := int64(1); ; n += 1 + n/2 {
		objs := diskObjects(t)
		tree, before := crashTree(t, objs, uint64(100+n))
		reached := crash(t, crashTask{Operation: "restore", Tree: tree.Dir(), Objects: string(objs), Root: tree.Root(), Goal: before, Stage: workspace.StageWrite, Entry: n})
		for _, root := range []journal.Object{tree.Root(), before} {
			opened, err := workspace.Open(t.Context(), tree.Dir(), objs, root, own())
			must(t, err)
			wantTree(t, objs, opened)
		}
		if !reached {
			if n < 5 {
				t.Fatalf("only %d entries were restored: the test proves little", n)
			}
			return
		}
	}
}

// TestCrashApplyUpper kills the move of an upper directory into the tree.
func TestCrashApplyUpper(t *testing.T) {
	t.Parallel()
	for n := int64(1); ; n += 1 + n/2 {
		objs := diskObjects(t)
		tree, _ := crashTree(t, objs, uint64(200+n))
		upper := overlaid(t, tree.Dir(), overlayTask{Seed: uint64(n), Ops: 40, Careful: true})
		d, err := tree.TakeUpper(t.Context(), upper)
		must(t, err)
		reached := crash(t, crashTask{Operation: "upper", Tree: tree.Dir(), Upper: upper, Objects: string(objs), Root: tree.Root(), Stage: workspace.StageMove, Entry: n})
		for _, root := range []journal.Object{d.To, d.From} {
			opened, err := workspace.Open(t.Context(), tree.Dir(), objs, root, own())
			must(t, err)
			wantTree(t, objs, opened)
		}
		if !reached {
			if n < 5 {
				t.Fatalf("only %d entries were moved: the test proves little", n)
			}
			return
		}
	}
}

// TestCrashApply kills Apply at every stage: before its plan is durable the directory is unchanged,
// afterwards the next Apply gives the result; never is there anything between for a single file.
func TestCrashApply(t *testing.T) {
	t.Parallel()
	objs := diskObjects(t)
	tree, base := crashTree(t, objs, 300)
	result := tree.Root()
	steps := int64(0)
	for _, stage := range []workspace.Stage{workspace.StageStaged, workspace.StageCommit, workspace.StageApply} {
		for n := int64(1); ; n += 1 + n/3 {
			user := filepath.Join(t.TempDir(), "user")
			_, err := workspace.Materialise(t.Context(), objs, base, user, own())
			must(t, err)
			at := n
			if stage == workspace.StageCommit {
				at = steps
			}
			reached := crash(t, crashTask{Operation: "apply", Tree: user, Objects: string(objs), Root: base, Goal: result, Stage: stage, Entry: at})
			checkCrashedApply(t, objs, stage, user, base, result, reached)
			if reached && stage == workspace.StageStaged {
				steps = max(steps, n)
			}
			if !reached || stage == workspace.StageCommit {
				break
			}
		}
		if stage == workspace.StageStaged {
			report, err := workspace.Apply(t.Context(), objs, base, result, materialised(t, objs, base), workspace.ApplyOptions{Progress: func(p workspace.Progress) { steps = p.Total }})
			must(t, err)
			if len(report.Changes) < 10 {
				t.Fatalf("only %d changes: the test proves little", len(report.Changes))
			}
		}
	}
}

func materialised(t *testing.T, objs workspace.Objects, root journal.Object) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "out")
	_, err := workspace.Materialise(t.Context(), objs, root, dir, own())
	must(t, err)
	return dir
}

func checkCrashedApply(t *testing.T, objs workspace.Objects, stage workspace.Stage, user string, base, result journal.Object, reached bool) {
	t.Helper()
	if reached && stage != workspace.StageApply {
		wantSame(t, objs, base, user)
	}
	report, err := workspace.Apply(t.Context(), objs, base, result, user, workspace.ApplyOptions{})
	must(t, err)
	if (report.Finished > 0) != (reached && stage != workspace.StageStaged) {
		t.Errorf("killed in stage %q: %d steps finished by the next apply", stage, report.Finished)
	}
	wantSame(t, objs, result, user)
	if entries, err := filepath.Glob(filepath.Join(user, ".tacho-apply*")); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %q, %v", entries, err)
	}
}

// wantSame checks a directory outside a managed tree.
func wantSame(t *testing.T, objs workspace.Objects, root journal.Object, dir string) {
	t.Helper()
	v, err := workspace.Verify(t.Context(), objs, root, dir, own())
	must(t, err)
	if !v.Equal() {
		t.Fatalf("%s is not %s: %s", dir, root.Short(), fmt.Sprintf("%.500v", v.Differences))
	}
}
