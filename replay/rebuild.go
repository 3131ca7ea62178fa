package replay

import (
	"context"
	"errors"
	"fmt"

	"tachograph/schemas/journal"
)

// At rebuilds the state of a run after its entry seq: the newest checkpoint at or before it, then
// at most a few hundred entries. A fork's early states go through its parent. seq −1 is the state
// before entry 0.
func At(ctx context.Context, src Source, run journal.RunID, seq int64) (*journal.State, error) {
	s, err := base(ctx, src, run, seq)
	if err != nil {
		return nil, fmt.Errorf("rebuild run %s at %d: %w", run, seq, err)
	}
	if err := foldTo(ctx, src, s, run, seq); err != nil {
		return nil, fmt.Errorf("rebuild run %s at %d: %w", run, seq, err)
	}
	return s, nil
}

// baseTries is how many checkpoints are tried before everything is folded.
const baseTries = 4

// base is a state of the run at or before seq, from the cache if that can be used.
func base(ctx context.Context, src Source, run journal.RunID, seq int64) (*journal.State, error) {
	before := seq
	for range baseTries {
		cp, err := src.Checkpoint(ctx, run, before)
		if errors.Is(err, ErrNotFound) {
			break
		}
		if err != nil {
			return nil, err
		}
		s, err := journal.LoadCheckpoint(cp.Record, func(name journal.Hash) ([]byte, error) { return src.Chunk(ctx, run, name) })
		if err == nil && s.Run == run && s.Next-1 <= seq {
			return s, nil
		}
		before = cp.Seq - 1
	}
	return Beginning(ctx, src, run)
}

// Beginning is the state before entry 0 of a run: empty, or what its parent's entries fold to.
func Beginning(ctx context.Context, src Source, run journal.RunID) (*journal.State, error) {
	parent, err := parentOf(ctx, src, run)
	if err != nil || parent == nil {
		return journal.Start(nil), err
	}
	s, err := At(ctx, src, parent.Run, parent.Seq)
	if err != nil {
		return nil, err
	}
	return journal.Start(s), nil
}

func parentOf(ctx context.Context, src Source, run journal.RunID) (*journal.Parent, error) {
	started, err := startOf(ctx, src, run)
	if err != nil {
		return nil, err
	}
	return started.Parent, nil
}

// startOf is the body of a run's entry 0.
func startOf(ctx context.Context, src Source, run journal.RunID) (*journal.RunStarted, error) {
	for line, err := range entriesTo(ctx, src, run, 0, 0) {
		if err != nil {
			return nil, err
		}
		e, err := journal.Decode(line)
		if err != nil {
			return nil, err
		}
		body, err := journal.DecodeBody(e.Kind, e.Body)
		if err != nil {
			return nil, err
		}
		if started, ok := body.(*journal.RunStarted); ok {
			return started, nil
		}
		return nil, fmt.Errorf("entry 0 is %s", e.Kind)
	}
	return nil, fmt.Errorf("entries of run %s: %w", run, ErrNotFound)
}

func foldTo(ctx context.Context, src Source, s *journal.State, run journal.RunID, seq int64) error {
	if s.Next > seq {
		return nil
	}
	for line, err := range entriesTo(ctx, src, run, s.Next, seq) {
		if err != nil {
			return err
		}
		if _, _, err := s.Apply(line); err != nil {
			return err
		}
		if s.Next > seq {
			return nil
		}
	}
	return fmt.Errorf("the run has only %d entries: %w", s.Next, ErrNotFound)
}

// FoldFromStart rebuilds the same state as At with nothing from the cache, and returns beside it
// the commitment that the run itself wrote down for it: the hash in the first later entry that
// carries one, and that entry's seq. It is none (seq −1) if no later entry does.
func FoldFromStart(ctx context.Context, src Source, run journal.RunID, seq int64) (*journal.State, journal.Hash, int64, error) {
	s, err := uncachedBeginning(ctx, src, run)
	if err != nil {
		return nil, journal.Hash{}, -1, err
	}
	if seq >= 0 {
		if err := foldTo(ctx, src, s, run, seq); err != nil {
			return nil, journal.Hash{}, -1, fmt.Errorf("fold run %s from its start: %w", run, err)
		}
	}
	hash, at, err := commitmentAfter(ctx, src, s.Clone(), run)
	return s, hash, at, err
}

func uncachedBeginning(ctx context.Context, src Source, run journal.RunID) (*journal.State, error) {
	parent, err := parentOf(ctx, src, run)
	if err != nil || parent == nil {
		return journal.Start(nil), err
	}
	s, err := uncachedBeginning(ctx, src, parent.Run)
	if err != nil {
		return nil, err
	}
	if err := foldTo(ctx, src, s, parent.Run, parent.Seq); err != nil {
		return nil, err
	}
	return journal.Start(s), nil
}

// commitmentAfter finds what the run recorded about the state s: an entry that commits to a later
// state does not count, unless nothing but notes lies between.
func commitmentAfter(ctx context.Context, src Source, s *journal.State, run journal.RunID) (journal.Hash, int64, error) {
	const page = 64 // few entries are looked at, so no more are asked for at once
	for from := s.Next; ; from += page {
		seen := 0
		for line, err := range entriesTo(ctx, src, run, from, from+page-1) {
			if err != nil {
				return journal.Hash{}, -1, err
			}
			e, err := journal.Decode(line)
			if err != nil {
				return journal.Hash{}, -1, err
			}
			body, err := journal.DecodeBody(e.Kind, e.Body)
			if err != nil {
				return journal.Hash{}, -1, err
			}
			if c, ok := body.(journal.Committed); ok {
				return c.Commitment().State, e.Seq, nil
			}
			if _, note := body.(*journal.Note); !note {
				return journal.Hash{}, -1, nil
			}
			if seen++; seen == page {
				break
			}
		}
		if seen < page {
			return journal.Hash{}, -1, nil
		}
	}
}
