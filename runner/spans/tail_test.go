package spans_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tachograph/runner/spans"
	"tachograph/schemas/journal"
	"tachograph/schemas/tables"
)

// counted counts the entries that are read. leave is called when content is read: whoever asked leaves.
type counted struct {
	journals
	entries int
	leave   func()
}

func (c *counted) Entries(ctx context.Context, run journal.RunID, from int64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for line, err := range c.journals.Entries(ctx, run, from) {
			c.entries++
			if !yield(line, err) {
				return
			}
		}
	}
}

func (c *counted) Content(ctx context.Context, run journal.RunID, ref journal.Ref) ([]byte, error) {
	if c.leave != nil {
		c.leave()
		return nil, ctx.Err()
	}
	return c.journals.Content(ctx, run, ref)
}

// picture is what a reader has of a run: what it was told last of each span.
type picture struct {
	ended   map[uint64]tables.Span
	open    []tables.OpenSpan
	entries int64
}

func (p *picture) take(t *testing.T, b tables.SpanBatch) {
	t.Helper()
	for _, row := range b.Ended {
		if _, twice := p.ended[row.SpanID]; twice {
			t.Errorf("span %x is told of twice", row.SpanID)
		}
		p.ended[row.SpanID] = row
	}
	if b.Last {
		p.open, p.entries = b.Open, b.Entries
	}
}

func whole(t *testing.T, view spans.View, run journal.RunID) picture {
	t.Helper()
	p := picture{ended: map[uint64]tables.Span{}}
	if err := view.Spans(t.Context(), run, func(b tables.SpanBatch) error { p.take(t, b); return nil }); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestAfter: readers who ask at each entry, at every third, and once a reading failed, have what one reading of everything gives, and the
// journal is read once.
func TestAfter(t *testing.T) {
	t.Parallel()
	run := newRun(t, openStore(t))
	script, _ := story()
	source := &counted{journals: journals{run}}
	view := spans.NewView(source, "test")
	if err := script.play(t.Context(), run, 0); err != nil {
		t.Fatal(err)
	}
	first := whole(t, view, run.ID())
	readers := map[int]*picture{1: {ended: maps.Clone(first.ended), entries: first.entries}, 3: {ended: maps.Clone(first.ended), entries: first.entries}}
	source.entries = 0
	for i := 1; i < len(script.steps); i++ {
		if err := script.play(t.Context(), run, i); err != nil {
			t.Fatal(err)
		}
		for every, reader := range readers {
			if i%every != 0 {
				continue
			}
			news, known, err := view.After(t.Context(), run.ID(), reader.entries)
			if err != nil || !known {
				t.Fatalf("entry %d: %v, known %t", i, err, known)
			}
			reader.take(t, news)
		}
		at := source.entries
		want := whole(t, spans.NewView(journals{run}, "test"), run.ID())
		if diff := cmp.Diff(fmt.Sprint(want), fmt.Sprint(*readers[1])); diff != "" {
			t.Fatalf("after step %d:\n%s", i, diff)
		}
		source.entries = at
	}
	if source.entries != int(run.Journal.Len()) {
		t.Errorf("%d entries were read of %d: each is to be read once", source.entries, run.Journal.Len())
	}
}

// TestAfterLeft: what was not read because the one who asked had left is told to who asks next.
func TestAfterLeft(t *testing.T) {
	t.Parallel()
	run := newRun(t, openStore(t))
	script, _ := story()
	script.playAll(t, run)
	ctx, cancel := context.WithCancel(t.Context())
	source := &counted{journals: journals{run}, leave: cancel}
	view := spans.NewView(source, "test")
	if _, _, err := view.After(ctx, run.ID(), 1); !errors.Is(err, context.Canceled) {
		t.Fatalf("whoever left is answered %v", err)
	}
	source.leave = nil
	news, known, err := view.After(t.Context(), run.ID(), 1)
	if err != nil || !known {
		t.Fatal(err, known)
	}
	var told []uint64
	for _, row := range news.Ended {
		told = append(told, row.SpanID)
	}
	slices.Sort(told)
	if want := slices.Sorted(maps.Keys(whole(t, view, run.ID()).ended)); !slices.Equal(told, want) {
		t.Errorf("told of %x, want %x", told, want)
	}
}

// TestAfterLongAgo: who is too far behind, or ahead of what there is, is told so and reads everything.
func TestAfterLongAgo(t *testing.T) {
	t.Parallel()
	run := newRun(t, openStore(t))
	script, _ := story()
	script.playAll(t, run)
	view := spans.NewView(journals{run}, "test")
	end := whole(t, view, run.ID()).entries
	for _, ask := range []struct {
		after int64
		known bool
	}{{end, true}, {end - 1, false}, {end + 1, false}, {end, true}} {
		news, known, err := view.After(t.Context(), run.ID(), ask.after)
		if err != nil || known != ask.known || known && len(news.Ended) > 0 {
			t.Errorf("after %d: known %t, %d spans, %v", ask.after, known, len(news.Ended), err)
		}
	}
}
