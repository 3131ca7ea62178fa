package state_test

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"tachograph/runner/state"
	"tachograph/schemas/chat"
	"tachograph/schemas/journal"
	"tachograph/schemas/journal/journaltest"
)

// report gives the median and the 99th percentile of some durations, in microseconds.
func report(b *testing.B, name string, took []time.Duration) time.Duration {
	slices.Sort(took)
	p50, p99 := took[len(took)/2], took[len(took)*99/100]
	b.ReportMetric(float64(p50.Microseconds()), name+"-p50-us")
	b.ReportMetric(float64(p99.Microseconds()), name+"-p99-us")
	return p50
}

// BenchmarkAppend compares an entry with 300 bytes of content, durable, with the same bytes
// appended to a plain file and synced, in turns.
func BenchmarkAppend(b *testing.B) {
	dir := b.TempDir()
	s := open(b, dir, state.Options{})
	r := create(b, s, runID(1), state.CreateOptions{})
	w := tell(b, r, 1)
	w.start()
	plain, err := os.Create(filepath.Join(dir, "plain"))
	if err != nil {
		b.Fatal(err)
	}
	defer plain.Close()
	rng := rand.New(rand.NewPCG(1, 1))
	var ours, theirs []time.Duration
	number := int64(0)
	for b.Loop() {
		number++
		text := journaltest.Text(rng, number, 300)
		begin := time.Now()
		w.append("/", &journal.Intent{Text: r.Stage(text), Source: "declared"})
		ours = append(ours, time.Since(begin))
		line := append(text, make([]byte, 400)...)
		begin = time.Now()
		if _, err := plain.Write(line); err != nil {
			b.Fatal(err)
		}
		if err := plain.Sync(); err != nil {
			b.Fatal(err)
		}
		theirs = append(theirs, time.Since(begin))
	}
	b.ReportMetric(float64(report(b, "append", ours))/float64(report(b, "file", theirs)), "ratio")
}

// BenchmarkOpenLoop has 300 agents in 6 runs that make 100 calls a second in all, whatever the
// store does, each the seven entries of a step in four appends: the latency of an append.
func BenchmarkOpenLoop(b *testing.B) {
	const agents, perSecond = 300, 100
	s := open(b, b.TempDir(), state.Options{})
	var runs []*state.Run
	for n := range 6 {
		r := create(b, s, runID(n), state.CreateOptions{})
		tell(b, r, 1).start()
		runs = append(runs, r)
	}
	var workers []*worker
	for a := range agents {
		r := runs[a%len(runs)]
		path := fmt.Sprintf("/%d", a/len(runs)+1)
		goal := r.Stage([]byte(path))
		if _, err := r.Append(b.Context(), state.Draft{Agent: "/", Body: &journal.AgentSpawned{Path: path, Goal: goal, Model: "m"}}); err != nil {
			b.Fatal(err)
		}
		workers = append(workers, newWorker(b, r, path, uint64(a)))
	}
	steps := max(b.N, 300)
	b.ResetTimer()
	next := make(chan int, steps)
	var group sync.WaitGroup
	for a := range agents {
		group.Go(func() {
			for range next {
				workers[a].step()
			}
		})
	}
	ticker := time.NewTicker(time.Second / perSecond)
	defer ticker.Stop()
	for n := range steps {
		<-ticker.C
		next <- n
	}
	close(next)
	group.Wait()
	b.StopTimer()
	var took []time.Duration
	for _, w := range workers {
		took = append(took, w.took...)
	}
	report(b, "append", took)
}

// BenchmarkClosedLoop is how many entries 300 agents can write in a second when each begins its
// next append as soon as the last is durable.
func BenchmarkClosedLoop(b *testing.B) {
	s := open(b, b.TempDir(), state.Options{})
	var workers []*worker
	for n := range 6 {
		r := create(b, s, runID(n), state.CreateOptions{})
		tell(b, r, 1).start()
		for a := range 50 {
			path := fmt.Sprintf("/%d", a+1)
			goal := r.Stage([]byte(path))
			if _, err := r.Append(b.Context(), state.Draft{Agent: "/", Body: &journal.AgentSpawned{Path: path, Goal: goal, Model: "m"}}); err != nil {
				b.Fatal(err)
			}
			workers = append(workers, newWorker(b, r, path, uint64(n*100+a)))
		}
	}
	b.ResetTimer()
	var group sync.WaitGroup
	for _, w := range workers {
		group.Go(func() {
			for range max(b.N/len(workers), 3) {
				w.step()
			}
		})
	}
	group.Wait()
	entries := 7 * len(workers) * max(b.N/len(workers), 3)
	b.ReportMetric(float64(entries)/b.Elapsed().Seconds(), "entries/s")
}

