package workspace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"tachograph/schemas/journal"
)

// Import copies the user's directory src into dir, which must not exist or be empty, and records it.
// src is only read. What is left out is not copied and counted in the report; it is no part of the
// tree, so no delta counts it again. Links are copied, never followed; hard links become separate files. If it fails,
// what is in dir is worth nothing and should be removed.
func Import(ctx context.Context, src, dir string, objs Objects, o Options) (*Tree, Report, error) {
	t, r, err := importTree(ctx, src, dir, objs, o)
	if err != nil {
		return nil, r, fmt.Errorf("import %s: %w", src, err)
	}
	return t, r, nil
}

func importTree(ctx context.Context, src, path string, objs Objects, o Options) (*Tree, Report, error) {
	from, err := openTop(src)
	if err != nil {
		return nil, Report{}, err
	}
	defer from.close()
	to, err := makeEmpty(path, 0o700)
	if err != nil {
		return nil, Report{}, err
	}
	defer to.close()
	if err := seal(to.fd, o.UID, 0o700); err != nil {
		return nil, Report{}, err
	}
	if o.Ignore == "" {
		if o.Ignore, err = readIgnore(from); err != nil {
			return nil, Report{}, err
		}
	}
	t := newTree(path, objs, o, o.Ignore)
	im := importer{scope: t.scope, pool: newPool(ctx, objs), meter: newMeter(o, StageCopy, 0), uid: o.UID}
	id, err := to.identity() // the tree may lie in the directory that it is a copy of
	if err != nil {
		return nil, Report{}, err
	}
	im.exclude = append(slices.Clone(im.exclude), id)
	d, err := im.dir(from, to, "", 0)
	if err := im.pool.wait(err); err != nil {
		return nil, Report{}, err
	}
	settleAll(im.fresh)
	if err := sealDir(ctx, objs, d); err != nil {
		return nil, Report{}, err
	}
	t.cur = d
	r := t.Report()
	r.LeftOut = im.left
	slices.Sort(im.notStored)
	r.NotStored = im.notStored
	return t, r, nil
}

// importer walks the user's directory, copies it and makes the index of the copy, all at once: a
// file's bytes are read a single time.
type importer struct {
	scope
	pool      *pool
	meter     *meter
	uid       int
	noClone   atomic.Bool // the file system cannot share blocks between files
	fresh     []*entry
	left      Left // it does not come into the tree, so the index knows nothing of it
	notStored []string
}

func (im *importer) dir(from, to folder, p string, depth int) (*dir, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("directory %q: nested more than %d deep", clip(p), maxDepth)
	}
	names, err := from.list()
	if err != nil {
		return nil, fmt.Errorf("%q: %w", clip(p), err)
	}
	d := &dir{entries: make([]entry, 0, len(names))}
	for _, name := range names {
		if err := im.entry(from, to, p, depth, name, d); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (im *importer) entry(from, to folder, dirPath string, depth int, name string, d *dir) error {
	if err := im.pool.err(); err != nil {
		return err
	}
	st, err := from.stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it went meanwhile
	}
	if err != nil {
		return fmt.Errorf("in %q: %w", clip(dirPath), err)
	}
	p := join(dirPath, name)
	why := im.leavesOut(p, &st)
	if why == 0 {
		d.entries = append(d.entries, entry{DirEntry: journal.DirEntry{Name: name, Mode: permsOf(&st)}})
		e := &d.entries[len(d.entries)-1]
		switch typeOf(&st) {
		case unix.S_IFDIR:
			err = im.subdir(from, to, p, depth, e)
		case unix.S_IFLNK:
			err = im.link(from, to, e)
		default:
			err = im.file(from, to, p, e)
		}
		if errors.Is(err, errUnreadable) {
			d.entries, why, err = d.entries[:len(d.entries)-1], Unreadable, nil
		}
	}
	if why != 0 {
		im.left.add(why)
	}
	if err != nil {
		return fmt.Errorf("in %q: %w", clip(dirPath), err)
	}
	im.meter.step()
	return nil
}

// errUnreadable: the user's own permissions keep the entry from us; it is left out and counted.
var errUnreadable = errors.New("unreadable")

func unreadable(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return errUnreadable
	}
	return err
}

func (im *importer) subdir(from, to folder, p string, depth int, e *entry) error {
	src, err := from.open(e.Name)
	if err != nil {
		return unreadable(err)
	}
	defer src.close()
	if _, err := src.stat("."); err != nil { // readable, but what is in it cannot be reached
		return unreadable(err)
	}
	if err := to.mkdir(e.Name); err != nil {
		return err
	}
	dst, err := to.open(e.Name)
	if err != nil {
		return err
	}
	defer dst.close()
	e.Type = journal.TypeDir
	if e.dir, err = im.dir(src, dst, p, depth+1); err != nil {
		return err
	}
	return seal(dst.fd, im.uid, e.Mode)
}

func (im *importer) link(from, to folder, e *entry) error {
	target, err := from.readlink(e.Name)
	if err != nil {
		return unreadable(err)
	}
	if err := to.symlink(target, e.Name); err != nil {
		return err
	}
	if err := to.chown(e.Name, im.uid); err != nil {
		return err
	}
	st, err := to.stat(e.Name)
	e.Type, e.Mode, e.Size, e.Target = journal.TypeLink, 0o777, int64(len(target)), target
	e.stamp = stampOf(&st)
	im.fresh = append(im.fresh, e)
	return err
}

func (im *importer) file(from, to folder, p string, e *entry) error {
	src, err := from.openFile(e.Name)
	if err != nil {
		return unreadable(err)
	}
	dst, err := to.create(e.Name)
	if err != nil {
		unix.Close(src)
		return err
	}
	store := im.stores(p)
	if !store {
		im.notStored = append(im.notStored, p)
	}
	im.fresh = append(im.fresh, e)
	im.pool.do(func(ctx context.Context, r *reader) error {
		defer unix.Close(src)
		defer unix.Close(dst)
		if err := ctx.Err(); err != nil {
			return err
		}
		return im.copy(ctx, r, src, dst, p, e, store)
	})
	return nil
}

// copy fills the copy of a file and records it. Where the file system shares blocks the copy is a
// clone and is read itself; else the bytes go through our hands anyway to be hashed, and are
// written from there, which costs less than a second pass by copy_file_range.
func (im *importer) copy(ctx context.Context, r *reader, src, dst int, p string, e *entry, store bool) error {
	from, to := src, dst
	if !im.noClone.Load() {
		if err := cloneFile(dst, src); err == nil {
			from, to = dst, -1
		} else {
			im.noClone.Store(true)
		}
	}
	if err := e.read(ctx, r, from, to, p, store); err != nil {
		return err
	}
	err := seal(dst, im.uid, e.Mode)
	var st unix.Stat_t
	if err == nil {
		err = unix.Fstat(dst, &st)
	}
	if err != nil {
		return fmt.Errorf("copy %q: %w", clip(p), err)
	}
	e.stamp = stampOf(&st)
	return nil
}
