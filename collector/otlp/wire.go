package otlp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"
)

// cursor steps through the fields of one protobuf message. An error sticks: next then returns false
// and the reader of the message returns err.
//
//	message  = *( tag value )        tag = varint( number << 3 | type )
//	type 0   varint                  type 1   8 bytes, little-endian
//	type 2   varint length ‖ bytes   type 5   4 bytes, little-endian
type cursor struct {
	rest []byte
	what string // of the message, for errors

	num   int32
	typ   protowire.Type
	num64 uint64 // value of types 0, 1 and 5
	data  []byte // value of type 2
	err   error
}

func fields(message []byte, what string) cursor { return cursor{rest: message, what: what} }

// next moves to the following field. Groups, which OTLP does not use, are skipped as a whole.
func (c *cursor) next() bool {
	if c.err != nil || len(c.rest) == 0 {
		return false
	}
	var tag uint64
	if b := c.rest[0]; b < 0x80 {
		tag, c.rest = uint64(b), c.rest[1:]
	} else if tag, c.err = c.varint(); c.err != nil {
		return false
	}
	if tag>>3 == 0 || tag>>3 > uint64(protowire.MaxValidNumber) {
		c.err = malformed("%s: field number %d", c.what, tag>>3)
		return false
	}
	c.num, c.typ = int32(tag>>3), protowire.Type(tag&7)
	switch c.typ {
	case protowire.VarintType:
		c.num64, c.err = c.varint()
	case protowire.BytesType:
		c.data, c.err = c.bytes()
	case protowire.Fixed64Type:
		if len(c.rest) < 8 {
			c.err = malformed("%s: cut in the middle of a number", c.what)
			return false
		}
		c.num64, c.rest = binary.LittleEndian.Uint64(c.rest), c.rest[8:]
	case protowire.Fixed32Type:
		if len(c.rest) < 4 {
			c.err = malformed("%s: cut in the middle of a number", c.what)
			return false
		}
		c.num64, c.rest = uint64(binary.LittleEndian.Uint32(c.rest)), c.rest[4:]
	default:
		return c.skipGroup()
	}
	return c.err == nil
}

// errGroup: a group that does not end where it should. pdata passes over such.
var errGroup = errors.New("broken group")

// skipGroup passes over a group, or fails on what is no field at all.
func (c *cursor) skipGroup() bool {
	n := protowire.ConsumeFieldValue(protowire.Number(c.num), c.typ, c.rest)
	if n < 0 || c.typ != protowire.StartGroupType {
		c.err = fmt.Errorf("%w: %s: field %d has wire type %d: %w", ErrMalformed, c.what, c.num, c.typ, errGroup)
		return false
	}
	c.rest = c.rest[n:]
	return true
}

func (c *cursor) varint() (uint64, error) {
	if len(c.rest) > 0 && c.rest[0] < 0x80 {
		v := uint64(c.rest[0])
		c.rest = c.rest[1:]
		return v, nil
	}
	v, n := protowire.ConsumeVarint(c.rest)
	if n < 0 {
		return 0, malformed("%s: bad varint", c.what)
	}
	c.rest = c.rest[n:]
	return v, nil
}

func (c *cursor) bytes() ([]byte, error) {
	n, err := c.varint()
	if err != nil {
		return nil, err
	}
	if n > uint64(len(c.rest)) {
		return nil, malformed("%s: a field of %d bytes where %d are left", c.what, n, len(c.rest))
	}
	v := c.rest[:n:n]
	c.rest = c.rest[n:]
	return v, nil
}

// is says whether the field has the wire type that its number promises.
func (c *cursor) is(t protowire.Type) bool {
	if c.typ != t {
		if c.err == nil {
			c.err = malformed("%s: field %d has wire type %d, want %d", c.what, c.num, c.typ, t)
		}
		return false
	}
	return true
}

func (c *cursor) message() []byte {
	if !c.is(protowire.BytesType) {
		return nil
	}
	return c.data
}

// text is a view of a string field.
func (c *cursor) text() string { return view(c.message()) }

func (c *cursor) uint() uint64 {
	if !c.is(protowire.VarintType) {
		return 0
	}
	return c.num64
}

func (c *cursor) fixed64() uint64 {
	if !c.is(protowire.Fixed64Type) {
		return 0
	}
	return c.num64
}

func (c *cursor) fixed32() uint32 {
	if !c.is(protowire.Fixed32Type) {
		return 0
	}
	return uint32(c.num64)
}

// view shows bytes as a string without copying them.
func view(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	return unsafe.String(&b[0], len(b))
}
