package journal

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds how deep objects and arrays in a body may nest. Our own kinds need four levels;
// the rest is room for notes.
const maxDepth = 64

var errSpelling = errors.New("not in canonical form (field order, spacing, escapes or doubled fields differ)")

// checkCanonical accepts JSON in the one spelling of a journal: no white space, strings that escape
// only what they must and in the shortest way, integers within ±(2^53−1) and no other numbers, no
// key twice in one object. The order of keys is the business of the kind's struct; in a note it is
// the writer's.
func checkCanonical(b []byte) error {
	var room [fewKeys][]byte
	s := scanner{b, room[:0]}
	err := s.value(0)
	if err == nil && len(s.rest) > 0 {
		err = errors.New("bytes after the value")
	}
	if err != nil {
		return fmt.Errorf("%w: at byte %d: %w", errSpelling, len(b)-len(s.rest), err)
	}
	return nil
}

// scanner reads canonical JSON from the left.
type scanner struct {
	rest []byte
	keys [][]byte // of the objects that are open, the innermost last
}

func (s *scanner) value(depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("nested deeper than %d", maxDepth)
	}
	if len(s.rest) == 0 {
		return errors.New("ends early")
	}
	switch s.rest[0] {
	case '{':
		return s.object(depth)
	case '[':
		return s.array(depth)
	case '"':
		_, err := s.text()
		return err
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	}
	return s.integer()
}

func (s *scanner) word(w string) error {
	rest, ok := bytes.CutPrefix(s.rest, []byte(w))
	if !ok {
		return fmt.Errorf("want %s", w)
	}
	s.rest = rest
	return nil
}

// next takes the byte that separates or closes, and says whether it closes.
func (s *scanner) next(separator, closing byte) (closed bool, err error) {
	if len(s.rest) == 0 || s.rest[0] != separator && s.rest[0] != closing {
		return false, fmt.Errorf("want %q or %q", separator, closing)
	}
	closed = s.rest[0] == closing
	s.rest = s.rest[1:]
	return closed, nil
}

func (s *scanner) array(depth int) error {
	s.rest = s.rest[1:]
	if len(s.rest) > 0 && s.rest[0] == ']' {
		s.rest = s.rest[1:]
		return nil
	}
	for {
		if err := s.value(depth + 1); err != nil {
			return err
		}
		if closed, err := s.next(',', ']'); closed || err != nil {
			return err
		}
	}
}

func (s *scanner) object(depth int) error {
	s.rest = s.rest[1:]
	if len(s.rest) > 0 && s.rest[0] == '}' {
		s.rest = s.rest[1:]
		return nil
	}
	outer := len(s.keys)
	var many map[string]bool
	for {
		key, err := s.text()
		if err == nil && s.seen(key, outer, &many) {
			err = fmt.Errorf("key %.40s twice", key)
		}
		if err == nil {
			err = s.word(":")
		}
		if err == nil {
			err = s.value(depth + 1)
		}
		if err != nil {
			return err
		}
		if closed, err := s.next(',', '}'); closed || err != nil {
			s.keys = s.keys[:outer]
			return err
		}
	}
}

// fewKeys is how many keys of an object are compared one with another, which is quicker than
// hashing them; a hostile object with thousands must not cost their square.
const fewKeys = 24

// seen says whether the object whose keys begin at index outer had this one already. Equal strings
// have equal bytes: there is one spelling.
func (s *scanner) seen(key []byte, outer int, many *map[string]bool) bool {
	if *many == nil {
		for _, other := range s.keys[outer:] {
			if bytes.Equal(other, key) {
				return true
			}
		}
		s.keys = append(s.keys, key)
		if len(s.keys)-outer > fewKeys {
			*many = make(map[string]bool, 4*fewKeys)
			for _, k := range s.keys[outer:] {
				(*many)[string(k)] = true
			}
		}
		return false
	}
	twice := (*many)[string(key)]
	(*many)[string(key)] = true
	return twice
}

func (s *scanner) integer() error {
	digits := s.rest
	if digits[0] == '-' {
		digits = digits[1:]
	}
	n, magnitude := 0, int64(0)
	for n < len(digits) && digits[n] >= '0' && digits[n] <= '9' {
		magnitude = magnitude*10 + int64(digits[n]-'0')
		if magnitude > MaxInt {
			return errors.New("number beyond ±(2^53−1)")
		}
		n++
	}
	switch {
	case n == 0:
		return errors.New("want a value")
	case digits[0] == '0' && (n > 1 || s.rest[0] == '-'):
		return errors.New("number with a needless sign or zero")
	case n < len(digits) && strings.IndexByte(".eE", digits[n]) >= 0:
		return errors.New("number that is no integer")
	}
	s.rest = digits[n:]
	return nil
}

// text reads a string and returns it with its quotes, as spelled.
func (s *scanner) text() ([]byte, error) {
	if len(s.rest) == 0 || s.rest[0] != '"' {
		return nil, errors.New("want a string")
	}
	b := s.rest
	for i := 1; i < len(b); {
		switch c := b[i]; {
		case c == '"':
			s.rest = b[i+1:]
			return b[:i+1], nil
		case c == '\\':
			n := escapeLen(b[i:])
			if n == 0 {
				return nil, errors.New("escape that is not needed, or not the shortest")
			}
			i += n
		case c < 0x20:
			return nil, errors.New("control character that is not escaped")
		case c < utf8.RuneSelf:
			i++
		default:
			r, n := utf8.DecodeRune(b[i:])
			switch {
			case r == utf8.RuneError && n == 1:
				return nil, errors.New("not UTF-8")
			case r == '\u2028' || r == '\u2029':
				return nil, errors.New("U+2028 or U+2029 that is not escaped")
			}
			i += n
		}
	}
	return nil, errors.New("string does not end")
}

// escapeLen is the length of the canonical escape that b begins with, 0 if there is none.
func escapeLen(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) >= 6 && longEscape(string(b[2:6])) {
			return 6
		}
	}
	return 0
}

// longEscape says whether the four digits after \u spell a character that has no shorter
// escape and may not stand for itself.
func longEscape(digits string) bool {
	if digits == "2028" || digits == "2029" {
		return true
	}
	low, ok := strings.CutPrefix(digits, "00")
	if !ok || low[0] != '0' && low[0] != '1' || strings.IndexByte("0123456789abcdef", low[1]) < 0 {
		return false
	}
	switch low {
	case "08", "09", "0a", "0c", "0d":
		return false // \b \t \n \f \r
	}
	return true
}
