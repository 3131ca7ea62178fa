//go:build linux

package workspace_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tachograph/runner/workspace"
	"tachograph/schemas/journal"
)

// generate writes files in directories of ten, three deep, about 4 KiB each.
func generate(b *testing.B, dir string, files int) []string {
	b.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	text := make([]byte, 8192)
	for i := range text {
		text[i] = byte(' ' + rng.IntN(90))
	}
	paths := make([]string, 0, files)
	for i := range files {
		sub := fmt.Sprintf("pkg%03d/mod%02d/part%d", i/500, i/50%10, i/10%5)
		if i%10 == 0 {
			must(b, os.MkdirAll(filepath.Join(dir, sub), 0o755))
		}
		path := fmt.Sprintf("%s/file%05d.go", sub, i)
		head := fmt.Appendf(nil, "package part // %d\n", i)
		must(b, os.WriteFile(filepath.Join(dir, path), append(head, text[:rng.IntN(len(text))]...), 0o644))
		paths = append(paths, path)
	}
	return paths
}

// timer takes the time of what is compared, by turns, and reports medians.
type timer struct{ taken map[string][]time.Duration }

func (t *timer) time(b *testing.B, name string, f func() error) {
	b.Helper()
	start := time.Now()
	err := f()
	took := time.Since(start)
	if err != nil {
		b.Fatalf("%s: %v", name, err)
	}
	if t.taken == nil {
		t.taken = make(map[string][]time.Duration)
	}
	t.taken[name] = append(t.taken[name], took)
}

func (t *timer) percentile(name string, p int) float64 {
	times := slices.Sorted(slices.Values(t.taken[name]))
	return float64(times[(len(times)-1)*p/100].Microseconds()) / 1000
}

func (t *timer) report(b *testing.B) {
	b.ReportMetric(0, "ns/op") // a round is the sum of things that are compared
	for name := range t.taken {
		b.ReportMetric(t.percentile(name, 50), name+"-p50-ms")
	}
}

func git(dir string, args ...string) error {
	cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "gc.auto=0", "-c", "safe.directory=*"}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("git %v: %w: %s", args, err, out)
	}
	return nil
}

// BenchmarkLargeTree: 57,390 files, 100 of them changed, restored in place; beside git doing the
// same in a repository with the same files. Import stands beside cp -a.
func BenchmarkLargeTree(b *testing.B) {
	const files = 57390
	dir := b.TempDir()
	src, twin := filepath.Join(dir, "src"), filepath.Join(dir, "git")
	must(b, os.Mkdir(src, 0o755))
	paths := generate(b, src, files)
	objs := newObjects(b)
	var t timer
	var tree *workspace.Tree
	t.time(b, "import", func() (err error) {
		tree, _, err = workspace.Import(b.Context(), src, filepath.Join(dir, "tree"), objs, own())
		return err
	})
	t.time(b, "cp-a", func() error { return exec.Command("cp", "-a", src, twin).Run() })
	must(b, git(twin, "init", "-q"), git(twin, "add", "-A"), git(twin, "commit", "-qm", "all"))
	perFile := indexBytes(b, tree, objs) / files
	root := tree.Root()
	rng := rand.New(rand.NewPCG(3, 4))
	for b.Loop() {
		dirty := damage(b, tree.Dir(), paths, rng)
		t.time(b, "restore-dirty", func() error { return restoreTo(b, tree, root, dirty) })
		damage(b, tree.Dir(), paths, rng)
		t.time(b, "restore-verifying", func() error { return restoreTo(b, tree, root, nil) })
		damage(b, twin, paths, rng)
		t.time(b, "git-checkout", func() error { return git(twin, "checkout", "-q", "-f", ".") })
		t.time(b, "scan-unchanged", func() error { _, err := tree.Scan(b.Context()); return err })
		t.time(b, "git-status", func() error { return git(twin, "status", "--porcelain") })
		t.time(b, "sync", func() error { return tree.Sync(b.Context()) })
		t.time(b, "open", func() error {
			_, err := workspace.Open(b.Context(), tree.Dir(), objs, root, own())
			return err
		})
	}
	b.ReportMetric(perFile, "index-bytes/file")
	t.report(b)
}

func restoreTo(b *testing.B, tree *workspace.Tree, root journal.Object, dirty []string) error {
	r, err := tree.Restore(b.Context(), root, dirty)
	if err == nil && r.Written != 100 {
		err = fmt.Errorf("restored %d files, want 100", r.Written)
	}
	return err
}

// damage changes 100 files.
func damage(b *testing.B, dir string, paths []string, rng *rand.Rand) []string {
	b.Helper()
	var dirty []string
	for len(dirty) < 100 {
		p := paths[rng.IntN(len(paths))]
		if slices.Contains(dirty, p) {
			continue
		}
		dirty = append(dirty, p)
		must(b, os.WriteFile(filepath.Join(dir, p), []byte("damaged\n"), 0o644))
	}
	return dirty
}

// indexBytes is the memory of what a tree knows, measured by opening it once more.
func indexBytes(b *testing.B, tree *workspace.Tree, objs *objects) float64 {
	b.Helper()
	must(b, tree.Sync(b.Context()))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	again, err := workspace.Open(b.Context(), tree.Dir(), objs, tree.Root(), own())
	must(b, err)
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(again)
	return float64(after.HeapAlloc) - float64(before.HeapAlloc)
}

