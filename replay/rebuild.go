package replay

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

	"tachograph/schemas/journal"
)

// At rebuilds the state of a run after its entry seq: the newest checkpoint at or before it, then
// at most a few hundred entries. A fork's early states go through its parent. seq −1 is the state
// before entry 0.
//
// Long lists of messages are read when they are asked for, under ctx: see journal.List, and Messages.
func At(ctx context.Context, src Source, run journal.RunID, seq int64) (*journal.State, error) {
	s, err := rebuild(ctx, src, run, seq, false)
	if err != nil {
		return nil, fmt.Errorf("rebuild run %s at %d: %w", run, seq, err)
	}
	return s, nil
}

// Messages are the messages from … before to of an agent of the state s, which At rebuilt. Where a checkpoint's list is
// missing or damaged they come from an earlier one, or from the entries.
func Messages(ctx context.Context, src Source, s *journal.State, agent string, from, to int) ([]journal.Ref, error) {
	refs, err := messages(s, agent, from, to)
	if err == nil || ctx.Err() != nil {
		return refs, err
	}
	whole, err := rebuild(ctx, src, s.Run, s.Next-1, true)
	if err != nil {
		return nil, fmt.Errorf("rebuild run %s at %d: %w", s.Run, s.Next-1, err)
	}
	return messages(whole, agent, from, to)
}

func messages(s *journal.State, agent string, from, to int) ([]journal.Ref, error) {
	a := s.Agent(agent)
	if a == nil || from < 0 || to < from || to > a.List.Len() {
		return nil, fmt.Errorf("messages %d to %d of agent %.100q after entry %d: there are none: %w", from, to, agent, s.Next-1, ErrNotFound)
	}
	return a.List.Refs(from, to)
}

// baseTries is how many checkpoints are tried before everything is folded.
const baseTries = 4

// rebuild makes a state from the cache, if that can be used. It is whole if all messages have been read and proved.
func rebuild(ctx context.Context, src Source, run journal.RunID, seq int64, whole bool) (*journal.State, error) {
	before := seq
	for range baseTries {
		cp, err := src.Checkpoint(ctx, run, before)
		if errors.Is(err, ErrNotFound) {
			break
		}
		if err != nil {
			return nil, err
		}
		s, err := goOn(ctx, src, run, cp, seq, whole)
		if !errors.As(err, new(*misfit)) {
			return s, err
		}
		before = cp.Seq - 1
	}
	s, err := beginning(ctx, src, run, whole)
	if err == nil {
		err = foldTo(ctx, src, s, run, seq)
	}
	return s, err
}

// misfit is a checkpoint that cannot be used, or an entry that does not fit the state before it.
type misfit struct{ error }

func (m *misfit) Unwrap() error { return m.error }

// maxTail bounds the entries after a checkpoint that are held in memory. There are 512 at most, unless checkpoints are missing.
const maxTail = 1024

// goOn goes on from a checkpoint to seq. The entries are read while the checkpoint's chunks are.
func goOn(ctx context.Context, src Source, run journal.RunID, cp Checkpoint, seq int64, whole bool) (*journal.State, error) {
	var tail [][]byte
	var tailErr error
	var wait sync.WaitGroup
	if n := seq - cp.Seq; n > 0 && n <= maxTail {
		wait.Go(func() { tail, tailErr = collect(entriesTo(ctx, src, run, cp.Seq+1, seq), int(n)) })
	}
	s, err := load(ctx, src, run, cp, whole)
	wait.Wait()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, &misfit{err}
	case tailErr != nil:
		return nil, tailErr
	}
	for _, line := range tail {
		if err := fold(s, line); err != nil {
			return nil, err
		}
	}
	return s, foldTo(ctx, src, s, run, seq)
}

// load makes the state of a checkpoint.
func load(ctx context.Context, src Source, run journal.RunID, cp Checkpoint, whole bool) (*journal.State, error) {
	s, err := journal.LoadCheckpoint(cp.Record, func(names []journal.Hash) ([][]byte, error) { return src.Chunks(ctx, run, names) })
	if err == nil && (s.Run != run || s.Next-1 != cp.Seq) {
		err = fmt.Errorf("checkpoint at %d: it is that of run %s at %d", cp.Seq, s.Run, s.Next-1)
	}
	if err == nil && whole {
		err = s.ReadLists()
	}
	return s, err
}

// collect are the first n of the lines.
func collect(lines iter.Seq2[[]byte, error], n int) ([][]byte, error) {
	all := make([][]byte, 0, n)
	for line, err := range lines {
		if err != nil {
			return nil, err
		}
		if all = append(all, line); len(all) == n {
			break
		}
	}
	return all, nil
}

// Beginning is the state before entry 0 of a run: empty, or what its parent's entries fold to.
func Beginning(ctx context.Context, src Source, run journal.RunID) (*journal.State, error) {
	return beginning(ctx, src, run, false)
}

func beginning(ctx context.Context, src Source, run journal.RunID, whole bool) (*journal.State, error) {
	parent, err := parentOf(ctx, src, run)
	if err != nil || parent == nil {
		return journal.Start(nil), err
	}
	s, err := rebuild(ctx, src, parent.Run, parent.Seq, whole)
	if err != nil {
		return nil, fmt.Errorf("its parent, run %s at %d: %w", parent.Run, parent.Seq, err)
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
		if err := fold(s, line); err != nil {
			return err
		}
		if s.Next > seq {
			return nil
		}
	}
	return fmt.Errorf("the run has only %d entries: %w", s.Next, ErrNotFound)
}

// fold applies an entry.
func fold(s *journal.State, line []byte) error {
	if _, _, err := s.Apply(line); err != nil {
		return &misfit{err}
	}
	return nil
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
