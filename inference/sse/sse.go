// Package sse reads a stream of server-sent events, as model providers send answers piece by piece.
//
// The format is that of the WHATWG HTML standard, section "Server-sent events", read strictly in
// what it means and leniently in where it ends:
//
//	stream  = [ BOM ] *event
//	event   = *( comment / field ) blank-line
//	comment = ":" *char end-of-line
//	field   = name [ ":" [ space ] *char ] end-of-line     ; name: data, event; others are skipped
//	end-of-line = CR LF / LF / CR
//
// The values of several data fields are joined by line feeds. An event without data is skipped.
// One departure: an event that the end of the stream cuts off before its blank line is still
// returned if it has data, because some servers leave the last blank line out. Whoever reads it
// must find out by the data itself whether it is whole.
//
// The package must never hold more than one event in memory, and never one above the limit it was
// given. Read [Reader.Next] first.
package sse

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// ErrTooLong says that one event, or one line of it, is larger than the reader's limit. The rest of
// the stream cannot be read.
var ErrTooLong = errors.New("event too long")

// Event is one event. Data is valid until the next call of [Reader.Next].
type Event struct {
	Name string // of the field "event"; empty if it has none
	Data []byte
}

// Reader reads events. It is not safe for concurrent use.
type Reader struct {
	in     *bufio.Reader
	limit  int
	begun  bool // the first line was read
	skipLF bool // the last line ended in CR: a line feed that follows belongs to it
	line   []byte
	data   []byte
}

// NewReader reads from r. No event may have more than limit bytes of data, nor any line more than
// limit bytes.
func NewReader(r io.Reader, limit int) *Reader {
	return &Reader{in: bufio.NewReader(r), limit: limit}
}

// Next returns the next event that has data, io.EOF after the last one, [ErrTooLong], or the error
// of the underlying reader.
func (r *Reader) Next() (Event, error) {
	var e Event
	r.data = r.data[:0]
	has := false
	for {
		line, err := r.readLine()
		if err != nil {
			if errors.Is(err, io.EOF) && has {
				e.Data = r.data
				return e, nil
			}
			return Event{}, err
		}
		if len(line) == 0 {
			if has {
				e.Data = r.data
				return e, nil
			}
			e = Event{}
			continue
		}
		switch name, value := field(line); name {
		case "event":
			e.Name = string(value)
		case "data":
			if err := r.addData(value, has); err != nil {
				return Event{}, err
			}
			has = true
		}
	}
}

func (r *Reader) addData(value []byte, more bool) error {
	if more {
		r.data = append(r.data, '\n')
	}
	if len(r.data)+len(value) > r.limit {
		return fmt.Errorf("read event: %w: more than %d bytes", ErrTooLong, r.limit)
	}
	r.data = append(r.data, value...)
	return nil
}

// field splits a line. A comment has an empty name.
func field(line []byte) (name string, value []byte) {
	n, v, found := bytes.Cut(line, []byte(":"))
	if found {
		v = bytes.TrimPrefix(v, []byte(" "))
	}
	return string(n), v
}

// readLine returns a line without its end. It never waits for a byte after a CR, which may be the
// last one that a server sends for a while. A last line without an end is a line.
func (r *Reader) readLine() ([]byte, error) {
	r.line = r.line[:0]
	for {
		c, err := r.in.ReadByte()
		if err != nil {
			if errors.Is(err, io.EOF) && len(r.line) > 0 {
				return r.endLine(false), nil
			}
			return nil, err
		}
		skip := r.skipLF && c == '\n'
		r.skipLF = false
		switch {
		case skip:
		case c == '\n' || c == '\r':
			return r.endLine(c == '\r'), nil
		case len(r.line) >= r.limit:
			return nil, fmt.Errorf("read event: %w: a line of more than %d bytes", ErrTooLong, r.limit)
		default:
			r.line = append(r.line, c)
		}
	}
}

func (r *Reader) endLine(cr bool) []byte {
	r.skipLF = cr
	line := r.line
	if !r.begun {
		line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
		r.begun = true
	}
	return line
}
