package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"tachograph/runner/gate"
	"tachograph/runner/state"
	"tachograph/runner/workspace"
	"tachograph/schemas/journal"
)

// Start begins a run: it copies the user's directory into a managed tree, opens the sandbox, and
// writes entry 0. What cannot work (no sandbox, a bad policy, an unknown model) is refused before
// anything is written. progress, if not nil, sees the copy grow.
func (r *Runner) Start(ctx context.Context, spec Spec, progress func(workspace.Progress)) (journal.RunID, error) {
	x, err := r.prepare(spec)
	if err != nil {
		return journal.RunID{}, err
	}
	if err := r.begin(ctx, x, progress); err != nil {
		return journal.RunID{}, err
	}
	return x.id(), r.launch(x)
}

// prepare makes of a spec what can be made without a run.
func (r *Runner) prepare(spec Spec) (*execution, error) {
	x := &execution{runner: r, spec: spec, changed: make(chan struct{}, 1), done: make(chan struct{})}
	x.ctx, x.cancel = context.WithCancel(context.Background())
	var err error
	if x.agreed, err = spec.Prices.rate(); err != nil {
		return nil, err
	}
	if x.model, err = r.cfg.Models(spec); err != nil {
		return nil, err
	}
	if _, known := x.rate(); spec.Budget.CostUSD != "" && !known { // it would never be spent
		return nil, fmt.Errorf("budget.cost_usd needs prices, and none is known for %s: "+
			"write them into the spec (`prices: {input: \"0.60\", output: \"2.50\"}`, dollars per million tokens), or name a list of prices", x.model.Name())
	}
	return x, nil
}

func (r *Runner) begin(ctx context.Context, x *execution, progress func(workspace.Progress)) (err error) {
	info, err := os.Stat(x.spec.Directory)
	if err != nil || !info.IsDir() {
		return fmt.Errorf("start run: %s is not a directory: name the agent's directory with `directory:` in the spec", x.spec.Directory)
	}
	policy, err := policyText(x.spec)
	if err != nil {
		return err
	}
	if err := gate.CheckSandbox(ctx, x.spec.Sandbox.options()); err != nil {
		return err
	}
	id, err := r.cfg.NewRun()
	if err != nil {
		return fmt.Errorf("make run id: %w", err)
	}
	if x.run, err = r.cfg.Store.Create(ctx, id, state.CreateOptions{Volatile: !x.spec.persistent()}); err != nil {
		return fmt.Errorf("start run: %w", err)
	}
	x.files = layoutOf(r.cfg.Data, id)
	defer func() {
		if err != nil {
			err = r.abandon(x, err)
		}
	}()
	if err := x.files.make(gate.ToolUser()); err != nil {
		return err
	}
	tree, report, err := workspace.Import(ctx, x.spec.Directory, x.files.tree(), x.run.Objects(), x.treeOptions(progress))
	if err != nil {
		return fmt.Errorf("copy %s: %w", x.spec.Directory, err)
	}
	x.tree = tree
	if err := x.run.Objects().SealBase(ctx, tree.Root()); err != nil {
		return fmt.Errorf("keep the tree as it was: %w", err)
	}
	x.leftOut = report.LeftOut.Total()
	return x.writeStart(ctx, policy)
}

// abandon removes what a start that failed has made; nothing of it was promised to anybody.
func (r *Runner) abandon(x *execution, cause error) error {
	x.cancel()
	if err := r.cfg.Store.Remove(context.Background(), x.id(), state.RemoveOptions{}); err != nil {
		r.cfg.Log.Warn("remove run that did not start", "run", x.id(), "error", err)
	}
	if err := workspace.RemoveAll(x.files.root); err != nil {
		r.cfg.Log.Warn("remove files of run that did not start", "run", x.id(), "error", err)
	}
	return cause
}

