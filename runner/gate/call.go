package gate

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"tachograph/runner/gate/reach"
	"tachograph/runner/state"
	"tachograph/runner/tools"
	"tachograph/schemas/chat"
	"tachograph/schemas/journal"
)

// call is one call on its way from phase to phase. What comes next follows from the phase in the
// state alone, so taking a call up after a crash is no special path.
type call struct {
	*Gate
	req Request
	id  int64 // seq of call.proposed

	// What the call would do, as found at the root it was looked at.
	at      journal.Object
	plan    tools.Plan
	invalid error // the arguments fit no tool; nothing else is set
	reach   reach.Reach
	dir     string // working directory of bash
}

// propose journals what the model asks for, and why it says it does.
func (c *call) propose(ctx context.Context) error {
	n := c.look(c.req.Agent, 0)
	if err := c.prepare(ctx, n); err != nil {
		return err
	}
	run := c.c.Run
	body := &journal.CallProposed{Step: c.req.Step, Index: c.req.Index, Tool: toolName(c.req.Tool), Args: run.Stage(c.arguments()),
		Intent: -1, Effect: tools.EffectNone, Scope: tools.ScopeWorkspace}
	var targets *Targets
	var intent *journal.Intent
	if c.invalid == nil {
		if c.plan.Intent != "" {
			intent = &journal.Intent{Text: run.Stage([]byte(c.plan.Intent)), Source: "declared"}
		}
		in := c.input(n, 1)
		t := newTargets(in.Actions(), c.reach, c.plan.Targets.Command, c.dir)
		targets = &t
		body.Effect, body.Scope, body.Idempotent = in.Effect, in.Scope, in.Idempotent
		body.Targets = run.Stage(t.json())
	}
	written, err := run.AppendNext(ctx, func(next int64) []state.Draft {
		if intent == nil {
			return []state.Draft{c.draft(body)}
		}
		body.Intent = next
		return []state.Draft{c.draft(intent), c.draft(body)}
	})
	if err != nil {
		return err
	}
	c.id = written[len(written)-1].Seq
	c.notify(written, func(e *Event) { e.Effect, e.Scope, e.Targets = body.Effect, body.Scope, targets })
	return nil
}

// toolName keeps a name that a model made up from making an entry long.
func toolName(name string) string {
	if len(name) > 100 {
		name = name[:100]
	}
	return strings.ToValidUTF8(name, "\uFFFD")
}

// arguments are the bytes that call.proposed names as Args.
func (c *call) arguments() []byte {
	if c.invalid != nil {
		return []byte(c.req.Arguments)
	}
	return c.plan.Args
}

func (c *call) draft(b journal.Body) state.Draft { return state.Draft{Agent: c.req.Agent, Body: b} }

// notify tells of the last entry that was written.
func (c *call) notify(written []state.Written, fill func(*Event)) {
	w := written[len(written)-1]
	e := Event{Kind: w.Kind, Time: w.Time, Seq: w.Seq, Agent: c.req.Agent, Call: c.id, Step: c.req.Step, Index: c.req.Index,
		Tool: c.req.Tool}
	fill(&e)
	c.c.Notify(e)
}

// prepare finds out what the call would do in the tree as it is at n.root. It changes nothing.
func (c *call) prepare(ctx context.Context, n now) error {
	c.at = n.root
	c.plan, c.invalid = c.tools.Plan(c.req.Tool, c.req.Arguments)
	if c.invalid != nil {
		return nil
	}
	t := c.plan.Targets
	tree := c.Gate.reach
	if t.Command == "" {
		tree.Dir = nil // the plan has followed the links already
		c.reach = tree.Reach(reach.Claim{Read: t.Read, Write: t.Write, Delete: t.Delete, Hosts: t.Hosts})
		return nil
	}
	session, err := c.session(ctx, n.session)
	if err != nil {
		return err
	}
	c.dir = workingDir(session)
	c.reach = tree.Reach(reach.Claim{Read: t.Read, Write: t.Write, Delete: t.Delete, Hosts: t.Hosts, Command: t.Command, Dir: c.dir})
	return nil
}

// workingDir is the directory in which bash starts: the second item of the session that
// runner/tools specifies ("tacho-session-1" NUL directory NUL …); empty is the workspace.
func workingDir(session []byte) string {
	items := strings.SplitN(string(session), "\x00", 3)
	if len(items) < 3 {
		return ""
	}
	return items[1]
}

// input is what the policy is asked. What was read in a command may only tighten what the tool says.
func (c *call) input(n now, attempt int64) Input {
	effect := c.plan.Effect
	switch {
	case len(c.reach.Deleted) > 0 || c.reach.RecursiveDelete:
		effect = tools.EffectDelete
	case len(c.reach.Written) > 0 && effect != tools.EffectDelete:
		effect = tools.EffectWrite
	}
	return Input{Run: n.run.String(), Agent: c.req.Agent, Model: n.model, Tool: c.plan.Tool, Effect: effect, Scope: c.plan.Scope,
		Idempotent: c.plan.Idempotent, Executes: c.plan.Targets.Command != "", Sandbox: max(int(c.box.Tier()), 0), Attempt: attempt,
		BudgetUsed: n.budget, Time: c.c.Clock(), Reach: c.reach}
}

