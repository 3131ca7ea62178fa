package workspace

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"tachograph/schemas/journal"
)

// planner checks each change against the user's directory and lists the steps that make it.
type planner struct {
	*applier
	retyped map[string]bool // paths that are a directory in only one of the trees
	removed map[string]bool // paths that the result lacks
	steps   []step
}

// plan fills in the report and returns the steps in the order in which they are done: what goes,
// deepest first; directories that come, from the top; files and links; and last the permission bits
// of directories, deepest first, because they may forbid the rest.
func (a *applier) plan(changes []Change) ([]step, error) {
	p := planner{applier: a, retyped: make(map[string]bool), removed: make(map[string]bool)}
	for i := range changes {
		c := &changes[i]
		if (c.New.Type == journal.TypeDir) != (c.Old.Type == journal.TypeDir) {
			p.retyped[c.Path] = true
		}
		if c.Kind == Removed {
			p.removed[c.Path] = true
		}
	}
	for i := range changes {
		if err := a.ctx.Err(); err != nil {
			return nil, err
		}
		if err := p.change(&changes[i]); err != nil {
			return nil, fmt.Errorf("look at %q: %w", clip(changes[i].Path), err)
		}
	}
	slices.SortStableFunc(p.steps, compareSteps)
	for i := range p.steps {
		p.steps[i].Staged = strconv.Itoa(i)
	}
	return p.steps, nil
}

func compareSteps(a, b step) int {
	if order := cmp.Compare(a.Do.phase(), b.Do.phase()); order != 0 {
		return order
	}
	order := strings.Compare(string(a.Path), string(b.Path))
	if a.Do.deepestFirst() {
		return -order
	}
	return order
}

// change checks one change and plans its steps.
func (p *planner) change(c *Change) error {
	cur, why, err := p.user.state(p.ctx, c.Path, p.retyped)
	if err != nil {
		return err
	}
	switch {
	case why == whyParentGone && c.Kind == Removed:
		p.report.Already++
	case why != "":
		p.conflict(c.Path, why)
	case alike(&cur.entry, &c.New, c.Kind == Mode):
		p.report.Already++
	case !alike(&cur.entry, &c.Old, c.Kind == Mode):
		p.conflict(c.Path, differs(&cur.entry, &c.Old))
	default:
		return p.planChange(c, cur)
	}
	return nil
}

func (p *planner) conflict(path, why string) {
	p.report.Conflicts = append(p.report.Conflicts, Conflict{path, why})
}

func (p *planner) planChange(c *Change, cur found) error {
	if why := p.user.changeable(c.Path, p.retyped); why != "" {
		p.conflict(c.Path, why)
		return nil
	}
	if c.Kind == Retyped && c.Old.Type == journal.TypeDir {
		extra, err := p.user.extra(c.Path, p.removed)
		if err != nil {
			return err
		}
		if extra != "" {
			p.conflict(extra, "it lies in a directory that the run replaced by something else")
			return nil
		}
	}
	if c.New.Type.IsFile() && c.Kind != Mode {
		stored, err := p.stored(&c.New)
		if err != nil {
			return err
		}
		if !stored {
			p.report.NotStored = append(p.report.NotStored, c.Path)
			return nil
		}
	}
	p.report.Changes = append(p.report.Changes, *c)
	p.addSteps(c, cur)
	return nil
}

func (p *planner) stored(e *journal.DirEntry) (bool, error) {
	has, err := p.objs.Has(p.ctx, e.Object)
	if err != nil {
		return false, fmt.Errorf("look for object %s: %w", e.Object.Short(), err)
	}
	return has, nil
}

func (p *planner) addSteps(c *Change, cur found) {
	add := func(do stepKind, old, is journal.DirEntry) {
		p.steps = append(p.steps, step{Do: do, Path: []byte(c.Path), Old: toWire(&old), New: toWire(&is), UID: cur.uid, GID: cur.gid})
	}
	none := journal.DirEntry{}
	if c.Kind == Mode {
		if c.New.Type == journal.TypeDir {
			add(doDirMode, c.Old, c.New)
		} else {
			add(doMode, c.Old, c.New)
		}
		return
	}
	old := c.Old
	switch { // A file or link is replaced by the rename itself; a directory has to go before.
	case old.Type == journal.TypeDir:
		add(doRmdir, old, none)
		old = none
	case old.Type != 0 && (c.New.Type == 0 || c.New.Type == journal.TypeDir):
		add(doRemove, old, none)
		old = none
	}
	switch {
	case c.New.Type == journal.TypeDir:
		add(doMkdir, none, c.New)
		add(doDirMode, c.New, c.New)
	case c.New.Type != 0:
		add(doPut, old, c.New)
	}
}

// alike says whether an entry on disk is what a tree says, as far as Apply can make it so.
// Permission bits of directories count only where they are what was changed.
func alike(disk, tree *journal.DirEntry, dirMode bool) bool {
	if class(disk.Type) != class(tree.Type) {
		return false
	}
	sameMode := disk.Mode&plainMask == tree.Mode&plainMask
	switch disk.Type {
	case 0:
		return true
	case journal.TypeDir:
		return sameMode || !dirMode
	case journal.TypeLink:
		return disk.Target == tree.Target
	}
	return sameMode && disk.Object == tree.Object
}

