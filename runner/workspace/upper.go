package workspace

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"tachograph/schemas/journal"
)

// What overlayfs keeps in an upper directory, and with which this file deals: a deleted name is a
// character device 0:0 (whiteout); a directory that hides the lower one of the same name has the
// attribute opaque = "y"; what was changed is there as a whole. With the mount option userxattr
// attributes are user.overlay.*, else trusted.overlay.*, which only root can read.
const (
	userOverlay    = "user.overlay."
	trustedOverlay = "trusted.overlay."
)

// errRedirect: the overlay was mounted so that its upper directory alone does not say what changed.
var errRedirect = errors.New("refers to the lower directory; mount the overlay with redirect_dir=off,metacopy=off")

func hasOverlayAttr(fd int, name string, isTrue func(value string) bool) bool {
	var value [256]byte
	for _, prefix := range [2]string{userOverlay, trustedOverlay} {
		if n, err := unix.Fgetxattr(fd, prefix+name, value[:]); err == nil && isTrue(string(value[:n])) {
			return true
		}
	}
	return false
}

func isOpaque(f folder) bool {
	return hasOverlayAttr(f.fd, "opaque", func(v string) bool { return v == "y" })
}

// dropOpaque keeps the mark of an upper directory out of the tree, where it means nothing.
func dropOpaque(f folder) {
	for _, prefix := range [2]string{userOverlay, trustedOverlay} {
		// Without it, or on a file system without attributes, there is nothing to drop.
		_ = unix.Fremovexattr(f.fd, prefix+"opaque")
	}
}

func anyValue(string) bool { return true }

func refuseMetacopy(fd int) error {
	if hasOverlayAttr(fd, "metacopy", anyValue) {
		return fmt.Errorf("file in upper directory: %w", errRedirect)
	}
	return nil
}

// upperDir says what the directory f of an upper together with base below it comes to. last is what
// an earlier look at the same upper found: files that are still the same are not read again.
func (o *observer) upperDir(f folder, p string, depth int, base, last *dir) (*dir, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("directory %q: nested more than %d deep", clip(p), maxDepth)
	}
	names, err := f.list()
	if err != nil {
		return nil, fmt.Errorf("%q: %w", clip(p), err)
	}
	return rebuild(base, names, func(name string, was *entry, d *dir) error {
		return o.upperEntry(f, p, depth, name, was, last.find(name), d)
	})
}

func (o *observer) upperEntry(f folder, p string, depth int, name string, base, last *entry, d *dir) error {
	st, err := f.stat(name)
	if err != nil {
		return fmt.Errorf("in %q: %w", clip(p), err)
	}
	if isWhiteout(&st) || isDevice(&st) {
		if isDevice(&st) {
			o.devices++
		}
		d.foreign = true
		o.meter.step()
		return nil
	}
	below := join(p, name)
	if !isDir(&st) || o.leavesOut(below, &st) != 0 {
		return o.entry(f, p, depth, name, last, d)
	}
	e := entry{DirEntry: journal.DirEntry{Name: name, Type: journal.TypeDir, Mode: permsOf(&st)}}
	sub, restore, err := o.openDir(f, &e)
	if err != nil {
		return fmt.Errorf("in %q: %w", clip(p), err)
	}
	defer sub.close()
	if hasOverlayAttr(sub.fd, "redirect", anyValue) {
		return fmt.Errorf("directory %q in upper directory: %w", clip(below), errRedirect)
	}
	var baseDir, lastDir *dir
	if base != nil && !isOpaque(sub) {
		baseDir = base.dir
	}
	if last != nil {
		lastDir = last.dir
	}
	if e.dir, err = o.upperDir(sub, below, depth+1, baseDir, lastDir); err != nil {
		return err
	}
	d.foreign = d.foreign || e.dir.foreign
	d.entries = append(d.entries, e)
	o.meter.step()
	return restore()
}

// mover brings an upper directory into the tree.
type mover struct {
	meter *meter
}

// merge moves everything in the directory up into the directory to. next is the index of the result,
// whose stamps it forgets where a file moved, because that changes ctime; nil where the index does
// not reach, below what is left out.
func (m mover) merge(up, to folder, next *dir) error {
	if err := errors.Join(up.makeWritable(), to.makeWritable()); err != nil {
		return err
	}
	names, err := up.list()
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := m.move(up, to, name, next); err != nil {
			return err
		}
		m.meter.step()
	}
	if next != nil {
		next.foreign = false
	}
	return nil
}

func (m mover) move(up, to folder, name string, next *dir) error {
	st, err := up.stat(name)
	switch {
	case err != nil:
		return err
	case isWhiteout(&st), isDevice(&st): // a device is never brought into the tree, but hides what is there
		return to.removeAll(name)
	case isDir(&st):
		return m.moveDir(up, to, name, permsOf(&st), next.find(name))
	}
	if e := next.find(name); e != nil {
		e.stamp = stamp{}
	}
	if there, err := to.stat(name); err == nil && isDir(&there) {
		if err := to.removeAll(name); err != nil {
			return err
		}
	}
	return up.rename(name, to, name)
}

// moveDir merges an upper directory with the one in the tree, or moves it there as a whole if it
// stands alone.
func (m mover) moveDir(up, to folder, name string, mode uint32, e *entry) error {
	from, err := up.openOwned(name)
	if err != nil {
		return err
	}
	defer from.close()
	var next *dir
	if e != nil {
		next = e.dir
	}
	there, err := to.stat(name)
	alone := err != nil || !isDir(&there) || isOpaque(from)
	if alone {
		if err := to.removeAll(name); err != nil {
			return err
		}
		if next != nil && !next.foreign {
			dropOpaque(from)
			if err := up.rename(name, to, name); err != nil {
				return err
			}
			return wrap("set permissions of", name, unix.Fchmod(from.fd, mode))
		}
		if err := to.mkdir(name); err != nil {
			return err
		}
	}
	into, err := to.openOwned(name)
	if err != nil {
		return err
	}
	defer into.close()
	if err := m.merge(from, into, next); err != nil {
		return fmt.Errorf("in %q: %w", name, err)
	}
	return m.adopt(from, into, mode)
}

// adopt gives a directory of the tree the owner and the permissions of the upper one.
func (m mover) adopt(from, into folder, mode uint32) error {
	var st, there unix.Stat_t
	if err := errors.Join(unix.Fstat(from.fd, &st), unix.Fstat(into.fd, &there)); err != nil {
		return fmt.Errorf("stat directory: %w", err)
	}
	if st.Uid != there.Uid || st.Gid != there.Gid {
		if err := unix.Fchown(into.fd, int(st.Uid), int(st.Gid)); err != nil {
			return fmt.Errorf("give away directory: %w", err)
		}
	}
	if err := unix.Fchmod(into.fd, mode); err != nil {
		return fmt.Errorf("set permissions of directory: %w", err)
	}
	return nil
}
