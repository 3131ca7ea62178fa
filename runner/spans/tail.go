package spans

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"tachograph/schemas/journal"
	"tachograph/schemas/tables"
)

// How much is kept so that whoever follows a run does not have it projected from its first entry at each change.
const (
	maxTails    = 16   // runs
	maxTailRows = 4096 // spans that ended last, of each
)

// tail is a run's projector where it stood when somebody last asked, and the spans that ended last.
//
// Invariant: rows are all spans that ended by the entries from `since` up to `entries`, in that order.
type tail struct {
	run   journal.RunID
	turn  chan struct{} // holds a token while somebody reads on; a reading may hang, so who waits can leave
	stale bool          // a span that ended could not be read: it is not among rows

	projector      *projector
	entries, since int64
	rows           []tailRow
}

type tailRow struct {
	entry int64
	row   tables.Span
}

// tails are those of the runs that were asked for last, the newest at the end.
type tails struct {
	mu  sync.Mutex
	all []*tail
}

// of is the tail of a run: the one that is kept, or one that keeps what ends from an entry on.
func (t *tails) of(run journal.RunID, since int64) *tail {
	t.mu.Lock()
	defer t.mu.Unlock()
	if at := slices.IndexFunc(t.all, func(k *tail) bool { return k.run == run }); at >= 0 {
		kept := t.all[at]
		t.all = append(slices.Delete(t.all, at, at+1), kept)
		return kept
	}
	made := &tail{run: run, turn: make(chan struct{}, 1)}
	made.reset(since)
	t.all = append(t.all, made)
	if len(t.all) > maxTails {
		t.all = slices.Delete(t.all, 0, 1)
	}
	return made
}

// After is what is new since a reader had the spans of so many entries: the spans that ended since, and all that are open now. known
// is false if that is too long ago: then all spans are to be read again. A run that is followed costs its new entries, whoever and however
// many follow it.
func (v View) After(ctx context.Context, run journal.RunID, entries int64) (news tables.SpanBatch, known bool, err error) {
	t := v.tails.of(run, entries)
	select {
	case t.turn <- struct{}{}:
	case <-ctx.Done():
		return news, false, ctx.Err()
	}
	defer func() { <-t.turn }()
	if t.stale {
		t.reset(entries)
	}
	if err := t.readOn(ctx, v); err != nil {
		return news, false, err
	}
	if entries < t.since || entries > t.entries {
		return news, false, nil
	}
	return t.after(v, entries), true, nil
}

// reset begins at the first entry again, to keep what ends from that one on.
func (t *tail) reset(since int64) {
	t.stale, t.projector, t.entries, t.since, t.rows = false, newProjector(t.run), 0, since, nil
}

// readOn takes the entries that were written meanwhile.
func (t *tail) readOn(ctx context.Context, v View) (err error) {
	shape := shaper{view: v, ctx: ctx, run: t.run}
	t.entries, err = v.read(ctx, t.projector, t.entries, func(seq int64, s *span) (bool, error) {
		if seq < t.since {
			return true, nil
		}
		row, err := shape.light(s)
		if t.stale = err != nil; !t.stale {
			t.rows = append(t.rows, tailRow{seq, row})
			t.drop()
		}
		return !t.stale, err
	})
	return err
}

// drop forgets the oldest half of the rows when there are too many.
func (t *tail) drop() {
	if len(t.rows) <= maxTailRows {
		return
	}
	half := len(t.rows) / 2
	t.since = t.rows[half-1].entry + 1 // an entry may end several spans
	t.rows = slices.DeleteFunc(t.rows, func(r tailRow) bool { return r.entry < t.since })
}

func (t *tail) after(v View, entries int64) tables.SpanBatch {
	first, _ := slices.BinarySearchFunc(t.rows, entries, func(r tailRow, seq int64) int { return cmp.Compare(r.entry, seq) })
	news := tables.SpanBatch{Open: v.open(t.projector, nil), Origin: t.projector.origin(), Last: true, Entries: t.entries}
	for _, r := range t.rows[first:] {
		news.Ended = append(news.Ended, r.row)
	}
	return news
}
