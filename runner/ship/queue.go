package ship

import (
	"errors"
	"time"

	"tachograph/schemas/record"
)

// maxItems bounds the records of one request.
const maxItems = 2000

// queue is the request that is being filled.
type queue struct {
	f      *follower
	items  []item
	weight int
	most   int // records of the next request: fewer after refusals

	failures int // since the last success
}

// add queues a record, and sends what is queued if it would become too much.
func (q *queue) add(i item) error {
	if len(q.items) == maxItems || len(q.items) > 0 && q.weight+i.weight() > record.MaxRequest {
		if err := q.flush(); err != nil {
			return err
		}
	}
	q.items = append(q.items, i)
	q.weight += i.weight()
	return nil
}

func (q *queue) drop() { q.items, q.weight = nil, 0 }

// flush sends what is queued, however long it takes.
func (q *queue) flush() error {
	for len(q.items) > 0 {
		n := min(q.most, len(q.items))
		rejected, why, err := q.f.out.send(q.f.working, q.f.request(q.items[:n]))
		if err != nil {
			if err := q.refused(n, err); err != nil {
				return err
			}
			continue
		}
		if rejected > 0 {
			q.f.reject(rejected, errors.New(why))
		}
		if q.failures > 0 {
			q.f.log.Info("entries are shipped again")
			q.failures = 0
			q.f.check.err = nil
			q.f.report()
		}
		q.items, q.most = q.items[n:], min(q.most*2, maxItems)
	}
	q.drop()
	return nil
}

// Back-off between two requests that failed.
const (
	backoffFirst = 500 * time.Millisecond
	backoffMost  = time.Minute
	waitMost     = 10 * time.Minute // however long a receiver asks to wait
)

// refused decides what to do about a request of n records that was not taken: cut it, give a record
// up, or wait.
func (q *queue) refused(n int, err error) error {
	if q.f.closing() {
		return errClosing
	}
	var r *refusal
	if !errors.As(err, &r) {
		return err
	}
	q.f.check.err = err
	if r.fault && n > 1 {
		q.most = n / 2
		return nil
	}
	if q.failures%10 == 0 {
		q.f.log.Warn("entries cannot be shipped; the journal keeps them", "error", err)
	}
	wait := backoffMost
	if q.failures < 7 {
		wait = min(backoffFirst<<q.failures, backoffMost)
	}
	if r.after > 0 {
		wait = min(r.after, waitMost)
	}
	q.failures++
	if r.fault && r.final {
		q.f.reject(1, err)
		q.items = q.items[n:]
	}
	q.f.report()
	select {
	case <-q.f.cfg.After(wait):
	case <-q.f.following.Done(): // one last try
	}
	return nil
}
