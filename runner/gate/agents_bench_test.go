package gate_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"tachograph/runner/gate"
	"tachograph/schemas/journal"
)

// BenchmarkAgents has 300 agents of one run make calls at a fixed rate in all, whether or not those
// before have ended (open loop), of a tool that does nearly nothing. A call here is its whole turn:
// asked and answered as far as the journal goes, proposed, decided, started, run, ended. Latency
// counts from the moment at which the call was due. The rate is then raised until p99 passes 1 s.
func BenchmarkAgents(b *testing.B) {
	const agents = 300
	l := newLab(b, map[string]string{"a.txt": "a\n"}, func(g *gate.Config) { g.Notify = nil })
	paths := make([]string, agents)
	for i := range paths {
		paths[i] = fmt.Sprintf("/%d", i+1)
		l.append("/", &journal.AgentSpawned{Path: paths[i], Goal: l.stage("goal"), Model: "script/x"})
	}
	for b.Loop() {
		at100 := l.openLoop(paths, 100, 600)
		b.ReportMetric(float64(quantile(at100, .5))/1e6, "ms-p50-at-100/s")
		b.ReportMetric(float64(quantile(at100, .99))/1e6, "ms-p99-at-100/s")
		held := 100
		for _, rate := range []int{300, 600, 900, 1200, 1800, 2400} {
			if quantile(l.openLoop(paths, rate, 3*rate), .99) > time.Second {
				break
			}
			held = rate
		}
		b.ReportMetric(float64(held), "calls/s-with-p99-under-1s")
	}
}

// openLoop makes n calls at a rate per second, by the agents in turn; an agent that is still busy
// makes its next call when it is free, and the wait counts.
func (l *lab) openLoop(paths []string, rate, n int) []time.Duration {
	l.Helper()
	latency := make([]time.Duration, n)
	queues := make([]chan func(), len(paths))
	var group sync.WaitGroup
	for i := range queues {
		queues[i] = make(chan func(), n)
		group.Go(func() {
			for call := range queues[i] {
				call()
			}
		})
	}
	ticker := time.NewTicker(time.Second / time.Duration(rate))
	defer ticker.Stop()
	begin := time.Now()
	for i := range n {
		due := begin.Add(time.Duration(i) * time.Second / time.Duration(rate))
		for time.Until(due) > 0 {
			<-ticker.C
		}
		agent := paths[i%len(paths)]
		queues[i%len(paths)] <- func() {
			l.turn(agent, 1)
			end, err := l.gate.Do(l.Context(), request(agent, 0, "read_file", map[string]any{"path": "a.txt"}))
			if err != nil || end.Status != "ok" {
				l.Errorf("call: %v %s", err, end.Status)
			}
			latency[i] = time.Since(due)
		}
	}
	for _, q := range queues {
		close(q)
	}
	group.Wait()
	return latency
}
