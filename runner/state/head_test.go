package state_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"tachograph/runner/state"
	"tachograph/schemas/journal"
)

// checkHeads verifies the run's heads against its entries, and returns the sizes that they cover.
func checkHeads(t testing.TB, s *state.Store, j *state.Journal) []int64 {
	t.Helper()
	known, err := s.Verifiers()
	if err != nil {
		t.Fatal(err)
	}
	var frontier journal.Frontier
	roots := []journal.Hash{{}}
	for line, err := range j.Entries(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		frontier.Add(journal.HashEntry(line))
		roots = append(roots, frontier.Root())
	}
	heads, err := j.Heads(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var sizes []int64
	for _, signed := range heads {
		h, n, err := journal.OpenHead(signed, known)
		if err != nil || len(n.Sigs) != 1 || n.Sigs[0].Name != s.Key().Name() {
			t.Fatalf("head: %v", err)
		}
		state := at(t, s, state.ForkPoint{Run: j.ID(), Seq: h.Size - 1})
		if h.Root != roots[h.Size] || h.State != state.Hash() || h.Run != j.ID() {
			t.Fatalf("head at %d says root %s, state %s; the entries %s, %s", h.Size, h.Root, h.State, roots[h.Size], state.Hash())
		}
		sizes = append(sizes, h.Size)
	}
	return sizes
}

// Heads are signed at snapshots, when asked, when the store closes, and over what is there only
// once; the key stays the same.
func TestHeads(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, state.Options{CheckpointEvery: 10})
	r := create(t, s, runID(1), state.CreateOptions{})
	w := tell(t, r, 1)
	w.start()
	for range 30 {
		w.next()
	}
	snapshot, err := r.Snapshot(t.Context(), "asked", 3)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := r.SignHead(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if sizes := checkHeads(t, s, r.Journal); len(sizes) != 1 || sizes[0] != snapshot.Seq+1 {
		t.Fatalf("heads at %d after a snapshot at %d", sizes, snapshot.Seq)
	}
	w.next()
	length, key := r.Len(), s.KeyID()
	s.Close()
	s = open(t, dir, state.Options{})
	j, err := s.Journal(t.Context(), runID(1))
	if err != nil || s.KeyID() != key {
		t.Fatalf("key %s after %s, %v", s.KeyID(), key, err)
	}
	if sizes := checkHeads(t, s, j); sizes[len(sizes)-1] != length {
		t.Fatalf("heads at %d of %d entries after closing", sizes, length)
	}
}

// A run that grows gets a head by itself.
func TestHeadsByTheClock(t *testing.T) {
	t.Parallel()
	signed := make(chan bool, 100)
	log := slog.New(&listener{match: "signed head", heard: signed})
	s := open(t, t.TempDir(), state.Options{HeadEvery: time.Millisecond, Log: log})
	r := create(t, s, runID(1), state.CreateOptions{})
	w := tell(t, r, 1)
	w.start()
	<-signed
	w.next()
	<-signed
	if sizes := checkHeads(t, s, r.Journal); len(sizes) < 2 {
		t.Fatalf("heads at %d", sizes)
	}
}

// listener hears one message of a log.
type listener struct {
	slog.Handler
	match string
	heard chan<- bool
}

func (l *listener) Enabled(context.Context, slog.Level) bool { return true }

func (l *listener) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, l.match) {
		select {
		case l.heard <- true:
		default:
		}
	}
	return nil
}

// The key is private, and a trust list that cannot be read is an error and not a shorter list.
func TestKeys(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, state.Options{Domain: "example.org"})
	info, err := os.Stat(filepath.Join(dir, "keys", "worker.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	_, public, err := note.GenerateKey(nil, "other.org/worker")
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "keys", "other.pub")
	if err := os.WriteFile(other, []byte("# a colleague\n"+public+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	known, err := s.Verifiers()
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := note.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []note.Verifier{s.Key(), theirs} {
		if _, err := known.Verifier(v.Name(), v.KeyHash()); err != nil {
			t.Errorf("key %s: %v", v.Name(), err)
		}
	}
	if err := os.WriteFile(other, []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Verifiers(); err == nil || !strings.Contains(err.Error(), "other.pub") {
		t.Errorf("damaged trust list: %v", err)
	}
}
