package tools

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// The decoders are tested here from within: through Run a session that is wrong only says that it is.

func FuzzSession(f *testing.F) {
	for _, raw := range []string{
		"", "tacho-session-1\x00\x00", "tacho-session-1\x00/w\x00", "tacho-session-1\x00/w\x00A=1\x00B\x00", "tacho-session-1\x00\x00A=\n\xff=\x00",
		"tacho-session-1\x00/w\x00B=1\x00A=1\x00", "tacho-session-1\x00/w\x00A=1\x00A=2\x00", "tacho-session-1\x00/w\x00=1\x00", "tacho-session-1\x00w\x00", "tacho-session-1\x00/w",
		"tacho-session-1\x00/w\x00BASH_FUNC_f%%=() { :; }\x00", "tacho-session-2\x00/w\x00",
	} {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := decodeSession(raw)
		if err != nil {
			return
		}
		again, err := s.encode()
		if err != nil || string(again) != string(raw) {
			t.Fatalf("%q is encoded as %q, %v", raw, again, err)
		}
		for _, e := range s.environ([]string{"A=0", "Z=0"}) {
			if strings.IndexByte(e, '=') < 1 || strings.IndexByte(e, 0) >= 0 {
				t.Fatalf("%q gives the variable %q", raw, e)
			}
		}
	})
}

func TestSessionRefuses(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{
		"x", "tacho-session-1", "tacho-session-1\x00", "tacho-session-1\x00\x00", "tacho-session-1\x00w\x00", "tacho-session-1\x00/w", "tacho-session-1\x00/w\x00\x00",
		"tacho-session-1\x00/w\x00=1\x00", "tacho-session-1\x00/w\x00B\x00A\x00", "tacho-session-1\x00/w\x00A\x00A=1\x00",
	} {
		if s, err := decodeSession([]byte(raw)); err == nil {
			t.Errorf("%q was taken as %+v", raw, s)
		}
	}
	if _, err := (session{dir: "/a\x00b"}).encode(); err == nil {
		t.Error("a NUL was encoded")
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte("start:n\x00/h\x00/t\x00/bin\x00C\x00record:n\x00/w\x00A=1\x00TACHO_END_n=\x00"))
	f.Add([]byte("warning\nstart:n\x00/h\x00/t\x00/bin\x00C\x00record:n\x00/w\x00A=1\x00record:n\x00/x\x00B=2\x00TACHO_END_n=\x00junk"))
	f.Add([]byte("record:n\x00"))
	f.Add([]byte("record:n\x00rel\x00TACHO_END_n=\x00"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r := parseRecord(raw, "n")
		s, _ := r.session([]string{"A=1"}, session{}, 1000)
		if !r.complete {
			return
		}
		encoded, err := s.encode()
		if err != nil {
			t.Fatalf("record %q makes a session that cannot be encoded: %v", raw, err)
		}
		if len(encoded) > 1000 && len(s.vars) > 0 {
			t.Fatalf("a session of %d bytes", len(encoded))
		}
		if _, err := decodeSession(encoded); err != nil {
			t.Fatalf("record %q makes session %q: %v", raw, encoded, err)
		}
	})
}

func TestRecordLastCounts(t *testing.T) {
	t.Parallel()
	raw := "ld.so: x\nstart:n\x00/h\x00/t\x00/bin\x00C\x00record:n\x00/w\x00A=1\x00TACHO_END_n=\x00noise\x00record:n\x00/x\x00A=2\x00TACHO_END_n=\x00record:n\x00/cut\x00A=3"
	r := parseRecord([]byte(raw), "n")
	if !r.started || !r.complete || r.dir != "/x" || cmp.Diff([]string{"A=2"}, r.env) != "" || r.home["HOME"] != "/h" {
		t.Errorf("it is read as %+v", r)
	}
	if r := parseRecord([]byte(raw), "m"); r.started || r.complete {
		t.Errorf("another call's record was taken: %+v", r)
	}
}

