package ship

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"tachograph/runner/state"
	"tachograph/schemas/journal"
	"tachograph/schemas/record"
)

// follower ships one run. One goroutine uses it.
type follower struct {
	*Shipper
	journal *state.Journal
	course  *course
	log     *slog.Logger
	namer   *namer
	queue   queue

	salted bool         // the salt was sent
	next   int64        // entries 0 … next−1 were sent, or are in the queue
	tip    journal.Hash // of the entry before next
	when   time.Time    // of it
	heads  int64        // signed heads over at most so many entries were sent,
	alike  [][]byte     // and of those over as many, these
	saved  int64        // checkpoints up to this entry were sent

	shipped cursor // what is certain, as the cursor's file says
	check   check
}

func newFollower(s *Shipper, j *state.Journal, c *course) *follower {
	f := &follower{Shipper: s, journal: j, course: c, log: s.cfg.Log.With("run", j.ID()), saved: -1,
		shipped: cursor{run: j.ID(), checkpoint: -1}}
	f.queue = queue{f: f, most: maxItems}
	f.namer = newNamer(j, f.send)
	return f
}

// errClosing says that the Shipper is being closed and the receiver does not take the rest.
var errClosing = errors.New("the shipper is closing")

// main follows the run to its end, or until the Shipper is closed.
func (f *follower) main() error {
	err := f.follow()
	switch {
	case err == nil:
	case errors.Is(err, state.ErrErased):
		f.log.Info("run was erased, it is not shipped any more")
	case f.closing():
		f.log.Info("entries are left to be shipped by the next process", "shipped", f.shipped.next, "cause", err)
	default:
		f.log.Error("run is not shipped any more", "shipped", f.shipped.next, "error", err)
	}
	return err
}

func (f *follower) closing() bool { return f.following.Err() != nil }

func (f *follower) follow() error {
	if err := f.begin(); err != nil {
		return err
	}
	for {
		last := f.closing() // looked at before reading: what was durable when Close began is sent
		if err := f.sendAll(); err != nil {
			return err
		}
		f.settle()
		if !last {
			if err := f.compare(); err != nil {
				return err
			}
		}
		f.report()
		f.course.set(func(c *course) { c.stuck = f.check.suspect && f.cfg.Store == nil || f.check.vain >= maxVain })
		if last || f.complete() {
			return nil
		}
		if err := f.await(); err != nil {
			return err
		}
	}
}

// begin goes on at the cursor. One that is not of this journal counts for nothing.
func (f *follower) begin() error {
	at, err := f.ledger.read(f.journal.ID())
	if err != nil {
		f.log.Warn("cursor cannot be used: the run is shipped again", "error", err)
	}
	if at.next == 0 {
		f.check.once = true
		return nil
	}
	tip, when, err := f.entryBefore(at.next)
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return err
	}
	if err != nil || tip != at.tip {
		f.log.Warn("cursor is of another journal: the run is shipped again", "cursor", at.next)
		f.check.once = true
		return nil
	}
	f.check.claim = at.next
	f.shipped, f.heads, f.saved = at, at.heads, at.checkpoint
	if at.ended && at.next == f.journal.Len() { // nothing is to come, so what was named before need not be known
		f.next, f.tip, f.when = at.next, tip, when
		return nil
	}
	f.goTo(at.next, tip, when)
	f.namer.startChunks(f.working, f.saved)
	return nil
}

// goTo makes next the entry to be sent next. What entries before it name is taken to be there.
func (f *follower) goTo(next int64, tip journal.Hash, when time.Time) {
	f.next, f.tip, f.when, f.salted = next, tip, when, false
	f.namer.known = newRecent(recentNames)
	if err := f.namer.startAfter(f.working, next); err != nil {
		// Then trees are compared with nothing, and sent whole.
		f.log.Warn("state at the cursor cannot be rebuilt: files are sent again", "entry", next, "error", err)
	}
}

// entryBefore is the hash and the time of the entry next−1.
func (f *follower) entryBefore(next int64) (journal.Hash, time.Time, error) {
	if next == 0 {
		return journal.Hash{}, time.Time{}, nil
	}
	for line, err := range f.journal.Entries(f.working, next-1) {
		if err != nil {
			return journal.Hash{}, time.Time{}, err
		}
		e, err := journal.Decode(line)
		return journal.HashEntry(line), e.Time, err
	}
	return journal.Hash{}, time.Time{}, fmt.Errorf("entry %d: %w", next-1, state.ErrNotFound)
}

// work holds one of the slots while do fills and sends requests.
func (f *follower) work(do func() error) error {
	select {
	case f.slots <- struct{}{}:
	case <-f.working.Done():
		return errClosing
	}
	defer func() { <-f.slots }()
	if err := do(); err != nil {
		f.queue.drop()
		return err
	}
	return f.queue.flush()
}

// sendAll sends what is durable now.
func (f *follower) sendAll() error {
	return f.work(func() error {
		for line, err := range f.journal.Entries(f.working, f.next) {
			if err != nil {
				return fmt.Errorf("read entries: %w", err)
			}
			if err := f.take(line); err != nil {
				return err
			}
		}
		if err := f.queue.flush(); err != nil { // heads and checkpoints come after what they are over
			return err
		}
		if err := f.sendCheckpoints(); err != nil {
			return err
		}
		return f.sendHeads()
	})
}

