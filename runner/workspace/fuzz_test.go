package workspace

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"testing"

	"tachograph/schemas/journal"
)

// The decoders of files that only this package reads are fuzzed from inside.

func FuzzIndexFile(f *testing.F) {
	object := journal.NameObject([]byte("x"))
	sub := &dir{object: object, entries: []entry{{DirEntry: journal.DirEntry{Name: "l", Type: journal.TypeLink, Mode: 0o777, Size: 1, Target: "t"}}}}
	d := &dir{
		entries: []entry{
			{DirEntry: journal.DirEntry{Name: "d", Type: journal.TypeDir, Mode: 0o755, Object: object}, dir: sub},
			{DirEntry: journal.DirEntry{Name: "f\xff", Type: journal.TypeFile, Mode: 0o644, Size: 1, Object: object}, stamp: stamp{-1, 2, 3}, lines: notText},
		},
		left: []leftOut{{"s", Special}},
	}
	f.Add(appendIndex(nil, d))
	f.Add(appendIndex(nil, &dir{}))
	f.Fuzz(func(t *testing.T, body []byte) {
		b := append([]byte(indexMagic), body...)
		sum := sha256.Sum256(b)
		d, ok := parseIndex(append(b, sum[:]...))
		if !ok {
			return
		}
		again, ok := parseIndex(appendSum(appendIndex([]byte(indexMagic), d)))
		if !ok || !bytes.Equal(appendIndex(nil, d), appendIndex(nil, again)) {
			t.Fatal("what was read is not what is written")
		}
	})
}

func appendSum(b []byte) []byte {
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

func FuzzPlan(f *testing.F) {
	f.Add([]byte(`{"v":1,"steps":[{"do":"remove","path":"YS9i","old":{"type":"link","mode":511,"size":1,"target":"t"},"staged":"0"}]}`))
	f.Add([]byte(`{"v":1,"steps":[{"do":"make directory","path":"Li4vYQ==","new":{"type":"dir","mode":493,"size":0},"staged":"0"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		steps, err := parsePlan(b)
		if err != nil {
			return
		}
		for _, s := range steps {
			for part := range strings.SplitSeq(string(s.Path), "/") {
				if part == ".." || part == "" || strings.Contains(s.Staged, "/") {
					t.Fatalf("a step leads out of the directory: %q, %q", s.Path, s.Staged)
				}
			}
		}
	})
}

// FuzzRules compares the matcher with one that tries every way to spread "**".
func FuzzRules(f *testing.F) {
	f.Add("/a/**/b*\n!c/", "a/x/y/bc", true)
	f.Add("**\n**/**/x", "x", false)
	f.Fuzz(func(t *testing.T, text, p string, isDir bool) {
		if strings.Count(text, "**") > 4 || len(p) > 60 {
			return
		}
		rs := parseRules(text)
		want := false
		for _, r := range rs {
			if (isDir || !r.dirsOnly) && matchSlowly(r.parts, strings.Split(p, "/")) {
				want = !r.negate
			}
		}
		if got := rs.match(p, isDir); got != want {
			t.Fatalf("rules %q, path %q: matched %v, want %v", text, p, got, want)
		}
	})
}

func matchSlowly(pattern, name []string) bool {
	switch {
	case len(pattern) == 0:
		return len(name) == 0
	case pattern[0] == "**" && len(pattern) == 1:
		return len(name) > 0
	case pattern[0] == "**":
		for i := range len(name) + 1 {
			if matchSlowly(pattern[1:], name[i:]) {
				return true
			}
		}
		return false
	}
	return len(name) > 0 && matchPart(pattern[0], name[0]) && matchSlowly(pattern[1:], name[1:])
}
