package store_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"tachograph/collector/store"
	"tachograph/collector/store/embedded/embeddedtest"
	"tachograph/schemas/tables"
)

// foreign is a span of somebody else's trace.
func foreign(trace byte, id, parent uint64, start int64) tables.Span {
	var r tables.Span
	r.Reset()
	r.Project, r.Source, r.TraceID, r.SpanID, r.ParentSpanID = "default", tables.SourceOTLP, [16]byte{15: trace}, id, parent
	r.Start, r.DurationNS, r.Name, r.Operation, r.Service = start, 1000, fmt.Sprint("span ", id), "chat", "shop"
	return r
}

func addSpans(t *testing.T, s *store.Store, rows ...tables.Span) {
	t.Helper()
	ingest(t, s, func(b *store.Batch) {
		for i := range rows {
			b.Span(&rows[i])
		}
	})
}

// TestTraceSpansInPages reads a trace page by page: each span once, by start, whatever a sender's clock says.
func TestTraceSpansInPages(t *testing.T) {
	t.Parallel()
	s := open(t, embeddedtest.Database(t), store.Options{})
	starts := []int64{math.MinInt64 / 2, -5, 0, 0, 1, 1_790_000_000_000_000_000, 1_790_000_000_000_000_000, math.MaxInt64 / 2}
	var rows []tables.Span
	for i, start := range starts {
		r := foreign(1, uint64(i+1), 0, start)
		if i%2 == 1 {
			r.Operation = "execute_tool"
		}
		rows = append(rows, r)
	}
	stranger := foreign(2, 1, 0, 3)
	own := foreign(1, 99, 0, 4)
	own.Source = tables.SourceTacho
	addSpans(t, s, append(slices.Clone(rows), stranger, own)...)
	addSpans(t, s, rows[3]) // sent again a day later
	var got []uint64
	page := store.SpanPage{Limit: 3}
	for {
		spans, err := s.TraceSpans(t.Context(), [16]byte{15: 1}, page)
		if err != nil {
			t.Fatal(err)
		}
		for _, span := range spans {
			got = append(got, span.SpanID)
		}
		if len(spans) < page.Limit {
			break
		}
		last := spans[len(spans)-1]
		page.After, page.AfterSpan = last.Start, last.SpanID
	}
	if diff := cmp.Diff([]uint64{1, 2, 3, 4, 5, 6, 7, 8}, got); diff != "" {
		t.Errorf("spans (want -, got +):\n%s", diff)
	}
	tools, err := s.TraceSpans(t.Context(), [16]byte{15: 1}, store.SpanPage{Operations: []string{"execute_tool", "it's"}, Skip: 1, Limit: 2})
	if err != nil || len(tools) != 2 || tools[0].SpanID != 4 || tools[1].SpanID != 6 {
		t.Errorf("tools, but for the first: %v (%v)", tools, err)
	}
}

// TestWholeSpanComesBack holds that a span is read as it was written, and its attributes as they were sent.
func TestWholeSpanComesBack(t *testing.T) {
	t.Parallel()
	s := open(t, embeddedtest.Database(t), store.Options{})
	long := bytes.Repeat([]byte("long, "), 500_000)
	name := sha256.Sum256(long)
	want := foreign(1, 7, 3, 5)
	want.InputTokens, want.FinishReasons, want.StatusCode, want.StatusMessage, want.ErrorType = 12, []string{"stop", "it's"}, 2, "no\tway", "Timeout"
	want.Resource, want.ScopeName, want.ScopeVersion, want.ConversationID = `{"service.name":"shop"}`, "lib", "1", "talk"
	want.Lifted = 1<<tables.LiftOperation | 1<<tables.LiftInputTokens | 1<<tables.LiftFinishReasons | 1<<tables.LiftRunID
	want.Attributes = []tables.Attr{{Key: "a", Value: "x", Type: tables.TypeString}, {Key: "n", Value: "5", Type: tables.TypeInt}, {Key: "a", Value: "again", Type: tables.TypeString}}
	want.Events = []tables.Event{{Time: 6, Name: "exception", Attributes: []tables.Attr{{Key: "exception.message", Value: "no", Type: tables.TypeString}}}, {Time: 7, Name: "bare", Attributes: []tables.Attr{}}}
	want.Links = []tables.Link{{TraceID: [16]byte{1}, SpanID: 2, Attributes: []tables.Attr{{Key: "k", Value: "true", Type: tables.TypeBool}}}}
	want.Cut = []tables.Cut{{Key: "gen_ai.input.messages", Size: uint64(len(long)), Body: name}}
	addSpans(t, s, want, foreign(1, 8, 7, 5))
	family := tables.ConversationFamily("default", "talk", want.TraceID)
	ingest(t, s, func(b *store.Batch) {
		for part, at := uint32(0), 0; at < len(long); part, at = part+1, at+900_000 {
			piece := long[at:min(at+900_000, len(long))]
			b.Content(&tables.Content{Project: "default", Family: family, Run: want.TraceID, Space: tables.SpaceAttribute, Name: name, Part: part, Parts: 4,
				Size: uint64(len(long)), Hash: sha256.Sum256(piece), Bytes: piece})
		}
	})
	got, err := s.WholeSpans(t.Context(), want.TraceID, []uint64{7, 4711})
	if err != nil || len(got) != 1 {
		t.Fatalf("%d spans (%v)", len(got), err)
	}
	got[0].Project = "default"
	if diff := cmp.Diff(want, got[0]); diff != "" {
		t.Errorf("span (want -, got +):\n%s", diff)
	}
	sent := []tables.Attr{{Key: "gen_ai.operation.name", Value: "chat", Type: 's'}, {Key: "gen_ai.response.finish_reasons", Value: `["stop","it's"]`, Type: 'j'},
		{Key: "gen_ai.usage.input_tokens", Value: "12", Type: 'i'}, {Key: "tacho.run.id", Value: uuid.UUID(want.TraceID).String(), Type: 's'}}
	if diff := cmp.Diff(append(sent, want.Attributes...), got[0].Sent()); diff != "" {
		t.Errorf("attributes (want -, got +):\n%s", diff)
	}
	value, err := s.CutValue(t.Context(), want.TraceID, name)
	if err != nil || !bytes.Equal(value, long) {
		t.Errorf("the cut value has %d bytes of %d (%v)", len(value), len(long), err)
	}
	if _, err := s.CutValue(t.Context(), [16]byte{15: 2}, name); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a trace that does not name it is given the value (%v)", err)
	}
}

