package journal_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tachograph/schemas/journal"
)

// everyEntry has each type, the limits of each field, and names that are hard to print.
func everyEntry() []journal.DirEntry {
	one := journal.NameObject([]byte("one"))
	return []journal.DirEntry{
		{Name: "\x01\xff not UTF-8", Type: journal.TypeFile, Mode: 0o644, Size: 3, Object: one},
		{Name: " line\nfeed", Type: journal.TypeFile, Mode: 0, Size: 0, Object: journal.NameObject(nil)},
		{Name: "a", Type: journal.TypeDir, Mode: 0o755, Object: one},
		{Name: "a.txt", Type: journal.TypeFile, Mode: 0o7777, Size: journal.ChunkSize, Object: one},
		{Name: "ab", Type: journal.TypeLink, Mode: 0o777, Size: 9, Target: "/nowhere\xfe"},
		{Name: "big", Type: journal.TypeChunks, Mode: 0o600, Size: journal.MaxFileSize, Object: one},
		{Name: strings.Repeat("n", journal.MaxName), Type: journal.TypeDir, Mode: 0o1777, Object: one},
		{Name: "ünïcode", Type: journal.TypeLink, Mode: 0o777, Size: journal.MaxTarget, Target: strings.Repeat("t", journal.MaxTarget)},
	}
}

func chunksOf(size int64) []journal.Object {
	return slices.Repeat([]journal.Object{journal.NameObject([]byte("chunk"))}, int((size+journal.ChunkSize-1)/journal.ChunkSize))
}

