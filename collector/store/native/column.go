package native

import (
	"encoding/binary"
	"math"

	"github.com/ClickHouse/ch-go/proto"
)

// Column is what a block is made of.
type Column interface {
	proto.ColInput
	Reset()
	Size() int // bytes, about
}

// fixed is a column of values of one width.
type fixed struct {
	typ   proto.ColumnType
	width int
	buf   []byte
}

func (c *fixed) Type() proto.ColumnType         { return c.typ }
func (c *fixed) Rows() int                      { return len(c.buf) / c.width }
func (c *fixed) Reset()                         { c.buf = c.buf[:0] }
func (c *fixed) Size() int                      { return len(c.buf) }
func (c *fixed) EncodeColumn(b *proto.Buffer)   { b.PutRaw(c.buf) }
func (c *fixed) WriteColumn(w *proto.Writer)    { w.ChainWrite(c.buf) }
func (c *fixed) put64(v uint64)                 { c.buf = binary.LittleEndian.AppendUint64(c.buf, v) }
func (c *fixed) put32(v uint32)                 { c.buf = binary.LittleEndian.AppendUint32(c.buf, v) }
func newFixed(typ string, width int) fixed      { return fixed{typ: proto.ColumnType(typ), width: width} }
func arrayOf(c proto.ColInput) proto.ColumnType { return proto.ColumnTypeArray.Sub(c.Type()) }

// Int64 is a column of Int64, or of another type with the same bytes.
type Int64 struct{ fixed }

// NewInt64 makes a column of Int64.
func NewInt64() *Int64 { return &Int64{newFixed("Int64", 8)} }

// NewNanos makes a column of DateTime64(9, 'UTC'): nanoseconds since 1970.
func NewNanos() *Int64 { return &Int64{newFixed("DateTime64(9, 'UTC')", 8)} }

// NewMillis makes a column of DateTime64(3, 'UTC'): milliseconds since 1970.
func NewMillis() *Int64 { return &Int64{newFixed("DateTime64(3, 'UTC')", 8)} }

// Append adds a row.
func (c *Int64) Append(v int64) { c.put64(uint64(v)) }

// UInt64 is a column of UInt64.
type UInt64 struct{ fixed }

// NewUInt64 makes a column of UInt64.
func NewUInt64() *UInt64 { return &UInt64{newFixed("UInt64", 8)} }

// Append adds a row.
func (c *UInt64) Append(v uint64) { c.put64(v) }

// Float64 is a column of Float64.
type Float64 struct{ fixed }

// NewFloat64 makes a column of Float64.
func NewFloat64() *Float64 { return &Float64{newFixed("Float64", 8)} }

// Append adds a row.
func (c *Float64) Append(v float64) { c.put64(math.Float64bits(v)) }

// Float32 is a column of Float32.
type Float32 struct{ fixed }

// NewFloat32 makes a column of Float32.
func NewFloat32() *Float32 { return &Float32{newFixed("Float32", 4)} }

// Append adds a row.
func (c *Float32) Append(v float32) { c.put32(math.Float32bits(v)) }

// UInt32 is a column of UInt32.
type UInt32 struct{ fixed }

// NewUInt32 makes a column of UInt32.
func NewUInt32() *UInt32 { return &UInt32{newFixed("UInt32", 4)} }

// Append adds a row.
func (c *UInt32) Append(v uint32) { c.put32(v) }

// Int32 is a column of Int32.
type Int32 struct{ fixed }

// NewInt32 makes a column of Int32.
func NewInt32() *Int32 { return &Int32{newFixed("Int32", 4)} }

// Append adds a row.
func (c *Int32) Append(v int32) { c.put32(uint32(v)) }

// UInt8 is a column of UInt8.
type UInt8 struct{ fixed }

// NewUInt8 makes a column of UInt8.
func NewUInt8() *UInt8 { return &UInt8{newFixed("UInt8", 1)} }

// Append adds a row.
func (c *UInt8) Append(v uint8) { c.buf = append(c.buf, v) }

// UUID is a column of UUID.
type UUID struct{ fixed }

// NewUUID makes a column of UUID.
func NewUUID() *UUID { return &UUID{newFixed("UUID", 16)} }

// Append adds a row: the bytes in the order of the text.
func (c *UUID) Append(v [16]byte) {
	c.put64(binary.BigEndian.Uint64(v[:8]))
	c.put64(binary.BigEndian.Uint64(v[8:]))
}

