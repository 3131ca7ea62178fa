package replay

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"tachograph/runner/workspace"
	"tachograph/schemas/journal"
)

// Change is an entry that differs between two trees.
type Change = workspace.Change

// Tree is the files of a run at some moment, looked at without writing them anywhere.
type Tree struct {
	objects ObjectReader
	Root    journal.Object
}

// TreeOf shows the tree with that root, of the run's family.
func TreeOf(src Source, run journal.RunID, root journal.Object) Tree {
	return Tree{Objects(src, run), root}
}

// get reads an object and compares its bytes with its name.
func (t Tree) get(ctx context.Context, name journal.Object) ([]byte, error) {
	b, err := t.objects.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	if journal.NameObject(b) != name {
		return nil, fmt.Errorf("object %s: its bytes have another hash: the store is damaged", name.Short())
	}
	return b, nil
}

// List is the entries of a directory, in the order of their names' bytes.
func (t Tree) List(ctx context.Context, dir journal.Object) ([]journal.DirEntry, error) {
	b, err := t.get(ctx, dir)
	if err != nil {
		return nil, fmt.Errorf("list directory: %w", err)
	}
	return journal.DecodeDir(b)
}

// Find is the entry that a path names: its parts separated by "/", any bytes. "" is the top, a
// directory without a name. It does not follow links: where one leads is nobody's business here.
// ErrNotFound if there is no such entry.
func (t Tree) Find(ctx context.Context, path string) (journal.DirEntry, error) {
	at := journal.DirEntry{Type: journal.TypeDir, Object: t.Root}
	if path == "" {
		return at, nil
	}
	for part := range strings.SplitSeq(path, "/") {
		if at.Type != journal.TypeDir {
			return journal.DirEntry{}, fmt.Errorf("find %.200q: %w", path, ErrNotFound)
		}
		entries, err := t.List(ctx, at.Object)
		if err != nil {
			return journal.DirEntry{}, err
		}
		i, ok := slices.BinarySearchFunc(entries, part, func(e journal.DirEntry, name string) int { return strings.Compare(e.Name, name) })
		if !ok {
			return journal.DirEntry{}, fmt.Errorf("find %.200q: %w", path, ErrNotFound)
		}
		at = entries[i]
	}
	return at, nil
}

// Read returns at most limit bytes of a file from offset on. Only the chunks that hold them are read.
// Bytes that were not kept (what looks like a secret) give ErrNotFound.
func (t Tree) Read(ctx context.Context, file journal.DirEntry, offset, limit int64) ([]byte, error) {
	offset = min(max(offset, 0), file.Size)
	limit = min(max(limit, 0), file.Size-offset)
	switch file.Type {
	case journal.TypeFile:
		b, err := t.get(ctx, file.Object)
		if err != nil {
			return nil, fmt.Errorf("read file %.200q: %w", file.Name, err)
		}
		if int64(len(b)) != file.Size {
			return nil, fmt.Errorf("read file %.200q: %d bytes, its directory says %d", file.Name, len(b), file.Size)
		}
		return b[offset : offset+limit], nil
	case journal.TypeChunks:
		return t.readChunks(ctx, file, offset, limit)
	}
	return nil, fmt.Errorf("read file %.200q: it is a %s", file.Name, file.Type)
}

func (t Tree) readChunks(ctx context.Context, file journal.DirEntry, offset, limit int64) ([]byte, error) {
	list, err := t.get(ctx, file.Object)
	if err != nil {
		return nil, fmt.Errorf("read file %.200q: %w", file.Name, err)
	}
	_, chunks, err := journal.DecodeChunks(list)
	if err != nil {
		return nil, fmt.Errorf("read file %.200q: %w", file.Name, err)
	}
	out := make([]byte, 0, limit)
	for i := offset / journal.ChunkSize; int64(len(out)) < limit && i < int64(len(chunks)); i++ {
		b, err := t.get(ctx, chunks[i])
		if err != nil {
			return nil, fmt.Errorf("read file %.200q: %w", file.Name, err)
		}
		from := max(offset-i*journal.ChunkSize, 0)
		if from > int64(len(b)) {
			return nil, fmt.Errorf("read file %.200q: chunk %d is shorter than its list says", file.Name, i)
		}
		out = append(out, b[from:min(from+limit-int64(len(out)), int64(len(b)))]...)
	}
	return out, nil
}

// Changes lists what differs from tree a to tree b, which may be of two runs. Files that were moved
// are told as renamed.
func Changes(ctx context.Context, a, b Tree) ([]Change, error) {
	return workspace.Diff(ctx, Both(a.objects, b.objects), a.Root, b.Root, workspace.DiffOptions{Renames: true})
}

// Patch writes changes between the two trees as a unified diff of at most most bytes; it says at its
// end what was cut off.
func Patch(ctx context.Context, a, b Tree, changes []Change, w io.Writer, most int64) error {
	return workspace.Patch(ctx, Both(a.objects, b.objects), changes, w, workspace.PatchOptions{MaxBytes: most})
}

// Started is entry 0 of a run: what it begins with.
func Started(ctx context.Context, src Source, run journal.RunID) (*journal.RunStarted, error) {
	return startOf(ctx, src, run)
}
