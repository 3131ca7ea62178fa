package journal_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"tachograph/schemas/journal"
)

// Figures stand beside a baseline that is taken in the same loop: the machine's noise is in both.

// ratio times f and the baseline alternately and reports f's share of the baseline.
func ratio(b *testing.B, unit string, f, baseline func()) {
	b.Helper()
	var ours, theirs time.Duration
	for b.Loop() {
		began := time.Now()
		f()
		middle := time.Now()
		baseline()
		ours, theirs = ours+middle.Sub(began), theirs+time.Since(middle)
	}
	b.ReportMetric(float64(ours)/float64(theirs), unit)
	b.ReportMetric(float64(ours)/float64(b.N), "ns/ours")
	b.ReportMetric(float64(theirs)/float64(b.N), "ns/baseline")
}

// longRun is a state after n entries of one agent's turns.
func longRun(b *testing.B, n int) *recorder {
	b.Helper()
	r := newRecorder(b, runID(1), nil)
	r.add("/", start(r.run))
	for turn := 0; len(r.lines) < n; turn++ {
		r.longTurn(turn)
	}
	return r
}

// longTurn is what a step of an agent writes: seven entries and its share of snapshots.
func (r *recorder) longTurn(turn int) {
	step := r.turn("/", fmt.Sprint("turn ", turn), 1)
	intent := r.add("/", &journal.Intent{Text: ref(fmt.Sprint("intent ", turn)), Source: "declared"})
	call := propose(step, 0, "bash")
	call.Intent = intent
	id := r.add("/", call)
	r.add("/", allow(id))
	r.add("/", r.started(id))
	r.add("/", ended(id, object(fmt.Sprint("tree ", turn))))
	if turn%64 == 0 {
		r.add("/", &journal.Snapshot{Why: "interval", Root: r.state.Root})
	}
}

// The state's hash costs the same at entry 80,000 as at 80: the ratio is to be 1.
func BenchmarkHashAt80000(b *testing.B) {
	early, late := longRun(b, 80), longRun(b, 80_000)
	hash := func(r *recorder) func() {
		asked := false
		return func() { // an entry, so that nothing is cached, and the hash
			body := journal.Body(&journal.Stopped{Now: asked})
			asked = !asked
			if _, _, err := r.state.Apply(r.draft("/", body)); err != nil {
				b.Fatal(err)
			}
			r.state.Hash()
		}
	}
	ratio(b, "80000/80", hash(late), hash(early))
}

// A fold of an entry costs the same at entry 80,000 as at 80.
func BenchmarkTurnAt80000(b *testing.B) {
	early, late := longRun(b, 80), longRun(b, 80_000)
	n := 1 << 20
	ratio(b, "80000/80", func() { n++; late.longTurn(n) }, func() { n++; early.longTurn(n) })
}

// What strictness costs: reading an entry, all kinds of a turn in turn, against encoding/json alone.
func BenchmarkDecode(b *testing.B) {
	lines := longRun(b, 800).lines[100:]
	i, j := 0, 0
	ratio(b, "strict/json", func() {
		e, err := journal.Decode(lines[i%len(lines)])
		if err == nil {
			_, err = journal.DecodeBody(e.Kind, e.Body)
		}
		if err != nil {
			b.Fatal(err)
		}
		i++
	}, func() {
		var e struct {
			V          int
			Run, Agent string
			Seq, Epoch int64
			Time       time.Time
			Kind       journal.Kind
			Body       map[string]any
			Prev       journal.Hash
		}
		if err := json.Unmarshal(lines[j%len(lines)], &e); err != nil {
			b.Fatal(err)
		}
		j++
	})
}

// BenchmarkRebuild is a state at the worst place, before a checkpoint: one checkpoint read and 511
// entries folded, in a run of 80,000 entries against one of 1,000.
func BenchmarkRebuild(b *testing.B) {
	rebuild := func(entries int) func() {
		r := longRun(b, entries)
		store := chunks{}
		record, _ := store.save(b, r.state)
		saved := len(r.lines)
		for turn := 0; len(r.lines) < saved+511; turn++ {
			r.longTurn(entries + turn)
		}
		tail := r.lines[saved : saved+511]
		return func() {
			s := store.load(b, record)
			for _, line := range tail {
				if _, _, err := s.Apply(line); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	ratio(b, "80000/1000", rebuild(80_000), rebuild(1000))
}
