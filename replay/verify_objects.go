package replay

import (
	"context"
	"errors"
	"path"

	"tachograph/runner/workspace"
	"tachograph/schemas/journal"
)

// objects walks every tree that an entry names, each object once.
func (v *verifier) objects(ctx context.Context) error {
	if v.report.Erased > 0 && v.report.Contents == 0 {
		return nil // the family was erased; its files are gone with it
	}
	for _, root := range byFirstUse(v.roots) {
		if err := v.directory(ctx, root, "", v.roots[root]); err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) directory(ctx context.Context, name journal.Object, at string, seq int64) error {
	b, err := v.object(ctx, name, at, seq)
	if b == nil || err != nil {
		return err
	}
	entries, err := journal.DecodeDir(b)
	if err != nil {
		v.find(seq, "directory %q in the tree of entry %d is wrong: %v", at, seq, err)
		return nil
	}
	for _, e := range entries {
		if err := v.treeEntry(ctx, e, path.Join(at, e.Name), seq); err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) treeEntry(ctx context.Context, e journal.DirEntry, at string, seq int64) error {
	switch e.Type {
	case journal.TypeDir:
		return v.directory(ctx, e.Object, at, seq)
	case journal.TypeFile:
		b, err := v.object(ctx, e.Object, at, seq)
		if b != nil && int64(len(b)) != e.Size {
			v.find(seq, "file %q in the tree of entry %d has %d bytes, its directory says %d", at, seq, len(b), e.Size)
		}
		return err
	case journal.TypeChunks:
		return v.chunks(ctx, e, at, seq)
	}
	return nil
}

func (v *verifier) chunks(ctx context.Context, e journal.DirEntry, at string, seq int64) error {
	b, err := v.object(ctx, e.Object, at, seq)
	if b == nil || err != nil {
		return err
	}
	size, chunks, err := journal.DecodeChunks(b)
	if err != nil || size != e.Size {
		v.find(seq, "chunk list of file %q in the tree of entry %d is wrong: %v", at, seq, err)
		return nil
	}
	for _, chunk := range chunks {
		if _, err := v.object(ctx, chunk, at, seq); err != nil {
			return err
		}
	}
	return nil
}

// object reads an object and checks its name. It is nil if it was seen before, cannot be read or is
// wrong; the error is only of the verification itself.
func (v *verifier) object(ctx context.Context, name journal.Object, at string, seq int64) ([]byte, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if v.seen[name] {
		return nil, nil
	}
	v.seen[name] = true
	b, err := v.src.Object(ctx, v.run, name)
	switch {
	case errors.Is(err, ErrNotFound) && workspace.SecretName(at):
		v.report.Withheld++
		return nil, nil
	case err != nil:
		v.find(seq, "%q in the tree of entry %d cannot be read (object %s): %v", at, seq, name, err)
		return nil, nil
	case journal.NameObject(b) != name:
		v.find(seq, "%q in the tree of entry %d was replaced: object %s now has the hash %s", at, seq, name, journal.NameObject(b))
		return nil, nil
	}
	v.report.Objects++
	v.report.Bytes += int64(len(b))
	return b, nil
}
