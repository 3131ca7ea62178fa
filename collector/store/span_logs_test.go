package store_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tachograph/collector/store"
	"tachograph/collector/store/embedded/embeddedtest"
	"tachograph/schemas/tables"
)

// said is a log record of a conversation.
func said(span uint64, time int64, event, body string) tables.Log {
	return tables.Log{Project: "default", TraceID: [16]byte{15: 1}, SpanID: span, Time: time, Observed: time, Event: "gen_ai." + event, Body: body, BodyType: "s", Attributes: []tables.Attr{}}
}

func addLogs(t *testing.T, s *store.Store, rows ...tables.Log) {
	t.Helper()
	ingest(t, s, func(b *store.Batch) {
		for i := range rows {
			b.Log(&rows[i])
		}
	})
}

func bodies(of tables.SpanLogs) (all []string) {
	for _, l := range of.Logs {
		all = append(all, l.Body)
	}
	return all
}

// TestSpanLogs reads conversations that came as records: since the model spoke last, in the order in which they were sent even
// where all have one time, each once though a batch was sent again, and equal ones as often as they were said.
func TestSpanLogs(t *testing.T) {
	t.Parallel()
	s := open(t, embeddedtest.Database(t), store.Options{})
	talk := []tables.Log{said(1, 5, "system.message", "be brief"), said(1, 5, "user.message", "go"), said(1, 5, "assistant.message", "first"),
		said(1, 5, "user.message", "on"), said(1, 5, "assistant.message", "second"), said(1, 5, "tool.message", "ok"), said(1, 5, "tool.message", "ok"),
		said(1, 5, "user.message", "and?"), said(1, 9, "choice", "done")}
	alone := said(2, 1, "user.message", "hello")
	stranger, other := said(1, 5, "user.message", "of another trace"), said(1, 6, "user.message", "")
	stranger.TraceID, other.Event = [16]byte{15: 2}, "exception"
	addLogs(t, s, append(talk, alone, stranger, other)...)
	addLogs(t, s, talk...) // sent again
	got, err := s.SpanLogs(t.Context(), [16]byte{15: 1}, []uint64{1, 2, 3})
	if err != nil || len(got) != 2 {
		t.Fatalf("%v (%v)", got, err)
	}
	if diff := cmp.Diff([]string{"second", "ok", "ok", "and?", "done"}, bodies(got[1])); diff != "" || got[1].Before != 0 {
		t.Errorf("records (want -, got +), %d before:\n%s", got[1].Before, diff)
	}
	if diff := cmp.Diff([]string{"hello"}, bodies(got[2])); diff != "" {
		t.Errorf("records of a conversation that begins (want -, got +):\n%s", diff)
	}
}

// TestSpanLogsAreBounded holds that no span makes a reader read without end, and that what is left out is counted.
func TestSpanLogsAreBounded(t *testing.T) {
	t.Parallel()
	s := open(t, embeddedtest.Database(t), store.Options{})
	var many, flood []tables.Log
	for i := range 1000 {
		many = append(many, said(1, int64(i), "user.message", fmt.Sprint(i)))
	}
	for i := range 20_001 {
		flood = append(flood, said(2, int64(i), "user.message", ""))
	}
	addLogs(t, s, append(many, flood...)...)
	addLogs(t, s, said(3, 1, "choice", "still read"))
	got, err := s.SpanLogs(t.Context(), [16]byte{15: 1}, []uint64{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(got[1].Logs); n != 200 || got[1].Logs[0].Body != "800" || got[1].Before != 800 {
		t.Errorf("%d records, %d before", n, got[1].Before)
	}
	if got[2].Unread != 20_001 || got[2].Logs != nil {
		t.Errorf("of a flood %d records are read, %d are not", len(got[2].Logs), got[2].Unread)
	}
	if diff := cmp.Diff([]string{"still read"}, bodies(got[3])); diff != "" {
		t.Errorf("records beside a flood (want -, got +):\n%s", diff)
	}
}

// TestCutBodyOfALog is served to the trace that names it, whatever conversation its record says.
func TestCutBodyOfALog(t *testing.T) {
	t.Parallel()
	s := open(t, embeddedtest.Database(t), store.Options{})
	long := bytes.Repeat([]byte("long, "), 1000)
	name := sha256.Sum256(long)
	record := said(1, 5, "user.message", string(long[:2048]))
	record.Cut = []tables.Cut{{Place: "body", Size: uint64(len(long)), Body: name}}
	record.Attributes = []tables.Attr{{Key: "gen_ai.conversation.id", Value: "talk", Type: tables.TypeString}}
	addLogs(t, s, record)
	ingest(t, s, func(b *store.Batch) {
		b.Content(&tables.Content{Project: "default", Family: tables.ConversationFamily("default", "talk", record.TraceID), Run: record.TraceID, Space: tables.SpaceAttribute,
			Name: name, Parts: 1, Size: uint64(len(long)), Hash: name, Bytes: long})
	})
	got, err := s.SpanLogs(t.Context(), record.TraceID, []uint64{1})
	if err != nil || len(got[1].Logs) != 1 {
		t.Fatalf("%v (%v)", got, err)
	}
	if diff := cmp.Diff(record.Cut, got[1].Logs[0].Cut); diff != "" {
		t.Errorf("how it was cut (want -, got +):\n%s", diff)
	}
	if value, err := s.CutValue(t.Context(), record.TraceID, name); err != nil || !bytes.Equal(value, long) {
		t.Errorf("the body has %d bytes of %d (%v)", len(value), len(long), err)
	}
}