// take queues one entry, after all that it names.
func (f *follower) take(line []byte) error {
	e, err := journal.Decode(line)
	if err != nil {
		return fmt.Errorf("entry %d: %w", f.next, err)
	}
	if err := f.sendSalt(e.Time); err != nil {
		return err
	}
	body, err := journal.DecodeBody(e.Kind, e.Body)
	switch {
	case errors.Is(err, journal.ErrUnknownKind):
		f.log.Warn("entry of a kind that this tacho does not know: what it names is not shipped", "entry", e.Seq, "kind", e.Kind)
	case err != nil:
		return fmt.Errorf("entry %d: %w", e.Seq, err)
	default:
		if started, ok := body.(*journal.RunStarted); ok {
			if err := f.sendBase(started.Base, e.Time); err != nil {
				return err
			}
		}
		if err := f.namer.entry(f.working, e, body); err != nil {
			return fmt.Errorf("entry %d: %w", e.Seq, err)
		}
	}
	if err := f.queue.add(item{event: record.Entry, at: e.Time, body: line, run: f.journal.ID(), family: f.journal.Family(), seq: e.Seq, epoch: e.Epoch}); err != nil {
		return err
	}
	f.next, f.tip, f.when = e.Seq+1, journal.HashEntry(line), e.Time
	return nil
}

func (f *follower) sendSalt(at time.Time) error {
	if f.salted {
		return nil
	}
	salt, err := f.journal.Salt(f.working)
	if err != nil {
		return err
	}
	f.salted = true
	return f.queue.add(item{event: record.Family, at: at, body: salt[:], run: f.journal.ID(), family: f.journal.Family(), seq: -1})
}

// send queues the parts of a piece. One that was never stored (a file that matched a secret pattern)
// is left out, as it is locally.
func (f *follower) send(ctx context.Context, p piece) error {
	b, err := p.read(ctx)
	if errors.Is(err, state.ErrNotFound) && p.space == record.SpaceObject {
		return nil
	}
	if err != nil {
		return err
	}
	for _, i := range p.cut(f.journal.ID(), b) {
		if err := f.queue.add(i); err != nil {
			return err
		}
	}
	return nil
}

// sendCheckpoints queues the checkpoints over the entries that were sent, each after its chunks. They
// are a cache: one that cannot be read is left out.
func (f *follower) sendCheckpoints() error {
	for {
		at, text, err := f.journal.CheckpointAfter(f.working, f.saved)
		if errors.Is(err, state.ErrNotFound) || err == nil && at >= f.next {
			return nil
		}
		if err != nil {
			return err
		}
		f.saved = at
		if err := f.namer.checkpoint(f.working, at, f.when, text); leftOut(err) {
			f.log.Warn("checkpoint is not shipped", "entry", at, "error", err)
			continue
		} else if err != nil {
			return err
		}
		if err := f.queue.add(item{event: record.Checkpoint, at: f.when, body: text, run: f.journal.ID(), seq: at}); err != nil {
			return err
		}
	}
}

// sendHeads queues the signed heads over the entries that were sent.
func (f *follower) sendHeads() error {
	signed, err := f.journal.HeadsFrom(f.working, f.heads)
	if err != nil {
		return err
	}
	for _, text := range signed {
		size, err := headSize(text)
		if err != nil {
			f.log.Warn("signed head is not shipped", "error", err)
			continue
		}
		if size > f.next || size == f.heads && contains(f.alike, text) {
			continue
		}
		if err := f.sendHead(text, size); err != nil {
			return err
		}
		if size > f.heads {
			f.heads, f.alike = size, nil
		}
		f.alike = append(f.alike, text)
	}
	return nil
}

func (f *follower) sendHead(text []byte, size int64) error {
	return f.queue.add(item{event: record.Head, at: f.when, body: text, run: f.journal.ID(), seq: size})
}

// settle counts what was acknowledged as shipped, where that is final.
func (f *follower) settle() {
	if (f.cfg.Final || f.cfg.Store == nil) && !f.check.suspect {
		f.confirm(f.next, f.tip)
	}
}

// confirm moves the cursor. Invariant: never over what the receiver, or the store, has not confirmed.
func (f *follower) confirm(next int64, tip journal.Hash) {
	now := cursor{run: f.journal.ID(), next: next, tip: tip, heads: f.heads, checkpoint: f.saved}
	now.ended = f.journal.Ended() && next == f.journal.Len()
	if now == f.shipped {
		return
	}
	f.shipped = now
	if err := f.ledger.write(now); err != nil {
		f.log.Warn("what was shipped will be sent again after a restart", "error", err)
	}
}

func (f *follower) report() {
	f.course.set(func(c *course) {
		c.now.Shipped, c.now.Total = f.shipped.next, f.journal.Len()
		c.now.Stored, c.now.Rejected = f.check.stored, f.check.rejected
		c.now.Err = f.check.err
	})
}

// complete says whether there is nothing left to do.
func (f *follower) complete() bool {
	if !f.journal.Ended() || f.next < f.journal.Len() || f.course.isUrgent() && f.cfg.Store != nil && f.check.stored < f.next {
		return false
	}
	return f.shipped.next == f.next && !f.mustCheck() || f.cfg.Store == nil
}

// pollEvery is how often a run that does not grow is looked at for signed heads and checkpoints.
const pollEvery = 10 * time.Second

// await waits for the next entry, or until something else is due.
func (f *follower) await() error {
	ctx, cancel := context.WithTimeout(f.following, f.untilCheck(pollEvery))
	defer cancel()
	if f.course.sleep(cancel) {
		return nil
	}
	defer f.course.awake()
	if f.journal.Ended() && f.next >= f.journal.Len() {
		<-ctx.Done()
		return nil
	}
	if err := f.journal.Wait(ctx, f.next+1); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	timer := time.NewTimer(f.cfg.Linger)
	defer timer.Stop()
	select { // for more entries to send at once
	case <-timer.C:
	case <-ctx.Done():
	}
	return nil
}
