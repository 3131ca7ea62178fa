package workspace

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tachograph/schemas/journal"
)

// The index file is <tree>.index: a cache private to one machine. Its name for the format changes
// with it, and a file that is not understood is as good as none.
//
//	"tacho-index-v1\n"
//	directory: number of entries, then each: name, type, permission bits, size;
//	           file: object, lines, stamp; link: target, stamp; directory: object, directory
//	           number of left-out entries, then each: name, reason
//	SHA-256 of all before, 32 bytes
//
// Numbers are unsigned varints (times signed), strings are preceded by their length.
const indexMagic = "tacho-index-v1\n"

// IndexPath is the file that Sync writes for a tree, to be removed with it.
func IndexPath(tree string) string { return absolute(tree) + ".index" }

func saveIndex(tree string, d *dir) error {
	b := appendIndex([]byte(indexMagic), d)
	sum := sha256.Sum256(b)
	path := IndexPath(tree)
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, sum[:]...))
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), path)
}

// loadIndex returns what was known of the tree, an empty dir if nothing.
func loadIndex(tree string) *dir {
	b, err := os.ReadFile(IndexPath(tree))
	if err != nil {
		return &dir{}
	}
	d, ok := parseIndex(b)
	if !ok {
		return &dir{}
	}
	return d
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendIndex(b []byte, d *dir) []byte {
	b = binary.AppendUvarint(b, uint64(len(d.entries)))
	for i := range d.entries {
		e := &d.entries[i]
		b = appendString(b, e.Name)
		b = append(b, byte(e.Type))
		b = binary.AppendUvarint(b, uint64(e.Mode))
		b = binary.AppendUvarint(b, uint64(e.Size))
		switch e.Type {
		case journal.TypeDir:
			b = append(b, e.Object[:]...)
			b = appendIndex(b, e.dir)
			continue
		case journal.TypeLink:
			b = appendString(b, e.Target)
		default:
			b = append(b, e.Object[:]...)
			b = binary.AppendUvarint(b, uint64(e.lines))
		}
		b = binary.AppendVarint(b, e.stamp.mtime)
		b = binary.AppendVarint(b, e.stamp.ctime)
		b = binary.AppendUvarint(b, e.stamp.ino)
	}
	b = binary.AppendUvarint(b, uint64(len(d.left)))
	for _, l := range d.left {
		b = append(appendString(b, l.name), byte(l.why))
	}
	return b
}

// indexReader takes fields from the front of rest; once one is missing, bad is set.
type indexReader struct {
	rest  string
	depth int
	bad   bool
}

// parseIndex reads an index file. The checksum keeps out damage; that what it says about the disk is
// still true is found out by looking at the disk.
func parseIndex(b []byte) (*dir, bool) {
	body := len(b) - sha256.Size
	if body < 0 {
		return nil, false
	}
	if sum := sha256.Sum256(b[:body]); string(sum[:]) != string(b[body:]) {
		return nil, false
	}
	rest, ok := strings.CutPrefix(string(b[:body]), indexMagic)
	if !ok {
		return nil, false
	}
	r := indexReader{rest: rest}
	d := r.dir()
	return d, !r.bad && r.rest == ""
}

func (r *indexReader) take(n uint64) string {
	if r.bad || n > uint64(len(r.rest)) {
		r.bad = true
		return ""
	}
	field := r.rest[:n]
	r.rest = r.rest[n:]
	return field
}

func (r *indexReader) byte() byte {
	if b := r.take(1); b != "" {
		return b[0]
	}
	return 0
}

func (r *indexReader) uvarint() uint64 {
	var v uint64
	for shift := 0; shift < 64; shift += 7 {
		c := r.byte()
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return v
		}
	}
	r.bad = true
	return 0
}

func (r *indexReader) varint() int64 {
	u := r.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

// string clones, so that a name does not keep the file in memory.
func (r *indexReader) string() string { return strings.Clone(r.take(r.uvarint())) }

// count reads a number of things of at least two bytes each.
func (r *indexReader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.rest)/2) {
		r.bad = true
		return 0
	}
	return int(n)
}

func (r *indexReader) dir() *dir {
	if r.depth++; r.depth > maxDepth+2 {
		r.bad = true
	}
	defer func() { r.depth-- }()
	d := &dir{entries: make([]entry, r.count())}
	for i := range d.entries {
		r.entry(&d.entries[i])
		if r.bad {
			return d
		}
	}
	ordered := slices.IsSortedFunc(d.entries, func(a, b entry) int { return strings.Compare(a.Name, b.Name) })
	r.bad = r.bad || !ordered
	if n := r.count(); n > 0 {
		d.left = make([]leftOut, n)
	}
	for i := range d.left {
		d.left[i] = leftOut{r.string(), Reason(r.byte())}
	}
	return d
}

func (r *indexReader) entry(e *entry) {
	e.Name = r.string()
	e.Type = journal.EntryType(r.byte())
	e.Mode = uint32(r.uvarint())
	e.Size = int64(r.uvarint())
	switch e.Type {
	case journal.TypeDir:
		copy(e.Object[:], r.take(journal.HashSize))
		e.dir = r.dir()
		e.dir.object = e.Object
		for i := range e.dir.entries {
			if sub := e.dir.entries[i].dir; sub != nil {
				e.dir.leftSum += sub.leftSum
			}
		}
		e.dir.leftSum += int64(len(e.dir.left))
		return
	case journal.TypeLink:
		e.Target = r.string()
	case journal.TypeFile, journal.TypeChunks:
		copy(e.Object[:], r.take(journal.HashSize))
		e.lines = uint32(r.uvarint())
	default:
		r.bad = true
	}
	e.stamp = stamp{r.varint(), r.varint(), r.uvarint()}
}
