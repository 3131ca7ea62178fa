package gate

import "context"

// treeLock lets calls that only read the tree run side by side and those that may change it one at a
// time. Unlike sync.RWMutex it can be given up while waiting. A writer takes every place, one after
// the other, so it waits for readers only as long as those that are there already.
type treeLock struct {
	turn   chan struct{} // held by the writer, and by a reader while it takes its place
	places chan struct{}
}

// readers is how many calls may read at once.
const readers = 16

func newTreeLock() *treeLock {
	return &treeLock{make(chan struct{}, 1), make(chan struct{}, readers)}
}

// take waits for the tree and returns what gives it back.
func (l *treeLock) take(ctx context.Context, write bool) (release func(), err error) {
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	want := 1
	if write {
		want = readers
	}
	for got := range want {
		select {
		case l.places <- struct{}{}:
		case <-ctx.Done():
			l.leave(got)
			<-l.turn
			return nil, context.Cause(ctx)
		}
	}
	if !write {
		<-l.turn
		return func() { l.leave(1) }, nil
	}
	return func() { l.leave(readers); <-l.turn }, nil
}

func (l *treeLock) leave(places int) {
	for range places {
		<-l.places
	}
}