func differs(disk, old *journal.DirEntry) string {
	switch {
	case disk.Type == 0:
		return "it was removed since the run began"
	case old.Type == 0:
		return "it was added since the run began, with other content than the run's"
	case disk.Object == old.Object && disk.Type == old.Type && disk.Target == old.Target:
		return "its permissions were changed since the run began"
	}
	return "it was changed since the run began"
}

// userDir is the directory that Apply changes.
type userDir struct {
	top      folder
	dev      uint64
	uid, gid int // owner of the top
	root     bool
}

func newUserDir(top folder) (userDir, error) {
	var st unix.Stat_t
	if err := unix.Fstat(top.fd, &st); err != nil {
		return userDir{}, fmt.Errorf("stat: %w", err)
	}
	return userDir{top, uint64(st.Dev), int(st.Uid), int(st.Gid), unix.Geteuid() == 0}, nil
}

// own gives what root made to the owner it should have.
func (u *userDir) own(f folder, name string, uid, gid int) error {
	if !u.root {
		return nil
	}
	err := unix.Fchownat(f.fd, name, uid, gid, unix.AT_SYMLINK_NOFOLLOW)
	if err == unix.EINVAL {
		return nil // an owner that does not exist in our user namespace: nobody here can give to it
	}
	return wrap("give away", name, err)
}

// parent opens the directory of path without following a link. at is the component that could not be
// opened.
func (u *userDir) parent(path string) (f folder, at string, err error) {
	fd, err := unix.FcntlInt(uintptr(u.top.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return folder{-1}, "", fmt.Errorf("duplicate descriptor: %w", err)
	}
	f = folder{fd}
	for i := range len(path) {
		if path[i] != '/' {
			continue
		}
		sub, err := f.open(path[strings.LastIndexByte(path[:i], '/')+1 : i])
		f.close()
		if err != nil {
			return folder{-1}, path[:i], err
		}
		f = sub
	}
	return f, "", nil
}

func baseName(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// found is what stands at a path in the user's directory.
type found struct {
	entry    journal.DirEntry // zero: nothing
	uid, gid int              // its owner, or whoever should own what is put there
}

const (
	whyParentGone = "its directory was removed since the run began"
	whyParentLink = "its directory was replaced by something else since the run began"
	whyUnreadable = "it cannot be read"
	whySpecial    = "it was replaced by a socket, FIFO or device since the run began"
)

// state reads what stands at path. why tells what keeps a change from being made there. Below a path
// that the run made a directory, or made something else, nothing may stand yet or any more.
func (u *userDir) state(ctx context.Context, path string, retyped map[string]bool) (is found, why string, err error) {
	is = found{uid: u.uid, gid: u.gid}
	f, at, err := u.parent(path)
	if err != nil {
		switch {
		case retyped[at]:
			return is, "", nil
		case isAbsent(err):
			return is, whyParentGone, nil
		case errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP):
			return is, whyParentLink, nil
		case errors.Is(err, unix.EACCES):
			return is, whyUnreadable, nil
		}
		return is, "", err
	}
	defer f.close()
	st, err := f.stat(baseName(path))
	if isAbsent(err) {
		return is, "", nil
	}
	if err != nil {
		return is, "", err
	}
	is = found{journal.DirEntry{Name: baseName(path), Mode: permsOf(&st)}, int(st.Uid), int(st.Gid)}
	switch typeOf(&st) {
	case unix.S_IFDIR:
		is.entry.Type = journal.TypeDir
	case unix.S_IFLNK:
		is.entry.Type = journal.TypeLink
		is.entry.Target, err = f.readlink(is.entry.Name)
	case unix.S_IFREG:
		err = readState(ctx, f, &is.entry)
	default:
		why = whySpecial
	}
	if errors.Is(err, unix.EACCES) {
		return is, whyUnreadable, nil
	}
	return is, why, err
}

func readState(ctx context.Context, f folder, e *journal.DirEntry) error {
	fd, err := f.openFile(e.Name)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var r reader
	c, _, err := r.read(ctx, fd, -1, false)
	e.Type, e.Size, e.Object = c.kind, c.size, c.object
	return err
}

// changeable says what would keep a rename into the directory of path from working.
func (u *userDir) changeable(path string, retyped map[string]bool) (why string) {
	f, at, err := u.parent(path)
	if err != nil {
		if retyped[at] {
			return ""
		}
		return whyParentGone
	}
	defer f.close()
	var st unix.Stat_t
	if err := unix.Fstat(f.fd, &st); err != nil || uint64(st.Dev) != u.dev {
		return "it lies on another file system than the top of the directory"
	}
	if err := unix.Faccessat(f.fd, ".", unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return "its directory does not permit changes"
	}
	return ""
}

// extra finds something below the directory at path that is not to be removed.
func (u *userDir) extra(path string, removed map[string]bool) (string, error) {
	f, _, err := u.parent(path + "/x")
	if err != nil {
		return "", err
	}
	defer f.close()
	names, err := f.list()
	if err != nil {
		return "", err
	}
	for _, name := range names {
		p := join(path, name)
		if !removed[p] {
			return p, nil
		}
		st, err := f.stat(name)
		if err != nil || !isDir(&st) {
			continue // if it has changed, that is a conflict of its own
		}
		if found, err := u.extra(p, removed); found != "" || err != nil {
			return found, err
		}
	}
	return "", nil
}
