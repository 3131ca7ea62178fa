package tools_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tachograph/runner/sandbox"
	"tachograph/runner/tools"
)

func TestListFiles(t *testing.T) {
	t.Parallel()
	b := newBench(t, "a.go", "1234", "dir/b.go", "", "dir/deep/er/c.go", "", "dir/deep/d_test.go", "", "empty/", "", ".git/HEAD", "x", "bad\xff\n.go", "")
	must(t, os.Symlink("a.go", filepath.Join(b.tree, "link")))
	must(t, syscall.Mkfifo(filepath.Join(b.tree, "pipe"), 0o644))
	for _, c := range []struct {
		args args
		want string
	}{
		{args{}, ".git/…\na.go\t4\nbad\\xff\\x0a.go\t0\ndir/\ndir/b.go\t0\ndir/deep/…\nempty/\nlink -> a.go\npipe (a FIFO)\n[1 .git directory not gone into; name it as path to do so]"},
		{args{"path": "dir", "depth": 9}, "dir/b.go\t0\ndir/deep/\ndir/deep/d_test.go\t0\ndir/deep/er/\ndir/deep/er/c.go\t0\n"},
		{args{"path": ".git"}, ".git/HEAD\t1\n"},
		{args{"path": "empty"}, "[it is empty]"},
		{args{"path": "dir", "glob": "*_test.go"}, "dir/deep/d_test.go\t0\n"},
		{args{"path": "dir", "glob": "deep/**/*.go"}, "dir/deep/d_test.go\t0\ndir/deep/er/c.go\t0\n"},
		{args{"path": "dir", "glob": "{b,c}.[a-h]?"}, "dir/b.go\t0\ndir/deep/er/c.go\t0\n"},
		{args{"path": "dir", "glob": "[!bd]*.go"}, "dir/deep/er/c.go\t0\n"},
		{args{"path": "dir", "glob": "*.rs"}, "[nothing matches]"},
		{args{"path": "dir", "depth": 9, "limit": 2}, "dir/b.go\t0\ndir/deep/\n[there are more; list_files with offset=2 shows the next ones]"},
		{args{"path": "dir", "depth": 9, "limit": 2, "offset": 4}, "dir/deep/er/c.go\t0\n"},
		{args{"path": "dir", "offset": 40}, "[there are only 4]"},
	} {
		if diff := cmp.Diff(c.want, b.ok("list_files", c.args)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", c.args, diff)
		}
	}
	contains(t, b.refused("list_files", args{"path": "nowhere"}), "nowhere does not exist")
	contains(t, b.refused("list_files", args{"path": "a.go"}), "not a directory")
}

func TestListFilesBounded(t *testing.T) {
	t.Parallel()
	var files []string
	for i := range 300 {
		files = append(files, fmt.Sprintf("d/file-%03d", i), "")
	}
	b := newBenchIn(t, t.TempDir(), tools.Env{Limits: tools.Limits{Entries: 100, Show: 1000}}, []string{"filesystem"}, files...)
	text := b.ok("list_files", args{"path": "d", "limit": 10000})
	contains(t, text, "offset=")
	if len(text) > 1200 {
		t.Errorf("%d bytes shown", len(text))
	}
	contains(t, b.ok("list_files", args{"path": "d", "glob": "*299"}), "stopped: too many entries")
}

