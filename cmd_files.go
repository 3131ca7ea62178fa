package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"tachograph/replay"
	"tachograph/runner/workspace"
	"tachograph/schemas/journal"
)

func (c *cli) diffCommand() *cobra.Command {
	var names bool
	cmd := &cobra.Command{
		Use:   "diff A [B]",
		Short: "Show what changed between two moments",
		Long: "A and B are RUN or RUN:N (the files after entry N; without N: the newest). With A alone: what the run changed since it began.\n\n" +
			"  tacho diff last            tacho diff last:40 last:55            tacho diff RUN FORK",
		Args: arguments(1, 2, "one or two moments (RUN or RUN:N)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.diff(cmd.Context(), args, names)
		},
	}
	cmd.Flags().BoolVar(&names, "names", false, "only the names of what changed")
	return cmd
}

// moment is the files of a run at an entry.
type moment struct {
	run  replay.Run
	root journal.Object
	base journal.Object
}

func (c *cli) moment(ctx context.Context, p *place, text string) (moment, error) {
	name, at, _ := strings.Cut(text, ":")
	run, seq, err := c.locate(ctx, p, name, at)
	if err != nil {
		return moment{}, err
	}
	s, err := replay.At(ctx, p, run.ID, seq)
	if err != nil {
		return moment{}, err
	}
	return moment{run, s.Root, s.Base}, nil
}

func (c *cli) diff(ctx context.Context, args []string, names bool) error {
	p, err := c.reach(ctx)
	if err != nil {
		return err
	}
	defer p.Close()
	b, err := c.moment(ctx, p, args[len(args)-1])
	if err != nil {
		return err
	}
	a := moment{run: b.run, root: b.base}
	if len(args) == 2 {
		if a, err = c.moment(ctx, p, args[0]); err != nil {
			return err
		}
	}
	objects := replay.Both(replay.Objects(p, a.run.ID), replay.Objects(p, b.run.ID))
	changes, err := workspace.Diff(ctx, objects, a.root, b.root, workspace.DiffOptions{Renames: true})
	if err != nil {
		return err
	}
	switch {
	case c.json:
		return c.printJSON(changes)
	case names:
		for _, change := range changes {
			c.say("%-8s %s", change.Kind, oneLine(change.Path))
		}
		return nil
	case len(changes) == 0:
		c.say("Nothing changed.")
		return nil
	}
	return workspace.Patch(ctx, objects, changes, c.out, workspace.PatchOptions{})
}

func (c *cli) applyCommand() *cobra.Command {
	var dry bool
	var to, at string
	cmd := &cobra.Command{
		Use:   "apply RUN",
		Short: "Bring what a run changed to your directory",
		Long: "Brings the files that RUN changed to the directory it was started on. A file that you changed in the meantime too is\n" +
			"a conflict: then nothing at all is changed, and the conflicts are listed.",
		Args: arguments(1, 1, "one RUN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.apply(cmd.Context(), args[0], at, to, dry)
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only say what would change")
	cmd.Flags().StringVar(&to, "to", "", "another directory than the run's own")
	cmd.Flags().StringVar(&at, "seq", "", "the files after this entry (default: the newest)")
	return cmd
}

func (c *cli) apply(ctx context.Context, name, at, to string, dry bool) error {
	p, err := c.reach(ctx)
	if err != nil {
		return err
	}
	defer p.Close()
	run, seq, err := c.locate(ctx, p, name, at)
	if err != nil {
		return err
	}
	s, err := replay.At(ctx, p, run.ID, seq)
	if err != nil {
		return err
	}
	if to == "" {
		if to, err = replay.Directory(ctx, p, s); err != nil {
			return err
		}
	}
	if info, err := os.Stat(to); err != nil || !info.IsDir() {
		return fmt.Errorf("apply run %s to %s: there is no such directory; name the one that its changes should go to with --to DIR", run.ID, to)
	}
	report, err := workspace.Apply(ctx, replay.Objects(p, run.ID), s.Base, s.Root, to, workspace.ApplyOptions{DryRun: dry})
	if err != nil && !errors.Is(err, workspace.ErrConflict) {
		return err
	}
	return c.applied(report, to, dry)
}

func (c *cli) applied(report workspace.ApplyReport, to string, dry bool) error {
	if c.json {
		if err := c.printJSON(report); err != nil {
			return err
		}
	} else {
		for _, change := range report.Changes {
			c.say("%-8s %s", change.Kind, oneLine(change.Path))
		}
		for _, conflict := range report.Conflicts {
			c.say("CONFLICT %s: %s", oneLine(conflict.Path), oneLine(conflict.Why))
		}
	}
	switch {
	case len(report.Conflicts) > 0:
		return &exit{exitFailed, fmt.Errorf("%s: nothing was changed in %s; move your own changes away, or use --to DIR", count(int64(len(report.Conflicts)), "conflict"), to)}
	case dry:
		c.say("%s would change in %s.", count(int64(len(report.Changes)), "path"), to)
	default:
		c.say("%s changed in %s.", count(int64(len(report.Changes)), "path"), to)
	}
	return nil
}
