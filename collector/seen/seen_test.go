package seen

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func key(n int) (k Key) {
	binary.BigEndian.PutUint64(k[:], uint64(n)+1)
	return k
}

// clock is a time that tests move.
type clock struct{ time.Time }

func (c *clock) now() time.Time { return c.Time }

func open(t *testing.T, dir string, c *clock, most int) *Set {
	t.Helper()
	s, err := Open(Config{Dir: dir, MaxKeys: most, Window: 24 * time.Hour, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func add(t *testing.T, s *Set, from, to int, fresh bool) {
	t.Helper()
	for n := from; n < to; n++ {
		if s.Add(key(n)) != fresh {
			t.Fatalf("key %d: new is %v", n, !fresh)
		}
	}
	if err := s.Save(); err != nil {
		t.Fatal(err)
	}
}

func TestKeysOutliveTheProcess(t *testing.T) {
	t.Parallel()
	dir, c := t.TempDir(), &clock{time.UnixMilli(1_790_000_000_000)}
	s := open(t, dir, c, 1000)
	add(t, s, 0, 100, true)
	add(t, s, 0, 100, false)
	s.Add(key(500))
	s.Forget([]Key{key(500)})
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.keys"))
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	f, err := os.OpenFile(names[0], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("torn"); err != nil || f.Close() != nil {
		t.Fatal(err)
	}
	s = open(t, dir, c, 1000)
	add(t, s, 0, 100, false)
	add(t, s, 500, 501, true) // it was taken back
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, c, 1000)
	add(t, s, 500, 501, false) // written after the torn tail
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestADayAtLeast(t *testing.T) {
	t.Parallel()
	dir, c := t.TempDir(), &clock{time.UnixMilli(1_790_000_000_000)}
	s := open(t, dir, c, 1_000_000)
	add(t, s, 0, 10, true)
	for day := 1; day < 5; day++ {
		c.Time = c.Add(23 * time.Hour)
		add(t, s, 10*day-10, 10*day, false) // of 23 hours ago
		add(t, s, 10*day, 10*day+10, true)
	}
	c.Time = c.Add(72 * time.Hour)
	add(t, s, 100, 101, true)
	add(t, s, 0, 10, true) // long ago
	if early := s.Stats().Early; early != 0 {
		t.Errorf("%d days were cut", early)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if names, err := filepath.Glob(filepath.Join(dir, "*.keys")); err != nil || len(names) > 2 {
		t.Errorf("files of two generations: %v %v", names, err)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	dir, c := t.TempDir(), &clock{time.UnixMilli(1_790_000_000_000)}
	s := open(t, dir, c, 100)
	for n := range 1000 {
		c.Time = c.Add(time.Millisecond)
		add(t, s, n, n+1, true)
		if stats := s.Stats(); stats.Keys > 100 {
			t.Fatalf("%d keys are remembered, at most 100 are allowed", stats.Keys)
		}
	}
	stats := s.Stats()
	if stats.Early == 0 || stats.Since.Before(c.Add(-200*time.Millisecond)) {
		t.Errorf("the day became shorter, and it does not say so: %+v at %v", stats, c.Time)
	}
	add(t, s, 960, 1000, false)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, c, 100)
	add(t, s, 960, 1000, false)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkAdd(b *testing.B) {
	s, err := Open(Config{Dir: b.TempDir(), MaxKeys: 1 << 20, Window: time.Hour, Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	for n := 0; b.Loop(); n++ {
		s.Add(key(n))
		if n%512 == 0 {
			if err := s.Save(); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}
