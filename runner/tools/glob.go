package tools

import (
	"errors"
	"regexp"
	"strings"
)

// glob is a file pattern: * and ? do not match "/", ** does ("a/**/b" also matches a/b), [a-z] and [!a-z] are sets,
// {x,y} alternatives, and \ takes the next character as it is. A pattern without "/" is matched against the last part of
// a path, one with "/" against all of it. It is matched against the names' own bytes.
type glob struct {
	re   *regexp.Regexp
	base bool
}

// globAbout is the same for every tool that takes a pattern.
const globAbout = `*.go matches by name at any depth, src/**/*_test.go by path from "path"; also ? [a-z] {a,b}.`

func compileGlob(pattern string) (*glob, error) {
	if pattern == "" {
		return nil, nil
	}
	g := &glob{base: !strings.Contains(pattern, "/")}
	expr, err := globExpr(strings.TrimPrefix(strings.TrimPrefix(pattern, "./"), "/"))
	if err != nil {
		return nil, refuse(`argument "glob": %v in %.200q`, err, pattern)
	}
	if g.re, err = regexp.Compile(`(?s)\A(?:` + expr + `)\z`); err != nil {
		return nil, refuse(`argument "glob": %.200q is no pattern: %v`, pattern, err)
	}
	return g, nil
}

func (g *glob) match(sub, name string) bool {
	switch {
	case g == nil:
		return true
	case g.base:
		return g.re.MatchString(name)
	}
	return g.re.MatchString(sub)
}

func globExpr(p string) (string, error) {
	var b strings.Builder
	depth := 0
	for len(p) > 0 {
		n := 1
		switch c := p[0]; {
		case strings.HasPrefix(p, "**/"):
			b.WriteString(`(?:.*/)?`)
			n = 3
		case strings.HasPrefix(p, "**"):
			b.WriteString(`.*`)
			n = 2
		case c == '*':
			b.WriteString(`[^/]*`)
		case c == '?':
			b.WriteString(`[^/]`)
		case c == '{':
			b.WriteString(`(?:`)
			depth++
		case c == '}' && depth > 0:
			b.WriteByte(')')
			depth--
		case c == ',' && depth > 0:
			b.WriteByte('|')
		case c == '[':
			set, used, err := globSet(p)
			if err != nil {
				return "", err
			}
			b.WriteString(set)
			n = used
		case c == '\\' && len(p) > 1:
			b.WriteString(regexp.QuoteMeta(p[1:2]))
			n = 2
		default:
			b.WriteString(regexp.QuoteMeta(p[:1]))
		}
		p = p[n:]
	}
	if depth > 0 {
		return "", errors.New("a { is not closed")
	}
	return b.String(), nil
}

// globSet reads [...] at the beginning of p and gives the expression and the bytes used.
func globSet(p string) (string, int, error) {
	if len(p) < 3 {
		return "", 0, errors.New("a [ is not closed")
	}
	end := strings.IndexByte(p[2:], ']') // a ] that comes first is one of the set
	if end < 0 {
		return "", 0, errors.New("a [ is not closed")
	}
	body := p[1 : 2+end]
	negated := strings.HasPrefix(body, "!") || strings.HasPrefix(body, "^")
	if negated {
		body = body[1:]
	}
	body = strings.NewReplacer(`\`, `\\`, `[`, `\[`, `]`, `\]`, `^`, `\^`, `&`, `\&`).Replace(body)
	if negated {
		return `[^/` + body + `]`, end + 3, nil
	}
	return `[` + body + `]`, end + 3, nil
}
