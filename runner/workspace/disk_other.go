//go:build !linux

package workspace

import "golang.org/x/sys/unix"

func chmodNoFollow(dir int, name string, mode uint32) error {
	return unix.Fchmodat(dir, name, mode, unix.AT_SYMLINK_NOFOLLOW)
}

func cloneFile(int, int) error { return unix.ENOTSUP }

func flushFileSystem(int) error { return unix.Sync() }
