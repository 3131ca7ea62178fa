// Package story tells a run: it turns the entries of a journal into the items of a transcript, in
// which a question and its answer are one item, and so is a call from its proposal to its end.
//
// It is a view for people, made anew each time from what the journal holds. It must never be folded
// into state, decide anything, or show what no entry names. Texts in it are beginnings: what a
// person, model or tool wrote is cut at [MaxText] bytes and names the whole.
//
// Read first: teller.go (which entry makes or changes which item), call.go and turn.go, text.go.
// page.go reads a stretch of a run.
package story

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"tachograph/schemas/journal"
	"tachograph/web/api"
)

// Teller makes items of the entries of one run, which it is given in order, from any entry on. Its
// memory is that of the items that are still open. It is used by one goroutine.
type Teller struct {
	run  journal.RunID
	src  Source
	open map[int64]*api.Item // turns and calls that later entries change, by the seq that names them
	// intents are those that no call has named yet, newest last.
	intents []intent
}

type intent struct {
	seq    int64
	text   journal.Ref
	source string
}

// maxIntents bounds what is remembered of intents that no call names.
const maxIntents = 256

// New makes a Teller.
func New(src Source, run journal.RunID) *Teller {
	return &Teller{run: run, src: src, open: map[int64]*api.Item{}}
}

// Tell takes the next entry and returns it with the items that it made or changed. The items are
// changed by later calls: copy what is kept. Entries that say nothing to a person change nothing.
func (t *Teller) Tell(ctx context.Context, line []byte) (journal.Entry, []*api.Item, error) {
	e, body, err := decode(line)
	if err != nil || body == nil {
		return e, nil, err
	}
	changed, err := t.tell(ctx, e, body)
	if err != nil {
		return e, nil, fmt.Errorf("tell entry %d of run %s: %w", e.Seq, t.run, err)
	}
	for _, item := range changed {
		item.Last = e.Seq
	}
	return e, changed, nil
}

// Open says whether later entries can still change an item.
func (t *Teller) Open(item *api.Item) bool { return t.open[item.Seq] == item }

// decode reads an entry; the body is nil if a newer tacho wrote it.
func decode(line []byte) (journal.Entry, journal.Body, error) {
	e, err := journal.Decode(line)
	if err != nil {
		return e, nil, fmt.Errorf("read entry: %w", err)
	}
	body, err := journal.DecodeBody(e.Kind, e.Body)
	if errors.Is(err, journal.ErrUnknownKind) {
		return e, nil, nil
	}
	if err != nil {
		return e, nil, fmt.Errorf("read entry %d: %w", e.Seq, err)
	}
	return e, body, nil
}

func (t *Teller) tell(ctx context.Context, e journal.Entry, body journal.Body) ([]*api.Item, error) {
	switch b := body.(type) {
	case *journal.RunStarted:
		return t.started(ctx, e, b), nil
	case *journal.ModelAsked:
		return t.asked(e, b), nil
	case *journal.ModelAnswered:
		return t.answered(ctx, e, b)
	case *journal.Intent:
		t.intents = append(t.intents, intent{e.Seq, b.Text, b.Source})
		if over := len(t.intents) - maxIntents; over > 0 {
			t.intents = slices.Delete(t.intents, 0, over)
		}
		return nil, nil
	case *journal.CallProposed:
		return t.proposed(ctx, e, b)
	case *journal.RolledBack:
		return append(t.drop(e), t.event(ctx, e, body)...), nil
	case *journal.RunEnded:
		return append(t.drop(e), t.event(ctx, e, body)...), nil
	}
	if id, ok := journal.CallOf(body); ok {
		return t.call(ctx, e, id, body)
	}
	return t.event(ctx, e, body), nil
}

func (t *Teller) item(e journal.Entry, kind api.ItemType) *api.Item {
	return &api.Item{Seq: e.Seq, Last: e.Seq, Time: e.Time, Agent: e.Agent, Type: kind}
}

func (t *Teller) started(ctx context.Context, e journal.Entry, b *journal.RunStarted) []*api.Item {
	item := t.item(e, api.ItemTypeStart)
	item.Start = &api.Start{Goal: t.whole(ctx, b.Goal), Model: b.Model, Sandbox: b.Sandbox}
	if b.Parent != nil {
		item.Start.Parent = &api.Origin{Run: b.Parent.Run.String(), Seq: b.Parent.Seq}
	}
	item.Start.By = t.text(ctx, b.By, "")
	for _, given := range b.Results {
		item.Start.GivenResults = append(item.Start.GivenResults, api.GivenResult{Call: given.Call, Text: t.text(ctx, given.Message, PartContent)})
	}
	item.Start.GivenTurn, item.Start.GivenMessage = t.text(ctx, b.Turn, PartContent), t.text(ctx, b.Message, PartContent)
	return []*api.Item{item}
}

// drop ends what a rollback or the end of the run found open.
func (t *Teller) drop(e journal.Entry) (dropped []*api.Item) {
	for seq, item := range t.open {
		switch {
		case item.Call != nil:
			item.Call.Status = api.CallStatusDropped
		case item.Turn != nil:
			item.Turn.Status = api.TurnStatusLost
		}
		delete(t.open, seq)
		dropped = append(dropped, item)
	}
	slices.SortFunc(dropped, func(a, b *api.Item) int { return int(a.Seq - b.Seq) })
	t.intents = nil
	return dropped
}

// missing reads the entries from seq on, up to before, that concern the item named seq, for a teller
// that began after it. It is nil if seq names no such item.
func (t *Teller) missing(ctx context.Context, seq, before int64) (*api.Item, error) {
	earlier := New(t.src, t.run)
	var found *api.Item
	for line, err := range t.src.Entries(ctx, t.run, seq) {
		if err != nil {
			return nil, err
		}
		e, body, err := decode(line)
		if err != nil {
			return nil, err
		}
		if e.Seq >= before {
			break
		}
		if id, ok := journal.CallOf(body); e.Seq != seq && (!ok || id != seq) {
			continue
		}
		changed, err := earlier.tell(ctx, e, body)
		if err != nil {
			return nil, err
		}
		for _, item := range changed {
			if item.Seq == seq && item.Type != api.ItemTypeEvent {
				found = item
				found.Last = e.Seq
			}
		}
	}
	return found, nil
}

func ptr[T any](v T) *T { return &v }

// some is nil for a value that an entry leaves out.
func some[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}
