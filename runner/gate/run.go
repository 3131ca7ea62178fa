package gate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tachograph/runner/sandbox"
	"tachograph/runner/state"
	"tachograph/runner/tools"
	"tachograph/runner/workspace"
	"tachograph/schemas/chat"
	"tachograph/schemas/journal"
)

// allowance is why a call may start: the policy's decision, still to be journalled, or one that the
// state already has (decided is nil), made by the policy or by a person.
type allowance struct {
	decided  *journal.CallDecided
	decision Decision
	actions  []string
}

// permit is a call that may run: call.started is durable. Invariant: [Gate.permit] alone makes one.
type permit struct {
	id      string // names the call's overlay, and its output for read_output
	attempt int64
	root    journal.Object
	plan    tools.Plan
	session []byte
	before  journal.Ref // of session
	leftOut int64
}

// launch starts a call that was allowed earlier, once the tree is free. An allowance is for what was
// known then: if policy or root have changed since, the call is decided again.
func (c *call) launch(ctx context.Context) (*Ended, error) {
	if c.at.IsZero() {
		if err := c.prepare(ctx, c.look(c.req.Agent, c.id)); err != nil {
			return nil, err
		}
	}
	release, err := c.tree.take(ctx, c.changes())
	if err != nil {
		return nil, err
	}
	n := c.look(c.req.Agent, c.id)
	approved := n.call.Approved && n.call.Policy == n.policy && n.call.Root == n.root
	switch {
	case n.call.Phase != journal.CallIsAllowed:
		release()
		return nil, nil
	case n.hold && !n.call.Approved:
		release()
		return nil, c.alarm(ctx, nil, nil, nil)
	case c.at != n.root:
		if err := c.prepare(ctx, n); err != nil {
			release()
			return nil, err
		}
		if !approved || c.invalid != nil {
			return c.decide(ctx, n, release)
		}
	case c.invalid != nil, n.call.Approved && !approved, n.call.Policy != n.policy:
		return c.decide(ctx, n, release)
	}
	return c.start(ctx, n, &allowance{}, release)
}

// changes says whether the call needs the tree for itself.
func (c *call) changes() bool {
	return c.plan.Targets.Command != "" || c.plan.Effect == tools.EffectWrite || c.plan.Effect == tools.EffectDelete
}

// start runs the call and gives the tree back.
func (c *call) start(ctx context.Context, n now, a *allowance, release func()) (*Ended, error) {
	defer release()
	p, err := c.permit(ctx, n, a)
	if err != nil {
		return nil, err
	}
	return c.run(ctx, p)
}

// permit is the one constructor of a runnable call: it takes an allowance and returns when
// call.started is durable. The caller holds the tree.
func (c *call) permit(ctx context.Context, n now, a *allowance) (permit, error) {
	session, err := c.session(ctx, n.session)
	if err != nil {
		return permit{}, err
	}
	started := &journal.CallStarted{Call: c.id, Attempt: n.call.Attempt + 1, Root: n.root}
	p := permit{id: callName(c.c.Run.Journal, c.id, started.Attempt), attempt: started.Attempt, root: n.root, plan: c.plan, session: session,
		before: n.session, leftOut: n.leftOut}
	if c.plan.Idempotent && c.plan.Scope != tools.ScopeWorkspace {
		started.Key = p.id
	}
	if err := c.clearAttempts(started.Attempt); err != nil {
		return permit{}, err
	}
	var drafts []state.Draft
	if a.decided != nil {
		drafts = append(drafts, c.draft(a.decided))
	}
	if c.plan.Scope != tools.ScopeWorkspace {
		// What lies beyond the workspace cannot be rolled back: the way back to before it can.
		if _, err := c.c.Run.Append(ctx, drafts...); err != nil {
			return permit{}, err
		}
		if _, err := c.c.Run.Snapshot(ctx, "risky", n.leftOut); err != nil {
			return permit{}, err
		}
		drafts = nil
	}
	written, err := c.c.Run.Append(ctx, append(drafts, c.draft(started))...)
	if err != nil {
		return permit{}, err
	}
	if len(drafts) > 0 {
		c.notify(written[:1], func(e *Event) { e.Decision, e.Actions = &a.decision, a.actions })
	}
	c.notify(written, func(e *Event) { e.Attempt, e.Root = p.attempt, p.root })
	return p, nil
}

// clearAttempts removes what earlier attempts left in overlays of theirs. Nothing of it was applied.
func (c *call) clearAttempts(attempt int64) error {
	if c.plan.Targets.Command == "" {
		return nil
	}
	for n := int64(1); n < attempt; n++ {
		if err := c.box.get().Discard(callName(c.c.Run.Journal, c.id, n)); err != nil {
			return fmt.Errorf("discard attempt %d: %w", n, err)
		}
	}
	return nil
}

// run has the tool do it, and sees it to its end. From here on ctx ends the tool and nothing else:
// what happened is recorded.
func (c *call) run(ctx context.Context, p permit) (*Ended, error) {
	began := c.c.Clock()
	out, err := c.tools.Run(ctx, p.plan, tools.Input{ID: p.id, Session: p.session, Watch: func(stream string, chunk []byte) {
		c.c.Watch(c.req.Agent, stream, chunk)
	}})
	took := c.c.Clock().Sub(began)
	ctx = context.WithoutCancel(ctx)
	d, err := c.take(ctx, p, &out, err)
	if err != nil {
		return nil, err
	}
	end, ended := c.outcome(p, out, d, took)
	written, err := c.c.Run.Append(ctx, c.draft(ended))
	if err != nil {
		return nil, errors.Join(err, c.undo(ctx, p, out))
	}
	c.notify(written, func(e *Event) {
		e.Attempt, e.Root, e.Status, e.Exit, e.Observed, e.Took = p.attempt, ended.Root, ended.Status, ended.Exit, ended.Observed, took
		e.Files, e.Added, e.Removed = ended.Files, ended.Added, ended.Removed
	})
	return end, c.apply(ctx, p, out, d)
}

