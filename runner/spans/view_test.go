package spans_test

import (
	"context"
	"encoding/binary"
	"iter"
	"testing"

	"tachograph/runner/spans"
	"tachograph/runner/state"
	"tachograph/schemas/journal"
	"tachograph/schemas/tables"
)

// journals reads from one run.
type journals struct{ run *state.Run }

func (j journals) Entries(ctx context.Context, _ journal.RunID, from int64) iter.Seq2[[]byte, error] {
	return j.run.Journal.Entries(ctx, from)
}

func (j journals) Content(ctx context.Context, _ journal.RunID, ref journal.Ref) ([]byte, error) {
	return j.run.Journal.Content(ctx, ref)
}

// TestViewIsWhatIsSent: a View shows the spans that an Exporter sends, each under its id, with its
// name, times and attributes.
func TestViewIsWhatIsSent(t *testing.T) {
	t.Parallel()
	store, to := openStore(t), newReceiver()
	run := newRun(t, store)
	script, _ := story()
	script.playAll(t, run)
	e := open(t, t.TempDir(), toHTTP(to.serveHTTP(t)))
	e.Follow(run.Journal)
	to.await(t, hasRoots(1))
	closeExporter(t, e)

	view := spans.NewView(journals{run}, "test")
	seen := 0
	compare := func(row tables.Span) {
		seen++
		sent := to.find(t, row.Name, row.EntrySeq)
		if binary.BigEndian.Uint64(sent.SpanId) != row.SpanID || sent.StartTimeUnixNano != uint64(row.Start) ||
			sent.EndTimeUnixNano-sent.StartTimeUnixNano != row.DurationNS || uint8(sent.Kind) != row.Kind {
			t.Errorf("span %s of entry %d is shown as %+v, sent as %v", row.Name, row.EntrySeq, row, sent)
		}
		whole, open, err := view.Span(t.Context(), run.ID(), row.SpanID)
		if err != nil || whole == nil || open != nil {
			t.Fatalf("span %s: %v %v %v", row.Name, whole, open, err)
		}
		attrs := attributes(sent.Attributes)
		if len(whole.Attributes) != len(attrs) || len(whole.Events) != len(sent.Events) || len(whole.Links) != len(sent.Links) {
			t.Errorf("span %s: %d attributes, %d events, %d links; sent %d, %d, %d", row.Name, len(whole.Attributes), len(whole.Events), len(whole.Links),
				len(attrs), len(sent.Events), len(sent.Links))
		}
		for _, a := range whole.Attributes {
			if _, ok := attrs[a.Key]; !ok {
				t.Errorf("span %s shows %s, which was not sent", row.Name, a.Key)
			}
		}
	}
	err := view.Spans(t.Context(), run.ID(), func(b tables.SpanBatch) error {
		for _, row := range b.Ended {
			compare(row)
		}
		if len(b.Open) != 0 || !b.Last {
			t.Errorf("a run that has ended shows %d open spans, last %t", len(b.Open), b.Last)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen == 0 || seen != len(to.all()) {
		t.Errorf("%d spans are shown, %d were sent", seen, len(to.all()))
	}
}
