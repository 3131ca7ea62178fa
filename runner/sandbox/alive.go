package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A zygote outlives a parent that was killed by some milliseconds, on a busy machine by more: it reads the end of its
// socket, and the kernel then ends the calls. Whoever takes the run over meanwhile would find directories that somebody
// still fills, and in tiers without an overlay a tree that somebody still changes. So the zygote and the init of
// each call hold a lock (flock, shared) on a file, through a descriptor that they got from their parent and that the
// kernel closes when they end. Commands never have it.

// lockAlive opens the file of Config.Alive and locks it for whoever inherits the descriptor.
func lockAlive(path string) (*os.File, error) {
	if path == "" {
		return os.Open(os.DevNull) // the number of the descriptor is taken in any case
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the helper's lock: %w", err)
	}
	if err := flock(f, unix.LOCK_SH); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return f, nil
}

// AwaitEnd returns when no process holds the lock of Config.Alive any more. The error of a context that ends before
// says that some still do. A file that is not there is held by nobody.
func AwaitEnd(ctx context.Context, alive string) error {
	f, err := os.OpenFile(alive, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open the helper's lock: %w", err)
	}
	defer f.Close()
	tick := time.NewTicker(5 * time.Millisecond) // a blocking flock could not be given up
	defer tick.Stop()
	for {
		err := flock(f, unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return fmt.Errorf("lock %s: %w", alive, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for processes that hold %s: %w", alive, context.Cause(ctx))
		}
	}
}

func flock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); err != unix.EINTR {
			return err
		}
	}
}
