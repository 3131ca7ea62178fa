package workspace

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"tachograph/schemas/journal"
)

// Tree is a managed tree: a directory on disk, and what is known of it. Its methods exclude one
// another; see the package comment for when tools may write.
type Tree struct {
	path   string
	objs   Objects
	o      Options
	scope  scope
	ignore string

	mu     sync.Mutex
	cur    *dir // what the tree on disk holds; sealed
	torn   bool // an operation ended half-way: disk and cur differ, and only Restore helps
	opened RestoreReport
}

// ErrTorn: an earlier operation on the tree ended half-way, so it holds no known root. Restore a
// root; that always looks at the whole tree then.
var ErrTorn = errors.New("the tree was left half-changed by an operation that failed; restore it first")

// Open takes up the managed tree at path and makes it be root, whatever happened to it since it was
// used last: it looks at every entry, reads again what the index beside it does not know, and
// restores what differs. A tree that does not exist is made. If bytes are missing the tree's root is
// another one than asked for; see [Tree.Opened].
func Open(ctx context.Context, path string, objs Objects, root journal.Object, o Options) (*Tree, error) {
	if o.Ignore == "" {
		text, err := IgnoreText(ctx, objs, root)
		if err != nil {
			return nil, fmt.Errorf("open tree %s: %w", path, err)
		}
		o.Ignore = text
	}
	if err := makeTop(path, o.UID); err != nil {
		return nil, fmt.Errorf("open tree %s: %w", path, err)
	}
	t := newTree(path, objs, o, o.Ignore)
	t.cur = loadIndex(path)
	report, err := t.Restore(ctx, root, nil)
	if err != nil {
		return nil, fmt.Errorf("open tree %s: %w", path, err)
	}
	t.opened = report
	return t, nil
}

func newTree(path string, objs Objects, o Options, ignore string) *Tree {
	return &Tree{path: absolute(path), objs: objs, o: o, ignore: ignore, scope: newScope(o, ignore), cur: &dir{}}
}

// makeTop makes the top of a managed tree, or gives the one that is there its owner and permissions.
func makeTop(path string, uid int) error {
	if err := os.Mkdir(path, 0o700); err != nil && !os.IsExist(err) {
		return err
	}
	f, err := openTop(path)
	if err != nil {
		return err
	}
	defer f.close()
	return seal(f.fd, uid, 0o700)
}

// Root names what the tree holds.
func (t *Tree) Root() journal.Object {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cur.object
}

// Dir is the absolute path of the tree.
func (t *Tree) Dir() string { return t.path }

// Ignore is the text that governs what is left out of the tree.
func (t *Tree) Ignore() string { return t.ignore }

// Opened says what Open had to mend.
func (t *Tree) Opened() RestoreReport { return t.opened }

// Report counts what the tree holds. It reads nothing.
func (t *Tree) Report() Report {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := Report{Ignore: t.ignore}
	t.cur.census(&r)
	return r
}

// TakePaths records what an in-process tool changed: paths, relative to the top, are looked at
// again with everything below them, and where they lead through relative links, what these lead to.
func (t *Tree) TakePaths(ctx context.Context, paths []string) (Delta, error) {
	return t.take(ctx, "paths", func(top folder, o *observer) (*dir, error) {
		return o.dirty(top, t.cur, paths)
	})
}

// Scan records whatever changed in the tree, by looking at the stamp of every entry and reading
// again what differs: the way that needs no help from tools or overlays.
func (t *Tree) Scan(ctx context.Context) (Delta, error) {
	return t.take(ctx, "scan", func(top folder, o *observer) (*dir, error) {
		return o.dir(top, "", 0, t.cur)
	})
}

// take lets look observe the tree and makes the result what the tree holds.
func (t *Tree) take(ctx context.Context, what string, look func(folder, *observer) (*dir, error)) (Delta, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	d, err := t.look(ctx, t.path, false, look)
	if err == nil {
		t.cur = d.next
		return d, nil
	}
	return d, fmt.Errorf("take %s of %s: %w", what, t.path, err)
}

func (t *Tree) look(ctx context.Context, path string, upper bool, look func(folder, *observer) (*dir, error)) (Delta, error) {
	if t.torn {
		return Delta{}, ErrTorn
	}
	o, next, err := t.observe(ctx, path, t.objs, upper, look)
	if err != nil {
		return Delta{}, err
	}
	d, err := newDelta(ctx, t.objs, t.cur, next)
	d.LeftOut += o.devices
	d.base = t.cur
	return d, err
}

func (t *Tree) observe(ctx context.Context, path string, objs Objects, upper bool, look func(folder, *observer) (*dir, error)) (*observer, *dir, error) {
	top, err := openTop(path)
	if err != nil {
		return nil, nil, err
	}
	defer top.close()
	o := newObserver(ctx, objs, t.scope, newMeter(t.o, StageRead, 0), true)
	o.upper = upper
	next, err := look(top, o)
	if err := o.finish(err); err != nil {
		return nil, nil, err
	}
	return o, next, sealDir(ctx, objs, next)
}

