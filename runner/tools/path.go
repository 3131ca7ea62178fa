package tools

import (
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// relative turns a path argument into a cleaned path relative to the tree, in the name's own bytes.
func (s *Set) relative(arg string) (string, error) {
	p, err := unspell(arg)
	if err != nil {
		return "", err
	}
	switch {
	case p == "":
		return "", refuse(`the path is empty; "." is the workspace itself`)
	case strings.IndexByte(p, 0) >= 0:
		return "", refuse("path %s holds a NUL byte; no file name can", spell(p))
	}
	if path.IsAbs(p) {
		inside, ok := s.below(path.Clean(p))
		if !ok {
			return "", refuse("path %s is outside of the workspace %s; file tools see only what is below it", spell(p), s.env.Mount)
		}
		return inside, nil
	}
	p = path.Clean(p)
	if p == ".." || strings.HasPrefix(p, "../") {
		return "", refuse("path %s leaves the workspace; paths are relative to %s", spell(arg), s.env.Mount)
	}
	return p, nil
}

// below gives the part of a clean absolute path below the mount.
func (s *Set) below(abs string) (string, bool) {
	if abs == s.env.Mount {
		return ".", true
	}
	return strings.CutPrefix(abs, s.env.Mount+"/")
}

// spell writes a name for people, models and JSON; see the package comment.
func spell(name string) string {
	if plainName(name) {
		return name
	}
	var b strings.Builder
	for i := 0; i < len(name); {
		r, n := utf8.DecodeRuneInString(name[i:])
		switch {
		case r == '\\':
			b.WriteString(`\\`)
		case r == utf8.RuneError && n == 1, !unicode.IsPrint(r):
			writeHex(&b, name[i:i+n])
		default:
			b.WriteString(name[i : i+n])
		}
		i += n
	}
	return b.String()
}

func plainName(name string) bool {
	for i := 0; i < len(name); i++ {
		if c := name[i]; c < ' ' || c >= 0x7F || c == '\\' {
			return false
		}
	}
	return true
}

func writeHex(b *strings.Builder, bytes string) {
	const digits = "0123456789abcdef"
	for i := 0; i < len(bytes); i++ {
		b.WriteString(`\x`)
		b.WriteByte(digits[bytes[i]>>4])
		b.WriteByte(digits[bytes[i]&15])
	}
}

// unspell reads what spell writes. It also takes characters as they are that spell would escape.
func unspell(spelled string) (string, error) {
	if strings.IndexByte(spelled, '\\') < 0 {
		return spelled, nil
	}
	var b strings.Builder
	for i := 0; i < len(spelled); i++ {
		if spelled[i] != '\\' {
			b.WriteByte(spelled[i])
			continue
		}
		rest := spelled[i+1:]
		if strings.HasPrefix(rest, `\`) {
			b.WriteByte('\\')
			i++
			continue
		}
		c, ok := hexByte(rest)
		if !ok {
			return "", refuse(`path %.200q: a backslash must be followed by another one, or by x and two hex digits for a byte`, spelled)
		}
		b.WriteByte(c)
		i += 3
	}
	return b.String(), nil
}

// hexByte reads xHH.
func hexByte(s string) (byte, bool) {
	if len(s) < 3 || s[0] != 'x' {
		return 0, false
	}
	n, err := strconv.ParseUint(s[1:3], 16, 8)
	return byte(n), err == nil
}
