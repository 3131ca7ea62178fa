package workspace

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"unicode/utf8"

	"github.com/aymanbagabas/go-udiff"

	"tachograph/schemas/journal"
)

// Delta is what one call did to the tree.
type Delta struct {
	From, To journal.Object
	Changes  []Change // all of them
	// Added and Removed are lines of text files. A file counts as text if it is at most 1 MiB long
	// and has no NUL byte among its first 8,000; a file whose bytes are not stored does not count.
	Added, Removed int64
	LeftOut        int64 // entries of the tree that its root does not cover, a directory as one
	Bytes          int64 // of the files that were added or modified, as they are now

	next, base *dir // of the tree that took it: what it comes to, and what it was taken against
}

// Files is the number of files and links among the changes.
func (d *Delta) Files() int64 {
	var n int64
	for i := range d.Changes {
		if c := &d.Changes[i]; c.Old.Type != journal.TypeDir && c.New.Type != journal.TypeDir || c.Kind == Retyped {
			n++
		}
	}
	return n
}

func newDelta(ctx context.Context, objs Objects, from, to *dir) (Delta, error) {
	d := Delta{From: from.object, To: to.object, LeftOut: to.leftSum, next: to}
	diff, err := diffDirs(ctx, objs, from, to)
	if err != nil {
		return d, err
	}
	d.Changes = diff.out
	for i := range d.Changes {
		c := &d.Changes[i]
		if c.New.Type.IsFile() && c.Kind != Mode {
			d.Bytes += c.New.Size
		}
		added, removed, err := changedLines(ctx, objs, c, diff.lines[i])
		if err != nil {
			return d, err
		}
		d.Added += added
		d.Removed += removed
	}
	return d, nil
}

// changedLines counts what one change adds and removes. known are the numbers of lines of both
// sides as far as they were counted, so that bytes are only read where two texts differ.
func changedLines(ctx context.Context, objs Objects, c *Change, known [2]uint32) (added, removed int64, err error) {
	switch old, is := known[0], known[1]; {
	case c.Kind == Mode:
		return 0, 0, nil
	case c.Kind == Added && c.New.Type == journal.TypeFile && is < notText:
		return int64(is), 0, nil
	case c.Kind == Removed && c.Old.Type == journal.TypeFile && old < notText:
		return 0, int64(old), nil
	}
	before, err := textOf(ctx, objs, &c.Old)
	if err != nil {
		return 0, 0, err
	}
	after, err := textOf(ctx, objs, &c.New)
	if err != nil {
		return 0, 0, err
	}
	added, removed = lineDiff(before, after)
	return added, removed, nil
}

// textOf is the content of a text file, nil for everything else.
func textOf(ctx context.Context, objs Objects, e *journal.DirEntry) ([]byte, error) {
	if e.Type != journal.TypeFile || e.Size == 0 {
		return nil, nil
	}
	b, err := loadFile(ctx, objs, e)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil || !isText(b) {
		return nil, err
	}
	return b, nil
}

func lineDiff(before, after []byte) (added, removed int64) {
	if len(before) == 0 || len(after) == 0 {
		return int64(countLines(after)), int64(countLines(before))
	}
	for _, e := range udiff.Lines(string(before), string(after)) {
		added += int64(countLines([]byte(e.New)))
		removed += int64(countLines(before[e.Start:e.End]))
	}
	return added, removed
}

// # JSON form of a delta, version 1
//
//	{"v":1,"from":"<hash>","to":"<hash>","added":n,"removed":n,"left_out":n,"bytes":n,"changes":[…]}
//	change: {"path":…,"kind":"added|removed|modified|mode|type","old":{…},"new":{…}}
//	old, new: {"type":"file|chunks|dir|link","mode":n,"size":n,"object":"<hash>","target":…}
//
// Fields stand in this order without white space; "old" is absent if added, "new" if removed,
// "object" for a link, "target" for everything else. Mode is a decimal number. Paths and targets are
// bytes: if they are valid UTF-8 they stand as a string under "path" and "target", else in base64
// (RFC 4648 §4, padded) under "path64" and "target64". Strings escape only what JSON demands, and
// U+2028 and U+2029. There is one spelling; DecodeDelta refuses every other.
const deltaVersion = 1

type wireDelta struct {
	V       int            `json:"v"`
	From    journal.Object `json:"from"`
	To      journal.Object `json:"to"`
	Added   int64          `json:"added"`
	Removed int64          `json:"removed"`
	LeftOut int64          `json:"left_out"`
	Bytes   int64          `json:"bytes"`
	Changes []wireChange   `json:"changes"`
}

