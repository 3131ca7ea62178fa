package store_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"tachograph/collector/store"
	"tachograph/collector/store/embedded/embeddedtest"
	"tachograph/schemas/tables"
)

const anEmbedder = "test-1"

var twoDimensions = store.Embedding{Name: anEmbedder, Dimensions: 2}

// intended is a row of a span that says why.
func intended(trace byte, span uint64, text string) tables.Span {
	var s tables.Span
	s.Reset()
	s.Project, s.TraceID, s.SpanID, s.Start = "default", [16]byte{15: trace}, span, int64(1000*span)
	s.Source, s.Operation, s.Tool, s.AgentPath = tables.SourceTacho, "execute_tool", "bash", "/"
	s.IntentText, s.IntentSource = text, "declared"
	return s
}

func bring(t *testing.T, s *store.Store, seg [16]byte, received time.Time, fill func(b *store.Batch)) {
	t.Helper()
	b := store.NewBatch(seg, received)
	fill(b)
	if err := s.Insert(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

// TestIntentsLeftToDo asks what has no vector, with several segments, pages, embedders and dimensions.
func TestIntentsLeftToDo(t *testing.T) {
	t.Parallel()
	s := open(t, embeddedtest.Database(t), store.Options{})
	start := time.UnixMilli(1_790_000_000_000).UTC()
	first, second, third := [16]byte{15: 1}, [16]byte{15: 2}, [16]byte{15: 3}
	bring(t, s, first, start, func(b *store.Batch) {
		for span := range uint64(5) {
			row := intended(1, span+1, fmt.Sprintf("why %d", span+1))
			b.Span(&row)
		}
		other := intended(2, 1, "elsewhere")
		other.Project = "other"
		b.Span(&other)
	})
	bring(t, s, second, start.Add(time.Minute), func(b *store.Batch) {
		row := intended(1, 6, "why 6")
		b.Span(&row)
		silent := intended(1, 7, "")
		b.Span(&silent)
		again := intended(1, 1, "why 1") // sent again after a day
		b.Span(&again)
	})
	bring(t, s, third, start.Add(time.Minute), func(b *store.Batch) {
		silent := intended(3, 1, "")
		b.Span(&silent)
	})
	one, two := store.IntentSegment{Segment: first, Received: start, Spans: 5}, store.IntentSegment{Segment: second, Received: start.Add(time.Minute), Spans: 2}
	recent := func(since time.Time, want ...store.IntentSegment) {
		t.Helper()
		got, err := s.IntentSegments(t.Context(), since)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("since %v: %v\n%s", since, err, diff)
		}
	}
	recent(time.UnixMilli(0), one, two)
	recent(start.Add(time.Millisecond), two)
	recent(start.Add(time.Hour))
	backlog := func(e store.Embedding, want ...store.IntentSegment) {
		t.Helper()
		got, err := s.IntentBacklog(t.Context(), e)
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("backlog of %v: %v\n%s", e, err, diff)
		}
	}
	spans := func(of store.IntentSegment, e store.Embedding, after uint64, limit int, want ...uint64) {
		t.Helper()
		page, err := s.IntentSpans(t.Context(), of, e, [16]byte{15: 1}, after, limit)
		var got []uint64
		for _, row := range page {
			got = append(got, row.SpanID)
			if row.Text != fmt.Sprintf("why %d", row.SpanID) || row.Time != int64(1000*row.SpanID) || row.Tool != "bash" || row.AgentPath != "/" || row.Source != "declared" || row.Project != "default" {
				t.Errorf("%+v", row)
			}
		}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("after %d: %v\n%s", after, err, diff)
		}
	}
	backlog(twoDimensions, one, two)
	spans(one, twoDimensions, 0, 3, 1, 2, 3)
	spans(one, twoDimensions, 3, 3, 4, 5)

	vector := func(b *store.Batch, span uint64, v ...float32) {
		b.Intent(&tables.Intent{Project: "default", TraceID: [16]byte{15: 1}, SpanID: span, Embedder: anEmbedder, Distance: -1, Vector: v})
	}
	bring(t, s, [16]byte{15: 9}, start.Add(time.Hour), func(b *store.Batch) {
		vector(b, 1, 1, 0)
		vector(b, 2) // no word in it
		vector(b, 6, 1, 0, 0)
	})
	one.Spans, two.Spans = 3, 1
	backlog(twoDimensions, one, two)
	backlog(store.Embedding{Name: anEmbedder}, one)
	two.Spans = 1
	backlog(store.Embedding{Name: anEmbedder, Dimensions: 3}, store.IntentSegment{Segment: first, Received: start, Spans: 4}, two)
	backlog(store.Embedding{Name: "another"}, store.IntentSegment{Segment: first, Received: start, Spans: 5}, store.IntentSegment{Segment: second, Received: start.Add(time.Minute), Spans: 2})
	spans(one, twoDimensions, 0, 10, 3, 4, 5)
	spans(two, twoDimensions, 0, 10, 6)
	spans(two, store.Embedding{Name: anEmbedder}, 0, 10)
}

