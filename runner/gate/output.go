package gate

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"tachograph/runner/state"
	"tachograph/schemas/journal"
)

// Ancestor is a run that this one was forked from, directly or through others.
type Ancestor struct {
	Journal *state.Journal
	Seq     int64   // its newest entry that the fork has seen
	Given   []int64 // its calls of which the fork tells another result: what they put out is hidden
}

// callName names a call where the model and the disk see it: c17, and c17.2 when it is tried again.
// A fork counts its entries from 0 again while its conversation still names calls of its parent, so
// a fork's names end in a part of its id, the last eight digits: c17-6f3a09bc.
func callName(run *state.Journal, id, attempt int64) string {
	name := fmt.Sprintf("c%d", id)
	if attempt > 1 {
		name += fmt.Sprintf(".%d", attempt)
	}
	if run.Parent() != nil {
		name += "-" + nameEnd(run.ID())
	}
	return name
}

func nameEnd(run journal.RunID) string {
	text := run.String()
	return text[len(text)-8:]
}

// output finds the stored output of an earlier call by the name that its result told the model: of
// this run, or of one that it comes from.
func (g *Gate) output(ctx context.Context, name string) ([]byte, error) {
	number, end, _ := strings.Cut(strings.TrimPrefix(name, "c"), "-")
	digits, _, _ := strings.Cut(number, ".")
	id, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || id < 0 || !strings.HasPrefix(name, "c") {
		return nil, fmt.Errorf("find call %.60q: %w", name, fs.ErrNotExist)
	}
	for _, a := range append([]Ancestor{{Journal: g.c.Run.Journal, Seq: g.c.Run.Len() - 1}}, g.c.Ancestors...) {
		own := ""
		if a.Journal.Parent() != nil {
			own = nameEnd(a.Journal.ID())
		}
		if own != end {
			continue
		}
		if slices.Contains(a.Given, id) {
			break // the model would see through what a person changed
		}
		ref, err := a.outputOf(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("find call %s: %w", name, err)
		}
		if !ref.IsZero() {
			return g.c.Run.Content(ctx, ref) // one family, one space of content
		}
	}
	return nil, fmt.Errorf("find output of call %.60s: %w", name, fs.ErrNotExist)
}

// outputOf is the output that the end of call id names; zero if there is none.
func (a Ancestor) outputOf(ctx context.Context, id int64) (journal.Ref, error) {
	for line, err := range a.Journal.Entries(ctx, id) {
		if err != nil {
			return journal.Ref{}, err
		}
		e, err := journal.Decode(line)
		if err != nil {
			return journal.Ref{}, err
		}
		if e.Seq > a.Seq || e.Seq == id && e.Kind != journal.KindCallProposed {
			break
		}
		if e.Kind != journal.KindCallEnded {
			continue
		}
		body, err := journal.DecodeBody(e.Kind, e.Body)
		if err != nil {
			return journal.Ref{}, err
		}
		if ended := body.(*journal.CallEnded); ended.Call == id {
			return ended.Output, nil
		}
	}
	return journal.Ref{}, nil
}
