// Package journaltest makes random but valid journals, for tests of whatever stores, folds or
// rebuilds them. A [Story] looks at a state and says what a runner could append next: agents that
// take turns, calls in all their phases, compactions, edits of a list, messages, tasks, snapshots,
// rollbacks, recoveries, forks. The same seed and the same states give the same story.
//
// It is test support: nothing but tests may import it.
package journaltest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"tachograph/schemas/journal"
)

// Story makes up entries. The zero values of the hooks mean their defaults. Not safe for
// concurrent use.
type Story struct {
	// Stage names content; the store's Run.Stage, or Recorder.Stage. Required.
	Stage func([]byte) journal.Ref
	// Root gives the workspace's root after something changed it; by default a random name.
	Root func() journal.Object
	// Take raises the epoch for a new owner. Without it the story has no recoveries.
	Take func() error
	// MaxAgents bounds how many agents come to be; 12.
	MaxAgents int
	// MaxContent bounds the size of one piece of content in bytes; 2,000. One in a hundred is
	// nearly as large, most are small.
	MaxContent int

	rng   *rand.Rand
	words int64
}

// New makes a story from a seed; set its hooks before the first use.
func New(seed uint64) *Story {
	return &Story{rng: rand.New(rand.NewPCG(seed, 0x7461636f)), MaxAgents: 12, MaxContent: 2000}
}

// Start is the first entry of a run that is no fork.
func (g *Story) Start(run journal.RunID) *journal.RunStarted {
	root := g.root()
	return &journal.RunStarted{Spec: g.text(), Goal: g.text(), Model: "script/story", Family: run, Base: root, Root: root,
		LeftOut: g.rng.Int64N(3), Policy: g.text(), Sandbox: "1", Limits: g.limits()}
}

// Fork is the first entry of a fork from the state at.
func (g *Story) Fork(at *journal.State) *journal.RunStarted {
	b := &journal.RunStarted{Spec: g.text(), Goal: g.text(), Model: "script/fork", Family: at.Family, Base: at.Base,
		Root: at.Root, LeftOut: at.LeftOut, Policy: g.text(), Sandbox: at.Sandbox, Limits: g.limits(),
		Parent: &journal.Parent{Run: at.Run, Seq: at.Next - 1, Entry: at.Tip, State: at.Hash()}}
	b.Results = g.results(at)
	if g.chance(50) && (len(b.Results) == 0 || rootHasEnded(at)) {
		b.Turn = g.text()
	}
	if g.chance(50) {
		b.Message = g.text()
	}
	if g.chance(80) {
		b.By = g.text()
	}
	return b
}

// results gives some of the calls of the newest answers another result.
func (g *Story) results(at *journal.State) []journal.GivenResult {
	var given []journal.GivenResult
	for _, a := range at.Agents() {
		for _, c := range a.Calls {
			if c.ID >= 0 && c.Index >= 0 && (a.Live() || a.Path == "/") && g.chance(60) {
				given = append(given, journal.GivenResult{Call: c.ID, Message: g.text()})
			}
		}
	}
	slices.SortFunc(given, func(x, y journal.GivenResult) int { return int(x.Call - y.Call) })
	return given
}

// rootHasEnded says whether all calls of the root's newest answer have ended, so that no turn that is
// given drops them.
func rootHasEnded(at *journal.State) bool {
	a := at.Agent("/")
	return len(a.Calls) == int(a.Want) && !slices.ContainsFunc(a.Calls, func(c journal.Call) bool { return c.Phase != journal.CallIsEnded })
}

// End is the last entry of a run in the state s.
func (g *Story) End(s *journal.State) *journal.RunEnded {
	return &journal.RunEnded{Outcome: g.pick("done", "failed", "stopped"), Reason: g.text(), Root: s.Root}
}

func (g *Story) chance(percent int) bool { return g.rng.IntN(100) < percent }

func (g *Story) pick(words ...string) string { return words[g.rng.IntN(len(words))] }

func (g *Story) root() journal.Object {
	if g.Root != nil {
		return g.Root()
	}
	var o journal.Object
	for i := range o {
		o[i] = byte(g.rng.Uint32())
	}
	return o
}

func (g *Story) limits() journal.Limits {
	return journal.Limits{Steps: g.rng.Int64N(9000), Tokens: g.rng.Int64N(1e9), CostNUSD: g.rng.Int64N(1e12), Seconds: 86400}
}

