package workspace

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"tachograph/schemas/journal"
)

// rebuild makes a dir of old by visiting only names, which are in order: visit appends to the new
// dir what stands there now. Everything else is carried over.
func rebuild(old *dir, names []string, visit func(name string, was *entry, d *dir) error) (*dir, error) {
	if old == nil {
		old = &dir{}
	}
	d := &dir{entries: make([]entry, 0, len(old.entries)+len(names))}
	for _, l := range old.left {
		if _, found := slices.BinarySearch(names, l.name); !found {
			d.left = append(d.left, l)
		}
	}
	rest := old.entries
	for _, name := range names {
		for len(rest) > 0 && rest[0].Name < name {
			d.entries, rest = append(d.entries, rest[0]), rest[1:]
		}
		var was *entry
		if len(rest) > 0 && rest[0].Name == name {
			was, rest = &rest[0], rest[1:]
		}
		if err := visit(name, was, d); err != nil {
			return nil, err
		}
	}
	d.entries = append(d.entries, rest...)
	slices.SortFunc(d.left, func(a, b leftOut) int { return strings.Compare(a.name, b.name) })
	return d, nil
}

// pathSet is a set of paths as a tree of components. A path whose set is whole is looked at with
// everything below it.
type pathSet struct {
	whole bool
	below map[string]*pathSet
}

func (s *pathSet) add(p string) {
	for part := range strings.SplitSeq(p, "/") {
		if s.whole || p == "" {
			break
		}
		next := s.below[part]
		if next == nil {
			next = &pathSet{}
			if s.below == nil {
				s.below = make(map[string]*pathSet)
			}
			s.below[part] = next
		}
		s = next
	}
	s.whole, s.below = true, nil
}

func (s *pathSet) names() []string {
	names := make([]string, 0, len(s.below))
	for name := range s.below {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// dirty looks again at these paths of the whole tree old. Where one of them turns out to be a file
// with several names, everything is looked at, because the others changed with it.
func (o *observer) dirty(top folder, old *dir, paths []string) (*dir, error) {
	var set pathSet
	for _, p := range paths {
		if err := resolve(top, p, &set); err != nil {
			return nil, err
		}
	}
	d, err := o.paths(top, "", 0, old, &set)
	if err == nil && o.linked {
		return o.dir(top, "", 0, old)
	}
	return d, err
}

// paths looks again at the paths of want and carries over the rest of old.
func (o *observer) paths(f folder, p string, depth int, old *dir, want *pathSet) (*dir, error) {
	if want.whole {
		return o.dir(f, p, depth, old)
	}
	return rebuild(old, want.names(), func(name string, was *entry, d *dir) error {
		if next := want.below[name]; !next.whole && was != nil && was.dir != nil {
			done, err := o.pathsBelow(f, p, depth, was, next, d)
			if done || err != nil {
				return err
			}
		}
		// New, gone, or of another type than it was: the whole of it is looked at.
		return o.entry(f, p, depth, name, was, d)
	})
}

// pathsBelow goes on in the directory was, if it still is one.
func (o *observer) pathsBelow(f folder, p string, depth int, was *entry, want *pathSet, d *dir) (done bool, err error) {
	st, err := f.stat(was.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	below := join(p, was.Name)
	if err != nil || !isDir(&st) || o.leavesOut(below, &st) != 0 {
		return false, err
	}
	e := entry{DirEntry: journal.DirEntry{Name: was.Name, Type: journal.TypeDir, Mode: permsOf(&st)}}
	sub, restore, err := o.openDir(f, &e)
	if err != nil {
		return false, err
	}
	defer sub.close()
	if e.dir, err = o.paths(sub, below, depth+1, was.dir, want); err != nil {
		return false, err
	}
	d.entries = append(d.entries, e)
	return true, restore()
}

const maxLinks = 40 // in one path, as in the kernel

// resolve adds to set every place that a tool which names p may have changed: p itself and, where p
// leads through links that stay in the tree, what they lead to. Links that leave the tree are not
// followed, and absolute ones neither: what they mean depends on where the tree is shown.
func resolve(top folder, p string, set *pathSet) error {
	if p = path.Clean(p); p == "." {
		set.add("")
		return nil
	}
	if !filepath.IsLocal(p) || strings.IndexByte(p, 0) >= 0 {
		return fmt.Errorf("path %q: not below the top of the tree", clip(p))
	}
	w := linkWalk{top: top, at: top}
	defer w.close()
	rest := strings.Split(p, "/")
	for links := 0; len(rest) > 0; {
		part := rest[0]
		rest = rest[1:]
		if part == ".." {
			if !w.up() {
				return nil // it leaves the tree
			}
			continue
		}
		target := w.link(part)
		if target == "" {
			if !w.down(part) {
				break // no directory, or nothing: what is listed below it went with it
			}
			continue
		}
		set.add(strings.Join(append(w.done, part), "/"))
		if links++; path.IsAbs(target) || links > maxLinks {
			return nil
		}
		rest = append(slices.DeleteFunc(strings.Split(target, "/"), func(s string) bool { return s == "" || s == "." }), rest...)
	}
	set.add(strings.Join(w.done, "/"))
	return nil
}

// linkWalk goes through a tree without following links by itself.
type linkWalk struct {
	top, at folder
	done    []string // components of at; or, after a down that was not possible, of what it named
}

func (w *linkWalk) close() {
	if w.at != w.top {
		w.at.close()
	}
}

// link is the target of the link of that name, "" if it is anything else or nothing.
func (w *linkWalk) link(name string) string {
	st, err := w.at.stat(name)
	if err != nil || typeOf(&st) != unix.S_IFLNK {
		return ""
	}
	target, err := w.at.readlink(name)
	if err != nil {
		return ""
	}
	return target
}

func (w *linkWalk) down(name string) bool {
	w.done = append(w.done, name)
	sub, err := w.at.open(name)
	if err != nil {
		return false
	}
	w.close()
	w.at = sub
	return true
}

// up goes to the parent, from the top again, because ".." of a directory that was moved meanwhile
// would be anywhere.
func (w *linkWalk) up() bool {
	if len(w.done) == 0 {
		return false
	}
	parts := w.done[:len(w.done)-1]
	w.close()
	w.at, w.done = w.top, nil
	for _, part := range parts {
		if !w.down(part) {
			return false
		}
	}
	return true
}