// advance takes the call to its end.
func (c *call) advance(ctx context.Context) (Ended, error) {
	for {
		n := c.look(c.req.Agent, c.id)
		if !n.found {
			return Ended{}, fmt.Errorf("call %d of agent %s: the state does not have it", c.id, c.req.Agent)
		}
		var end *Ended
		var err error
		switch n.call.Phase {
		case journal.CallIsProposed:
			end, err = c.first(ctx)
		case journal.CallIsHeld:
			end, err = c.wait(ctx, n)
		case journal.CallIsAllowed:
			end, err = c.launch(ctx)
		case journal.CallIsDenied:
			end, err = c.denied(ctx, n)
		case journal.CallIsEnded:
			end, err = c.over(ctx, n)
		default:
			err = errors.New("it was started by a process that is gone: the run must be recovered first")
		}
		if err != nil {
			return Ended{}, fmt.Errorf("call %d (%s, %s): %w", c.id, c.req.Tool, n.call.Phase, err)
		}
		if end != nil {
			return *end, nil
		}
	}
}

// first decides on a call that was only proposed. It takes the tree before, so that a call that is
// allowed starts in the batch that says so.
func (c *call) first(ctx context.Context) (*Ended, error) {
	if c.at.IsZero() {
		if err := c.prepare(ctx, c.look(c.req.Agent, c.id)); err != nil {
			return nil, err
		}
	}
	release, err := c.tree.take(ctx, c.changes())
	if err != nil {
		return nil, err
	}
	return c.decide(ctx, c.look(c.req.Agent, c.id), release)
}

// sameAs refuses to continue a call with other arguments than it was proposed, decided and perhaps
// approved with.
func (c *call) sameAs() error {
	n := c.look(c.req.Agent, c.id)
	if !n.found {
		return fmt.Errorf("agent %s has no such call", c.req.Agent)
	}
	plan, err := c.tools.Plan(c.req.Tool, c.req.Arguments)
	args := []byte(plan.Args)
	// Whether arguments are refused may depend on the tree, and so may have changed since.
	if err != nil || n.call.Targets.IsZero() {
		args = []byte(c.req.Arguments)
	}
	same := c.c.Run.Stage(args) == n.call.Args || err != nil && !n.call.Targets.IsZero()
	if n.call.Tool != toolName(c.req.Tool) || n.call.Index != c.req.Index || !same {
		return fmt.Errorf("it was proposed as %s with other arguments", n.call.Tool)
	}
	return nil
}

// decide asks the policy and journals its answer. The caller holds the tree, and release gives it
// back; an allowed call starts at once.
func (c *call) decide(ctx context.Context, n now, release func()) (*Ended, error) {
	if c.at != n.root || c.at.IsZero() {
		if err := c.prepare(ctx, n); err != nil {
			release()
			return nil, err
		}
	}
	d, body, actions := c.judge(ctx, n)
	switch {
	case d.Verdict == Deny:
		release()
		return c.deny(ctx, n, d, body, actions)
	case d.Verdict == Hold:
		release()
		return nil, c.hold(ctx, d, body, actions)
	case n.hold:
		release()
		return nil, c.alarm(ctx, &d, body, actions)
	}
	return c.start(ctx, n, &allowance{body, d, actions}, release)
}

// judge is the decision and its entry, not yet journalled.
func (c *call) judge(ctx context.Context, n now) (Decision, *journal.CallDecided, []string) {
	var d Decision
	var actions []string
	body := &journal.CallDecided{Call: c.id, Engine: Engine, Policy: n.policy}
	switch p, err := c.policyOf(ctx, n.policy); {
	case c.invalid != nil:
		body.Engine = EngineTools
		d = Decision{Verdict: Deny, Reasons: []Reason{{ID: EngineTools, Text: c.invalid.Error()}}}
	case err != nil:
		d = Decision{Verdict: Deny, Errors: 1, Reasons: []Reason{{Text: "the policy could not be read, so the call is denied", Error: err.Error()}}}
	default:
		in := c.input(n, n.call.Attempt+1)
		actions = in.Actions()
		d = p.Decide(in)
	}
	body.Decision, body.Errors = d.Verdict, d.Errors
	body.Reasons = c.c.Run.Stage(d.JSON(actions))
	return d, body, actions
}

// deny journals the denial and its end in one batch: nothing lies between them.
func (c *call) deny(ctx context.Context, n now, d Decision, body *journal.CallDecided, actions []string) (*Ended, error) {
	text := deniedText(d)
	if c.invalid != nil {
		text = "The call was not made: " + c.invalid.Error()
	}
	end, ended := c.withoutStart(n, "denied", text)
	written, err := c.c.Run.Append(ctx, c.draft(body), c.draft(ended))
	if err != nil {
		return nil, err
	}
	c.notify(written[:1], func(e *Event) { e.Decision, e.Actions = &d, actions })
	c.notify(written, func(e *Event) { e.Status, e.Root = ended.Status, ended.Root })
	return end, nil
}

// withoutStart is the end of a call that never began.
func (c *call) withoutStart(n now, status, text string) (*Ended, *journal.CallEnded) {
	message := chat.ToolResult(c.req.ToolCallID, text)
	ref := c.c.Run.Stage(message)
	return &Ended{c.id, status, message, ref, n.root},
		&journal.CallEnded{Call: c.id, Status: status, Message: ref, Root: n.root, LeftOut: n.leftOut, Observed: tools.EffectNone}
}

// over reads the end of a call that had ended before.
func (c *call) over(ctx context.Context, n now) (*Ended, error) {
	message, err := c.c.Run.Content(ctx, n.call.Message)
	if err != nil {
		return nil, err
	}
	return &Ended{c.id, n.call.Status, message, n.call.Message, n.root}, nil
}
