package state_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"tachograph/runner/state"
	"tachograph/schemas/journal"
	"tachograph/schemas/journal/journaltest"
)

func TestMain(m *testing.M) {
	runIfChild()
	goleak.VerifyTestMain(m)
}

// testSeed is new each time and printed, so that a failure can be run again with -seed.
func testSeed(t testing.TB) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if *seedFlag != 0 {
		seed = *seedFlag
	}
	t.Logf("-seed %d", seed)
	return seed
}

func open(t testing.TB, dir string, o state.Options) *state.Store {
	t.Helper()
	s, err := state.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func runID(n int) journal.RunID {
	return journal.RunID{1, 2, 3, 4, 5, 6, 0x70, 0, 0x80, 0, 0, 0, 0, byte(n >> 16), byte(n >> 8), byte(n)}
}

func create(t testing.TB, s *state.Store, id journal.RunID, o state.CreateOptions) *state.Run {
	t.Helper()
	r, err := s.Create(t.Context(), id, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// teller appends a random story to a run.
type teller struct {
	t     testing.TB
	run   *state.Run
	story *journaltest.Story
}

func tell(t testing.TB, run *state.Run, seed uint64) *teller {
	g := journaltest.New(seed)
	g.Stage = run.Stage
	g.Take = func() error { return run.Take(context.Background()) }
	return &teller{t, run, g}
}

func (w *teller) start() {
	w.t.Helper()
	w.append("/", w.story.Start(w.run.ID()))
}

func (w *teller) append(agent string, body journal.Body) state.Written {
	w.t.Helper()
	written, err := w.run.Append(w.t.Context(), state.Draft{Agent: agent, Body: body})
	if err != nil {
		w.t.Fatal(err)
	}
	return written[0]
}

func (w *teller) next() state.Written {
	w.t.Helper()
	agent, body, err := w.story.Next(w.run.State())
	if err != nil {
		w.t.Fatal(err)
	}
	return w.append(agent, body)
}

// The state at every entry, rebuilt, is the one that was live then; also from a store that was
// opened anew, and through forks of forks.
func TestAt(t *testing.T) {
	t.Parallel()
	seed := testSeed(t)
	rng := rand.New(rand.NewPCG(seed, 1))
	dir := t.TempDir()
	s := open(t, dir, state.Options{CheckpointEvery: 40})
	live := map[journal.RunID][]journal.Hash{}
	var parent *state.ForkPoint
	for n := range 4 {
		r := create(t, s, runID(n), state.CreateOptions{Parent: parent})
		w := tell(t, r, seed+uint64(n))
		if parent == nil {
			w.start()
		} else {
			w.append("/", w.story.Fork(at(t, s, *parent)))
		}
		live[r.ID()] = recordStates(t, w, 300)
		parent = &state.ForkPoint{Run: r.ID(), Seq: rng.Int64N(r.Len())}
	}
	for range 2 {
		for id, hashes := range live {
			for range 60 {
				seq := rng.Int64N(int64(len(hashes)))
				if hashes[seq].IsZero() {
					continue // a checkpoint that the store wrote, between two states that were looked at
				}
				if got := at(t, s, state.ForkPoint{Run: id, Seq: seq}).Hash(); got != hashes[seq] {
					t.Fatalf("run %s at %d: rebuilt %s, live %s", id, seq, got, hashes[seq])
				}
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, dir, state.Options{CheckpointEvery: 40})
	}
}

// recordStates tells n entries and returns the live state's hash after each, by seq.
func recordStates(t *testing.T, w *teller, n int) []journal.Hash {
	hashes := []journal.Hash{w.run.State().Hash()}
	for range n {
		at := w.next()
		for int64(len(hashes)) < at.Seq {
			hashes = append(hashes, journal.Hash{})
		}
		hashes = append(hashes, w.run.State().Hash())
	}
	return hashes
}

func at(t testing.TB, s *state.Store, p state.ForkPoint) *journal.State {
	t.Helper()
	j, err := s.Journal(t.Context(), p.Run)
	if err != nil {
		t.Fatal(err)
	}
	got, err := j.At(t.Context(), p.Seq)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// A second owner is refused and told who the first is; a run has one Run.
func TestOneOwner(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, state.Options{})
	_, err := state.Open(dir, state.Options{})
	locked := (*state.LockedError)(nil)
	if !errors.Is(err, state.ErrLocked) || !errors.As(err, &locked) || locked.PID == 0 {
		t.Fatalf("second owner: %v", err)
	}
	r := create(t, s, runID(1), state.CreateOptions{})
	tell(t, r, 1).start()
	if again, err := s.Run(t.Context(), r.ID()); err != nil || again != r {
		t.Fatalf("second Run %p, %v", again, err)
	}
	if _, err := s.Run(t.Context(), runID(2)); !errors.Is(err, state.ErrNotFound) {
		t.Fatalf("unknown run: %v", err)
	}
}

// An append that does not fit changes nothing, whether one draft or the last of several is wrong.
func TestAppendIsAtomic(t *testing.T) {
	t.Parallel()
	s := open(t, "data", state.Options{FS: vfs.NewMem(), Reserve: -1})
	r := create(t, s, runID(1), state.CreateOptions{})
	w := tell(t, r, 1)
	w.start()
	before, entries := r.State(), r.Len()
	good := state.Draft{Agent: "/", Body: &journal.Intent{Text: r.Stage([]byte("x")), Source: "declared"}}
	for name, drafts := range map[string][]state.Draft{
		"does not fold":   {good, {Agent: "/", Body: &journal.CallEnded{Call: 7}}},
		"no such agent":   {{Agent: "/9", Body: &journal.Intent{Source: "declared"}}},
		"unstaged":        {good, {Agent: "/", Body: &journal.Intent{Text: journal.Ref{1}, Source: "declared"}}},
		"no body":         {{Agent: "/"}},
		"second run":      {{Agent: "/", Body: w.story.Start(r.ID())}},
		"number too big":  {{Agent: "/", Body: &journal.LimitChanged{Limits: journal.Limits{Steps: 1 << 60}}}},
		"not a note kind": {{Agent: "/", Body: &journal.Note{Name: "other"}}},
	} {
		if _, err := r.Append(t.Context(), drafts...); err == nil {
			t.Errorf("%s: appended", name)
		}
		if r.Len() != entries || r.State().Hash() != before.Hash() || r.State().Tip != before.Tip {
			t.Fatalf("%s: the run changed", name)
		}
	}
	written, err := r.Append(t.Context(), good, good, good)
	if err != nil || len(written) != 3 || written[2].Seq != entries+2 {
		t.Fatalf("append of three: %v, %v", written, err)
	}
}

// Entries are handed out as they were written, and what they name can be read; what nobody named
// cannot.
func TestEntriesAndContent(t *testing.T) {
	t.Parallel()
	seed := testSeed(t)
	dir := t.TempDir()
	s := open(t, dir, state.Options{CheckpointEvery: 50})
	r := create(t, s, runID(1), state.CreateOptions{})
	w := tell(t, r, seed)
	w.story.MaxContent = 300_000
	w.start()
	for range 400 {
		w.next()
	}
	never := r.Stage([]byte("never named"))
	if _, err := r.Content(t.Context(), never); !errors.Is(err, state.ErrNotFound) {
		t.Fatalf("content that no entry names: %v", err)
	}
	live := r.State()
	s.Close()
	s = open(t, dir, state.Options{})
	j, err := s.Journal(t.Context(), r.ID())
	if err != nil {
		t.Fatal(err)
	}
	folded := check(t, j, nil)
	if folded.Tip != live.Tip || folded.Hash() != live.Hash() {
		t.Fatal("another state after opening")
	}
	if _, err := j.Content(t.Context(), never); !errors.Is(err, state.ErrNotFound) {
		t.Fatalf("content that no entry names: %v", err)
	}
}

// check folds all entries of a run, reads all content that they name, and verifies its heads.
func check(t testing.TB, j *state.Journal, parent *journal.State) *journal.State {
	t.Helper()
	if err := verify(t.Context(), j, parent); err != nil {
		t.Fatal(err)
	}
	at, err := j.At(t.Context(), j.Len()-1)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func verify(ctx context.Context, j *state.Journal, parent *journal.State) error {
	return verifyWith(ctx, j, parent, func(ref journal.Ref) error {
		_, err := j.Content(ctx, ref)
		return err
	})
}

// verifyWith folds a run and calls content once for each piece that an entry names.
func verifyWith(ctx context.Context, j *state.Journal, parent *journal.State, content func(journal.Ref) error) error {
	folded, seen := journal.Start(parent), map[journal.Ref]bool{}
	for line, err := range j.Entries(ctx, 0) {
		if err != nil {
			return err
		}
		_, body, err := folded.Apply(line)
		if err != nil {
			return fmt.Errorf("fold: %w", err)
		}
		for _, ref := range journal.Refs(body) {
			if seen[ref] {
				continue
			}
			seen[ref] = true
			if err := content(ref); err != nil {
				return err
			}
		}
	}
	if folded.Next != j.Len() {
		return fmt.Errorf("%d entries where %d are due", folded.Next, j.Len())
	}
	return nil
}

// Follow yields what is there and then what comes, and ends with the run.
func TestFollow(t *testing.T) {
	t.Parallel()
	s := open(t, "data", state.Options{FS: vfs.NewMem(), Reserve: -1})
	r := create(t, s, runID(1), state.CreateOptions{})
	w := tell(t, r, 3)
	w.start()
	first, done := make(chan bool), make(chan int64)
	go func() {
		var n int64
		for line, err := range r.Follow(t.Context(), 0) {
			if e, decodeErr := journal.Decode(line); err != nil || decodeErr != nil || e.Seq != n {
				t.Errorf("entry %d: %v %v", n, err, decodeErr)
				break
			}
			if n++; n == 1 {
				close(first)
			}
		}
		done <- n
	}()
	<-first
	for range 600 {
		w.next()
	}
	if w.run.State().Status == journal.StatusPaused {
		w.append("/", &journal.Resumed{})
	}
	w.append("/", w.story.End(r.State()))
	if n := <-done; n != r.Len() {
		t.Fatalf("followed %d of %d entries", n, r.Len())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range r.Follow(ctx, r.Len()+5) {
		t.Fatal("an entry after the end")
	}
}

// A volatile run and a run without entries are gone when the store is opened again.
func TestLeftoversAreRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, state.Options{})
	kept := create(t, s, runID(1), state.CreateOptions{})
	tell(t, kept, 1).start()
	loose := create(t, s, runID(2), state.CreateOptions{Volatile: true})
	w := tell(t, loose, 2)
	w.start()
	for range 20 {
		w.next()
	}
	check(t, loose.Journal, nil)
	create(t, s, runID(3), state.CreateOptions{})
	create(t, s, runID(4), state.CreateOptions{Parent: &state.ForkPoint{Run: kept.ID(), Seq: 0}})
	s.Close()
	s = open(t, dir, state.Options{})
	infos, err := s.Runs(t.Context())
	if err != nil || len(infos) != 1 || infos[0].ID != kept.ID() {
		t.Fatalf("runs %v, %v", infos, err)
	}
}

// Time does not go back within a run whatever the clock says, and an epoch does not fall.
func TestTimeAndLease(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	dir, clock := t.TempDir(), func() time.Time { now = now.Add(-time.Minute); return now }
	s := open(t, dir, state.Options{Clock: clock})
	r := create(t, s, runID(1), state.CreateOptions{})
	w := tell(t, r, 1)
	w.start()
	var last time.Time
	for range 10 {
		if at := w.next().Time; at.Before(last) {
			t.Fatalf("%s after %s", at, last)
		} else {
			last = at
		}
	}
	if err := r.Take(t.Context()); err != nil {
		t.Fatal(err)
	}
	epoch := r.Epoch()
	s.Close()
	s = open(t, dir, state.Options{Clock: clock})
	again, err := s.Run(t.Context(), runID(1))
	if err != nil || again.Epoch() != epoch {
		t.Fatalf("epoch %d after %d, %v", again.Epoch(), epoch, err)
	}
}

// The first entry of a new owner is `recovered`, also when a checkpoint is due.
func TestRecoveredComesFirst(t *testing.T) {
	t.Parallel()
	s := open(t, "data", state.Options{FS: vfs.NewMem(), Reserve: -1, CheckpointEvery: 5})
	r := create(t, s, runID(1), state.CreateOptions{})
	w := tell(t, r, 1)
	w.start()
	for range 3 {
		w.append("/", &journal.Intent{Text: r.Stage([]byte("x")), Source: "declared"})
	}
	if err := r.Take(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := w.append("/", &journal.Recovered{}); got.Seq != 4 {
		t.Fatalf("recovered is entry %d, not 4", got.Seq)
	}
	if got := w.append("/", &journal.Resumed{}); got.Seq != 6 {
		t.Fatalf("the checkpoint that was due did not follow: the next entry is %d", got.Seq)
	}
}

// Drafts that name one another do so rightly, also when a checkpoint comes before them and when
// none may.
func TestAppendNext(t *testing.T) {
	t.Parallel()
	s := open(t, "data", state.Options{FS: vfs.NewMem(), Reserve: -1, CheckpointEvery: 4})
	r := create(t, s, runID(1), state.CreateOptions{})
	w := tell(t, r, 1)
	w.start()
	body := r.Stage([]byte("hello"))
	for n := range 20 {
		if n%3 == 0 {
			if err := r.Take(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		_, err := r.AppendNext(t.Context(), func(next int64) []state.Draft {
			mail := []state.Draft{
				{Agent: "/", Body: &journal.MessageSent{To: "/", Body: body}},
				{Agent: "/", Body: &journal.MessageReceived{Sent: next}},
			}
			if n%3 == 0 {
				mail[1].Body = &journal.MessageReceived{Sent: next + 1}
				return append([]state.Draft{{Agent: "/", Body: &journal.Recovered{}}}, mail...)
			}
			return mail
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.AppendNext(t.Context(), func(int64) []state.Draft { return []state.Draft{{Agent: "/"}} }); err == nil {
		t.Fatal("a draft without a body was appended")
	}
	check(t, r.Journal, nil)
}