func TestReadFile(t *testing.T) {
	t.Parallel()
	var long strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&long, "l %d\n", i+1)
	}
	b := newBench(t, "a.txt", "one\ntwo\nthree", "crlf.txt", "a\r\nb\r\n", "empty", "", "long.txt", long.String(),
		"bin", "ab\x00c", "odd.txt", "caf\xe9 \x1b[1m\u202e\n", "wide.txt", strings.Repeat("é", 500_000)+"\nnext\n")
	for _, c := range []struct {
		args args
		want string
	}{
		{args{"path": "a.txt"}, "     1\tone\n     2\ttwo\n     3\tthree\n"},
		{args{"path": "a.txt", "line_numbers": false}, "one\ntwo\nthree\n"},
		{args{"path": "a.txt", "offset": 2, "limit": 1}, "     2\ttwo\n[lines 2 to 2 of 3; read_file with offset=3 shows the next ones]"},
		{args{"path": "a.txt", "offset": -1}, "     3\tthree\n[lines 3 to 3 of 3]"},
		{args{"path": "a.txt", "offset": -9}, "     1\tone\n     2\ttwo\n     3\tthree\n"},
		{args{"path": "a.txt", "byte_offset": 4}, "two\nthree\n[bytes 4 to 13 of 13]"},
		{args{"path": "crlf.txt", "line_numbers": false}, "a\nb\n[lines end in CRLF: 2 of the lines shown]"},
		{args{"path": "empty"}, "[it is empty]"},
		{args{"path": "odd.txt", "line_numbers": false}, "caf\\xe9 \\x1b[1m\\xe2\\x80\\xae\n[5 bytes not printable UTF-8, shown as \\xHH]"},
		{args{"path": "bin", "byte_offset": 0}, "ab\\x00c\n[bytes 0 to 4 of 4]"},
		{args{"path": "long.txt", "limit": 3, "offset": 2999, "line_numbers": false}, "l 2999\nl 3000\n[lines 2999 to 3000 of 3000]"},
	} {
		if diff := cmp.Diff(c.want, b.ok("read_file", c.args)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", c.args, diff)
		}
	}
	contains(t, b.ok("read_file", args{"path": "long.txt"}), "lines 1 to 2000 of 3000; read_file with offset=2001")
	wide := b.ok("read_file", args{"path": "wide.txt"})
	contains(t, wide, "… [998,000 bytes more of this line]", "     2\tnext\n", "byte_offset=0 shows the first of them")
	contains(t, b.ok("read_file", args{"path": "wide.txt", "byte_offset": 999_998}), "é\nnext\n[bytes 999998 to 1000006 of 1000006]")
	page := b.ok("read_file", args{"path": "wide.txt", "byte_offset": 0})
	contains(t, page, "[bytes 0 to 32768 of 1000006; read_file with byte_offset=32768 shows the next ones]")
	contains(t, b.refused("read_file", args{"path": "bin"}), "binary file of 4 bytes")
	contains(t, b.refused("read_file", args{"path": "a.txt", "offset": 4}), "there are 3 lines")
	contains(t, b.refused("read_file", args{"path": "a.txt", "byte_offset": 13}), "there are 13 bytes")
	contains(t, b.refused("read_file", args{"path": "."}), "is a directory")
}

