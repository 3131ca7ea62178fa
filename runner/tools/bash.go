package tools

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"time"

	"tachograph/runner/sandbox"
)

// Shell is where bash runs: the run's sandbox.
type Shell interface {
	// Run runs one command to its end. Cancelling ctx kills all of it. An error means that it did not run.
	Run(ctx context.Context, c sandbox.Command) (sandbox.Result, error)
	// Tier says how commands are confined.
	Tier() sandbox.Tier
	// Path gives the path under which a command sees what the agent knows as p.
	Path(p string) string
}

// bashCall is the tool bash.
type bashCall struct {
	Command string `json:"command"`
	Timeout int64  `json:"timeout_seconds"`
}

const (
	// maxCommand and commandPart keep a command within the kernel's bounds of an environment (2 MiB in all, 128 KiB a
	// variable, less what a session holds). It travels as variables rather than as arguments, where pkill -f would find
	// the call itself.
	maxCommand  = 1 << 20
	commandPart = 96 << 10

	// program is what bash is started with; see prelude.bash. It is one line, so that the command's lines are numbered
	// from 1.
	program = `eval "$TACHO_PRELUDE"; { __tacho_run; eval "$__tacho_script"; } 250>&-`
)

//go:embed prelude.bash
var prelude string

// defaultVars make programs behave as they should where nobody watches. Env.Vars comes after them.
func defaultVars() []string {
	return []string{"TERM=dumb", "PAGER=cat", "GIT_PAGER=cat", "GIT_TERMINAL_PROMPT=0", "DEBIAN_FRONTEND=noninteractive"}
}

func bashTool(e Env) *tool {
	l, where := e.Limits, " in a sandbox without network"
	if e.Shell.Tier() == sandbox.Off {
		where = ""
	}
	return &tool{
		name: "bash",
		about: fmt.Sprintf("Runs a bash script%s and shows what it writes, standard output and standard error in order. It starts in the workspace (%s); the working directory and exported variables and "+
			"functions are kept for the next call, other variables and shell options are not. Nothing can be typed in. "+
			"Processes left in the background end with the call.", where, e.Mount),
		params: []param{
			{name: "command", kind: text, required: true, min: 1, max: maxCommand, about: "The script; it may have many lines."},
			{name: "timeout_seconds", kind: integer, min: 1, max: int64(l.BashMax / time.Second),
				about: fmt.Sprintf("Seconds after which it is ended. Default %d.", l.Bash/time.Second)},
		},
		action: func() action { return &bashCall{} },
	}
}

func (a *bashCall) plan(s *Set, p *Plan) error {
	switch {
	case strings.TrimSpace(a.Command) == "":
		return refuse(`argument "command" is blank`)
	case strings.IndexByte(a.Command, 0) >= 0:
		return refuse(`argument "command" holds a NUL byte, which bash cannot take`)
	case len(a.Command) > maxCommand:
		return refuse(`argument "command" has %s; at most %s are taken; put data into a file with write_file`, sizeOf(int64(len(a.Command))), sizeOf(maxCommand))
	}
	p.Effect, p.Targets.Command = EffectWrite, a.Command
	if s.env.Shell.Tier() == sandbox.Off {
		p.Scope = ScopeExternal
	}
	return nil
}

func (a *bashCall) limit(l Limits) time.Duration {
	if a.Timeout == 0 {
		return l.Bash
	}
	return time.Duration(a.Timeout) * time.Second
}

func (a *bashCall) run(ctx context.Context, s *Set, _ Plan, in Input) (Outcome, error) {
	before, err := decodeSession(in.Session)
	if err != nil {
		return Outcome{}, err
	}
	out := newSpool(s.env, in.Watch)
	defer out.close()
	rec := &recorder{room: 2*s.env.Limits.Session + 1<<20}
	nonce := nonceOf(in.ID)
	res, err := s.env.Shell.Run(ctx, sandbox.Command{
		ID:      in.ID,
		Args:    []string{"/bin/bash", "--noprofile", "--norc", "-c", program, "bash"},
		Dir:     s.env.Mount,
		Env:     s.variables(a.Command, nonce, before),
		Stdout:  out,
		Stderr:  rec,
		Overlay: true,
		Timeout: a.limit(s.env.Limits),
		Grace:   s.env.Limits.Grace,
	})
	if err != nil && !stopped(ctx, err) {
		return Outcome{Upper: res.Upper, Scan: res.Upper == ""}, err
	}
	e := ended{call: a, set: s, in: in, res: res, killed: err != nil, record: parseRecord(rec.bytes, nonce), before: before}
	return e.outcome(out)
}

// stopped tells whether err says only that the caller cancelled the call. Errors joined to that are failures.
func stopped(ctx context.Context, err error) bool {
	_, joined := err.(interface{ Unwrap() []error })
	return ctx.Err() != nil && !joined && errors.Is(err, context.Cause(ctx))
}

