package workspace

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"tachograph/schemas/journal"
)

// ApplyOptions choose how a result is brought back.
type ApplyOptions struct {
	DryRun   bool // only say what would be done
	Progress func(Progress)
}

// ApplyReport says what Apply did, or with DryRun would do.
type ApplyReport struct {
	Changes   []Change   // made in the user's directory
	Already   int64      // changes that the directory had already
	Conflicts []Conflict // why nothing was done
	// Skipped are changes left out because the user touched the path while Apply was at work, or
	// between the crash of an earlier Apply and its end in this one.
	Skipped   []Conflict
	KeptDirs  []string // directories that the result lacks, kept because the user has other files there
	NotStored []string // changed files that cannot be brought back, because their bytes are not kept
	Finished  int64    // steps of an earlier, interrupted Apply that were carried out first
	Bytes     int64    // of the files written
}

// Conflict is a path where the user's directory is neither what the run began with nor its result.
type Conflict struct {
	Path string
	Why  string
}

// ErrConflict: Apply changed nothing, or skipped what the report names; show the report.
var ErrConflict = errors.New("the directory was changed since the run began")

// ErrApplying: another Apply is at work in the same directory; try again when it has ended.
var ErrApplying = errors.New("another apply is at work there")

// Apply brings what a run changed, from the tree base to the tree result, into the user's directory.
// It is three-way by whole files: a path that the run changed must be in the directory as base or
// already as result has it (content, type, permission bits but setuid and setgid), else nothing at
// all is done and the error is [ErrConflict]. Paths that the run did not change are not looked at.
//
// Each file is replaced by a rename, after all of them and a plan of the steps are durable in a
// directory of their own, .tacho-apply. A crash before that leaves the directory unchanged, a crash
// after it is finished by the next Apply in the directory, whatever run that is for. No link is
// followed; setuid and setgid are never set. When root applies, what is new belongs to the owner of
// the directory.
func Apply(ctx context.Context, objs Objects, base, result journal.Object, path string, o ApplyOptions) (ApplyReport, error) {
	a := applier{ctx: ctx, objs: objs, o: o}
	err := a.run(base, result, path)
	if err != nil {
		err = fmt.Errorf("apply %s to %s: %w", result.Short(), path, err)
	}
	return a.report, err
}

type applier struct {
	ctx    context.Context
	objs   Objects
	o      ApplyOptions
	user   userDir
	report ApplyReport
}

func (a *applier) run(base, result journal.Object, path string) error {
	top, err := openTop(path)
	if err != nil {
		return err
	}
	defer top.close()
	if a.user, err = newUserDir(top); err != nil {
		return err
	}
	if err := unix.Flock(top.fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			return ErrApplying
		}
		return fmt.Errorf("lock: %w", err)
	}
	defer unix.Flock(top.fd, unix.LOCK_UN)
	if err := a.finishEarlier(); err != nil {
		return err
	}
	changes, err := Diff(a.ctx, a.objs, base, result, DiffOptions{})
	if err != nil {
		return err
	}
	steps, err := a.plan(changes)
	if err != nil {
		return err
	}
	if len(a.report.Conflicts) > 0 {
		return fmt.Errorf("%w: %d conflicts, the first at %q: %s", ErrConflict, len(a.report.Conflicts), clip(a.report.Conflicts[0].Path), a.report.Conflicts[0].Why)
	}
	if a.o.DryRun || len(steps) == 0 {
		return nil
	}
	return a.carryOut(steps)
}

// finishEarlier brings an interrupted Apply to its end, or clears away one that had not begun to
// change anything. A dry run leaves it alone.
func (a *applier) finishEarlier() error {
	staging, err := a.user.top.open(stagingName)
	if isAbsent(err) || a.o.DryRun {
		if err == nil {
			staging.close()
		}
		return nil
	}
	if err != nil {
		return err
	}
	defer staging.close()
	steps, err := readPlan(staging)
	if err != nil {
		return fmt.Errorf("finish the apply that was interrupted: %w", err)
	}
	if err := a.execute(staging, steps); err != nil {
		return fmt.Errorf("finish the apply that was interrupted: %w", err)
	}
	a.report.Finished = int64(len(steps))
	return a.user.top.removeAll(stagingName)
}

