package state

import (
	"errors"
	"fmt"
	"io/fs"
)

var (
	// ErrLocked means that another process owns the directory; the caller speaks to it instead.
	// The error in the chain that matches it is a *LockedError, which names it.
	ErrLocked = errors.New("directory is owned by another process")

	// ErrNotFound means that there is no such run, entry, content or object; the caller shows that.
	// It matches fs.ErrNotExist too, which is what runner/workspace looks for.
	ErrNotFound error = notFound{}

	// ErrErased means that a family was removed: its proofs may still be read, what it said is gone.
	ErrErased = errors.New("erased")

	// ErrFull means that the store is over its mark; the caller pauses and waits (see [Store.Room]).
	// The error in the chain that matches it is a *FullError.
	ErrFull = errors.New("store is full")

	// ErrBroken means that the disk failed. The caller ends the process: what was acknowledged is
	// safe, what was being written is unknown until the directory is opened again.
	ErrBroken = errors.New("store is broken by an error of the disk: end the process and start it again")

	// ErrClosed means that Close was called.
	ErrClosed = errors.New("store is closed")
)

type notFound struct{}

func (notFound) Error() string        { return "not found" }
func (notFound) Is(target error) bool { return target == fs.ErrNotExist }

// LockedError says who owns a directory. PID is 0 if that is not known.
type LockedError struct {
	Dir string
	PID int
}

func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("%s: owned by another process", e.Dir)
	}
	return fmt.Sprintf("%s: owned by process %d; stop it, or speak to it", e.Dir, e.PID)
}

func (e *LockedError) Is(target error) bool { return target == ErrLocked }

// FullError says by how much the store is over its mark. Bytes throughout.
type FullError struct {
	Used, Mark int64 // of the store; Mark 0 when there is no quota
	Free       int64 // to be freed before new work may begin
}

func (e *FullError) Error() string {
	if e.Mark == 0 {
		return fmt.Sprintf("the disk of the data directory is full: free %d bytes, or remove runs with `tacho rm`", e.Free)
	}
	return fmt.Sprintf("the data directory is full: %d bytes are used, and new work begins below %d (a sixteenth less than --quota); "+
		"free %d with `tacho rm RUN`, or give a larger --quota", e.Used, e.Mark, e.Free)
}

func (e *FullError) Is(target error) bool { return target == ErrFull }
