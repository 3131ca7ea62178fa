package native

import (
	"encoding/binary"
	"math"
	"strings"
	"unsafe"

	"github.com/ClickHouse/ch-go/proto"
)

// recent is how many values a LowCard remembers by their length and last byte, before it asks its
// map. Most columns of spans take turns between a handful of values.
const recent = 16

// LowCard is a column of LowCardinality(String): each distinct value once, and an index a row.
type LowCard struct {
	words  String            // the distinct values
	values []string          // the same; memory of our own
	index  map[string]uint32 // of a value in words
	rows   []uint32
	recent [recent]struct {
		value string
		index uint32
	}
}

// Flags of the column's header: words come with it, and replace those of the block before.
const lowCardFlags = 1<<9 | 1<<10

// NewLowCard makes a column. Its first value is the empty string.
func NewLowCard() *LowCard {
	c := &LowCard{index: map[string]uint32{}}
	c.add("")
	return c
}

// Append adds a row. The value is copied where it is new, so the caller may use its memory again.
func (c *LowCard) Append(v string) {
	if v == "" {
		c.rows = append(c.rows, 0)
		return
	}
	slot := &c.recent[(uint(len(v))*7+uint(v[len(v)-1]))%recent]
	if slot.index == 0 || slot.value != v {
		i, ok := c.index[v]
		if !ok {
			i = c.add(v)
		}
		slot.value, slot.index = c.values[i], i
	}
	c.rows = append(c.rows, slot.index)
}

// AppendBytes adds a row, as Append does.
func (c *LowCard) AppendBytes(v []byte) { c.Append(unsafe.String(unsafe.SliceData(v), len(v))) }

func (c *LowCard) add(v string) uint32 {
	i := uint32(len(c.values))
	v = strings.Clone(v)
	c.values = append(c.values, v)
	c.words.Append(v)
	c.index[v] = i
	return i
}

func (c *LowCard) Type() proto.ColumnType { return "LowCardinality(String)" }
func (c *LowCard) Rows() int              { return len(c.rows) }
func (c *LowCard) Size() int              { return c.words.Size() + len(c.rows) }

// Reset empties the column.
func (c *LowCard) Reset() {
	clear(c.index)
	clear(c.recent[:])
	clear(c.values)
	c.values = c.values[:0]
	c.words.Reset()
	c.rows = c.rows[:0]
	c.add("")
}

// EncodeState writes the version of the serialization.
func (c *LowCard) EncodeState(b *proto.Buffer) { b.PutInt64(1) }

// EncodeColumn writes words and indices.
func (c *LowCard) EncodeColumn(b *proto.Buffer) {
	if len(c.rows) == 0 {
		return
	}
	width := c.width()
	b.PutInt64(lowCardFlags | int64(width))
	b.PutInt64(int64(c.words.rows))
	b.PutRaw(c.words.buf)
	b.PutInt64(int64(len(c.rows)))
	switch width {
	case 0:
		for _, i := range c.rows {
			b.Buf = append(b.Buf, byte(i))
		}
	case 1:
		for _, i := range c.rows {
			b.Buf = binary.LittleEndian.AppendUint16(b.Buf, uint16(i))
		}
	default:
		for _, i := range c.rows {
			b.Buf = binary.LittleEndian.AppendUint32(b.Buf, i)
		}
	}
}

// width is the code of the smallest index type: 0 UInt8, 1 UInt16, 2 UInt32.
func (c *LowCard) width() int {
	switch {
	case c.words.rows <= math.MaxUint8+1:
		return 0
	case c.words.rows <= math.MaxUint16+1:
		return 1
	}
	return 2
}

// WriteColumn writes what EncodeColumn writes.
func (c *LowCard) WriteColumn(w *proto.Writer) { w.ChainBuffer(c.EncodeColumn) }