// carryOut does the steps: first everything that changes nothing of the user's, then the plan, then
// one rename after the other.
func (a *applier) carryOut(steps []step) error {
	staging, err := a.stage(steps)
	if err == nil {
		err = writePlan(staging, steps)
	}
	if err != nil {
		// Nothing has happened yet. What cannot be removed now the next Apply removes.
		return errors.Join(err, a.user.top.removeAll(stagingName))
	}
	defer staging.close()
	a.progress(Progress{Stage: StageCommit, Entries: int64(len(steps)), Total: int64(len(steps))})
	if err := a.execute(staging, steps); err != nil {
		return fmt.Errorf("%w (the rest is done by the next apply, once the cause is mended)", err)
	}
	if err := a.user.top.removeAll(stagingName); err != nil {
		return err
	}
	if n := len(a.report.Skipped); n > 0 {
		return fmt.Errorf("%w: while it was being applied: %d skipped, the first is %q", ErrConflict, n, clip(a.report.Skipped[0].Path))
	}
	return nil
}

// stage writes every new file and link into the staging directory.
func (a *applier) stage(steps []step) (folder, error) {
	if err := a.user.top.mkdir(stagingName); err != nil {
		return folder{-1}, err
	}
	staging, err := a.user.top.open(stagingName)
	if err != nil {
		return staging, err
	}
	m := &meter{a.o.Progress, Progress{Stage: StageStaged, Total: int64(len(steps))}}
	for i := range steps {
		if err := a.stageOne(staging, &steps[i]); err != nil {
			staging.close()
			return folder{-1}, fmt.Errorf("prepare %q: %w", clip(string(steps[i].Path)), err)
		}
		m.step()
	}
	if err := flushFileSystem(staging.fd); err != nil {
		staging.close()
		return folder{-1}, fmt.Errorf("flush: %w", err)
	}
	return staging, nil
}

func (a *applier) stageOne(staging folder, s *step) error {
	if s.Do != doPut {
		return nil
	}
	e, err := s.New.entry(s.name())
	if err != nil {
		return err
	}
	if e.Type == journal.TypeLink {
		if err := staging.symlink(e.Target, s.Staged); err != nil {
			return err
		}
		return a.user.own(staging, s.Staged, s.UID, s.GID)
	}
	fd, err := staging.create(s.Staged)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if _, err := writeContent(a.ctx, a.objs, &e, fd); err != nil {
		return err
	}
	a.report.Bytes += e.Size
	if err := a.user.own(staging, s.Staged, s.UID, s.GID); err != nil {
		return err
	}
	return seal(fd, -1, e.Mode&plainMask)
}

func (a *applier) progress(p Progress) {
	if a.o.Progress != nil {
		a.o.Progress(p)
	}
}

// execute does the steps in order. Each can be done twice, and none is done where the path is
// neither as it was nor as it should be.
func (a *applier) execute(staging folder, steps []step) error {
	m := &meter{a.o.Progress, Progress{Stage: StageApply, Total: int64(len(steps))}}
	for i := range steps {
		why, err := a.user.do(a.ctx, staging, &steps[i])
		if err != nil {
			return fmt.Errorf("%s %q: %w", steps[i].Do, clip(string(steps[i].Path)), err)
		}
		switch {
		case why == keptDir:
			a.report.KeptDirs = append(a.report.KeptDirs, string(steps[i].Path))
		case why != "":
			a.report.Skipped = append(a.report.Skipped, Conflict{string(steps[i].Path), why})
		}
		m.step()
	}
	slices.Sort(a.report.KeptDirs)
	if err := flushFileSystem(a.user.top.fd); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	return nil
}
