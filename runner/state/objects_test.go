package state_test

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tachograph/runner/state"
	"tachograph/schemas/journal"
)

// Objects of all sizes come back, also while they are on their way, and after the store was closed.
func TestObjects(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(testSeed(t), 5))
	dir := t.TempDir()
	s := open(t, dir, state.Options{Reserve: -1})
	r := create(t, s, runID(1), state.CreateOptions{})
	kept := map[journal.Object][]byte{}
	put := func(b []byte) {
		kept[journal.NameObject(b)] = b
		for range 2 {
			if err := r.Objects().Put(t.Context(), journal.NameObject(b), b); err != nil {
				t.Fatal(err)
			}
		}
	}
	holds := func(o *state.Objects) {
		t.Helper()
		for name, b := range kept {
			if has, err := o.Has(t.Context(), name); err != nil || !has {
				t.Fatalf("has object of %d bytes: %v, %v", len(b), has, err)
			}
			if got, err := o.Get(t.Context(), name); err != nil || !bytes.Equal(got, b) {
				t.Fatalf("get object of %d bytes: %v", len(b), err)
			}
		}
	}
	for _, size := range []int{0, 1, 4095, 4096, 65_535, 65_536, 1 << 20} {
		put(noise(rng, size))
		put(bytes.Repeat([]byte{byte(size)}, size))
	}
	holds(r.Objects())
	if err := r.Objects().SealBase(t.Context(), journal.Object{1}); err != nil {
		t.Fatal(err)
	}
	holds(r.Objects())
	put(noise(rng, 200_000))
	holds(r.Objects())
	tell(t, r, 1).start()
	s.Close()
	s = open(t, dir, state.Options{Reserve: -1})
	again, err := s.Run(t.Context(), runID(1))
	if err != nil {
		t.Fatal(err)
	}
	holds(again.Objects())
	if _, err := again.Objects().Get(t.Context(), journal.Object{7}); !errors.Is(err, state.ErrNotFound) {
		t.Fatalf("unknown object: %v", err)
	}
	if err := again.Objects().SealBase(t.Context(), journal.Object{2}); err == nil {
		t.Fatal("sealed twice")
	}
}

// A tree that several families begin with stands once; what only one of them kept is its own.
func TestBaseIsShared(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(testSeed(t), 6))
	dir := t.TempDir()
	s := open(t, dir, state.Options{Reserve: -1})
	tree, root := [][]byte{noise(rng, 500), noise(rng, 100_000), noise(rng, 150_000)}, journal.Object{3}
	secret := noise(rng, 90_000)
	for n := range 3 {
		r := create(t, s, runID(n), state.CreateOptions{})
		files := tree
		if n == 2 {
			files = append(files, secret)
		}
		for _, b := range files {
			if err := r.Objects().Put(t.Context(), journal.NameObject(b), b); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Objects().SealBase(t.Context(), root); err != nil {
			t.Fatal(err)
		}
		tell(t, r, uint64(n)).start()
	}
	if got := countFiles(t, filepath.Join(dir, "files")); got != 3 {
		t.Errorf("%d files where two of the tree and one secret are due", got)
	}
	for range 2 {
		for n := range 3 {
			r, err := s.Run(t.Context(), runID(n))
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range tree {
				if got, err := r.Objects().Get(t.Context(), journal.NameObject(b)); err != nil || !bytes.Equal(got, b) {
					t.Fatalf("family %d: %v", n, err)
				}
			}
			if has, err := r.Objects().Has(t.Context(), journal.NameObject(secret)); err != nil || has != (n == 2) {
				t.Fatalf("family %d has the secret of another: %v, %v", n, has, err)
			}
		}
		s.Close()
		s = open(t, dir, state.Options{Reserve: -1})
	}
	for n := range 2 {
		if err := s.Remove(t.Context(), runID(n), state.RemoveOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	r, err := s.Run(t.Context(), runID(2))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range append(tree, secret) {
		if _, err := r.Objects().Get(t.Context(), journal.NameObject(b)); err != nil {
			t.Fatalf("after the families that it shared with were removed: %v", err)
		}
	}
}

func countFiles(t *testing.T, dir string) (n int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Many agents that append while a sync is under way share the next one.
func TestAppendsShareSyncs(t *testing.T) {
	t.Parallel()
	const agents = 300
	gate := &syncGate{FS: vfs.Default, open: make(chan struct{})}
	// The clock is asked once an append, under the lock of its run: so we know when all have come.
	var asked atomic.Int64
	clock := func() time.Time {
		if asked.Add(-1) == 0 {
			close(gate.open)
		}
		return time.Now()
	}
	s := open(t, t.TempDir(), state.Options{FS: gate, Clock: clock, Reserve: -1})
	var runs []*state.Run
	for n := range 6 {
		r := create(t, s, runID(n), state.CreateOptions{})
		tell(t, r, uint64(n)).start()
		runs = append(runs, r)
	}
	// Pebble's first memtables are small, and changing to the next one waits for the sync that the
	// gate will hold up: past the first two there is room for all the appends.
	for n := range 15 {
		ref := runs[0].Stage(noise(rand.New(rand.NewPCG(1, uint64(n))), 60_000))
		if _, err := runs[0].Append(t.Context(), state.Draft{Agent: "/", Body: &journal.Intent{Text: ref, Source: "declared"}}); err != nil {
			t.Fatal(err)
		}
	}
	asked.Store(agents)
	gate.closed.Store(true)
	var group sync.WaitGroup
	for a := range agents {
		group.Go(func() {
			r := runs[a%len(runs)]
			ref := r.Stage([]byte{byte(a), byte(a >> 8)})
			if _, err := r.Append(t.Context(), state.Draft{Agent: "/", Body: &journal.Intent{Text: ref, Source: "declared"}}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	// One that waited at the gate, one for those that came meanwhile, and the last ones to come.
	if got := gate.syncs.Load(); got > 10 {
		t.Errorf("%d syncs for %d appends", got, agents)
	}
	for _, r := range runs {
		check(t, r.Journal, nil)
	}
}

// syncGate counts the syncs of write-ahead logs, and holds them up while it is closed.
type syncGate struct {
	vfs.FS
	closed atomic.Bool
	open   chan struct{}
	syncs  atomic.Int64
}

func (g *syncGate) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := g.FS.Create(name, c)
	if err != nil || !strings.HasSuffix(name, ".log") {
		return file, err
	}
	return &gatedFile{file, g}, nil
}

type gatedFile struct {
	vfs.File
	gate *syncGate
}

func (f *gatedFile) pass() {
	if f.gate.closed.Load() {
		f.gate.syncs.Add(1)
		<-f.gate.open
	}
}

func (f *gatedFile) Sync() error     { f.pass(); return f.File.Sync() }
func (f *gatedFile) SyncData() error { f.pass(); return f.File.SyncData() }
