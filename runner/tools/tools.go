package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"tachograph/schemas/chat"
)

// Effects, scopes and statuses, as the journal's call entries spell them.
const (
	EffectNone   = "none"
	EffectRead   = "read"
	EffectWrite  = "write"
	EffectDelete = "delete"

	ScopeWorkspace = "workspace"
	ScopeExternal  = "external"

	StatusOK      = "ok"
	StatusError   = "error"
	StatusTimeout = "timeout"
	StatusKilled  = "killed"
)

// Env is where the tools of one run work. It belongs to the caller, who closes Root after the last call.
type Env struct {
	// Root is the managed tree; in-process tools see nothing else.
	Root *os.Root
	// Mount is the absolute path under which the agent knows the tree.
	Mount string
	// Shell runs bash. Nil refuses the toolset "bash".
	Shell Shell
	// Vars is the environment of bash, KEY=value; see [Set.Definitions] for what the model is told, and bash.go for
	// the defaults that Vars replaces. HOME and TMPDIR are the sandbox's to set.
	Vars []string
	// Output gives the stored output of an earlier call, by Input.ID. Nil leaves out the tool read_output.
	Output func(ctx context.Context, call string) ([]byte, error)
	// Spool is a directory for output that is too long to hold in memory while a command runs. Empty: os.TempDir.
	Spool  string
	Limits Limits
}

// Limits bounds what a call takes in and gives back. A zero field takes the default.
type Limits struct {
	Show    int           // bytes of text shown to the model; default 32 KiB
	Line    int           // bytes of one line shown; default 2,000
	Keep    int64         // bytes of output kept for read_output; default 64 MiB
	File    int64         // bytes of a file that is edited, searched or written; default 32 MiB
	Args    int           // bytes of arguments; default 4 MiB
	Entries int           // directory entries that one listing or search looks at; default 200,000
	Session int           // bytes of a bash session; default 256 KiB
	Call    time.Duration // of an in-process call; default 60 s
	Bash    time.Duration // of a bash call that names no limit; default 120 s
	BashMax time.Duration // the longest limit a bash call may name; default 30 min
	Grace   time.Duration // between SIGTERM and SIGKILL at the limit; default 2 s
}

func (l Limits) withDefaults() Limits {
	d := Limits{Show: 32 << 10, Line: 2000, Keep: 64 << 20, File: 32 << 20, Args: 4 << 20, Entries: 200_000,
		Session: 256 << 10, Call: time.Minute, Bash: 2 * time.Minute, BashMax: 30 * time.Minute, Grace: 2 * time.Second}
	orElse(&l.Show, d.Show)
	orElse(&l.Line, d.Line)
	orElse(&l.Keep, d.Keep)
	orElse(&l.File, d.File)
	orElse(&l.Args, d.Args)
	orElse(&l.Entries, d.Entries)
	orElse(&l.Session, d.Session)
	orElse(&l.Call, d.Call)
	orElse(&l.BashMax, d.BashMax)
	orElse(&l.Bash, min(d.Bash, l.BashMax))
	orElse(&l.Grace, d.Grace)
	return l
}

