package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"tachograph/schemas/journal"
)

// RemoveOptions of a family.
type RemoveOptions struct {
	// KeepProof keeps entries, checkpoints and heads: everything can still be verified, and what
	// people, models and tools said is gone for good, guesses included.
	KeepProof bool
}

// removal is the row of a family that is being removed: enough to finish after a crash.
type removal struct {
	KeepProof bool            `json:"keep_proof"`
	Runs      []journal.RunID `json:"runs"`
	Base      scopeID         `json:"base"`
	Root      journal.Object  `json:"root"`
}

// Remove erases a family: first the salt, durably, so that no name in any journal can be matched
// with a guess any more; then content, objects and, unless KeepProof, everything else; then the
// places on the disk where they were kept. It is finished by the next Open if the process dies. Runs that are
// open are ended: their methods return ErrErased. ErrNotFound if there is no such family.
//
// What the file system or the device keeps of deleted blocks is out of reach.
func (s *Store) Remove(ctx context.Context, id journal.RunID, o RemoveOptions) error {
	plan, err := s.beginRemoval(ctx, id, o)
	if err == nil {
		err = s.finishRemoval(id, plan)
	}
	if err != nil {
		return fmt.Errorf("remove family %s: %w", id, err)
	}
	return nil
}

// beginRemoval ends the family's runs and deletes its salt: from here on there is no way back.
func (s *Store) beginRemoval(ctx context.Context, id journal.RunID, o RemoveOptions) (plan removal, err error) {
	s.loadMu.Lock()
	defer s.loadMu.Unlock()
	rec, err := s.familyRow(id)
	if err != nil {
		return plan, err
	}
	members, err := s.members(ctx, id)
	if err != nil {
		return plan, err
	}
	plan = removal{KeepProof: o.KeepProof, Base: rec.Base, Root: rec.Root}
	for _, m := range members {
		plan.Runs = append(plan.Runs, m.ID)
	}
	text, err := json.Marshal(plan)
	if err != nil {
		return plan, err
	}
	s.endFamily(id, plan.Runs)
	batch := s.rows.db.NewBatch()
	batch.Delete(idKey(rowSalt, id), nil)
	batch.Set(idKey(rowRemoval, id), text, nil)
	return plan, s.rows.commit(batch, true)
}

// endFamily ends what this process does with the family's runs, and waits for what is under way.
func (s *Store) endFamily(id journal.RunID, runs []journal.RunID) {
	s.mu.Lock()
	f := s.families[id].Value()
	delete(s.families, id)
	s.mu.Unlock()
	if f != nil {
		f.use.Lock()
		f.end(fmt.Errorf("family %s: %w", id, ErrErased))
		f.use.Unlock()
	}
	for _, run := range runs {
		s.endRun(run)
	}
}

func (s *Store) endRun(id journal.RunID) {
	cause := fmt.Errorf("run %s: %w", id, ErrErased)
	s.mu.Lock()
	r := s.runs[id].Value()
	t := s.tails[id]
	delete(s.runs, id)
	delete(s.grown, id)
	delete(s.tails, id)
	s.mu.Unlock()
	if r != nil {
		r.mu.Lock()
		r.gone = cause
		r.mu.Unlock()
	}
	if t != nil {
		t.fail(cause)
	}
}

// finishRemovals goes on with what a crash interrupted.
func (s *Store) finishRemovals() error {
	plans := map[journal.RunID]removal{}
	lower := []byte{rowRemoval}
	err := s.rows.scan(lower, after(lower), func(key, value []byte) error {
		var plan removal
		if err := json.Unmarshal(value, &plan); err != nil || len(key) != 17 {
			return fmt.Errorf("read removal: row is damaged (%w)", err)
		}
		plans[journal.RunID(key[1:])] = plan
		return nil
	})
	if err != nil {
		return err
	}
	for id, plan := range plans {
		if err := s.finishRemoval(id, plan); err != nil {
			return fmt.Errorf("finish removal of family %s: %w", id, err)
		}
	}
	return nil
}

