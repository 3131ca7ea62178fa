package state

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"tachograph/schemas/journal"
)

// Journal reads one run. It folds nothing until it is asked for a state, so that a journal that is
// damaged, or was written by a newer tacho, can still be read. Its methods may be called
// concurrently, also while the run is being written.
type Journal struct {
	store    *Store
	id       journal.RunID
	familyID journal.RunID
	parent   *ForkPoint
	tail     *tail
}

// Journal opens a run for reading. ErrNotFound if there is none.
func (s *Store) Journal(ctx context.Context, id journal.RunID) (*Journal, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open run %s: %w", id, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	row, err := s.rows.get(idKey(rowRun, id))
	if err != nil {
		return nil, fmt.Errorf("open run %s: %w", id, err)
	}
	info, err := decodeInfo(row)
	if err != nil {
		return nil, fmt.Errorf("open run %s: %w", id, err)
	}
	t := s.tails[id]
	if t == nil {
		// Nobody has written it since the store was opened, so all of it is durable.
		t = &tail{next: info.Entries, ended: info.Status == journal.StatusEnded}
		s.tails[id] = t
	}
	return &Journal{store: s, id: id, familyID: info.Family, parent: info.Parent, tail: t}, nil
}

// ID is the id of the run.
func (j *Journal) ID() journal.RunID { return j.id }

// Family is the id of the family's root run.
func (j *Journal) Family() journal.RunID { return j.familyID }

// Parent is where a fork began; nil if the run is the root of its family.
func (j *Journal) Parent() *ForkPoint { return j.parent }

// Len is the number of entries that are durable.
func (j *Journal) Len() int64 {
	next, _ := j.tail.at()
	return next
}

// Ended says whether run.ended is among the durable entries.
func (j *Journal) Ended() bool {
	_, ended := j.tail.at()
	return ended
}

// Wait returns when at least n entries are durable, or ctx has ended, or no more will come.
func (j *Journal) Wait(ctx context.Context, n int64) error {
	if err := j.tail.wait(ctx, n); err != nil {
		return fmt.Errorf("wait for entry %d of run %s: %w", n-1, j.id, err)
	}
	return nil
}

// page bounds what one read of entries holds in memory.
const (
	pageEntries = 256
	pageBytes   = 1 << 20
)

// Entries yields the lines from seq from on, those that are durable when it is called, in order and
// without gaps. It ends at the first error, which it yields. The lines belong to the caller.
func (j *Journal) Entries(ctx context.Context, from int64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		next, _ := j.tail.at()
		j.pages(ctx, from, next, yield)
	}
}

// Follow is Entries, and goes on with new entries as they become durable, until run.ended and what
// came with it, or until ctx ends.
func (j *Journal) Follow(ctx context.Context, from int64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for {
			next, ended := j.tail.at()
			if !j.pages(ctx, from, next, yield) {
				return
			}
			from = max(from, next)
			if ended {
				return
			}
			err := j.tail.wait(ctx, from+1)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				yield(nil, fmt.Errorf("follow run %s: %w", j.id, err))
				return
			}
		}
	}
}

// pages yields the lines from … before to. The database is not held while the caller has a line.
func (j *Journal) pages(ctx context.Context, from, to int64, yield func([]byte, error) bool) bool {
	for from < to {
		lines, err := j.page(ctx, max(from, 0), to)
		for _, line := range lines {
			if !yield(line, nil) {
				return false
			}
		}
		if err != nil {
			yield(nil, fmt.Errorf("read entries of run %s: %w", j.id, err))
			return false
		}
		from = max(from, 0) + int64(len(lines))
	}
	return true
}

func (j *Journal) page(ctx context.Context, from, to int64) ([][]byte, error) {
	var lines [][]byte
	size := 0
	err := j.scanEntries(ctx, from, min(to, from+pageEntries), func(_ int64, line []byte) error {
		lines = append(lines, append([]byte(nil), line...))
		if size += len(line); size >= pageBytes {
			return errStop
		}
		return nil
	})
	return lines, err
}

