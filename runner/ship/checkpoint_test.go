package ship_test

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2"
)

// TestOtherCheckpoints: checkpoints that another tacho wrote are left out; entries and content are shipped all the same,
// also by the next shipper, which goes on behind one of them.
func TestOtherCheckpoints(t *testing.T) {
	t.Parallel()
	seed := seeded(t)
	dir := t.TempDir()
	store := openStore(t, dir)
	l := newLab(t, store, runID(1), source(t, seed), seed)
	l.play(200, false)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	ageCheckpoints(t, dir)

	store = openStore(t, dir)
	to := newReceiver()
	c := hasty(store, to.serveHTTP(t), t.TempDir())
	c.Final = true
	for range 2 {
		s := open(t, c)
		if err := s.Ship(wait(t), runID(1), nil); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	j, err := store.Journal(t.Context(), runID(1))
	if err != nil {
		t.Fatal(err)
	}
	if n := int64(len(to.entries[j.ID()])); n != j.Len() || len(to.checkpoints[j.ID()]) != 0 {
		t.Errorf("%d of %d entries shipped, and %d checkpoints", n, j.Len(), len(to.checkpoints[j.ID()]))
	}
	if _, err := j.At(t.Context(), j.Len()-1); err != nil {
		t.Error(err)
	}
}

// ageCheckpoints makes all checkpoints of a closed store those of an older version.
func ageCheckpoints(t *testing.T, dir string) {
	t.Helper()
	db, err := pebble.Open(filepath.Join(dir, "db"), &pebble.Options{FormatMajorVersion: pebble.FormatValueSeparation})
	if err != nil {
		t.Fatal(err)
	}
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte("k"), UpperBound: []byte("l")})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		older := bytes.Replace(it.Value(), []byte(`{"v":2,`), []byte(`{"v":1,`), 1)
		if bytes.Equal(older, it.Value()) {
			t.Fatal("the checkpoint was not made older")
		}
		if err := db.Set(it.Key(), older, pebble.Sync); err != nil {
			t.Fatal(err)
		}
		n++
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if n < 2 {
		t.Fatalf("%d checkpoints", n)
	}
}