func TestDirectoryObject(t *testing.T) {
	t.Parallel()
	for name, entries := range map[string][]journal.DirEntry{"empty": {}, "every": everyEntry()} {
		b, err := journal.EncodeDir(entries)
		if err != nil {
			t.Fatal(err)
		}
		compareDirectoryGolden(t, "directory-v1-"+name+".hex", b)
		got, err := journal.DecodeDir(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(entries, got); diff != "" {
			t.Errorf("%s: decoded other entries than were encoded (-want +got):\n%s", name, diff)
		}
	}
}

func TestChunkListObject(t *testing.T) {
	t.Parallel()
	const size = 2*journal.ChunkSize + 1
	b, err := journal.EncodeChunks(size, chunksOf(size))
	if err != nil {
		t.Fatal(err)
	}
	compareDirectoryGolden(t, "directory-v1-chunks.hex", b)
	gotSize, got, err := journal.DecodeChunks(b)
	if err != nil || gotSize != size || !slices.Equal(got, chunksOf(size)) {
		t.Errorf("decoded %d bytes in %d chunks, %v; want %d in 3", gotSize, len(got), err, size)
	}
}

// TestDirectoryRefused: neither side accepts an entry that breaks a rule of the format.
func TestDirectoryRefused(t *testing.T) {
	t.Parallel()
	one := journal.NameObject([]byte("one"))
	file := func(name string) journal.DirEntry {
		return journal.DirEntry{Name: name, Type: journal.TypeFile, Mode: 0o644, Size: 3, Object: one}
	}
	with := func(change func(*journal.DirEntry)) []journal.DirEntry {
		e := file("x")
		change(&e)
		return []journal.DirEntry{e}
	}
	for name, entries := range map[string][]journal.DirEntry{
		"empty name":        {file("")},
		"dot":               {file(".")},
		"dot dot":           {file("..")},
		"slash":             {file("a/b")},
		"NUL":               {file("a\x00b")},
		"long name":         {file(strings.Repeat("n", journal.MaxName+1))},
		"same name twice":   {file("a"), file("a")},
		"wrong order":       {file("b"), file("a")},
		"prefix last":       {file("ab"), file("a")},
		"mode":              with(func(e *journal.DirEntry) { e.Mode = 0o10000 }),
		"no object":         with(func(e *journal.DirEntry) { e.Object = journal.Object{} }),
		"file too large":    with(func(e *journal.DirEntry) { e.Size = journal.ChunkSize + 1 }),
		"negative size":     with(func(e *journal.DirEntry) { e.Size = -1 }),
		"file with target":  with(func(e *journal.DirEntry) { e.Target = "t" }),
		"small chunked":     with(func(e *journal.DirEntry) { e.Type, e.Size = journal.TypeChunks, journal.ChunkSize }),
		"huge":              with(func(e *journal.DirEntry) { e.Type, e.Size = journal.TypeChunks, journal.MaxFileSize+1 }),
		"directory of size": with(func(e *journal.DirEntry) { e.Type = journal.TypeDir }),
		"unknown type":      with(func(e *journal.DirEntry) { e.Type = 'p' }),
		"link with object":  with(func(e *journal.DirEntry) { e.Type, e.Mode, e.Target = journal.TypeLink, 0o777, "abc" }),
		"link mode":         {{Name: "l", Type: journal.TypeLink, Mode: 0o755, Size: 1, Target: "t"}},
		"empty target":      {{Name: "l", Type: journal.TypeLink, Mode: 0o777}},
		"NUL in target":     {{Name: "l", Type: journal.TypeLink, Mode: 0o777, Size: 3, Target: "a\x00b"}},
		"size of target":    {{Name: "l", Type: journal.TypeLink, Mode: 0o777, Size: 2, Target: "t"}},
	} {
		if b, err := journal.EncodeDir(entries); err == nil {
			t.Errorf("%s: encoded as %d bytes, want an error", name, len(b))
		}
	}
	for name, size := range map[string]int64{"one object is enough": journal.ChunkSize, "zero": 0, "negative": -1, "huge": journal.MaxFileSize + 1} {
		if _, err := journal.EncodeChunks(size, chunksOf(max(size, 0))); err == nil {
			t.Errorf("chunk list, %s: encoded, want an error", name)
		}
	}
	if _, err := journal.EncodeChunks(3*journal.ChunkSize, chunksOf(2*journal.ChunkSize)); err == nil {
		t.Error("chunk list with a chunk missing: encoded, want an error")
	}
}

// TestDirectoryDamaged: whatever is cut off or put behind is noticed.
func TestDirectoryDamaged(t *testing.T) {
	t.Parallel()
	dir, err := journal.EncodeDir(everyEntry()[:6])
	if err != nil {
		t.Fatal(err)
	}
	list, err := journal.EncodeChunks(2*journal.ChunkSize, chunksOf(2*journal.ChunkSize))
	if err != nil {
		t.Fatal(err)
	}
	for n := range dir {
		if _, err := journal.DecodeDir(dir[:n]); err == nil {
			t.Errorf("the first %d of %d bytes were accepted as a directory", n, len(dir))
		}
	}
	for n := range list {
		if _, _, err := journal.DecodeChunks(list[:n]); err == nil {
			t.Errorf("the first %d of %d bytes were accepted as a chunk list", n, len(list))
		}
	}
	if _, err := journal.DecodeDir(append(dir, 0)); err == nil {
		t.Error("a byte after the last entry was accepted")
	}
	if _, _, err := journal.DecodeChunks(append(list, 0)); err == nil {
		t.Error("a byte after the last chunk was accepted")
	}
}

func FuzzDecodeDir(f *testing.F) {
	for _, entries := range [][]journal.DirEntry{{}, everyEntry(), everyEntry()[4:5]} {
		b, err := journal.EncodeDir(entries)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, err := journal.DecodeDir(b)
		if err != nil {
			return
		}
		again, err := journal.EncodeDir(entries)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("decoded, but encodes as %x, %v", again, err)
		}
	})
}

func FuzzDecodeChunks(f *testing.F) {
	for _, size := range []int64{journal.ChunkSize + 1, 5 * journal.ChunkSize} {
		b, err := journal.EncodeChunks(size, chunksOf(size))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		size, chunks, err := journal.DecodeChunks(b)
		if err != nil {
			return
		}
		again, err := journal.EncodeChunks(size, chunks)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("decoded, but encodes as %x, %v", again, err)
		}
	})
}

func BenchmarkDecodeDir(b *testing.B) {
	object, err := journal.EncodeDir(everyEntry())
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(object)))
	for b.Loop() {
		if _, err := journal.DecodeDir(object); err != nil {
			b.Fatal(err)
		}
	}
}

// compareDirectoryGolden compares b with a file of hex digits, 32 bytes a line. It writes the file when the
// package's tests run with -update.
func compareDirectoryGolden(t *testing.T, name string, b []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if f := flag.Lookup("update"); f != nil && f.Value.String() == "true" {
		var text bytes.Buffer
		for line := range slices.Chunk(b, 32) {
			text.WriteString(hex.EncodeToString(line) + "\n")
		}
		if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want, err := hex.DecodeString(strings.ReplaceAll(string(text), "\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, b) {
		t.Errorf("%s: encoded as\n%x\nwant\n%x", name, b, want)
	}
}
