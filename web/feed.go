package web

import (
	"context"
	"sync"
	"time"

	"tachograph/replay"
	"tachograph/runner"
	"tachograph/schemas/journal"
)

// feed copies what happens between entries to whoever watches that run. A listener that is too slow
// misses some: what matters is in the journal, and the agent must not wait for an onlooker.
type feed struct {
	mu        sync.Mutex
	listeners map[chan runner.Live]journal.RunID
}

func newFeed() *feed { return &feed{listeners: map[chan runner.Live]journal.RunID{}} }

func (f *feed) publish(l runner.Live) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c, run := range f.listeners {
		if run != l.Run {
			continue
		}
		select {
		case c <- l:
		default:
		}
	}
}

func (f *feed) subscribe(run journal.RunID) (<-chan runner.Live, func()) {
	c := make(chan runner.Live, 256)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.listeners[c] = run
	return c, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.listeners, c)
	}
}

// listCache is the list of runs as all live streams together read it: at most once each listAge, one of
// them for all.
type listCache struct {
	read  func(context.Context) ([]replay.Run, error)
	clock func() time.Time

	turn chan struct{} // holds a token while somebody reads or looks; a reading may hang, so who waits can leave
	at   time.Time
	runs []replay.Run
}

func newListCache(read func(context.Context) ([]replay.Run, error), clock func() time.Time) *listCache {
	return &listCache{read: read, clock: clock, turn: make(chan struct{}, 1)}
}

const listAge = 250 * time.Millisecond

func (l *listCache) get(ctx context.Context) ([]replay.Run, error) {
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-l.turn }()
	if now := l.clock(); l.at.IsZero() || now.Sub(l.at) >= listAge || now.Before(l.at) {
		runs, err := l.read(ctx)
		if err != nil {
			return nil, err
		}
		l.at, l.runs = now, runs
	}
	return l.runs, nil
}
