package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"tachograph/replay"
	"tachograph/schemas/journal"
)

func (c *cli) tailCommand() *cobra.Command {
	var from int64
	cmd := &cobra.Command{
		Use:   "tail RUN",
		Short: "Watch a run as it goes on",
		Long:  "Tells a run from its beginning (or from an entry) and goes on with what happens, until the run ends or Ctrl-C.\nRUN is an id, four or more characters of its beginning or end, or `last`.",
		Args:  arguments(1, 1, "one RUN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := c.reach(cmd.Context())
			if err != nil {
				return err
			}
			defer p.Close()
			run, err := p.find(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if from < 0 {
				from = max(0, run.Entries+from)
			}
			// Without an owner nobody writes: what is there is all there will be.
			return c.tell(cmd.Context(), p, run.ID, from, p.client != nil)
		},
	}
	cmd.Flags().Int64Var(&from, "from", 0, "first entry; negative: so many from the newest")
	return cmd
}

// follow tells a run that somebody else runs, and exits as that run does.
func (c *cli) follow(ctx context.Context, p *place, id journal.RunID) error {
	if err := c.tell(ctx, p, id, 0, true); err != nil {
		return err
	}
	run, err := p.find(ctx, id.String())
	if err != nil {
		return err
	}
	return c.conclude(outcomeOf(run))
}

// tell writes the entries of a run from seq on: as a story, or with --json as they are stored.
func (c *cli) tell(ctx context.Context, p *place, id journal.RunID, from int64, follow bool) error {
	lines := p.Entries
	if follow {
		lines = p.Follow
	}
	colour, width := c.colour()
	s := newStory(c.out, colour, width, func(ctx context.Context, ref journal.Ref) ([]byte, error) {
		return p.Content(ctx, id, ref)
	})
	for line, err := range lines(ctx, id, from) {
		if err != nil {
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		}
		if c.json {
			fmt.Fprintf(c.out, "%s\n", line)
			continue
		}
		e, body, err := decode(line)
		if err != nil {
			return err
		}
		s.tell(ctx, e, body)
	}
	return nil
}

// decode reads an entry; one of a newer tacho is shown as a note.
func decode(line []byte) (journal.Entry, journal.Body, error) {
	e, err := journal.Decode(line)
	if err != nil {
		return e, nil, err
	}
	body, err := journal.DecodeBody(e.Kind, e.Body)
	if errors.Is(err, journal.ErrUnknownKind) {
		return e, &journal.Note{Name: e.Kind, Raw: e.Body}, nil
	}
	return e, body, err
}

func (c *cli) lsCommand() *cobra.Command {
	var status string
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List the runs",
		Args:  arguments(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := c.reach(cmd.Context())
			if err != nil {
				return err
			}
			defer p.Close()
			runs, err := p.Runs(cmd.Context())
			if err != nil {
				return err
			}
			return c.list(filterRuns(runs, status))
		},
	}
	cmd.Flags().StringVar(&status, "status", "", "only runs that are running, paused, ended, done, failed or stopped")
	return cmd
}

func filterRuns(runs []replay.Run, status string) []replay.Run {
	kept := []replay.Run{}
	for _, r := range runs {
		if status == "" || r.Status == status || r.Why == status {
			kept = append(kept, r)
		}
	}
	return kept
}

func (c *cli) list(runs []replay.Run) error {
	if c.json {
		return c.printJSON(runs)
	}
	if len(runs) == 0 {
		c.say("No runs yet. `tacho demo` shows one; `tacho run SPEC` starts one.")
		return nil
	}
	colour, width := c.colour()
	if width == 0 {
		width = 120
	}
	p := paint(colour)
	c.say("%s", p.faint(fmt.Sprintf("%-36s  %-8s  %-16s  %6s %6s %8s %9s  %s", "RUN", "STATUS", "STARTED", "STEPS", "CALLS", "ENTRIES", "COST", "GOAL")))
	for _, r := range runs {
		c.say("%s", runLine(p, r, width))
	}
	return nil
}

func runLine(p paint, r replay.Run, width int) string {
	status := r.Status
	if r.Status == journal.StatusEnded {
		status = r.Why
	}
	if r.Held > 0 {
		status = "held"
	}
	coloured := fmt.Sprintf("%-8s", status)
	switch status {
	case "done":
		coloured = p.good(coloured)
	case "failed", "stopped":
		coloured = p.bad(coloured)
	case "paused", "held":
		coloured = p.warn(coloured)
	}
	goal := oneLine(r.Goal)
	if r.Parent != nil {
		goal = fmt.Sprintf("⑂ %s@%d · %s", r.Parent.Run.String()[28:], r.Parent.Seq, goal)
	}
	s := story{width: width}
	return fmt.Sprintf("%-36s  %s  %-16s  %6d %6d %8d %9s  %s", r.ID, coloured, shortTime(r.Started), r.Usage.Steps, r.Usage.Calls,
		r.Entries, dollars(r.Usage), s.cut(goal, width-104))
}

// dollars is what a run cost; a price that is not known is never shown as 0.
func dollars(u journal.Usage) string {
	switch {
	case u.Unpriced > 0 && u.CostNUSD == 0:
		return "unknown"
	case u.Unpriced > 0:
		return fmt.Sprintf("≥ $%.4f", float64(u.CostNUSD)/1e9)
	}
	return fmt.Sprintf("$%.4f", float64(u.CostNUSD)/1e9)
}

func (c *cli) printJSON(v any) error {
	enc := json.NewEncoder(c.out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
