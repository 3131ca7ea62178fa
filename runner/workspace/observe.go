package workspace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"time"

	"golang.org/x/sys/unix"

	"tachograph/schemas/journal"
)

// observer looks at a directory on disk and says what is there, as an index.
//
// It walks in one goroutine and hands open files to the pool's workers, which fill in their entries;
// so an index is complete only after finish.
type observer struct {
	scope
	pool  *pool
	meter *meter
	owned bool // the tree is ours: what a tool made unreadable is made readable for the moment
	upper bool // of an overlay: see upper.go
	reads int  // files that were handed to the pool

	notStored []string // paths of files that were read and not stored
	linked    bool     // a file that was read has several names, so that others may have changed with it
	devices   int64    // in an upper: they count as left out, and never come into the tree
}

// scope says what of a directory counts and what is stored.
type scope struct {
	ignore     rules
	secrets    rules
	captureAll bool
	exclude    []identity
}

func newScope(o Options, ignore string) scope {
	patterns := o.Secrets
	if patterns == nil {
		patterns = DefaultSecrets()
	}
	s := scope{ignore: parseRules(ignore), captureAll: o.CaptureAll}
	for _, p := range patterns {
		if r, ok := parseRule(p); ok {
			s.secrets = append(s.secrets, r)
		}
	}
	for _, p := range o.Exclude {
		if info, err := openTop(p); err == nil {
			if id, err := info.identity(); err == nil {
				s.exclude = append(s.exclude, id)
			}
			info.close()
		}
	}
	return s
}

// stores says whether the bytes of the file at path are stored.
func (s *scope) stores(p string) bool { return s.captureAll || !s.secrets.match(p, false) }

// leavesOut says why the entry is no part of a root, 0 if it is.
func (s *scope) leavesOut(p string, st *unix.Stat_t) Reason {
	switch typeOf(st) {
	case unix.S_IFREG, unix.S_IFLNK, unix.S_IFDIR:
	case unix.S_IFCHR, unix.S_IFBLK:
		return Device
	default:
		return Special
	}
	if p == stagingName {
		return Excluded
	}
	if isDir(st) {
		for _, id := range s.exclude {
			if id == identityOf(st) {
				return Excluded
			}
		}
	}
	if p != IgnoreName && s.ignore.match(p, isDir(st)) {
		return Ignored
	}
	return 0
}

func newObserver(ctx context.Context, objs Objects, s scope, m *meter, owned bool) *observer {
	return &observer{scope: s, pool: newPool(ctx, objs), meter: m, owned: owned}
}

// finish waits for the files that are being read. walked is the error of the walk.
func (o *observer) finish(walked error) error { return o.pool.wait(walked) }

// dir looks at everything in f, which is at path. What still bears its old stamp is not read again;
// if nothing changed the result is old itself.
func (o *observer) dir(f folder, path string, depth int, old *dir) (*dir, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("directory %q: nested more than %d deep", clip(path), maxDepth)
	}
	names, err := f.list()
	if err != nil {
		return nil, fmt.Errorf("%q: %w", clip(path), err)
	}
	d := &dir{entries: make([]entry, 0, len(names))}
	reads := o.reads
	for _, name := range names {
		was := old.find(name)
		if was != nil {
			name = was.Name // one string for both, and the listing's buffer can go
		}
		if err := o.entry(f, path, depth, name, was, d); err != nil {
			return nil, err
		}
	}
	// With a file being read below, entries may be written to, and some subtree is a new one.
	if o.reads == reads && d.equal(old) {
		return old, nil
	}
	return d, nil
}

// entry looks at one name and appends what it finds to d; nothing if it is gone. d must have room
// for it, because workers hold pointers into d.entries.
func (o *observer) entry(f folder, dirPath string, depth int, name string, was *entry, d *dir) error {
	if err := o.pool.err(); err != nil {
		return err
	}
	o.meter.step()
	st, err := f.stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	p := join(dirPath, name)
	if err != nil {
		return fmt.Errorf("in %q: %w", clip(dirPath), err)
	}
	if why := o.leavesOut(p, &st); why != 0 {
		d.left = append(d.left, leftOut{name, why})
		return nil
	}
	d.entries = append(d.entries, entry{DirEntry: journal.DirEntry{Name: name, Mode: permsOf(&st)}})
	e := &d.entries[len(d.entries)-1]
	switch typeOf(&st) {
	case unix.S_IFDIR:
		err = o.subdir(f, p, depth, was, e)
	case unix.S_IFLNK:
		err = o.link(f, &st, was, e)
	default:
		err = o.file(f, p, &st, was, e)
	}
	if errors.Is(err, fs.ErrPermission) && !o.owned {
		d.entries = d.entries[:len(d.entries)-1]
		d.left = append(d.left, leftOut{name, Unreadable})
		return nil
	}
	if err != nil {
		return fmt.Errorf("in %q: %w", clip(dirPath), err)
	}
	return nil
}