// worker takes steps as a coding agent does: asked, answered, intent, proposed, decided, started,
// ended; some 5 KB of content each.
type worker struct {
	t      testing.TB
	run    *state.Run
	path   string
	rng    *rand.Rand
	list   journal.List
	fresh  []chat.Message // not yet in the list
	number int64
	took   []time.Duration

	whole    int64 // of all requests, had each been stored whole
	messages int64 // of the list
}

func newWorker(t testing.TB, r *state.Run, path string, seed uint64) *worker {
	w := &worker{t: t, run: r, path: path, rng: rand.New(rand.NewPCG(seed, 11))}
	w.fresh = []chat.Message{chat.System(w.prose(3000)), chat.User(w.prose(500))}
	return w
}

// prose is text that compresses as text does.
func (w *worker) prose(n int) string {
	b := make([]byte, 0, n+12)
	for len(b) < n {
		x := w.rng.ExpFloat64() * 300
		for v := uint64(x)*2654435761 + 7; v > 0; v /= 64 {
			b = append(b, byte('a'+v%26))
		}
		b = append(b, ' ')
	}
	return string(b)
}

func (w *worker) append(bodies ...journal.Body) []state.Written {
	drafts := make([]state.Draft, len(bodies))
	for i, b := range bodies {
		drafts[i] = state.Draft{Agent: w.path, Body: b}
	}
	begin := time.Now()
	written, err := w.run.Append(w.t.Context(), drafts...)
	w.took = append(w.took, time.Since(begin))
	if err != nil {
		w.t.Error(err)
		panic(err)
	}
	return written
}

var frame = []byte(`{"model":"m","messages":[],"tools":[]}`)

func (w *worker) step() {
	var refs []journal.Ref
	for _, m := range w.fresh {
		refs = append(refs, w.run.Stage(m))
		w.messages += int64(len(m))
	}
	w.whole += w.messages + int64(len(frame))
	kept := int64(w.list.Len())
	w.list = w.list.Append(refs...)
	w.number++
	asked := w.append(&journal.ModelAsked{Step: w.number, Attempt: 1, Model: "m", Kept: kept, New: refs, Head: w.list.Head(),
		Length: int64(w.list.Len()), Frame: w.run.Stage(frame), At: 25})[0].Seq
	text, thought := w.prose(200), w.prose(600)
	answer := chat.Assistant(chat.Parsed{Content: &text, ReasoningContent: &thought, ToolCalls: []chat.ToolCall{{ID: fmt.Sprint(w.number), Type: "function",
		Function: chat.FunctionCall{Name: "bash", Arguments: `{"command":"` + w.prose(100) + `"}`}}}})
	written := w.append(
		&journal.ModelAnswered{Asked: asked, Status: "ok", Message: w.run.Stage(answer), Finish: "tool_calls", Calls: 1, Priced: true,
			Tokens: journal.Tokens{Input: 1000, Output: 100}},
		&journal.Intent{Text: w.run.Stage([]byte(w.prose(60))), Source: "declared"},
		&journal.CallProposed{Step: w.number, Tool: "bash", Args: w.run.Stage([]byte(w.prose(100))), Intent: asked, Effect: "write", Scope: "workspace"})
	call := written[2].Seq
	var s *journal.State
	w.run.View(func(live *journal.State) { s = live.Clone() })
	w.append(
		&journal.CallDecided{Call: call, Decision: "allow", Engine: "cedar", Policy: s.Policy},
		&journal.CallStarted{Call: call, Attempt: 1, Root: s.Root})
	result := chat.ToolResult(fmt.Sprint(w.number), w.prose(2500))
	w.append(&journal.CallEnded{Call: call, Status: "ok", Message: w.run.Stage(result), Root: s.Root, Observed: "none"})
	w.fresh = []chat.Message{answer, result}
}