// finishRemoval does what follows the deletion of the salt. Doing it twice does no harm.
func (s *Store) finishRemoval(id journal.RunID, plan removal) error {
	s.baseMu.Lock()
	defer s.baseMu.Unlock()
	shared, err := s.baseShared(plan.Base, id)
	if err != nil {
		return err
	}
	batch := s.rows.db.NewBatch()
	ranges := removedRanges(id, plan, shared)
	removeRows(batch, ranges)
	batch.Delete(baseUseKey(plan.Base, id), nil)
	if !shared && !plan.Root.IsZero() {
		batch.Delete(baseKey(plan.Root), nil)
	}
	if err := s.rows.commit(batch, true); err != nil {
		return err
	}
	if err := s.files.removeScope(scopeID(id)); err != nil {
		return err
	}
	if !shared {
		if err := s.files.removeScope(plan.Base); err != nil {
			return err
		}
	}
	if err := s.scrub(ranges); err != nil {
		return err
	}
	batch = s.rows.db.NewBatch()
	batch.Delete(idKey(rowRemoval, id), nil)
	s.quota.released()
	return s.rows.commit(batch, true)
}

// baseShared says whether another family uses the base tree.
func (s *Store) baseShared(base scopeID, id journal.RunID) (shared bool, err error) {
	lower, own := idKey(rowBaseUse, base), baseUseKey(base, id)
	err = s.rows.scan(lower, after(lower), func(key, _ []byte) error {
		shared = shared || string(key) != string(own)
		return nil
	})
	return shared, err
}

// removedRanges are the prefixes of all rows that go.
func removedRanges(id journal.RunID, plan removal, shared bool) [][]byte {
	ranges := [][]byte{idKey(rowContent, id), idKey(rowObject, id)}
	if !shared {
		ranges = append(ranges, idKey(rowObject, plan.Base))
	}
	if plan.KeepProof {
		return ranges
	}
	ranges = append(ranges, idKey(rowFamily, id), idKey(rowChunk, id))
	for _, run := range plan.Runs {
		ranges = append(ranges, runRanges(run)...)
	}
	return ranges
}

func runRanges(run journal.RunID) [][]byte {
	var ranges [][]byte
	for _, letter := range []byte{rowRun, rowLease, rowEntry, rowCheckpoint, rowHead} {
		ranges = append(ranges, idKey(letter, run))
	}
	return ranges
}

// scrub removes deleted rows from the disk: from the tables by compacting them, from the finished
// logs by letting Pebble's reserve of them run through once.
func (s *Store) scrub(ranges [][]byte) error {
	if err := s.rows.enter(); err != nil {
		return err
	}
	defer s.rows.leave()
	s.rows.fs.scrub.Store(true)
	defer s.rows.fs.scrub.Store(false)
	for range logsKept + 1 {
		if err := s.rows.db.Flush(); err != nil {
			return fmt.Errorf("remove old logs: %w", err)
		}
	}
	for _, prefix := range ranges {
		if err := s.rows.db.Compact(context.Background(), prefix, after(prefix), false); err != nil {
			return fmt.Errorf("compact: %w", err)
		}
	}
	return s.cleaned()
}

// logsKept is the number of finished logs that Pebble keeps, and one.
const logsKept = 4

// cleaned waits until Pebble has deleted the files that it no longer needs, which it does in a
// goroutine of its own without telling. A reader that is in the middle of a page may hold one up.
func (s *Store) cleaned() error {
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		m := s.rows.db.Metrics()
		left := m.Table.ObsoleteCount + m.Table.ZombieCount + int64(m.BlobFiles.ObsoleteCount+m.BlobFiles.ZombieCount)
		if left == 0 {
			return nil
		}
		select {
		case <-time.After(pause):
		case <-s.stop:
			return errors.Join(ErrClosed, errors.New("the removal is finished at the next start"))
		}
	}
}

// RemoveRun removes one run that has no forks, and leaves its family's content: a fork that was
// begun and given up. The only run of a family is removed with it, as by Remove.
func (s *Store) RemoveRun(ctx context.Context, id journal.RunID) error {
	info, err := s.Info(id)
	if err != nil {
		return fmt.Errorf("remove: %w", err)
	}
	members, err := s.members(ctx, info.Family)
	if err != nil {
		return fmt.Errorf("remove run %s: %w", id, err)
	}
	if len(members) == 1 {
		return s.Remove(ctx, info.Family, RemoveOptions{})
	}
	for _, m := range members {
		if m.Parent != nil && m.Parent.Run == id {
			return fmt.Errorf("remove run %s: run %s was forked from it; remove the family", id, m.ID)
		}
	}
	s.endRun(id)
	batch := s.rows.db.NewBatch()
	removeRows(batch, runRanges(id))
	if err := s.rows.commit(batch, true); err != nil {
		return fmt.Errorf("remove run %s: %w", id, err)
	}
	return nil
}

func removeRows(batch *pebble.Batch, ranges [][]byte) {
	for _, prefix := range ranges {
		batch.DeleteRange(prefix, after(prefix), nil)
	}
}
