// Package runner runs agents, one step at a time: it asks the model, has the gate run the calls
// that the answer asks for, and writes each of these down before and after.
//
// Invariant: an entry is durable before its effect begins, and the outcome is an entry of its own.
// What comes next follows from the folded state alone (next.go), so recovery is no special path:
// a process that takes a run over folds the journal and goes on.
//
// The runner must never reach a tool or the sandbox but through the gate, never act on state that
// is not durable, and never work in the user's directory. It is handed its model, its store and
// its tracer; it knows no provider.
//
// Read first: next.go (what an agent does next), execution.go (the loop), turn.go (a model turn),
// recovery.go. spec.go is what a user asks for.
package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"tachograph/runner/state"
	"tachograph/schemas/journal"
	"tachograph/schemas/price"
)

// Config is what a Runner is wired with.
type Config struct {
	Store  *state.Store
	Data   string // data directory; the runs' working trees lie in it
	Models func(spec Spec) (Model, error)
	Clock  func() time.Time // nil: time.Now
	// Rates knows what a model costs at a time, for specs without prices. nil: nothing is known.
	Rates  func(model string, at time.Time) (rate price.Rate, known bool)
	NewRun func() (journal.RunID, error)
	Log    *slog.Logger
	Begun  func(*state.Run) // sees each run when it gets under way here. May be nil
	Watch  func(Live)       // sees what happens between entries; must not block. May be nil
}

// Live is something to watch that is not (yet) an entry: a piece of an answer, output of a tool.
type Live struct {
	Run   journal.RunID `json:"run"`
	Agent string        `json:"agent"`
	Kind  string        `json:"kind"` // reasoning, content, call, output
	Text  string        `json:"text"`
}

// Runner owns the runs of one data directory that are under way in this process.
type Runner struct {
	cfg Config

	mu     sync.Mutex
	live   map[journal.RunID]*execution
	rested map[journal.RunID]Outcome // how the newest execution of each run came to rest here
	leave  map[journal.RunID]bool    // come to rest when paused
	closed bool
	wait   sync.WaitGroup
}

// New makes a Runner. Close it before the store.
func New(c Config) *Runner {
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Rates == nil {
		c.Rates = func(string, time.Time) (price.Rate, bool) { return price.Rate{}, false }
	}
	if c.Begun == nil {
		c.Begun = func(*state.Run) {}
	}
	if c.Watch == nil {
		c.Watch = func(Live) {}
	}
	return &Runner{cfg: c, live: map[journal.RunID]*execution{}, rested: map[journal.RunID]Outcome{}, leave: map[journal.RunID]bool{}}
}

// ErrNotLive means that the run is not under way in this process and was not since it started: the
// caller reads from the journal how it stands.
var ErrNotLive = errors.New("run is not under way")

// Outcome is how an execution came to rest.
type Outcome struct {
	Run    journal.RunID
	Status string // journal.StatusEnded, journal.StatusPaused, or journal.StatusRunning if it was interrupted
	Why    string // outcome of the run, or why it is paused
	Reason string // for people
	Err    error  // this process could not go on; the run is intact and can be taken up again
}

// launch starts an execution in a goroutine of its own.
func (r *Runner) launch(x *execution) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return errors.New("the runner is closing")
	}
	if r.live[x.id()] != nil {
		return fmt.Errorf("run %s is under way already", x.id())
	}
	r.live[x.id()] = x
	r.cfg.Begun(x.run)
	r.wait.Add(1)
	go func() {
		defer r.wait.Done()
		x.main()
		r.mu.Lock()
		delete(r.live, x.id())
		r.rested[x.id()] = x.outcome
		r.mu.Unlock()
		close(x.done)
	}()
	return nil
}

func (r *Runner) find(id journal.RunID) *execution {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.live[id]
}

// Live lists the runs that are under way here.
func (r *Runner) Live() []journal.RunID {
	r.mu.Lock()
	defer r.mu.Unlock()
	ids := make([]journal.RunID, 0, len(r.live))
	for id := range r.live {
		ids = append(ids, id)
	}
	return ids
}

// Wait returns when the run's execution has come to rest, at once if it has already, or when ctx ends.
func (r *Runner) Wait(ctx context.Context, id journal.RunID) (Outcome, error) {
	r.mu.Lock()
	x := r.live[id]
	rested, known := r.rested[id]
	r.mu.Unlock()
	if x == nil && known {
		return rested, nil
	}
	if x == nil {
		return Outcome{}, fmt.Errorf("wait for run %s: %w", id, ErrNotLive)
	}
	select {
	case <-x.done:
		return x.outcome, nil
	case <-ctx.Done():
		return Outcome{}, ctx.Err()
	}
}

// Close interrupts every execution and waits for it. The runs are not ended: whoever owns the data
// directory next takes them up.
func (r *Runner) Close() error {
	r.mu.Lock()
	r.closed = true
	for _, x := range r.live {
		x.interrupt()
	}
	r.mu.Unlock()
	r.wait.Wait()
	return nil
}