// scanEntries calls each with the lines from … before to; a gap is an error.
func (j *Journal) scanEntries(ctx context.Context, from, to int64, each func(seq int64, line []byte) error) error {
	if from >= to {
		return nil
	}
	due, stopped := from, false
	err := j.store.rows.scan(seqKey(rowEntry, j.id, from), seqKey(rowEntry, j.id, to), func(key, line []byte) error {
		seq, err := decodeSeq(key)
		if err != nil {
			return err
		}
		if seq != due {
			return fmt.Errorf("entry %d is missing: the store is damaged", due)
		}
		if due++; due%64 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		err = each(seq, line)
		stopped = errors.Is(err, errStop)
		return err
	})
	if err == nil && !stopped && due != to {
		err = fmt.Errorf("entry %d is missing: the store is damaged", due)
	}
	return err
}

// At is the state after the entry seq; −1 is the state before entry 0. It reads the newest
// checkpoint that is not after seq, and the entries that follow it: one range. ErrNotFound if
// there is no such entry yet. Long lists of messages are read when they are asked for (journal.List).
func (j *Journal) At(ctx context.Context, seq int64) (*journal.State, error) {
	return j.at(ctx, seq, false)
}

// Whole is At for a caller that goes on from the state: all messages of its lists have been read and proved, and a
// checkpoint of which one is missing or damaged was passed over.
func (j *Journal) Whole(ctx context.Context, seq int64) (*journal.State, error) {
	return j.at(ctx, seq, true)
}

func (j *Journal) at(ctx context.Context, seq int64, whole bool) (*journal.State, error) {
	f, err := j.foldTo(ctx, seq, whole)
	if err != nil {
		return nil, fmt.Errorf("state of run %s at %d: %w", j.id, seq, err)
	}
	return f.state, nil
}

// folded is a state and what a writer needs to go on from it.
type folded struct {
	state    *journal.State
	frontier *journal.Frontier
	entries  int                   // folded since the checkpoint
	bytes    int64                 // of them
	chunks   map[journal.Hash]bool // of the checkpoint, if it is whole
}

func (j *Journal) foldTo(ctx context.Context, seq int64, whole bool) (folded, error) {
	next, _ := j.tail.at()
	if seq < -1 || seq >= next {
		return folded{}, fmt.Errorf("entry %d of %d: %w", seq, next, ErrNotFound)
	}
	if seq == -1 {
		return j.start(ctx, whole)
	}
	for before := seq; ; {
		f, at, err := j.checkpointAt(ctx, before, whole)
		if err != nil {
			return folded{}, err
		}
		err = j.foldOn(ctx, &f, seq)
		if err == nil || at < 0 || ctx.Err() != nil {
			return f, err
		}
		j.store.log.Warn("checkpoint does not fit its entries, an earlier one is used", "run", j.id, "seq", at, "error", err)
		before = at - 1
	}
}

// start is the state before entry 0.
func (j *Journal) start(ctx context.Context, whole bool) (folded, error) {
	f := folded{frontier: &journal.Frontier{}}
	if j.parent == nil {
		f.state = journal.Start(nil)
		return f, nil
	}
	parent, err := j.store.Journal(ctx, j.parent.Run)
	if err != nil {
		return f, err
	}
	at, err := parent.at(ctx, j.parent.Seq, whole)
	if err != nil {
		return f, err
	}
	f.state = journal.Start(at)
	return f, nil
}

// checkpointAt loads the newest checkpoint at or before seq that can be read, and says at which
// entry; −1 and the start if there is none.
func (j *Journal) checkpointAt(ctx context.Context, seq int64, whole bool) (folded, int64, error) {
	for seq >= 0 {
		key, row, err := j.store.rows.last(seqKey(rowCheckpoint, j.id, 0), seqKey(rowCheckpoint, j.id, seq+1))
		if err != nil {
			return folded{}, 0, err
		}
		if key == nil {
			break
		}
		at, err := decodeSeq(key)
		if err != nil {
			return folded{}, 0, err
		}
		f, err := j.foldedAt(row, at, whole)
		if err == nil {
			return f, at, nil
		}
		j.store.log.Warn("checkpoint cannot be used, an earlier one is", "run", j.id, "seq", at, "error", err)
		seq = at - 1
	}
	f, err := j.start(ctx, whole)
	return f, -1, err
}

