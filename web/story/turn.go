package story

import (
	"context"

	"tachograph/schemas/journal"
	"tachograph/web/api"
)

// asked begins a turn. An earlier question of the agent that has no answer will get none.
func (t *Teller) asked(e journal.Entry, b *journal.ModelAsked) (changed []*api.Item) {
	for seq, open := range t.open {
		if open.Turn != nil && open.Agent == e.Agent {
			open.Turn.Status = api.TurnStatusLost
			delete(t.open, seq)
			changed = append(changed, open)
		}
	}
	item := t.item(e, api.ItemTypeTurn)
	item.Step = ptr(b.Step)
	item.Turn = &api.Turn{Status: api.TurnStatusAsking, Model: b.Model, Attempt: b.Attempt, Messages: ptr(b.Length)}
	t.open[e.Seq] = item
	return append(changed, item)
}

func (t *Teller) answered(ctx context.Context, e journal.Entry, b *journal.ModelAnswered) ([]*api.Item, error) {
	item := t.open[b.Asked]
	if item == nil {
		var err error
		if item, err = t.missing(ctx, b.Asked, e.Seq); err != nil || item == nil || item.Turn == nil {
			return nil, err
		}
	}
	delete(t.open, b.Asked)
	turn := item.Turn
	turn.Status, turn.AnsweredAt, turn.Calls, turn.Finish = api.TurnStatus(b.Status), ptr(e.Time), ptr(b.Calls), some(b.Finish)
	turn.Thought, turn.Message = t.text(ctx, b.Message, PartReasoning), t.text(ctx, b.Message, PartContent)
	turn.Error = t.text(ctx, b.Error, "")
	if b.Tokens != (journal.Tokens{}) {
		turn.Tokens = ptr(Tokens(b.Tokens))
	}
	turn.Estimated = some(b.Estimated)
	if turn.Status != api.TurnStatusGiven {
		turn.Cost = ptr(CostOf(b.CostNUSD, b.Priced))
	}
	if !b.Raw.IsZero() {
		turn.Raw = ptr(b.Raw.String())
	}
	return []*api.Item{item}, nil
}
