package replay_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"tachograph/collector/store/embedded/embeddedtest"
	"tachograph/runner/state"
	"tachograph/runner/workspace"
	"tachograph/schemas/journal"
	"tachograph/schemas/journal/journaltest"
)

func TestMain(m *testing.M) { embeddedtest.Main(m) }

// lab is a real store and a real working tree in which a random story plays.
type lab struct {
	t     *testing.T
	store *state.Store
	run   *state.Run
	tree  *workspace.Tree
	story *journaltest.Story
	rng   *rand.Rand

	hashes []journal.Hash   // live state after each entry
	roots  []journal.Object // live root after each entry, of the state
}

func runID(n byte) journal.RunID {
	return journal.RunID{1, 0x97, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, n}
}

func openStore(t *testing.T, dir string) *state.Store {
	t.Helper()
	store, err := state.Open(dir, state.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

func newLab(t *testing.T, store *state.Store, id journal.RunID, seed uint64) *lab {
	t.Helper()
	l := &lab{t: t, store: store, rng: rand.New(rand.NewPCG(seed, 7)), story: journaltest.New(seed)}
	var err error
	ctx := context.Background()
	if l.run, err = store.Create(ctx, id, state.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	source := t.TempDir()
	for i := range 20 {
		l.write(source, fmt.Sprintf("dir%d/file%d", i%4, i))
	}
	if l.tree, _, err = workspace.Import(ctx, source, filepath.Join(t.TempDir(), "tree"), l.run.Objects(), workspace.Options{UID: -1}); err != nil {
		t.Fatal(err)
	}
	if err := l.run.Objects().SealBase(ctx, l.tree.Root()); err != nil {
		t.Fatal(err)
	}
	l.story.Stage, l.story.Root = l.run.Stage, l.change
	l.story.Take = func() error { return l.run.Take(ctx) }
	started := l.story.Start(id)
	l.append("/", started)
	return l
}

func (l *lab) write(dir, name string) {
	l.t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		l.t.Fatal(err)
	}
	b := make([]byte, l.rng.IntN(3000))
	for i := range b {
		b[i] = byte(l.rng.Uint32()) // binary, as often as not
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		l.t.Fatal(err)
	}
}

// change does something to the real files and has the tree look; the root is what it then finds.
func (l *lab) change() journal.Object {
	l.t.Helper()
	dir := l.tree.Dir()
	name := fmt.Sprintf("dir%d/made%d", l.rng.IntN(6), l.rng.IntN(40))
	switch l.rng.IntN(5) {
	case 0, 1:
		l.write(dir, name)
	case 2:
		os.RemoveAll(filepath.Join(dir, name))
	case 3:
		os.Rename(filepath.Join(dir, name), filepath.Join(dir, name+"-renamed"))
	case 4:
		os.MkdirAll(filepath.Join(dir, fmt.Sprintf("dir%d/sub\n%d\xff", l.rng.IntN(6), l.rng.IntN(9))), 0o755)
	}
	d, err := l.tree.Scan(context.Background())
	if err != nil {
		l.t.Fatal(err)
	}
	return d.To
}

func (l *lab) append(agent string, body journal.Body) {
	l.t.Helper()
	written, err := l.run.Append(context.Background(), state.Draft{Agent: agent, Body: body})
	if err != nil {
		l.t.Fatalf("append %s: %v", body.Kind(), err)
	}
	// The store may write a checkpoint of its own first: the state between the two is seen by nobody.
	for int64(len(l.hashes)) < written[0].Seq {
		l.hashes, l.roots = append(l.hashes, journal.Hash{}), append(l.roots, journal.Object{})
	}
	l.run.View(func(s *journal.State) {
		l.hashes, l.roots = append(l.hashes, s.Hash()), append(l.roots, s.Root)
	})
	if rolled, ok := body.(*journal.RolledBack); ok {
		if _, err := l.tree.Restore(context.Background(), rolled.Root, nil); err != nil {
			l.t.Fatal(err)
		}
	}
}

// play goes on until the run has n entries.
func (l *lab) play(n int) {
	l.t.Helper()
	for len(l.hashes) < n {
		agent, body, err := l.story.Next(l.run.State())
		if err != nil {
			l.t.Fatal(err)
		}
		l.append(agent, body)
	}
}
