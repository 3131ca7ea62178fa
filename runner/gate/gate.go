package gate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"tachograph/runner/gate/reach"
	"tachograph/runner/state"
	"tachograph/runner/tools"
	"tachograph/runner/workspace"
	"tachograph/schemas/chat"
	"tachograph/schemas/journal"
)

// Config is what the gate of one run works with.
type Config struct {
	Run       *state.Run
	Tree      *workspace.Tree
	LeftOut   int64      // run.started's: the tree's own are counted besides
	Toolsets  []string   // as in the spec
	Ancestors []Ancestor // of a fork, nearest first: their outputs can be read
	Policy    string     // text; in force until the state names another (policy.changed)

	Mount   string // the user's directory, at whose path tools see the tree
	Home    string // host directories, private to the run: see sandbox.Config
	Tmp     string
	Scratch string
	Alive   string // file, locked as long as anything of the sandbox lives: see AwaitEnd
	Sandbox SandboxOptions
	Limits  tools.Limits

	HoldFor   time.Duration // a hold expires after it, whole seconds; 0: never
	OnInDoubt string        // a call that may have happened already: "ask" (default), "skip", "retry"

	Clock  func() time.Time                         // nil: time.Now
	After  func(d time.Duration) <-chan time.Time   // nil: time.After; tests of expiry give their own
	Notify func(Event)                              // sees each step of each call; must not block. May be nil
	Watch  func(agent, stream string, chunk []byte) // sees output as it comes; must not keep chunk. May be nil
	Log    *slog.Logger                             // nil: discards
}

// Gate is the door of one run. Its methods may be called concurrently.
type Gate struct {
	c     Config
	tools *tools.Set
	box   *box
	root  *os.Root
	dir   *os.File // the same, for looking at links
	reach reach.Tree
	tree  *treeLock

	mu       sync.Mutex
	policy   *Policy     // newest that was read
	ref      journal.Ref // its name
	waiting  map[int64]chan struct{}
	sessions map[journal.Ref][]byte // newest session of each agent that was read, few
}

