package workspace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"tachograph/schemas/journal"
)

// keep stores an object that is not there yet; without a store the name is all that is wanted.
func keep(ctx context.Context, objs Objects, name journal.Object, b []byte) error {
	if objs == nil {
		return nil
	}
	has, err := objs.Has(ctx, name)
	if err == nil && !has {
		err = objs.Put(ctx, name, b)
	}
	if err != nil {
		return fmt.Errorf("store object %s: %w", name.Short(), err)
	}
	return nil
}

// errContent: a store returned other bytes than the name commits to.
var errContent = errors.New("the bytes do not have this hash; the store is damaged")

// loadBytes reads an object and checks it against its name.
func loadBytes(ctx context.Context, objs Objects, name journal.Object) ([]byte, error) {
	b, err := objs.Get(ctx, name)
	if err == nil && journal.NameObject(b) != name {
		err = errContent
	}
	if err != nil {
		return nil, fmt.Errorf("object %s: %w", name.Short(), err)
	}
	return b, nil
}

// writeContent writes the content of e to a new, empty file, and returns its number of lines.
// Stretches of zeros of the size of a chunk become holes.
func writeContent(ctx context.Context, objs Objects, e *journal.DirEntry, fd int) (lines uint32, err error) {
	if e.Type == journal.TypeChunks {
		return notText, writeChunks(ctx, objs, e, fd)
	}
	b, err := loadFile(ctx, objs, e)
	if err != nil {
		return 0, err
	}
	return countLines(b), writeFull(fd, b, 0)
}

// loadFile reads a file that is one object.
func loadFile(ctx context.Context, objs Objects, e *journal.DirEntry) ([]byte, error) {
	b, err := loadBytes(ctx, objs, e.Object)
	if err == nil && int64(len(b)) != e.Size {
		err = fmt.Errorf("object %s: %d bytes, its directory says %d", e.Object.Short(), len(b), e.Size)
	}
	return b, err
}

func writeChunks(ctx context.Context, objs Objects, e *journal.DirEntry, fd int) error {
	chunks, err := loadChunks(ctx, objs, e)
	if err != nil {
		return err
	}
	zeros := journal.NameObject(make([]byte, journal.ChunkSize))
	for i, chunk := range chunks {
		if chunk == zeros {
			continue
		}
		b, err := loadBytes(ctx, objs, chunk)
		if err != nil {
			return err
		}
		if err := writeFull(fd, b, int64(i)*journal.ChunkSize); err != nil {
			return err
		}
	}
	if err := unix.Ftruncate(fd, e.Size); err != nil {
		return fmt.Errorf("set length: %w", err)
	}
	return nil
}

func loadChunks(ctx context.Context, objs Objects, e *journal.DirEntry) ([]journal.Object, error) {
	b, err := loadBytes(ctx, objs, e.Object)
	if err != nil {
		return nil, err
	}
	size, chunks, err := journal.DecodeChunks(b)
	if err == nil && size != e.Size {
		err = fmt.Errorf("is of %d bytes, its directory says %d", size, e.Size)
	}
	if err != nil {
		return nil, fmt.Errorf("chunk list %s: %w", e.Object.Short(), err)
	}
	return chunks, nil
}

// content is what the bytes of a file come to.
type content struct {
	kind   journal.EntryType
	size   int64
	object journal.Object
	lines  uint32
}

// reader names files by their bytes and stores them. It serves one goroutine.
type reader struct {
	objs Objects // nil: nothing is stored
	buf  []byte
}

// errChanging: a file was written to each time it was read.
var errChanging = errors.New("changes while it is read; stop what writes to it")

const readAttempts = 5

// read names the file that is open as fd, and stores its bytes if store is set. A copy goes to the
// descriptor to unless that is negative. The status returned is that of exactly the bytes that were
// named: if it changed meanwhile, they are read again.
func (r *reader) read(ctx context.Context, fd, to int, store bool) (content, unix.Stat_t, error) {
	var before, after unix.Stat_t
	if err := unix.Fstat(fd, &before); err != nil {
		return content{}, before, fmt.Errorf("stat: %w", err)
	}
	for range readAttempts {
		c, err := r.readOnce(ctx, fd, to, before.Size, store)
		if err != nil {
			return content{}, before, err
		}
		if err := unix.Fstat(fd, &after); err != nil {
			return content{}, before, fmt.Errorf("stat: %w", err)
		}
		if c.size == after.Size && stampOf(&before) == stampOf(&after) {
			return c, after, nil
		}
		before = after
	}
	return content{}, before, errChanging
}

