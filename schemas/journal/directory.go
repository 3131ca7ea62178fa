package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// # Trees of files
//
// A tree is named by one object, the directory object of its top. It covers of every entry below:
// path, type, permission bits, size, content and link target. It covers no times, owners, extended
// attributes or hard links, and not the permission bits of the top itself. Equal trees have equal
// names on every machine. All integers are unsigned and big-endian; an object's name is 32 bytes.
//
// Directory object, version 1: one directory, its entries strictly ascending by the bytes of
// their names (as memcmp orders them, a prefix first).
//
//	bytes
//	13     "tacho-dir-v1\n"
//	4      number of entries
//	…      entries, without padding; the object ends with the last one
//
//	entry
//	2      length of the name, 1 … 255
//	n      name: any bytes but "/" and NUL; not "." or ".."
//	1      type: 'f', 'c', 'd' or 'l'
//	2      permission bits, 0 … 07777
//	8      size
//	n      'f' 'c' 'd': name of an object, 32 bytes; 'l': target, size bytes
//
//	type  is                             permission bits  size              names
//	f     regular file of ≤ 1 MiB        as set           0 … 1048576       the file's bytes
//	c     larger regular file            as set           1048577 … 2^40    a chunk list object
//	d     directory, also an empty one   as set           0                 a directory object
//	l     symbolic link                  0777             1 … 4095          (target without NUL)
//
// Chunk list object, version 1: the bytes of a file of more than 1 MiB, cut every 1 MiB. Each chunk
// is an object by itself, named by the SHA-256 of its bytes; all but the last are 1 MiB long.
//
//	bytes
//	16     "tacho-chunks-v1\n"
//	8      size of the file, 1048577 … 2^40
//	32     name of a chunk, ⌈size / 1 MiB⌉ times
//
// Each object has one spelling: what Decode accepts, Encode would write again. An object's name is
// never all zero bytes.
const (
	dirMagic    = "tacho-dir-v1\n"
	chunksMagic = "tacho-chunks-v1\n"
)

// Limits of trees. Encode and Decode refuse what lies beyond them.
const (
	ChunkSize   = 1 << 20 // bytes of a chunk, and of the largest file that is one object
	MaxFileSize = 1 << 40 // bytes of the largest file in a tree
	MaxName     = 255     // bytes of a name
	MaxTarget   = 4095    // bytes of a link target
	MaxDir      = 1 << 28 // bytes of a directory object: four million entries of ordinary names
)

// MaxMode is the largest value of permission bits: rwxrwxrwx, sticky, setgid and setuid.
const MaxMode = 0o7777

const (
	linkMode    = 0o777
	entryFixed  = 2 + 1 + 2 + 8
	entryLeast  = entryFixed + 1 + 1 // a link with one byte each of name and target
	chunksFixed = len(chunksMagic) + 8
)

// EntryType says what an entry of a directory is. It is the byte written in the object.
type EntryType byte

const (
	TypeFile   EntryType = 'f' // file of at most ChunkSize bytes, one object
	TypeChunks EntryType = 'c' // larger file, a chunk list
	TypeDir    EntryType = 'd'
	TypeLink   EntryType = 'l'
)

// IsFile says whether the type is a regular file, of either size.
func (t EntryType) IsFile() bool { return t == TypeFile || t == TypeChunks }

func (t EntryType) String() string {
	switch t {
	case TypeFile:
		return "file"
	case TypeChunks:
		return "chunks"
	case TypeDir:
		return "dir"
	case TypeLink:
		return "link"
	case 0:
		return "none"
	}
	return fmt.Sprintf("type %#x", byte(t))
}

// DirEntry is one entry of a directory. Its zero value stands for "no such entry".
type DirEntry struct {
	Name   string    // any bytes but "/" and NUL
	Type   EntryType //
	Mode   uint32    // permission bits, up to MaxMode; 0777 for a link
	Size   int64     // bytes of a file or of a link's target; 0 for a directory
	Object Object    // none for a link
	Target string    // of a link, else empty
}

