package state_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tachograph/runner/state"
	"tachograph/schemas/journal"
)

// recorded is a run of another store, and what an import of it takes.
type recorded struct {
	run   *state.Run
	info  state.RunInfo
	lines [][]byte
	o     state.ImportOptions
}

func record(t *testing.T, n int) recorded {
	t.Helper()
	s := open(t, t.TempDir(), state.Options{CheckpointEvery: 32})
	w := tell(t, create(t, s, runID(1), state.CreateOptions{}), testSeed(t))
	top, err := journal.EncodeDir(nil)
	if err != nil {
		t.Fatal(err)
	}
	root := journal.NameObject(top)
	if err := w.run.Objects().Put(t.Context(), root, top); err != nil {
		t.Fatal(err)
	}
	if err := w.run.Objects().SealBase(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	w.story.Root = func() journal.Object { return root }
	w.start()
	for w.run.Len() < int64(n) {
		agent, body, err := w.story.Next(w.run.State())
		if err != nil {
			t.Fatal(err)
		}
		w.append(agent, body)
	}
	if err := w.run.SignHead(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := recorded{run: w.run, o: state.ImportOptions{Family: w.run.ID()}}
	for line, err := range w.run.Entries(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		r.lines = append(r.lines, line)
	}
	if r.o.Salt, err = w.run.Salt(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r.o.Heads, err = w.run.Heads(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r.info, err = s.Info(w.run.ID()); err != nil {
		t.Fatal(err)
	}
	return r
}

// fill stages all content and puts the base tree.
func (r recorded) fill(t *testing.T, into *state.Import) {
	t.Helper()
	for _, line := range r.lines {
		e, err := journal.Decode(line)
		if err != nil {
			t.Fatal(err)
		}
		body, err := journal.DecodeBody(e.Kind, e.Body)
		if err != nil {
			t.Fatal(err)
		}
		for _, ref := range journal.Refs(body) {
			b, err := r.run.Content(t.Context(), ref)
			if err != nil || into.Stage(b) != ref {
				t.Fatalf("stage %s: %v", ref, err)
			}
		}
	}
	if into.Sealed() {
		return
	}
	top, err := r.run.Objects().Get(t.Context(), r.run.State().Base)
	if err == nil {
		err = into.Objects().Put(t.Context(), journal.NameObject(top), top)
	}
	if err == nil {
		err = into.Objects().SealBase(t.Context(), journal.NameObject(top))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestImport imports a run in two halves, with the store closed between them.
func TestImport(t *testing.T) {
	t.Parallel()
	r := record(t, 200)
	dir := t.TempDir()
	for _, to := range []int{110, 200} {
		s, err := state.Open(dir, state.Options{CheckpointEvery: 32})
		if err != nil {
			t.Fatal(err)
		}
		into, err := s.Import(t.Context(), r.run.ID(), r.o)
		if err != nil {
			t.Fatal(err)
		}
		r.fill(t, into)
		if err := into.Append(t.Context(), r.lines[into.Len():to]...); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, dir, state.Options{})
	got, err := s.Run(t.Context(), r.run.ID())
	if err != nil {
		t.Fatal(err)
	}
	if got.State().Hash() != r.run.State().Hash() {
		t.Error("the state is another one")
	}
	heads, err := got.Heads(t.Context())
	if err != nil || len(heads) == 0 || string(heads[len(heads)-1]) != string(r.o.Heads[len(r.o.Heads)-1]) {
		t.Errorf("%d heads of %d, %v", len(heads), len(r.o.Heads), err)
	}
	imported, err := s.Info(r.run.ID())
	if err != nil || !imported.Imported {
		t.Errorf("it does not say that it was imported: %v", err)
	}
	imported.Imported = false
	if diff := cmp.Diff(r.info, imported); diff != "" {
		t.Errorf("summary (-recorded +imported):\n%s", diff)
	}
	if _, err := got.Append(context.Background(), state.Draft{Agent: "/", Body: &journal.Paused{Why: "asked"}}); !errors.Is(err, state.ErrImported) {
		t.Errorf("append: %v", err)
	}
	if err := got.Take(t.Context()); !errors.Is(err, state.ErrImported) {
		t.Errorf("take: %v", err)
	}
}

// TestImportRefuses: what does not fit is refused, and nothing of it stays.
func TestImportRefuses(t *testing.T) {
	t.Parallel()
	r := record(t, 60)
	changed := append([][]byte(nil), r.lines...)
	changed[40] = []byte(strings.Replace(string(changed[40]), `"time":"2`, `"time":"3`, 1))
	other := r.o
	other.Salt[0] ^= 1
	for name, try := range map[string]func(t *testing.T, s *state.Store) error{
		"a changed line": func(t *testing.T, s *state.Store) error {
			into, err := s.Import(t.Context(), r.run.ID(), r.o)
			if err != nil {
				t.Fatal(err)
			}
			r.fill(t, into)
			return into.Append(t.Context(), changed...)
		},
		"a line left out": func(t *testing.T, s *state.Store) error {
			into, err := s.Import(t.Context(), r.run.ID(), r.o)
			if err != nil {
				t.Fatal(err)
			}
			r.fill(t, into)
			return into.Append(t.Context(), append(append([][]byte(nil), r.lines[:20]...), r.lines[21:]...)...)
		},
		"content that is not there": func(t *testing.T, s *state.Store) error {
			into, err := s.Import(t.Context(), r.run.ID(), r.o)
			if err != nil {
				t.Fatal(err)
			}
			return into.Append(t.Context(), r.lines...)
		},
		"another run's id": func(t *testing.T, s *state.Store) error {
			into, err := s.Import(t.Context(), runID(9), state.ImportOptions{Family: runID(9), Salt: r.o.Salt})
			if err != nil {
				t.Fatal(err)
			}
			r.fill(t, into)
			return into.Append(t.Context(), r.lines...)
		},
		"heads of another run": func(t *testing.T, s *state.Store) error {
			_, err := s.Import(t.Context(), runID(9), state.ImportOptions{Family: runID(9), Salt: r.o.Salt, Heads: r.o.Heads})
			return err
		},
		"another salt": func(t *testing.T, s *state.Store) error {
			if _, err := s.Import(t.Context(), r.run.ID(), r.o); err != nil {
				t.Fatal(err)
			}
			_, err := s.Import(t.Context(), r.run.ID(), other)
			return err
		},
		"a run of this store": func(t *testing.T, s *state.Store) error {
			tell(t, create(t, s, r.run.ID(), state.CreateOptions{}), 1).start()
			_, err := s.Import(t.Context(), r.run.ID(), r.o)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := open(t, dir, state.Options{})
			if err := try(t, s); err == nil {
				t.Fatal("it was taken")
			} else {
				t.Log(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			infos, err := open(t, dir, state.Options{}).Runs(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, info := range infos {
				if info.Imported {
					t.Errorf("%d entries of run %s stayed", info.Entries, info.ID)
				}
			}
		})
	}
}
