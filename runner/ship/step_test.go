package ship_test

import (
	"context"
	"fmt"

	"tachograph/runner/state"
	"tachograph/schemas/journal"
)

// stepInto writes an entry that adds a file to the top of the tree, so that a process that knows only the
// root can go on. What else an entry may be is not of interest here.
func stepInto(ctx context.Context, run *state.Run, root journal.Object, n int64) (journal.Object, error) {
	text, err := run.Objects().Get(ctx, root)
	if err != nil {
		return root, err
	}
	entries, err := journal.DecodeDir(text)
	if err != nil {
		return root, err
	}
	file := []byte(fmt.Sprintf("file %d", n))
	name := journal.NameObject(file)
	if err := run.Objects().Put(ctx, name, file); err != nil {
		return root, err
	}
	entries = append(entries, journal.DirEntry{Name: fmt.Sprintf("z%06d", n), Type: journal.TypeFile, Mode: 0o644, Size: int64(len(file)), Object: name})
	top, err := journal.EncodeDir(entries)
	if err != nil {
		return root, err
	}
	next := journal.NameObject(top)
	if err := run.Objects().Put(ctx, next, top); err != nil {
		return root, err
	}
	delta := run.Stage([]byte(fmt.Sprintf("delta %d", n)))
	_, err = run.Append(ctx, state.Draft{Agent: "/", Body: &journal.WorkspaceTouched{By: "person", Root: next, Delta: delta, Files: 1}})
	return next, err
}
