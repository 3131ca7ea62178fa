package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"tachograph/runner/gate"
	"tachograph/runner/workspace"
	"tachograph/schemas/journal"
)

// layout is where a run's files lie in the data directory. None of them is the truth: the tree is
// a working copy of the journal's newest root, the others are private to the agent.
//
//	runs/<id>/tree      the managed tree, shown to tools at the user's original path
//	runs/<id>/home      HOME of the tools; private, not restored
//	runs/<id>/tmp       /tmp of the tools; private, not restored
//	runs/<id>/scratch   overlays of calls that are running
//	runs/<id>/alive     locked as long as a process of the sandbox lives (gate.AwaitEnd)
type layout struct{ root string }

func layoutOf(data string, id journal.RunID) layout {
	return layout{filepath.Join(data, "runs", id.String())}
}

func (l layout) tree() string    { return filepath.Join(l.root, "tree") }
func (l layout) home() string    { return filepath.Join(l.root, "home") }
func (l layout) tmp() string     { return filepath.Join(l.root, "tmp") }
func (l layout) scratch() string { return filepath.Join(l.root, "scratch") }
func (l layout) alive() string   { return filepath.Join(l.root, "alive") }

// endPatience is how long processes of an owner that was killed may take to end: milliseconds, but on a
// machine that has no time for them.
const endPatience = 30 * time.Second

// awaitEnd waits for what an owner that was killed has left: two must not work in one tree.
func (l layout) awaitEnd(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, endPatience)
	defer cancel()
	if err := gate.AwaitEnd(ctx, l.alive()); err != nil {
		return fmt.Errorf("tools of a tacho that was killed still run: end them (`fuser -k %s`) and try again: %w", l.alive(), err)
	}
	return nil
}

// make creates the private directories, owned by uid if that is not negative.
func (l layout) make(uid int) error {
	if uid >= 0 {
		// The tools' user passes through; each directory that it enters is its own.
		for _, dir := range []string{filepath.Dir(l.root), l.root} {
			if err := errors.Join(os.MkdirAll(dir, 0o711), os.Chmod(dir, 0o711)); err != nil {
				return fmt.Errorf("make run directory: %w", err)
			}
		}
	}
	for _, dir := range []string{l.home(), l.tmp(), l.scratch()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make run directory: %w", err)
		}
		if uid >= 0 {
			if err := os.Chown(dir, uid, uid); err != nil {
				return fmt.Errorf("make run directory: %w", err)
			}
		}
	}
	return nil
}

// clearScratch drops the overlays that a process which died left behind.
func (l layout) clearScratch() error {
	entries, err := os.ReadDir(l.scratch())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("clear overlays of lost calls: %w", err)
	}
	for _, e := range entries {
		if err := workspace.RemoveAll(filepath.Join(l.scratch(), e.Name())); err != nil {
			return fmt.Errorf("clear overlays of lost calls: %w", err)
		}
	}
	return nil
}
