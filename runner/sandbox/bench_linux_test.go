//go:build amd64 || arm64

package sandbox_test

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tachograph/runner/sandbox"
)

// BenchmarkCall compares a sandboxed call of /bin/true with its baseline, plain execution of the same, one after the other
// in the same loop. Calls are discarded outside the measured time, as a run does after taking the delta. An overlay makes
// and removes about ten inodes, so the file system that Scratch lies on shows: the case in memory is without it.
func BenchmarkCall(b *testing.B) {
	for _, tc := range []struct {
		name   string
		tier   sandbox.Tier
		memory bool
	}{{"namespaces", sandbox.TierNamespaces, false}, {"namespaces-memory", sandbox.TierNamespaces, true}, {"landlock", sandbox.TierLandlock, false}} {
		b.Run(tc.name, func(b *testing.B) {
			s := benchSandbox(b, tc.tier, tc.memory)
			var plain, inside []time.Duration
			for i := 0; b.Loop(); i++ {
				start := time.Now()
				if err := exec.Command("/bin/true").Run(); err != nil {
					b.Fatal(err)
				}
				plain = append(plain, time.Since(start))
				start = time.Now()
				benchCall(b, s, fmt.Sprint(i))
				inside = append(inside, time.Since(start))
				discard(b, s, fmt.Sprint(i))
			}
			report(b, "plain", plain)
			report(b, "sandbox", inside)
			b.ReportMetric(ms(quantile(inside, 50)-quantile(plain, 50)), "over-p50-ms")
			b.ReportMetric(ms(quantile(inside, 99)-quantile(plain, 99)), "over-p99-ms")
			b.ReportMetric(float64(quantile(inside, 50))/float64(quantile(plain, 50)), "ratio-p50")
		})
	}
}

// BenchmarkSixZygotes gives calls per second of six runs at once, against plain execution by as many goroutines.
func BenchmarkSixZygotes(b *testing.B) {
	for _, memory := range []bool{false, true} {
		b.Run(map[bool]string{false: "disk", true: "memory"}[memory], func(b *testing.B) { benchSix(b, memory) })
	}
}

func benchSix(b *testing.B, memory bool) {
	const zygotes, each = 6, 20
	var ss []*sandbox.Sandbox
	for range zygotes {
		ss = append(ss, benchSandbox(b, sandbox.TierNamespaces, memory))
	}
	var plain, inside time.Duration
	n := 0
	for b.Loop() {
		start := time.Now()
		parallel(zygotes*each, zygotes, func(int, int) {
			if err := exec.Command("/bin/true").Run(); err != nil {
				b.Error(err)
			}
		})
		plain += time.Since(start)
		start = time.Now()
		parallel(zygotes*each, zygotes, func(w, i int) {
			id := fmt.Sprintf("%d-%d", n, i)
			benchCall(b, ss[w], id)
			discard(b, ss[w], id)
		})
		inside += time.Since(start)
		n += zygotes * each
	}
	b.ReportMetric(float64(n)/plain.Seconds(), "plain-calls/s")
	b.ReportMetric(float64(n)/inside.Seconds(), "sandbox-calls/s")
}

// BenchmarkOpen gives what a run's start costs.
func BenchmarkOpen(b *testing.B) {
	for _, tier := range []sandbox.Tier{sandbox.TierNamespaces, sandbox.TierLandlock} {
		b.Run(tier.String(), func(b *testing.B) {
			c := newConfig(b)
			c.Tier = tier
			for b.Loop() {
				s, err := sandbox.Open(b.Context(), c)
				if err != nil {
					b.Fatal(err)
				}
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func benchSandbox(b *testing.B, tier sandbox.Tier, memory bool) *sandbox.Sandbox {
	b.Helper()
	c := newConfig(b)
	c.Tier = tier
	if memory {
		dir, err := os.MkdirTemp("/dev/shm", "tacho-bench-")
		if err != nil {
			b.Skip("needs a tmpfs at /dev/shm:", err)
		}
		b.Cleanup(func() {
			if err := sandbox.RemoveScratch(dir); err != nil {
				b.Error(err)
			}
		})
		c.Scratch = dir
	}
	s, err := sandbox.Open(b.Context(), c)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return s
}

func benchCall(b *testing.B, s *sandbox.Sandbox, id string) {
	res, err := s.Run(b.Context(), sandbox.Command{ID: id, Args: []string{"/bin/true"}, Overlay: true})
	if err != nil || res.Exit != 0 {
		b.Errorf("call %s: exit %d, %v", id, res.Exit, err)
	}
}

func discard(b *testing.B, s *sandbox.Sandbox, id string) {
	if err := s.Discard(id); err != nil {
		b.Error(err)
	}
}

// parallel runs f n times in workers goroutines.
func parallel(n, workers int, f func(worker, i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := int(next.Add(1)); i <= n; i = int(next.Add(1)) {
				f(w, i)
			}
		})
	}
	wg.Wait()
}

func report(b *testing.B, name string, d []time.Duration) {
	b.ReportMetric(ms(quantile(d, 50)), name+"-p50-ms")
	b.ReportMetric(ms(quantile(d, 99)), name+"-p99-ms")
}

func quantile(d []time.Duration, percent int) time.Duration {
	s := slices.Sorted(slices.Values(d))
	return s[min(len(s)-1, len(s)*percent/100)]
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
