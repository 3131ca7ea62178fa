package collector

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"tachograph/collector/dialect"
	"tachograph/collector/otlp"
	"tachograph/collector/spool"
	"tachograph/collector/store"
)

// Store makes an insert exactly once, however often it is asked to. *store.Store is one.
type Store interface {
	Insert(ctx context.Context, b *store.Batch) error
}

// Waits between attempts to store a segment, in which others are tried.
const (
	firstWait = 100 * time.Millisecond
	longWait  = 5 * time.Second
)

// listPatience is how often a segment is tried again for the list of runs alone: some two minutes, in which a
// killed ClickHouse is back. A list that can never be summed up must not keep the telemetry waiting.
const listPatience = 30

// waiting is a segment that is not stored.
type waiting struct {
	segment *spool.Segment
	tries   int
	lags    int       // tries after which only the list of runs was behind
	after   time.Time // not before
}

// backlog is the segments that are not stored, oldest first but for those that failed a moment ago.
type backlog struct {
	now     func() time.Time
	mu      sync.Mutex
	all     []*waiting
	working map[*waiting]bool
	changed chan struct{} // closed and made anew with every change
}

func newBacklog(now func() time.Time) *backlog {
	return &backlog{now: now, working: map[*waiting]bool{}, changed: make(chan struct{})}
}

func (b *backlog) signal() {
	close(b.changed)
	b.changed = make(chan struct{})
}

func (b *backlog) add(s *spool.Segment) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = append(b.all, &waiting{segment: s})
	b.signal()
}

// next waits for a segment whose turn it is; nil when ctx ends.
func (b *backlog) next(ctx context.Context) *waiting {
	for {
		b.mu.Lock()
		now, wait := b.now(), time.Duration(-1)
		for i, w := range b.all {
			left := w.after.Sub(now)
			if left <= 0 {
				b.all = append(b.all[:i], b.all[i+1:]...)
				b.working[w] = true
				b.mu.Unlock()
				return w
			}
			if wait < 0 || left < wait {
				wait = left
			}
		}
		changed := b.changed
		b.mu.Unlock()
		if !sleep(ctx, wait, changed) {
			return nil
		}
	}
}

// sleep waits for a change, or so long if wait is not negative. It returns false when ctx ends.
func sleep(ctx context.Context, wait time.Duration, changed <-chan struct{}) bool {
	var timeout <-chan time.Time
	if wait >= 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-changed:
	case <-timeout:
	case <-ctx.Done():
		return false
	}
	return true
}

// back gives a segment back after an attempt: to be tried again if it failed.
func (b *backlog) back(w *waiting, failed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.working, w)
	if failed {
		w.tries++
		w.after = b.now().Add(min(longWait, firstWait<<min(w.tries-1, 10)))
		b.all = append(b.all, w)
	}
	b.signal()
}

// drained waits until nothing is left.
func (b *backlog) drained(ctx context.Context) error {
	for {
		b.mu.Lock()
		left, changed := len(b.all)+len(b.working), b.changed
		b.mu.Unlock()
		if left == 0 {
			return nil
		}
		if !sleep(ctx, -1, changed) {
			return fmt.Errorf("%d segments are not stored yet: %w", left, ctx.Err())
		}
	}
}

// state is how many segments are not stored, since when the oldest, and how many failed already.
func (b *backlog) state() (segments int, oldest time.Time, failing int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	see := func(w *waiting) {
		if oldest.IsZero() || w.segment.Created.Before(oldest) {
			oldest = w.segment.Created
		}
	}
	for _, w := range b.all {
		see(w)
		if w.tries > 0 {
			failing++
		}
	}
	for w := range b.working {
		see(w)
	}
	return len(b.all) + len(b.working), oldest, failing
}

// insertAll stores segments until ctx ends.
func (c *Collector) insertAll(ctx context.Context) {
	var batch *store.Batch
	for {
		w := c.backlog.next(ctx)
		if w == nil {
			return
		}
		var err error
		batch, err = c.insert(ctx, w, batch)
		if err != nil && ctx.Err() == nil {
			c.counts.failed(err, c.config.Now())
			if w.tries == 0 || w.tries%10 == 0 {
				c.config.Log.Warn("a segment is not stored yet; it is tried again", "segment", w.segment.ID, "tries", w.tries+1, "error", err)
			}
		}
		c.backlog.back(w, err != nil)
	}
}

// insert makes the rows of a segment, stores them and removes it. It returns the batch for the next one.
func (c *Collector) insert(ctx context.Context, w *waiting, batch *store.Batch) (*store.Batch, error) {
	seg := w.segment
	if batch == nil {
		batch = store.NewBatch(seg.ID, seg.Created)
	} else {
		batch.Reset(seg.ID, seg.Created)
	}
	batch.Fresh = w.tries == 0 && seg.Records > 0 // of this process, and never tried
	report, err := fill(batch, seg)
	if err != nil {
		return batch, err
	}
	if report.Damaged > 0 {
		c.config.Log.Error("acknowledged records of a spool segment were damaged on the disk and are lost; the file is kept in damaged/",
			"segment", seg.ID, "bytes", report.Damaged, "damage", report.Damage)
	} else if report.Torn > 0 {
		c.config.Log.Info("the end of a spool segment was torn by a crash; none of it was acknowledged", "segment", seg.ID, "bytes", report.Torn)
	}
	if batch.Rows() > 0 {
		if err := c.store(ctx, w, batch); err != nil {
			return batch, err
		}
	}
	c.counts.stored.Add(int64(batch.Rows()))
	c.counts.segments.Add(1)
	c.config.Probe(ProbeInserted)
	// Before the segment is gone, whose keys are known from it otherwise.
	if err := c.seen.Sync(); err != nil {
		c.config.Log.Warn("keys of stored spans could not be saved: what is sent again after a restart may be stored twice", "error", err)
	}
	return batch, c.spool.Remove(seg, report.Damaged > 0)
}

// store inserts the batch of a segment. The last entries of a run have nobody after them who would mend the
// list of runs, so they wait for it, but not for ever.
func (c *Collector) store(ctx context.Context, w *waiting, batch *store.Batch) error {
	err := c.config.Store.Insert(ctx, batch)
	if !errors.Is(err, store.ErrListBehind) {
		return err
	}
	if w.lags++; w.lags <= listPatience {
		return err
	}
	c.config.Log.Error("a segment is stored, but the list of runs does not show it; the run's next entries mend that", "segment", w.segment.ID, "error", err)
	return nil
}

// fill makes the rows of a segment.
func fill(batch *store.Batch, seg *spool.Segment) (spool.Report, error) {
	w := dialect.NewWriter(batch)
	return seg.Read(func(r *spool.Record) error {
		return w.Request(otlp.Signal(r.Signal), r.Project, r.Received, r.Body, r.Dropped)
	})
}