// nonceOf tells this call's record from whatever else may come out of bash's first moments. It is no secret.
func nonceOf(id string) string {
	sum := sha256.Sum256([]byte("tacho bash record " + id))
	return fmt.Sprintf("%x", sum[:8])
}

// variables is bash's environment: ours, the caller's, the session's, and what prelude.bash takes.
func (s *Set) variables(command, nonce string, before session) []string {
	env := before.environ(append(defaultVars(), s.env.Vars...))
	env = append(env, "TACHO_PRELUDE="+prelude, "TACHO_NONCE="+nonce)
	if before.dir != "" {
		env = append(env, "TACHO_DIR="+s.seen(before.dir))
	}
	parts := 0
	for ; command != ""; parts++ {
		n := min(len(command), commandPart)
		env = append(env, fmt.Sprintf("TACHO_PART_%d=%s", parts, command[:n]))
		command = command[n:]
	}
	return append(env, fmt.Sprintf("TACHO_PARTS=%d", parts))
}

// seen turns a directory as the agent knows it into what a command sees, and known the other way round. Only a sandbox
// without mounts makes a difference between them.
func (s *Set) seen(dir string) string {
	if rel, ok := s.below(dir); ok {
		return joinDir(s.env.Shell.Path(s.env.Mount), rel)
	}
	return dir
}

func (s *Set) known(dir string) string {
	tree := s.env.Shell.Path(s.env.Mount)
	if dir == tree {
		return s.env.Mount
	}
	if rel, ok := strings.CutPrefix(dir, tree+"/"); ok {
		return joinDir(s.env.Mount, rel)
	}
	return dir
}

func joinDir(dir, rel string) string {
	if rel == "." {
		return dir
	}
	return dir + "/" + rel
}

// ended is a call of bash after its end.
type ended struct {
	call   *bashCall
	set    *Set
	in     Input
	res    sandbox.Result
	killed bool // the caller stopped it
	record record
	before session
}

func (e *ended) outcome(out *spool) (Outcome, error) {
	o := Outcome{Status: e.status(), Exit: e.exit(), Upper: e.res.Upper, Scan: e.res.Upper == ""}
	after, remarks := e.session()
	encoded, err := after.encode()
	if err != nil {
		return o, err
	}
	o.Session = encoded
	remarks = append(e.remarks(o.Exit), remarks...)
	body, whole, cut, err := out.summary(e.set.env, e.in.ID)
	if err != nil {
		return o, err
	}
	if out.size == 0 && o.Status == StatusOK {
		remarks = append([]string{"no output"}, remarks...)
	}
	o.Output = whole
	o.Text = withRemarks(body, append(cut, remarks...)...)
	return o, nil
}

func (e *ended) status() string {
	switch {
	case e.killed:
		return StatusKilled
	case e.res.TimedOut:
		return StatusTimeout
	case e.exit() != 0:
		return StatusError
	}
	return StatusOK
}

// exit is the status that the model is told; there may be none if the caller stopped the call.
func (e *ended) exit() int {
	if e.killed && e.res.Exit == 0 {
		return -1
	}
	return e.res.Exit
}

// remarks say how it ended, if not well.
func (e *ended) remarks(exit int) []string {
	switch {
	case e.killed:
		return []string{"the call was stopped before it ended"}
	case e.res.TimedOut:
		return []string{fmt.Sprintf("ended at its time limit of %v; timeout_seconds sets another one, up to %d",
			e.call.limit(e.set.env.Limits), e.set.env.Limits.BashMax/time.Second)}
	case e.res.Signal != "":
		return []string{fmt.Sprintf("ended by %s, exit status %d", e.res.Signal, exit)}
	case exit != 0:
		return []string{fmt.Sprintf("exit status %d", exit)}
	}
	return nil
}

// session is the agent's session after the call, with what the model should know about it.
func (e *ended) session() (session, []string) {
	if e.killed {
		return e.before, nil
	}
	if !e.record.started && !e.res.TimedOut {
		// A variable that keeps bash itself from starting, such as LD_PRELOAD, would keep it so for ever.
		if len(e.before.vars) > 0 {
			return session{dir: e.before.dir}, []string{"bash could not start with the exported variables of this session; they were set back"}
		}
		return e.before, []string{"bash did not start"}
	}
	if !e.record.complete {
		if e.res.TimedOut {
			return e.before, nil
		}
		return e.before, []string{"the working directory and variables are as before this call: the shell was replaced or did not end by itself"}
	}
	base := append(defaultVars(), e.set.env.Vars...)
	after, left := e.record.session(base, e.before, e.set.env.Limits.Session)
	after.dir = e.set.known(after.dir)
	var remarks []string
	if was := e.before.dir; after.dir != was && !(was == "" && after.dir == e.set.env.Mount) {
		remarks = append(remarks, "working directory: "+spell(after.dir))
	}
	if len(left) > 0 {
		remarks = append(remarks, fmt.Sprintf("too large to be kept for the next call: %s", strings.Join(left, ", ")))
	}
	return after, remarks
}
