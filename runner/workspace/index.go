package workspace

import (
	"context"
	"fmt"
	"sort"
	"time"

	"golang.org/x/sys/unix"

	"tachograph/schemas/journal"
)

// dir is what is known of one directory. A dir that a Tree holds is never changed: what changes it
// makes a new one and shares the subtrees that stayed, so that a delta can be computed before it is
// applied, and two roots be compared by walking only where their pointers and names differ.
type dir struct {
	object  journal.Object // name of its directory object; zero until sealed
	entries []entry        // ascending by name
	left    []leftOut      // ascending by name
	leftSum int64          // left-out entries here and below
	foreign bool           // upper only: holds whiteouts or devices, here or below, so it cannot be moved whole
}

// entry is one entry of a directory, with what is needed to see that it has not changed.
// It costs 120 bytes and its name.
type entry struct {
	journal.DirEntry
	stamp stamp  // of files and links; zero: unknown
	dir   *dir   // of a directory; nil: not loaded yet
	lines uint32 // of a text file; see unknownLines
}

const (
	unknownLines = ^uint32(0)     // not counted: read from objects without the bytes at hand
	notText      = ^uint32(0) - 1 // binary, or larger than one object
)

type leftOut struct {
	name string
	why  Reason
}

// stamp tells whether a file is still the one that was read. The kernel sets ctime at every change
// of content or inode, and a process cannot set it back.
type stamp struct {
	mtime, ctime int64 // nanoseconds since 1970
	ino          uint64
}

// granule is how long two changes may bear the same time: the kernel's clock ticks every 1 to 10 ms.
const granule = 20 * time.Millisecond

// coarseGranule is for file systems that keep whole seconds.
const coarseGranule = 2 * time.Second

func stampOf(st *unix.Stat_t) stamp {
	return stamp{st.Mtim.Nano(), st.Ctim.Nano(), uint64(st.Ino)}
}

// settled returns the stamp if no later change can bear it, given that the file was as described at
// the time now; else the zero stamp, which matches nothing, so that the file is read again.
func (s stamp) settled(now time.Time) stamp {
	wait := granule
	if s.ctime%int64(time.Second) == 0 && s.mtime%int64(time.Second) == 0 {
		wait = coarseGranule
	}
	if s.ctime+int64(wait) >= now.UnixNano() {
		return stamp{}
	}
	return s
}

// holds says whether a file with this status is the one that was read.
func (e *entry) holds(st *unix.Stat_t) bool {
	return e.stamp != stamp{} && e.stamp == stampOf(st) && e.Size == st.Size
}

// same says whether two entries are equal as far as a root can tell.
func (e *entry) same(o *entry) bool { return e.DirEntry == o.DirEntry }

// find returns the entry of that name, or nil. It may be called on a nil dir.
func (d *dir) find(name string) *entry {
	if d == nil {
		return nil
	}
	i, ok := d.search(name)
	if !ok {
		return nil
	}
	return &d.entries[i]
}

func (d *dir) search(name string) (int, bool) {
	i := sort.Search(len(d.entries), func(i int) bool { return d.entries[i].Name >= name })
	return i, i < len(d.entries) && d.entries[i].Name == name
}

// leaves returns why name is left out, 0 if it is not.
func (d *dir) leaves(name string) Reason {
	for i := range d.left {
		if d.left[i].name == name {
			return d.left[i].why
		}
	}
	return 0
}

// equal says whether two dirs hold the same, their subtrees being the very same.
func (d *dir) equal(o *dir) bool {
	if o == nil || len(d.entries) != len(o.entries) || len(d.left) != len(o.left) || d.foreign != o.foreign {
		return false
	}
	for i := range d.entries {
		if d.entries[i] != o.entries[i] {
			return false
		}
	}
	for i := range d.left {
		if d.left[i] != o.left[i] {
			return false
		}
	}
	return true
}

// sealDir names d and everything below it, and stores the directory objects that are new. Dirs that
// were shared are sealed already and not looked at.
func sealDir(ctx context.Context, objs Objects, d *dir) error {
	if !d.object.IsZero() {
		return nil
	}
	d.leftSum = int64(len(d.left))
	plain := make([]journal.DirEntry, len(d.entries))
	for i := range d.entries {
		e := &d.entries[i]
		if e.dir != nil {
			if err := sealDir(ctx, objs, e.dir); err != nil {
				return fmt.Errorf("in %q: %w", e.Name, err)
			}
			e.Object = e.dir.object
			d.leftSum += e.dir.leftSum
		}
		plain[i] = e.DirEntry
	}
	object, err := journal.EncodeDir(plain)
	if err != nil {
		return err
	}
	d.object = journal.NameObject(object)
	return keep(ctx, objs, d.object, object)
}

// loadDir reads a directory object as a dir whose subtrees are not loaded and whose files have no
// stamps.
func loadDir(ctx context.Context, objs Objects, name journal.Object) (*dir, error) {
	b, err := loadBytes(ctx, objs, name)
	if err != nil {
		return nil, fmt.Errorf("load directory object: %w", err)
	}
	plain, err := journal.DecodeDir(b)
	if err != nil {
		return nil, fmt.Errorf("load directory object %s: %w", name.Short(), err)
	}
	d := &dir{object: name, entries: make([]entry, len(plain))}
	for i := range plain {
		d.entries[i] = entry{DirEntry: plain[i], lines: unknownLines}
	}
	return d, nil
}

// sub returns the dir of a directory entry, loading it if it is not in memory. The loaded dir is
// not remembered in the entry, which others may share.
func (e *entry) sub(ctx context.Context, objs Objects) (*dir, error) {
	if e.dir != nil {
		return e.dir, nil
	}
	return loadDir(ctx, objs, e.Object)
}

// census counts what d holds. path is "" for the top.
func (d *dir) census(r *Report) {
	for i := range d.left {
		r.LeftOut.add(d.left[i].why)
	}
	for i := range d.entries {
		switch e := &d.entries[i]; {
		case e.Type.IsFile():
			r.Files++
			r.Bytes += e.Size
		case e.Type == journal.TypeLink:
			r.Links++
		default:
			r.Dirs++
			if e.dir != nil {
				e.dir.census(r)
			}
		}
	}
}

// join is the path of name in the directory at path; the top is "".
func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "/" + name
}
