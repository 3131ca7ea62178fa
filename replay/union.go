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

// Union reads each run where most of it is. A run that near records is read from near, where it can only be
// further. A copy in near of a run that is recorded elsewhere (Run.Imported) may be shorter than what has reached
// far since: then its journal is read from far, all of it from one place, and of what it names near what near has.
type Union struct {
	near, far Follower

	mu    sync.Mutex
	where map[journal.RunID]Follower // runs that were found for good; they stay where they are
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
	known := make(map[journal.RunID]int, len(runs))
	for i, r := range runs {
		known[r.ID] = i
	}
	has := func(run journal.RunID, entries int64) bool {
		i, here := known[run]
		return here && !(runs[i].Imported && entries > runs[i].Entries)
	}
	far, err := runsBut(ctx, u.far, has)
	if err != nil {
		return nil, err
	}
	for _, r := range far {
		i, here := known[r.ID]
		switch {
		case !here:
			runs = append(runs, r)
		case !has(r.ID, r.Entries): // asked again: somebody else's trace may bear the id of a run
			r.Imported = true
			runs[i] = r
		}
	}
	slices.SortStableFunc(runs, func(a, b Run) int { return cmp.Compare(b.Started, a.Started) })
	return runs, nil
}

// selective is a Source that lists runs without those that the caller has, for less than all of them.
type selective interface {
	RunsBut(ctx context.Context, has func(run journal.RunID, entries int64) bool) ([]Run, error)
}

func runsBut(ctx context.Context, from Source, has func(journal.RunID, int64) bool) ([]Run, error) {
	if s, ok := from.(selective); ok {
		return s.RunsBut(ctx, has)
	}
	runs, err := from.Runs(ctx)
	return slices.DeleteFunc(runs, func(r Run) bool { return has(r.ID, r.Entries) }), err
}

// Run is one of them.
func (u *Union) Run(ctx context.Context, run journal.RunID) (Run, error) {
	found, err := u.near.Run(ctx, run)
	if errors.Is(err, ErrNotFound) {
		return u.far.Run(ctx, run)
	}
	if err != nil || !found.Imported || found.Status == journal.StatusEnded {
		return found, err
	}
	if longer, err := u.far.Run(ctx, run); err == nil && longer.Entries > found.Entries { // else the copy is what there is
		longer.Imported = true
		return longer, nil
	}
	return found, nil
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
		return u.nearOrFurther(ctx, run)
	}
	if _, err := u.far.Heads(ctx, run); errors.Is(err, ErrNotFound) {
		return u.near
	}
	return u.at(run, u.far)
}

// nearOrFurther is the source of a run that near has. That a copy is as long as what far has is true for
// now only; and if far does not answer, the copy is what there is.
func (u *Union) nearOrFurther(ctx context.Context, run journal.RunID) Follower {
	here, err := u.near.Run(ctx, run)
	if errors.Is(err, ErrNotFound) || err == nil && (!here.Imported || here.Status == journal.StatusEnded) {
		return u.at(run, u.near)
	}
	if err != nil {
		return u.near
	}
	for _, err := range u.far.Entries(ctx, run, here.Entries) {
		if err == nil {
			return u.at(run, further{u.far, u.near})
		}
		break
	}
	return u.near
}

func (u *Union) at(run journal.RunID, f Follower) Follower {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.where[run] = f
	return f
}

// further is the source of a run of which near has a shorter copy. What hashes name is the same wherever it lies.
type further struct {
	Follower // far
	near     Follower
}

func (f further) Content(ctx context.Context, run journal.RunID, ref journal.Ref) ([]byte, error) {
	bytes, err := f.near.Content(ctx, run, ref)
	if errors.Is(err, ErrNotFound) {
		return f.Follower.Content(ctx, run, ref)
	}
	return bytes, err
}

func (f further) Object(ctx context.Context, run journal.RunID, name journal.Object) ([]byte, error) {
	bytes, err := f.near.Object(ctx, run, name)
	if errors.Is(err, ErrNotFound) {
		return f.Follower.Object(ctx, run, name)
	}
	return bytes, err
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
func (u *Union) Chunks(ctx context.Context, run journal.RunID, names []journal.Hash) ([][]byte, error) {
	return u.of(ctx, run).Chunks(ctx, run, names)
}
