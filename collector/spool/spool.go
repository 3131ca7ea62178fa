package spool

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"
)

// ErrFull: the request does not fit, into the bound or onto the disk. It was not written; the caller
// refuses it in a way that lets the sender try again later.
var ErrFull = errors.New("spool is full")

// Config says where a spool lies and how much it may hold.
type Config struct {
	Dir      string
	MaxBytes int64            // of all segments; more is ErrFull
	Now      func() time.Time // nil: time.Now
	NewID    func() (uuid.UUID, error)

	Writing func() // called when a group is partly written, for tests that end the process there; may be nil

	// sync replaces (*os.File).Sync in tests of disks that fail.
	sync func(*os.File) error
}

// Spool writes segments. Append and Seal are for one goroutine, the others for any.
type Spool struct {
	config Config
	lock   *os.File
	open   *Segment
	file   *os.File // of open
	buffer []byte

	mu      sync.Mutex
	bytes   int64 // of all segments
	damaged int64
}

// Open takes the directory, which is made if need be, and returns the segments that an earlier
// process left, oldest first. The caller stores and removes them as those that it seals.
func Open(c Config) (*Spool, []*Segment, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.NewID == nil {
		c.NewID = uuid.NewV7
	}
	if c.Writing == nil {
		c.Writing = func() {}
	}
	if c.sync == nil {
		c.sync = (*os.File).Sync
	}
	if err := os.MkdirAll(filepath.Join(c.Dir, "damaged"), 0o700); err != nil {
		return nil, nil, fmt.Errorf("open spool: %w", err)
	}
	lock, err := lockDir(c.Dir)
	if err != nil {
		return nil, nil, fmt.Errorf("open spool %s: %w", c.Dir, err)
	}
	s := &Spool{config: c, lock: lock}
	found, err := s.find()
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open spool: %w", err), lock.Close())
	}
	return s, found, nil
}

func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "LOCK"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another process collects into this directory: stop it, or name another with --data: %w", err), f.Close())
	}
	return f, nil
}

func (s *Spool) find() ([]*Segment, error) {
	names, err := filepath.Glob(filepath.Join(s.config.Dir, "*.segment"))
	if err != nil {
		return nil, err
	}
	var found []*Segment
	for _, name := range names {
		id, err := uuid.Parse(filepath.Base(name[:len(name)-len(".segment")]))
		if err != nil {
			continue // not ours
		}
		info, err := os.Stat(name)
		if err != nil {
			return nil, err
		}
		seg := &Segment{ID: id, path: name, size: info.Size()}
		seg.Created = seg.created(info.ModTime())
		s.bytes += seg.size
		found = append(found, seg)
	}
	slices.SortFunc(found, func(a, b *Segment) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return slices.Compare(a.ID[:], b.ID[:])
	})
	kept, err := filepath.Glob(filepath.Join(s.config.Dir, "damaged", "*.segment"))
	s.damaged = int64(len(kept))
	return found, err
}

// Fits says whether a record may be appended now, besides those with pending bytes in all.
func (s *Spool) Fits(r *Record, pending int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes+pending+r.size()+headerSize+2*groupSize <= s.config.MaxBytes
}

// Size of a record in a segment, at most, in bytes.
func Size(r *Record) int64 { return r.size() }

// Append writes the records as one group to the open segment, which it begins if there is none. When
// it returns nil they are durable. An error means that none of them is acknowledged; the open
// segment, if it holds earlier groups, must then be sealed.
func (s *Spool) Append(records []Record) error {
	if s.open == nil {
		if err := s.begin(); err != nil {
			return s.failed(fmt.Errorf("begin a segment: %w", err))
		}
	}
	first := s.open.size == headerSize
	size, err := s.write(records)
	if err == nil {
		err = s.config.sync(s.file)
	}
	if err == nil && first {
		err = syncDir(s.config.Dir, s.config.sync)
	}
	if err != nil {
		return s.failed(fmt.Errorf("write segment %s: %w", s.open.ID, err))
	}
	s.open.size += size
	s.open.Records += len(records)
	s.add(size)
	return nil
}

// begin makes the file. It becomes durable with its first group.
func (s *Spool) begin() error {
	id, err := s.config.NewID()
	if err != nil {
		return err
	}
	created := s.config.Now().UTC().Truncate(time.Millisecond)
	path := filepath.Join(s.config.Dir, id.String()+".segment")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	s.open, s.file = &Segment{ID: id, Created: created, path: path}, f
	if _, err := f.Write(encodeHeader(id, created)); err != nil {
		return err
	}
	s.open.size = headerSize
	s.add(headerSize)
	return nil
}

