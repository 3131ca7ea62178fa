package spool

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"time"

	"github.com/google/uuid"
)

// Segment is a file of requests that become one insert.
type Segment struct {
	ID      uuid.UUID
	Created time.Time // UTC, milliseconds
	Records int       // requests; 0 if an earlier process wrote it

	path string
	size int64 // what is read: to the last durable group, or to the file's end
	tail int64 // the mark of the end, after size
}

// Bytes is the size of the segment.
func (s *Segment) Bytes() int64 { return s.size }

// created is the time in the header, or another if there is none.
func (s *Segment) created(otherwise time.Time) time.Time {
	otherwise = otherwise.UTC().Truncate(time.Millisecond)
	f, err := os.Open(s.path)
	if err != nil {
		return otherwise
	}
	defer f.Close()
	head := make([]byte, headerSize)
	if _, err := io.ReadFull(f, head); err != nil {
		return otherwise
	}
	if t, err := decodeHeader(head, s.ID); err == nil {
		return t
	}
	return otherwise
}

// Report says what Read found besides records.
type Report struct {
	Records int
	Torn    int64  // bytes of a group that was never acknowledged, at the end
	Damaged int64  // bytes of acknowledged groups that could not be read
	Damage  string // where and how
}

// Read calls each for the records of a segment, in order. A record's body is valid until each returns.
// The error is one of the disk or of each; damaged bytes are none, they are in the report.
func (s *Segment) Read(each func(*Record) error) (Report, error) {
	var report Report
	f, err := os.Open(s.path)
	if err != nil {
		return report, fmt.Errorf("read segment %s: %w", s.ID, err)
	}
	defer f.Close()
	r := groupReader{file: f, id: s.ID, size: s.size}
	head, err := r.bytes(0, headerSize)
	if err != nil {
		return report, fmt.Errorf("read segment %s: %w", s.ID, err)
	}
	at := int64(headerSize)
	var bad int64 = -1 // where damage began that is not passed yet
	var why string
	if _, err := decodeHeader(head, s.ID); err != nil {
		at, bad, why = 0, 0, err.Error()
	}
	for at < s.size {
		payload, records, err := r.group(at)
		if errors.Is(err, errGroup) {
			if bad < 0 {
				bad, why = at, err.Error()
			}
			if at, err = r.next(at + 1); err != nil {
				return report, fmt.Errorf("read segment %s: %w", s.ID, err)
			}
			continue
		}
		if err != nil {
			return report, fmt.Errorf("read segment %s: %w", s.ID, err)
		}
		if bad >= 0 {
			report.Damaged += at - bad
			report.Damage = fmt.Sprintf("bytes %d to %d of %s: %s", bad, at, s.path, why)
			bad = -1
		}
		if err := report.read(payload, records, each); err != nil {
			return report, err
		}
		at += groupSize + int64(len(payload))
	}
	if bad >= 0 {
		report.Torn = s.size - bad
	}
	return report, nil
}

// read goes through the records of one group.
func (p *Report) read(payload []byte, records int, each func(*Record) error) error {
	for range records {
		r, rest, err := decodeRecord(payload)
		if err != nil {
			return err // the checksum was right: whoever wrote it was wrong
		}
		payload = rest
		if err := each(&r); err != nil {
			return err
		}
		p.Records++
	}
	if len(payload) != 0 {
		return errRecord
	}
	return nil
}

// errGroup: no whole group begins here.
var errGroup = errors.New("no whole group")

type groupReader struct {
	file   *os.File
	id     uuid.UUID
	size   int64
	buffer []byte
}

// bytes reads n bytes from at, or fewer at the end.
func (r *groupReader) bytes(at, n int64) ([]byte, error) {
	n = max(0, min(n, r.size-at))
	if int64(cap(r.buffer)) < n {
		r.buffer = make([]byte, n)
	}
	b := r.buffer[:n]
	got, err := r.file.ReadAt(b, at)
	if err == io.EOF {
		err = nil // shorter than it was: what is missing is torn
	}
	return b[:got], err
}

func (r *groupReader) group(at int64) ([]byte, int, error) {
	b, err := r.bytes(at, groupSize)
	if err != nil {
		return nil, 0, err
	}
	h, ok := decodeGroup(b, r.id)
	if !ok {
		return nil, 0, fmt.Errorf("%w: bad header", errGroup)
	}
	if int64(h.length) > r.size-at-groupSize {
		return nil, 0, fmt.Errorf("%w: cut", errGroup)
	}
	b, err = r.bytes(at+groupSize, int64(h.length))
	if err != nil {
		return nil, 0, err
	}
	if uint32(len(b)) != h.length || crc32.Checksum(b, castagnoli) != h.crc {
		return nil, 0, fmt.Errorf("%w: another checksum", errGroup)
	}
	return b, int(h.records), nil
}

// next looks for the next marker from at on; the end if there is none.
func (r *groupReader) next(at int64) (int64, error) {
	const step = 1 << 20
	for at < r.size {
		b, err := r.bytes(at, step)
		if err != nil {
			return 0, err
		}
		if i := bytes.Index(b, marker); i >= 0 {
			return at + int64(i), nil
		}
		if len(b) < step {
			break
		}
		at += step - int64(len(marker)) + 1
	}
	return r.size, nil
}
