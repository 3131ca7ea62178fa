package exact_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tachograph/collector/store"
	"tachograph/collector/store/embedded"
)

// TestFullDisk fills the engine's disk while segments are inserted, and empties it again.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=64m"); err != nil {
		t.Skip("a small disk cannot be mounted here (that takes root):", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error("unmount:", err)
		}
	})
	engine, err := embedded.Open(t.Context(), embedded.Config{Dir: filepath.Join(dir, "engine")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := store.Open(ctx, engine.DSN(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	failed, n := 0, 0
	for round := range 12 {
		release := fill(t, filepath.Join(dir, "ballast"), int64(round*round)*40<<10)
		b := segment(n)
		b.Fresh = true
		err := s.Insert(ctx, b)
		release()
		if err != nil {
			failed++
			if store.Permanent(err) {
				t.Errorf("a full disk passes, but this says it does not: %v", err)
			}
			persistFull(t, ctx, s, n)
		}
		n++
	}
	if failed < 3 || failed == n {
		t.Fatalf("%d of %d inserts failed: the disk tests nothing", failed, n)
	}
	t.Logf("%d of %d inserts failed", failed, n)
	check(t, engine, int64(n))
}

// persistFull inserts a segment as a process that knows nothing of it, until the engine has come to itself.
func persistFull(t *testing.T, ctx context.Context, s *store.Store, n int) {
	t.Helper()
	for {
		err := s.Insert(ctx, segment(n))
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal("not inserted in time:", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// fill writes a file that leaves but so many bytes of the disk, and returns what removes it. The engine writes beside it: what
// was free a moment ago may be free no more.
func fill(t *testing.T, name string, leave int64) (release func()) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	err = unix.ENOSPC
	for errors.Is(err, unix.ENOSPC) {
		var stat unix.Statfs_t
		if err := unix.Statfs(filepath.Dir(name), &stat); err != nil {
			t.Fatal(err)
		}
		err = nil
		if size := int64(stat.Bavail)*stat.Bsize - leave; size > 0 {
			err = unix.Fallocate(int(f.Fd()), 0, 0, size)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}
