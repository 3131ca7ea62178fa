package state_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"tachograph/runner/state"
	"tachograph/schemas/journal"
)

// key spells a row's key as the package comment does.
func key(letter byte, parts ...any) []byte {
	k := []byte{letter}
	for _, p := range parts {
		switch p := p.(type) {
		case journal.RunID:
			k = append(k, p[:]...)
		case journal.Ref:
			k = append(k, p[:]...)
		case int64:
			k = append(k, 0, 0, 0, 0, byte(p>>24), byte(p>>16), byte(p>>8), byte(p))
		}
	}
	return k
}

// edit opens the database of a store that is closed, and lets the test do harm.
func edit(t *testing.T, dir string, harm func(*pebble.DB)) {
	t.Helper()
	db, err := pebble.Open(filepath.Join(dir, "db"), &pebble.Options{FormatMajorVersion: pebble.FormatValueSeparation, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	harm(db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}

// Damage is found and named; the entries beside it can still be read.
func TestDamage(t *testing.T) {
	t.Parallel()
	run := runID(1)
	for _, c := range []struct {
		name string
		harm func(*pebble.DB, *damaged) error
		want string // in the error of opening the run for writing
	}{
		{"an entry is gone", func(db *pebble.DB, d *damaged) error { return db.Delete(key('e', run, int64(55)), pebble.Sync) },
			"entry 55 is missing"},
		{"a bit of an entry flipped", func(db *pebble.DB, d *damaged) error {
			return db.Set(key('e', run, int64(55)), bytes.Replace(d.lines[55], []byte(`"epoch":1`), []byte(`"epoch":3`), 1), pebble.Sync)
		}, "is not the hash of the entry before it"},
		{"the last entry is gone", func(db *pebble.DB, d *damaged) error {
			return db.Delete(key('e', run, int64(len(d.lines)-1)), pebble.Sync)
		}, "is missing"},
		{"the lease is gone", func(db *pebble.DB, d *damaged) error { return db.Delete(key('l', run), pebble.Sync) }, "lease"},
		{"the summary is no JSON", func(db *pebble.DB, d *damaged) error { return db.Set(key('r', run), []byte("{"), pebble.Sync) }, "summary"},
		{"the salt is short", func(db *pebble.DB, d *damaged) error { return db.Set(key('s', run), []byte("x"), pebble.Sync) }, "salt"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := makeDamaged(t)
			edit(t, d.dir, func(db *pebble.DB) {
				if err := c.harm(db, d); err != nil {
					t.Fatal(err)
				}
			})
			s, err := state.Open(d.dir, state.Options{CheckpointEvery: 20})
			if err == nil {
				defer s.Close()
				_, err = s.Run(t.Context(), run)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

// damaged is a store that is closed and about to be harmed.
type damaged struct {
	dir   string
	lines [][]byte
	state *journal.State
}

// makeDamaged has 60 entries and no checkpoint among the last of them.
func makeDamaged(t *testing.T) *damaged {
	d := &damaged{dir: t.TempDir()}
	s := open(t, d.dir, state.Options{CheckpointEvery: 20, Reserve: -1})
	r := create(t, s, runID(1), state.CreateOptions{})
	w := tell(t, r, 1)
	w.story.Take = nil
	w.start()
	for r.Len() < 50 {
		w.next()
	}
	s.Close()
	// Reopened with another bound, so that the entries at the end follow no checkpoint.
	s = open(t, d.dir, state.Options{CheckpointEvery: 1000, Reserve: -1})
	r, err := s.Run(t.Context(), runID(1))
	if err != nil {
		t.Fatal(err)
	}
	for r.Len() < 60 {
		ref := r.Stage([]byte{byte(r.Len())})
		if _, err := r.Append(t.Context(), state.Draft{Agent: "/", Body: &journal.Intent{Text: ref, Source: "declared"}}); err != nil {
			t.Fatal(err)
		}
	}
	for line := range r.Entries(t.Context(), 0) {
		d.lines = append(d.lines, line)
	}
	d.state = r.State()
	s.Close()
	return d
}

// A checkpoint is a cache: one that is damaged, of another fold, or of other entries is passed
// over, and the state is the same.
func TestDamagedCheckpoints(t *testing.T) {
	t.Parallel()
	d := makeDamaged(t)
	edit(t, d.dir, func(db *pebble.DB) {
		it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte("c"), UpperBound: []byte("d")})
		if err != nil {
			t.Fatal(err)
		}
		it.Last()
		if err := db.Delete(it.Key(), pebble.Sync); err != nil {
			t.Fatal(err)
		}
		it.Close()
		if it, err = db.NewIter(&pebble.IterOptions{LowerBound: []byte("k"), UpperBound: []byte("l")}); err != nil {
			t.Fatal(err)
		}
		defer it.Close()
		for n, ok := 0, it.First(); ok; n, ok = n+1, it.Next() {
			value := bytes.Clone(it.Value())
			switch n % 3 {
			case 0:
				value = value[:len(value)/2]
			case 1:
				value = bytes.Replace(value, []byte(`"fold":1`), []byte(`"fold":9`), 1)
			case 2:
				value[5] ^= 1
			}
			if err := db.Set(bytes.Clone(it.Key()), value, pebble.Sync); err != nil {
				t.Fatal(err)
			}
		}
	})
	heard := make(chan bool, 1)
	s := open(t, d.dir, state.Options{Log: slog.New(&listener{match: "checkpoint cannot be used", heard: heard})})
	r, err := s.Run(t.Context(), runID(1))
	if err != nil {
		t.Fatal(err)
	}
	if r.State().Hash() != d.state.Hash() {
		t.Fatal("another state without checkpoints")
	}
	<-heard
}

// Blocks of a long list that are gone or damaged: who only looks is told so when he asks for the messages, and who goes on
// from the state, as its writer or as a fork, gets all of them, from an earlier checkpoint or from the entries.
func TestDamagedList(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, state.Options{Reserve: -1})
	r := create(t, s, runID(1), state.CreateOptions{})
	tell(t, r, 1).start()
	w := newWorker(t, r, "/", 1)
	for range 400 {
		w.step()
	}
	want, last := refsOf(t, r.State()), r.Len()-1
	s.Close()
	n := 0
	edit(t, dir, func(db *pebble.DB) { n = damageBlocks(t, db) })
	if n < 2 {
		t.Fatalf("%d blocks, want one that is damaged and one that is gone", n)
	}

	s = open(t, dir, state.Options{Reserve: -1})
	j, err := s.Journal(t.Context(), runID(1))
	if err != nil {
		t.Fatal(err)
	}
	looked, err := j.At(t.Context(), last)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := looked.Agent("/").List.Refs(0, 1); err == nil {
		t.Error("messages were read from damaged blocks")
	}
	whole, err := j.Whole(t.Context(), last)
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.Run(t.Context(), runID(1))
	if err != nil {
		t.Fatal(err)
	}
	fork := create(t, s, runID(2), state.CreateOptions{Parent: &state.ForkPoint{Run: runID(1), Seq: last}})
	for what, st := range map[string]*journal.State{"whole": whole, "run": again.State(), "fork": fork.State()} {
		if !slices.Equal(refsOf(t, st), want) {
			t.Errorf("%s: other messages", what)
		}
	}
	w.run = again // it goes on, and its next checkpoints have the blocks again
	for range 100 {
		w.step()
	}
	want, last = refsOf(t, again.State()), again.Len()-1
	if looked, err = again.At(t.Context(), last); err != nil || !slices.Equal(refsOf(t, looked), want) {
		t.Errorf("messages after the run went on: %v", err)
	}
}

func refsOf(t *testing.T, s *journal.State) []journal.Ref {
	t.Helper()
	list := s.Agent("/").List
	refs, err := list.Refs(0, list.Len())
	if err != nil {
		t.Fatal(err)
	}
	return refs
}

// damageBlocks changes a bit of every other block of a list, and deletes the rest.
func damageBlocks(t *testing.T, db *pebble.DB) (n int) {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte("c"), UpperBound: []byte("d")})
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		value := bytes.Clone(it.Value())
		if len(value) != 257*journal.HashSize {
			continue
		}
		value[40] ^= 1
		if n++; n%2 == 0 {
			err = db.Delete(it.Key(), pebble.Sync)
		} else {
			err = db.Set(it.Key(), value, pebble.Sync)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// Content that was replaced, or lost its file, is refused, whatever its size.
func TestDamagedContent(t *testing.T) {
	t.Parallel()
	dir, rng := t.TempDir(), rand.New(rand.NewPCG(testSeed(t), 9))
	s := open(t, dir, state.Options{Reserve: -1})
	c := &confidant{t: t, s: s, rng: rng}
	c.begin(runID(1), noise(rng, 10))
	for _, size := range []int{100, 200, 100_000, 150_000} {
		c.tell(noise(rng, size))
	}
	s.Close()
	edit(t, dir, func(db *pebble.DB) {
		if err := db.Set(key('n', runID(1), c.refs[0]), []byte("\x00other"), pebble.Sync); err != nil {
			t.Fatal(err)
		}
		if err := db.Set(key('n', runID(1), c.refs[1]), []byte{9}, pebble.Sync); err != nil {
			t.Fatal(err)
		}
	})
	s = open(t, dir, state.Options{Reserve: -1})
	damageFiles(t, dir, c.refs[2:])
	j, err := s.Journal(t.Context(), runID(1))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"another hash", "no cell", "bytes where", "no such file"} {
		if _, err := j.Content(t.Context(), c.refs[i]); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("content %d: %v, want an error with %q", i, err, want)
		}
	}
}

// damageFiles cuts the file of the first piece of content short and removes that of the second.
func damageFiles(t *testing.T, dir string, refs []journal.Ref) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case strings.HasSuffix(refs[0].String(), d.Name()) && !d.IsDir():
			return os.Truncate(path, 100)
		case strings.HasSuffix(refs[1].String(), d.Name()) && !d.IsDir():
			return os.Remove(path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A store of another layout is refused before anything is done to it.
func TestOtherLayout(t *testing.T) {
	t.Parallel()
	d := makeDamaged(t)
	edit(t, d.dir, func(db *pebble.DB) {
		if err := db.Set(key('v'), []byte("2"), pebble.Sync); err != nil {
			t.Fatal(err)
		}
	})
	if _, err := state.Open(d.dir, state.Options{}); err == nil || !strings.Contains(err.Error(), "layout") {
		t.Fatalf("store of a newer tacho: %v", err)
	}
}

// When the disk fails, every append that it touches says so and none is acknowledged; what was
// acknowledged before is there for the next process. A broken store is never closed in good order,
// so the test happens in a process of its own.
func TestDiskFails(t *testing.T) {
	if os.Getenv(brokenEnv) != "" {
		breakDisk(t)
		if !t.Failed() {
			os.Exit(0)
		}
		return
	}
	t.Parallel()
	cmd := exec.Command(os.Args[0], "-test.run=^TestDiskFails$")
	cmd.Env = append(os.Environ(), brokenEnv+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

const brokenEnv = "TACHO_STATE_TEST_BROKEN"

func breakDisk(t *testing.T) {
	disk := vfs.NewCrashableMem()
	failing := &failingFS{FS: disk}
	s, err := state.Open("data", state.Options{FS: failing, Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	book := newLedger()
	run := create(t, s, runID(1), state.CreateOptions{})
	w := tell(t, run, 1)
	book.acknowledge(run.ID(), []state.Written{w.append("/", w.story.Start(run.ID()))})
	var group sync.WaitGroup
	var wrote atomic.Int64
	for k := range 8 {
		c := newScribe(run, uint64(k), book)
		group.Go(func() {
			for {
				if err := c.write(t.Context()); err != nil {
					if !errors.Is(err, state.ErrBroken) {
						t.Errorf("append to a broken store: %v", err)
					}
					return
				}
				if wrote.Add(1) == 50 {
					failing.fail.Store(true)
				}
			}
		})
	}
	group.Wait()
	if _, err := run.Append(t.Context(), state.Draft{Agent: "/", Body: &journal.Resumed{}}); !errors.Is(err, state.ErrBroken) {
		t.Errorf("append to a broken store: %v", err)
	}
	if _, err := s.Runs(t.Context()); !errors.Is(err, state.ErrBroken) {
		t.Errorf("read from a broken store: %v", err)
	}
	if err := s.Close(); !errors.Is(err, state.ErrBroken) {
		t.Errorf("close a broken store: %v", err)
	}
	after := open(t, "data", state.Options{FS: disk.CrashClone(vfs.CrashCloneCfg{}), Reserve: -1})
	if err := book.holds(t.Context(), after); err != nil {
		t.Error(err)
	}
}

// failingFS fails to sync logs once it is told to.
type failingFS struct {
	vfs.FS
	fail atomic.Bool
}

func (f *failingFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, c)
	if err != nil || !strings.HasSuffix(name, ".log") {
		return file, err
	}
	return &failingFile{file, f}, nil
}

type failingFile struct {
	vfs.File
	fs *failingFS
}

var errDisk = errors.New("input/output error")

func (f *failingFile) Sync() error     { return f.try(f.File.Sync) }
func (f *failingFile) SyncData() error { return f.try(f.File.SyncData) }

func (f *failingFile) try(do func() error) error {
	if f.fs.fail.Load() {
		return errDisk
	}
	return do()
}
