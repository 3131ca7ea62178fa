package reach

import (
	"path"
	"strconv"
	"strings"
	"unicode/utf8"

	"mvdan.cc/sh/v3/syntax"
)

// word is a shell word as far as its text says what it becomes.
type word struct {
	text    string // the text before the first part that is not known
	dynamic bool   // there is such a part
	glob    bool   // the text holds an unquoted *, ? or [ (or braces), so it may become several words
}

// word evaluates quotes, escapes, ~ and variables with one known value.
func (r *shell) word(w *syntax.Word) word {
	var out word
	if w == nil {
		return out
	}
	for i, part := range w.Parts {
		if out.dynamic {
			break
		}
		r.part(&out, part, i == 0, len(w.Parts) == 1)
	}
	return out
}

func (r *shell) part(out *word, part syntax.WordPart, first, last bool) {
	switch p := part.(type) {
	case *syntax.Lit:
		r.literal(out, p.Value, first, last)
	case *syntax.SglQuoted:
		if !p.Dollar {
			out.text += p.Value
			return
		}
		text, ok := ansiC(p.Value)
		out.text, out.dynamic = out.text+text, !ok
	case *syntax.DblQuoted:
		for _, inner := range p.Parts {
			if out.dynamic {
				return
			}
			if lit, ok := inner.(*syntax.Lit); ok {
				out.text += unescapeDouble(lit.Value)
			} else {
				r.part(out, inner, false, false)
			}
		}
	case *syntax.ParamExp:
		r.parameter(out, p)
	default: // a substitution, arithmetic or an extended glob
		out.dynamic = true
	}
}

// literal is unquoted text: a backslash quotes the next character, ~ begins a home.
func (r *shell) literal(out *word, s string, first, alone bool) {
	if first && strings.HasPrefix(s, "~") {
		user, rest, slash := strings.Cut(s, "/")
		switch {
		case !slash && !alone:
			out.dynamic = true
			return
		case user == "~" && r.tree.Home != "":
			out.text, s = r.tree.Home, ""
		case user == "~+":
			out.text, s = r.absolute(), ""
		case user == "~":
			out.text, s = "/root", "" // some home outside the tree
		default:
			out.text, s = "/home/"+user[1:], ""
		}
		if slash {
			s = "/" + rest
		}
	}
	if !strings.ContainsAny(s, `\*?[{`) {
		out.text += s
		return
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			if i++; i < len(s) && s[i] != '\n' {
				b.WriteByte(s[i])
			}
			continue
		case '*', '?', '[':
			out.glob = true
		case '{':
			out.glob = out.glob || strings.ContainsAny(s[i:], ",.")
		}
		b.WriteByte(s[i])
	}
	out.text += b.String()
}

func (r *shell) absolute() string {
	if strings.HasPrefix(r.dir, "/") {
		return r.dir
	}
	return path.Join("/", r.tree.Mount, r.dir)
}

// parameter knows $HOME, $PWD, $TMPDIR as the sandbox sets them, and constants of the text.
func (r *shell) parameter(out *word, p *syntax.ParamExp) {
	name := ""
	if p.Param != nil {
		name = p.Param.Value
	}
	plain := !p.Excl && !p.Length && p.Index == nil && p.Slice == nil && p.Repl == nil && p.Exp == nil && p.Names == 0
	value := r.vars[name]
	if _, assigned := r.vars[name]; !assigned {
		switch name {
		case "HOME":
			value = r.tree.Home
		case "PWD":
			value = r.absolute()
		case "TMPDIR":
			value = "/tmp"
		}
	}
	if !plain || value == "" {
		out.dynamic = true
		return
	}
	out.text += value
}

func unescapeDouble(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && strings.IndexByte("$`\"\\\n", s[i+1]) >= 0 {
			if i++; s[i] == '\n' {
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// ansiC reads the inside of $'…'. What it does not know makes the word unknown.
func ansiC(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		if i++; i >= len(s) {
			return b.String(), false
		}
		if plain := strings.IndexByte(`abefnrtv\'"?E`, s[i]); plain >= 0 {
			b.WriteByte("\a\b\x1b\f\n\r\t\v\\'\"?\x1b"[plain])
			continue
		}
		n, used := ansiNumber(s[i:])
		if used == 0 || n == 0 {
			return b.String(), false
		}
		if s[i] == 'u' || s[i] == 'U' {
			b.WriteString(string(utf8.AppendRune(nil, rune(n))))
		} else {
			b.WriteByte(byte(n))
		}
		i += used - 1
	}
	return b.String(), true
}

// ansiNumber reads xHH, uHHHH, UHHHHHHHH or up to three octal digits, and says how long it was.
func ansiNumber(s string) (n uint64, used int) {
	base, from, most := 8, 0, 3
	switch s[0] {
	case 'x':
		base, from, most = 16, 1, 2
	case 'u':
		base, from, most = 16, 1, 4
	case 'U':
		base, from, most = 16, 1, 8
	}
	end := from
	for end < len(s) && end-from < most {
		if _, err := strconv.ParseUint(s[end:end+1], base, 8); err != nil {
			break
		}
		end++
	}
	n, err := strconv.ParseUint(s[from:end], base, 32)
	if err != nil {
		return 0, 0
	}
	return n, end
}

// file adds a word that names a file. What cannot be known is unresolved; what is known of it (the
// directory before a variable or a wildcard) is added all the same.
func (r *shell) file(w word, how use) {
	p := w.text
	if rest, ok := strings.CutPrefix(p, "/dev/tcp/"); ok {
		r.host(firstPart(rest))
		return
	}
	if rest, ok := strings.CutPrefix(p, "/dev/udp/"); ok {
		r.host(firstPart(rest))
		return
	}
	if w.dynamic {
		r.Unresolved = true
		if p = p[:strings.LastIndexByte(p, '/')+1]; p == "" || p == "/" {
			return
		}
	} else if w.glob {
		r.pattern(p, how)
		return
	}
	if p == "" || p == "-" {
		return
	}
	if how >= writes && strings.HasPrefix(p, "/dev/") && r.tree.Locate(r.dir, p, true).Where == Outside {
		r.Destructive = true
	}
	if r.lost && !strings.HasPrefix(p, "/") {
		r.Unresolved = true
	}
	r.path(r.dir, p, how)
}

// pattern adds the directory above the first wildcard, and for * alone that directory's content.
func (r *shell) pattern(p string, how use) {
	cut := strings.IndexAny(p, "*?[{")
	dir := p[:strings.LastIndexByte(p[:max(cut, 0)], '/')+1]
	rest := p[len(dir):]
	whole := strings.Trim(rest, "*./") == "" || strings.HasPrefix(rest, "{")
	if secretPattern(rest) {
		r.TouchesSecrets = true
	}
	switch {
	case whole && how == deletesAll, whole && how < writes:
		if dir == "" {
			dir = "."
		}
		r.file(word{text: dir}, how)
	default:
		r.Unresolved = true
		if dir != "" && dir != "/" {
			r.path(r.dir, strings.TrimSuffix(dir, "/"), min(how, writes))
		}
		if how == deletesAll && !buildDir(dir) {
			r.RecursiveDelete = true
		}
	}
}

// secretPattern says whether a pattern aims at files that hold secrets.
func secretPattern(p string) bool {
	for _, name := range []string{".env", "id_", ".pem", ".key", "credentials", ".p12", ".pfx"} {
		if strings.Contains(p, name) {
			return true
		}
	}
	return false
}

func firstPart(s string) string {
	host, _, _ := strings.Cut(s, "/")
	return host
}
