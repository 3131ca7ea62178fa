package replay

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"sync"

	"tachograph/schemas/journal"
)

// Follower is a Source that can wait for new entries.
type Follower interface {
	Source
	// Follow is Entries, and goes on with new ones until ctx ends or the run has ended.
	Follow(ctx context.Context, run journal.RunID, from int64) iter.Seq2[[]byte, error]
}

// Union reads each run where it is: in near if that has it, else in far. A run that is in both is
// read from near, where it can only be further.
type Union struct {
	near, far Follower

	mu    sync.Mutex
	where map[journal.RunID]Follower // runs that were found; they stay where they are
}

// NewUnion reads from both, from near first.
func NewUnion(near, far Follower) *Union {
	return &Union{near: near, far: far, where: map[journal.RunID]Follower{}}
}

// Runs lists the runs of both, newest first.
func (u *Union) Runs(ctx context.Context) ([]Run, error) {
	runs, err := u.near.Runs(ctx)
	if err != nil {
		return nil, err
	}
	far, err := u.far.Runs(ctx)
	if err != nil {
		return nil, err
	}
	known := map[journal.RunID]bool{}
	for _, r := range runs {
		known[r.ID] = true
	}
	for _, r := range far {
		if !known[r.ID] {
			runs = append(runs, r)
		}
	}
	slices.SortStableFunc(runs, func(a, b Run) int { return cmp.Compare(b.Started, a.Started) })
	return runs, nil
}

// of is the source that has the run; if none has, near says so.
func (u *Union) of(ctx context.Context, run journal.RunID) Follower {
	u.mu.Lock()
	found := u.where[run]
	u.mu.Unlock()
	if found != nil {
		return found
	}
	if _, err := u.near.Heads(ctx, run); !errors.Is(err, ErrNotFound) {
		return u.at(run, u.near)
	}
	if _, err := u.far.Heads(ctx, run); errors.Is(err, ErrNotFound) {
		return u.near
	}
	return u.at(run, u.far)
}

func (u *Union) at(run journal.RunID, f Follower) Follower {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.where[run] = f
	return f
}

// Entries yields the stored lines of a run.
func (u *Union) Entries(ctx context.Context, run journal.RunID, from int64) iter.Seq2[[]byte, error] {
	return u.of(ctx, run).Entries(ctx, run, from)
}

// Follow goes on with new entries until ctx ends or the run has ended.
func (u *Union) Follow(ctx context.Context, run journal.RunID, from int64) iter.Seq2[[]byte, error] {
	return u.of(ctx, run).Follow(ctx, run, from)
}

// Heads are the signed heads of a run.
func (u *Union) Heads(ctx context.Context, run journal.RunID) ([][]byte, error) {
	return u.of(ctx, run).Heads(ctx, run)
}

// Salt makes the content names of the run's family.
func (u *Union) Salt(ctx context.Context, run journal.RunID) (journal.Salt, error) {
	return u.of(ctx, run).Salt(ctx, run)
}

// Content reads what an entry of the run's family names.
func (u *Union) Content(ctx context.Context, run journal.RunID, ref journal.Ref) ([]byte, error) {
	return u.of(ctx, run).Content(ctx, run, ref)
}

// Object reads an object of the run's family.
func (u *Union) Object(ctx context.Context, run journal.RunID, name journal.Object) ([]byte, error) {
	return u.of(ctx, run).Object(ctx, run, name)
}

// Checkpoint is the newest cached state at or before seq.
func (u *Union) Checkpoint(ctx context.Context, run journal.RunID, seq int64) (Checkpoint, error) {
	return u.of(ctx, run).Checkpoint(ctx, run, seq)
}

// Chunk reads a piece of a checkpoint.
func (u *Union) Chunk(ctx context.Context, run journal.RunID, name journal.Hash) ([]byte, error) {
	return u.of(ctx, run).Chunk(ctx, run, name)
}
