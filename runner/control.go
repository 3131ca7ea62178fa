package runner

import (
	"context"
	"fmt"
	"time"

	"tachograph/runner/state"
	"tachograph/schemas/journal"
)

// patience is how long a stop lets the call or request under way go on.
const patience = 10 * time.Second

// Pause holds the run at its next model request or call. by says who asks.
func (r *Runner) Pause(ctx context.Context, id journal.RunID, by string) error {
	return r.control(ctx, id, "pause", func(x *execution, s *journal.State) (journal.Body, error) {
		if s.Status != journal.StatusRunning {
			return nil, fmt.Errorf("it is %s", s.Status)
		}
		return &journal.Paused{Why: "asked", By: x.run.Stage([]byte(by))}, nil
	})
}

// Resume ends a pause. A run that is not under way here is taken up first.
func (r *Runner) Resume(ctx context.Context, id journal.RunID, by string) error {
	if err := r.takeUpIfNeeded(ctx, id); err != nil {
		return err
	}
	return r.control(ctx, id, "resume", func(x *execution, s *journal.State) (journal.Body, error) {
		if s.Status != journal.StatusPaused && !s.Hold {
			return nil, nil
		}
		return &journal.Resumed{By: x.run.Stage([]byte(by))}, nil
	})
}

// Stop ends the run: what is under way may go on for ten seconds, or is killed at once.
func (r *Runner) Stop(ctx context.Context, id journal.RunID, by string, now bool) error {
	if err := r.takeUpIfNeeded(ctx, id); err != nil {
		return err
	}
	err := r.control(ctx, id, "stop", func(x *execution, s *journal.State) (journal.Body, error) {
		return &journal.Stopped{By: x.run.Stage([]byte(by)), Now: now}, nil
	})
	if x := r.find(id); err == nil && x != nil {
		r.wait.Add(1)
		go func() {
			defer r.wait.Done()
			x.runOut(now)
		}()
	}
	return err
}

// runOut kills what is under way when the patience has ended.
func (x *execution) runOut(now bool) {
	wait := patience
	if now {
		wait = 0
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		x.kill()
	case <-x.done:
	}
}

// Approve lets a held call start.
func (r *Runner) Approve(ctx context.Context, id journal.RunID, call int64, by, reason string) error {
	if err := r.takeUpIfNeeded(ctx, id); err != nil {
		return err
	}
	x := r.find(id)
	if x == nil {
		return fmt.Errorf("approve call %d of run %s: %w", call, id, ErrNotLive)
	}
	return x.gate.Approve(ctx, call, by, reason)
}

// Deny refuses a held call; the agent is told and goes on.
func (r *Runner) Deny(ctx context.Context, id journal.RunID, call int64, by, reason string) error {
	if err := r.takeUpIfNeeded(ctx, id); err != nil {
		return err
	}
	x := r.find(id)
	if x == nil {
		return fmt.Errorf("deny call %d of run %s: %w", call, id, ErrNotLive)
	}
	return x.gate.Refuse(ctx, call, by, reason)
}

// atRest says why a run is not under way here; it matches ErrNotLive.
type atRest string

func (e atRest) Error() string        { return string(e) }
func (e atRest) Is(target error) bool { return target == ErrNotLive }

func (r *Runner) notLive(id journal.RunID) error {
	switch info, err := r.cfg.Store.Info(id); {
	case err == nil && info.Status == journal.StatusEnded:
		return atRest(fmt.Sprintf("it has ended (%s)", info.Why))
	case err == nil && info.Status == journal.StatusPaused:
		return atRest("it is paused")
	}
	return ErrNotLive
}

// control appends an entry that body makes of the state, and tells the loop.
func (r *Runner) control(ctx context.Context, id journal.RunID, verb string, body func(*execution, *journal.State) (journal.Body, error)) error {
	x := r.find(id)
	if x == nil {
		return fmt.Errorf("%s run %s: %w", verb, id, r.notLive(id))
	}
	var b journal.Body
	var err error
	x.run.View(func(s *journal.State) {
		if s.Status == journal.StatusEnded {
			err = fmt.Errorf("it has ended (%s)", s.Why)
			return
		}
		b, err = body(x, s)
	})
	if err == nil && b != nil {
		_, err = x.run.Append(ctx, state.Draft{Agent: "/", Body: b})
	}
	if err != nil {
		return fmt.Errorf("%s run %s: %w", verb, id, err)
	}
	x.signal()
	return nil
}
