package workspace

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// folder is an open directory. Every name handed to its methods is one component, and none of them
// follows a symbolic link: this is what keeps the package inside a directory whatever happens in it.
type folder struct{ fd int }

// Depth of directories that is followed. A path of PATH_MAX bytes has at most so many components;
// each level holds a descriptor.
const maxDepth = 2048

const permBits = 0o7777

// openTop opens a directory by its path, which the caller vouches for: links are followed.
func openTop(path string) (folder, error) {
	fd, err := retry(func() (int, error) {
		return unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return folder{-1}, &fs.PathError{Op: "open directory", Path: path, Err: err}
	}
	return folder{fd}, nil
}

func (f folder) close() { unix.Close(f.fd) }

// open opens the directory name.
func (f folder) open(name string) (folder, error) {
	fd, err := f.openat(name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	return folder{fd}, err
}

// openFile opens a file for reading. O_NONBLOCK: should the file have become a FIFO, no waiting.
func (f folder) openFile(name string) (int, error) {
	return f.openat(name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK)
}

// create makes a file that is not there yet and opens it for writing, private to its owner.
func (f folder) create(name string) (int, error) {
	fd, err := retry(func() (int, error) {
		return unix.Openat(f.fd, name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	})
	return fd, wrap("create", name, err)
}

func (f folder) openat(name string, flags int) (int, error) {
	fd, err := retry(func() (int, error) { return unix.Openat(f.fd, name, flags|unix.O_CLOEXEC, 0) })
	return fd, wrap("open", name, err)
}

func (f folder) stat(name string) (unix.Stat_t, error) {
	var st unix.Stat_t
	_, err := retry(func() (int, error) {
		return 0, unix.Fstatat(f.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	})
	return st, wrap("stat", name, err)
}

func (f folder) readlink(name string) (string, error) {
	buf := make([]byte, 4096)
	n, err := retry(func() (int, error) { return unix.Readlinkat(f.fd, name, buf) })
	if err != nil {
		return "", wrap("read link", name, err)
	}
	return string(buf[:n]), nil
}

func (f folder) symlink(target, name string) error {
	return wrap("make link", name, unix.Symlinkat(target, f.fd, name))
}

func (f folder) mkdir(name string) error {
	return wrap("make directory", name, unix.Mkdirat(f.fd, name, 0o700))
}

func (f folder) unlink(name string) error {
	return wrap("remove", name, unix.Unlinkat(f.fd, name, 0))
}

func (f folder) rmdir(name string) error {
	return wrap("remove directory", name, unix.Unlinkat(f.fd, name, unix.AT_REMOVEDIR))
}

// rename moves name into the folder to, replacing a file that is there.
func (f folder) rename(name string, to folder, newName string) error {
	return wrap("rename", name, unix.Renameat(f.fd, name, to.fd, newName))
}

// chmod sets the permission bits of an entry that is no link.
func (f folder) chmod(name string, mode uint32) error {
	return wrap("set permissions of", name, chmodNoFollow(f.fd, name, mode))
}

// chown gives the entry, also a link, to uid and a group of the same number; -1 leaves it.
func (f folder) chown(name string, uid int) error {
	if uid < 0 {
		return nil
	}
	return wrap("give away", name, unix.Fchownat(f.fd, name, uid, uid, unix.AT_SYMLINK_NOFOLLOW))
}

// list returns the names in the folder in byte order.
func (f folder) list() ([]string, error) {
	if _, err := unix.Seek(f.fd, 0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read directory: %w", err)
	}
	var buf [8192]byte
	var names []string
	for {
		n, err := retry(func() (int, error) { return unix.ReadDirent(f.fd, buf[:]) })
		if err != nil {
			return nil, fmt.Errorf("read directory: %w", err)
		}
		if n <= 0 {
			break
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
	slices.Sort(names)
	return names, nil
}

// removeAll removes name and everything below it. It is no error if it is not there, nor if somebody
// else removes it at the same time, or still puts something into it for a while: a process that is being
// killed does both.
func (f folder) removeAll(name string) (err error) {
	const looks = 100 // who goes on for longer is alive
	for range looks {
		if err = f.removeOnce(name); !errors.Is(err, unix.ENOTEMPTY) {
			break
		}
	}
	if isAbsent(err) {
		return nil
	}
	return err
}

// removeOnce is removeAll for a tree that nobody else touches.
func (f folder) removeOnce(name string) error {
	err := f.unlink(name)
	if err == nil || isAbsent(err) {
		return nil
	}
	// A directory: EISDIR on Linux, EPERM by POSIX. Anything else shows itself below.
	sub, err := f.openOwned(name)
	if err != nil {
		return err
	}
	defer sub.close()
	if err := sub.clear(); err != nil {
		return fmt.Errorf("in %q: %w", name, err)
	}
	return f.rmdir(name)
}

// clear removes everything in the folder.
func (f folder) clear() error {
	names, err := f.list()
	if isAbsent(err) {
		return nil // the folder itself was removed
	}
	for _, name := range names {
		if err = f.removeAll(name); err != nil {
			return err
		}
	}
	return err
}

// openOwned opens a directory for reading and changing, and gives its owner the permission for it
// where a tool took it away. The caller sets the permissions that it should have in the end.
func (f folder) openOwned(name string) (folder, error) {
	sub, err := f.open(name)
	if errors.Is(err, fs.ErrPermission) {
		if err := f.chmod(name, 0o700); err != nil {
			return folder{-1}, err
		}
		return f.open(name)
	}
	if err != nil {
		return sub, err
	}
	return sub, sub.makeWritable()
}

// makeWritable gives the owner all permissions of the folder. Root needs none.
func (f folder) makeWritable() error {
	if os.Geteuid() == 0 {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(f.fd, &st); err != nil {
		return fmt.Errorf("stat directory: %w", err)
	}
	if mode := permsOf(&st); mode&0o700 != 0o700 {
		return wrap("set permissions of", "directory", unix.Fchmod(f.fd, mode|0o700))
	}
	return nil
}

// seal gives an entry made by us its owner and its permission bits, in this order, because a
// change of the owner takes setuid away.
func seal(fd int, uid int, mode uint32) error {
	if uid >= 0 {
		if err := unix.Fchown(fd, uid, uid); err != nil {
			return fmt.Errorf("give away: %w", err)
		}
	}
	if err := unix.Fchmod(fd, mode); err != nil {
		return fmt.Errorf("set permissions: %w", err)
	}
	return nil
}

// identity names a file on this machine as long as it exists.
type identity struct{ dev, ino uint64 }

func identityOf(st *unix.Stat_t) identity { return identity{uint64(st.Dev), uint64(st.Ino)} }

func (f folder) identity() (identity, error) {
	var st unix.Stat_t
	err := unix.Fstat(f.fd, &st)
	return identityOf(&st), wrap("stat", "directory", err)
}

func typeOf(st *unix.Stat_t) uint32  { return uint32(st.Mode) & unix.S_IFMT }
func permsOf(st *unix.Stat_t) uint32 { return uint32(st.Mode) & permBits }
func isDir(st *unix.Stat_t) bool     { return typeOf(st) == unix.S_IFDIR }

// isWhiteout: overlayfs marks a deleted name in the upper directory by a character device 0:0.
func isWhiteout(st *unix.Stat_t) bool { return typeOf(st) == unix.S_IFCHR && st.Rdev == 0 }

func isDevice(st *unix.Stat_t) bool {
	return !isWhiteout(st) && (typeOf(st) == unix.S_IFCHR || typeOf(st) == unix.S_IFBLK)
}

func wrap(verb, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: verb, Path: strconv.Quote(name), Err: err}
}

// retry repeats a system call that a signal interrupted, as the os package does.
func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != unix.EINTR {
			return n, err
		}
	}
}

// absolute is the path by which error messages name a directory.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}
