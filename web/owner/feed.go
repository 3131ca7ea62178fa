package owner

import (
	"sync"

	"tachograph/runner"
)

// feed copies live events to whoever listens. A listener that is too slow misses some: what matters
// is in the journal, and the agent must not wait for an onlooker.
type feed struct {
	mu        sync.Mutex
	listeners map[chan runner.Live]bool
}

func newFeed() *feed { return &feed{listeners: map[chan runner.Live]bool{}} }

func (f *feed) publish(l runner.Live) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.listeners {
		select {
		case c <- l:
		default:
		}
	}
}

func (f *feed) subscribe() (<-chan runner.Live, func()) {
	c := make(chan runner.Live, 256)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.listeners[c] = true
	return c, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.listeners, c)
	}
}