// TestTracesAreFound filters the list, and reads one trace by its id.
func TestTracesAreFound(t *testing.T) {
	t.Parallel()
	s := open(t, embeddedtest.Database(t), store.Options{})
	now := time.Now()
	failed := foreign(1, 1, 0, 10)
	failed.StatusCode, failed.Name, failed.RequestModel = 2, "Mend IT's \\ shop", "kimi-k2.6"
	mended := foreign(2, 1, 0, 20)
	retried := foreign(2, 2, 1, 21)
	retried.StatusCode = 2 // an error that the agent dealt with
	going := foreign(3, 2, 1, 30)
	addSpans(t, s, failed, mended, retried, going)
	recent := now.Add(-time.Hour)
	for _, c := range []struct {
		filter store.TraceFilter
		want   []byte
	}{
		{store.TraceFilter{Recent: recent}, []byte{3, 2, 1}},
		{store.TraceFilter{Recent: recent, Status: []string{store.TraceRunning}}, []byte{3}},
		{store.TraceFilter{Recent: now.Add(time.Hour), Status: []string{store.TraceDone}}, []byte{3, 2}},
		{store.TraceFilter{Recent: recent, Status: []string{store.TraceFailed, "it's \\ no status"}}, []byte{1}},
		{store.TraceFilter{Words: []string{"it's", "\\", "kimi"}}, []byte{1}},
		{store.TraceFilter{Words: []string{"shop", "00000000000000000000000000000002"}}, []byte{2}},
		{store.TraceFilter{Words: []string{"00000000-0000-0000-0000-000000000003"}}, []byte{3}},
		{store.TraceFilter{Words: []string{"') OR 1 = 1 --"}}, nil},
	} {
		found, err := s.Traces(t.Context(), c.filter, store.Page{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		for _, trace := range found {
			got = append(got, trace.ID[15])
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%+v finds %v, want %v", c.filter, got, c.want)
		}
	}
	one, err := s.Trace(t.Context(), [16]byte{15: 2}, store.TraceFilter{Recent: recent})
	if err != nil || one.Spans != 2 || one.Errors != 1 || one.Status != store.TraceDone || !one.HasRoot {
		t.Errorf("one trace is %+v (%v)", one, err)
	}
	if _, err := s.Trace(t.Context(), [16]byte{15: 9}, store.TraceFilter{}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a trace that is not there: %v", err)
	}
}

// TestOpenSpansOfATrace shows what has begun and not ended, each as it was heard of last.
func TestOpenSpansOfATrace(t *testing.T) {
	t.Parallel()
	s := open(t, embeddedtest.Database(t), store.Options{})
	addSpans(t, s, foreign(1, 1, 0, 10))
	for alive := range int64(2) {
		ingest(t, s, func(b *store.Batch) {
			for id := range uint64(3) {
				b.OpenSpan(&tables.OpenSpan{Project: "default", TraceID: [16]byte{15: 1}, SpanID: id + 1, Start: 5, Alive: 6 + alive, Name: strings.Repeat("n", int(id)+1)})
			}
		})
	}
	got, err := s.OpenSpans(t.Context(), [16]byte{15: 1})
	if err != nil || len(got) != 2 || got[0].SpanID != 2 || got[0].Alive != 7 || got[1].Name != "nnn" {
		t.Errorf("open spans %+v (%v)", got, err)
	}
}

// TestRunByItsID reads one run of ours without the others.
func TestRunByItsID(t *testing.T) {
	t.Parallel()
	s := open(t, embeddedtest.Database(t), store.Options{})
	for n := range byte(3) {
		r := story(t, uint64(n)+1, runID(n), 20)
		ingest(t, s, func(b *store.Batch) {
			for _, line := range r.Lines {
				b.Entry(entryRow(t, "default", runID(n), line))
			}
		})
	}
	runs, err := s.Runs(t.Context(), store.Page{})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range runs {
		got, err := s.Run(t.Context(), want.ID)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("run %s (%v):\n%s", want.ID, err, diff)
		}
	}
	if _, err := s.Run(t.Context(), runID(9)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a run that is not there: %v", err)
	}
}