func FuzzSpell(f *testing.F) {
	for _, s := range []string{"", "a/b", `a\b`, "\xff\n", "é\u202e\\x41", "\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		spelled := spell(name)
		if !utf8.ValidString(spelled) || strings.ContainsFunc(spelled, func(r rune) bool { return r < ' ' }) {
			t.Fatalf("%q is spelled %q", name, spelled)
		}
		if again, err := unspell(spelled); err != nil || again != name {
			t.Fatalf("%q is spelled %q, which is read as %q, %v", name, spelled, again, err)
		}
		if given, err := unspell(name); err == nil {
			if twice, err := unspell(spell(given)); err != nil || twice != given {
				t.Fatalf("%q is read as %q and then as %q, %v", name, given, twice, err)
			}
		}
	})
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"", "a\r\nb\rc\n", "\x1b[1;31mx\x1b[0m", "\x1b]0;t\x07", "\x1b]8;;u\x1b\\l", "\x1bP\n", "ab\b\bc\b\b\b", "\x1b", "\x1b[", "é\xc3"} {
		f.Add([]byte(s), 20)
	}
	f.Fuzz(func(t *testing.T, raw []byte, room int) {
		flat := plain(raw)
		if strings.Count(string(flat), "\n") != strings.Count(string(raw), "\n") {
			t.Fatalf("%q has other lines as %q", raw, flat)
		}
		var b strings.Builder
		visible(&b, flat)
		clip(&b, raw, int64(len(raw)), 1+max(0, room%50))
		x := extract{content: raw, line: 10}
		b.WriteString(x.headAndTail(max(0, room%1000), func(int64) string { return "" }))
		if !utf8.ValidString(b.String()) || strings.ContainsAny(b.String(), "\x1b\x00\r") {
			t.Fatalf("%q is shown as %q", raw, b.String())
		}
	})
}

func FuzzGlob(f *testing.F) {
	for _, s := range []string{"*.go", "**/a", "a/**", "[!a-z]?", "{a,b/{c,d}}", "[]]", "[", "\\*", "[a", "{", "}", "[^]"} {
		f.Add(s, "a/b.go")
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if g, err := compileGlob(pattern); err == nil {
			g.match(name, name)
		}
	})
}

func FuzzEditSpans(f *testing.F) {
	f.Add("aXbXc", "X", "YY", "b", "")
	f.Add("aaaa", "a", "", "", "x")
	f.Fuzz(func(t *testing.T, content, old1, new1, old2, new2 string) {
		e := editing{content: []byte(content)}
		want := content
		for _, p := range [][2]string{{old1, new1}, {old2, new2}} {
			if p[0] == "" || !strings.Contains(want, p[0]) {
				continue
			}
			if err := e.apply(edit{Old: p[0], New: p[1], ReplaceAll: true}, 1<<30); err != nil {
				t.Fatal(err)
			}
			want = strings.ReplaceAll(want, p[0], p[1])
		}
		if string(e.content) != want {
			t.Fatalf("got %q, want %q", e.content, want)
		}
		for _, s := range e.changed {
			if s.start < 0 || s.start > s.end || s.end > len(e.content) {
				t.Fatalf("span %v of %q", s, e.content)
			}
		}
		e.report("x", Limits{}.withDefaults())
	})
}

// TestLineMatcher compares the fast search with one line at a time.
func TestLineMatcher(t *testing.T) {
	t.Parallel()
	content := "\nab\n b\n\nabab\nx\n\nb"
	for _, pattern := range []string{"a", "b", "^b", "b$", "^$", "", "x*", `\s`, `[^a]b`, `[^a]+b`, `(?s).b`, `b\n?`, `\bb`, `\Aab`, `b\z`, `(?-m)^x$`, `a|\s*x`, `.*`} {
		m, err := compileLines(pattern, false, false)
		if err != nil {
			t.Fatal(err)
		}
		var got, want []int
		for at := 0; ; {
			start, end, ok := m.next([]byte(content), at)
			if !ok {
				break
			}
			got, at = append(got, start), end+1
		}
		for at := 0; at < len(content); {
			line, _, _ := strings.Cut(content[at:], "\n")
			if m.re.MatchString(line) {
				want = append(want, at)
			}
			at += len(line) + 1
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-line by line +fast):\n%s", pattern, diff)
		}
	}
}
