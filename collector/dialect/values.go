package dialect

import (
	"encoding/base64"
	"strconv"
	"unicode/utf8"
	"unsafe"

	"tachograph/collector/otlp"
	"tachograph/schemas/tables"
)

// values turns AnyValues into the texts of tables. The texts of one record share a buffer.
type values struct{ buffer []byte }

func (v *values) reset() { v.buffer = v.buffer[:0] }

// text is the value as a column has it, and its letter.
func (v *values) text(value otlp.Value) (string, byte) {
	from := len(v.buffer)
	letter := tables.TypeString
	switch value.Type {
	case otlp.String:
		return value.Text, letter
	case otlp.Empty:
		return "", tables.TypeNone
	case otlp.Bool:
		if value.Bool() {
			return "true", tables.TypeBool
		}
		return "false", tables.TypeBool
	case otlp.Int:
		letter, v.buffer = tables.TypeInt, strconv.AppendInt(v.buffer, value.Int(), 10)
	case otlp.Double:
		letter, v.buffer = tables.TypeDouble, tables.AppendDouble(v.buffer, value.Double())
	case otlp.Bytes:
		letter, v.buffer = tables.TypeBytes, base64.StdEncoding.AppendEncode(v.buffer, bytesOf(value.Text))
	default:
		letter, v.buffer = tables.TypeJSON, appendJSON(v.buffer, value)
	}
	return v.since(from), letter
}

// since shows what was written to the buffer. A buffer that grows leaves the old bytes where they
// are, so earlier views stay good until the next reset.
func (v *values) since(from int) string {
	if from == len(v.buffer) {
		return ""
	}
	return unsafe.String(&v.buffer[from], len(v.buffer)-from)
}

// appendJSON writes a value as schemas/tables/value.go says.
func appendJSON(b []byte, value otlp.Value) []byte {
	switch value.Type {
	case otlp.String:
		return tables.AppendJSONString(b, value.Text)
	case otlp.Bool:
		return strconv.AppendBool(b, value.Bool())
	case otlp.Int:
		return strconv.AppendInt(b, value.Int(), 10)
	case otlp.Double:
		return tables.AppendJSONDouble(b, value.Double())
	case otlp.Bytes:
		return tables.AppendJSONBytes(b, bytesOf(value.Text))
	case otlp.List:
		b = append(b, '[')
		first := true
		for item := range value.Items {
			if !first {
				b = append(b, ',')
			}
			first, b = false, appendJSON(b, item)
		}
		return append(b, ']')
	case otlp.Map:
		return appendMap(b, value)
	}
	return append(b, "null"...)
}

func appendMap(b []byte, value otlp.Value) []byte {
	count, only := 0, ""
	for a := range value.Entries {
		count, only = count+1, a.Key
	}
	wrapped := count == 1 && tables.Wrapped(only)
	if wrapped {
		b = append(b, `{"$map":`...)
	}
	b = append(b, '{')
	first := true
	for a := range value.Entries {
		if !first {
			b = append(b, ',')
		}
		first, b = false, appendMember(b, a)
	}
	b = append(b, '}')
	if wrapped {
		b = append(b, '}')
	}
	return b
}

// appendMember writes one pair of an object. A key must be text in JSON: bytes of it that are no UTF-8
// become U+FFFD, the one thing that is not kept.
func appendMember(b []byte, a otlp.Attr) []byte {
	return appendJSON(append(appendKey(b, a.Key), ':'), a.Value)
}

func appendKey(b []byte, key string) []byte {
	if !utf8.ValidString(key) {
		key = string([]rune(key))
	}
	return tables.AppendJSONString(b, key)
}

// appendObject writes attributes as an object that is never wrapped; nothing for none.
func appendObject(b []byte, attrs []otlp.Attr) []byte {
	if len(attrs) == 0 {
		return b
	}
	b = append(b, '{')
	for i, a := range attrs {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendMember(b, a)
	}
	return append(b, '}')
}

func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// find is the last value of a key.
func find(attrs []otlp.Attr, key string) (otlp.Value, bool) {
	for i := len(attrs) - 1; i >= 0; i-- {
		if attrs[i].Key == key {
			return attrs[i].Value, true
		}
	}
	return otlp.Value{}, false
}

// findText is the last value of a key, if it is a string.
func findText(attrs []otlp.Attr, key string) string {
	if v, ok := find(attrs, key); ok && v.Type == otlp.String {
		return v.Text
	}
	return ""
}
