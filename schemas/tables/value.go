package tables

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"unicode/utf8"
)

// Letters of types, as they stand in the columns attribute_types, events.types, links.types and
// body_type. A text that has all strings is written as no letter at all.
const (
	TypeString byte = 's' // the value
	TypeBool   byte = 'b' // true, false
	TypeInt    byte = 'i' // decimal
	TypeDouble byte = 'd' // the shortest decimal that reads back as the same, NaN, +Inf, -Inf
	TypeBytes  byte = 'y' // standard base64
	TypeJSON   byte = 'j' // a list or a map of values; JSON, see below
	TypeNone   byte = 'n' // an AnyValue that holds nothing; ''
)

// MaxValue bounds, in bytes, a value in an attribute map, a name, a message or the body of a log. What is
// longer is cut there, at the beginning of a UTF-8 character; see [Cut].
const MaxValue = 2 << 10

// Attr is a pair as it came. In a map of a table the pairs stand in their order, and a key may be there twice.
type Attr struct {
	Key, Value string
	Type       byte // one of the letters; 0 is a string
}

// JSON of values: lists are arrays, maps are objects with their keys in the order they came (even
// twice), an AnyValue that holds nothing is null. An int is a number without point and exponent, a double
// always has one of them. What JSON cannot say is an object with one key:
//
//	{"$bytes": "base64"}    bytes
//	{"$double": "NaN"}      NaN, +Inf, -Inf
//	{"$string": "base64"}   a string that is not UTF-8
//	{"$map": {…}}           a map that looks like one of these four
//
// The columns resource, scope_attributes and metadata are such objects, never wrapped.

// AppendJSONString appends a string as JSON.
func AppendJSONString(b []byte, s string) []byte {
	if !utf8.ValidString(s) {
		b = append(b, `{"$string":"`...)
		b = base64.StdEncoding.AppendEncode(b, []byte(s))
		return append(b, `"}`...)
	}
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= 0x7f {
			quoted, _ := json.Marshal(s) // strings always encode
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// AppendJSONDouble appends a double as JSON, told apart from an int by a point or an exponent.
func AppendJSONDouble(b []byte, v float64) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return append(AppendDouble(append(b, `{"$double":"`...), v), `"}`...)
	}
	from := len(b)
	b = AppendDouble(b, v)
	for _, c := range b[from:] {
		if c == '.' || c == 'e' {
			return b
		}
	}
	return append(b, '.', '0')
}

// AppendJSONBytes appends bytes as JSON.
func AppendJSONBytes(b, v []byte) []byte {
	b = base64.StdEncoding.AppendEncode(append(b, `{"$bytes":"`...), v)
	return append(b, `"}`...)
}

// AppendDouble appends a double as the letter d writes it.
func AppendDouble(b []byte, v float64) []byte { return strconv.AppendFloat(b, v, 'g', -1, 64) }

// Wrapped says whether a map with this one key must be written as {"$map": …}.
func Wrapped(onlyKey string) bool {
	return onlyKey == "$bytes" || onlyKey == "$double" || onlyKey == "$string" || onlyKey == "$map"
}

// Cut says that a value was cut. If its whole was kept, it stands in the table content, space
// SpaceAttribute, under Body = SHA-256 of the whole, in the family [ConversationFamily].
type Cut struct {
	Place string // see the table
	Key   string
	Size  uint64
	Body  [32]byte
}

// SpaceAttribute is the space of content that spans and logs of other people's agents have; the spaces of
// our own journals are in schemas/record.
const SpaceAttribute = "attribute"

// ConversationFamily is the family of other people's traces, the scope of their deletion: the traces of one
// conversation, or one trace where no conversation is named. It is a UUIDv8.
func ConversationFamily(project, conversation string, trace [16]byte) [16]byte {
	if conversation == "" {
		return trace
	}
	h := sha256.New()
	h.Write([]byte("tacho-conversation-v1\n"))
	h.Write(strconv.AppendInt(nil, int64(len(project)), 10))
	h.Write([]byte("\n" + project + conversation))
	family := [16]byte(h.Sum(nil)[:16])
	family[6], family[8] = family[6]&0x0f|0x80, family[8]&0x3f|0x80
	return family
}