func orElse[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Set is the tools of one run. It is safe for concurrent use.
type Set struct {
	env   Env
	tools []*tool
	// write orders the in-process calls that change the tree, so that reading, changing and replacing a file is one step
	// among them.
	write sync.Mutex
}

// tool is one row of a toolset: its words, its arguments, and an empty action to fill with them.
type tool struct {
	name, about string
	params      []param
	action      func() action
}

// action is a call with its arguments: a pointer to a struct whose JSON fields are the tool's parameters.
type action interface {
	// plan completes p, resolves paths and refuses what can be known to fail. It changes nothing.
	plan(s *Set, p *Plan) error
	// run does it. An error that is a refusal becomes an Outcome.
	run(ctx context.Context, s *Set, p Plan, in Input) (Outcome, error)
}

// Plan is what a call would do.
type Plan struct {
	Tool   string
	Intent string          // the sentence the model gave
	Args   json.RawMessage // canonical: keys sorted, no white space, the intent taken out

	Effect     string // the strongest of the Effect constants that applies
	Scope      string // how far the call can reach: a Scope constant
	Idempotent bool   // doing it twice is as doing it once
	Targets    Targets

	action action
}

// Targets are what a call is about. Paths are relative to the tree, spelled as the package comment says, without links.
// A directory stands for all below it. Moving a path away counts as Delete of it, though the effect is "write".
type Targets struct {
	Read    []string `json:"read,omitempty"`
	Write   []string `json:"write,omitempty"`
	Delete  []string `json:"delete,omitempty"`
	Command string   `json:"command,omitempty"` // bash: the script
	Hosts   []string `json:"hosts,omitempty"`   // no tool of this package names a host
}

// Input is what a call gets besides its plan.
type Input struct {
	ID      string // unique in the run; names the call's overlay and, for read_output, its output
	Session []byte // the agent's session, as the last Outcome of bash gave it; nil at first
	// Watch sees bash's output as it comes, stream "output". It is called from one goroutine at a time, and is not
	// called after Run returned. It must not keep chunk.
	Watch func(stream string, chunk []byte)
}

// Outcome is how a call ended.
type Outcome struct {
	Status   string   // a Status constant; "error" means that the tool ran and says no
	Exit     int      // bash: the exit status, 128 + signal if a signal ended it; −1 if it is not known
	Text     string   // what the model is told
	Output   []byte   // the whole output, where Text shows a part of it
	Session  []byte   // bash: the agent's new session
	Touched  []string // in process: what changed, bytes of relative paths; a directory stands for all below it
	Upper    string   // bash with an overlay: host directory of the delta
	Scan     bool     // bash without an overlay: the tree must be scanned
	Observed string   // the effect as seen, an Effect constant; "" if only the delta can tell
}

// refusal is an error that the model can read and act on.
type refusal struct{ text string }

func (r *refusal) Error() string { return r.text }

func refuse(format string, args ...any) error { return &refusal{fmt.Sprintf(format, args...)} }

// New makes the tools of the named toolsets, "filesystem" and "bash". Any other name is refused.
func New(toolsets []string, e Env) (*Set, error) {
	if e.Root == nil {
		return nil, errors.New("make tools: no tree")
	}
	if !path.IsAbs(e.Mount) || path.Clean(e.Mount) != e.Mount || e.Mount == "/" {
		return nil, fmt.Errorf("make tools: mount %q is not an absolute, clean path below /", e.Mount)
	}
	e.Limits = e.Limits.withDefaults()
	s := &Set{env: e}
	for _, name := range toolsets {
		rows, err := s.toolset(name)
		if err != nil {
			return nil, err
		}
		for _, t := range rows {
			if s.find(t.name) == nil {
				s.tools = append(s.tools, t)
			}
		}
	}
	return s, nil
}

func (s *Set) toolset(name string) ([]*tool, error) {
	var rows []*tool
	switch name {
	case "filesystem":
		rows = filesystem()
	case "bash":
		if s.env.Shell == nil {
			return nil, errors.New("make toolset bash: this run has no sandbox to run it in (tacho doctor says what is missing)")
		}
		rows = []*tool{bashTool(s.env)}
	case "github", "http", "agent_swarm":
		return nil, fmt.Errorf("make toolset %s: it is not built yet; this version has filesystem and bash", name)
	default:
		return nil, fmt.Errorf("make toolset %.40q: no such toolset; there are filesystem and bash", name)
	}
	if s.env.Output != nil {
		rows = append(rows, outputTool())
	}
	return rows, nil
}

// filesystem lists the toolset's rows in the order in which a model reads them.
func filesystem() []*tool {
	return []*tool{listTool(), readTool(), searchTool(), writeTool(), editTool(), mkdirTool(), moveTool(), deleteTool()}
}

func (s *Set) find(name string) *tool {
	for _, t := range s.tools {
		if t.name == name {
			return t
		}
	}
	return nil
}

// Definitions describes the tools to a model, always in the same order and spelling. Every schema has the required
// argument "intent" first.
func (s *Set) Definitions() []chat.Tool {
	var out []chat.Tool
	for _, t := range s.tools {
		out = append(out, chat.Tool{Name: t.name, Description: t.about, Parameters: schema(t.params)})
	}
	return out
}

// Plan reads the arguments a model wrote and says what the call would do. It changes nothing. Its errors are written
// for the model: they name the tool and the argument, and what would be right.
func (s *Set) Plan(name, rawArguments string) (Plan, error) {
	t := s.find(name)
	if t == nil {
		var names []string
		for _, t := range s.tools {
			names = append(names, t.name)
		}
		return Plan{}, refuse("there is no tool %.60q; the tools are %s", name, strings.Join(names, ", "))
	}
	p, err := s.plan(t, rawArguments)
	if err != nil {
		return Plan{}, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

func (s *Set) plan(t *tool, raw string) (Plan, error) {
	if len(raw) > s.env.Limits.Args {
		return Plan{}, refuse("the arguments are %d bytes; at most %d are taken, send it in pieces", len(raw), s.env.Limits.Args)
	}
	intent, args, err := readArguments(t.params, raw)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{Tool: t.name, Intent: intent, Args: args, Scope: ScopeWorkspace, action: t.action()}
	if err := json.Unmarshal(args, p.action); err != nil {
		return Plan{}, refuse("arguments: %v", err)
	}
	if err := p.action.plan(s, &p); err != nil {
		return Plan{}, err
	}
	return p, nil
}

// Run does what p says. in.ID must be unique. Cancelling ctx ends the call with status "killed"; what it had changed by
// then is in Touched or Upper. An error is a failure of ours; Outcome then still names what was changed.
func (s *Set) Run(ctx context.Context, p Plan, in Input) (Outcome, error) {
	if p.action == nil {
		return Outcome{}, fmt.Errorf("run %s: the plan was not made by Plan", p.Tool)
	}
	out, err := p.action.run(ctx, s, p, in)
	slices.Sort(out.Touched)
	out.Touched = slices.Compact(out.Touched)
	var no *refusal
	switch {
	case errors.As(err, &no):
		out.Status, out.Text, out.Observed = StatusError, no.text, ""
		return out, nil
	case err != nil:
		return out, fmt.Errorf("run %s: %w", p.Tool, err)
	}
	if out.Status == "" {
		out.Status = StatusOK
	}
	return out, nil
}

// bounded runs an in-process action under the time limit and turns its end into a status.
func (s *Set) bounded(ctx context.Context, f func(ctx context.Context) (Outcome, error)) (Outcome, error) {
	within, cancel := context.WithTimeout(ctx, s.env.Limits.Call)
	defer cancel()
	out, err := f(within)
	switch {
	case err == nil || within.Err() == nil:
		return out, err
	case ctx.Err() != nil:
		out.Status, out.Text = StatusKilled, "the call was stopped before it ended"
	default:
		out.Status = StatusTimeout
		out.Text = fmt.Sprintf("the call took longer than %v and was ended; ask for less at a time", s.env.Limits.Call)
	}
	return out, nil
}
