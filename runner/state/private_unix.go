//go:build unix

package state

import (
	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// private lets only the owner read the file, before anything is in it.
func private(f vfs.File) error {
	if f.Fd() == vfs.InvalidFd {
		return nil // a file system in memory
	}
	return unix.Fchmod(int(f.Fd()), 0o600)
}
