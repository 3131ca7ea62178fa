package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// errLocked means that another open file holds the lock.
var errLocked = errors.New("locked")

// tryLock opens path and locks it. The kernel lets go when the last copy of the descriptor is closed,
// also that of a child which inherited it.
func tryLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return f, nil
	}
	f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, errLocked
	}
	return nil, fmt.Errorf("lock %s: %w", path, err)
}

// lockRetry is how often a lock that is held is tried again: flock can wait only without a context.
const lockRetry = 50 * time.Millisecond

// waitLock is tryLock that waits. waiting is called once, if there is something to wait for.
func waitLock(ctx context.Context, path string, waiting func()) (*os.File, error) {
	for {
		f, err := tryLock(path)
		if !errors.Is(err, errLocked) {
			return f, err
		}
		if waiting != nil {
			waiting()
			waiting = nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the lock %s: %w", path, ctx.Err())
		case <-time.After(lockRetry):
		}
	}
}

// own locks the engine's directory for this process and writes its id into the lock.
func own(dir string) (*os.File, error) {
	path := dir + "/lock"
	f, err := tryLock(path)
	if errors.Is(err, errLocked) {
		text, _ := os.ReadFile(path)
		pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
		return nil, &InUseError{dir, pid}
	}
	if err != nil {
		return nil, err
	}
	if err := f.Truncate(0); err != nil {
		f.Close()
		return nil, err
	}
	if _, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
