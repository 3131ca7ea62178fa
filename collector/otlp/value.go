package otlp

import "math"

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