func (o *observer) subdir(f folder, p string, depth int, was *entry, e *entry) error {
	sub, restore, err := o.openDir(f, e)
	if err != nil {
		return err
	}
	defer sub.close()
	var old *dir
	if was != nil {
		old = was.dir
	}
	e.Type = journal.TypeDir
	e.dir, err = o.dir(sub, p, depth+1, old)
	if err != nil {
		return err
	}
	e.Object = e.dir.object
	return restore()
}

// openDir opens the directory e; restore takes back what had to be changed for it.
func (o *observer) openDir(f folder, e *entry) (sub folder, restore func() error, err error) {
	sub, err = f.open(e.Name)
	if err == nil && (!o.owned || os.Geteuid() == 0 || e.Mode&0o500 == 0o500) {
		return sub, func() error { return nil }, nil
	}
	if err == nil { // readable but not searchable
		sub.close()
	} else if !o.owned || !errors.Is(err, fs.ErrPermission) {
		return sub, nil, err
	}
	if err := f.chmod(e.Name, e.Mode|0o700); err != nil {
		return sub, nil, err
	}
	sub, err = f.open(e.Name)
	return sub, func() error { return f.chmod(e.Name, e.Mode) }, err
}

func (o *observer) link(f folder, st *unix.Stat_t, was *entry, e *entry) error {
	if was != nil && was.Type == journal.TypeLink && was.stamp != (stamp{}) && was.stamp == stampOf(st) {
		*e = *was
		return nil
	}
	target, err := f.readlink(e.Name)
	if err != nil {
		return err
	}
	e.Type, e.Mode, e.Size, e.Target = journal.TypeLink, 0o777, int64(len(target)), target
	e.stamp = stampOf(st).settled(time.Now())
	if was != nil && was.same(e) {
		e.Target = was.Target
	}
	return nil
}

func (o *observer) file(f folder, p string, st *unix.Stat_t, was *entry, e *entry) error {
	if was != nil && was.Type.IsFile() && was.holds(st) {
		mode := e.Mode
		*e = *was
		e.Mode = mode
		return nil
	}
	fd, err := o.openFile(f, e)
	if err != nil {
		return err
	}
	if o.upper {
		if err := refuseMetacopy(fd); err != nil {
			unix.Close(fd)
			return err
		}
	}
	o.reads++
	o.linked = o.linked || st.Nlink > 1
	store := o.stores(p)
	if !store {
		o.notStored = append(o.notStored, p)
	}
	o.pool.do(func(ctx context.Context, r *reader) error {
		defer unix.Close(fd)
		if err := ctx.Err(); err != nil {
			return err
		}
		return e.read(ctx, r, fd, -1, p, store)
	})
	return nil
}

// openFile opens a file, if need be by giving its owner the permission for a moment.
func (o *observer) openFile(f folder, e *entry) (int, error) {
	fd, err := f.openFile(e.Name)
	if err == nil || !o.owned || !errors.Is(err, fs.ErrPermission) {
		return fd, err
	}
	if err := f.chmod(e.Name, e.Mode|0o400); err != nil {
		return -1, err
	}
	fd, err = f.openFile(e.Name)
	return fd, errors.Join(err, f.chmod(e.Name, e.Mode))
}

// read fills in what the bytes say about the entry.
func (e *entry) read(ctx context.Context, r *reader, fd, to int, p string, store bool) error {
	now := time.Now()
	c, st, err := r.read(ctx, fd, to, store)
	if err != nil {
		return fmt.Errorf("read %q: %w", clip(p), err)
	}
	if typeOf(&st) != unix.S_IFREG {
		return fmt.Errorf("read %q: %w", clip(p), errChanging)
	}
	e.Type, e.Size, e.Object, e.lines = c.kind, c.size, c.object, c.lines
	e.stamp = stampOf(&st).settled(now)
	return nil
}

// clip shortens a path for an error message.
func clip(p string) string {
	const most = 300
	if len(p) <= most {
		return path.Clean(p)
	}
	return "…" + p[len(p)-most:]
}
