package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"tachograph/runner/gate"
	"tachograph/runner/state"
	"tachograph/runner/workspace"
	"tachograph/schemas/journal"
)

// TakeUpAll takes up every run that has not ended, as an owner does when it starts: all but paused
// ones, and those held for a person. It returns the runs that go on, and what kept others back.
func (r *Runner) TakeUpAll(ctx context.Context) ([]journal.RunID, error) {
	infos, err := r.cfg.Store.Runs(ctx)
	if err != nil {
		return nil, fmt.Errorf("take up runs: %w", err)
	}
	var taken []journal.RunID
	var kept []error
	for _, info := range infos {
		if info.Status != journal.StatusRunning || info.Imported || r.find(info.ID) != nil {
			continue
		}
		run, err := r.cfg.Store.Run(ctx, info.ID)
		if err == nil && heldForPerson(run) {
			continue
		}
		if err = r.takeUp(ctx, info.ID); err != nil {
			kept = append(kept, err)
			continue
		}
		taken = append(taken, info.ID)
	}
	return taken, errors.Join(kept...)
}

func heldForPerson(run *state.Run) (held bool) {
	run.View(func(s *journal.State) {
		for _, a := range s.Agents() {
			held = held || slices.ContainsFunc(a.Calls, func(c journal.Call) bool { return c.Phase == journal.CallIsHeld })
		}
	})
	return held
}

func (r *Runner) takeUpIfNeeded(ctx context.Context, id journal.RunID) error {
	if r.find(id) != nil {
		return nil
	}
	return r.takeUp(ctx, id)
}

// takeUp opens a run that has not ended and goes on with it.
func (r *Runner) takeUp(ctx context.Context, id journal.RunID) error {
	x, err := r.reopen(ctx, id)
	if err != nil {
		return fmt.Errorf("go on with run %s: %w", id, err)
	}
	return r.launch(x)
}

// reopen makes an execution of what the journal says: the tree is brought to the newest root, what
// was lost in the middle is recorded as recovered.
func (r *Runner) reopen(ctx context.Context, id journal.RunID) (*execution, error) {
	run, err := r.cfg.Store.Run(ctx, id)
	if err != nil {
		return nil, err
	}
	s := run.State()
	if s.Status == journal.StatusEnded {
		return nil, fmt.Errorf("it has ended (%s); fork it to go on from any of its entries", s.Why)
	}
	spec, policy, err := recorded(ctx, run, s)
	if err != nil {
		return nil, err
	}
	x, err := r.prepare(spec)
	if err != nil {
		return nil, err
	}
	x.run, x.files = run, layoutOf(r.cfg.Data, id)
	if err := x.takeOver(ctx, s, policy); err != nil {
		x.cancel()
		return nil, err
	}
	return x, nil
}

// takeOver makes the execution ready to go on from the state s.
func (x *execution) takeOver(ctx context.Context, s *journal.State, policy string) (err error) {
	started, err := startOf(ctx, x.run.Journal)
	if err != nil {
		return err
	}
	x.leftOut = started.LeftOut
	if err := x.recover(ctx, s); err != nil {
		return err
	}
	if err := x.equip(ctx, policy); err != nil {
		return err
	}
	if tier := x.gate.Sandbox(); tier != s.Sandbox {
		return x.noteTier(ctx, s.Sandbox, tier)
	}
	return nil
}

// noteTier records that tools are confined otherwise than the journal said so far: on another machine,
// or on this one after its administrator changed something.
func (x *execution) noteTier(ctx context.Context, was, is string) error {
	text, err := json.Marshal(map[string]string{"was": was, "is": is})
	if err == nil {
		_, err = x.run.Append(ctx, x.root(&journal.Note{Name: NoteSandbox, Raw: text}))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("record the tier of the sandbox: %w", err), x.gate.Close())
	}
	return nil
}

// NoteSandbox is the note of tools being confined in another tier than run.started's, from here on:
// {"is":"2","was":"1"}.
const NoteSandbox journal.Kind = "note.sandbox"

// startOf is the body of a run's first entry. Its LeftOut is what the copy of the user's directory left
// out when the run's family began: the tree does not show it.
func startOf(ctx context.Context, run *state.Journal) (*journal.RunStarted, error) {
	for line, err := range run.Entries(ctx, 0) {
		if err != nil {
			return nil, err
		}
		e, err := journal.Decode(line)
		if err != nil {
			return nil, err
		}
		body, err := journal.DecodeBody(e.Kind, e.Body)
		if err != nil {
			return nil, err
		}
		if started, ok := body.(*journal.RunStarted); ok {
			return started, nil
		}
		break
	}
	return nil, errors.New("its first entry is not run.started")
}

// recorded reads spec and policy from the journal: the files they came from may have changed since.
func recorded(ctx context.Context, run *state.Run, s *journal.State) (Spec, string, error) {
	var spec Spec
	text, err := run.Content(ctx, s.Spec)
	if err == nil {
		err = json.Unmarshal(text, &spec)
	}
	if err != nil {
		return spec, "", fmt.Errorf("read the run's spec: %w", err)
	}
	policy, err := run.Content(ctx, s.Policy)
	if err != nil {
		return spec, "", fmt.Errorf("read the run's policy: %w", err)
	}
	return spec, string(policy), nil
}

// recover raises the epoch, mends the tree and records what the last writer left in the middle.
func (x *execution) recover(ctx context.Context, s *journal.State) error {
	if err := x.run.Take(ctx); err != nil {
		return err
	}
	if err := x.files.awaitEnd(ctx); err != nil {
		return err
	}
	if err := x.files.clearScratch(); err != nil {
		return err
	}
	if err := x.files.make(gate.ToolUser()); err != nil {
		return err
	}
	if err := x.openTree(ctx, s); err != nil {
		return err
	}
	_, err := x.run.Append(ctx, x.lost(s)...)
	return err
}

// openTree brings the run's working tree, made if it is not there, to the root of the state.
func (x *execution) openTree(ctx context.Context, s *journal.State) error {
	o := x.treeOptions(nil)
	// The rules with which the family began govern, not those that an agent may have written since.
	var err error
	if o.Ignore, err = workspace.IgnoreText(ctx, x.run.Objects(), s.Base); err != nil {
		return fmt.Errorf("read what the tree leaves out: %w", err)
	}
	if x.tree, err = workspace.Open(ctx, x.files.tree(), x.run.Objects(), s.Root, o); err != nil {
		return fmt.Errorf("open the working tree: %w", err)
	}
	if _, err := x.tree.Restore(ctx, s.Root, nil); err != nil {
		return fmt.Errorf("bring the working tree to root %s: %w", s.Root.Short(), err)
	}
	return nil
}

// lost drafts what the state shows to be unfinished.
func (x *execution) lost(s *journal.State) []state.Draft {
	body := &journal.Recovered{}
	body.Doubt, body.Rerun = gate.Classify(s)
	drafts := []state.Draft{x.root(body)}
	for _, a := range s.Agents() {
		if a.Asked < 0 {
			continue
		}
		body.Lost = append(body.Lost, a.Asked)
		lost := &journal.ModelAnswered{Asked: a.Asked, Status: "lost", Estimated: true,
			Tokens: journal.Tokens{Input: estimate(a.List.Len() * averageMessage)}}
		x.price(lost)
		drafts = append(drafts, state.Draft{Agent: a.Path, Body: lost})
	}
	return drafts
}

// averageMessage is the size in bytes that a message of a lost request is taken to have had: the
// estimate must not cost a read of the whole conversation at the start.
const averageMessage = 1500
