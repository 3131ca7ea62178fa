package spool

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// made is a record that tells what it is.
func made(n int) Record {
	r := Record{Signal: uint8(1 + n%3), Project: "default", Received: time.UnixMilli(1_790_000_000_000 + int64(n)).UTC(),
		Body: bytes.Repeat([]byte{byte(n)}, n*37%5000)}
	if n%4 == 0 {
		r.Dropped = []uint32{0, 3, uint32(1000 + n)}
	}
	return r
}

func open(t *testing.T, c Config) (*Spool, []*Segment) {
	t.Helper()
	if c.MaxBytes == 0 {
		c.MaxBytes = 1 << 30
	}
	s, found, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
	})
	return s, found
}

// read returns the records of a segment, each with memory of its own.
func read(t *testing.T, s *Segment) ([]Record, Report) {
	t.Helper()
	var all []Record
	report, err := s.Read(func(r *Record) error {
		c := *r
		c.Body = append([]byte{}, r.Body...)
		all = append(all, c)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all, report
}

func want(from, to int) []Record {
	var all []Record
	for n := from; n < to; n++ {
		r := made(n)
		r.Body = append([]byte{}, r.Body...)
		all = append(all, r)
	}
	return all
}

// same compares bodies at once: cmp goes through them byte by byte.
var same = cmp.Comparer(bytes.Equal)

// write makes a segment of groups with three records each, and returns it unsealed.
func write(t *testing.T, s *Spool, groups int) {
	t.Helper()
	for g := range groups {
		if err := s.Append(want(3*g, 3*g+3)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatWasWrittenIsRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, found := open(t, Config{Dir: dir})
	if len(found) != 0 {
		t.Fatalf("an empty directory has %d segments", len(found))
	}
	write(t, s, 20)
	large := Record{Signal: 1, Received: time.UnixMilli(5).UTC(), Body: bytes.Repeat([]byte("large"), 100_000)}
	if err := s.Append([]Record{large, large}); err != nil {
		t.Fatal(err)
	}
	seg, err := s.Seal()
	if err != nil {
		t.Fatal(err)
	}
	expected := append(want(0, 60), large, large)
	got, report := read(t, seg)
	if diff := cmp.Diff(expected, got, same); diff != "" || report.Torn != 0 || report.Damaged != 0 {
		t.Errorf("%+v\n%s", report, diff)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	// The next process finds the same.
	again, found := open(t, Config{Dir: dir})
	if len(found) != 1 || found[0].ID != seg.ID || !found[0].Created.Equal(seg.Created) {
		t.Fatalf("found %+v, want %+v", found, seg)
	}
	got, report = read(t, found[0])
	if diff := cmp.Diff(expected, got, same); diff != "" || report.Torn != 0 || report.Damaged != 0 {
		t.Errorf("%+v\n%s", report, diff)
	}
	if err := again.Remove(found[0], false); err != nil {
		t.Fatal(err)
	}
	if use := again.Usage(); use.Bytes != 0 || use.Damaged != 0 {
		t.Errorf("after all is removed: %+v", use)
	}
}

// TestTornTails cuts a segment at every byte: all whole groups before are read, and what is left is a torn tail.
func TestTornTails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, _ := open(t, Config{Dir: dir})
	var ends []int64
	for g := range 4 {
		if err := s.Append(want(g+1, g+2)); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, s.OpenSize())
	}
	path := s.open.path
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(t.TempDir(), filepath.Base(path))
	for size := range len(file) + 1 {
		for name, tail := range map[string][]byte{"cut": nil, "zeros": make([]byte, 30)} {
			rewrite(t, cut, append(file[:size:size], tail...))
			groups := 0
			for groups < len(ends) && int64(size) >= ends[groups] {
				groups++
			}
			got, report := read(t, &Segment{ID: s.open.ID, path: cut, size: int64(size + len(tail))})
			if diff := cmp.Diff(want(1, groups+1), got, same); diff != "" {
				t.Fatalf("%s at %d of %d:\n%s", name, size, len(file), diff)
			}
			if report.Damaged != 0 {
				t.Fatalf("%s at %d: a torn tail is taken for damage: %+v", name, size, report)
			}
			before := int64(headerSize)
			if groups > 0 {
				before = ends[groups-1]
			} else if size < headerSize {
				before = 0
			}
			if rest := int64(size+len(tail)) - before; report.Torn != rest {
				t.Fatalf("%s at %d: %d bytes torn, want %d", name, size, report.Torn, rest)
			}
		}
	}
}

// rewrite puts a new file in the place of one: to cut a file and write it again makes ext4 sync it.
func rewrite(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestDamage flips a byte in each group but the last: the group is reported as damaged, the others are read.
func TestDamage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, _ := open(t, Config{Dir: dir})
	starts := []int64{headerSize}
	for g := range 5 {
		if err := s.Append(want(3*g+1, 3*g+4)); err != nil {
			t.Fatal(err)
		}
		starts = append(starts, s.OpenSize())
	}
	seg, err := s.Seal()
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(seg.path)
	if err != nil {
		t.Fatal(err)
	}
	check := func(name string, at int64, lost int) {
		bad := bytes.Clone(file)
		bad[at] ^= 0x10
		rewrite(t, seg.path, bad)
		var expected []Record
		for g := range 5 {
			if g != lost {
				expected = append(expected, want(3*g+1, 3*g+4)...)
			}
		}
		// As the next process finds it: with the mark of its end.
		got, report := read(t, &Segment{ID: seg.ID, path: seg.path, size: int64(len(file))})
		if diff := cmp.Diff(expected, got, same); diff != "" {
			t.Fatalf("%s, byte %d:\n%s", name, at, diff)
		}
		if report.Damaged == 0 || !strings.Contains(report.Damage, seg.path) {
			t.Fatalf("%s, byte %d is not reported: %+v", name, at, report)
		}
	}
	for g := range 5 {
		for _, at := range []int64{starts[g], starts[g] + 9, starts[g] + 21, starts[g] + groupSize, starts[g+1] - 1} {
			check(fmt.Sprint("group ", g), at, g)
		}
	}
	check("header", 20, -1)
	if err := s.Remove(seg, true); err != nil {
		t.Fatal(err)
	}
	kept, err := filepath.Glob(filepath.Join(dir, "damaged", "*.segment"))
	if err != nil || len(kept) != 1 || s.Usage().Damaged != 1 {
		t.Errorf("a damaged segment is kept aside: %v %v %+v", kept, err, s.Usage())
	}
}

// TestBodiesCannotForgeGroups puts a whole segment into a body, and damages the group round it.
func TestBodiesCannotForgeGroups(t *testing.T) {
	t.Parallel()
	other, _ := open(t, Config{Dir: t.TempDir()})
	write(t, other, 1)
	forged, err := os.ReadFile(other.open.path)
	if err != nil {
		t.Fatal(err)
	}
	s, _ := open(t, Config{Dir: t.TempDir()})
	if err := s.Append([]Record{{Signal: 1, Received: time.UnixMilli(0).UTC(), Body: forged}}); err != nil {
		t.Fatal(err)
	}
	write(t, s, 1)
	seg, err := s.Seal()
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(seg.path)
	if err != nil {
		t.Fatal(err)
	}
	file[headerSize+groupSize] ^= 1
	if err := os.WriteFile(seg.path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	got, report := read(t, seg)
	if diff := cmp.Diff(want(0, 3), got, same); diff != "" || report.Damaged == 0 {
		t.Errorf("%+v\n%s", report, diff)
	}
}

// TestFailingDisk: a group whose fsync fails is not acknowledged, the groups before are kept, and the next
// group goes into another segment.
func TestFailingDisk(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		full bool
	}{"error": {errors.New("input/output error"), false}, "full": {syscall.ENOSPC, true}, "quota": {syscall.EDQUOT, true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var fail error
			s, _ := open(t, Config{Dir: t.TempDir(), sync: func(f *os.File) error {
				if fail != nil {
					return fail
				}
				return f.Sync()
			}})
			fail = c.err
			if err := s.Append(want(0, 3)); !errors.Is(err, c.err) || errors.Is(err, ErrFull) != c.full {
				t.Fatalf("the first group: %v", err)
			}
			if s.OpenSize() != 0 || s.Usage().Bytes != 0 {
				t.Errorf("a segment without a group is left: %+v", s.Usage())
			}
			fail = nil
			write(t, s, 2)
			fail = c.err
			if err := s.Append(want(6, 9)); !errors.Is(err, c.err) {
				t.Fatalf("the third group: %v", err)
			}
			fail = nil
			seg, err := s.Seal()
			if err != nil {
				t.Fatal(err)
			}
			got, report := read(t, seg)
			if diff := cmp.Diff(want(0, 6), got, same); diff != "" || report.Torn != 0 {
				t.Errorf("%+v\n%s", report, diff)
			}
			write(t, s, 1)
			if next, err := s.Seal(); err != nil || next.ID == seg.ID {
				t.Errorf("the next group goes into the same segment: %v", err)
			}
		})
	}
}

func TestBound(t *testing.T) {
	t.Parallel()
	s, _ := open(t, Config{Dir: t.TempDir(), MaxBytes: 10_000})
	r := Record{Signal: 1, Received: time.UnixMilli(0).UTC(), Body: make([]byte, 4000)}
	if !s.Fits(&r, 0) || s.Fits(&r, 8000) {
		t.Error("of 10,000 bytes, 4,000 fit once and not besides 8,000")
	}
	for range 2 {
		if !s.Fits(&r, 0) {
			t.Fatal("8,000 bytes do not fit")
		}
		if err := s.Append([]Record{r}); err != nil {
			t.Fatal(err)
		}
	}
	if s.Fits(&r, 0) {
		t.Error("12,000 bytes fit")
	}
	seg, err := s.Seal()
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(seg.path)
	if err != nil || info.Size() != s.Usage().Bytes {
		t.Errorf("the file has %d bytes, %+v are counted: %v", info.Size(), s.Usage(), err)
	}
	if err := s.Remove(seg, false); err != nil || !s.Fits(&r, 0) {
		t.Errorf("after it is removed: %v", err)
	}
}

func TestOneProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, _ := open(t, Config{Dir: dir})
	if _, _, err := Open(Config{Dir: dir, MaxBytes: 1}); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("a second spool in one directory: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, Config{Dir: dir})
}

// FuzzSegment: whatever bytes lie in a segment, reading ends without an error and makes no record of damage.
func FuzzSegment(f *testing.F) {
	dir := f.TempDir()
	s, _, err := Open(Config{Dir: dir, MaxBytes: 1 << 30})
	if err != nil {
		f.Fatal(err)
	}
	for g := range 3 {
		if err := s.Append(want(3*g, 3*g+3)); err != nil {
			f.Fatal(err)
		}
	}
	seg, err := s.Seal()
	if err != nil {
		f.Fatal(err)
	}
	file, err := os.ReadFile(seg.path)
	if err != nil {
		f.Fatal(err)
	}
	if err := s.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(file)
	f.Add(file[:200])
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "x.segment")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		known := map[string]bool{}
		for _, r := range want(0, 9) {
			known[fmt.Sprintf("%v", r)] = true
		}
		_, err := (&Segment{ID: seg.ID, path: path, size: int64(len(b))}).Read(func(r *Record) error {
			if !known[fmt.Sprintf("%v", *r)] {
				t.Errorf("a record that nobody wrote: %v", r)
			}
			return nil
		})
		if err != nil && !errors.Is(err, errRecord) {
			t.Error(err)
		}
	})
}
