package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const (
	firstDelay = 100 * time.Millisecond
	maxDelay   = 10 * time.Second
	// steadyAfter is how long an engine must have lived for the delays to begin anew.
	steadyAfter = time.Minute
)

// ErrClosed is returned by Wait when the engine was closed: nobody will answer any more.
var ErrClosed = errors.New("the engine is closed")

// lockChild takes the lock that a child holds as long as it lives.
func (e *Engine) lockChild(ctx context.Context) (*os.File, error) {
	ctx, cancel := context.WithTimeout(ctx, predecessorLimit)
	defer cancel()
	return waitLock(ctx, filepath.Join(e.dir, "child.lock"), func() {
		e.log.Info("waiting for an engine of an earlier process to end", "dir", e.dir)
	})
}

// start starts one child and returns when it answers. On an error there is none.
func (e *Engine) start(ctx context.Context) error {
	const what = "start ClickHouse in %s: %w"
	lock, err := e.lockChild(ctx)
	if err != nil {
		return fmt.Errorf(what, e.dir, err)
	}
	defer lock.Close()
	if err := writeConfig(e.dir, e.program.mode, e.access); err != nil {
		return fmt.Errorf(what, e.dir, err)
	}
	n, err := nextStart(e.dir)
	if err != nil {
		return fmt.Errorf(what, e.dir, err)
	}
	// Invariant: the number grows before the engine that it counts can answer.
	e.starts.Store(n)
	c, err := spawn(e.dir, e.program, e.access.Port, e.env, lock)
	if err != nil {
		return fmt.Errorf(what, e.dir, err)
	}
	e.mu.Lock()
	e.child = c
	e.mu.Unlock()
	if err := c.untilReady(ctx, e.access, e.program.mode); err != nil {
		c.end()
		if c.noLibrary() {
			err = fmt.Errorf("%w: %w", errNoLibrary, err)
		}
		return fmt.Errorf(what, e.dir, err)
	}
	e.log.Info("ClickHouse answers", "program", e.program.file, "port", e.access.Port, "start", n, "after", time.Since(c.since).Round(time.Millisecond))
	e.mu.Lock()
	close(e.up)
	e.mu.Unlock()
	return nil
}

// supervise starts the engine again whenever it ended, until Close. Clients notice refused connections
// meanwhile, and wait.
func (e *Engine) supervise() {
	defer close(e.ended)
	delay := firstDelay
	for {
		select {
		case <-e.life.Done():
			e.access.stopQueries()
			e.child.end()
			return
		case <-e.child.done:
		}
		e.child.lifeline.Close()
		e.down(e.child)
		e.log.Error("ClickHouse ended and is started again", "dir", e.dir, "error", e.child.failure())
		if time.Since(e.child.since) > steadyAfter {
			delay = firstDelay
		}
		for up := false; !up; delay = min(2*delay, maxDelay) {
			select {
			case <-e.life.Done():
				return
			case <-time.After(delay):
			}
			err := e.start(e.life)
			if up = err == nil; !up && e.life.Err() == nil {
				e.log.Error("ClickHouse cannot be started, trying again", "error", err)
			}
		}
	}
}

// down notes that c, if it is still the newest child, does not answer any more.
func (e *Engine) down(c *child) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.child != c {
		return
	}
	select {
	case <-e.up:
		e.up = make(chan struct{})
	default: // noted already
	}
}

// Wait returns nil as soon as the engine answers: at once, unless it is being restarted. It may have ended again since.
func (e *Engine) Wait(ctx context.Context) error {
	e.mu.Lock()
	up := e.up
	e.mu.Unlock()
	if e.life.Err() != nil {
		return ErrClosed
	}
	select {
	case <-e.life.Done():
		return ErrClosed
	case <-up:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for ClickHouse: %w", ctx.Err())
	}
}