// Open makes the gate of a run: it checks the policy, starts the sandbox and makes the tools. The
// tree must be at the state's root. Close ends everything inside.
func Open(ctx context.Context, c Config) (*Gate, error) {
	if c.OnInDoubt == "" {
		c.OnInDoubt = "ask"
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.After == nil {
		c.After = time.After
	}
	if c.Notify == nil {
		c.Notify = func(Event) {}
	}
	if c.Watch == nil {
		c.Watch = func(string, string, []byte) {}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	g := &Gate{c: c, tree: newTreeLock(), waiting: map[int64]chan struct{}{}, sessions: map[journal.Ref][]byte{}}
	if err := g.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open gate: %w", err), g.Close())
	}
	return g, nil
}

func (g *Gate) open(ctx context.Context) (err error) {
	if g.policy, err = NewPolicy("policy", g.c.Policy); err != nil {
		return err
	}
	g.ref = g.c.Run.Stage([]byte(g.c.Policy))
	if g.root, err = os.OpenRoot(g.c.Tree.Dir()); err != nil {
		return fmt.Errorf("open tree: %w", err)
	}
	if g.dir, err = os.Open(g.c.Tree.Dir()); err != nil {
		return fmt.Errorf("open tree: %w", err)
	}
	if g.box, err = openBox(ctx, g.c, g.c.Tree.Dir()); err != nil {
		return err
	}
	if err := g.clearScratch(); err != nil {
		return err
	}
	g.reach = reach.Tree{Dir: g.dir, Mount: g.c.Mount, Home: g.box.get().Home(), Seen: g.box.Path(g.c.Mount)}
	g.tools, err = tools.New(g.c.Toolsets, tools.Env{Root: g.root, Mount: g.c.Mount, Shell: g.box,
		Vars: environment(g.c.Sandbox.Env), Output: g.output, Limits: g.c.Limits})
	return err
}

// clearScratch removes the overlays of calls that a process which died was running, or had recorded
// and not yet applied: the tree is at the state's root without them.
func (g *Gate) clearScratch() error {
	left, err := os.ReadDir(g.c.Scratch)
	if err != nil {
		return fmt.Errorf("clear overlays of lost calls: %w", err)
	}
	for _, e := range left {
		if strings.HasPrefix(e.Name(), "c") {
			if err := g.box.get().Discard(e.Name()); err != nil {
				return fmt.Errorf("clear overlays of lost calls: %w", err)
			}
		}
	}
	return nil
}

// Close ends the sandbox and everything in it. No call may be under way.
func (g *Gate) Close() error {
	var errs []error
	if g.box != nil {
		errs = append(errs, g.box.close())
	}
	if g.root != nil {
		errs = append(errs, g.root.Close())
	}
	if g.dir != nil {
		errs = append(errs, g.dir.Close())
	}
	return errors.Join(errs...)
}

// Sandbox is how tools are confined, as run.started spells it: "1", "2" or "off".
func (g *Gate) Sandbox() string { return g.box.tier() }

// Definitions describes the tools to a model.
func (g *Gate) Definitions() []chat.Tool { return g.tools.Definitions() }

// Request is a call that a model asks for.
type Request struct {
	Agent      string // path
	Step       int64
	Index      int64 // among the calls of the answer
	Tool       string
	Arguments  string // as the model wrote them
	ToolCallID string // the provider's id, which the message to the model repeats
}

// Ended is a call that has ended.
type Ended struct {
	Call    int64 // seq of call.proposed
	Status  string
	Message chat.Message // for the model
	Ref     journal.Ref  // its name
	Root    journal.Object
}

// Do takes a call from its proposal to its end, waiting for a person where policy holds it. An error
// means that the call has not ended: ctx was cancelled while it waited, or state or workspace failed.
// What stands in the journal then is where [Gate.Continue] goes on.
func (g *Gate) Do(ctx context.Context, r Request) (Ended, error) {
	c := &call{Gate: g, req: r}
	if err := c.propose(ctx); err != nil {
		return Ended{}, fmt.Errorf("propose call of %s: %w", r.Tool, err)
	}
	return c.advance(ctx)
}

// Continue takes up a call at whatever phase the state has it: after a restart, a pause, a fork. The
// request is the one that it was proposed with.
func (g *Gate) Continue(ctx context.Context, id int64, r Request) (Ended, error) {
	c := &call{Gate: g, req: r, id: id}
	if err := c.sameAs(); err != nil {
		return Ended{}, fmt.Errorf("continue call %d: %w", id, err)
	}
	return c.advance(ctx)
}

// now is what the state says at this moment about what a decision needs.
type now struct {
	run     journal.RunID
	policy  journal.Ref
	root    journal.Object
	leftOut int64
	hold    bool
	model   string
	session journal.Ref
	budget  int64
	call    journal.Call
	found   bool
}

func (g *Gate) look(agent string, id int64) (n now) {
	g.c.Run.View(func(s *journal.State) {
		n = now{run: s.Run, policy: s.Policy, root: s.Root, leftOut: s.LeftOut, hold: s.Hold, budget: budgetUsed(s.Limits, s.Usage)}
		a := s.Agent(agent)
		if a == nil {
			return
		}
		n.model, n.session = a.Model, a.Session
		for _, c := range a.Calls {
			if c.ID == id {
				n.call, n.found = c, true
			}
		}
	})
	return n
}

// budgetUsed is the percentage of the limit that is nearest to be reached.
func budgetUsed(l journal.Limits, u journal.Usage) int64 {
	percent := func(used, limit int64) int64 {
		if limit <= 0 {
			return 0
		}
		return int64(float64(used) / float64(limit) * 100)
	}
	return max(percent(u.Steps, l.Steps), percent(u.Tokens.Input+u.Tokens.Output, l.Tokens),
		percent(u.CostNUSD, l.CostNUSD), percent(u.ActiveUS/1e6, l.Seconds))
}

// policyOf gives the policy that the state names. One that cannot be read or is wrong is an error:
// the call is denied.
func (g *Gate) policyOf(ctx context.Context, ref journal.Ref) (*Policy, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if ref == g.ref || ref.IsZero() {
		return g.policy, nil
	}
	text, err := g.c.Run.Content(ctx, ref)
	if err != nil {
		return nil, fmt.Errorf("read policy %s: %w", ref.Short(), err)
	}
	p, err := NewPolicy("policy", string(text))
	if err != nil {
		return nil, err
	}
	g.policy, g.ref = p, ref
	return p, nil
}

// session gives the bytes that the agent's session has in the state.
func (g *Gate) session(ctx context.Context, ref journal.Ref) ([]byte, error) {
	if ref.IsZero() {
		return nil, nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if b, ok := g.sessions[ref]; ok {
		return b, nil
	}
	b, err := g.c.Run.Content(ctx, ref)
	if err != nil {
		return nil, fmt.Errorf("read session %s: %w", ref.Short(), err)
	}
	if len(g.sessions) >= maxSessions {
		clear(g.sessions)
	}
	g.sessions[ref] = b
	return b, nil
}

// maxSessions bounds what is kept of sessions: one for each of as many agents as a run has.
const maxSessions = 512
