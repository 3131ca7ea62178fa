package workspace

import (
	"context"
	"fmt"
	"slices"

	"tachograph/schemas/journal"
)

// HashDir computes the root of a directory on disk and counts what it holds. Nothing is stored or
// changed. Of o, Ignore, Secrets and Exclude count, and Progress.
func HashDir(ctx context.Context, path string, o Options) (journal.Object, Report, error) {
	d, r, err := hashDir(ctx, path, o)
	if err != nil {
		return journal.Object{}, r, fmt.Errorf("hash directory %s: %w", path, err)
	}
	return d.object, r, nil
}

func hashDir(ctx context.Context, path string, o Options) (*dir, Report, error) {
	top, err := openTop(path)
	if err != nil {
		return nil, Report{}, err
	}
	defer top.close()
	if o.Ignore == "" {
		if o.Ignore, err = readIgnore(top); err != nil {
			return nil, Report{}, err
		}
	}
	obs := newObserver(ctx, nil, newScope(o, o.Ignore), newMeter(o, StageRead, 0), false)
	d, err := obs.dir(top, "", 0, nil)
	if err := obs.finish(err); err != nil {
		return nil, Report{}, err
	}
	if err := sealDir(ctx, nil, d); err != nil {
		return nil, Report{}, err
	}
	r := Report{Ignore: o.Ignore}
	d.census(&r)
	slices.Sort(obs.notStored)
	r.NotStored = obs.notStored
	return d, r, nil
}

// VerifyReport says how a directory on disk compares with a root.
type VerifyReport struct {
	Files int64 // regular files whose bytes were read and hashed
	Bytes int64 // of these
	// Root is that of the directory. It may differ from the one asked for without a difference
	// below, by setuid and setgid bits only, which no directory outside a managed tree gets.
	Root        journal.Object
	Differences []Change // from the root asked for to what is there
}

// Equal says whether the directory holds what the root says.
func (r *VerifyReport) Equal() bool { return len(r.Differences) == 0 }

// Verify compares a directory on disk with a root by reading every file. Setuid and setgid bits do
// not count. Of o the same counts as for [HashDir].
func Verify(ctx context.Context, objs Objects, root journal.Object, path string, o Options) (VerifyReport, error) {
	want, err := loadDir(ctx, objs, root)
	if err != nil {
		return VerifyReport{}, fmt.Errorf("verify %s: %w", path, err)
	}
	if o.Ignore == "" {
		if o.Ignore, err = IgnoreText(ctx, objs, root); err != nil {
			return VerifyReport{}, fmt.Errorf("verify %s: %w", path, err)
		}
	}
	d, counts, err := hashDir(ctx, path, o)
	if err != nil {
		return VerifyReport{}, fmt.Errorf("verify %s: %w", path, err)
	}
	diff := differ{ctx: ctx, objs: objs, mask: plainMask}
	if err := diff.dirs("", want, d); err != nil {
		return VerifyReport{}, fmt.Errorf("verify %s: %w", path, err)
	}
	return VerifyReport{counts.Files, counts.Bytes, d.object, diff.out}, nil
}