// writeStart opens the gate and writes the first two entries.
func (x *execution) writeStart(ctx context.Context, policy string) error {
	if err := x.equip(ctx, policy); err != nil {
		return err
	}
	body, err := x.startBody(policy)
	if err != nil {
		return err
	}
	body.Family, body.Base, body.Root, body.LeftOut = x.id(), x.tree.Root(), x.tree.Root(), x.leftOut
	if _, err := x.run.Append(ctx, x.root(body)); err != nil {
		return fmt.Errorf("write the first entry: %w", err)
	}
	return x.snapshot("started")
}

// startBody is what the first entries of a new run and of a fork have in common.
func (x *execution) startBody(policy string) (*journal.RunStarted, error) {
	text, err := json.Marshal(x.spec)
	if err != nil {
		return nil, fmt.Errorf("write spec: %w", err)
	}
	limits, err := x.spec.limits()
	if err != nil {
		return nil, err
	}
	return &journal.RunStarted{Spec: x.run.Stage(text), Goal: x.run.Stage([]byte(x.spec.Prompt)), Model: x.model.Name(),
		Policy: x.run.Stage([]byte(policy)), Sandbox: x.gate.Sandbox(), Limits: limits}, nil
}

// equip opens what the run works with: tools in their sandbox behind the gate, and the model's frame.
func (x *execution) equip(ctx context.Context, policy string) error {
	ancestors, err := x.ancestors(ctx)
	if err != nil {
		return err
	}
	g, err := gate.Open(ctx, gate.Config{
		Run: x.run, Ancestors: ancestors, Tree: x.tree, LeftOut: x.leftOut, Toolsets: x.spec.toolsets(), Policy: policy, Clock: x.runner.cfg.Clock, Log: x.runner.cfg.Log,
		Mount: x.spec.Directory, Home: x.files.home(), Tmp: x.files.tmp(), Scratch: x.files.scratch(), Alive: x.files.alive(),
		Sandbox: x.spec.Sandbox.options(), HoldFor: x.spec.holdFor(), OnInDoubt: x.spec.OnInDoubt,
		Watch: func(agent, stream string, chunk []byte) {
			x.runner.cfg.Watch(Live{x.id(), agent, "output", string(chunk)})
		},
	})
	if err != nil {
		return err
	}
	x.gate = g
	if x.frame, err = x.model.Frame(g.Definitions()); err != nil {
		return fmt.Errorf("describe the tools to the model: %w", err)
	}
	x.lastSnapshot = x.runner.cfg.Clock()
	return nil
}

// ancestors are the runs that this one comes from, nearest first, as far as they are still there.
func (x *execution) ancestors(ctx context.Context) (all []gate.Ancestor, err error) {
	child := x.run.Journal
	for p := child.Parent(); p != nil; {
		started, err := startOf(ctx, child)
		if err != nil {
			return nil, fmt.Errorf("find what the fork %s was given: %w", child.ID(), err)
		}
		j, err := x.runner.cfg.Store.Journal(ctx, p.Run)
		if errors.Is(err, state.ErrNotFound) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("find the run that this one was forked from: %w", err)
		}
		parent := gate.Ancestor{Journal: j, Seq: p.Seq}
		for _, given := range started.Results {
			parent.Given = append(parent.Given, given.Call)
		}
		all = append(all, parent)
		child, p = j, j.Parent()
	}
	return all, nil
}

func (x *execution) treeOptions(progress func(workspace.Progress)) workspace.Options {
	return workspace.Options{CaptureAll: x.spec.Capture == "all", UID: gate.ToolUser(), Exclude: []string{x.runner.cfg.Data}, Progress: progress}
}

// policyText is the policy set of a spec, checked.
func policyText(s Spec) (string, error) {
	if s.Policy == "" {
		return gate.Cautious(), nil
	}
	text, err := os.ReadFile(s.Policy)
	if err != nil {
		return "", fmt.Errorf("read policy: %w", err)
	}
	if err := gate.Check(s.Policy, string(text)); err != nil {
		return "", err
	}
	return string(text), nil
}
