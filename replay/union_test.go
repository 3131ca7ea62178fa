package replay_test

import (
	"context"
	"iter"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"tachograph/replay"
	"tachograph/schemas/journal"
)

// TestUnionReadsTheLongerCopy: a run was fetched when it had 60 entries, went on elsewhere, and more of it was shipped.
// Whoever has the copy and the address of ClickHouse sees all of it; without the address, the copy.
func TestUnionReadsTheLongerCopy(t *testing.T) {
	t.Parallel()
	db, elsewhere, here := database(t), openStore(t, t.TempDir()), openStore(t, t.TempDir())
	l := newLab(t, elsewhere, runID(1), 11)
	l.play(60)
	ship := func() {
		if err := l.run.SignHead(t.Context()); err != nil {
			t.Fatal(err)
		}
		shipAll(t, elsewhere, db, l.run.ID())
	}
	ship()
	if err := replay.Fetch(t.Context(), replay.ClickHouse(db), here, l.run.ID(), nil); err != nil {
		t.Fatal(err)
	}
	own := newLab(t, here, runID(2), 12) // recorded here, and not shipped
	own.play(20)
	union := replay.NewUnion(replay.Local(here), replay.ClickHouse(db))
	keys, err := elsewhere.Verifiers()
	if err != nil {
		t.Fatal(err)
	}
	sees(t, union, l, keys) // it is as long as the other: nothing may be settled by that
	l.play(200)
	ship()
	sees(t, union, l, keys)
	sees(t, replay.NewUnion(replay.Local(here), replay.ClickHouse(db)), l, keys)
	if n := countEntries(t, replay.Local(here), l.run.ID()); n >= int64(len(l.hashes)) {
		t.Fatalf("the copy has %d entries: it is not shorter", n)
	}
	if n := countEntries(t, union, own.run.ID()); n != int64(len(own.hashes)) {
		t.Errorf("%d entries of the run that is recorded here, want %d", n, len(own.hashes))
	}
}

// sees checks that the list, the entries and a verification tell of the whole run.
func sees(t *testing.T, src replay.Source, l *lab, keys note.Verifiers) {
	t.Helper()
	want := int64(len(l.hashes))
	run, err := replay.FindRun(t.Context(), src, l.run.ID().String())
	if err != nil || run.Entries != want {
		t.Errorf("listed are %d entries, want %d: %v", run.Entries, want, err)
	}
	if n := countEntries(t, src, l.run.ID()); n != want {
		t.Errorf("%d entries are read, want %d", n, want)
	}
	report, err := replay.Verify(t.Context(), src, l.run.ID(), replay.Options{Keys: keys})
	if err != nil || report.Verdict != replay.Verified || report.Entries != want {
		t.Errorf("verify: %v %+v", err, report)
	}
}

func countEntries(t *testing.T, src replay.Source, run journal.RunID) (n int64) {
	t.Helper()
	for _, err := range src.Entries(t.Context(), run, 0) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

// away is a ClickHouse that cannot be asked about a run.
type away struct{ replay.Follower }

func (away) Entries(context.Context, journal.RunID, int64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) { yield(nil, context.DeadlineExceeded) }
}

// TestUnionWithoutTheOther: a copy can be read while the other does not answer.
func TestUnionWithoutTheOther(t *testing.T) {
	t.Parallel()
	db, elsewhere, here := database(t), openStore(t, t.TempDir()), openStore(t, t.TempDir())
	l := newLab(t, elsewhere, runID(1), 13)
	l.play(30)
	shipAll(t, elsewhere, db, l.run.ID())
	if err := replay.Fetch(t.Context(), replay.ClickHouse(db), here, l.run.ID(), nil); err != nil {
		t.Fatal(err)
	}
	union := replay.NewUnion(replay.Local(here), away{replay.ClickHouse(db)})
	if n := countEntries(t, union, l.run.ID()); n != int64(len(l.hashes)) {
		t.Errorf("%d entries, want %d", n, len(l.hashes))
	}
}