// EncodeDir writes the directory object of entries, which must be in order already.
// It fails on whatever [DecodeDir] would refuse.
func EncodeDir(entries []DirEntry) ([]byte, error) {
	size := len(dirMagic) + 4
	for i := range entries {
		size += entryFixed + len(entries[i].Name) + HashSize + len(entries[i].Target)
	}
	b := make([]byte, 0, size)
	b = append(b, dirMagic...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(entries)))
	for i := range entries {
		if err := entries[i].Check(); err != nil {
			return nil, fmt.Errorf("encode directory: %w", err)
		}
		if i > 0 && entries[i-1].Name >= entries[i].Name {
			return nil, fmt.Errorf("encode directory: %w: %q does not come after %q", errOrder, entries[i].Name, entries[i-1].Name)
		}
		b = appendEntry(b, &entries[i])
	}
	if len(b) > MaxDir {
		return nil, fmt.Errorf("encode directory: %d bytes, over the limit of %d", len(b), MaxDir)
	}
	return b, nil
}

func appendEntry(b []byte, e *DirEntry) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(e.Name)))
	b = append(b, e.Name...)
	b = append(b, byte(e.Type))
	b = binary.BigEndian.AppendUint16(b, uint16(e.Mode))
	b = binary.BigEndian.AppendUint64(b, uint64(e.Size))
	if e.Type == TypeLink {
		return append(b, e.Target...)
	}
	return append(b, e.Object[:]...)
}

// DecodeDir reads a directory object. It accepts only what [EncodeDir] would write again.
func DecodeDir(b []byte) ([]DirEntry, error) {
	if len(b) > MaxDir {
		return nil, fmt.Errorf("decode directory: %d bytes, over the limit of %d", len(b), MaxDir)
	}
	rest, ok := strings.CutPrefix(string(b), dirMagic)
	if !ok || len(rest) < 4 {
		return nil, fmt.Errorf("decode directory: does not begin with %q and a number", dirMagic)
	}
	r := dirReader{rest: rest}
	count := int64(r.uint(4))
	if count*entryLeast > int64(len(r.rest)) {
		return nil, fmt.Errorf("decode directory: %d entries do not fit in %d bytes", count, len(b))
	}
	entries := make([]DirEntry, count)
	for i := range entries {
		if err := r.entry(&entries[i]); err != nil {
			return nil, fmt.Errorf("decode directory, entry %d: %w", i, err)
		}
		if i > 0 && entries[i-1].Name >= entries[i].Name {
			return nil, fmt.Errorf("decode directory, entry %d: %w: %q does not come after %q", i, errOrder, entries[i].Name, entries[i-1].Name)
		}
	}
	if r.rest != "" {
		return nil, fmt.Errorf("decode directory: %d bytes after the last entry", len(r.rest))
	}
	return entries, nil
}

var (
	errOrder = errors.New("names not strictly ascending")
	errShort = errors.New("cut short")
)

// dirReader takes fields from the front of rest. Once a field is missing, short is set and every
// field is empty.
type dirReader struct {
	rest  string
	short bool
}

func (r *dirReader) take(n uint64) string {
	if r.short || n > uint64(len(r.rest)) {
		r.short = true
		return ""
	}
	field := r.rest[:n]
	r.rest = r.rest[n:]
	return field
}

func (r *dirReader) uint(bytes uint64) uint64 {
	var v uint64
	for _, c := range []byte(r.take(bytes)) {
		v = v<<8 | uint64(c)
	}
	return v
}

func (r *dirReader) entry(e *DirEntry) error {
	// Cloned, so that a name that is kept does not keep the whole object in memory.
	e.Name = strings.Clone(r.take(r.uint(2)))
	e.Type = EntryType(r.uint(1))
	e.Mode = uint32(r.uint(2))
	size := r.uint(8)
	if size > MaxFileSize {
		return fmt.Errorf("size %d is over the limit of %d", size, int64(MaxFileSize))
	}
	e.Size = int64(size)
	if e.Type == TypeLink {
		e.Target = strings.Clone(r.take(size))
	} else {
		copy(e.Object[:], r.take(HashSize))
	}
	if r.short {
		return errShort
	}
	return e.Check()
}

