package collector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"tachograph/collector/dialect"
	"tachograph/collector/otlp"
	"tachograph/collector/spool"
)

// Reasons why a request is refused now and may be sent again.
var (
	// ErrBusy: too much is in memory.
	ErrBusy = errors.New("too many requests at once")
	// ErrClosed: this process takes no more.
	ErrClosed = errors.New("the collector is closing")
	// ErrDisk: the spool could not be written.
	ErrDisk = errors.New("spool cannot be written")
)

// pending is a request on its way to the disk.
type pending struct {
	record   spool.Record
	examined dialect.Examined
	added    []dialect.Key // keys that were new
	flush    bool          // no request: seal what is open
	done     chan error
}

// queue hands requests to the committer.
type queue struct {
	mu    sync.Mutex
	all   []*pending
	ready chan struct{}
}

func (q *queue) put(p *pending) {
	q.mu.Lock()
	q.all = append(q.all, p)
	q.mu.Unlock()
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// take returns the requests that go together, at most about maxGroup bytes.
func (q *queue) take() []*pending {
	const maxGroup = 32 << 20
	q.mu.Lock()
	defer q.mu.Unlock()
	n, bytes := 0, 0
	for n < len(q.all) && (n == 0 || bytes < maxGroup) {
		bytes += len(q.all[n].record.Body)
		n++
	}
	group := slices.Clone(q.all[:n])
	q.all = slices.Delete(q.all, 0, n)
	if len(q.all) > 0 {
		select {
		case q.ready <- struct{}{}:
		default:
		}
	}
	return group
}

// result is what is said of a request that was taken.
type result struct {
	rejected int
	message  string
}

// accept takes a request: when it returns without error all that it does not name as rejected is
// durable. refused are records that cannot be stored whatever else is in them. If ctx ends before, the request may be stored nevertheless, once.
func (c *Collector) accept(ctx context.Context, signal otlp.Signal, body []byte, refused otlp.Refused) (result, error) {
	e, err := dialect.Examine(signal, c.config.Project, body, refused, c.config.Limits)
	if err != nil {
		return result{}, err
	}
	r := result{rejected: len(e.Rejected), message: e.Message}
	c.counts.rejected.Add(int64(r.rejected))
	if e.Records == len(e.Rejected) {
		return r, nil
	}
	p := &pending{examined: e, done: make(chan error, 1)}
	p.record = spool.Record{Signal: uint8(signal), Project: c.config.Project, Received: c.config.Now(), Body: body}
	if err := c.wait(ctx, p); err != nil {
		return result{}, err
	}
	c.counts.accepted.Add(int64(e.Records - r.rejected))
	return r, nil
}

func (c *Collector) wait(ctx context.Context, p *pending) error {
	select {
	case <-c.closing:
		return ErrClosed
	default:
	}
	c.queue.put(p)
	select {
	case err := <-p.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-c.committed:
	}
	select { // the committer's last act
	case err := <-p.done:
		return err
	default:
		return ErrClosed
	}
}

// segment is what the committer knows of the open segment.
type segment struct {
	began   time.Time
	records int
	live    bool
}

// commit is the one goroutine that writes the spool: it makes groups durable, answers, and seals.
func (c *Collector) commit() {
	defer close(c.committed)
	var open segment
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	defer timer.Stop()
	for closing := false; !closing; {
		select {
		case <-c.queue.ready:
		case <-timer.C:
		case <-c.closing:
			closing = true
		}
		for group := c.queue.take(); len(group) > 0; group = c.takeMore(closing) {
			c.writeGroup(group, &open)
		}
		if c.spool.OpenSize() == 0 {
			continue
		}
		if left := c.age(&open) - c.config.Now().Sub(open.began); left > 0 && !closing {
			timer.Reset(left)
			continue
		}
		c.seal(&open)
	}
}

// takeMore empties the queue when the collector closes; else ready says when there is more.
func (c *Collector) takeMore(closing bool) []*pending {
	if !closing {
		return nil
	}
	return c.queue.take()
}

func (c *Collector) age(open *segment) time.Duration {
	if open.live {
		return c.config.LiveAge
	}
	return c.config.Age
}

// writeGroup makes requests durable and answers them.
func (c *Collector) writeGroup(group []*pending, open *segment) {
	var (
		records []spool.Record
		waiting []*pending
		bytes   int64
		flush   []*pending
		rows    int
		live    bool
	)
	for _, p := range group {
		if p.flush {
			flush = append(flush, p)
			continue
		}
		if !c.spool.Fits(&p.record, bytes) {
			c.counts.refused.Add(1)
			p.done <- spool.ErrFull
			continue
		}
		waiting = append(waiting, p)
		if n := c.reserve(p); n > 0 {
			bytes += spool.Size(&p.record)
			rows += n
			live = live || p.examined.Live
			records = append(records, p.record)
		}
	}
	err := c.append(records, waiting)
	if err == nil && len(records) > 0 {
		if open.records == 0 {
			open.began = c.config.Now()
		}
		open.records += rows
		open.live = open.live || live
		if c.spool.OpenSize() >= c.config.SegmentBytes || open.records >= c.config.SegmentRows {
			c.seal(open)
		}
	}
	if err != nil || len(flush) > 0 {
		c.seal(open)
	}
	for _, p := range flush {
		p.done <- nil
	}
}

// reserve finds out which records of a request are new, and returns how many of them there are.
func (c *Collector) reserve(p *pending) int {
	e := &p.examined
	dropped := slices.Clone(e.Rejected)
	for i, k := range e.Keys {
		if c.seen.Add(k) {
			p.added = append(p.added, k)
			continue
		}
		known := e.Numbers[i : i+1]
		if e.Whole() {
			known = e.Numbers
		}
		dropped = append(dropped, known...)
		c.counts.known.Add(int64(len(known)))
	}
	slices.Sort(dropped)
	p.record.Dropped = dropped
	return e.Records - len(dropped)
}

// append writes the records and answers all who wait: also those whose records were all known, for what
// they know again may stand in this very group.
func (c *Collector) append(records []spool.Record, waiting []*pending) error {
	var err error
	if len(records) > 0 {
		err = c.spool.Append(records)
		c.counts.groups.Add(1)
	}
	if err != nil {
		c.config.Log.Error("a group of requests could not be made durable; senders are told to send it again", "error", err)
		if !errors.Is(err, spool.ErrFull) {
			err = fmt.Errorf("%w: %w", ErrDisk, err)
		}
		for _, p := range waiting {
			c.seen.Forget(p.added)
		}
		c.counts.refused.Add(int64(len(waiting)))
	} else if err := c.seen.Save(); err != nil {
		c.config.Log.Warn("keys of stored spans could not be saved: what is sent again after a restart may be stored twice", "error", err)
	}
	if err == nil && len(records) > 0 {
		c.config.Probe(ProbeDurable)
	}
	for _, p := range waiting {
		p.done <- err
	}
	return err
}

// seal hands the open segment to the inserters.
func (c *Collector) seal(open *segment) {
	*open = segment{}
	seg, err := c.spool.Seal()
	if err != nil {
		// Only the mark of its end is missing, which no reader needs.
		c.config.Log.Warn("seal a spool segment", "error", err)
	}
	if seg != nil {
		c.config.Probe(ProbeSealed)
		c.backlog.add(seg)
	}
}
