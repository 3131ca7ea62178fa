package main

import (
	"context"
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
			return c.look(cmd.Context(), args[0], func(p *place, run replay.Run) error {
				if from < 0 {
					from = max(0, run.Entries+from)
				}
				if from > run.Entries || from == run.Entries && run.Status == journal.StatusEnded {
					return fmt.Errorf("tail from %d: run %s has entries 0 to %d", from, run.ID, run.Entries-1)
				}
				// Without an owner nobody writes: what is there is all there will be.
				return c.tell(cmd.Context(), p, run.ID, from, p.client != nil)
			})
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
