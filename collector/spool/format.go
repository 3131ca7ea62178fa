package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/google/uuid"
)

const (
	magic      = "tacho-spool-1\n\x00\x00"
	headerSize = 64
	groupSize  = 24
)

var (
	marker     = []byte("\xf7tachgrp")
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// Record is one request.
type Record struct {
	Signal   uint8
	Project  string
	Received time.Time // milliseconds
	Dropped  []uint32  // rising positions in the request
	Body     []byte
}

// size bounds what a record takes in a segment.
func (r *Record) size() int64 {
	return int64(len(r.Body) + len(r.Project) + 5*len(r.Dropped) + 1 + 4*binary.MaxVarintLen64)
}

func encodeHeader(id uuid.UUID, created time.Time) []byte {
	b := make([]byte, headerSize)
	copy(b, magic)
	copy(b[16:], id[:])
	binary.LittleEndian.PutUint64(b[32:], uint64(created.UnixMilli()))
	binary.LittleEndian.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
	return b
}

func decodeHeader(b []byte, id uuid.UUID) (time.Time, error) {
	switch {
	case len(b) < headerSize:
		return time.Time{}, errors.New("shorter than its header")
	case binary.LittleEndian.Uint32(b[60:]) != crc32.Checksum(b[:60], castagnoli):
		return time.Time{}, errors.New("header has another checksum")
	case string(b[:16]) != magic:
		return time.Time{}, fmt.Errorf("begins with %.16q, not with %q", b[:16], magic)
	case !bytes.Equal(b[16:32], id[:]):
		return time.Time{}, fmt.Errorf("is segment %x by its header", b[16:32])
	}
	return time.UnixMilli(int64(binary.LittleEndian.Uint64(b[32:]))).UTC(), nil
}

// groupHeader is what precedes a payload.
type groupHeader struct {
	length  uint32
	records uint32
	crc     uint32
}

// append writes the header of a group of segment id. The id, which no sender knows, is part of the
// checksum, so that a body cannot pass for a group where a reader searches after damage.
func (h groupHeader) append(b []byte, id uuid.UUID) []byte {
	from := len(b)
	b = append(b, marker...)
	b = binary.LittleEndian.AppendUint32(b, h.length)
	b = binary.LittleEndian.AppendUint32(b, h.records)
	b = binary.LittleEndian.AppendUint32(b, h.crc)
	return binary.LittleEndian.AppendUint32(b, groupSum(b[from:], id))
}

func groupSum(b []byte, id uuid.UUID) uint32 {
	return crc32.Update(crc32.Checksum(id[:], castagnoli), castagnoli, b)
}

func decodeGroup(b []byte, id uuid.UUID) (groupHeader, bool) {
	if len(b) < groupSize || !bytes.Equal(b[:8], marker) ||
		binary.LittleEndian.Uint32(b[20:]) != groupSum(b[:20], id) {
		return groupHeader{}, false
	}
	return groupHeader{
		length:  binary.LittleEndian.Uint32(b[8:]),
		records: binary.LittleEndian.Uint32(b[12:]),
		crc:     binary.LittleEndian.Uint32(b[16:]),
	}, true
}

// appendPrefix appends all of a record but its body.
func (r *Record) appendPrefix(b []byte) []byte {
	b = append(b, r.Signal)
	b = binary.AppendUvarint(b, uint64(len(r.Project)))
	b = append(b, r.Project...)
	b = binary.AppendUvarint(b, uint64(r.Received.UnixMilli()))
	b = binary.AppendUvarint(b, uint64(len(r.Dropped)))
	last := uint32(0)
	for _, at := range r.Dropped {
		b = binary.AppendUvarint(b, uint64(at-last))
		last = at
	}
	return binary.AppendUvarint(b, uint64(len(r.Body)))
}

var errRecord = errors.New("a record does not end where its group does")

// decodeRecord reads the record at the beginning of b. Its body is a part of b.
func decodeRecord(b []byte) (Record, []byte, error) {
	var r Record
	ok := len(b) > 0
	number := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			ok, b = false, nil
			return 0
		}
		b = b[n:]
		return v
	}
	take := func(n uint64) []byte {
		if n > uint64(len(b)) {
			ok, b = false, nil
			return nil
		}
		v := b[:n:n]
		b = b[n:]
		return v
	}
	if signal := take(1); ok {
		r.Signal = signal[0]
	}
	r.Project = string(take(number()))
	r.Received = time.UnixMilli(int64(number())).UTC()
	at := uint64(0)
	for n := number(); ok && n > 0; n-- {
		at += number()
		r.Dropped = append(r.Dropped, uint32(at))
	}
	r.Body = take(number())
	if !ok {
		return Record{}, nil, errRecord
	}
	return r, b, nil
}
