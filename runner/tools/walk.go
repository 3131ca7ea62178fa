package tools

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// walker goes through a directory in byte order of names, parents first, and follows no link.
type walker struct {
	ctx   context.Context
	depth int  // how many levels to show; 0: all
	left  int  // entries that may still be looked at
	git   bool // go into .git too

	each func(found) error

	hidden     int // .git directories passed by
	unreadable int // directories that could not be opened
	cut        bool
}

// found is an entry on the way. dir stays open only during the visit.
type found struct {
	dir  *os.Root
	name string
	rel  string // relative to the tree
	sub  string // relative to where the walk began
	kind fs.FileMode
	last bool // a directory at the depth limit or one passed by: it is not gone into
}

// errEnough ends a walk early; whoever returns it has what it wants.
var errEnough = errors.New("enough")

// walk visits what is below dir, which is at rel.
func (w *walker) walk(dir *os.Root, rel string) error {
	err := w.level(dir, rel, ".", 1)
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

func (w *walker) level(dir *os.Root, rel, sub string, depth int) error {
	entries, err := readDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		if w.left--; w.left < 0 {
			w.cut = true
			return errEnough
		}
		f := found{dir: dir, name: e.Name(), rel: path.Join(rel, e.Name()), sub: path.Join(sub, e.Name()), kind: e.Type()}
		passBy := f.kind.IsDir() && f.name == ".git" && !w.git
		f.last = passBy || w.depth > 0 && depth >= w.depth
		if passBy {
			w.hidden++
		}
		if err := w.each(f); err != nil {
			return err
		}
		if f.kind.IsDir() && !f.last {
			if err := w.into(f, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// into goes down. A directory that was removed, swapped or may not be read is counted and left.
func (w *walker) into(f found, depth int) error {
	next, err := descend(f.dir, f.name)
	if err != nil {
		w.unreadable++
		return nil
	}
	defer next.Close()
	return w.level(next, f.rel, f.sub, depth)
}

func readDir(dir *os.Root) ([]fs.DirEntry, error) {
	f, err := dir.Open(".")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, err
}

// remarks says what the walk passed by, for the end of a text.
func (w *walker) remarks() []string {
	var out []string
	if w.cut {
		out = append(out, "stopped: too many entries to look at; name a directory further down")
	}
	if w.hidden > 0 {
		out = append(out, fmt.Sprintf("%s not gone into; name it as path to do so", plural(w.hidden, ".git directory", ".git directories")))
	}
	if w.unreadable > 0 {
		out = append(out, plural(w.unreadable, "directory", "directories")+" could not be read")
	}
	return out
}

// insideGit tells whether a path is .git or below one, so that a walk that begins there goes on.
func insideGit(rel string) bool { return slices.Contains(strings.Split(rel, "/"), ".git") }
