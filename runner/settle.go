package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"tachograph/runner/state"
	"tachograph/runner/workspace"
	"tachograph/schemas/journal"
)

// LeaveWhenPaused lets a run's execution come to rest once the run is paused, in place of waiting
// for somebody to resume it: its process wants to end.
func (r *Runner) LeaveWhenPaused(id journal.RunID) {
	r.mu.Lock()
	r.leave[id] = true
	x := r.live[id]
	r.mu.Unlock()
	if x != nil {
		x.signal()
	}
}

func (r *Runner) leaves(id journal.RunID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.leave[id]
}

// Settle waits until a run that was asked to stop has ended. A run that goes on is left alone: the
// caller's Close interrupts it.
func (r *Runner) Settle(ctx context.Context, id journal.RunID) {
	x := r.find(id)
	if x == nil || !x.stopping() {
		return
	}
	select {
	case <-x.done:
	case <-ctx.Done():
	}
}

// Sweep removes working files of runs that the store does not know: of a start that a crash cut
// short, or of a run that was not to persist. Call it before any run is begun. What cannot be removed
// hinders nobody: the next start tries again.
func (r *Runner) Sweep(ctx context.Context) error {
	infos, err := r.cfg.Store.Runs(ctx)
	if err != nil {
		return fmt.Errorf("sweep working files: %w", err)
	}
	known := map[string]bool{}
	for _, info := range infos {
		known[info.ID.String()] = true
	}
	dir := filepath.Join(r.cfg.Data, "runs")
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("sweep working files: %w", err)
	}
	for _, e := range entries {
		if known[e.Name()] {
			continue
		}
		left := layout{filepath.Join(dir, e.Name())}
		err := left.awaitEnd(ctx)
		if err == nil {
			err = workspace.RemoveAll(left.root)
		}
		if err != nil {
			r.cfg.Log.Warn("working files of a run that nobody knows stay until the next start", "error", err)
		}
	}
	return nil
}

// Remove erases a family: its salt, content and files first of all. Runs of it that are under way
// must be stopped before.
func (r *Runner) Remove(ctx context.Context, family journal.RunID) error {
	infos, err := r.cfg.Store.Runs(ctx)
	if err != nil {
		return fmt.Errorf("erase family %s: %w", family, err)
	}
	var members []journal.RunID
	for _, info := range infos {
		if info.Family != family {
			continue
		}
		if r.find(info.ID) != nil {
			return fmt.Errorf("erase family %s: run %s is under way: stop it first", family, info.ID)
		}
		members = append(members, info.ID)
	}
	if err := r.cfg.Store.Remove(ctx, family, state.RemoveOptions{}); err != nil {
		return err
	}
	for _, id := range members {
		if err := workspace.RemoveAll(layoutOf(r.cfg.Data, id).root); err != nil {
			return fmt.Errorf("erase the files of run %s: %w", id, err)
		}
	}
	return nil
}
