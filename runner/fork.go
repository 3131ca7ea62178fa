package runner

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"sigs.k8s.io/yaml"

	"tachograph/runner/gate"
	"tachograph/runner/state"
	"tachograph/runner/workspace"
	"tachograph/schemas/chat"
	"tachograph/schemas/journal"
)

// Change is what a fork does differently.
type Change struct {
	By      string            // who wants the fork
	Results map[int64]string  // what the model is told of calls of the newest answer, by the seq of their call.proposed
	Turn    []byte            // the next answer of the root agent, as a chat message (JSON); nil: the model is asked
	Message string            // a message of the user, added to the conversation
	Spec    map[string]string // fields of the spec, dotted: "max_steps", "budget.tokens"; values in YAML
}

// Fork makes a run that begins with the state of another after its entry seq, in a workspace of its
// own, paused. The run it comes from may be under way or ended, and is not touched. The workspace is as
// it was after that entry, whatever is changed: a call whose result is given has done what it did.
func (r *Runner) Fork(ctx context.Context, parent journal.RunID, seq int64, change Change) (journal.RunID, error) {
	id, err := r.fork(ctx, parent, seq, change)
	if err != nil {
		return id, fmt.Errorf("fork run %s at %d: %w", parent, seq, err)
	}
	return id, nil
}

func (r *Runner) fork(ctx context.Context, parent journal.RunID, seq int64, change Change) (id journal.RunID, err error) {
	from, err := r.cfg.Store.Run(ctx, parent)
	if err != nil {
		return id, err
	}
	at, err := from.At(ctx, seq)
	if err != nil {
		return id, err
	}
	spec, policy, err := recorded(ctx, from, at)
	if err == nil {
		spec, err = change.apply(spec)
	}
	if err != nil {
		return id, err
	}
	if change.Spec["policy"] != "" {
		if policy, err = policyText(spec); err != nil {
			return id, err
		}
	}
	results, err := change.results(ctx, from, at)
	if err != nil {
		return id, err
	}
	x, err := r.prepare(spec)
	if err != nil {
		return id, err
	}
	defer x.cancel()
	tier, err := gate.SandboxTier(ctx, spec.Sandbox.options())
	if err != nil {
		return id, err
	}
	started, err := startOf(ctx, from.Journal)
	if err != nil {
		return id, err
	}
	x.leftOut = started.LeftOut
	if id, err = r.cfg.NewRun(); err != nil {
		return id, fmt.Errorf("make run id: %w", err)
	}
	x.run, err = r.cfg.Store.Create(ctx, id, state.CreateOptions{Parent: &state.ForkPoint{Run: parent, Seq: seq}})
	if err != nil {
		return id, err
	}
	x.files = layoutOf(r.cfg.Data, id)
	if err := x.writeFork(ctx, at, policy, tier, change, results); err != nil {
		return id, r.abandonFork(x, err)
	}
	return id, nil
}

// writeFork makes the fork's files and its first entries: started, paused, and what the parent had
// in the middle is given up.
func (x *execution) writeFork(ctx context.Context, at *journal.State, policy, tier string, change Change, results []givenResult) error {
	if err := x.files.make(gate.ToolUser()); err != nil {
		return err
	}
	if err := x.openTree(ctx, at); err != nil {
		return err
	}
	if err := x.tree.Sync(ctx); err != nil {
		return fmt.Errorf("write the index of the working tree: %w", err)
	}
	limits, err := x.spec.limits()
	if err != nil {
		return err
	}
	text, err := json.Marshal(x.spec)
	if err != nil {
		return fmt.Errorf("write spec: %w", err)
	}
	body := &journal.RunStarted{Spec: x.run.Stage(text), Goal: x.run.Stage([]byte(x.spec.Prompt)), Model: x.model.Name(),
		Family: at.Family, Base: at.Base, Root: at.Root, LeftOut: x.leftOut, Policy: x.run.Stage([]byte(policy)),
		Sandbox: tier, Limits: limits,
		Parent: &journal.Parent{Run: at.Run, Seq: at.Next - 1, Entry: at.Tip, State: at.Hash()}}
	for _, r := range results {
		body.Results = append(body.Results, journal.GivenResult{Call: r.call, Message: x.run.Stage(r.message)})
	}
	if change.Turn != nil {
		body.Turn = x.run.Stage(change.Turn)
	}
	if change.Message != "" {
		body.Message = x.run.Stage(chat.User(change.Message))
	}
	paused := &journal.Paused{Why: "fork"}
	if change.By != "" {
		body.By = x.run.Stage([]byte(change.By))
		paused.By = body.By
	}
	_, err = x.run.Append(ctx, x.root(body), x.root(paused))
	return err
}

func (r *Runner) abandonFork(x *execution, cause error) error {
	if err := r.cfg.Store.RemoveRun(context.Background(), x.id()); err != nil {
		r.cfg.Log.Warn("remove fork that did not start", "run", x.id(), "error", err)
	}
	if err := workspace.RemoveAll(x.files.root); err != nil {
		r.cfg.Log.Warn("remove files of fork that did not start", "run", x.id(), "error", err)
	}
	return cause
}

// apply changes the spec's fields by their names, and refuses what ParseSpec would refuse.
func (c Change) apply(s Spec) (Spec, error) {
	if len(c.Spec) == 0 {
		return s, nil
	}
	text, err := json.Marshal(s)
	if err != nil {
		return s, err
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		return s, err
	}
	for key, value := range c.Spec {
		if err := setField(fields, key, value); err != nil {
			return s, err
		}
	}
	if text, err = json.Marshal(fields); err != nil {
		return s, err
	}
	const file = "/fork" // paths in it are absolute already
	changed, err := ParseSpec(text, file)
	if err != nil {
		return s, fmt.Errorf("change the spec: %s", strings.TrimPrefix(err.Error(), "read spec "+file+": "))
	}
	return changed, nil
}

func setField(fields map[string]any, key, value string) error {
	var v any
	if err := yaml.Unmarshal([]byte(value), &v); err != nil {
		return fmt.Errorf("set spec.%s: %w", key, err)
	}
	head, rest, nested := strings.Cut(key, ".")
	if !nested {
		fields[head] = v
		return nil
	}
	inner, ok := fields[head].(map[string]any)
	if !ok {
		inner = map[string]any{}
		fields[head] = inner
	}
	return setField(inner, rest, value)
}
