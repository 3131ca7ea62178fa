//go:build linux

package workspace_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tachograph/runner/workspace"
	"tachograph/schemas/journal"
)

// TestRandomSequences does the same random things to three trees: in an overlay, directly with the
// paths named, and directly without. All roots must be equal, and equal to the hash of what is on
// disk, and every earlier root must come back.
func TestRandomSequences(t *testing.T) {
	t.Parallel()
	seeds, rounds := 6, 12
	if testing.Short() {
		seeds, rounds = 2, 6
	}
	first := rand.Uint64()
	for i := range seeds {
		seed := first + uint64(i)*1e6
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			t.Logf("seed %d", seed)
			randomSequence(t, seed, rounds)
		})
	}
}

type threeTrees struct {
	objs                *objects
	upper, paths, scans *workspace.Tree
	careful             bool
	roots               []journal.Object
}

func randomSequence(t *testing.T, seed uint64, rounds int) {
	objs := newObjects(t)
	dir := t.TempDir()
	src := filepath.Join(dir, "src")
	must(t, os.Mkdir(src, 0o755))
	_, err := mutate(seed, src, 60, true)
	must(t, err)
	tt := threeTrees{objs: objs, careful: os.Geteuid() != 0}
	for name, into := range map[string]**workspace.Tree{"upper": &tt.upper, "paths": &tt.paths, "scans": &tt.scans} {
		*into, _, err = workspace.Import(t.Context(), src, filepath.Join(dir, name), objs, own())
		must(t, err)
	}
	wantHash(t, src, tt.upper.Root(), own())
	tt.roots = []journal.Object{tt.upper.Root()}
	rng := rand.New(rand.NewPCG(seed, 2))
	for round := range rounds {
		tt.mutate(t, seed+uint64(round)+1, 1+rng.IntN(12))
		if round%3 == 2 {
			tt.restore(t, rng, dir)
		}
	}
	tt.materialise(t, dir)
}

// mutate does the same to all three trees and compares what they say about it.
func (tt *threeTrees) mutate(t *testing.T, seed uint64, ops int) {
	t.Helper()
	upper := overlaid(t, tt.upper.Dir(), overlayTask{Seed: seed, Ops: ops, Careful: tt.careful})
	before := tt.upper.Root()
	byUpper, err := tt.upper.TakeUpper(t.Context(), upper)
	must(t, err)
	if tt.upper.Root() != before {
		t.Fatal("TakeUpper changed the tree's root")
	}
	wantTree(t, tt.objs, tt.upper)
	must(t, tt.upper.ApplyUpper(t.Context(), upper, byUpper))

	touched, err := mutate(seed, tt.paths.Dir(), ops, tt.careful)
	must(t, err)
	byPaths, err := tt.paths.TakePaths(t.Context(), touched)
	must(t, err)

	_, err = mutate(seed, tt.scans.Dir(), ops, tt.careful)
	must(t, err)
	byScan, err := tt.scans.Scan(t.Context())
	must(t, err)

	for name, tree := range map[string]*workspace.Tree{"upper": tt.upper, "paths": tt.paths, "scan": tt.scans} {
		if tree.Root() != byScan.To {
			t.Errorf("%s: root %s, want %s", name, tree.Root().Short(), byScan.To.Short())
		}
		wantTree(t, tt.objs, tree)
	}
	compareDeltas(t, byUpper, byPaths)
	compareDeltas(t, byUpper, byScan)
	encoded, err := byUpper.Encode()
	must(t, err)
	decoded, err := workspace.DecodeDelta(encoded)
	must(t, err)
	compareDeltas(t, byUpper, decoded)
	tt.roots = append(tt.roots, byScan.To)
}

func compareDeltas(t *testing.T, want, got workspace.Delta) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(workspace.Delta{}), cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("the deltas differ:\n%s", diff)
	}
}

// restore brings every tree back to the same earlier root, each in another way.
func (tt *threeTrees) restore(t *testing.T, rng *rand.Rand, dir string) {
	t.Helper()
	root := tt.roots[rng.IntN(len(tt.roots))]
	_, err := tt.upper.Restore(t.Context(), root, []string{})
	must(t, err)
	touched, err := mutate(rng.Uint64(), tt.paths.Dir(), 5, tt.careful) // a call that came to nothing
	must(t, err)
	_, err = tt.paths.Restore(t.Context(), root, touched)
	must(t, err)
	_, err = mutate(rng.Uint64(), tt.scans.Dir(), 5, tt.careful)
	must(t, err)
	if rng.IntN(2) == 0 {
		must(t, tt.scans.Sync(t.Context()))
		tt.scans, err = workspace.Open(t.Context(), tt.scans.Dir(), tt.objs, root, own())
	} else {
		_, err = tt.scans.Restore(t.Context(), root, nil)
	}
	must(t, err)
	for _, tree := range []*workspace.Tree{tt.upper, tt.paths, tt.scans} {
		if tree.Root() != root {
			t.Fatalf("restored to %s, want %s", tree.Root().Short(), root.Short())
		}
		wantTree(t, tt.objs, tree)
	}
}

// materialise writes every root to a directory of its own and verifies it, and compares neighbours.
func (tt *threeTrees) materialise(t *testing.T, dir string) {
	t.Helper()
	for i, root := range tt.roots {
		out := filepath.Join(dir, fmt.Sprint("out", i))
		_, err := workspace.Materialise(t.Context(), tt.objs, root, out, workspace.Options{})
		must(t, err)
		v, err := workspace.Verify(t.Context(), tt.objs, root, out, workspace.Options{})
		must(t, err)
		if !v.Equal() {
			t.Fatalf("root %d materialised otherwise: %v", i, v.Differences)
		}
		if i == 0 {
			continue
		}
		// The result of a run, applied to the directory it began with, gives the result.
		user := filepath.Join(dir, fmt.Sprint("out", i-1))
		_, err = workspace.Apply(t.Context(), tt.objs, tt.roots[i-1], root, user, workspace.ApplyOptions{})
		must(t, err)
		v, err = workspace.Verify(t.Context(), tt.objs, root, user, workspace.Options{})
		must(t, err)
		if !v.Equal() {
			t.Fatalf("root %d applied to root %d gives something else: %v", i, i-1, v.Differences)
		}
	}
}
