package state

import (
	"context"
	"sync"
	"time"

	"tachograph/schemas/journal"
)

// quota watches how much the store uses. Measuring costs some 100 µs, so it is done again only
// after a while, or when so much was written that it matters.
type quota struct {
	store *Store

	mu    sync.Mutex
	full  *FullError // of the last measurement; nil if there is room
	used  int64
	room  int64 // bytes from there to the nearer mark, at most measureAfter
	at    int64 // what had been written then
	when  time.Time
	freed chan struct{} // closed when something was removed
}

const (
	measureEvery = 250 * time.Millisecond
	measureAfter = 1 << 20
	// askEvery is how often a run that waits for room looks at the disk, which others fill and free.
	askEvery = time.Second
)

func (q *quota) init(s *Store) { q.store, q.freed = s, make(chan struct{}) }

// mark is the use beyond which no new work begins. A sixteenth of the quota is left for what must
// still be said: how calls end, that runs pause.
func (q *quota) mark() int64 { return q.store.o.Quota - q.store.o.Quota/16 }

// written grows by everything that is written: its growth says when to measure again. It shrinks when files are removed, and
// released then has it measured anyway.
func (q *quota) written() int64 { return q.store.rows.written.Load() + q.store.files.used.Load() }

// admit refuses drafts that begin new work while the store is full.
func (q *quota) admit(drafts []Draft) error {
	if q.store.o.Quota == 0 && q.store.o.Reserve == 0 {
		return nil
	}
	for _, d := range drafts {
		if beginsWork(d.Body) {
			if full := q.check(false); full != nil {
				return full
			}
			return nil
		}
	}
	return nil
}

// beginsWork names what a full store refuses. All else ends or explains something.
func beginsWork(b journal.Body) bool {
	switch b.(type) {
	case *journal.RunStarted, *journal.ModelAsked, *journal.CallProposed, *journal.CallStarted,
		*journal.AgentSpawned, *journal.WorkspaceMerged, *journal.Resumed:
		return true
	}
	return false
}

func (q *quota) check(now bool) *FullError {
	q.mu.Lock()
	defer q.mu.Unlock()
	clock := q.store.o.Clock()
	if now || q.when.IsZero() || q.written()-q.at > q.room || clock.Sub(q.when) > measureEvery || clock.Before(q.when) {
		q.when, q.at = clock, q.written()
		q.measure()
	}
	return q.full
}

func (q *quota) measure() {
	s := q.store
	q.full, q.room = nil, measureAfter
	if s.rows.enter() != nil {
		return // closed or broken: the append will say so
	}
	defer s.rows.leave()
	q.used = s.rows.used() + s.files.used.Load()
	if s.o.Quota > 0 {
		q.room = min(q.room, q.mark()-q.used)
	}
	if q.room < 0 {
		q.full = &FullError{Used: q.used, Mark: q.mark(), Free: -q.room}
	}
	disk, err := s.fs.GetDiskUsage(s.dir)
	if err != nil {
		return // this file system cannot say; the quota alone counts
	}
	q.room = min(q.room, int64(disk.AvailBytes)-s.o.Reserve)
	if short := s.o.Reserve - int64(disk.AvailBytes); short > 0 && (q.full == nil || short > q.full.Free) {
		q.full = &FullError{Used: q.used, Mark: max(0, q.mark()), Free: short}
		if s.o.Quota == 0 || q.used <= q.mark() {
			q.full.Mark = 0
		}
	}
}

// Full measures what the store uses, and says whether it is over its mark, in bytes; a mark of 0
// means that there is no quota, and full then that the disk is.
func (s *Store) Full() (used, mark int64, full bool) {
	err := s.quota.check(true)
	s.quota.mu.Lock()
	defer s.quota.mu.Unlock()
	return s.quota.used, s.quota.mark(), err != nil
}

// Room returns when new work may begin again, or with the error of ctx, or ErrClosed.
func (s *Store) Room(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		s.quota.mu.Lock()
		freed := s.quota.freed
		s.quota.mu.Unlock()
		if s.quota.check(true) == nil {
			return nil
		}
		timer.Reset(askEvery)
		select {
		case <-timer.C:
		case <-freed:
		case <-s.stop:
			return ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// released wakes those that wait for room.
func (q *quota) released() {
	q.mu.Lock()
	defer q.mu.Unlock()
	close(q.freed)
	q.freed, q.when = make(chan struct{}), time.Time{}
}
