//go:build amd64 || arm64

package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// Where the zygote keeps what overlays are made of; each call covers it with emptyDir before any foreign code runs.
const (
	emptyDir      = "/.empty"
	hiddenTree    = hidden + "/tree"
	hiddenScratch = hidden + "/scratch"
)

// buildRoot makes the root directory that calls see and moves this process into it. fds belong to l.Binds.
func buildRoot(l layout, fds []int) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return refuse(featureMounts, "make mounts private", err)
	}
	// All sources are opened before the new root covers any of them.
	for i, b := range l.Binds {
		if b.Detached {
			continue
		}
		fd, err := detach(b, fds[i])
		if err != nil {
			return refuse(featureMounts, "bind "+b.Source, err)
		}
		unix.Close(fds[i])
		fds[i] = fd
	}
	root, err := stagingDirectory()
	if err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", root, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=4m,mode=755"); err != nil {
		return refuse(featureMounts, "mount tmpfs", err)
	}
	if err := attachAll(root, l.Binds, fds); err != nil {
		return err
	}
	if err := furnish(root, l); err != nil {
		return refuse(featureMounts, "furnish root directory", err)
	}
	// A call may mount proc only where a complete one is visible already, and this one is what its own will cover.
	if err := unix.Mount("proc", root+"/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return refuse(featureProc, "mount proc", err)
	}
	return enter(root)
}

// stagingDirectory is any directory: the new root covers it, in this mount namespace only, until it becomes "/".
func stagingDirectory() (string, error) {
	for _, d := range []string{"/tmp", "/mnt", "/usr"} {
		if st, err := os.Lstat(d); err == nil && st.IsDir() {
			return d, nil
		}
	}
	return "", refuse(featureMounts, "find a directory to mount on", errors.New("none of /tmp, /mnt, /usr is one"))
}

// detach makes a detached mount of what the parent could only name. The kernel does not clone the parent's descriptor
// here, in another mount namespace (EINVAL), so the path is opened again and compared with it.
func detach(b bind, want int) (int, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, b.Source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return -1, err
	}
	if err := sameFile(want, fd); err != nil {
		unix.Close(fd)
		return -1, err
	}
	attr := unix.MountAttr{Attr_set: b.Use.attributes()}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &attr); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// attachAll moves the detached mounts to their places, outer ones first, and closes their descriptors.
func attachAll(root string, binds []bind, fds []int) error {
	order := make([]int, len(binds))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return len(binds[a].Target) - len(binds[b].Target) })
	for _, i := range order {
		target := root + binds[i].Target
		if err := makeMountPoint(fds[i], target); err != nil {
			return refuse(featurePaths, "make a place for "+binds[i].Target, err)
		}
		err := unix.MoveMount(fds[i], "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH)
		unix.Close(fds[i])
		if err != nil {
			return refuse(featureMounts, "attach "+binds[i].Target, err)
		}
	}
	return nil
}

// makeMountPoint makes an empty directory, or file, to mount the thing that fd is on.
func makeMountPoint(fd int, target string) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return os.MkdirAll(target, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(target, os.O_CREATE|os.O_RDONLY, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

// furnish writes the few files and links of the root that are its own. Host files of the same name would tell who uses
// the machine, or name services that only work on it.
func furnish(root string, l layout) error {
	id := l.InnerUID
	files := map[string]string{
		"/etc/passwd":        fmt.Sprintf("agent:x:%d:%d::%s:/bin/bash\n", id, id, l.Home),
		"/etc/group":         fmt.Sprintf("agent:x:%d:\n", id),
		"/etc/hosts":         "127.0.0.1 localhost sandbox\n::1 localhost\n",
		"/etc/hostname":      "sandbox\n",
		"/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
	}
	for _, d := range []string{"/etc", "/proc", "/dev/shm", "/var", emptyDir} {
		if err := os.MkdirAll(root+d, 0o755); err != nil {
			return err
		}
	}
	for name, text := range files {
		if err := os.WriteFile(root+name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	links := append([]link{
		{"/dev/fd", "/proc/self/fd"}, {"/dev/stdin", "/proc/self/fd/0"}, {"/dev/stdout", "/proc/self/fd/1"},
		{"/dev/stderr", "/proc/self/fd/2"}, {"/var/tmp", "/tmp"},
	}, l.Links...)
	for _, n := range links {
		if err := os.Symlink(n.Target, root+n.Name); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}

// enter makes root the root directory of this mount namespace, drops the old one and forbids writing.
func enter(root string) error {
	if err := unix.Chdir(root); err != nil {
		return refuse(featureMounts, "enter root directory", err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return refuse(featureMounts, "pivot root", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return refuse(featureMounts, "detach old root", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return refuse(featureMounts, "enter root directory", err)
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV}
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", 0, &attr); err != nil {
		return refuse(featureMounts, "make root read-only", err)
	}
	return nil
}