type wireChange struct {
	Path   string     `json:"path,omitzero"`
	Path64 string     `json:"path64,omitzero"`
	Kind   ChangeKind `json:"kind"`
	Old    *wireEntry `json:"old,omitzero"`
	New    *wireEntry `json:"new,omitzero"`
}

type wireEntry struct {
	Type     string         `json:"type"`
	Mode     uint32         `json:"mode"`
	Size     int64          `json:"size"`
	Object   journal.Object `json:"object,omitzero"`
	Target   string         `json:"target,omitzero"`
	Target64 string         `json:"target64,omitzero"`
}

// Encode writes the JSON form, which is exact: it becomes content of the journal.
func (d *Delta) Encode() ([]byte, error) {
	w := wireDelta{deltaVersion, d.From, d.To, d.Added, d.Removed, d.LeftOut, d.Bytes, make([]wireChange, len(d.Changes))}
	for i := range d.Changes {
		c := &d.Changes[i]
		w.Changes[i] = wireChange{Kind: c.Kind, Old: toWire(&c.Old), New: toWire(&c.New)}
		w.Changes[i].Path, w.Changes[i].Path64 = splitText(c.Path)
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(w); err != nil {
		return nil, fmt.Errorf("encode delta: %w", err)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// DecodeDelta reads the JSON form. The result can be shown and compared, but not applied to a tree.
func DecodeDelta(b []byte) (Delta, error) {
	var w wireDelta
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&w); err != nil {
		return Delta{}, fmt.Errorf("decode delta: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Delta{}, errors.New("decode delta: something follows it")
	}
	if w.V != deltaVersion {
		return Delta{}, fmt.Errorf("decode delta: version %d: this tacho reads version %d", w.V, deltaVersion)
	}
	d := Delta{From: w.From, To: w.To, Added: w.Added, Removed: w.Removed, LeftOut: w.LeftOut, Bytes: w.Bytes}
	for i := range w.Changes {
		c, err := w.Changes[i].change()
		if err != nil {
			return Delta{}, fmt.Errorf("decode delta, change %d: %w", i, err)
		}
		d.Changes = append(d.Changes, c)
	}
	again, err := d.Encode()
	if err == nil && !bytes.Equal(again, b) {
		err = errors.New("decode delta: not in its one spelling")
	}
	return d, err
}

func toWire(e *journal.DirEntry) *wireEntry {
	if e.Type == 0 {
		return nil
	}
	w := &wireEntry{Type: e.Type.String(), Mode: e.Mode, Size: e.Size, Object: e.Object}
	w.Target, w.Target64 = splitText(e.Target)
	return w
}

func (w *wireChange) change() (Change, error) {
	path, err := joinText(w.Path, w.Path64)
	if err != nil {
		return Change{}, err
	}
	for name := range strings.SplitSeq(path, "/") {
		if !journal.ValidName(name) {
			return Change{}, fmt.Errorf("path %.300q: no path below the top of a tree", path)
		}
	}
	c := Change{Path: path, Kind: w.Kind}
	switch w.Kind {
	case Added, Removed, Modified, Mode, Retyped:
	default:
		return c, fmt.Errorf("kind %.20q is unknown", w.Kind)
	}
	if (w.Old == nil) != (w.Kind == Added) || (w.New == nil) != (w.Kind == Removed) {
		return c, fmt.Errorf("%q: old and new do not fit %q", path, w.Kind)
	}
	name := path[strings.LastIndexByte(path, '/')+1:]
	if c.Old, err = w.Old.entry(name); err == nil {
		c.New, err = w.New.entry(name)
	}
	return c, err
}

// entry reads one side of a change; the zero entry for none.
func (w *wireEntry) entry(name string) (journal.DirEntry, error) {
	if w == nil {
		return journal.DirEntry{}, nil
	}
	e := journal.DirEntry{Name: name, Mode: w.Mode, Size: w.Size, Object: w.Object}
	for _, t := range []journal.EntryType{journal.TypeFile, journal.TypeChunks, journal.TypeDir, journal.TypeLink} {
		if w.Type == t.String() {
			e.Type = t
		}
	}
	var err error
	if e.Target, err = joinText(w.Target, w.Target64); err != nil {
		return e, err
	}
	return e, e.Check()
}

// splitText puts bytes that are not UTF-8 into the second string, as base64.
func splitText(s string) (text, b64 string) {
	if utf8.ValidString(s) {
		return s, ""
	}
	return "", base64.StdEncoding.EncodeToString([]byte(s))
}

func joinText(text, b64 string) (string, error) {
	if b64 == "" {
		return text, nil
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(b64)
	return string(raw), err
}
