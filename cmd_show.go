package main

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tachograph/replay"
	"tachograph/runner"
	"tachograph/schemas/journal"
)

func (c *cli) showCommand() *cobra.Command {
	var full bool
	var seq int64
	cmd := &cobra.Command{
		Use:   "show RUN",
		Short: "Tell a run, or show one entry whole",
		Args:  arguments(1, 1, "one RUN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.look(cmd.Context(), args[0], func(p *place, run replay.Run) error {
				if cmd.Flags().Changed("seq") {
					return c.showEntry(cmd.Context(), p, run, seq)
				}
				return c.show(cmd.Context(), p, run, full)
			})
		},
	}
	cmd.Flags().BoolVar(&full, "full", false, "whole outputs, not their beginnings")
	cmd.Flags().Int64Var(&seq, "seq", 0, "show only this entry, with everything it names")
	return cmd
}

// show tells the whole run, then how it stands.
func (c *cli) show(ctx context.Context, p *place, run replay.Run, full bool) error {
	if c.json {
		return c.tell(ctx, p, run.ID, 0, false)
	}
	colour, width := c.colour()
	s := newStory(c.out, colour, width, func(ctx context.Context, ref journal.Ref) ([]byte, error) {
		return p.Content(ctx, run.ID, ref)
	})
	s.full = full
	for line, err := range p.Entries(ctx, run.ID, 0) {
		if err != nil {
			return err
		}
		e, body, err := decode(line)
		if err != nil {
			return err
		}
		s.tell(ctx, e, body)
	}
	c.summary(run, paint(colour))
	return nil
}

func (c *cli) summary(r replay.Run, p paint) {
	u := r.Usage
	c.say("\n%s  %s %s", p.strong(r.ID.String()), r.Status, r.Why)
	c.say("  %s, %s, %s", count(r.Entries, "entry"), count(u.Steps, "step"), count(u.Calls, "call"))
	c.say("  %d tokens in (%d cached), %d out (%d reasoning); cost %s", u.Tokens.Input, u.Tokens.Cached, u.Tokens.Output, u.Tokens.Reasoning, dollars(u))
	c.say("  active for %s", (time.Duration(u.ActiveUS) * time.Microsecond).Round(time.Second/10))
}

// showEntry shows an entry as it is stored, and the content that it names.
func (c *cli) showEntry(ctx context.Context, p *place, run replay.Run, seq int64) error {
	for line, err := range p.Entries(ctx, run.ID, seq) {
		if err != nil {
			return err
		}
		e, body, err := decode(line)
		if err != nil {
			return err
		}
		if e.Seq != seq {
			break
		}
		if c.json {
			fmt.Fprintf(c.out, "%s\n", line)
			return nil
		}
		return c.printEntry(ctx, p, run, e, body, line)
	}
	return fmt.Errorf("show entry %d: run %s has entries 0 to %d", seq, run.ID, run.Entries-1)
}

func (c *cli) printEntry(ctx context.Context, p *place, run replay.Run, e journal.Entry, body journal.Body, line []byte) error {
	var indented strings.Builder
	enc := json.NewEncoder(&indented)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(json.RawMessage(line)); err != nil {
		return err
	}
	c.say("%s", harmless(strings.TrimSpace(indented.String())))
	c.say("hash %s", journal.HashEntry(line))
	for _, named := range namedContent(body) {
		b, err := p.Content(ctx, run.ID, named.ref)
		if err != nil {
			c.say("\n%s  (%v)", named.field, err)
			continue
		}
		c.say("\n%s  %s\n%s", named.field, count(int64(len(b)), "byte"), harmless(strings.ToValidUTF8(string(b), "·")))
	}
	return nil
}

type named struct {
	field string
	ref   journal.Ref
}

// namedContent lists the content that an entry names, with the names of the fields.
func namedContent(body journal.Body) []named {
	if _, ok := body.(*journal.Note); ok {
		return nil
	}
	var all []named
	v := reflect.ValueOf(body).Elem()
	for i := range v.NumField() {
		field, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		switch value := v.Field(i).Interface().(type) {
		case journal.Ref:
			if !value.IsZero() {
				all = append(all, named{field, value})
			}
		case []journal.Ref:
			for j, ref := range value {
				all = append(all, named{fmt.Sprintf("%s[%d]", field, j), ref})
			}
		}
	}
	return all
}

// outcomeOf is how a run that somebody else runs has come to rest.
func outcomeOf(r replay.Run) runner.Outcome {
	return runner.Outcome{Run: r.ID, Status: r.Status, Why: r.Why}
}
