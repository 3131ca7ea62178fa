package tools

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// param is one argument of a tool: the JSON Schema that the model is given and the check of what it writes are both made
// from it.
type param struct {
	name, about string
	kind        kind
	required    bool
	min, max    int64   // of an integer, both inclusive; characters of a text (max 0: no bound)
	items       []param // of each object in a list
}

type kind int

const (
	text kind = iota
	integer
	boolean
	objects // a list of objects
)

// String names a kind as an error message does.
func (k kind) String() string {
	return [...]string{"a string", "an integer", "true or false", "a list of objects"}[k]
}

// intentParam is the first argument of every tool; it is taken out before the call.
func intentParam() param {
	return param{name: "intent", kind: text, required: true, min: 1, max: 2000,
		about: "One sentence: why you make this call, in terms of the goal."}
}

// maxDepth bounds the nesting of arguments; no schema of ours is deeper than three.
const maxDepth = 8

// schema is the JSON Schema of an object with the intent and ps.
func schema(ps []param) json.RawMessage {
	raw, err := json.Marshal(objectSchema(append([]param{intentParam()}, ps...)))
	if err != nil {
		panic("tools: encode schema: " + err.Error()) // strings and numbers of our own tables
	}
	return raw
}

type property struct {
	Type        string          `json:"type"`
	Description string          `json:"description,omitempty"`
	Minimum     *int64          `json:"minimum,omitempty"`
	Maximum     *int64          `json:"maximum,omitempty"`
	MinLength   int64           `json:"minLength,omitempty"`
	MaxLength   int64           `json:"maxLength,omitempty"`
	MinItems    int             `json:"minItems,omitempty"`
	Items       json.RawMessage `json:"items,omitempty"`
}

// orderedObject is an object schema whose properties keep the order of the table: a model reads them in that order, and
// the bytes must not change from one start to the next.
type orderedObject []param

func objectSchema(ps []param) orderedObject { return ps }

// MarshalJSON writes {type, properties, required, additionalProperties}.
func (ps orderedObject) MarshalJSON() ([]byte, error) {
	var props bytes.Buffer
	required := []string{}
	for i, p := range ps {
		value, err := json.Marshal(p.property())
		if err != nil {
			return nil, err
		}
		if i > 0 {
			props.WriteByte(',')
		}
		fmt.Fprintf(&props, "%q:%s", p.name, value)
		if p.required {
			required = append(required, p.name)
		}
	}
	names, err := json.Marshal(required)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, `{"type":"object","properties":{%s},"required":%s,"additionalProperties":false}`, &props, names), nil
}

func (p param) property() property {
	v := property{Description: p.about}
	switch p.kind {
	case text:
		v.Type, v.MinLength, v.MaxLength = "string", p.min, p.max
	case integer:
		v.Type, v.Minimum, v.Maximum = "integer", &p.min, &p.max
	case boolean:
		v.Type = "boolean"
	case objects:
		v.Type, v.MinItems = "array", 1
		v.Items, _ = json.Marshal(objectSchema(p.items)) // as schema: our own tables
	}
	return v
}

// readArguments checks raw against ps and gives the intent and the canonical rest. It is stricter than encoding/json:
// no name twice, no bytes that are not UTF-8, no half of a surrogate pair, since what was decided on must be what is
// done. A null counts as an argument that was left out.
func readArguments(ps []param, raw string) (intent string, args json.RawMessage, err error) {
	value, err := parseStrict(raw)
	if err != nil {
		return "", nil, err
	}
	object, ok := value.(map[string]any)
	if !ok {
		return "", nil, refuse("the arguments must be a JSON object, got %s", describe(value))
	}
	clean, err := checkObject(append([]param{intentParam()}, ps...), object, "")
	if err != nil {
		return "", nil, err
	}
	intent = strings.TrimSpace(clean["intent"].(string))
	if intent == "" {
		return "", nil, refuse(`argument "intent" is blank; say in one sentence why you make this call`)
	}
	delete(clean, "intent")
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(clean); err != nil {
		return "", nil, fmt.Errorf("encode arguments: %w", err)
	}
	return intent, bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

func checkObject(ps []param, object map[string]any, at string) (map[string]any, error) {
	clean := make(map[string]any, len(object))
	for _, p := range ps {
		value, given := object[p.name]
		if !given || value == nil {
			if p.required {
				return nil, refuse("argument %q is missing: %s. %s", at+p.name, p.kind, p.about)
			}
			continue
		}
		v, err := p.check(value, at+p.name)
		if err != nil {
			return nil, err
		}
		clean[p.name] = v
	}
	for name := range object {
		if !known(ps, name) {
			return nil, refuse("there is no argument %.60q; the arguments are %s", at+name, names(ps))
		}
	}
	return clean, nil
}

func known(ps []param, name string) bool {
	for _, p := range ps {
		if p.name == name {
			return true
		}
	}
	return false
}

func names(ps []param) string {
	var out []string
	for _, p := range ps {
		out = append(out, p.name)
	}
	return strings.Join(out, ", ")
}

func (p param) check(value any, at string) (any, error) {
	wrong := func() error { return refuse("argument %q must be %s, got %s", at, p.kind, describe(value)) }
	switch p.kind {
	case text:
		s, ok := value.(string)
		if !ok {
			return nil, wrong()
		}
		return s, p.checkLength(s, at)
	case integer:
		n, ok := value.(json.Number)
		if !ok {
			return nil, wrong()
		}
		return p.checkInteger(n, at, wrong)
	case boolean:
		if _, ok := value.(bool); !ok {
			return nil, wrong()
		}
		return value, nil
	case objects:
		list, ok := value.([]any)
		if !ok {
			return nil, wrong()
		}
		return p.checkList(list, at)
	}
	panic("tools: parameter of unknown kind")
}

func (p param) checkLength(s, at string) error {
	n := int64(utf8.RuneCountInString(s))
	switch {
	case n < p.min:
		return refuse("argument %q must not be empty. %s", at, p.about)
	case p.max > 0 && n > p.max:
		return refuse("argument %q has %d characters, at most %d are taken", at, n, p.max)
	}
	return nil
}

// checkInteger takes 3 and 3.0, as JSON Schema does.
func (p param) checkInteger(n json.Number, at string, wrong func() error) (any, error) {
	i, err := strconv.ParseInt(n.String(), 10, 64)
	if err != nil {
		f, err := n.Float64()
		if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
			return nil, wrong()
		}
		i = int64(f)
	}
	if i < p.min || i > p.max {
		return nil, refuse("argument %q is %d, it must be from %d to %d", at, i, p.min, p.max)
	}
	return i, nil
}

