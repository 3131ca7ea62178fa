package state

import (
	"context"
	"sync"
)

// tail is how far a run's entries are durable. Readers stop there, and wait there for more.
type tail struct {
	mu      sync.Mutex
	next    int64 // entries 0 … next−1 are durable
	ended   bool  // run.ended is among them
	err     error // no more will come
	changed chan struct{}
}

func (t *tail) at() (next int64, ended bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.next, t.ended
}

func (t *tail) advance(next int64, ended bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next, t.ended = max(t.next, next), t.ended || ended
	t.wake()
}

func (t *tail) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		t.err = err
	}
	t.wake()
}

func (t *tail) wake() {
	if t.changed != nil {
		close(t.changed)
		t.changed = nil
	}
}

// wait returns when at least next entries are durable, or the error why they will not be.
func (t *tail) wait(ctx context.Context, next int64) error {
	for {
		t.mu.Lock()
		if t.next >= next {
			t.mu.Unlock()
			return nil
		}
		if t.err != nil {
			defer t.mu.Unlock()
			return t.err
		}
		if t.changed == nil {
			t.changed = make(chan struct{})
		}
		changed := t.changed
		t.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