func TestSearchFiles(t *testing.T) {
	t.Parallel()
	b := newBench(t, "a.txt", "one\ntwo\nthree two\nfour\nfive\nsix two\n", "b/c.go", "TWO\r\nx two\r\n", "bin", "two\x00", "d.txt", "no newline two",
		".git/x", "two\n", "odd\xff", "caf\xe9 two\n")
	must(t, os.Symlink("a.txt", filepath.Join(b.tree, "link")))
	must(t, syscall.Mkfifo(filepath.Join(b.tree, "pipe"), 0o644))
	git := "\n[1 .git directory not gone into; name it as path to do so]"
	for _, c := range []struct {
		args args
		want string
	}{
		{args{"pattern": "two$"}, "a.txt:2:two\na.txt:3:three two\na.txt:6:six two\nb/c.go:2:x two\nd.txt:1:no newline two\nodd\\xff:1:caf\\xe9 two\n[1 binary file not searched]" + git},
		{args{"pattern": "two", "glob": "*.go"}, "b/c.go:2:x two" + git},
		{args{"pattern": "two", "glob": "*.go", "ignore_case": true}, "b/c.go:1:TWO\nb/c.go:2:x two" + git},
		{args{"pattern": "^t", "path": "a.txt", "context": 1}, "a.txt-1-one\na.txt:2:two\na.txt:3:three two\na.txt-4-four\n"},
		{args{"pattern": "one|six", "path": "a.txt", "context": 1}, "a.txt:1:one\na.txt-2-two\n--\na.txt-5-five\na.txt:6:six two\n"},
		{args{"pattern": "one|five", "path": "a.txt", "context": 2}, "a.txt:1:one\na.txt-2-two\na.txt-3-three two\na.txt-4-four\na.txt:5:five\na.txt-6-six two\n"},
		{args{"pattern": "two", "path": "a.txt", "limit": 1}, "a.txt:2:two\n[there are more matches; search_files with offset=1 shows the next ones]"},
		{args{"pattern": "two", "path": "a.txt", "offset": 2}, "a.txt:6:six two\n"},
		{args{"pattern": "two", "path": "a.txt", "offset": 9}, "[there are only 3 matches]"},
		{args{"pattern": `\Atwo\z`, "path": "a.txt"}, "a.txt:2:two\n"},
		{args{"pattern": "e.", "literal": true, "path": "a.txt"}, "[no match in 1 file]"},
		{args{"pattern": `o\st`, "path": "a.txt"}, "[no match in 1 file]"},
		{args{"pattern": `(?s)one.*six`, "path": "a.txt"}, "[no match in 1 file]"},
		{args{"pattern": `[^x]*hree`, "path": "a.txt"}, "a.txt:3:three two\n"},
		{args{"pattern": "two", "path": "link"}, "a.txt:2:two\na.txt:3:three two\na.txt:6:six two\n"},
		{args{"pattern": "two", "path": ".git"}, ".git/x:1:two\n"},
	} {
		if diff := cmp.Diff(strings.TrimSuffix(c.want, "\n"), strings.TrimSuffix(b.ok("search_files", c.args), "\n")); diff != "" {
			t.Errorf("%v (-want +got):\n%s", c.args, diff)
		}
	}
	contains(t, b.refused("search_files", args{"pattern": "x", "path": "pipe"}), "not a regular file but a FIFO")
}

func TestSearchLongLine(t *testing.T) {
	t.Parallel()
	b := newBench(t, "wide", strings.Repeat("x", 1<<20)+"needle\n")
	text := b.ok("search_files", args{"pattern": "needle"})
	contains(t, text, "wide:1:xxx", "more of this line", "too long to be shown whole")
	if len(text) > 3000 {
		t.Errorf("%d bytes shown", len(text))
	}
}

func TestWriteFile(t *testing.T) {
	t.Parallel()
	b := newBench(t, "old.sh", "x", "ro", "x")
	must(t, os.Chmod(filepath.Join(b.tree, "old.sh"), 0o755))
	must(t, os.Chmod(filepath.Join(b.tree, "ro"), 0o444))
	out := b.do("write_file", args{"path": "new/deep/a.txt", "content": "é\n"})
	if diff := cmp.Diff([]string{"new", "new/deep", "new/deep/a.txt"}, out.Touched); diff != "" || b.read("new/deep/a.txt") != "é\n" {
		t.Errorf("touched %s", diff)
	}
	if diff := cmp.Diff("wrote new/deep/a.txt: 3 bytes, 1 line", out.Text); diff != "" {
		t.Error(diff)
	}
	contains(t, b.ok("write_file", args{"path": "old.sh", "content": "y"}), "replaced old.sh")
	b.ok("write_file", args{"path": "run", "content": "z", "executable": true})
	b.ok("write_file", args{"path": `odd\xff\\`, "content": "z"})
	for name, want := range map[string]fs.FileMode{"old.sh": 0o755, "run": 0o755, "new/deep/a.txt": 0o644, "odd\xff\\": 0o644} {
		info, err := os.Stat(filepath.Join(b.tree, name))
		if err != nil || info.Mode() != want {
			t.Errorf("%q has mode %v, want %v: %v", name, info.Mode(), want, err)
		}
	}
	for path, want := range map[string]string{"ro": "read-only (mode 0444)", "new": "is a directory", ".": "workspace itself", "old.sh/x": "not a directory", strings.Repeat("n", 300): "too long"} {
		contains(t, b.refused("write_file", args{"path": path, "content": ""}), want)
	}
	entries, err := os.ReadDir(b.tree)
	must(t, err)
	if len(entries) != 5 {
		t.Errorf("temporary files are left: %v", entries)
	}
}

