package embedded

import (
	"errors"
	"fmt"
)

// Unavailable is returned when this machine lacks what the engine needs. Nothing was left running. The caller shows
// it and ends with the exit status for a machine that lacks something.
type Unavailable struct {
	What   string // what could not be done
	Cause  error
	Remedy string // what the user can do
}

func (u *Unavailable) Error() string {
	return fmt.Sprintf("%s: %v; %s", u.What, u.Cause, u.Remedy)
}

func (u *Unavailable) Unwrap() error { return u.Cause }

// IsUnavailable says whether err means that this machine lacks something, as opposed to a failure.
func IsUnavailable(err error) bool {
	var u *Unavailable
	return errors.As(err, &u)
}

// withoutLibrary is the way out that is open to everybody who cannot have the library.
const withoutLibrary = "put a `clickhouse` binary on PATH, or name a running server with --clickhouse DSN"

// InUseError is returned by Open when another process owns the directory. The caller speaks to that
// process instead, or tells the user which one it is.
type InUseError struct {
	Dir string
	PID int // 0 if it could not be read
}

func (e *InUseError) Error() string {
	who := "another process"
	if e.PID != 0 {
		who = fmt.Sprintf("process %d", e.PID)
	}
	return fmt.Sprintf("open ClickHouse in %s: %s runs one there; stop it or choose another directory", e.Dir, who)
}
