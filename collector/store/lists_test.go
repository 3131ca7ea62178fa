package store_test

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"tachograph/collector/store"
	"tachograph/collector/store/embedded/embeddedtest"
	"tachograph/schemas/journal"
	"tachograph/schemas/journal/journaltest"
	"tachograph/schemas/record"
	"tachograph/schemas/tables"
)

// held counts the calls that wait for a person, as the state has them.
func held(s *journal.State) (n int64) {
	for _, a := range s.Agents() {
		for _, c := range a.Calls {
			if c.Phase == journal.CallIsHeld {
				n++
			}
		}
	}
	return n
}

// TestRunsAreAsTheFoldSays compares the list with the real fold, of random runs whose entries come in pieces, some twice,
// some late, over two stores that take turns.
func TestRunsAreAsTheFoldSays(t *testing.T) {
	t.Parallel()
	dsn := embeddedtest.Database(t)
	stores := []*store.Store{open(t, dsn, store.Options{}), open(t, dsn, store.Options{})}
	want := map[journal.RunID]*journal.State{}
	for seed := range byte(6) {
		run := runID(seed)
		r := story(t, uint64(seed)+10, run, 250)
		want[run] = r.State
		pieces := [][2]int{{0, 40}, {40, 90}, {30, 60}, {120, 180}, {90, 120}, {180, len(r.Lines)}}
		for i, p := range pieces {
			ingest(t, stores[i/(1+int(seed)%3)%2], func(b *store.Batch) {
				for _, line := range r.Lines[p[0]:p[1]] {
					b.Entry(entryRow(t, "default", run, line))
				}
			})
		}
	}
	runs, err := stores[0].Runs(t.Context(), store.Page{})
	if err != nil {
		t.Fatal(err)
	}
	if len(runs) != len(want) {
		t.Errorf("%d runs, want %d", len(runs), len(want))
	}
	for _, got := range runs {
		s := want[got.ID]
		expected := got
		expected.Status, expected.Why, expected.Goal, expected.Model = s.Status, s.Why, s.Goal, s.Model
		expected.Entries, expected.Tip, expected.Agents, expected.Held = s.Next, s.Tip, int64(len(s.Agents())), held(s)
		expected.Usage, expected.Limits, expected.Family, expected.ParentSeq = s.Usage, s.Limits, s.Family, -1
		if diff := cmp.Diff(expected, got); diff != "" {
			t.Errorf("run %s (want -, got +):\n%s", got.ID, diff)
		}
	}
}

// TestRunsAreListed reads goals, forks and pages.
func TestRunsAreListed(t *testing.T) {
	t.Parallel()
	s := open(t, embeddedtest.Database(t), store.Options{})
	parent := journaltest.NewRecorder(runID(1), nil)
	goal := journal.Ref{9}
	start := func(r *journaltest.Recorder, family journal.RunID, of *journal.Parent) {
		body := journal.RunStarted{Spec: journal.Ref{1}, Goal: goal, Model: "script/x", Family: family, Parent: of, Policy: journal.Ref{3}, Sandbox: "1", Limits: journal.Limits{Steps: 7}}
		if err := r.Append("/", &body); err != nil {
			t.Fatal(err)
		}
	}
	start(parent, runID(1), nil)
	fork := journaltest.NewRecorder(runID(2), parent.State)
	start(fork, runID(1), &journal.Parent{Run: runID(1), Seq: 0, Entry: parent.State.Tip, State: parent.State.Hash()})
	ingest(t, s, func(b *store.Batch) {
		b.Entry(entryRow(t, "default", runID(1), parent.Lines[0]))
		b.Entry(entryRow(t, "default", runID(1), fork.Lines[0]))
		b.Entry(entryRow(t, "elsewhere", runID(1), parent.Lines[0]))
		for _, row := range content(runID(1), 0, record.SpaceContent, goal, []byte("mend it"), 1000) {
			b.Content(row)
		}
	})
	runs, err := s.Runs(t.Context(), store.Page{})
	if err != nil || len(runs) != 2 {
		t.Fatalf("%d runs (%v)", len(runs), err)
	}
	for _, r := range runs {
		if r.GoalText != "mend it" || r.Limits.Steps != 7 || r.Family != runID(1) {
			t.Errorf("run %s: goal %q, limits %+v, family %s", r.ID, r.GoalText, r.Limits, r.Family)
		}
		if isFork := r.ID == runID(2); isFork != (r.ParentSeq == 0 && r.Parent == runID(1)) {
			t.Errorf("run %s: parent %s at %d", r.ID, r.Parent, r.ParentSeq)
		}
	}
	first, err := s.Runs(t.Context(), store.Page{Limit: 1})
	if err != nil || len(first) != 1 || first[0].ID != runs[0].ID {
		t.Fatalf("first page: %v (%v)", first, err)
	}
	second, err := s.Runs(t.Context(), store.Page{Limit: 5, Before: first[0].Started, BeforeRun: first[0].ID})
	if err != nil || len(second) != 1 || second[0].ID != runs[1].ID {
		t.Errorf("second page: %v (%v)", second, err)
	}
}