// TakeUpper reads the upper directory of an overlayfs whose lower directory is the tree, and
// computes what tree and upper together come to, without touching the tree. The overlay must not be
// written to meanwhile. The tree's root stays what it is until [Tree.ApplyUpper].
func (t *Tree) TakeUpper(ctx context.Context, upper string) (Delta, error) {
	return t.TakeUpperSince(ctx, upper, Delta{})
}

// TakeUpperSince is TakeUpper for an upper directory that stays in use: the delta is what changed
// since last, an earlier delta of the same upper, and files that are as they were then are not read
// again. With the zero Delta it is the same as TakeUpper.
func (t *Tree) TakeUpperSince(ctx context.Context, upper string, last Delta) (Delta, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if last.next != nil && last.base != t.cur {
		return Delta{}, fmt.Errorf("take upper %s: %w", upper, errOtherTree)
	}
	d, err := t.look(ctx, upper, true, func(top folder, o *observer) (*dir, error) {
		return o.upperDir(top, "", 0, t.cur, last.next)
	})
	if err == nil && last.next != nil {
		var since Delta
		since, err = newDelta(ctx, t.objs, last.next, d.next)
		since.LeftOut, since.base = d.LeftOut, d.base
		d = since
	}
	if err != nil {
		return Delta{}, fmt.Errorf("take upper %s: %w", upper, err)
	}
	return d, nil
}

var errOtherTree = errors.New("the delta was not taken from this tree as it is now")

// ApplyUpper brings an upper directory into the tree, by moving within the file system: d is the
// newest delta taken of it. The overlay must be unmounted. Afterwards the upper directory holds
// nothing worth keeping. If it ends half-way, by an error or a crash, restoring either root mends
// the tree.
func (t *Tree) ApplyUpper(ctx context.Context, upper string, d Delta) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	err := t.applyUpper(ctx, upper, d)
	if errors.Is(err, unix.EXDEV) {
		err = fmt.Errorf("%w (upper directory and tree must lie on one file system)", err)
	}
	if err != nil {
		return fmt.Errorf("apply upper %s to %s: %w", upper, t.path, err)
	}
	return nil
}

func (t *Tree) applyUpper(ctx context.Context, upper string, d Delta) error {
	switch {
	case t.torn:
		return ErrTorn
	case d.next == nil || d.base != t.cur:
		return errOtherTree
	case ctx.Err() != nil:
		return ctx.Err() // later it is too late: the move is short and must not stop half-way
	}
	up, err := openTop(upper)
	if err != nil {
		return err
	}
	defer up.close()
	top, err := openTop(t.path)
	if err != nil {
		return err
	}
	defer top.close()
	t.torn = true
	if err := (mover{newMeter(t.o, StageMove, 0)}).merge(up, top, d.next); err != nil {
		return err
	}
	t.cur, t.torn = d.next, false
	return nil
}

// Restore makes the tree hold root. With dirty nil every entry is looked at first; else only these
// paths may differ from the tree's root, as for TakePaths. What is left out of roots stays, unless
// it is in the way. If bytes are missing, what is there instead stays, and the tree's root is
// another one than asked for.
func (t *Tree) Restore(ctx context.Context, root journal.Object, dirty []string) (RestoreReport, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r, err := t.restore(ctx, root, dirty)
	if err != nil {
		return r, fmt.Errorf("restore %s in %s: %w", root.Short(), t.path, err)
	}
	return r, nil
}

func (t *Tree) restore(ctx context.Context, root journal.Object, dirty []string) (RestoreReport, error) {
	// The objects come first: a tree is not touched for a root that cannot be read.
	want, err := loadDir(ctx, t.objs, root)
	if err != nil {
		return RestoreReport{}, err
	}
	cur, err := t.whatIsThere(ctx, dirty)
	if err != nil {
		return RestoreReport{}, err
	}
	top, err := openTop(t.path)
	if err != nil {
		return RestoreReport{}, err
	}
	defer top.close()
	t.torn = true
	m := newMender(ctx, t.objs, t.o, t.o.UID, permBits)
	next, err := m.dir(top, "", 0, cur, want)
	if err := m.finish(err); err != nil {
		return m.RestoreReport, err
	}
	if err := sealDir(ctx, t.objs, next); err != nil {
		return m.RestoreReport, err
	}
	slices.Sort(m.Missing)
	if len(m.Missing) == 0 && next.object != root {
		return m.RestoreReport, fmt.Errorf("the tree came out as %s: the objects of the root contradict one another", next.object.Short())
	}
	t.cur, t.torn = next, false
	return m.RestoreReport, nil
}

// whatIsThere looks at the tree without storing anything.
func (t *Tree) whatIsThere(ctx context.Context, dirty []string) (*dir, error) {
	_, cur, err := t.observe(ctx, t.path, nil, false, func(top folder, o *observer) (*dir, error) {
		if dirty == nil || t.torn {
			return o.dir(top, "", 0, t.cur)
		}
		return o.dirty(top, t.cur, dirty)
	})
	return cur, err
}

// Sync writes what is known of the tree beside it, so that Open need not read every file again. It
// is a cache: without it, or with an old one, Open takes longer.
func (t *Tree) Sync(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := saveIndex(t.path, t.cur); err != nil {
		return fmt.Errorf("write index of %s: %w", t.path, err)
	}
	return nil
}
