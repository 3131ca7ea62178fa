package exact_test

import (
	"context"
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

// fill writes a file that leaves but so many bytes of the disk, and returns what removes it.
func fill(t *testing.T, name string, leave int64) (release func()) {
	t.Helper()
	var stat unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(name), &stat); err != nil {
		t.Fatal(err)
	}
	free := int64(stat.Bavail) * stat.Bsize
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if size := free - leave; size > 0 {
		if err := unix.Fallocate(int(f.Fd()), 0, 0, size); err != nil {
			t.Fatal(err)
		}
	}
	f.Close()
	return func() {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}
