package otlp

import (
	"encoding/binary"
	"math"
)

// Type says what a [Value] holds.
type Type uint8

const (
	Empty Type = iota
	String
	Bool
	Int
	Double
	Bytes
	List // raw is an ArrayValue
	Map  // raw is a KeyValueList
)

// Value is an AnyValue. Lists and maps stay encoded, checked for form, count and depth, until they
// are walked with Items and Entries.
type Value struct {
	Type Type
	Text string // of String and Bytes; the encoded message of List and Map
	Bits uint64 // of Bool, Int and Double
}

func (v Value) Bool() bool      { return v.Bits != 0 }
func (v Value) Int() int64      { return int64(v.Bits) }
func (v Value) Double() float64 { return math.Float64frombits(v.Bits) }

// Attr is a KeyValue.
type Attr struct {
	Key   string
	Value Value
}

// reader bounds what one request may hold.
type reader struct {
	limits  Limits
	records int
	values  int
}

func (r *reader) countValue() error {
	r.values++
	if r.values > r.limits.Values {
		return tooLarge("more than %d attributes and list items", r.limits.Values)
	}
	return nil
}

func (r *reader) countRecord(what string) error {
	r.records++
	if r.records > r.limits.Records {
		return tooLarge("more than %d %s: send them in several requests", r.limits.Records, what)
	}
	return nil
}

// plainAttr reads a KeyValue that is encoded as nearly all are: a key, and a short string or an int, in
// either order (pdata writes the value first), nothing else. It is attr without its generality, and makes
// reading a span about twice as fast.
//
//	0a len key   12 len ( 0a len string | 18 varint )
func plainAttr(m []byte) (a Attr, ok bool) {
	if len(m) < 6 || m[1] >= 0x80 || len(m) < int(m[1])+4 {
		return a, false
	}
	end := 2 + int(m[1])
	first, second := m[2:end], m[end+2:]
	if m[end+1] >= 0x80 || int(m[end+1]) != len(second) {
		return a, false
	}
	switch {
	case m[0] == 0x0a && m[end] == 0x12:
	case m[0] == 0x12 && m[end] == 0x0a:
		first, second = second, first
	default:
		return a, false
	}
	a.Key = view(first)
	return a, plainValue(&a.Value, second)
}

func plainValue(v *Value, m []byte) bool {
	switch {
	case len(m) < 2:
		return false
	case m[0] == 0x0a && m[1] < 0x80 && int(m[1]) == len(m)-2:
		v.Type, v.Text = String, view(m[2:])
		return true
	case m[0] == 0x18:
		n, width := binary.Uvarint(m[1:])
		v.Type, v.Bits = Int, n
		return width == len(m)-1
	}
	return false
}

func (r *reader) attr(message []byte, depth int) (Attr, error) {
	if err := r.countValue(); err != nil {
		return Attr{}, err
	}
	var a Attr
	c := fields(message, "KeyValue")
	for c.next() {
		switch c.num {
		case 1:
			a.Key = c.text()
		case 2:
			if err := r.value(&a.Value, c.message(), depth); err != nil {
				return Attr{}, err
			}
		}
	}
	return a, c.err
}

// value reads an AnyValue into v. Of several alternatives the last one counts.
func (r *reader) value(v *Value, message []byte, depth int) error {
	c := fields(message, "AnyValue")
	for c.next() {
		switch c.num {
		case 1:
			*v = Value{Type: String, Text: c.text()}
		case 2:
			*v = Value{Type: Bool}
			if c.uint() != 0 {
				v.Bits = 1
			}
		case 3:
			*v = Value{Type: Int, Bits: c.uint()}
		case 4:
			*v = Value{Type: Double, Bits: c.fixed64()}
		case 5:
			*v = Value{Type: List, Text: c.text()}
			if err := r.nested(c.data, depth+1, false); c.err == nil && err != nil {
				return err
			}
		case 6:
			*v = Value{Type: Map, Text: c.text()}
			if err := r.nested(c.data, depth+1, true); c.err == nil && err != nil {
				return err
			}
		case 7:
			*v = Value{Type: Bytes, Text: c.text()}
		}
	}
	return c.err
}

// nested checks a list or a map whose items are not looked at now.
func (r *reader) nested(message []byte, depth int, entries bool) error {
	if depth > r.limits.Depth {
		return tooLarge("a value is nested deeper than %d lists and maps", r.limits.Depth)
	}
	c := fields(message, "list")
	for c.next() {
		if c.num != 1 {
			continue
		}
		var err error
		if entries {
			_, err = r.attr(c.message(), depth)
		} else {
			var v Value
			if err = r.countValue(); err == nil {
				err = r.value(&v, c.message(), depth)
			}
		}
		if c.err == nil && err != nil {
			return err
		}
	}
	return c.err
}

// unbounded walks values that a reader has checked before.
var unbounded = Limits{Records: math.MaxInt, Values: math.MaxInt, Depth: math.MaxInt}

// Items yields the items of a List, in order.
func (v Value) Items(yield func(Value) bool) {
	r := reader{limits: unbounded}
	c := fields(bytesOf(v.Text), "ArrayValue")
	for c.next() {
		if c.num != 1 {
			continue
		}
		var item Value
		if r.value(&item, c.message(), 0) != nil || !yield(item) {
			return
		}
	}
}

// Entries yields the entries of a Map, in order, keys that stand twice too.
func (v Value) Entries(yield func(Attr) bool) {
	r := reader{limits: unbounded}
	c := fields(bytesOf(v.Text), "KeyValueList")
	for c.next() {
		if c.num != 1 {
			continue
		}
		a, err := r.attr(c.message(), 0)
		if err != nil || !yield(a) {
			return
		}
	}
}
