package requests_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"tachograph/schemas/journal"
	"tachograph/web/requests"
)

func open(t *testing.T, dir string, now time.Time) *requests.Log {
	t.Helper()
	l, err := requests.Open(dir, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	return l
}

var now = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func notFound(time.Time) (journal.RunID, bool, error) { return journal.RunID{}, false, nil }

// TestTogether: many requests with one key at once begin one run.
func TestTogether(t *testing.T) {
	t.Parallel()
	l := open(t, t.TempDir(), now)
	begun := 0
	var wait sync.WaitGroup
	for range 50 {
		wait.Go(func() {
			run, _, err := l.Begin(context.Background(), "k", []byte("{}"), notFound, func() (journal.RunID, error) {
				begun++ // requests with one key wait for each other
				return journal.RunID{7}, nil
			})
			if err != nil || run != (journal.RunID{7}) {
				t.Errorf("run %s, %v", run, err)
			}
		})
	}
	wait.Wait()
	if begun != 1 {
		t.Errorf("%d runs were begun", begun)
	}
}

// TestErrorFreesTheKey: what was refused may be asked again, with another body too.
func TestErrorFreesTheKey(t *testing.T) {
	t.Parallel()
	l := open(t, t.TempDir(), now)
	no := errors.New("no")
	if _, _, err := l.Begin(t.Context(), "k", []byte("a"), notFound, func() (journal.RunID, error) { return journal.RunID{}, no }); !errors.Is(err, no) {
		t.Fatalf("error is %v", err)
	}
	run, again, err := l.Begin(t.Context(), "k", []byte("b"), notFound, func() (journal.RunID, error) { return journal.RunID{1}, nil })
	if err != nil || again || run != (journal.RunID{1}) {
		t.Errorf("run %s, again %t, %v", run, again, err)
	}
	if _, _, err := l.Begin(t.Context(), "k", []byte("a"), notFound, nil); !errors.Is(err, requests.ErrReused) {
		t.Errorf("another body: %v", err)
	}
}

// TestOldKeysAreDropped, and damaged ones are named, not taken for new.
func TestOldKeysAreDropped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	begin := func(l *requests.Log, n byte) (journal.RunID, error) {
		run, _, err := l.Begin(t.Context(), "k", []byte("{}"), notFound, func() (journal.RunID, error) { return journal.RunID{n}, nil })
		return run, err
	}
	for _, step := range []struct {
		after time.Duration
		want  byte
	}{{0, 1}, {requests.Keep - time.Hour, 1}, {requests.Keep + time.Hour, 2}} {
		run, err := begin(open(t, dir, now.Add(step.after)), step.want)
		if err != nil || run != (journal.RunID{step.want}) {
			t.Errorf("after %s: %s, %v", step.after, run, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, requests.Name("k")+".json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := begin(open(t, dir, now), 3); err == nil {
		t.Error("a damaged file was taken for a new key")
	}
}
