package genai

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// scanner goes through JSON once, from left to right, and takes for granted that it is well formed: where it is not, it
// goes to the end, so that every loop stops. encoding/json is not used because it copies every value, wants the
// whole text, and takes ten times as long to pass over what nobody asked for.
type scanner struct {
	text string
	at   int
}

// end gives up what is left.
func (s *scanner) end() { s.at = len(s.text) }

// peek passes white space and shows the next byte; 0 at the end.
func (s *scanner) peek() byte {
	for ; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// take passes c if it comes next.
func (s *scanner) take(c byte) bool {
	if s.peek() != c || s.at == len(s.text) {
		return false
	}
	s.at++
	return true
}

// object calls value with each key; it must pass the value.
func (s *scanner) object(value func(key string)) {
	if !s.take('{') {
		s.end()
		return
	}
	for s.peek() == '"' {
		key := s.string()
		if !s.take(':') {
			break
		}
		value(key)
		if !s.take(',') {
			break
		}
	}
	if !s.take('}') {
		s.end()
	}
}

// array calls item at each item; it must pass it.
func (s *scanner) array(item func()) {
	if !s.take('[') {
		s.end()
		return
	}
	for s.peek() != ']' && s.at < len(s.text) {
		before := s.at
		item()
		if s.at == before || !s.take(',') {
			break
		}
	}
	if !s.take(']') {
		s.end()
	}
}

// string passes a string and returns what stands between its quotes. Where the text was cut in it, that is
// what is left of it.
func (s *scanner) string() string {
	if !s.take('"') {
		s.end()
		return ""
	}
	from := s.at
	for {
		quote := strings.IndexByte(s.text[s.at:], '"')
		if quote < 0 {
			s.end()
			return s.text[from:]
		}
		quote += s.at
		s.at = quote + 1
		escapes := 0
		for i := quote - 1; i >= from && s.text[i] == '\\'; i-- {
			escapes++
		}
		if escapes%2 == 0 {
			return s.text[from:quote]
		}
	}
}

// word is a short string, such as a role; "" for any other value.
func (s *scanner) word() string {
	if s.peek() == '"' {
		return s.string()
	}
	s.skip()
	return ""
}

// skip passes a value.
func (s *scanner) skip() {
	depth := 0
	for {
		switch s.peek() {
		case 0:
			s.end()
			return
		case '"':
			s.string()
		case '{', '[':
			s.at++
			depth++
			continue
		case '}', ']':
			if depth == 0 { // of whoever called
				return
			}
			s.at++
			depth--
		case ',', ':':
			if depth == 0 {
				return
			}
			s.at++
			continue
		default:
			for s.at < len(s.text) && strings.IndexByte(" \t\r\n\",:{}[]", s.text[s.at]) < 0 {
				s.at++
			}
		}
		if depth == 0 {
			return
		}
	}
}

// escape reads the escape that a text begins with: its character, and the bytes it takes.
func escape(raw string) (rune, int) {
	if len(raw) < 2 {
		return utf8.RuneError, len(raw)
	}
	switch raw[1] {
	case 'n':
		return '\n', 2
	case 't':
		return '\t', 2
	case 'r':
		return '\r', 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'u':
		first, ok := unit(raw)
		if !ok {
			return utf8.RuneError, min(len(raw), 6)
		}
		if !utf16.IsSurrogate(first) {
			return first, 6
		}
		second, ok := unit(raw[6:])
		if r := utf16.DecodeRune(first, second); ok && r != utf8.RuneError {
			return r, 12
		}
		return utf8.RuneError, 6
	}
	r, size := utf8.DecodeRuneInString(raw[1:])
	return r, 1 + size
}

// unit reads \uXXXX.
func unit(raw string) (rune, bool) {
	if len(raw) < 6 || raw[0] != '\\' || raw[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(raw[2:6], 16, 16)
	return rune(n), err == nil
}
