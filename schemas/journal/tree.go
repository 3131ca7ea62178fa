package journal

import "fmt"

// TreeObject is an object that a tree is made of.
type TreeObject struct {
	Name Object
	Type EntryType // TypeFile also for a chunk of a larger one
}

// TreeReader reads objects: the bytes of each name, in the order of names; nil for one that is not
// there (a file that matched a secret pattern was never stored).
type TreeReader func(names []Object) ([][]byte, error)

// NewObjects lists the objects of the tree root that none of the trees old is made of at the same
// path, each once: files and their chunks first, then chunk lists and directories, root last. known,
// which may be nil, says that an object and all that it names need not be listed. It reads directories
// and chunk lists alone, and of the trees old only those that changed, a level at a time, so its cost
// is that of the difference.
//
// It holds the names of what it lists in memory, and the bytes of one level of directories.
func NewObjects(root Object, old []Object, known func(Object) bool, read TreeReader) ([]TreeObject, error) {
	w := &treeWalk{read: read, known: known, seen: map[Object]bool{}}
	level := w.want(nil, DirEntry{Type: TypeDir, Object: root}, nil, old)
	for len(level) > 0 {
		var err error
		if level, err = w.descend(level); err != nil {
			return nil, fmt.Errorf("compare trees: %w", err)
		}
	}
	objects := w.leaves
	for i := len(w.inner) - 1; i >= 0; i-- { // the root was found first
		objects = append(objects, w.inner[i])
	}
	return objects, nil
}

// treeNode is a directory or chunk list to be read, and the directories that stood in its place.
type treeNode struct {
	TreeObject
	old []Object
}

type treeWalk struct {
	read   TreeReader
	known  func(Object) bool
	seen   map[Object]bool
	leaves []TreeObject
	inner  []TreeObject // each after the first that names it
}

// want adds the entry to those found, unless it is one of the entries that stood in its place. What
// names others is added to level.
func (w *treeWalk) want(level []treeNode, e DirEntry, replaced []DirEntry, roots []Object) []treeNode {
	dirs := roots
	for i := range replaced {
		if replaced[i].Object == e.Object {
			return level
		}
		if replaced[i].Type == TypeDir {
			dirs = append(dirs, replaced[i].Object)
		}
	}
	for _, r := range roots {
		if r == e.Object {
			return level
		}
	}
	if e.Object.IsZero() || w.seen[e.Object] || w.known != nil && w.known(e.Object) {
		return level
	}
	w.seen[e.Object] = true
	found := TreeObject{e.Object, e.Type}
	if e.Type == TypeFile {
		w.leaves = append(w.leaves, found)
		return level
	}
	w.inner = append(w.inner, found)
	if e.Type == TypeChunks {
		dirs = nil
	}
	return append(level, treeNode{found, dirs})
}

// descend reads one level and returns the next.
func (w *treeWalk) descend(level []treeNode) ([]treeNode, error) {
	var names []Object
	for _, n := range level {
		names = append(append(names, n.Name), n.old...)
	}
	texts, err := w.read(names)
	if err == nil && len(texts) != len(names) {
		err = fmt.Errorf("%d objects were read where %d were asked for", len(texts), len(names))
	}
	if err != nil {
		return nil, err
	}
	var next []treeNode
	for _, n := range level {
		text, olds := texts[0], texts[1:1+len(n.old)]
		texts = texts[1+len(n.old):]
		if text == nil {
			continue
		}
		if n.Type == TypeChunks {
			next, err = w.chunks(next, text)
		} else {
			next, err = w.directory(next, text, olds)
		}
		if err != nil {
			return nil, fmt.Errorf("object %s: %w", n.Name, err)
		}
	}
	return next, nil
}

func (w *treeWalk) chunks(level []treeNode, text []byte) ([]treeNode, error) {
	_, chunks, err := DecodeChunks(text)
	for _, c := range chunks {
		level = w.want(level, DirEntry{Type: TypeFile, Object: c}, nil, nil)
	}
	return level, err
}

func (w *treeWalk) directory(level []treeNode, text []byte, olds [][]byte) ([]treeNode, error) {
	entries, err := DecodeDir(text)
	if err != nil {
		return nil, err
	}
	replaced := map[string][]DirEntry{}
	for _, old := range olds {
		if old == nil {
			continue
		}
		before, err := DecodeDir(old)
		if err != nil {
			return nil, fmt.Errorf("the directory before it: %w", err)
		}
		for _, e := range before {
			replaced[e.Name] = append(replaced[e.Name], e)
		}
	}
	for _, e := range entries {
		level = w.want(level, e, replaced[e.Name], nil)
	}
	return level, nil
}
