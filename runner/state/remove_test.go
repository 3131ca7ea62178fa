package state_test

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"tachograph/runner/state"
	"tachograph/schemas/journal"
)

// After a family is removed its bytes are nowhere in the directory, in no table, log or file; what
// was kept of it still verifies, and other families have lost nothing.
func TestRemove(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(testSeed(t), 3))
	dir := t.TempDir()
	s := open(t, dir, state.Options{Reserve: -1, CheckpointEvery: 20})
	base, other := noise(rng, 300), noise(rng, 300)
	doomed := &confidant{t: t, s: s, rng: rng}
	doomed.begin(runID(1), base)
	kept := &confidant{t: t, s: s, rng: rng}
	kept.begin(runID(2), base)
	kept.tell(other)
	// Deep in a log, which is finished and kept for reuse: what follows does not write over it.
	fill(doomed, 10<<20)
	for _, size := range []int{60, 6_000, 120_000} {
		doomed.tell(noise(rng, size))
	}
	fill(doomed, 10<<20)
	fork := doomed.fork(runID(3))
	for _, secret := range doomed.secrets {
		if findIn(t, dir, secret) == "" {
			t.Fatal("a secret cannot be found while it is there: the search proves nothing")
		}
	}
	head := doomed.run.State()
	if err := s.Remove(t.Context(), runID(1), state.RemoveOptions{KeepProof: true}); err != nil {
		t.Fatal(err)
	}
	for i, secret := range doomed.secrets {
		if file := findIn(t, dir, secret); file != "" {
			t.Errorf("secret %d of %d bytes is still in %s", i, len(secret), file)
		}
	}
	doomed.isErased(head)
	if _, err := fork.Append(t.Context(), state.Draft{Agent: "/", Body: &journal.Resumed{}}); !errors.Is(err, state.ErrErased) {
		t.Errorf("append to a fork of it: %v", err)
	}
	kept.isWhole(base, other)
	if err := s.Remove(t.Context(), runID(1), state.RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []journal.RunID{runID(1), runID(3)} {
		if _, err := s.Journal(t.Context(), id); !errors.Is(err, state.ErrNotFound) {
			t.Errorf("run %s after its family was removed: %v", id, err)
		}
	}
	if err := s.Remove(t.Context(), runID(2), state.RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	if file := findIn(t, dir, base); file != "" {
		t.Errorf("the base tree that nobody uses any more is still in %s", file)
	}
	if err := s.Remove(t.Context(), runID(2), state.RemoveOptions{}); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("remove twice: %v", err)
	}
}

// confidant writes secrets into a run of its own family, as content and as objects.
type confidant struct {
	t       *testing.T
	s       *state.Store
	rng     *rand.Rand
	run     *state.Run
	secrets [][]byte
	refs    []journal.Ref
}

func (c *confidant) begin(id journal.RunID, base []byte) {
	c.run = create(c.t, c.s, id, state.CreateOptions{})
	c.put(base)
	if err := c.run.Objects().SealBase(c.t.Context(), journal.NameObject(base)); err != nil {
		c.t.Fatal(err)
	}
	tell(c.t, c.run, 1).start()
}

func (c *confidant) put(b []byte) {
	if err := c.run.Objects().Put(c.t.Context(), journal.NameObject(b), b); err != nil {
		c.t.Fatal(err)
	}
}

// tell writes a secret as content, and another like it as an object.
func (c *confidant) tell(secret []byte) {
	c.t.Helper()
	object := noise(c.rng, len(secret))
	c.put(object)
	ref := c.run.Stage(secret)
	if _, err := c.run.Append(c.t.Context(), state.Draft{Agent: "/", Body: &journal.Intent{Text: ref, Source: "declared"}}); err != nil {
		c.t.Fatal(err)
	}
	c.secrets, c.refs = append(c.secrets, secret, object), append(c.refs, ref)
}

// fill writes so much that logs and tables come and go.
func fill(c *confidant, bytes int) {
	for range bytes / 60_000 {
		ref := c.run.Stage(noise(c.rng, 60_000))
		if _, err := c.run.Append(c.t.Context(), state.Draft{Agent: "/", Body: &journal.Intent{Text: ref, Source: "declared"}}); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *confidant) fork(id journal.RunID) *state.Run {
	r := create(c.t, c.s, id, state.CreateOptions{Parent: &state.ForkPoint{Run: c.run.ID(), Seq: 3}})
	w := tell(c.t, r, 5)
	w.append("/", w.story.Fork(at(c.t, c.s, *r.Parent())))
	return r
}

func (c *confidant) isErased(last *journal.State) {
	c.t.Helper()
	if _, err := c.s.Run(c.t.Context(), c.run.ID()); !errors.Is(err, state.ErrErased) {
		c.t.Errorf("open an erased run: %v", err)
	}
	j, err := c.s.Journal(c.t.Context(), c.run.ID())
	if err != nil {
		c.t.Fatal(err)
	}
	err = verifyWith(c.t.Context(), j, nil, func(ref journal.Ref) error {
		if _, err := j.Content(c.t.Context(), ref); !errors.Is(err, state.ErrErased) {
			c.t.Errorf("erased content: %v", err)
		}
		return nil
	})
	if err != nil {
		c.t.Errorf("proof of an erased run: %v", err)
	}
	checkHeads(c.t, c.s, j)
	if got := at(c.t, c.s, state.ForkPoint{Run: c.run.ID(), Seq: last.Next - 1}); got.Hash() != last.Hash() {
		c.t.Error("another state after the content was erased")
	}
}

func (c *confidant) isWhole(base, secret []byte) {
	c.t.Helper()
	check(c.t, c.run.Journal, nil)
	if got, err := c.run.Objects().Get(c.t.Context(), journal.NameObject(base)); err != nil || !bytes.Equal(got, base) {
		c.t.Errorf("shared base tree: %v", err)
	}
	if got, err := c.run.Content(c.t.Context(), c.refs[0]); err != nil || !bytes.Equal(got, secret) {
		c.t.Errorf("content of another family: %v", err)
	}
}

// findIn returns the first file that holds b, or the middle of it if b is long.
func findIn(t *testing.T, dir string, b []byte) (found string) {
	t.Helper()
	needle := b[len(b)/2:]
	needle = needle[:min(24, len(needle))]
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() || found != "" {
			return err
		}
		text, err := os.ReadFile(path)
		if bytes.Contains(text, needle) {
			found = path
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a table that was just compacted away
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// A run that was forked stays while the fork is there; a fork can go alone.
func TestRemoveRun(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(testSeed(t), 4))
	s := open(t, t.TempDir(), state.Options{Reserve: -1})
	c := &confidant{t: t, s: s, rng: rng}
	c.begin(runID(1), noise(rng, 100))
	c.tell(noise(rng, 100))
	c.tell(noise(rng, 100))
	c.tell(noise(rng, 100))
	fork := c.fork(runID(2))
	if err := s.RemoveRun(t.Context(), runID(1)); err == nil {
		t.Fatal("a run with a fork was removed")
	}
	if err := s.RemoveRun(t.Context(), fork.ID()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Run(t.Context(), fork.ID()); !errors.Is(err, state.ErrNotFound) {
		t.Fatalf("removed fork: %v", err)
	}
	check(t, c.run.Journal, nil)
	if err := s.RemoveRun(t.Context(), runID(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.run.Append(t.Context(), state.Draft{Agent: "/", Body: &journal.Resumed{}}); !errors.Is(err, state.ErrErased) {
		t.Fatalf("append to a removed run: %v", err)
	}
}
