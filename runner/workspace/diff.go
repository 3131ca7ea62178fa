package workspace

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"tachograph/schemas/journal"
)

// ChangeKind says how an entry differs between two trees.
type ChangeKind string

const (
	Added    ChangeKind = "added"
	Removed  ChangeKind = "removed"
	Modified ChangeKind = "modified" // content or link target, perhaps permission bits too
	Mode     ChangeKind = "mode"     // only permission bits
	Retyped  ChangeKind = "type"     // file, directory and link by turns
	Renamed  ChangeKind = "renamed"  // only if asked for: removed at From, added at Path, equal content
)

// Change is one entry that differs. A directory is one only if it appears, goes, or gets other
// permission bits; what changed in it is listed by itself, so each differing path is there once.
type Change struct {
	Path string // from the top, components separated by "/", any bytes
	Kind ChangeKind
	Old  journal.DirEntry // zero if added
	New  journal.DirEntry // zero if removed
	From string           // where it was before, if renamed
}

// DiffOptions choose how a difference is told.
type DiffOptions struct {
	// Renames pairs files that were removed with files of equal content that were added.
	Renames bool
}

// Diff lists what differs between the trees a and b. Only directory objects that differ are read.
// Changes come in the order of a walk: by name in each directory, a directory before its content.
func Diff(ctx context.Context, objs Objects, a, b journal.Object, o DiffOptions) ([]Change, error) {
	from, err := loadDir(ctx, objs, a)
	if err != nil {
		return nil, fmt.Errorf("diff %s %s: %w", a.Short(), b.Short(), err)
	}
	to, err := loadDir(ctx, objs, b)
	if err != nil {
		return nil, fmt.Errorf("diff %s %s: %w", a.Short(), b.Short(), err)
	}
	d, err := diffDirs(ctx, objs, from, to)
	if err != nil {
		return nil, fmt.Errorf("diff %s %s: %w", a.Short(), b.Short(), err)
	}
	if o.Renames {
		return pairRenames(d.out), nil
	}
	return d.out, nil
}

// differ walks two trees at once, where they differ.
type differ struct {
	ctx  context.Context
	objs Objects
	mask uint32 // permission bits that count
	out  []Change
	// lines are the entries' numbers of lines, as far as known, old and new, for each of out.
	lines [][2]uint32
}

func diffDirs(ctx context.Context, objs Objects, a, b *dir) (differ, error) {
	d := differ{ctx: ctx, objs: objs, mask: permBits}
	err := d.dirs("", a, b)
	return d, err
}

// dirs compares two dirs at the path p. Either may be nil: then all of the other is listed.
func (d *differ) dirs(p string, a, b *dir) error {
	if err := d.ctx.Err(); err != nil {
		return err
	}
	if a == b || a != nil && b != nil && a.object == b.object {
		return nil
	}
	var olds, news []entry
	if a != nil {
		olds = a.entries
	}
	if b != nil {
		news = b.entries
	}
	for len(olds) > 0 || len(news) > 0 {
		var was, is *entry
		switch order := compareHeads(olds, news); {
		case order < 0:
			was, olds = &olds[0], olds[1:]
		case order > 0:
			is, news = &news[0], news[1:]
		default:
			was, is, olds, news = &olds[0], &news[0], olds[1:], news[1:]
		}
		if err := d.entries(p, was, is); err != nil {
			return err
		}
	}
	return nil
}

func compareHeads(a, b []entry) int {
	switch {
	case len(a) == 0:
		return 1
	case len(b) == 0:
		return -1
	}
	return strings.Compare(a[0].Name, b[0].Name)
}

// entries compares two entries of one name, of which one may be nil.
func (d *differ) entries(p string, was, is *entry) error {
	c := Change{Kind: Modified}
	var lines [2]uint32
	if was != nil {
		lines[0] = was.lines
	}
	if is != nil {
		lines[1] = is.lines
	}
	switch {
	case was == nil:
		c.Path, c.Kind, c.New = join(p, is.Name), Added, is.DirEntry
	case is == nil:
		c.Path, c.Kind, c.Old = join(p, was.Name), Removed, was.DirEntry
	default:
		c.Path, c.Old, c.New = join(p, is.Name), was.DirEntry, is.DirEntry
		sameMode := was.Mode&d.mask == is.Mode&d.mask
		sameContent := was.Type == is.Type && was.Target == is.Target && (was.Object == is.Object || was.Type == journal.TypeDir)
		switch {
		case class(was.Type) != class(is.Type):
			c.Kind = Retyped
		case sameContent && sameMode:
			c.Kind = ""
		case sameContent:
			c.Kind = Mode
		}
	}
	if c.Kind != "" {
		d.out = append(d.out, c)
		d.lines = append(d.lines, lines)
	}
	return d.below(c.Path, was, is)
}

// below compares what lies below two entries, where they are directories.
func (d *differ) below(p string, was, is *entry) error {
	if was != nil && is != nil && was.Object == is.Object {
		return nil
	}
	a, err := d.load(was)
	if err != nil {
		return err
	}
	b, err := d.load(is)
	if err != nil {
		return err
	}
	return d.dirs(p, a, b)
}

func (d *differ) load(e *entry) (*dir, error) {
	if e == nil || e.Type != journal.TypeDir {
		return nil, nil
	}
	return e.sub(d.ctx, d.objs)
}

// class makes files of either size one type.
func class(t journal.EntryType) journal.EntryType {
	if t.IsFile() {
		return journal.TypeFile
	}
	return t
}

// pairRenames joins each added file with the first removed one of the same content that is left.
// Empty files are alike without having anything to do with one another.
func pairRenames(changes []Change) []Change {
	removed := make(map[journal.DirEntry][]int)
	for i, c := range changes {
		if c.Kind == Removed && c.Old.Type != journal.TypeDir && c.Old.Size > 0 {
			removed[likeness(c.Old)] = append(removed[likeness(c.Old)], i)
		}
	}
	gone := make([]bool, len(changes))
	for i := range changes {
		c := &changes[i]
		key := likeness(c.New)
		if from := removed[key]; c.Kind == Added && len(from) > 0 {
			c.Kind, c.From, c.Old = Renamed, changes[from[0]].Path, changes[from[0]].Old
			gone[from[0]] = true
			removed[key] = from[1:]
		}
	}
	kept := make([]Change, 0, len(changes))
	for i, c := range changes {
		if !gone[i] {
			kept = append(kept, c)
		}
	}
	return slices.Clip(kept)
}

func likeness(e journal.DirEntry) journal.DirEntry {
	e.Name, e.Mode = "", 0
	return e
}
