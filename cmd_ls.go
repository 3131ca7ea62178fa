package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"tachograph/replay"
	"tachograph/schemas/journal"
)

func (c *cli) lsCommand() *cobra.Command {
	var status, source string
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
			kept := filterRuns(runs, status, source)
			if len(kept) == 0 && len(runs) > 0 && !c.json {
				c.say("None of the %s is like that; `tacho ls` lists them all.", count(int64(len(runs)), "run"))
				return nil
			}
			return c.list(kept)
		},
	}
	cmd.Flags().StringVar(&source, "source", "", "only runs of this source: tacho (with a journal) or otlp (other people's agents)")
	cmd.Flags().StringVar(&status, "status", "", "only runs that are running, paused, ended, done, failed or stopped")
	return cmd
}

func filterRuns(runs []replay.Run, status, source string) []replay.Run {
	kept := []replay.Run{}
	for _, r := range runs {
		if (status == "" || r.Status == status || r.Why == status) && (source == "" || r.Source == source) {
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
	c.say("%s", p.faint(fmt.Sprintf("%-36s  %-8s  %-16s  %6s %6s %11s %9s  %s", "RUN", "STATUS", "STARTED", "STEPS", "CALLS", "ENTRIES", "COST", "GOAL")))
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
	if r.Source == replay.SourceOTLP {
		goal = r.Service + " · " + goal
	}
	if r.Parent != nil {
		goal = fmt.Sprintf("⑂ %s@%d · %s", r.Parent.Run.String()[28:], r.Parent.Seq, goal)
	}
	s := story{width: width}
	return fmt.Sprintf("%-36s  %s  %-16s  %6d %6d %11s %9s  %s", r.ID, coloured, shortTime(r.Started), r.Usage.Steps, r.Usage.Calls,
		entriesOf(r), dollars(r.Usage), s.cut(goal, width-107))
}

// entriesOf is the number of entries, behind the number of those that are in ClickHouse if that is known.
func entriesOf(r replay.Run) string {
	if r.Source == replay.SourceOTLP {
		return "otlp"
	}
	if r.Shipped == nil {
		return fmt.Sprint(r.Entries)
	}
	return fmt.Sprintf("%d/%d", *r.Shipped, r.Entries)
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
