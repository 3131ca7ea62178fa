package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
)

// A body is read by walking the fields of its struct in their order, each in the only spelling that
// encoding/json would write. That proves the canonical form without writing the body again, and
// costs a third of json.Unmarshal. The fuzz test holds it to what the two together would accept.

// bodyReader takes values from the left of a body that is known to be canonical JSON.
type bodyReader struct{ rest []byte }

// field is one field of a struct as it is spelled.
type field struct {
	name  string // with quotes and colon
	index []int
	omit  func(reflect.Value) bool // whether a value is left out; nil: it always stands
	read  func(*bodyReader, reflect.Value) error
}

var (
	hashType  = reflect.TypeFor[Hash]()
	refType   = reflect.TypeFor[Ref]()
	objType   = reflect.TypeFor[Object]()
	runIDType = reflect.TypeFor[RunID]()
)

// plans holds the fields of every struct type that was read, by reflect.Type.
var plans sync.Map

// fieldsOf lists the fields of a struct in the order in which they are written; those of an embedded
// one stand in its place.
func fieldsOf(t reflect.Type) []field {
	if known, ok := plans.Load(t); ok {
		return known.([]field)
	}
	var list []field
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			for _, inner := range fieldsOf(f.Type) {
				inner.index = append([]int{i}, inner.index...)
				list = append(list, inner)
			}
			continue
		}
		name, option, _ := strings.Cut(f.Tag.Get("json"), ",")
		list = append(list, field{strconv.Quote(name) + ":", f.Index, omission(option), valueReader(f.Type)})
	}
	known, _ := plans.LoadOrStore(t, list)
	return known.([]field)
}

func omission(option string) func(reflect.Value) bool {
	switch option {
	case "":
		return nil
	case "omitzero":
		return reflect.Value.IsZero
	case "omitempty":
		return func(v reflect.Value) bool { return v.Len() == 0 }
	}
	panic("journal: no body has fields with the option " + option)
}

// valueReader knows the types that bodies are made of. A type that is new here must be added, which
// every test notices.
func valueReader(t reflect.Type) func(*bodyReader, reflect.Value) error {
	switch t {
	case hashType, refType, objType:
		return (*bodyReader).hash
	case runIDType:
		return (*bodyReader).runID
	}
	switch t.Kind() {
	case reflect.String:
		return (*bodyReader).string
	case reflect.Int64, reflect.Int:
		return (*bodyReader).integer
	case reflect.Bool:
		return (*bodyReader).bool
	case reflect.Struct:
		return (*bodyReader).object
	case reflect.Pointer:
		return func(r *bodyReader, v reflect.Value) error {
			v.Set(reflect.New(t.Elem()))
			return r.object(v.Elem())
		}
	case reflect.Slice:
		element := valueReader(t.Elem())
		return func(r *bodyReader, v reflect.Value) error { return r.list(v, element) }
	}
	panic("journal: no body has fields of type " + t.String())
}

// has takes a literal if it comes next.
func (r *bodyReader) has(literal string) bool {
	if len(r.rest) < len(literal) || string(r.rest[:len(literal)]) != literal {
		return false
	}
	r.rest = r.rest[len(literal):]
	return true
}

func (r *bodyReader) want(literal string) error {
	if r.has(literal) {
		return nil
	}
	return fmt.Errorf("%w: want %s at %.40q", errSpelling, literal, r.rest)
}

func (r *bodyReader) object(v reflect.Value) error {
	if err := r.want("{"); err != nil {
		return err
	}
	first := true
	for _, f := range fieldsOf(v.Type()) {
		before := r.rest
		if !first && !r.has(",") || !r.has(f.name) {
			if r.rest = before; f.omit != nil {
				continue
			}
			return fmt.Errorf("%w: want %s at %.40q", errSpelling, f.name, r.rest)
		}
		first = false
		value := v.FieldByIndex(f.index)
		if err := f.read(r, value); err != nil {
			return fmt.Errorf("%s %w", f.name, err)
		}
		if f.omit != nil && f.omit(value) {
			return fmt.Errorf("%w: %s is left out where there is none", errSpelling, f.name)
		}
	}
	return r.want("}")
}

func (r *bodyReader) list(v reflect.Value, element func(*bodyReader, reflect.Value) error) error {
	if err := r.want("["); err != nil {
		return err
	}
	v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	for n := 0; !r.has("]"); n++ {
		if n > 0 {
			if err := r.want(","); err != nil {
				return err
			}
		}
		v.Grow(1)
		v.SetLen(n + 1)
		if err := element(r, v.Index(n)); err != nil {
			return err
		}
	}
	return nil
}

// text takes a string and returns what stands between its quotes, as spelled.
func (r *bodyReader) text() ([]byte, error) {
	if err := r.want(`"`); err != nil {
		return nil, err
	}
	for i := 0; i < len(r.rest); i++ {
		switch r.rest[i] {
		case '\\':
			i++
		case '"':
			inner := r.rest[:i]
			r.rest = r.rest[i+1:]
			return inner, nil
		}
	}
	return nil, errors.New("string does not end")
}

func (r *bodyReader) string(v reflect.Value) error {
	inner, err := r.text()
	if err != nil {
		return err
	}
	if bytes.IndexByte(inner, '\\') < 0 {
		v.SetString(string(inner))
		return nil
	}
	return json.Unmarshal([]byte(`"`+string(inner)+`"`), v.Addr().Interface())
}

func (r *bodyReader) hash(v reflect.Value) error {
	inner, err := r.text()
	if err != nil {
		return err
	}
	return parseHash(v.Addr().Convert(reflect.TypeFor[*[HashSize]byte]()).Interface().(*[HashSize]byte), inner)
}

func (r *bodyReader) runID(v reflect.Value) error {
	inner, err := r.text()
	if err != nil {
		return err
	}
	return v.Addr().Interface().(*RunID).UnmarshalText(inner)
}

func (r *bodyReader) integer(v reflect.Value) error {
	n := 0
	for n < len(r.rest) && (r.rest[n] == '-' || r.rest[n] >= '0' && r.rest[n] <= '9') {
		n++
	}
	i, err := strconv.ParseInt(string(r.rest[:n]), 10, v.Type().Bits())
	if err != nil {
		return fmt.Errorf("%w: want an integer at %.24q", errSpelling, r.rest)
	}
	r.rest = r.rest[n:]
	v.SetInt(i)
	return nil
}

func (r *bodyReader) bool(v reflect.Value) error {
	if r.has("true") {
		v.SetBool(true)
		return nil
	}
	return r.want("false")
}