// take records what the call changed, as objects. If the tool failed by our own fault, or the change
// cannot be kept, it is undone and the model is told so: a change is recorded or it did not happen.
func (c *call) take(ctx context.Context, p permit, out *tools.Outcome, failed error) (d delta, err error) {
	if failed == nil {
		switch {
		case out.Upper != "":
			d.Delta, failed = c.c.Tree.TakeUpper(ctx, out.Upper)
		case out.Scan:
			d.Delta, failed = c.c.Tree.Scan(ctx)
		case len(out.Touched) > 0:
			d.Delta, failed = c.c.Tree.TakePaths(ctx, out.Touched)
		default:
			d.From, d.To, d.LeftOut = p.root, p.root, p.leftOut-c.c.LeftOut
		}
		d.leftOut = c.c.LeftOut + d.LeftOut
	}
	if failed == nil && len(d.Changes) > 0 {
		d.text, failed = d.Encode()
	}
	if failed == nil {
		return d, nil
	}
	c.c.Log.Warn("call failed", "call", c.id, "tool", c.req.Tool, "error", failed)
	if err := c.undo(ctx, p, *out); err != nil {
		return d, errors.Join(failed, err)
	}
	*out = tools.Outcome{Status: tools.StatusError, Exit: -1, Session: p.session, Text: "The call failed in the runner, not in the tool, and nothing " +
		"that it changed in the workspace was kept: " + failed.Error()}
	return delta{Delta: workspace.Delta{From: p.root, To: p.root}, leftOut: p.leftOut}, nil
}

// delta is what a call changed, with its content's bytes if it is anything.
type delta struct {
	workspace.Delta
	text    []byte
	leftOut int64 // as call.ended counts it: what lies in the tree, and what never came into it
}

// undo brings the tree back to the root that the call began with.
func (c *call) undo(ctx context.Context, p permit, out tools.Outcome) error {
	if p.plan.Targets.Command != "" && c.box.Tier() == sandbox.TierNamespaces {
		return c.box.get().Discard(p.id)
	}
	var suspect []string // nil: everything
	if p.plan.Targets.Command == "" {
		if suspect = out.Touched; len(suspect) == 0 {
			return nil
		}
	}
	return c.restore(ctx, p.root, suspect)
}

// restore brings the tree to root, or says why it cannot be: the run must not go on then.
func (c *call) restore(ctx context.Context, root journal.Object, suspect []string) error {
	report, err := c.c.Tree.Restore(ctx, root, suspect)
	if err == nil && c.c.Tree.Root() != root {
		err = fmt.Errorf("the bytes of %d files are not kept, since they look like secrets; the first is %.200q",
			len(report.Missing), append(report.Missing, "")[0])
	}
	if err != nil {
		return fmt.Errorf("bring the workspace to root %s: %w", root.Short(), err)
	}
	return nil
}

// apply brings the tree to the root that call.ended names. A step that fails is made good from the
// objects, which are durable by now.
func (c *call) apply(ctx context.Context, p permit, out tools.Outcome, d delta) error {
	if out.Upper == "" {
		return nil
	}
	err := c.c.Tree.ApplyUpper(ctx, out.Upper, d.Delta)
	if err != nil {
		c.c.Log.Warn("apply delta", "call", c.id, "error", err)
		if again := c.restore(ctx, d.To, nil); again != nil {
			return errors.Join(err, again)
		}
	}
	if err := c.box.get().Discard(p.id); err != nil {
		c.c.Log.Warn("discard overlay", "call", c.id, "error", err) // cleared with the run's scratch
	}
	return nil
}

// outcome makes the end of the call of what the tool said and changed.
func (c *call) outcome(p permit, out tools.Outcome, d delta, took time.Duration) (*Ended, *journal.CallEnded) {
	run := c.c.Run
	message := chat.ToolResult(c.req.ToolCallID, out.Text)
	ended := &journal.CallEnded{Call: c.id, Status: out.Status, Exit: int64(out.Exit), Message: run.Stage(message), Root: d.To,
		LeftOut: d.leftOut, Files: d.Files(), Added: d.Added, Removed: d.Removed, Observed: observed(out, d),
		MicroSec: took.Microseconds()}
	if len(out.Output) > 0 {
		ended.Output = run.Stage(out.Output)
	}
	if p.plan.Targets.Command != "" && !(p.before.IsZero() && len(out.Session) == 0) {
		if ref := run.Stage(out.Session); ref != p.before {
			ended.Session = ref
		}
	}
	if len(d.Changes) > 0 {
		ended.Delta = run.Stage(d.text)
	}
	return &Ended{c.id, out.Status, message, ended.Message, d.To}, ended
}

// observed is the effect that was seen: what the tool knows, or what the delta shows.
func observed(out tools.Outcome, d delta) string {
	if out.Observed != "" {
		return out.Observed
	}
	effect := tools.EffectNone
	for _, c := range d.Changes {
		if c.Kind == workspace.Removed {
			return tools.EffectDelete
		}
		effect = tools.EffectWrite
	}
	return effect
}
