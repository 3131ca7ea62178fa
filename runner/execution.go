package runner

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"tachograph/runner/gate"
	"tachograph/runner/state"
	"tachograph/runner/workspace"
	"tachograph/schemas/chat"
	"tachograph/schemas/journal"
	"tachograph/schemas/price"
)

// execution is one run under way in this process: its loop, and what the loop works with.
type execution struct {
	runner *Runner
	run    *state.Run
	spec   Spec
	agreed *price.Rate // the spec's prices; nil: it has none
	model  Model
	frame  chat.Frame
	tree   *workspace.Tree
	gate   *gate.Gate
	files  layout

	leftOut int64 // run.started's

	talk         conversation // of the root agent
	lastSnapshot time.Time

	ctx     context.Context // ends when this process wants to stop working on the run
	cancel  context.CancelFunc
	changed chan struct{} // signalled (capacity 1) when somebody paused, resumed or stopped the run

	callMu   sync.Mutex
	killCall context.CancelFunc // of the model request or tool call under way

	done    chan struct{}
	outcome Outcome
}

func (x *execution) id() journal.RunID { return x.run.ID() }

// interrupt ends the execution without ending the run.
func (x *execution) interrupt() { x.cancel() }

// main is the goroutine of the execution.
func (x *execution) main() {
	defer x.release()
	for {
		again, err := x.step()
		if err != nil && x.ctx.Err() == nil && errors.Is(err, state.ErrFull) {
			err = x.waitForRoom(err)
			again = true
		}
		if err != nil {
			x.outcome = Outcome{Run: x.id(), Status: journal.StatusRunning, Reason: "interrupted", Err: err}
			if x.ctx.Err() != nil {
				x.outcome.Err = nil
			}
			return
		}
		if !again {
			return
		}
	}
}

// release gives back what the execution holds; the journal is complete at this point.
func (x *execution) release() {
	x.cancel()
	if err := x.gate.Close(); err != nil {
		x.runner.cfg.Log.Warn("close tools", "run", x.id(), "error", err)
	}
	if err := x.tree.Sync(context.WithoutCancel(x.ctx)); err != nil {
		x.runner.cfg.Log.Warn("write the index of the working tree", "run", x.id(), "error", err)
	}
}

// step does the next thing. again is false when the execution has come to rest.
func (x *execution) step() (again bool, err error) {
	if err := x.ctx.Err(); err != nil {
		return false, err
	}
	var status, stop string
	var act action
	var over string
	x.run.View(func(s *journal.State) {
		status, stop = s.Status, s.Stop
		act = next(s.Agent("/"), x.spec.Check != "")
		over = overBudget(s.Limits, s.Usage)
	})
	switch {
	case status == journal.StatusEnded:
		return false, x.rest()
	case stop != "":
		return true, x.end("stopped", "stopped by a person")
	case status == journal.StatusPaused:
		return x.whilePaused()
	case x.snapshotDue():
		return true, x.snapshot("interval")
	}
	switch act.do {
	case actTake:
		return true, x.takeTurn()
	case actAsk:
		if over != "" {
			return true, x.end("failed", "budget used up: "+over)
		}
		return true, x.ask(act.extra)
	case actCall:
		return true, x.call(act)
	case actCheck:
		return true, x.check(act)
	case actFail:
		return true, x.failed(act.why)
	}
	return true, x.end("done", "")
}

// rest notes how the run stands.
func (x *execution) rest() error {
	x.run.View(func(s *journal.State) {
		x.outcome.Run, x.outcome.Status, x.outcome.Why = x.id(), s.Status, s.Why
	})
	return nil
}

// whilePaused makes the pause a rollback target, then waits until somebody resumes or stops the
// run, or this process ends.
func (x *execution) whilePaused() (bool, error) {
	var fresh bool
	x.run.View(func(s *journal.State) {
		n := len(s.Marks)
		fresh = n > 0 && s.Marks[n-1].Root == s.Root && s.Marks[n-1].Seq >= s.Next-2
	})
	if !fresh {
		if err := x.snapshot("paused"); err != nil {
			return false, err
		}
	}
	for {
		var status, stop string
		x.run.View(func(s *journal.State) { status, stop = s.Status, s.Stop })
		if status != journal.StatusPaused || stop != "" {
			x.lastSnapshot = x.runner.cfg.Clock()
			return true, nil
		}
		if x.runner.leaves(x.id()) {
			return false, x.rest()
		}
		select {
		case <-x.changed:
		case <-x.ctx.Done():
			return false, x.rest()
		}
	}
}

// waitForRoom pauses the run while the store is full, and says so in the journal: the reserve of
// the store has room for that.
func (x *execution) waitForRoom(full error) error {
	x.runner.cfg.Log.Warn("the data directory is full: the run pauses", "run", x.id(), "error", full)
	if _, err := x.run.Append(x.ctx, x.root(&journal.Paused{Why: "quota"})); err != nil {
		return fmt.Errorf("pause the run: %w (after: %w)", err, full)
	}
	return nil
}

func (x *execution) snapshotDue() bool {
	every := time.Duration(x.spec.snapshotSeconds()) * time.Second
	return every > 0 && x.runner.cfg.Clock().Sub(x.lastSnapshot) >= every
}

func (x *execution) snapshot(why string) error {
	var left int64
	x.run.View(func(s *journal.State) { left = s.LeftOut })
	if _, err := x.run.Snapshot(x.ctx, why, left); err != nil {
		return fmt.Errorf("take snapshot: %w", err)
	}
	x.lastSnapshot = x.runner.cfg.Clock()
	return nil
}

// failed goes back to a snapshot if the spec wants that and rollbacks are left; else the run ends.
func (x *execution) failed(reason string) error {
	var undone int64
	var target *journal.Mark
	x.run.View(func(s *journal.State) { undone, target = s.Undone, s.Target() })
	if !x.spec.RollbackOnFailure || undone >= x.spec.maxRollbacks() || target == nil {
		return x.end("failed", reason)
	}
	return x.rollBack(target, reason)
}

// end takes the last snapshot and closes the journal.
func (x *execution) end(outcome, reason string) error {
	if err := x.snapshot("ended"); err != nil {
		return err
	}
	body := &journal.RunEnded{Outcome: outcome}
	if reason != "" {
		body.Reason = x.run.Stage([]byte(reason))
	}
	x.run.View(func(s *journal.State) { body.Root = s.Root })
	if _, err := x.run.Append(x.ctx, x.root(body)); err != nil {
		return fmt.Errorf("end run: %w", err)
	}
	x.outcome.Reason = reason
	return nil
}

// root makes a draft of the root agent.
func (x *execution) root(body journal.Body) state.Draft { return state.Draft{Agent: "/", Body: body} }

// interruptible runs f with a context that stop --now, or a stop whose patience has ended, cancels.
func (x *execution) interruptible(f func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancel(x.ctx)
	defer cancel()
	x.callMu.Lock()
	x.killCall = cancel
	x.callMu.Unlock()
	err := f(ctx)
	x.callMu.Lock()
	x.killCall = nil
	x.callMu.Unlock()
	return err
}

// kill cancels what interruptible is running.
func (x *execution) kill() {
	x.callMu.Lock()
	defer x.callMu.Unlock()
	if x.killCall != nil {
		x.killCall()
	}
}

func (x *execution) signal() {
	select {
	case x.changed <- struct{}{}:
	default:
	}
}