// diskUse is the size of all files below a directory, in bytes.
func diskUse(b testing.TB, dir string) (n int64) {
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// BenchmarkAt rebuilds the state at random entries, a quarter of them just before a checkpoint, of
// runs of 800 and of 8,000 steps in turns; warm, and cold: from a store opened anew. The baseline
// reads the entries from the checkpoint to there and folds nothing.
func BenchmarkAt(b *testing.B) {
	short, long := makePast(b, 800), makePast(b, 8000)
	b.ResetTimer()
	for b.Loop() {
		short.visit()
		long.visit()
	}
	report(b, "cold-800", short.cold)
	report(b, "warm-800", short.warm)
	report(b, "cold-8000", long.cold)
	warm := report(b, "warm-8000", long.warm)
	b.ReportMetric(float64(warm)/float64(report(b, "read-8000", long.read)), "fold/read")
	b.ReportMetric(float64(warm)/float64(short.warm[len(short.warm)/2]), "8000/800")
}

// past is a run that was written and closed.
type past struct {
	b                *testing.B
	dir              string
	n                int64
	rng              *rand.Rand
	cold, warm, read []time.Duration
}

func makePast(b *testing.B, steps int) *past {
	p := &past{b: b, dir: b.TempDir(), rng: rand.New(rand.NewPCG(1, 2))}
	s := open(b, p.dir, state.Options{})
	r := create(b, s, runID(1), state.CreateOptions{})
	tell(b, r, 1).start()
	w := newWorker(b, r, "/", 1)
	for range steps {
		w.step()
	}
	p.n = r.Len()
	s.Close()
	return p
}

func (p *past) visit() {
	s := open(p.b, p.dir, state.Options{})
	defer s.Close()
	j, err := s.Journal(p.b.Context(), runID(1))
	if err != nil {
		p.b.Fatal(err)
	}
	p.cold = append(p.cold, p.at(j, p.seq()))
	for range 10 {
		seq := p.seq()
		p.warm = append(p.warm, p.at(j, seq))
		p.read = append(p.read, p.entries(j, seq))
	}
}

func (p *past) seq() int64 {
	seq := p.rng.Int64N(p.n)
	if p.rng.IntN(4) == 0 {
		seq = min(seq|511, p.n-1)
	}
	return seq
}

func (p *past) at(j *state.Journal, seq int64) time.Duration {
	begin := time.Now()
	if _, err := j.At(p.b.Context(), seq); err != nil {
		p.b.Fatal(err)
	}
	return time.Since(begin)
}

func (p *past) entries(j *state.Journal, seq int64) time.Duration {
	from, _, err := j.Checkpoint(p.b.Context(), seq)
	if err != nil {
		from = 0
	}
	begin := time.Now()
	for _, err := range j.Entries(p.b.Context(), from) {
		if from++; err != nil || from > seq {
			break
		}
	}
	return time.Since(begin)
}

// BenchmarkConversation stores conversations of 1,000 and 8,000 turns: bytes on the disk after
// closing, all included, against each request stored whole, and what the later turns add to them
// against the first 1,000.
func BenchmarkConversation(b *testing.B) {
	for b.Loop() {
		short, whole := converse(b, 1000)
		long, _ := converse(b, 8000)
		b.ReportMetric(float64(short)/1000, "disk-B/turn")
		b.ReportMetric(float64(whole)/float64(short), "whole/disk")
		b.ReportMetric(float64(long-short)/7/float64(short), "late/early")
	}
}

func converse(b *testing.B, turns int) (disk, whole int64) {
	dir := b.TempDir()
	s := open(b, dir, state.Options{})
	r := create(b, s, runID(1), state.CreateOptions{})
	tell(b, r, 1).start()
	w := newWorker(b, r, "/", 1)
	for range turns {
		w.step()
	}
	s.Close()
	// Finished logs that wait for reuse (32 MiB at most) go when the store is opened.
	open(b, dir, state.Options{}).Close()
	return diskUse(b, dir), w.whole
}