// Hash is a column of FixedString(32).
type Hash struct{ fixed }

// NewHash makes a column of FixedString(32).
func NewHash() *Hash { return &Hash{newFixed("FixedString(32)", 32)} }

// Append adds a row.
func (c *Hash) Append(v [32]byte) { c.buf = append(c.buf, v[:]...) }

// String is a column of String.
type String struct {
	rows int
	buf  []byte
}

// NewString makes a column of String.
func NewString() *String { return &String{} }

// Append adds a row.
func (c *String) Append(v string) {
	c.buf = append(binary.AppendUvarint(c.buf, uint64(len(v))), v...)
	c.rows++
}

// AppendBytes adds a row.
func (c *String) AppendBytes(v []byte) {
	c.buf = append(binary.AppendUvarint(c.buf, uint64(len(v))), v...)
	c.rows++
}

func (c *String) Type() proto.ColumnType       { return proto.ColumnTypeString }
func (c *String) Rows() int                    { return c.rows }
func (c *String) Reset()                       { c.rows, c.buf = 0, c.buf[:0] }
func (c *String) Size() int                    { return len(c.buf) }
func (c *String) EncodeColumn(b *proto.Buffer) { b.PutRaw(c.buf) }
func (c *String) WriteColumn(w *proto.Writer)  { w.ChainWrite(c.buf) }

// Array is a column of arrays. A row is what was appended to Of since the last End.
type Array[C Column] struct {
	Of   C
	ends fixed
}

// NewArray makes a column of arrays of what of holds.
func NewArray[C Column](of C) *Array[C] { return &Array[C]{of, newFixed("UInt64", 8)} }

// End ends a row.
func (c *Array[C]) End() { c.ends.put64(uint64(c.Of.Rows())) }

func (c *Array[C]) Type() proto.ColumnType      { return arrayOf(c.Of) }
func (c *Array[C]) Rows() int                   { return c.ends.Rows() }
func (c *Array[C]) Reset()                      { c.ends.Reset(); c.Of.Reset() }
func (c *Array[C]) Size() int                   { return c.ends.Size() + c.Of.Size() }
func (c *Array[C]) EncodeState(b *proto.Buffer) { encodeState(c.Of, b) }

func (c *Array[C]) EncodeColumn(b *proto.Buffer) {
	c.ends.EncodeColumn(b)
	c.Of.EncodeColumn(b)
}

func (c *Array[C]) WriteColumn(w *proto.Writer) {
	c.ends.WriteColumn(w)
	c.Of.WriteColumn(w)
}

// Pairs is a column of Map(LowCardinality(String), String). A row is what was added since the last End.
type Pairs struct {
	keys   *LowCard
	values *String
	ends   fixed
}

// NewPairs makes a column of maps.
func NewPairs() *Pairs { return &Pairs{NewLowCard(), NewString(), newFixed("UInt64", 8)} }

// Add adds a pair to the row.
func (c *Pairs) Add(key, value string) {
	c.keys.Append(key)
	c.values.Append(value)
}

// End ends a row.
func (c *Pairs) End() { c.ends.put64(uint64(c.keys.Rows())) }

func (c *Pairs) Type() proto.ColumnType {
	return proto.ColumnTypeMap.Sub(c.keys.Type(), c.values.Type())
}
func (c *Pairs) Rows() int                   { return c.ends.Rows() }
func (c *Pairs) Reset()                      { c.keys.Reset(); c.values.Reset(); c.ends.Reset() }
func (c *Pairs) Size() int                   { return c.keys.Size() + c.values.Size() + c.ends.Size() }
func (c *Pairs) EncodeState(b *proto.Buffer) { c.keys.EncodeState(b) }

func (c *Pairs) EncodeColumn(b *proto.Buffer) {
	c.ends.EncodeColumn(b)
	c.keys.EncodeColumn(b)
	c.values.EncodeColumn(b)
}

func (c *Pairs) WriteColumn(w *proto.Writer) {
	c.ends.WriteColumn(w)
	c.keys.WriteColumn(w)
	c.values.WriteColumn(w)
}

func encodeState(c proto.ColInput, b *proto.Buffer) {
	if s, ok := c.(proto.StateEncoder); ok {
		s.EncodeState(b)
	}
}
