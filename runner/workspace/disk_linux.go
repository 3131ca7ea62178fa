package workspace

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// chmodNoFollow sets permission bits without opening the entry, which may forbid it. Before
// Linux 6.6 there is no fchmodat2, and the path is an O_PATH descriptor under /proc, which leads to
// exactly the inode that was opened.
func chmodNoFollow(dir int, name string, mode uint32) error {
	err := unix.Fchmodat(dir, name, mode, unix.AT_SYMLINK_NOFOLLOW)
	if !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EOPNOTSUPP) {
		return err
	}
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if typeOf(&st) == unix.S_IFLNK {
		return unix.ELOOP
	}
	return unix.Chmod(fmt.Sprintf("/proc/self/fd/%d", fd), mode)
}

// cloneFile lets two files share their blocks, where the file system can (btrfs, XFS, bcachefs).
func cloneFile(to, from int) error { return unix.IoctlFileClone(to, from) }

// flushFileSystem makes everything written on the file system of fd durable: one call for many files.
func flushFileSystem(fd int) error { return unix.Syncfs(fd) }