func (r *reader) readOnce(ctx context.Context, fd, to int, size int64, store bool) (content, error) {
	objs := r.objs
	if !store {
		objs = nil
	}
	// One byte more than is expected shows whether the file has grown.
	b, err := r.chunk(fd, 0, min(size, journal.ChunkSize)+1)
	if err != nil {
		return content{}, err
	}
	if int64(len(b)) > journal.ChunkSize {
		return r.readChunks(ctx, objs, fd, to)
	}
	if to >= 0 {
		if err := copyTo(to, b, 0); err != nil {
			return content{}, err
		}
	}
	c := content{journal.TypeFile, int64(len(b)), journal.NameObject(b), countLines(b)}
	return c, keep(ctx, objs, c.object, b)
}

func (r *reader) readChunks(ctx context.Context, objs Objects, fd, to int) (content, error) {
	var list []journal.Object
	var size int64
	for {
		if err := ctx.Err(); err != nil {
			return content{}, err
		}
		b, err := r.chunk(fd, size, journal.ChunkSize)
		if err != nil {
			return content{}, err
		}
		if to >= 0 {
			if err := copyTo(to, b, size); err != nil {
				return content{}, err
			}
		}
		if len(b) == 0 {
			break
		}
		name := journal.NameObject(b)
		if err := keep(ctx, objs, name, b); err != nil {
			return content{}, err
		}
		list = append(list, name)
		size += int64(len(b))
		if len(b) < journal.ChunkSize {
			break
		}
	}
	if size <= journal.ChunkSize { // it shrank while it was read; the caller sees that and reads again
		return content{size: -1}, nil
	}
	object, err := journal.EncodeChunks(size, list)
	if err != nil {
		return content{}, err
	}
	c := content{journal.TypeChunks, size, journal.NameObject(object), notText}
	return c, keep(ctx, objs, c.object, object)
}

// chunk reads up to n bytes at offset; fewer only at the end of the file. They are valid until the
// next call.
func (r *reader) chunk(fd int, offset, n int64) ([]byte, error) {
	if int64(len(r.buf)) < n {
		r.buf = make([]byte, max(n, 64<<10))
	}
	got, err := readFull(fd, r.buf[:n], offset)
	return r.buf[:got], err
}

// copyTo writes b to the copy at offset, and cuts off what an earlier attempt wrote after it. Zeros
// of the size of a chunk become a hole.
func copyTo(to int, b []byte, offset int64) error {
	end := offset + int64(len(b))
	if len(b) == journal.ChunkSize && isZero(b) {
		if err := unix.Ftruncate(to, offset); err != nil {
			return fmt.Errorf("set length: %w", err)
		}
	} else if err := writeFull(to, b, offset); err != nil {
		return err
	}
	if err := unix.Ftruncate(to, end); err != nil {
		return fmt.Errorf("set length: %w", err)
	}
	return nil
}

func isZero(b []byte) bool {
	return b[0] == 0 && bytes.Equal(b[1:], b[:len(b)-1])
}

func readFull(fd int, b []byte, offset int64) (int, error) {
	done := 0
	for done < len(b) {
		n, err := retry(func() (int, error) { return unix.Pread(fd, b[done:], offset+int64(done)) })
		if err != nil {
			return done, fmt.Errorf("read: %w", err)
		}
		if n == 0 {
			break
		}
		done += n
	}
	return done, nil
}

func writeFull(fd int, b []byte, offset int64) error {
	for len(b) > 0 {
		n, err := retry(func() (int, error) { return unix.Pwrite(fd, b, offset) })
		if err == nil && n == 0 {
			err = io.ErrShortWrite
		}
		if err != nil {
			return fmt.Errorf("write: %w", err)
		}
		b, offset = b[n:], offset+int64(n)
	}
	return nil
}

// textProbe is how far a NUL byte is looked for, as git does.
const textProbe = 8000

// isText says whether b counts as lines of text.
func isText(b []byte) bool { return bytes.IndexByte(b[:min(len(b), textProbe)], 0) < 0 }

// countLines counts lines, the last one also if it has no line feed; notText for binary.
func countLines(b []byte) uint32 {
	if !isText(b) {
		return notText
	}
	n := bytes.Count(b, []byte{'\n'})
	if len(b) > 0 && b[len(b)-1] != '\n' {
		n++
	}
	return uint32(n)
}