// TestToolsOfOthers gives tool calls that state no intent what was said last in their trace when they began. Our
// own calls, and calls in silence, get none.
func TestToolsOfOthers(t *testing.T) {
	t.Parallel()
	s := open(t, embeddedtest.Database(t), store.Options{})
	at := time.UnixMilli(1_790_000_000_000).UTC()
	span := func(b *store.Batch, trace byte, id uint64, start int64, source, operation, text string) {
		row := intended(trace, id, text)
		row.Start, row.Source, row.Operation = start, source, operation
		if text == "" {
			row.IntentSource = ""
		}
		b.Span(&row)
	}
	talk, calls, silent := store.IntentSegment{Segment: [16]byte{15: 1}, Received: at, Spans: 2}, store.IntentSegment{Segment: [16]byte{15: 2}, Received: at.Add(time.Second), Spans: 4}, store.IntentSegment{Segment: [16]byte{15: 3}, Received: at, Spans: 1}
	bring(t, s, talk.Segment, talk.Received, func(b *store.Batch) {
		span(b, 1, 1, 100, tables.SourceOTLP, "chat", "first")
		span(b, 1, 2, 200, tables.SourceOTLP, "chat", "second")
	})
	bring(t, s, calls.Segment, calls.Received, func(b *store.Batch) {
		span(b, 1, 11, 50, tables.SourceOTLP, "execute_tool", "")
		span(b, 1, 12, 150, tables.SourceOTLP, "execute_tool", "")
		span(b, 1, 13, 200, tables.SourceOTLP, "execute_tool", "")
		span(b, 1, 14, 900, tables.SourceOTLP, "execute_tool", "its own")
		span(b, 1, 15, 900, tables.SourceTacho, "execute_tool", "")
		span(b, 1, 16, 900, tables.SourceOTLP, "chat", "")
	})
	bring(t, s, silent.Segment, silent.Received, func(b *store.Batch) { span(b, 2, 1, 900, tables.SourceOTLP, "execute_tool", "") })
	if got, err := s.IntentSegments(t.Context(), at); err != nil || !cmp.Equal(got, []store.IntentSegment{talk, silent, calls}) {
		t.Error(got, err)
	}
	if got, err := s.IntentBacklog(t.Context(), twoDimensions); err != nil || !cmp.Equal(got, []store.IntentSegment{talk, calls}) {
		t.Error(got, err)
	}
	page, err := s.IntentSpans(t.Context(), calls, twoDimensions, [16]byte{}, 0, 10)
	got := ""
	for _, row := range page {
		got += fmt.Sprintf("%d %s %q; ", row.SpanID, row.Source, row.Text)
	}
	if want := `12 derived "first"; 13 derived "second"; 14 declared "its own"; `; err != nil || got != want {
		t.Errorf("%s, want %s: %v", got, want, err)
	}
	if page, err := s.IntentSpans(t.Context(), silent, twoDimensions, [16]byte{}, 0, 10); err != nil || len(page) != 0 {
		t.Error(page, err)
	}
}

