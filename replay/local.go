package replay

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"tachograph/runner/state"
	"tachograph/schemas/journal"
)

// Store is the local store as a Source.
type Store struct{ store *state.Store }

// Local reads from the store of this process.
func Local(store *state.Store) Store { return Store{store} }

// Runs lists the runs, newest first.
func (l Store) Runs(ctx context.Context) ([]Run, error) {
	infos, err := l.store.Runs(ctx)
	if err != nil {
		return nil, err
	}
	runs := make([]Run, 0, len(infos))
	for _, i := range infos {
		if i.Entries == 0 {
			continue // it did not start
		}
		run, err := l.shown(ctx, i)
		if err != nil {
			return nil, err
		}
		runs = append(runs, run)
	}
	slices.SortStableFunc(runs, func(a, b Run) int { return -compare(a.Started, b.Started) })
	return runs, nil
}

// Run is one of them.
func (l Store) Run(ctx context.Context, run journal.RunID) (Run, error) {
	info, err := l.store.Info(run)
	if err == nil && info.Entries == 0 {
		err = fmt.Errorf("run %s: it did not start: %w", run, ErrNotFound)
	}
	if err != nil {
		return Run{}, err
	}
	return l.shown(ctx, info)
}

func (l Store) shown(ctx context.Context, i state.RunInfo) (Run, error) {
	run := Run{ID: i.ID, Source: SourceTacho, Family: i.Family, Status: i.Status, Why: i.Why, Model: i.Model, Started: i.Started.UTC().Format(time.RFC3339Nano),
		Last: i.Last.UTC().Format(time.RFC3339Nano), Entries: i.Entries, Tip: i.Tip, Agents: i.Agents, Held: i.Held, Imported: i.Imported, Usage: i.Usage, Limits: i.Limits}
	if i.Parent != nil {
		run.Parent = &Origin{i.Parent.Run, i.Parent.Seq}
	}
	goal, err := l.Content(ctx, i.ID, i.Goal)
	if err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrErased) {
		return run, err
	}
	run.Goal = string(goal)
	return run, nil
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Entries yields the stored lines of a run.
func (l Store) Entries(ctx context.Context, run journal.RunID, from int64) iter.Seq2[[]byte, error] {
	return l.lines(ctx, run, func(j *state.Journal) iter.Seq2[[]byte, error] { return j.Entries(ctx, from) })
}

// Follow goes on with new entries until ctx ends or the run has ended.
func (l Store) Follow(ctx context.Context, run journal.RunID, from int64) iter.Seq2[[]byte, error] {
	return l.lines(ctx, run, func(j *state.Journal) iter.Seq2[[]byte, error] { return j.Follow(ctx, from) })
}

func (l Store) lines(ctx context.Context, run journal.RunID, of func(*state.Journal) iter.Seq2[[]byte, error]) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		j, err := l.store.Journal(ctx, run)
		if err != nil {
			yield(nil, err)
			return
		}
		of(j)(yield)
	}
}

// Heads are the signed heads of a run.
func (l Store) Heads(ctx context.Context, run journal.RunID) ([][]byte, error) {
	j, err := l.store.Journal(ctx, run)
	if err != nil {
		return nil, err
	}
	return j.Heads(ctx)
}

// Salt makes the content names of the run's family.
func (l Store) Salt(ctx context.Context, run journal.RunID) (journal.Salt, error) {
	j, err := l.store.Journal(ctx, run)
	if err != nil {
		return journal.Salt{}, err
	}
	return j.Salt(ctx)
}

// Content reads what an entry of the run's family names.
func (l Store) Content(ctx context.Context, run journal.RunID, ref journal.Ref) ([]byte, error) {
	j, err := l.store.Journal(ctx, run)
	if err != nil {
		return nil, err
	}
	return j.Content(ctx, ref)
}

// Object reads an object of the run's family.
func (l Store) Object(ctx context.Context, run journal.RunID, name journal.Object) ([]byte, error) {
	j, err := l.store.Journal(ctx, run)
	if err != nil {
		return nil, err
	}
	return j.Object(ctx, name)
}

// Checkpoint is the newest cached state at or before seq.
func (l Store) Checkpoint(ctx context.Context, run journal.RunID, seq int64) (Checkpoint, error) {
	j, err := l.store.Journal(ctx, run)
	if err != nil {
		return Checkpoint{}, err
	}
	at, record, err := j.Checkpoint(ctx, seq)
	return Checkpoint{at, record}, err
}

// Chunks reads pieces of a checkpoint.
func (l Store) Chunks(ctx context.Context, run journal.RunID, names []journal.Hash) ([][]byte, error) {
	j, err := l.store.Journal(ctx, run)
	if err != nil {
		return nil, err
	}
	return j.Chunks(ctx, names)
}