// text stages content as a model or a tool would write it: words, never the same twice.
func (g *Story) text() journal.Ref {
	size := g.rng.IntN(min(200, g.MaxContent)) + 1
	if g.chance(1) {
		size = g.rng.IntN(g.MaxContent) + 1
	}
	g.words++
	return g.Stage(Text(g.rng, g.words, size))
}

// Text is about n bytes of words, begun with a number that makes it unlike any other.
func Text(rng *rand.Rand, number int64, n int) []byte {
	words := []string{"read", "the", "file", "server.go", "and", "run", "tests", "error:", "nil", "pointer", "in", "handler",
		"line", "func", "return", "expected", "status", "200", "got", "500", "retry", "with", "\u00fcber", "\x00\xff\xfe", "\n"}
	b := fmt.Appendf(make([]byte, 0, n+16), "%d:", number)
	for len(b) < n {
		b = append(append(b, words[rng.IntN(len(words))]...), ' ')
	}
	return b
}

// Recorder writes a journal in memory: the pure core of a store.
type Recorder struct {
	State   *journal.State
	Lines   [][]byte
	Hashes  []journal.Hash // State.Hash after each entry
	Content map[journal.Ref][]byte

	run   journal.RunID
	epoch int64
	now   time.Time
	salt  journal.Salt
}

// NewRecorder records run, a fork of the state parent if that is not nil.
func NewRecorder(run journal.RunID, parent *journal.State) *Recorder {
	return &Recorder{State: journal.Start(parent), Content: map[journal.Ref][]byte{}, run: run, epoch: 1,
		now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
}

// Stage keeps content under its name.
func (r *Recorder) Stage(b []byte) journal.Ref {
	ref := r.salt.Name(b)
	r.Content[ref] = append([]byte{}, b...)
	return ref
}

// Take raises the epoch.
func (r *Recorder) Take() error { r.epoch++; return nil }

// Append folds a body and keeps its line. On error nothing changed.
func (r *Recorder) Append(agent string, body journal.Body) error {
	if c, ok := body.(journal.Committed); ok {
		*c.Commitment() = journal.Commit{State: r.State.Hash(), Fold: journal.FoldVersion}
	}
	raw, err := journal.EncodeBody(body)
	if err != nil {
		return err
	}
	r.now = r.now.Add(137 * time.Millisecond)
	line, err := journal.Encode(journal.Entry{Version: journal.Version, Run: r.run, Seq: r.State.Next, Epoch: r.epoch,
		Time: r.now, Agent: agent, Kind: body.Kind(), Body: raw, Prev: r.State.Tip})
	if err != nil {
		return err
	}
	if _, _, err := r.State.Apply(line); err != nil {
		return err
	}
	r.Lines, r.Hashes = append(r.Lines, line), append(r.Hashes, r.State.Hash())
	return nil
}

// Random records n entries of a story, without end.
func Random(seed uint64, run journal.RunID, n int) (*Recorder, error) {
	r := NewRecorder(run, nil)
	g := New(seed)
	g.Stage, g.Take = r.Stage, r.Take
	if err := r.Append("/", g.Start(run)); err != nil {
		return nil, err
	}
	if err := r.play(g, n); err != nil {
		return nil, fmt.Errorf("seed %d: %w", seed, err)
	}
	return r, nil
}

// RandomFork records n entries of a fork of the state at.
func RandomFork(seed uint64, run journal.RunID, at *journal.State, n int) (*Recorder, error) {
	r := NewRecorder(run, at)
	g := New(seed)
	g.Stage, g.Take = r.Stage, r.Take
	if err := r.Append("/", g.Fork(at)); err != nil {
		return nil, fmt.Errorf("seed %d, fork at %d: %w", seed, at.Next-1, err)
	}
	if err := r.play(g, n); err != nil {
		return nil, fmt.Errorf("seed %d, fork at %d: %w", seed, at.Next-1, err)
	}
	return r, nil
}

func (r *Recorder) play(g *Story, n int) error {
	for len(r.Lines) < n {
		agent, body, err := g.Next(r.State)
		if err == nil {
			err = r.Append(agent, body)
		}
		if err != nil {
			return fmt.Errorf("entry %d: %w", len(r.Lines), err)
		}
	}
	return nil
}