func TestEditFile(t *testing.T) {
	t.Parallel()
	const before = "package a\n\nfunc f() {\n\treturn 1\n}\n\nfunc g() {\n\treturn 1\n}\n"
	for _, c := range []struct {
		name  string
		edits []args
		want  string // the file, or part of the refusal
		fails bool
	}{
		{"one", []args{{"old_text": "func f", "new_text": "func h"}}, strings.Replace(before, "func f", "func h", 1), false},
		{"delete", []args{{"old_text": "package a\n\n", "new_text": ""}}, before[11:], false},
		{"all", []args{{"old_text": "return 1", "new_text": "return 22", "replace_all": true, "expected_count": 2}}, strings.ReplaceAll(before, "return 1", "return 22"), false},
		{"chain", []args{{"old_text": "func f", "new_text": "func x"}, {"old_text": "func x() {\n\treturn 1", "new_text": "func x() {\n\treturn 2"}},
			strings.Replace(before, "func f() {\n\treturn 1", "func x() {\n\treturn 2", 1), false},
		{"ambiguous", []args{{"old_text": "return 1", "new_text": "2"}}, "there 2 times, on lines 4, 8", true},
		{"count", []args{{"old_text": "return 1", "new_text": "2", "replace_all": true, "expected_count": 3}}, "not 3 times as expected_count says", true},
		{"count alone", []args{{"old_text": "return 1", "new_text": "2", "expected_count": 2}}, "needs replace_all", true},
		{"white space", []args{{"old_text": "func g() {\n    return 1", "new_text": "x"}}, `lines 7 to 8 are the same but for white space: the file has "\treturn 1" where old_text has "    return 1"`, true},
		{"closest", []args{{"old_text": "func g() {\n\treturn 7\n}", "new_text": "x"}}, `closest are lines 7 to 9, where 2 of 3 lines agree: the file has "\treturn 1" where`, true},
		{"alike", []args{{"old_text": "package ab", "new_text": "x"}}, `line most like it is 1: "package a"`, true},
		{"nothing alike", []args{{"old_text": "zzzzzz", "new_text": "x"}}, "not in the file; nothing was changed", true},
		{"all or none", []args{{"old_text": "func f", "new_text": "func x"}, {"old_text": "func f", "new_text": "y"}}, "edits[1]: old_text is not in the file", true},
		{"undo", []args{{"old_text": "func f", "new_text": "func x"}, {"old_text": "func x", "new_text": "func f"}}, before, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, "a.go", before)
			call := args{"path": "a.go", "edits": c.edits}
			want := c.want
			if c.fails {
				contains(t, b.refused("edit_file", call), want)
				want = before
			} else {
				b.ok("edit_file", call)
			}
			if diff := cmp.Diff(want, b.read("a.go")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEditReport(t *testing.T) {
	t.Parallel()
	b := newBench(t, "a", "1\n2\n3\n4\n5\n6\n7\n8\n9\n", "crlf", "a\r\nb\r\nc\r\n", "odd", "\xff\xfe\x00 keep me\n")
	out := b.do("edit_file", args{"path": "a", "edits": []args{{"old_text": "8\n", "new_text": "eight\n"}, {"old_text": "2\n", "new_text": "two\nand\n"}}})
	want := "edited a: 2 replacements\n     7\t6\n     8\t7\n     9\teight\n    10\t9\n   …\n     1\t1\n     2\ttwo\n     3\tand\n     4\t3\n     5\t4"
	if diff := cmp.Diff(want, out.Text); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"a"}, out.Touched); diff != "" {
		t.Error(diff)
	}
	contains(t, b.ok("edit_file", args{"path": "crlf", "edits": []args{{"old_text": "a\nb", "new_text": "x\ny\nz"}}}), "CRLF")
	if got, want := b.read("crlf"), "x\r\ny\r\nz\r\nc\r\n"; got != want {
		t.Errorf("crlf is %q, want %q", got, want)
	}
	b.ok("edit_file", args{"path": "odd", "edits": []args{{"old_text": "keep", "new_text": "kept"}}})
	if got, want := b.read("odd"), "\xff\xfe\x00 kept me\n"; got != want {
		t.Errorf("odd is %q, want %q", got, want)
	}
}

func TestEditsAtOnce(t *testing.T) {
	t.Parallel()
	var content strings.Builder
	for i := range 50 {
		fmt.Fprintf(&content, "<%d>\n", i)
	}
	b := newBench(t, "a", content.String())
	done := make(chan error)
	for i := range 50 {
		go func() {
			p, err := b.Plan("edit_file", args{"path": "a", "edits": []args{{"old_text": fmt.Sprintf("<%d>", i), "new_text": "done"}}}.json(t))
			if err == nil {
				_, err = b.Run(t.Context(), p, tools.Input{ID: fmt.Sprint("e", i)})
			}
			done <- err
		}()
	}
	for range 50 {
		must(t, <-done)
	}
	if got, want := b.read("a"), strings.Repeat("done\n", 50); got != want {
		t.Errorf("an edit was lost: %q", got)
	}
}

func TestMoveDeleteMake(t *testing.T) {
	t.Parallel()
	b := newBench(t, "a", "1", "d/b", "2", "e/", "", "f", "3")
	out := b.do("move_file", args{"from": "a", "to": "x/y/a"})
	if diff := cmp.Diff([]string{"a", "x", "x/y", "x/y/a"}, out.Touched); diff != "" || b.read("x/y/a") != "1" {
		t.Error(diff)
	}
	b.ok("move_file", args{"from": "d", "to": "dd"})
	contains(t, b.refused("move_file", args{"from": "dd", "to": "dd/in"}), "into itself")
	contains(t, b.refused("move_file", args{"from": "dd", "to": "e"}), "name the whole new path, e/dd")
	contains(t, b.refused("move_file", args{"from": "f", "to": "dd/b"}), "set overwrite")
	contains(t, b.refused("move_file", args{"from": "f", "to": "./f"}), "same path")
	contains(t, b.refused("move_file", args{"from": "none", "to": "g"}), "none does not exist")
	b.ok("move_file", args{"from": "f", "to": "dd/b", "overwrite": true})
	if b.read("dd/b") != "3" {
		t.Error("it was not overwritten")
	}
	b.ok("make_directory", args{"path": "m/n"})
	contains(t, b.ok("make_directory", args{"path": "m/n"}), "there already")
	contains(t, b.refused("make_directory", args{"path": "dd/b"}), "not a directory")
	contains(t, b.refused("delete_file", args{"path": "dd"}), "set recursive")
	contains(t, b.refused("delete_file", args{"path": "dd/none"}), "does not exist")
	contains(t, b.refused("delete_file", args{"path": "."}), "workspace itself")
	b.ok("delete_file", args{"path": "e"})
	must(t, os.Symlink("x", filepath.Join(b.tree, "link")))
	b.ok("delete_file", args{"path": "link", "recursive": true})
	contains(t, b.ok("delete_file", args{"path": "x", "recursive": true}), "with 2 entries in it")
	for _, gone := range []string{"e", "link", "x", "a", "f"} {
		if !isNotExist(filepath.Join(b.tree, gone)) {
			t.Errorf("%s is still there", gone)
		}
	}
}

// TestHostilePaths tries to leave the tree, with a canary beside it.
func TestHostilePaths(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	tree := filepath.Join(base, "tree")
	must(t, os.Mkdir(tree, 0o755))
	must(t, os.WriteFile(filepath.Join(base, "canary"), []byte("secret two"), 0o644))
	b := newBenchIn(t, tree, tools.Env{}, []string{"filesystem"}, "in/a", "x")
	for name, target := range map[string]string{"etc": "/etc", "passwd": "/etc/passwd", "up": "..", "file": "../canary", "in/up": "../../canary",
		"loop": "loop", "dangling": "/nonexistent", "hop": "in/up", "mounted": mount + "/../../etc", "self": "."} {
		must(t, os.Symlink(target, filepath.Join(tree, name)))
	}
	bad := []string{"..", "../canary", "in/../../canary", "/etc/passwd", "/", "/srv", "/srv/project2/x", mount + "/../x", "a\x00b", `a\x00b`, `a\q`,
		"etc/passwd", "passwd", "up/canary", "file", "in/up", "loop", "hop", "dangling", "mounted/passwd", "up/tree/in/a", "in/../up/canary"}
	for _, path := range bad {
		for tool, a := range map[string]args{
			"read_file": {}, "list_files": {}, "search_files": {"pattern": "two"}, "write_file": {"content": "owned"},
			"edit_file": {"edits": []args{{"old_text": "secret", "new_text": "owned"}}}, "make_directory": {},
		} {
			a["path"] = path
			if text := b.refused(tool, a); strings.Contains(text, "secret") {
				t.Errorf("%s %q: %s", tool, path, text)
			}
		}
		if path != "loop" && path != "dangling" && !strings.HasSuffix(path, "/up") && path != "passwd" && path != "file" && path != "hop" {
			b.refused("move_file", args{"from": "in/a", "to": path + "/moved"})
			b.refused("delete_file", args{"path": path, "recursive": true})
		}
	}
	if text := b.ok("search_files", args{"pattern": "two|root"}); strings.Contains(text, "secret") || strings.Contains(text, "passwd:") {
		t.Errorf("search followed a link: %s", text)
	}
	raw, err := os.ReadFile(filepath.Join(base, "canary"))
	if err != nil || string(raw) != "secret two" {
		t.Errorf("the canary is %q, %v", raw, err)
	}
	if got := b.plan("read_file", args{"path": "self/self/in/a"}).Targets.Read; len(got) != 1 || got[0] != "in/a" {
		t.Errorf("self/self/in/a is %v", got)
	}
}

// TestSwappedLink puts a link where the plan saw a directory or a file: what was decided on is not what is there.
func TestSwappedLink(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		tool string
		args args
	}{
		{"read_file", args{"path": "dir/a"}}, {"write_file", args{"path": "dir/a", "content": "owned"}}, {"write_file", args{"path": "dir/new", "content": "owned"}},
		{"edit_file", args{"path": "dir/a", "edits": []args{{"old_text": "x", "new_text": "owned"}}}}, {"delete_file", args{"path": "dir/a"}},
		{"move_file", args{"from": "dir/a", "to": "b"}}, {"move_file", args{"from": "c", "to": "dir/c"}}, {"list_files", args{"path": "dir"}},
		{"search_files", args{"path": "dir", "pattern": "x"}}, {"make_directory", args{"path": "dir/sub"}},
	} {
		b := newBench(t, "dir/a", "x", "other/a", "x", "c", "c")
		p := b.plan(c.tool, c.args)
		must(t, os.Rename(filepath.Join(b.tree, "dir"), filepath.Join(b.tree, "was")))
		must(t, os.Symlink("other", filepath.Join(b.tree, "dir")))
		out := b.runPlan(t.Context(), p, nil)
		if out.Status != tools.StatusError || len(out.Touched) > 0 {
			t.Errorf("%s went through the link: %+v", c.tool, out)
		}
		contains(t, out.Text, "changed while the call was decided")
		if b.read("other/a") != "x" || !isNotExist(filepath.Join(b.tree, "other/new")) {
			t.Errorf("%s changed what the link points to", c.tool)
		}
	}
}