// foldedAt is what the checkpoint after the entry at holds.
func (j *Journal) foldedAt(row []byte, at int64, whole bool) (folded, error) {
	c, state, err := j.loadCheckpoint(row)
	if err == nil && state.Next != at+1 {
		err = fmt.Errorf("it is that of entry %d", state.Next-1)
	}
	f := folded{state: state, frontier: c.frontier}
	if err != nil || !whole {
		return f, err
	}
	if err := state.ReadLists(); err != nil {
		return f, err
	}
	f.chunks, err = j.chunksOf(c)
	return f, err
}

// foldOn folds the entries after those that f holds, up to seq. The entry under the checkpoint is
// read too, to see that the checkpoint is one of this journal.
func (j *Journal) foldOn(ctx context.Context, f *folded, seq int64) error {
	first := f.state.Next
	return j.scanEntries(ctx, max(first-1, 0), seq+1, func(at int64, line []byte) error {
		if at < first {
			if hash := journal.HashEntry(line); hash != f.state.Tip {
				return fmt.Errorf("entry %d has hash %s, the checkpoint after it says %s", at, hash, f.state.Tip)
			}
			return nil
		}
		if _, _, err := f.state.Apply(line); err != nil {
			return err
		}
		f.frontier.Add(f.state.Tip)
		f.entries, f.bytes = f.entries+1, f.bytes+int64(len(line))
		return nil
	})
}

// Checkpoint returns the record of the newest checkpoint at or before seq, and the entry after
// which it holds the state: input of journal.LoadCheckpoint, with Chunks. ErrNotFound if there is
// none; the caller then folds from entry 0.
func (j *Journal) Checkpoint(ctx context.Context, seq int64) (at int64, record []byte, err error) {
	if err := ctx.Err(); err != nil {
		return 0, nil, err
	}
	key, row, err := j.store.rows.last(seqKey(rowCheckpoint, j.id, 0), seqKey(rowCheckpoint, j.id, seq+1))
	if err == nil && key == nil {
		err = ErrNotFound
	}
	if err == nil {
		at, err = decodeSeq(key)
	}
	var c checkpointRow
	if err == nil {
		c, err = decodeCheckpoint(row)
	}
	if err != nil {
		return 0, nil, fmt.Errorf("checkpoint of run %s at %d: %w", j.id, seq, err)
	}
	return at, c.record, nil
}

// CheckpointAfter returns the oldest checkpoint after the entry seq; ErrNotFound if there is none.
func (j *Journal) CheckpointAfter(ctx context.Context, seq int64) (at int64, record []byte, err error) {
	err = ErrNotFound
	lower := idKey(rowCheckpoint, j.id)
	scanErr := j.store.rows.scan(seqKey(rowCheckpoint, j.id, seq+1), after(lower), func(key, row []byte) error {
		var c checkpointRow
		if at, err = decodeSeq(key); err == nil {
			c, err = decodeCheckpoint(row)
		}
		record = c.record
		return errStop
	})
	if err = errors.Join(scanErr, err, ctx.Err()); err != nil {
		return 0, nil, fmt.Errorf("checkpoint of run %s after %d: %w", j.id, seq, err)
	}
	return at, record, nil
}

// Chunks returns chunks of a checkpoint, in the order of their names.
func (j *Journal) Chunks(ctx context.Context, names []journal.Hash) ([][]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	texts, err := j.readChunks(names)
	if err != nil {
		return nil, fmt.Errorf("read checkpoint of run %s: %w", j.id, err)
	}
	return texts, nil
}