// BenchmarkCall is what a tool call costs here: the upper directory of one call (three files
// changed, one made in a new directory, one deleted) taken and applied, in a tree of 2,000 files;
// beside git add and write-tree for the same changes.
func BenchmarkCall(b *testing.B) {
	dir := b.TempDir()
	src, twin := filepath.Join(dir, "src"), filepath.Join(dir, "git")
	must(b, os.Mkdir(src, 0o755))
	paths := generate(b, src, 2000)
	must(b, exec.Command("cp", "-a", src, twin).Run(), git(twin, "init", "-q"), git(twin, "add", "-A"))
	objs := newObjects(b)
	tree, _, err := workspace.Import(b.Context(), src, filepath.Join(dir, "tree"), objs, own())
	must(b, err)
	rng := rand.New(rand.NewPCG(5, 6))
	var t timer
	for i := 0; b.Loop(); i++ {
		upper := filepath.Join(dir, fmt.Sprint("upper", i))
		changed, gone := call(b, upper, twin, paths, rng, i)
		var d workspace.Delta
		t.time(b, "take-apply", func() (err error) {
			if d, err = tree.TakeUpper(b.Context(), upper); err != nil {
				return err
			}
			return tree.ApplyUpper(b.Context(), upper, d)
		})
		if d.Files() < 4 {
			b.Fatalf("%d files changed, want at least 4: %v", d.Files(), d.Changes)
		}
		t.time(b, "git-add-write-tree", func() error {
			if err := git(twin, append([]string{"add", "-A", gone}, changed...)...); err != nil {
				return err
			}
			return git(twin, "write-tree")
		})
		must(b, os.RemoveAll(upper))
		must(b, os.WriteFile(filepath.Join(tree.Dir(), gone), []byte("back again\n"), 0o644))
		_, err := tree.TakePaths(b.Context(), []string{gone})
		must(b, err, os.WriteFile(filepath.Join(twin, gone), []byte("back again\n"), 0o644), git(twin, "add", gone))
	}
	b.ReportMetric(t.percentile("take-apply", 99), "take-apply-p99-ms")
	t.report(b)
}

// call writes an upper directory as overlayfs would, and the same into a plain directory.
func call(b *testing.B, upper, twin string, paths []string, rng *rand.Rand, i int) (changed []string, gone string) {
	b.Helper()
	changed = []string{fmt.Sprintf("pkg000/new%d/made.go", i)}
	for range 3 {
		changed = append(changed, paths[rng.IntN(len(paths))])
	}
	for _, p := range changed {
		text, _ := os.ReadFile(filepath.Join(twin, p)) // none for the new one
		text = fmt.Appendf(text, "// call %d\n", i)
		for _, to := range []string{upper, twin} {
			must(b, os.MkdirAll(filepath.Dir(filepath.Join(to, p)), 0o755), os.WriteFile(filepath.Join(to, p), text, 0o644))
		}
	}
	for gone == "" || slices.Contains(changed, gone) {
		gone = paths[rng.IntN(len(paths))]
	}
	must(b, os.MkdirAll(filepath.Dir(filepath.Join(upper, gone)), 0o755), os.Remove(filepath.Join(twin, gone)))
	must(b, unix.Mknod(filepath.Join(upper, gone), unix.S_IFCHR, 0))
	return changed, gone
}

// BenchmarkLargeFile reads and restores one file of 1 GiB, of which 64 MiB are no hole, beside
// sha256sum and cp.
func BenchmarkLargeFile(b *testing.B) {
	dir := b.TempDir()
	src := filepath.Join(dir, "src")
	must(b, os.Mkdir(src, 0o755))
	big := filepath.Join(src, "big")
	must(b, writeSparse(big, 1<<30, 64))
	var t timer
	for i := 0; b.Loop(); i++ {
		objs := newObjects(b)
		var tree *workspace.Tree
		t.time(b, "import", func() (err error) {
			tree, _, err = workspace.Import(b.Context(), src, filepath.Join(dir, fmt.Sprint("tree", i)), objs, own())
			return err
		})
		t.time(b, "sha256sum", func() error { return exec.Command("sha256sum", big).Run() })
		out := filepath.Join(dir, fmt.Sprint("out", i))
		t.time(b, "materialise", func() error {
			_, err := workspace.Materialise(b.Context(), objs, tree.Root(), out, workspace.Options{})
			return err
		})
		t.time(b, "cp", func() error { return exec.Command("cp", big, filepath.Join(out, "copy")).Run() })
		must(b, os.RemoveAll(out), os.RemoveAll(tree.Dir()))
	}
	t.report(b)
}

// writeSparse makes a file of size bytes, with chunks of data spread over it.
func writeSparse(path string, size int64, chunks int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		return err
	}
	b := make([]byte, journal.ChunkSize)
	for i := range chunks {
		rng := rand.New(rand.NewPCG(7, uint64(i)))
		for j := range b {
			b[j] = byte(rng.Uint32())
		}
		if _, err := f.WriteAt(b, size/int64(chunks)*int64(i)); err != nil {
			return err
		}
	}
	return nil
}