// TestTracesAreListed holds the numbers of other people's traces: usage counts where a model was called, not where an
// agent repeats it; absent is not 0.
func TestTracesAreListed(t *testing.T) {
	t.Parallel()
	dsn := embeddedtest.Database(t)
	s := open(t, dsn, store.Options{})
	at := int64(1_790_000_000_000_000_000)
	span := func(trace byte, id, parent uint64, operation string, change func(*tables.Span)) tables.Span {
		var r tables.Span
		r.Reset()
		r.Project, r.Source, r.TraceID, r.SpanID, r.ParentSpanID = "default", tables.SourceOTLP, [16]byte{15: trace}, id, parent
		r.Start, r.DurationNS, r.Operation, r.Name, r.Service = at+int64(id)*1e9, 5e8, operation, operation+" x", "svc"
		if change != nil {
			change(&r)
		}
		return r
	}
	rows := []tables.Span{
		span(1, 1, 0, "invoke_agent", func(r *tables.Span) { r.InputTokens, r.OutputTokens, r.DurationNS = 300, 30, 9e9 }),
		span(1, 2, 1, "chat", func(r *tables.Span) {
			r.InputTokens, r.OutputTokens, r.CachedTokens, r.CostNUSD, r.RequestModel, r.ConversationID = 100, 10, 50, 7, "kimi-k2.6", "talk"
		}),
		span(1, 3, 1, "chat", func(r *tables.Span) { r.InputTokens, r.OutputTokens = 200, 20 }),
		span(1, 4, 1, "execute_tool", func(r *tables.Span) { r.StatusCode, r.Tool = 2, "bash" }),
		span(2, 9, 8, "chat", func(r *tables.Span) { r.Start -= 3600e9 }), // its root has not ended
		span(3, 1, 0, "chat", func(r *tables.Span) { r.Source = tables.SourceTacho }),
		span(4, 1, 0, "chat", func(r *tables.Span) { r.Project = "elsewhere" }),
	}
	for _, part := range [][]tables.Span{rows[:3], rows[3:]} {
		ingest(t, s, func(b *store.Batch) {
			for i := range part {
				b.Span(&part[i])
			}
		})
	}
	got, err := s.Traces(t.Context(), store.TraceFilter{}, store.Page{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		if time.Since(got[i].Received) > time.Hour {
			t.Errorf("trace %d was received at %s", i, got[i].Received)
		}
		got[i].Received = time.Time{}
	}
	start := time.Unix(0, at).UTC()
	want := []store.Trace{
		{ID: [16]byte{15: 1}, Spans: 4, Service: "svc", Name: "invoke_agent x", HasRoot: true, Status: "done", Conversation: "talk", Model: "kimi-k2.6", Started: start.Add(time.Second),
			Ended: start.Add(10 * time.Second), Errors: 1, Answers: 2, Calls: 1, Agents: 1, Input: 300, Output: 30, Cached: 50, CostNUSD: 7, Unpriced: 1},
		{ID: [16]byte{15: 2}, Spans: 1, Service: "svc", Name: "chat x", Status: "done", Started: start.Add(9*time.Second - time.Hour), Ended: start.Add(9*time.Second - time.Hour + 500*time.Millisecond), Answers: 1, Unpriced: 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("traces (want -, got +):\n%s", diff)
	}
	if page, err := s.Traces(t.Context(), store.TraceFilter{}, store.Page{Limit: 9, Before: got[0].Started, BeforeRun: got[0].ID}); err != nil || len(page) != 1 || page[0].ID != got[1].ID {
		t.Errorf("second page: %v (%v)", page, err)
	}
}

// TestListUsesProjection holds that a list of traces does not read the spans.
func TestListUsesProjection(t *testing.T) {
	t.Parallel()
	dsn := embeddedtest.Database(t)
	s := open(t, dsn, store.Options{})
	for n := range 3 {
		ingest(t, s, func(b *store.Batch) {
			var r tables.Span
			r.Reset()
			r.Project, r.Source = "default", tables.SourceOTLP
			for i := range uint64(20_000) {
				r.SpanID, r.TraceID = i, [16]byte{14: byte(n), 15: byte(i % 10)}
				b.Span(&r)
			}
		})
	}
	question, err := os.ReadFile("traces.sql")
	if err != nil {
		t.Fatal(err)
	}
	ctx := clickhouse.Context(t.Context(),
		clickhouse.WithParameters(clickhouse.Parameters{"project": "default", "before": "0", "before_run": uuid.Nil.String(), "limit": "100",
			"first": uuid.Nil.String(), "last": uuid.Max.String(), "recent": "0", "status": "[]", "words": "[]"}),
		clickhouse.WithSettings(clickhouse.Settings{"optimize_use_projections": 1, "force_optimize_projection": 1, "force_optimize_projection_name": "trace_list"}))
	rows, err := embeddedtest.Connect(t, dsn).Query(ctx, string(question))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		n++
	}
	if err := rows.Err(); err != nil || n != 30 {
		t.Errorf("%d traces (%v)", n, err)
	}
}

// TestValuesAreNoSQL lists a project whose name is full of what SQL and its escapes are made of.
func TestValuesAreNoSQL(t *testing.T) {
	t.Parallel()
	dsn := embeddedtest.Database(t)
	for _, project := range []string{"it's", `\'; DROP TABLE runs; --`, "tab\tline\nnull\x00", "{project:String}", "日本", `\N`, "a\\tb"} {
		s := open(t, dsn, store.Options{Project: project})
		r := story(t, 3, runID(1), 10)
		ingest(t, s, func(b *store.Batch) {
			for _, line := range r.Lines {
				b.Entry(entryRow(t, project, runID(1), line))
			}
		})
		runs, err := s.Runs(t.Context(), store.Page{})
		if err != nil || len(runs) != 1 {
			t.Errorf("project %q: %d runs (%v)", project, len(runs), err)
		}
		if lines, err := read(t, s, runID(1), 0); err != nil || len(lines) != len(r.Lines) {
			t.Errorf("project %q: %d entries (%v)", project, len(lines), err)
		}
	}
}

// TestListBehind: what keeps the list of runs from following is said, after the entries are stored; the same insert, when
// that is over, brings the list and no entry twice. Nothing else would: these are the last entries of their run.
func TestListBehind(t *testing.T) {
	t.Parallel()
	dsn := embeddedtest.Database(t)
	s, run := open(t, dsn, store.Options{}), runID(1)
	r := story(t, 3, run, 60)
	b := store.NewBatch(uuid.New(), time.Now())
	for _, line := range r.Lines {
		b.Entry(entryRow(t, "default", run, line))
	}
	past := embeddedtest.Connect(t, dsn)
	execute := func(query string) {
		t.Helper()
		if err := past.Exec(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	execute("RENAME TABLE runs TO away")
	for range 2 {
		if err := s.Insert(t.Context(), b); !errors.Is(err, store.ErrListBehind) {
			t.Fatalf("without its table: %v", err)
		}
	}
	execute("RENAME TABLE away TO runs")
	if err := s.Insert(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	runs, err := s.Runs(t.Context(), store.Page{})
	if err != nil || len(runs) != 1 || runs[0].Entries != int64(len(r.Lines)) {
		t.Errorf("listed: %+v (%v)", runs, err)
	}
	var stored uint64
	if err := past.QueryRow(t.Context(), "SELECT count() FROM entries").Scan(&stored); err != nil || stored != uint64(len(r.Lines)) {
		t.Errorf("%d entries stored, want %d (%v)", stored, len(r.Lines), err)
	}
}

// TestListAfterLateBeginning: the end of a run is stored before its beginning, which the next process brings. The list then
// shows all of it, though the beginning alone would look like a run that has just begun.
func TestListAfterLateBeginning(t *testing.T) {
	t.Parallel()
	dsn, run := embeddedtest.Database(t), runID(1)
	r := story(t, 5, run, 80)
	for _, lines := range [][][]byte{r.Lines[50:], r.Lines[:50]} {
		ingest(t, open(t, dsn, store.Options{}), func(b *store.Batch) {
			for _, line := range lines {
				b.Entry(entryRow(t, "default", run, line))
			}
		})
	}
	runs, err := open(t, dsn, store.Options{}).Runs(t.Context(), store.Page{})
	if err != nil || len(runs) != 1 || runs[0].Entries != int64(len(r.Lines)) || runs[0].Tip != r.State.Tip {
		t.Errorf("listed: %+v (%v), want %d entries", runs, err, len(r.Lines))
	}
}

// TestListOfTwoCollectors: two collectors each bring parts of one run. Whatever the order in which they come, the list shows
// all of it after the last insert, with nothing that comes later.
func TestListOfTwoCollectors(t *testing.T) {
	t.Parallel()
	dsn := embeddedtest.Database(t)
	one, two := open(t, dsn, store.Options{}), open(t, dsn, store.Options{})
	bring := func(s *store.Store, run journal.RunID, lines [][]byte) {
		b := store.NewBatch(uuid.New(), time.Now())
		for _, line := range lines {
			b.Entry(entryRow(t, "default", run, line))
		}
		if err := s.Insert(t.Context(), b); err != nil {
			t.Error(err)
		}
	}
	listed := func(run journal.RunID, r *journaltest.Recorder) {
		t.Helper()
		if got, err := one.Run(t.Context(), run); err != nil || got.Entries != int64(len(r.Lines)) || got.Tip != r.State.Tip {
			t.Errorf("listed: %d entries (%v), want %d", got.Entries, err, len(r.Lines))
		}
	}
	first := story(t, 7, runID(1), 60)
	bring(one, runID(1), first.Lines[:20])
	bring(two, runID(1), first.Lines[40:]) // ahead of what is there
	bring(one, runID(1), first.Lines[20:40])
	listed(runID(1), first)

	for round := range byte(6) { // the same at one moment
		run := runID(round + 2)
		r := story(t, uint64(round)+10, run, 60)
		bring(one, run, r.Lines[:10])
		var both sync.WaitGroup
		both.Go(func() { bring(one, run, r.Lines[10:30]) })
		both.Go(func() { bring(two, run, r.Lines[30:]) })
		both.Wait()
		listed(run, r)
	}
}

// TestQuestionsOfManyRuns: what is asked of many runs at once, at each segment, reads what the primary key leads to, and not the table.
func TestQuestionsOfManyRuns(t *testing.T) {
	t.Parallel()
	dsn := embeddedtest.Database(t)
	open(t, dsn, store.Options{})
	conn := embeddedtest.Connect(t, dsn)
	const runs, entries = 500, 1000
	run := func(n int) string { return fmt.Sprintf("00000000-0000-7000-8000-%012x", n) }
	err := conn.Exec(t.Context(), fmt.Sprintf(`INSERT INTO entries (project, run, seq, hash) SELECT 'default',
		toUUID(concat('00000000-0000-7000-8000-', leftPad(lower(hex(intDiv(number, %[1]d))), 12, '0'))), number %% %[1]d, toFixedString('', 32) FROM numbers(%[2]d)`, entries, entries*runs))
	if err != nil {
		t.Fatal(err)
	}
	for name, parameter := range map[string]string{
		"has_next": fmt.Sprintf("[('%s',%d),('%s',%d),('%s',%d)]", run(3), entries-1, run(200), entries, run(499), 0),
		"ends":     fmt.Sprintf("['%s','%s']", run(7), run(300)),
	} {
		question, err := os.ReadFile(name + ".sql")
		if err != nil {
			t.Fatal(err)
		}
		ctx := clickhouse.Context(t.Context(), clickhouse.WithParameters(clickhouse.Parameters{"project": "default", "places": parameter, "runs": parameter}),
			clickhouse.WithSettings(clickhouse.Settings{"max_rows_to_read": entries * runs / 20}))
		rows, err := conn.Query(ctx, string(question))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		n := 0
		for rows.Next() {
			n++
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil || n != 2 {
			t.Errorf("%s: %d runs (%v), want 2", name, n, err)
		}
	}
}
