package spans

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"tachograph/schemas/journal"
)

// Limits of one request: spans, and bytes as [size] estimates them.
const (
	maxBatch      = 256
	maxBatchBytes = 2 << 20
)

// follower sends the spans of one run. One goroutine uses it.
type follower struct {
	*Exporter
	run Source
	log *slog.Logger

	projector *projector
	maker     *maker
	next      int64        // entries 0 … next−1 were projected, and their spans are sent or in batch
	tip       journal.Hash // of the entry before next
	ended     bool         // run.ended is among them

	batch []sdktrace.ReadOnlySpan
	bytes int
	most  int // spans of the next request: fewer after refusals
}

func newFollower(e *Exporter, run Source) *follower {
	id := run.ID()
	return &follower{Exporter: e, run: run, log: e.cfg.Log.With("run", id), projector: newProjector(id),
		maker: newMaker(id, run, e.settings, e.resource), most: maxBatch}
}

// main follows the run to its end, or until the Exporter is closed. Whatever goes wrong, the journal
// keeps what was not sent.
func (f *follower) main() {
	err := f.follow()
	if f.hints != nil {
		f.hints.forget(f.run.ID())
	}
	switch {
	case f.closing() && (err != nil || len(f.batch) > 0):
		f.log.Info("spans are left to be sent by the next process", "entry", f.next, "cause", err)
	case err != nil:
		f.log.Error("spans of the run are not sent any more", "error", err)
	}
	if err := f.maker.close(context.Background()); err != nil {
		f.log.Warn("close tracer", "error", err)
	}
}

// errClosing says that the Exporter is being closed and a receiver does not take the rest.
var errClosing = errors.New("closing")

func (f *follower) follow() error {
	sent, err := readCursor(f.cfg.Dir, f.run.ID())
	if err != nil {
		f.log.Warn("cursor cannot be used: the run's spans are sent again", "error", err)
	}
	if sent.ended {
		return nil
	}
	if err := f.catchUp(sent); err != nil {
		return err
	}
	for {
		last := f.closing() // looked at before reading: what was durable when Close began is sent
		if err := f.readOn(); err != nil {
			return err
		}
		f.showOpen()
		if err := f.flush(); err != nil {
			return err
		}
		if f.ended || last {
			return nil
		}
		more, err := f.await()
		if err != nil {
			return err
		}
		if more && !f.ended {
			f.showOpen()
			f.linger()
		}
	}
}

// showOpen shows what is open now. Nothing is shown while entries of the past are read, nor of a
// span that ends before f looks again.
func (f *follower) showOpen() {
	if f.hints != nil {
		f.hints.see(f.run.ID(), f.projector.open())
	}
}

func (f *follower) closing() bool { return f.following.Err() != nil }

// catchUp projects the entries whose spans were sent, to know what is open after them. A cursor that
// is not of this journal counts for nothing.
func (f *follower) catchUp(sent cursor) error {
	if sent.next == 0 {
		return nil
	}
	for line, err := range f.run.Entries(f.working, 0) {
		if err != nil {
			return fmt.Errorf("catch up: %w", err)
		}
		if _, _, err := f.projector.project(line); err != nil {
			return err
		}
		if f.next++; f.next == sent.next {
			f.tip = journal.HashEntry(line)
			break
		}
	}
	if f.next != sent.next || f.tip != sent.tip {
		f.log.Warn("cursor is of another journal: the run's spans are sent again", "cursor", sent.next)
		f.projector, f.next, f.tip = newProjector(f.run.ID()), 0, journal.Hash{}
	}
	return nil
}

// readOn takes the entries that are durable now.
func (f *follower) readOn() error {
	for line, err := range f.run.Entries(f.working, f.next) {
		if err != nil {
			return fmt.Errorf("read entries: %w", err)
		}
		if err := f.take(line); err != nil {
			return err
		}
		if f.ended {
			return nil
		}
	}
	return nil
}

// await waits for the next entry and takes it. more is false if none will come, or f is closing.
func (f *follower) await() (more bool, err error) {
	for line, err := range f.run.Follow(f.following, f.next) {
		switch {
		case f.closing():
			return false, nil
		case err != nil:
			return false, fmt.Errorf("follow: %w", err)
		}
		return true, f.take(line)
	}
	if !f.closing() {
		return false, errors.New("follow: the journal ends without run.ended")
	}
	return false, nil
}

// linger waits for more spans to send at once.
func (f *follower) linger() {
	if f.settings.delay == 0 {
		return
	}
	timer := time.NewTimer(f.settings.delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-f.following.Done():
	}
}

// take projects one entry and puts the spans that it closes into the batch.
func (f *follower) take(line []byte) error {
	closed, ended, err := f.projector.project(line)
	if err != nil {
		return err
	}
	for i := range closed {
		made, size, err := f.maker.make(f.working, &closed[i])
		if err != nil {
			return err
		}
		if len(f.batch) == maxBatch || len(f.batch) > 0 && f.bytes+size > maxBatchBytes {
			if err := f.flush(); err != nil {
				return err
			}
		}
		f.batch = append(f.batch, made)
		f.bytes += size
	}
	f.next, f.tip, f.ended = f.next+1, journal.HashEntry(line), ended
	return nil
}

// flush sends the batch, however long it takes, and then moves the cursor.
// Invariant: the cursor moves after the receiver's success, never before.
func (f *follower) flush() error {
	if len(f.batch) == 0 {
		return nil
	}
	if err := f.send(); err != nil {
		return err
	}
	f.batch, f.bytes = nil, 0
	if f.next == 0 {
		return nil
	}
	if err := (cursor{f.run.ID(), f.next, f.tip, f.ended}).write(f.cfg.Dir); err != nil {
		f.log.Warn("spans that were sent will be sent again after a restart", "error", err)
	}
	return nil
}

// Back-off between two requests that failed.
const (
	backoffFirst = time.Second
	backoffMost  = time.Minute
)

// send sends the batch, in smaller pieces where it is refused again and again.
func (f *follower) send() error {
	wait := backoffFirst
	for failures := 0; len(f.batch) > 0; {
		n := min(f.most, len(f.batch))
		err := f.request(f.batch[:n])
		if err == nil {
			if failures > 0 {
				f.log.Info("spans are sent again")
			}
			f.batch, f.most = f.batch[n:], min(f.most*2, maxBatch)
			failures, wait = 0, backoffFirst
			continue
		}
		if f.closing() {
			return errClosing
		}
		if failures%10 == 0 {
			f.log.Warn("spans cannot be sent; the journal keeps them", "error", err, "again_in", wait)
		}
		if failures++; failures%3 == 0 {
			f.most = max(n/2, 1)
		}
		select {
		case <-f.cfg.After(wait):
		case <-f.following.Done(): // one last try
		}
		wait = min(wait*2, backoffMost)
	}
	return nil
}

// request sends spans once (the SDK's exporter may try several times).
func (f *follower) request(spans []sdktrace.ReadOnlySpan) error {
	select {
	case f.turn <- struct{}{}:
	case <-f.working.Done():
		return f.working.Err()
	}
	defer func() { <-f.turn }()
	err := f.out.ExportSpans(f.working, spans)
	if err != nil && isPartial(err) {
		f.log.Error("the receiver took the request but not all of its spans", "error", err)
		return nil
	}
	return err
}

// isPartial tells OTLP's partial success, after which a request must not be sent again. The SDK's
// type for it is internal; its text is all that can be seen.
func isPartial(err error) bool { return strings.Contains(err.Error(), "OTLP partial success") }
