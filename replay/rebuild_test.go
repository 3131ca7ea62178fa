package replay_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"tachograph/replay"
	"tachograph/runner/state"
	"tachograph/runner/workspace"
	"tachograph/schemas/journal"
)

// TestEverySeq plays random runs of up to 2,000 entries, with all kinds, on real files, and rebuilds
// them at every entry: the state by its hash, the files by what stands on disk afterwards.
func TestEverySeq(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	for i, n := range []int{2000, 700, 150} {
		t.Logf("run %d: seed %d, %d entries", i, seed+uint64(i), n)
		store := openStore(t, t.TempDir())
		l := newLab(t, store, runID(byte(i+1)), seed+uint64(i))
		l.play(n)
		checkEverySeq(t, replay.Local(store), l)
	}
}

func checkEverySeq(t *testing.T, src replay.Source, l *lab) {
	t.Helper()
	ctx := context.Background()
	run := l.run.ID()
	checked := map[journal.Object]bool{}
	for seq, want := range l.hashes {
		s, err := replay.At(ctx, src, run, int64(seq))
		if err != nil {
			t.Fatal(err)
		}
		if want.IsZero() {
			continue // a checkpoint; the next entry's commitment is checked by the fold
		}
		if s.Hash() != want || s.Root != l.roots[seq] {
			t.Fatalf("entry %d: rebuilt state %s with root %s, live were %s with %s", seq, s.Hash(), s.Root, want, l.roots[seq])
		}
		if checked[s.Root] {
			continue
		}
		checked[s.Root] = true
		dir := filepath.Join(t.TempDir(), "files")
		if _, err := workspace.Materialise(ctx, replay.Objects(src, run), s.Root, dir, workspace.Options{UID: -1}); err != nil {
			t.Fatalf("entry %d: %v", seq, err)
		}
		if got, _, err := workspace.HashDir(ctx, dir, workspace.Options{UID: -1}); err != nil || got != s.Root {
			t.Fatalf("entry %d: files on disk have root %s, recorded is %s (%v)", seq, got, s.Root, err)
		}
		workspace.RemoveAll(dir)
	}
	t.Logf("%d entries, %d different trees", len(l.hashes), len(checked))
}

// TestForks forks a random run at random entries, and the forks again, and rebuilds each at every seq.
func TestForks(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	ctx := context.Background()
	store := openStore(t, t.TempDir())
	l := newLab(t, store, runID(1), seed)
	l.play(300)
	src := replay.Local(store)
	for n := byte(2); n < 6; n++ {
		seq := int64(l.rng.IntN(len(l.hashes)))
		at, err := replay.At(ctx, src, l.run.ID(), seq)
		if err != nil {
			t.Fatal(err)
		}
		fork := &lab{t: t, store: store, rng: l.rng, story: l.story}
		if fork.run, err = store.Create(ctx, runID(n), state.CreateOptions{Parent: &state.ForkPoint{Run: l.run.ID(), Seq: seq}}); err != nil {
			t.Fatal(err)
		}
		fork.tree, err = workspace.Open(ctx, filepath.Join(t.TempDir(), "tree"), fork.run.Objects(), at.Root, workspace.Options{UID: -1})
		if err == nil {
			_, err = fork.tree.Restore(ctx, at.Root, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		l.story.Stage, l.story.Root = fork.run.Stage, fork.change
		l.story.Take = func() error { return fork.run.Take(ctx) }
		fork.append("/", l.story.Fork(at))
		fork.play(120)
		checkEverySeq(t, src, fork)
		report, err := replay.Verify(ctx, src, fork.run.ID(), replay.Options{})
		if err != nil || report.Verdict != replay.Unsigned {
			t.Fatalf("verify fork: %v %+v", err, report)
		}
		l = fork
	}
}
