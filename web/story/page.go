package story

import (
	"context"

	"tachograph/schemas/journal"
	"tachograph/web/api"
)

// Page is a stretch of a story.
type Page struct {
	Items    []api.Item
	Next     int64 // seq of the first item after it, −1 if there is none
	Previous int64 // seq of its first item, if items may lie before it, else −1
}

// From tells at most limit items that begin at seq from or after. Items that are under way at the
// end of the page are told to their end.
func From(ctx context.Context, src Source, run journal.RunID, from int64, limit int) (Page, error) {
	page := Page{Next: -1, Previous: -1}
	items, next, err := tell(ctx, src, run, from, limit, -1)
	if err != nil {
		return page, err
	}
	page.Items, page.Next = values(items), next
	if from > 0 {
		page.Previous = from
	}
	return page, nil
}

// Before tells the last items, at most limit, that begin before seq.
func Before(ctx context.Context, src Source, run journal.RunID, before int64, limit int) (Page, error) {
	// Few entries are an item of their own: about four of them make one. Look so far back, and
	// twice as far as long as that was not enough.
	for window := int64(limit) * 6; ; window *= 2 {
		from := max(before-window, 0)
		items, next, err := tell(ctx, src, run, from, -1, before)
		if err != nil {
			return Page{}, err
		}
		if len(items) < limit && from > 0 {
			continue
		}
		page := Page{Next: next, Previous: -1}
		if over := len(items) - limit; over > 0 {
			items = items[over:]
		}
		page.Items = values(items)
		if len(items) > 0 && items[0].Seq > 0 {
			page.Previous = items[0].Seq
		}
		return page, nil
	}
}

// tell reads on until limit items (−1: any number) that begin before the seq before (−1: anywhere)
// have ended, or the run has no more entries. next is where the item after them begins.
func tell(ctx context.Context, src Source, run journal.RunID, from int64, limit int, before int64) (items []*api.Item, next int64, err error) {
	teller := New(src, run)
	next = -1
	for line, err := range src.Entries(ctx, run, from) {
		if err != nil {
			return nil, -1, err
		}
		full := next >= 0
		if full && !anyOpen(teller, items) {
			return items, next, nil
		}
		e, changed, err := teller.Tell(ctx, line)
		if err != nil {
			return nil, -1, err
		}
		for _, item := range changed {
			switch {
			case item.Seq != e.Seq || next >= 0: // it began earlier, or after the page
			case limit >= 0 && len(items) == limit, before >= 0 && e.Seq >= before:
				next = e.Seq
			default:
				items = append(items, item)
			}
		}
	}
	return items, next, nil
}

func anyOpen(t *Teller, items []*api.Item) bool {
	for _, item := range items {
		if t.Open(item) {
			return true
		}
	}
	return false
}

func values(items []*api.Item) []api.Item {
	all := make([]api.Item, len(items))
	for i, item := range items {
		all[i] = *item
	}
	return all
}
