package tools_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tachograph/runner/sandbox"
	"tachograph/runner/tools"
)

// bigTree is 2,000 Go-like files of about 4 KiB in 40 directories.
func bigTree(b *testing.B) *bench {
	b.Helper()
	tree := b.TempDir()
	for i := range 2000 {
		var s strings.Builder
		for l := range 100 {
			fmt.Fprintf(&s, "func f%d_%d() int { return %d } // some words\n", i, l, i*l)
		}
		if i%100 == 7 {
			s.WriteString("needle in here\n")
		}
		put(b, tree, fmt.Sprintf("pkg%02d/sub/file%04d.go", i%40, i), s.String())
	}
	return newBenchIn(b, tree, tools.Env{}, []string{"filesystem"})
}

// compare runs ours and the baseline by turns and reports medians and their ratio.
func compare(b *testing.B, ours, baseline func(i int)) {
	b.Helper()
	var a, c []time.Duration
	i := 0
	for b.Loop() {
		start := time.Now()
		ours(i)
		middle := time.Now()
		baseline(i)
		a, c = append(a, middle.Sub(start)), append(c, time.Since(middle))
		i++
	}
	slices.Sort(a)
	slices.Sort(c)
	us := func(d time.Duration) float64 { return float64(d) / 1e3 }
	b.ReportMetric(us(a[len(a)/2]), "ours-p50-µs")
	b.ReportMetric(us(a[len(a)*99/100]), "ours-p99-µs")
	b.ReportMetric(us(c[len(c)/2]), "base-p50-µs")
	b.ReportMetric(us(a[len(a)/2])/us(c[len(c)/2]), "ratio")
	b.ReportMetric(0, "ns/op")
}

func name(i int) string { return fmt.Sprintf("pkg%02d/sub/file%04d.go", i%2000%40, i%2000) }

func BenchmarkReadFile(b *testing.B) {
	t := bigTree(b)
	compare(b, func(i int) { t.ok("read_file", args{"path": name(i)}) },
		func(i int) { t.read(name(i)) })
}

func BenchmarkPlan(b *testing.B) {
	t := bigTree(b)
	raw := args{"path": name(3), "edits": []args{{"old_text": "return 3 ", "new_text": "return 4 "}}}.json(b)
	compare(b, func(int) {
		if _, err := t.Plan("edit_file", raw); err != nil {
			b.Fatal(err)
		}
	}, func(int) {
		if _, err := os.Lstat(filepath.Join(t.tree, name(3))); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkEditFile(b *testing.B) {
	t := bigTree(b)
	words := []string{"some words", "other words"}
	compare(b, func(i int) {
		turn := i / 2000 % 2
		old := fmt.Sprintf("func f%d_5() int { return %d } // %s", i%2000, i%2000*5, words[turn])
		t.ok("edit_file", args{"path": name(i), "edits": []args{{"old_text": old, "new_text": strings.Replace(old, words[turn], words[1-turn], 1)}}})
	}, func(i int) {
		full := filepath.Join(t.tree, name(i))
		raw, err := os.ReadFile(full)
		must(b, err)
		must(b, os.WriteFile(full+".tmp", bytes.Replace(raw, []byte("_7()"), []byte("_7()"), 1), 0o644))
		must(b, os.Rename(full+".tmp", full))
	})
}

func BenchmarkSearchFiles(b *testing.B) {
	t := bigTree(b)
	for _, pattern := range []string{"needle", "n[e]+dle.*here$", "f19[0-9]*_7[^x]{3}int"} {
		b.Run(pattern, func(b *testing.B) {
			compare(b, func(int) { t.ok("search_files", args{"pattern": pattern}) }, func(int) {
				if err := exec.Command("grep", "-rnIE", pattern, t.tree).Run(); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}

func BenchmarkListFiles(b *testing.B) {
	t := bigTree(b)
	compare(b, func(int) { t.ok("list_files", args{"glob": "*.go", "limit": 2000}) }, func(int) {
		must(b, exec.Command("find", t.tree, "-name", "*.go", "-printf", "%P %s\n").Run())
	})
}

// BenchmarkBash is one call with its session, against the same command without one, in the same sandbox.
func BenchmarkBash(b *testing.B) {
	box, tree := openSandbox(b, sandbox.TierAuto)
	t := newBenchIn(b, tree, tools.Env{Shell: box}, []string{"bash"})
	t.session = []byte("tacho-session-1\x00/usr\x00A=1\x00")
	compare(b, func(int) {
		t.bash("true")
		must(b, box.Discard(fmt.Sprintf("call-%d", t.calls)))
	}, func(i int) {
		id := fmt.Sprintf("base-%d", i)
		_, err := box.Run(context.Background(), sandbox.Command{ID: id, Args: []string{"/bin/bash", "-c", "true"}, Overlay: true})
		must(b, err)
		must(b, box.Discard(id))
	})
}