// Check says whether the entry could stand in a directory object.
func (e *DirEntry) Check() error {
	if !ValidName(e.Name) {
		return fmt.Errorf("name %.300q: want 1 to %d bytes, neither . nor .. and without / and NUL", e.Name, MaxName)
	}
	if e.Mode > MaxMode {
		return fmt.Errorf("entry %q: permission bits %#o over %#o", e.Name, e.Mode, MaxMode)
	}
	if (e.Type == TypeLink) != e.Object.IsZero() {
		return fmt.Errorf("entry %q: a %s with object %q", e.Name, e.Type, e.Object)
	}
	if e.Type != TypeLink && e.Target != "" {
		return fmt.Errorf("entry %q: a %s with a link target", e.Name, e.Type)
	}
	var ok bool
	switch e.Type {
	case TypeFile:
		ok = e.Size >= 0 && e.Size <= ChunkSize
	case TypeChunks:
		ok = e.Size > ChunkSize && e.Size <= MaxFileSize
	case TypeDir:
		ok = e.Size == 0
	case TypeLink:
		ok = e.Mode == linkMode && e.Size == int64(len(e.Target)) && validTarget(e.Target)
	default:
		return fmt.Errorf("entry %q: unknown %s", e.Name, e.Type)
	}
	if !ok {
		return fmt.Errorf("entry %q: a %s cannot have size %d, permission bits %#o, target %.80q", e.Name, e.Type, e.Size, e.Mode, e.Target)
	}
	return nil
}

// ValidName says whether name can be the name of an entry.
func ValidName(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) <= MaxName && !strings.ContainsAny(name, "/\x00")
}

func validTarget(target string) bool {
	return target != "" && len(target) <= MaxTarget && strings.IndexByte(target, 0) < 0
}

// EncodeChunks writes the chunk list object of a file of size bytes.
func EncodeChunks(size int64, chunks []Object) ([]byte, error) {
	if err := checkChunks(size, chunks); err != nil {
		return nil, fmt.Errorf("encode chunk list: %w", err)
	}
	b := make([]byte, 0, chunksFixed+len(chunks)*HashSize)
	b = append(b, chunksMagic...)
	b = binary.BigEndian.AppendUint64(b, uint64(size))
	for i := range chunks {
		b = append(b, chunks[i][:]...)
	}
	return b, nil
}

// DecodeChunks reads a chunk list object: the file's size in bytes and its chunks in order.
// It accepts only what [EncodeChunks] would write again.
func DecodeChunks(b []byte) (size int64, chunks []Object, err error) {
	rest, ok := strings.CutPrefix(string(b), chunksMagic)
	if !ok || len(rest) < 8 {
		return 0, nil, fmt.Errorf("decode chunk list: does not begin with %q and a size", chunksMagic)
	}
	r := dirReader{rest: rest}
	size = int64(r.uint(8)) // beyond int64 it is negative, and refused below
	if len(r.rest)%HashSize != 0 {
		return 0, nil, fmt.Errorf("decode chunk list: %w", errShort)
	}
	chunks = make([]Object, len(r.rest)/HashSize)
	for i := range chunks {
		copy(chunks[i][:], r.take(HashSize))
	}
	if err := checkChunks(size, chunks); err != nil {
		return 0, nil, fmt.Errorf("decode chunk list: %w", err)
	}
	return size, chunks, nil
}

func checkChunks(size int64, chunks []Object) error {
	if size <= ChunkSize || size > MaxFileSize {
		return fmt.Errorf("size %d is not between %d and %d", size, ChunkSize+1, int64(MaxFileSize))
	}
	if want := (size + ChunkSize - 1) / ChunkSize; int64(len(chunks)) != want {
		return fmt.Errorf("%d chunks for a file of %d bytes, want %d", len(chunks), size, want)
	}
	for i := range chunks {
		if chunks[i].IsZero() {
			return fmt.Errorf("chunk %d has no name", i)
		}
	}
	return nil
}