// TestSwapRace swaps a directory for a link out of the tree, as fast as it can, while files are read and written.
func TestSwapRace(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	tree, outside := filepath.Join(base, "tree"), filepath.Join(base, "outside")
	must(t, os.MkdirAll(outside, 0o755))
	must(t, os.WriteFile(filepath.Join(outside, "a"), []byte("secret"), 0o644))
	b := newBenchIn(t, tree, tools.Env{}, []string{"filesystem"}, "d/a", "inside", "other/a", "other")
	must(t, os.Symlink(outside, filepath.Join(tree, "link")))
	must(t, os.Symlink("other", filepath.Join(tree, "link2")))
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			for _, link := range []string{"link", "link2"} {
				_ = os.Rename(filepath.Join(tree, "d"), filepath.Join(tree, "d2"))
				_ = os.Rename(filepath.Join(tree, link), filepath.Join(tree, "d"))
				_ = os.Rename(filepath.Join(tree, "d"), filepath.Join(tree, link))
				_ = os.Rename(filepath.Join(tree, "d2"), filepath.Join(tree, "d"))
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	for i := range 2000 {
		tool, a := "read_file", args{"path": "d/a", "line_numbers": false}
		if i%2 == 1 {
			tool, a = "write_file", args{"path": "d/a", "content": "inside"}
		}
		p, err := b.Plan(tool, a.json(t))
		if err != nil || len(p.Targets.Read)+len(p.Targets.Write) == 0 || strings.HasPrefix(strings.Join(p.Targets.Write, ""), "other") || strings.HasPrefix(strings.Join(p.Targets.Read, ""), "other") {
			continue // the plan saw the link; then it is about the link's target, or refused
		}
		out, err := b.Run(t.Context(), p, tools.Input{ID: fmt.Sprint("r", i)})
		if err != nil {
			t.Fatal(err)
		}
		if out.Status == tools.StatusOK && tool == "read_file" && strings.TrimSpace(out.Text) != "inside" {
			t.Fatalf("read through a link: %s", out.Text)
		}
	}
	close(stop)
	<-stopped
	for path, want := range map[string]string{filepath.Join(outside, "a"): "secret", filepath.Join(tree, "other/a"): "other"} {
		raw, err := os.ReadFile(path)
		if err != nil || string(raw) != want {
			t.Errorf("%s is %q, %v", path, raw, err)
		}
	}
}

func TestFIFODoesNotBlock(t *testing.T) {
	t.Parallel()
	b := newBench(t, "d/", "")
	must(t, syscall.Mkfifo(filepath.Join(b.tree, "d/pipe"), 0o644))
	contains(t, b.refused("read_file", args{"path": "d/pipe"}), "a FIFO")
	contains(t, b.refused("write_file", args{"path": "d/pipe", "content": ""}), "a FIFO")
	contains(t, b.refused("list_files", args{"path": "d/pipe"}), "not a directory")
	b.ok("search_files", args{"pattern": "x", "path": "d"})
}

// TestOwner checks that what root makes in a tree belongs to the tree's owner, so that the sandbox can go on with it.
func TestOwner(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
	b := newBench(t, "old", "x")
	must(t, os.Chown(b.tree, sandbox.DefaultUID, sandbox.DefaultUID))
	must(t, os.Chown(filepath.Join(b.tree, "old"), sandbox.DefaultUID, sandbox.DefaultUID))
	b.ok("write_file", args{"path": "d/e/new", "content": "y"})
	b.ok("write_file", args{"path": "old", "content": "y"})
	b.ok("make_directory", args{"path": "m"})
	for _, name := range []string{"d", "d/e", "d/e/new", "old", "m"} {
		var st syscall.Stat_t
		must(t, syscall.Lstat(filepath.Join(b.tree, name), &st))
		if st.Uid != sandbox.DefaultUID || st.Gid != sandbox.DefaultUID {
			t.Errorf("%s belongs to %d:%d", name, st.Uid, st.Gid)
		}
	}
}

func TestLargeFile(t *testing.T) {
	t.Parallel()
	b := newBenchIn(t, t.TempDir(), tools.Env{Limits: tools.Limits{File: 1000}}, []string{"filesystem"}, "big", strings.Repeat("needle\n", 200), "small", "x")
	contains(t, b.refused("edit_file", args{"path": "big", "edits": []args{{"old_text": "a", "new_text": "b"}}}), "at most 1,000 bytes")
	contains(t, b.refused("edit_file", args{"path": "small", "edits": []args{{"old_text": "x", "new_text": strings.Repeat("y", 1001)}}}), "larger than 1,000 bytes")
	contains(t, b.ok("search_files", args{"pattern": "needle"}), "1 file larger than 1,000 bytes not searched")
	contains(t, b.ok("read_file", args{"path": "big", "offset": -1}), "   200\tneedle")
}