// TestNearestIntents compares what the question answers with what a loop over the same vectors finds, rows twice and
// vectors of other embedders among them.
func TestNearestIntents(t *testing.T) {
	t.Parallel()
	s := open(t, embeddedtest.Database(t), store.Options{})
	rows := []tables.Intent{
		{SpanID: 1, Vector: []float32{1, 0}, Distance: -1},
		{SpanID: 2, Vector: []float32{0, 1}},
		{SpanID: 3, Vector: []float32{3, 1}},
		{SpanID: 4, Vector: []float32{-1, 0}},
		{SpanID: 5, Vector: nil},
		{SpanID: 6, Vector: []float32{1, 0, 0}},
		{SpanID: 7, Vector: []float32{1, 0}, Embedder: "another"},
		{SpanID: 8, Vector: []float32{1, 0}, Project: "other"},
		{SpanID: 9, Vector: []float32{1, 1}},
	}
	for i := range rows {
		r := &rows[i]
		r.TraceID, r.Time, r.Text, r.Tool, r.AgentPath, r.Source = [16]byte{15: 1}, int64(1000*r.SpanID), fmt.Sprintf("it's\t'%d'", r.SpanID), "bash", "/2", "derived"
		if r.Embedder == "" {
			r.Embedder = anEmbedder
		}
		if r.Project == "" {
			r.Project = "default"
		}
	}
	for round := range byte(2) { // every row twice; the second time the first one's goal is known
		if round == 1 {
			rows[0].Distance = 0.25
		}
		bring(t, s, [16]byte{15: round}, time.UnixMilli(1_790_000_000_000), func(b *store.Batch) {
			for i := range rows {
				b.Intent(&rows[i])
			}
		})
	}
	ask := func(n store.Nearest) []store.NearIntent {
		t.Helper()
		n.Vector, n.Embedder = []float32{2, 0}, anEmbedder
		found, err := s.NearestIntents(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	near := func(span uint64, away float64, goal float32) store.NearIntent {
		return store.NearIntent{TraceID: [16]byte{15: 1}, SpanID: span, Time: time.Unix(0, int64(1000*span)).UTC(), AgentPath: "/2", Tool: "bash", Source: "derived",
			Text: fmt.Sprintf("it's\t'%d'", span), FromGoal: goal, Distance: float32(away)}
	}
	all := []store.NearIntent{near(1, 0, 0.25), near(3, 1-3/math.Sqrt(10), 0), near(9, 1-1/math.Sqrt2, 0), near(2, 1, 0), near(4, 2, 0)}
	about := cmpopts.EquateApprox(0, 1e-6)
	for _, c := range []struct {
		name string
		ask  store.Nearest
		want []store.NearIntent
	}{
		{"all", store.Nearest{}, all},
		{"two", store.Nearest{Limit: 2}, all[:2]},
		{"of a time", store.Nearest{From: time.Unix(0, 2000), To: time.Unix(0, 9000)}, []store.NearIntent{all[1], all[3], all[4]}},
	} {
		if diff := cmp.Diff(c.want, ask(c.ask), about); diff != "" {
			t.Errorf("%s:\n%s", c.name, diff)
		}
	}
	for _, vector := range [][]float32{nil, {0, 0}, {float32(math.NaN()), 1}, {float32(math.Inf(1)), 1}} {
		if found, err := s.NearestIntents(t.Context(), store.Nearest{Vector: vector, Embedder: anEmbedder}); err == nil {
			t.Errorf("%v: %v", vector, found)
		}
	}
}

// TestGoals reads goals from the journal's content, from messages, and from messages whose user comes behind the cut.
func TestGoals(t *testing.T) {
	t.Parallel()
	dsn := embeddedtest.Database(t)
	s := open(t, dsn, store.Options{})
	ours, short, long, talk, none := [16]byte{15: 1}, [16]byte{15: 2}, [16]byte{15: 3}, [16]byte{15: 4}, [16]byte{15: 5}
	name := sha256.Sum256([]byte("mend it"))
	whole := `[{"role":"system","content":"` + strings.Repeat("x", 5000) + `"},{"role":"user","content":"behind"}]`
	body := sha256.Sum256([]byte(whole))
	bring(t, s, [16]byte{15: 1}, time.UnixMilli(1_790_000_000_000), func(b *store.Batch) {
		b.Content(&tables.Content{Project: "default", Family: ours, Run: ours, Space: "content", Name: name, Parts: 1, Size: 7, Bytes: []byte("mend it")})
		b.Content(&tables.Content{Project: "default", Family: long, Run: long, Space: tables.SpaceAttribute, Name: body, Parts: 1, Bytes: []byte(whole)})
		talkFamily := tables.ConversationFamily("default", "talk", talk)
		b.Content(&tables.Content{Project: "default", Family: talkFamily, Run: talk, Space: tables.SpaceAttribute, Name: body, Parts: 1, Bytes: []byte(whole)})
		span := func(trace [16]byte, id uint64, messages string, cuts ...tables.Cut) {
			row := intended(trace[15], id, "")
			row.Source = tables.SourceOTLP
			if trace == talk {
				row.ConversationID = "talk"
			}
			if messages != "" {
				row.Attributes = []tables.Attr{{Key: "gen_ai.input.messages", Value: messages}}
			}
			row.Cut = cuts
			b.Span(&row)
		}
		cut := tables.Cut{Key: "gen_ai.input.messages", Size: uint64(len(whole)), Body: body}
		decoy := tables.Cut{Place: "event 1", Key: "gen_ai.input.messages", Body: [32]byte{1}}
		span(short, 3, `[{"role":"user","content":"later"}]`)
		span(short, 2, `[{"role":"system","content":"no"},{"role":"user","content":"first"}]`)
		span(short, 1, "")
		span(long, 1, whole[:tables.MaxValue], decoy, cut)
		span(talk, 1, whole[:tables.MaxValue], cut)
		span(none, 1, "")
	})
	if err := embeddedtest.Connect(t, dsn).Exec(t.Context(), "INSERT INTO runs (project, run, family, version, goal) SELECT 'default', ?, ?, 1, unhex(?)",
		uuid.UUID(ours).String(), uuid.UUID(ours).String(), hex.EncodeToString(name[:])); err != nil {
		t.Fatal(err)
	}
	got, err := s.Goals(t.Context(), slices.Concat([][16]byte{ours, short, long, talk, none}, [][16]byte{{15: 77}}))
	if err != nil {
		t.Fatal(err)
	}
	want := map[[16]byte]string{ours: "mend it", short: "first", long: "behind", talk: "behind"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got, err := s.Goals(t.Context(), nil); err != nil || len(got) != 0 {
		t.Error(got, err)
	}
}
