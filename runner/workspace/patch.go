package workspace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/aymanbagabas/go-udiff"

	"tachograph/schemas/journal"
)

// PatchOptions bound a patch. Zero values mean the defaults.
type PatchOptions struct {
	Context  int   // lines shown around a change; default 3
	MaxBytes int64 // of the whole patch; default 1 MiB. What is cut off is said at the end
}

const (
	defaultContext = 3
	defaultPatch   = 1 << 20
)

// Patch writes changes as a unified diff with git's extended headers. Files that are binary, large
// or whose bytes are not kept are named only. Names that hold control characters, quotes or bytes
// that are not ASCII are quoted as git quotes them. Directories do not appear.
func Patch(ctx context.Context, objs Objects, changes []Change, w io.Writer, o PatchOptions) error {
	if o.Context <= 0 {
		o.Context = defaultContext
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = defaultPatch
	}
	var written int64
	for i := range changes {
		var buf bytes.Buffer
		if err := writeChange(ctx, objs, &changes[i], &buf, o.Context); err != nil {
			return fmt.Errorf("patch of %q: %w", clip(changes[i].Path), err)
		}
		if written+int64(buf.Len()) > o.MaxBytes {
			_, err := fmt.Fprintf(w, "# cut here: %d of %d changes are not shown, the limit is %d bytes\n", len(changes)-i, len(changes), o.MaxBytes)
			return err
		}
		n, err := w.Write(buf.Bytes())
		if written += int64(n); err != nil {
			return err
		}
	}
	return nil
}

// writeChange writes one change. One that turns a file into a link or back is a removal and an
// addition, as in git.
func writeChange(ctx context.Context, objs Objects, c *Change, w *bytes.Buffer, context int) error {
	if c.Kind == Retyped {
		for _, half := range []Change{{Path: c.Path, Kind: Removed, Old: c.Old}, {Path: c.Path, Kind: Added, New: c.New}} {
			if err := writeChange(ctx, objs, &half, w, context); err != nil {
				return err
			}
		}
		return nil
	}
	if c.Old.Type == journal.TypeDir || c.New.Type == journal.TypeDir {
		return nil
	}
	from := c.Path
	if c.Kind == Renamed {
		from = c.From
	}
	writeHeader(w, c, from)
	if c.Kind == Mode || c.Old.Object == c.New.Object && c.Old.Target == c.New.Target {
		return nil
	}
	before, readable, err := patchText(ctx, objs, &c.Old)
	if err != nil {
		return err
	}
	after, alsoReadable, err := patchText(ctx, objs, &c.New)
	if err != nil {
		return err
	}
	oldName, newName := quoteName("a/"+from), quoteName("b/"+c.Path)
	if c.Kind == Added {
		oldName = "/dev/null"
	}
	if c.Kind == Removed {
		newName = "/dev/null"
	}
	if !readable || !alsoReadable {
		fmt.Fprintf(w, "Binary files %s and %s differ\n", oldName, newName)
		return nil
	}
	text, err := udiff.ToUnified(oldName, newName, before, udiff.Lines(before, after), context)
	w.WriteString(text)
	return err
}

func writeHeader(w *bytes.Buffer, c *Change, from string) {
	fmt.Fprintf(w, "diff --git %s %s\n", quoteName("a/"+from), quoteName("b/"+c.Path))
	switch {
	case c.Kind == Added:
		fmt.Fprintf(w, "new file mode %s\n", gitMode(&c.New))
	case c.Kind == Removed:
		fmt.Fprintf(w, "deleted file mode %s\n", gitMode(&c.Old))
	case gitMode(&c.Old) != gitMode(&c.New):
		fmt.Fprintf(w, "old mode %s\nnew mode %s\n", gitMode(&c.Old), gitMode(&c.New))
	}
	if c.Kind == Renamed {
		fmt.Fprintf(w, "rename from %s\nrename to %s\n", quoteName(from), quoteName(c.Path))
	}
}

// gitMode is the mode in git's notation, but with all permission bits and not only u+x.
func gitMode(e *journal.DirEntry) string {
	if e.Type == journal.TypeLink {
		return "120000"
	}
	return fmt.Sprintf("10%04o", e.Mode)
}

// patchText is what a patch shows of an entry; readable is false if it shows nothing.
func patchText(ctx context.Context, objs Objects, e *journal.DirEntry) (text string, readable bool, err error) {
	switch e.Type {
	case journal.TypeLink:
		return e.Target, true, nil
	case journal.TypeChunks:
		return "", false, nil
	case journal.TypeFile:
	default:
		return "", true, nil
	}
	b, err := loadFile(ctx, objs, e)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	return string(b), isText(b), err
}

// quoteName quotes as git does (core.quotePath): in double quotes with C escapes, where needed.
func quoteName(name string) string {
	plain := func(c byte) bool { return c >= ' ' && c < 0x7f && c != '"' && c != '\\' }
	var b strings.Builder
	for i := range len(name) {
		switch c := name[i]; {
		case plain(c):
			b.WriteByte(c)
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c >= '\a' && c <= '\r':
			b.WriteByte('\\')
			b.WriteByte("abtnvfr"[c-'\a'])
		default:
			fmt.Fprintf(&b, `\%03o`, c)
		}
	}
	if b.Len() == len(name) {
		return name
	}
	return `"` + b.String() + `"`
}