func (p param) checkList(list []any, at string) (any, error) {
	if len(list) == 0 {
		return nil, refuse("argument %q is an empty list", at)
	}
	out := make([]any, len(list))
	for i, value := range list {
		where := fmt.Sprintf("%s[%d]", at, i)
		object, ok := value.(map[string]any)
		if !ok {
			return nil, refuse("argument %q must be an object, got %s", where, describe(value))
		}
		clean, err := checkObject(p.items, object, where+".")
		if err != nil {
			return nil, err
		}
		out[i] = clean
	}
	return out, nil
}

// describe names a JSON value for an error message.
func describe(value any) string {
	switch v := value.(type) {
	case nil:
		return "null"
	case string:
		return fmt.Sprintf("the string %.40q", v)
	case json.Number:
		return "the number " + v.String()
	case bool:
		return strconv.FormatBool(v)
	case []any:
		return "a list"
	}
	return "an object"
}

// parseStrict reads one JSON value into maps, slices, strings, json.Numbers, bools and nil.
func parseStrict(raw string) (any, error) {
	if strings.TrimSpace(raw) == "" {
		return nil, refuse("the arguments are empty; send a JSON object")
	}
	if !utf8.ValidString(raw) {
		return nil, refuse("the arguments are not valid UTF-8")
	}
	if err := checkSurrogates(raw); err != nil {
		return nil, err
	}
	dec := json.NewDecoder(strings.NewReader(raw))
	dec.UseNumber()
	value, err := parseValue(dec, maxDepth)
	if err != nil {
		return nil, malformed(dec, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, refuse("the arguments go on after the JSON object, at byte %d", dec.InputOffset())
	}
	return value, nil
}

func malformed(dec *json.Decoder, err error) error {
	var no *refusal
	switch {
	case errors.As(err, &no):
		return err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return refuse("the arguments end in the middle of the JSON; if the answer was cut off, send smaller pieces")
	}
	return refuse("the arguments are not JSON near byte %d: %v", dec.InputOffset(), err)
}

func parseValue(dec *json.Decoder, depth int) (any, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	delim, ok := token.(json.Delim)
	if !ok {
		return token, nil
	}
	if depth == 0 {
		return nil, refuse("the arguments are nested deeper than %d", maxDepth)
	}
	if delim == '[' {
		return parseList(dec, depth-1)
	}
	return parseObject(dec, depth-1)
}

func parseList(dec *json.Decoder, depth int) (any, error) {
	list := []any{}
	for dec.More() {
		value, err := parseValue(dec, depth)
		if err != nil {
			return nil, err
		}
		list = append(list, value)
	}
	_, err := dec.Token()
	return list, err
}

func parseObject(dec *json.Decoder, depth int) (any, error) {
	object := map[string]any{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, err
		}
		name, ok := token.(string)
		if !ok {
			return nil, refuse("the arguments have a name that is not a string, near byte %d", dec.InputOffset())
		}
		if _, twice := object[name]; twice {
			return nil, refuse("argument %.60q is given twice", name)
		}
		if object[name], err = parseValue(dec, depth); err != nil {
			return nil, err
		}
	}
	_, err := dec.Token()
	return object, err
}

// checkSurrogates finds a \uD800…\uDFFF that is not one of a pair. encoding/json would put U+FFFD in its place unasked.
func checkSurrogates(raw string) error {
	for i := 0; i+1 < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		i++
		unit, ok := hexUnit(raw, i)
		if !ok || unit&0xF800 != 0xD800 {
			continue
		}
		low, ok := hexUnit(raw, i+6)
		if unit >= 0xDC00 || !ok || raw[i+5] != '\\' || low&0xFC00 != 0xDC00 {
			return refuse("the arguments hold half a surrogate pair (\\u%04x) at byte %d", unit, i-1)
		}
		i += 10
	}
	return nil
}

// hexUnit reads uXXXX at i.
func hexUnit(raw string, i int) (uint64, bool) {
	if i+5 > len(raw) || raw[i] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(raw[i+1:i+5], 16, 16)
	return n, err == nil
}
