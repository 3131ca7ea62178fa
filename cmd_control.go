package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"tachograph/replay"
	"tachograph/runner"
	"tachograph/schemas/journal"
	"tachograph/web/owner"
)

func (c *cli) pauseCommand() *cobra.Command {
	return c.steering("pause RUN", "Hold a run at its next model request or call", func(ctx context.Context, o owner.Operator, r replay.Run) error {
		if err := o.Pause(ctx, r.ID, c.person()); err != nil {
			return err
		}
		c.say("Run %s pauses. `tacho resume %s` goes on.", r.ID, r.ID)
		return nil
	})
}

func (c *cli) stopCommand() *cobra.Command {
	var now bool
	cmd := c.steering("stop RUN", "End a run", func(ctx context.Context, o owner.Operator, r replay.Run) error {
		if err := o.Stop(ctx, r.ID, c.person(), now); err != nil {
			return err
		}
		c.say("Run %s ends. What it did is kept: `tacho show %s`.", r.ID, r.ID)
		return nil
	})
	cmd.Long = "Ends a run. The call under way may go on for up to ten seconds; --now kills it."
	cmd.Flags().BoolVar(&now, "now", false, "kill the call under way")
	return cmd
}

// steering is a command that changes a run under way. Without an owner this process becomes one for
// the moment it takes.
func (c *cli) steering(use, short string, do func(context.Context, owner.Operator, replay.Run) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: arguments(1, 1, "one RUN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.steer(cmd.Context(), args[0], do)
		},
	}
}

func (c *cli) steer(ctx context.Context, name string, do func(context.Context, owner.Operator, replay.Run) error) error {
	p, err := c.reach(ctx)
	if err != nil {
		return err
	}
	run, err := p.find(ctx, name)
	if err != nil {
		p.Close()
		return err
	}
	if p.client != nil {
		defer p.Close()
		return do(ctx, p.client, run)
	}
	return c.steerHere(ctx, p, run, do)
}

// steerHere steers a run that nobody runs at present: it is taken up, steered, and left as it is then.
func (c *cli) steerHere(ctx context.Context, p *place, run replay.Run, do func(context.Context, owner.Operator, replay.Run) error) error {
	w, err := c.own(ctx, p, c.outlet(p.far), func(runner.Live) {})
	if err != nil {
		p.Close()
		return err
	}
	w.runner.LeaveWhenPaused(run.ID)
	err = do(ctx, w.operator(), run)
	if err == nil {
		w.runner.Settle(ctx, run.ID)
	}
	if closed := w.Close(); err == nil {
		err = closed
	}
	return err
}

func (c *cli) resumeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "resume RUN",
		Short: "Go on with a run that is paused or was interrupted",
		Long:  "Goes on with a run. Without an owner of the data directory this process runs it and tells its story, as `tacho run` does.",
		Args:  arguments(1, 1, "one RUN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.resume(cmd.Context(), args[0])
		},
	}
}

func (c *cli) resume(ctx context.Context, name string) error {
	p, err := c.reach(ctx)
	if err != nil {
		return err
	}
	run, err := p.find(ctx, name)
	if err != nil {
		p.Close()
		return err
	}
	if p.client != nil {
		defer p.Close()
		if err := p.client.Resume(ctx, run.ID, c.person()); err != nil {
			return err
		}
		c.say("Run %s goes on. `tacho tail %s` watches it.", run.ID, run.ID)
		return nil
	}
	return c.workOn(ctx, p, func(ctx context.Context, w *workshop) (journal.RunID, error) {
		return run.ID, w.runner.Resume(ctx, run.ID, c.person())
	})
}

func (c *cli) approveCommand() *cobra.Command {
	return c.answering("approve RUN CALL", "Let a held call start", owner.Operator.Approve, "approved")
}

func (c *cli) denyCommand() *cobra.Command {
	return c.answering("deny RUN CALL", "Refuse a held call; the agent is told and goes on", owner.Operator.Deny, "denied")
}

// answering is a command that answers a held call. CALL is the seq under which it was proposed.
func (c *cli) answering(use, short string, answer func(owner.Operator, context.Context, journal.RunID, int64, string, string) error, done string) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: use, Short: short, Args: arguments(2, 2, "a RUN and the number of a CALL"),
		Long: short + ". CALL is the number that `tacho tail` and `tacho show` print beside the held call.",
		RunE: func(cmd *cobra.Command, args []string) error {
			call, err := strconv.ParseInt(args[1], 10, 64)
			if err != nil || call < 0 {
				return usage(fmt.Errorf("CALL is %q: it is the number shown beside the held call", args[1]))
			}
			return c.steer(cmd.Context(), args[0], func(ctx context.Context, o owner.Operator, r replay.Run) error {
				if err := answer(o, ctx, r.ID, call, c.person(), reason); err != nil {
					return err
				}
				c.say("Call %d of run %s is %s.", call, r.ID, done)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; kept in the journal")
	return cmd
}

func (c *cli) rmCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "rm RUN",
		Short: "Erase a run and its forks",
		Long: "Erases the family of RUN: the run, what it was forked from, and its forks. First the salt goes, so that nothing\n" +
			"can be guessed from a name any more; then every prompt, answer, output and file.",
		Args: arguments(1, 1, "one RUN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.erase(cmd.Context(), args[0], yes)
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func (c *cli) erase(ctx context.Context, name string, yes bool) error {
	return c.steerQuietly(ctx, name, func(ctx context.Context, p *place, o owner.Operator, r replay.Run) error {
		runs, err := p.Runs(ctx)
		if err != nil {
			return err
		}
		family := 0
		for _, other := range runs {
			if other.Family == r.Family {
				family++
			}
		}
		if !yes && !c.confirm(fmt.Sprintf("Erase the family of run %s (%s) for good?", r.ID, count(int64(family), "run"))) {
			return &exit{exitFailed, fmt.Errorf("nothing was erased; --yes erases without asking")}
		}
		if err := o.Remove(ctx, r.Family); err != nil {
			return err
		}
		c.say("Erased %s.", count(int64(family), "run"))
		return nil
	})
}

// steerQuietly is steer for what needs no run to be taken up.
func (c *cli) steerQuietly(ctx context.Context, name string, do func(context.Context, *place, owner.Operator, replay.Run) error) error {
	p, err := c.reach(ctx)
	if err != nil {
		return err
	}
	run, err := p.find(ctx, name)
	if err != nil {
		p.Close()
		return err
	}
	if p.client != nil {
		defer p.Close()
		return do(ctx, p, p.client, run)
	}
	w, err := c.own(ctx, p, c.outlet(p.far), func(runner.Live) {})
	if err != nil {
		p.Close()
		return err
	}
	err = do(ctx, p, w.operator(), run)
	if closed := w.Close(); err == nil {
		err = closed
	}
	return err
}
