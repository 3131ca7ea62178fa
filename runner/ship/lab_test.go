package ship_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tachograph/runner/ship"
	"tachograph/runner/state"
	"tachograph/runner/workspace"
	"tachograph/schemas/journal"
	"tachograph/schemas/journal/journaltest"
)

func TestMain(m *testing.M) {
	asChild()
	goleak.VerifyTestMain(m)
}

// lab is a real store and a real working tree in which a random story plays.
type lab struct {
	t     testing.TB
	store *state.Store
	run   *state.Run
	tree  *workspace.Tree
	story *journaltest.Story
	rng   *rand.Rand
	ended bool
}

func runID(n byte) journal.RunID {
	return journal.RunID{1, 0x97, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, n}
}

func openStore(t testing.TB, dir string) *state.Store {
	t.Helper()
	store, err := state.Open(dir, state.Options{CheckpointEvery: 64})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

// source is a directory of files, one of them larger than a record may be.
func source(t testing.TB, seed uint64) string {
	t.Helper()
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(seed, 1))
	for i := range 20 {
		write(t, rng, dir, fmt.Sprintf("dir%d/file%d", i%4, i), rng.IntN(3000))
	}
	write(t, rng, dir, "dir1/large", 2<<20+12345)
	return dir
}

func write(t testing.TB, rng *rand.Rand, dir, name string, size int) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func newLab(t testing.TB, store *state.Store, id journal.RunID, dir string, seed uint64) *lab {
	t.Helper()
	l := &lab{t: t, store: store, rng: rand.New(rand.NewPCG(seed, 7)), story: journaltest.New(seed)}
	var err error
	ctx := context.Background()
	if l.run, err = store.Create(ctx, id, state.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if l.tree, _, err = workspace.Import(ctx, dir, filepath.Join(t.TempDir(), "tree"), l.run.Objects(), workspace.Options{UID: -1}); err != nil {
		t.Fatal(err)
	}
	if err := l.run.Objects().SealBase(ctx, l.tree.Root()); err != nil {
		t.Fatal(err)
	}
	l.story.Stage, l.story.Root = l.run.Stage, l.change
	l.story.Take = func() error { return l.run.Take(ctx) }
	l.append("/", l.story.Start(id))
	return l
}

func (l *lab) change() journal.Object {
	l.t.Helper()
	dir := l.tree.Dir()
	name := fmt.Sprintf("dir%d/made%d", l.rng.IntN(6), l.rng.IntN(40))
	switch l.rng.IntN(4) {
	case 0, 1:
		write(l.t, l.rng, dir, name, l.rng.IntN(3000))
	case 2:
		os.RemoveAll(filepath.Join(dir, name))
	case 3:
		os.Rename(filepath.Join(dir, name), filepath.Join(dir, name+"-renamed"))
	}
	d, err := l.tree.Scan(context.Background())
	if err != nil {
		l.t.Fatal(err)
	}
	return d.To
}

func (l *lab) append(agent string, body journal.Body) {
	l.t.Helper()
	if _, err := l.run.Append(context.Background(), state.Draft{Agent: agent, Body: body}); err != nil {
		l.t.Fatalf("append %s: %v", body.Kind(), err)
	}
	switch b := body.(type) {
	case *journal.RolledBack:
		if _, err := l.tree.Restore(context.Background(), b.Root, nil); err != nil {
			l.t.Fatal(err)
		}
	case *journal.RunEnded:
		l.ended = true
	}
}

// play goes on until the run has n entries, and ends it if end.
func (l *lab) play(n int64, end bool) {
	l.t.Helper()
	for l.run.Len() < n && !l.ended {
		agent, body, err := l.story.Next(l.run.State())
		if err != nil {
			l.t.Fatal(err)
		}
		l.append(agent, body)
	}
	if end && !l.ended {
		l.append("/", l.story.End(l.run.State()))
	}
}

func seeded(t testing.TB) uint64 {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return seed
}

// hasty makes a Config whose waits take no time.
func hasty(store *state.Store, endpoint, dir string) ship.Config {
	return ship.Config{State: store, Endpoint: endpoint, Dir: dir, Linger: time.Millisecond, CheckEvery: 5 * time.Millisecond, Patience: time.Nanosecond,
		After: func(time.Duration) <-chan time.Time { return time.After(time.Millisecond) }}
}

func open(t testing.TB, c ship.Config) *ship.Shipper {
	t.Helper()
	s, err := ship.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func wait(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}
