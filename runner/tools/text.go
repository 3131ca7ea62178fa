package tools

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// visible writes b as text a model can read: printable characters, tabs and newlines as they are, every other byte as
// \xHH. It returns how many bytes were written so.
func visible(w *strings.Builder, b []byte) (odd int) {
	for len(b) > 0 {
		n := printable(b)
		w.Write(b[:n])
		if b = b[n:]; len(b) == 0 {
			break
		}
		_, size := utf8.DecodeRune(b)
		writeHex(w, string(b[:size]))
		odd += size
		b = b[size:]
	}
	return odd
}

// printable counts the bytes at the beginning of b that can be shown as they are.
func printable(b []byte) int {
	i := 0
	for i < len(b) {
		if c := b[i]; c < utf8.RuneSelf {
			if c < ' ' && c != '\n' && c != '\t' || c == 0x7F {
				return i
			}
			i++
			continue
		}
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 || !unicode.IsPrint(r) && !unicode.IsSpace(r) {
			return i
		}
		i += n
	}
	return i
}

// clip writes a line (without its newline) of which total bytes exist and b is the beginning, cut at limit.
func clip(w *strings.Builder, b []byte, total int64, limit int) (odd int, cut bool) {
	if len(b) > limit {
		b = b[:limit]
		b = b[:len(b)-halfRune(b)]
	}
	odd = visible(w, b)
	if more := total - int64(len(b)); more > 0 {
		fmt.Fprintf(w, "… [%s more of this line]", sizeOf(more))
		return odd, true
	}
	return odd, false
}

// halfRune counts the bytes at the end of b that begin a character without ending it.
func halfRune(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if tail := b[len(b)-n:]; utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return n
		}
	}
	return 0
}

// isBinary is git's rule: a NUL in the first 8,000 bytes.
func isBinary(head []byte) bool { return bytes.IndexByte(head[:min(len(head), 8000)], 0) >= 0 }

// plain takes terminal control out of a command's output: escape sequences, and what a carriage return or a backspace
// would have overwritten. Newlines stay where they are, so line numbers are those of the output itself.
func plain(out []byte) []byte {
	if bytes.IndexByte(out, '\x1b') < 0 && bytes.IndexByte(out, '\r') < 0 && bytes.IndexByte(out, '\b') < 0 {
		return out
	}
	kept := make([]byte, 0, len(out))
	line := 0 // where the current line begins in kept
	for i := 0; i < len(out); {
		switch c := out[i]; {
		case c == '\x1b':
			i += escapeLength(out[i:])
			continue
		case c == '\r' && (i+1 == len(out) || out[i+1] == '\n' || out[i+1] == '\r'):
			// the end of a line as terminals and Windows write it
		case c == '\r':
			kept = kept[:line]
		case c == '\b' && len(kept) > line:
			_, n := utf8.DecodeLastRune(kept[line:])
			kept = kept[:len(kept)-n]
		case c == '\b':
		default:
			kept = append(kept, c)
			if c == '\n' {
				line = len(kept)
			}
		}
		i++
	}
	return kept
}

// escapeLength measures the ECMA-48 sequence at the beginning of b, which is an ESC. A sequence never takes a newline, so
// that an unfinished one cannot swallow the rest.
func escapeLength(b []byte) int {
	if len(b) < 2 {
		return 1
	}
	switch b[1] {
	case '[': // CSI: parameters and intermediates, then one final byte
		i := 2
		for i < len(b) && b[i] >= 0x20 && b[i] <= 0x3F {
			i++
		}
		if i < len(b) && b[i] >= 0x40 && b[i] <= 0x7E {
			i++
		}
		return i
	case ']', 'P', '_', '^', 'X': // OSC, DCS, APC, PM, SOS: until BEL or ESC \
		for i := 2; i < len(b); i++ {
			switch {
			case b[i] == '\n':
				return i
			case b[i] == '\a':
				return i + 1
			case b[i] == '\x1b':
				if i+1 < len(b) && b[i+1] == '\\' {
					return i + 2
				}
				return i
			}
		}
		return len(b)
	}
	i := 1
	for i < len(b) && b[i] >= 0x20 && b[i] <= 0x2F {
		i++
	}
	if i < len(b) && b[i] >= 0x30 && b[i] <= 0x7E {
		i++
	}
	return i
}

// plural writes "1 line", "2,000 lines".
func plural[N int | int64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return grouped(int64(n)) + " " + many
}

// sizeOf writes a number of bytes exactly, because pages are asked for by it.
func sizeOf(n int64) string { return plural(n, "byte", "bytes") }

// grouped writes 1234567 as 1,234,567.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// withRemarks puts remarks in square brackets on lines of their own after body, where no output can be taken for them
// unless it begins a line with a bracket itself.
func withRemarks(body string, remarks ...string) string {
	var b strings.Builder
	b.WriteString(body)
	for _, r := range remarks {
		if b.Len() > 0 && !strings.HasSuffix(b.String(), "\n") {
			b.WriteByte('\n')
		}
		b.WriteString("[" + r + "]")
	}
	return b.String()
}