// write writes one group after the durable end of the open segment.
func (s *Spool) write(records []Record) (int64, error) {
	const gather = 128 << 10 // small bodies go together with what is round them
	b := append(s.buffer[:0], make([]byte, groupSize)...)
	crc, at, length := uint32(0), s.open.size, int64(0)
	flush := func(from int) error {
		crc = crc32.Update(crc, castagnoli, b[from:])
		n, err := s.file.WriteAt(b, at)
		at, b = at+int64(n), b[:0]
		return err
	}
	from := groupSize
	for i := range records {
		r := &records[i]
		b = r.appendPrefix(b)
		if len(b)+len(r.Body) <= gather {
			b = append(b, r.Body...)
			continue
		}
		if err := flush(from); err != nil {
			return 0, err
		}
		from = 0
		crc = crc32.Update(crc, castagnoli, r.Body)
		n, err := s.file.WriteAt(r.Body, at)
		if at += int64(n); err != nil {
			return 0, err
		}
	}
	if err := flush(from); err != nil {
		return 0, err
	}
	s.buffer = b
	length = at - s.open.size - groupSize
	if length > 1<<32-1 {
		return 0, fmt.Errorf("a group of %d bytes", length)
	}
	s.config.Writing()
	h := groupHeader{length: uint32(length), records: uint32(len(records)), crc: crc}
	_, err := s.file.WriteAt(h.append(nil, s.open.ID), s.open.size)
	return at - s.open.size, err
}

// failed leaves the open segment at its last durable group, so that Seal can hand it on, or removes it
// if it has none.
func (s *Spool) failed(err error) error {
	if full := errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT); full {
		err = fmt.Errorf("%w: %w", ErrFull, err)
	}
	if s.open == nil {
		return err
	}
	if s.open.Records > 0 {
		return errors.Join(err, s.file.Truncate(s.open.size))
	}
	s.add(-s.open.size)
	err = errors.Join(err, s.file.Close(), os.Remove(s.open.path))
	s.open, s.file = nil, nil
	return err
}

// OpenSize is how many bytes the open segment has; 0 if there is none.
func (s *Spool) OpenSize() int64 {
	if s.open == nil {
		return 0
	}
	return s.open.size
}

// Seal ends the open segment and returns it; nil if there is none. The mark of its end is not synced:
// it only tells, after a crash, damage from a torn tail.
func (s *Spool) Seal() (*Segment, error) {
	seg := s.open
	if seg == nil {
		return nil, nil
	}
	_, err := s.file.WriteAt(groupHeader{}.append(nil, seg.ID), seg.size)
	if err == nil {
		s.add(groupSize)
		seg.tail = groupSize
	}
	err = errors.Join(err, s.file.Close())
	s.open, s.file = nil, nil
	return seg, err
}

// Remove forgets a segment whose rows are stored, or keeps it aside if Read found damage in it. If the
// removal itself does not survive a power loss the segment comes back, and the store knows it by its id.
func (s *Spool) Remove(seg *Segment, damaged bool) error {
	var err error
	if damaged {
		err = os.Rename(seg.path, filepath.Join(s.config.Dir, "damaged", filepath.Base(seg.path)))
	} else {
		err = os.Remove(seg.path)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove segment %s: %w", seg.ID, err)
	}
	s.add(-seg.size - seg.tail)
	if damaged {
		s.mu.Lock()
		s.damaged++
		s.mu.Unlock()
	}
	return nil
}

// Usage is what a spool holds.
type Usage struct {
	Bytes, MaxBytes int64
	Damaged         int64 // segments kept aside
}

func (s *Spool) Usage() Usage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Usage{Bytes: s.bytes, MaxBytes: s.config.MaxBytes, Damaged: s.damaged}
}

func (s *Spool) add(n int64) {
	s.mu.Lock()
	s.bytes += n
	s.mu.Unlock()
}

// Close gives the directory up. An open segment must have been sealed.
func (s *Spool) Close() error {
	if s.open != nil {
		if _, err := s.Seal(); err != nil {
			return errors.Join(err, s.lock.Close())
		}
	}
	return s.lock.Close()
}

func syncDir(dir string, sync func(*os.File) error) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(sync(d), d.Close())
}
