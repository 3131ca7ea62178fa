package replay

import (
	"context"
	"fmt"

	"tachograph/schemas/journal"
)

// Call is a tool call of a run, and where it stands in the conversation.
type Call struct {
	ID    int64 // seq of its call.proposed
	Agent string
	Step  int64
}

// FindCall finds the call that an entry is about: any entry of the call will do.
func FindCall(ctx context.Context, src Source, run Run, seq int64) (Call, error) {
	if seq < 0 || seq >= run.Entries {
		return Call{}, noEntry(run, seq)
	}
	e, body, err := entryAt(ctx, src, run.ID, seq)
	if err != nil {
		return Call{}, err
	}
	if id, ok := journal.CallOf(body); ok {
		if e, body, err = entryAt(ctx, src, run.ID, id); err != nil {
			return Call{}, err
		}
	}
	proposed, ok := body.(*journal.CallProposed)
	if !ok {
		return Call{}, fmt.Errorf("entry %d of run %s is no part of a tool call (%s): give the number of an entry at which `tacho show` prints a call", seq, run.ID, e.Kind)
	}
	return Call{e.Seq, e.Agent, proposed.Step}, nil
}

// AfterCall is the last entry of the turn that a call belongs to: the model has not been told the
// results yet, and no call of the turn is made a second time by whoever goes on from there.
func AfterCall(ctx context.Context, src Source, run Run, c Call) (int64, error) {
	return lastOfStep(ctx, src, run, c.Agent, c.Step)
}

func entryAt(ctx context.Context, src Source, run journal.RunID, seq int64) (journal.Entry, journal.Body, error) {
	for line, err := range entriesTo(ctx, src, run, seq, seq) {
		if err != nil {
			return journal.Entry{}, nil, err
		}
		e, err := journal.Decode(line)
		if err != nil {
			return e, nil, err
		}
		body, err := journal.DecodeBody(e.Kind, e.Body)
		return e, body, err
	}
	return journal.Entry{}, nil, fmt.Errorf("entry %d of run %s: %w", seq, run, ErrNotFound)
}
