package workspace

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tachograph/schemas/journal"
)

// mender makes a directory on disk equal to a root: it reads of the objects, and touches of the
// disk, only what differs.
type mender struct {
	objs  Objects
	pool  *pool
	meter *meter
	uid   int    // owner of what is made, −1: leave
	mask  uint32 // permission bits that are set; others are dropped
	fresh []*entry
	RestoreReport
}

// RestoreReport says what a restore had to do.
type RestoreReport struct {
	Written int64    // files, links and directories made
	Removed int64    // entries that were removed, a directory with all below it as one
	Modes   int64    // entries of which only the permission bits were set
	Bytes   int64    // of the files written
	Missing []string // paths that could not be restored, in order: their bytes are not kept
}

func newMender(ctx context.Context, objs Objects, o Options, uid int, mask uint32) *mender {
	return &mender{objs: objs, pool: newPool(ctx, objs), meter: newMeter(o, StageWrite, 0), uid: uid, mask: mask}
}

// finish waits for the files that are being written, and settles the stamps of what was made:
// nobody else writes to the tree, so what is older than the clock's granule by now has not changed
// since.
func (m *mender) finish(walked error) error {
	err := m.pool.wait(walked)
	settleAll(m.fresh)
	return err
}

func settleAll(entries []*entry) {
	now := time.Now()
	for _, e := range entries {
		e.stamp = e.stamp.settled(now)
	}
}

// dir makes f, which holds cur, hold want. The result is the index of what it then holds: want,
// unless something is missing.
func (m *mender) dir(f folder, p string, depth int, cur, want *dir) (*dir, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("directory %q: nested more than %d deep", clip(p), maxDepth)
	}
	for i := range cur.entries {
		if e := &cur.entries[i]; want.find(e.Name) == nil {
			if err := m.remove(f, e.Name); err != nil {
				return nil, fmt.Errorf("in %q: %w", clip(p), err)
			}
		}
	}
	d := &dir{left: slices.Clone(cur.left), entries: make([]entry, 0, len(want.entries))}
	for i := range want.entries {
		e := &want.entries[i]
		if cur.leaves(e.Name) != 0 {
			if err := m.remove(f, e.Name); err != nil {
				return nil, fmt.Errorf("in %q: %w", clip(p), err)
			}
			d.left = slices.DeleteFunc(d.left, func(l leftOut) bool { return l.name == e.Name })
		}
		if err := m.entry(f, p, depth, cur.find(e.Name), e, d); err != nil {
			return nil, fmt.Errorf("in %q: %w", clip(p), err)
		}
	}
	return d, nil
}

func (m *mender) remove(f folder, name string) error {
	err := f.removeAll(name)
	m.Removed++
	m.meter.step()
	return err
}

// entry makes one name be as want says and appends it to d; if its bytes are missing, cur stays.
func (m *mender) entry(f folder, p string, depth int, cur, want *entry, d *dir) error {
	if err := m.pool.err(); err != nil {
		return err
	}
	if cur != nil && cur.Type == want.Type && cur.Object == want.Object && cur.Target == want.Target {
		if ok, err := m.keep(f, cur, want, d); ok || err != nil {
			return err
		}
	}
	if want.Type.IsFile() {
		has, err := m.objs.Has(m.pool.ctx, want.Object)
		if err != nil {
			return fmt.Errorf("look for object %s: %w", want.Object.Short(), err)
		}
		if !has {
			m.Missing = append(m.Missing, join(p, want.Name))
			if cur != nil {
				d.entries = append(d.entries, *cur)
			}
			return nil
		}
	}
	d.entries = append(d.entries, entry{DirEntry: want.DirEntry, lines: want.lines})
	e := &d.entries[len(d.entries)-1]
	m.meter.step()
	if want.Type == journal.TypeDir {
		return m.subdir(f, p, depth, cur, want, e)
	}
	if cur != nil {
		if err := f.removeAll(want.Name); err != nil {
			return err
		}
	}
	m.Written++
	m.fresh = append(m.fresh, e)
	if want.Type == journal.TypeLink {
		return m.link(f, e)
	}
	m.Bytes += want.Size
	return m.file(f, p, e)
}

// keep leaves an entry that is right but perhaps for its permission bits. It is not ok if the entry
// has to be made anew, because what it changed would show under another name too.
func (m *mender) keep(f folder, cur, want *entry, d *dir) (ok bool, err error) {
	e := *cur
	if cur.Mode != want.Mode {
		st, err := f.stat(want.Name)
		if err != nil || st.Nlink > 1 && want.Type.IsFile() {
			return false, err
		}
		if err := f.chmod(want.Name, want.Mode&m.mask); err != nil {
			return false, err
		}
		e.Mode = want.Mode
		e.stamp = stamp{} // chmod changed ctime
		m.Modes++
		m.meter.step()
	}
	d.entries = append(d.entries, e)
	return true, nil
}

