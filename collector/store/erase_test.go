package store_test

import (
	"errors"
	"testing"

	"tachograph/collector/store"
	"tachograph/collector/store/embedded/embeddedtest"
	"tachograph/schemas/journal"
	"tachograph/schemas/record"
	"tachograph/schemas/tables"
)

// TestDeleteFamily erases one of two families: what people wrote is gone, proofs stay, the other is untouched, and a
// salt that is shipped again does not come back.
func TestDeleteFamily(t *testing.T) {
	t.Parallel()
	dsn := embeddedtest.Database(t)
	s := open(t, dsn, store.Options{})
	salt := make([]byte, 32)
	salt[0] = 7
	for n := range byte(2) {
		run, r := runID(n+1), story(t, uint64(n)+1, runID(n+1), 30)
		ingest(t, s, func(b *store.Batch) {
			b.Family(&tables.Family{Project: "default", Family: run, Salt: salt})
			for _, line := range r.Lines {
				b.Entry(entryRow(t, "default", run, line))
			}
			for _, row := range content(run, 0, record.SpaceContent, [32]byte{1}, []byte("what a person wrote"), 100) {
				b.Content(row)
			}
			b.Checkpoint(&tables.Checkpoint{Project: "default", Run: run, Seq: 9, Record: []byte("state")})
			b.Head(&tables.Head{Project: "default", Run: run, Size: 9, Head: []byte("head")})
			span := oddSpan()
			span.TraceID = run
			b.Span(&span)
			b.Log(&tables.Log{Project: "default", TraceID: run, Body: "said"})
			b.Intent(&tables.Intent{Project: "default", TraceID: run, Text: "why"})
		})
	}
	if err := s.DeleteFamily(t.Context(), runID(1)); err != nil {
		t.Fatal(err)
	}
	ingest(t, s, func(b *store.Batch) { b.Family(&tables.Family{Project: "default", Family: runID(1), Salt: salt}) })
	for _, run := range []journal.RunID{runID(1), runID(2)} {
		erased := run == runID(1)
		if _, err := s.Salt(t.Context(), run); errors.Is(err, store.ErrErased) != erased || !erased && err != nil {
			t.Errorf("salt of %s: %v", run, err)
		}
		if _, err := s.Content(t.Context(), run, journal.Ref{1}); errors.Is(err, store.ErrErased) != erased || !erased && err != nil {
			t.Errorf("content of %s: %v", run, err)
		}
		if lines, err := read(t, s, run, 0); err != nil || len(lines) < 30 {
			t.Errorf("%d entries of %s (%v)", len(lines), run, err)
		}
		if heads, err := s.Heads(t.Context(), run); err != nil || len(heads) != 1 {
			t.Errorf("%d heads of %s (%v)", len(heads), run, err)
		}
	}
	conn := embeddedtest.Connect(t, dsn)
	for _, table := range []string{"content", "checkpoints", "spans", "logs", "intents"} {
		if n := embeddedtest.Number(t, conn, "SELECT count() FROM "+table); n != 1 {
			t.Errorf("%s has %d rows, want those of the other family: 1", table, n)
		}
	}
	if err := s.DeleteFamily(t.Context(), runID(1)); err != nil {
		t.Error("again:", err)
	}
	if n := embeddedtest.Number(t, conn, "SELECT count() FROM families WHERE salt != '' AND family = toUUID('"+runID(1).String()+"')"); n != 0 {
		t.Error("a salt that was shipped again stays after the second deletion")
	}
}

// TestDeleteConversation erases the traces of one conversation of somebody else's agent.
func TestDeleteConversation(t *testing.T) {
	t.Parallel()
	dsn := embeddedtest.Database(t)
	s := open(t, dsn, store.Options{})
	ingest(t, s, func(b *store.Batch) {
		for i, conversation := range []string{"talk", "", "talk", "other"} {
			span := oddSpan()
			span.Source, span.TraceID, span.ConversationID = tables.SourceOTLP, [16]byte{15: byte(i)}, conversation
			b.Span(&span)
		}
	})
	if err := s.DeleteFamily(t.Context(), tables.ConversationFamily("default", "talk", [16]byte{})); err != nil {
		t.Fatal(err)
	}
	if got := text(t, dsn, "SELECT toString(groupArray(conversation_id)) FROM (SELECT conversation_id FROM spans ORDER BY trace_id)"); got != "['','other']" {
		t.Errorf("left: %s", got)
	}
}