func (m *mender) subdir(f folder, p string, depth int, cur, want, e *entry) error {
	sub, err := want.sub(m.pool.ctx, m.objs)
	if err != nil {
		return err
	}
	old, uid, made := &dir{}, -1, false
	if cur != nil && cur.dir != nil {
		old = cur.dir
	} else {
		if cur != nil {
			if err := f.removeAll(want.Name); err != nil {
				return err
			}
		}
		if err := f.mkdir(want.Name); err != nil {
			return err
		}
		m.Written++
		uid, made = m.uid, true
	}
	into, err := f.openOwned(want.Name)
	if err != nil {
		return err
	}
	defer into.close()
	if e.dir, err = m.dir(into, join(p, want.Name), depth+1, old, sub); err != nil {
		return err
	}
	if !made && cur.Mode == want.Mode && os.Geteuid() == 0 {
		return nil // nothing of it was changed on the way
	}
	return seal(into.fd, uid, want.Mode&m.mask)
}

func (m *mender) link(f folder, e *entry) error {
	if err := f.symlink(e.Target, e.Name); err != nil {
		return err
	}
	if err := f.chown(e.Name, m.uid); err != nil {
		return err
	}
	st, err := f.stat(e.Name)
	e.stamp = stampOf(&st)
	return err
}

func (m *mender) file(f folder, p string, e *entry) error {
	fd, err := f.create(e.Name)
	if err != nil {
		return err
	}
	p = join(p, e.Name)
	m.pool.do(func(ctx context.Context, _ *reader) error {
		defer unix.Close(fd)
		if err := ctx.Err(); err != nil {
			return err
		}
		return e.write(ctx, m.objs, fd, p, m.uid, m.mask)
	})
	return nil
}

// write fills a new file with the content of e and gives it its owner and permissions.
func (e *entry) write(ctx context.Context, objs Objects, fd int, p string, uid int, mask uint32) error {
	lines, err := writeContent(ctx, objs, &e.DirEntry, fd)
	if err == nil {
		err = seal(fd, uid, e.Mode&mask)
	}
	var st unix.Stat_t
	if err == nil {
		err = unix.Fstat(fd, &st)
	}
	if err != nil {
		return fmt.Errorf("write %q: %w", clip(p), err)
	}
	e.lines, e.stamp = lines, stampOf(&st)
	return nil
}

// plainMask drops setuid and setgid, which must not exist outside the managed tree.
const plainMask = permBits &^ (unix.S_ISUID | unix.S_ISGID)

// Materialise writes the tree root into dst, which is made if it does not exist and else must be
// empty. Everything gets the permission bits that the root says, but never setuid or setgid, and
// belongs to whoever runs this process. Report.Missing lists the files whose bytes are not kept;
// they are not made. Of o only Progress is used.
func Materialise(ctx context.Context, objs Objects, root journal.Object, dst string, o Options) (Report, error) {
	r, err := materialise(ctx, objs, root, dst, o)
	if err != nil {
		return r, fmt.Errorf("materialise %s in %s: %w", root.Short(), dst, err)
	}
	return r, nil
}

func materialise(ctx context.Context, objs Objects, root journal.Object, dst string, o Options) (Report, error) {
	var r Report
	top, err := makeEmpty(dst, 0o755)
	if err != nil {
		return r, err
	}
	defer top.close()
	want, err := loadDir(ctx, objs, root)
	if err != nil {
		return r, err
	}
	m := newMender(ctx, objs, o, -1, plainMask)
	d, err := m.dir(top, "", 0, &dir{}, want)
	if err := m.finish(err); err != nil {
		return r, err
	}
	d.census(&r)
	slices.SortFunc(m.Missing, strings.Compare)
	r.Missing = m.Missing
	return r, nil
}

// makeEmpty opens a directory that is to be filled, and makes it unless it is there and empty.
func makeEmpty(path string, mode os.FileMode) (folder, error) {
	if err := os.Mkdir(path, mode); err != nil && !os.IsExist(err) {
		return folder{-1}, err
	}
	f, err := openTop(path)
	if err != nil {
		return f, err
	}
	names, err := f.list()
	if err == nil && len(names) > 0 {
		err = &fs.PathError{Op: "fill directory", Path: path, Err: fmt.Errorf("it is not empty (%q)", names[0])}
	}
	if err != nil {
		f.close()
		return folder{-1}, err
	}
	return f, nil
}
