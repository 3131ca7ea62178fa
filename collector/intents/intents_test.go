package intents_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"tachograph/collector/intents"
	"tachograph/collector/store"
	"tachograph/collector/store/embedded/embeddedtest"
	"tachograph/schemas/tables"
)

func TestMain(m *testing.M) { embeddedtest.Main(m) }

// patience is for everything that happens sooner or later on a busy machine.
const patience = time.Minute

// never is for timers that must not be what a test passes by.
const never = 24 * time.Hour

// table is a connection past the store, to the rows of one project.
type table struct {
	driver.Conn
	project string
}

// project makes a store of a project of the test's own. All share a database, since making one takes seconds.
func project(t testing.TB) (*store.Store, table) {
	t.Helper()
	u, err := url.Parse(embeddedtest.Open(t).DSN())
	if err != nil {
		t.Fatal(err)
	}
	u.Path, u.RawQuery = "/tacho_intents", "dial_timeout="+patience.String()
	name := uuid.NewString()
	s, err := store.Open(t.Context(), u.String(), store.Options{Project: name})
	if err != nil {
		t.Fatal(err)
	}
	o, err := clickhouse.ParseDSN(u.String())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := clickhouse.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(conn.Close(), s.Close()); err != nil {
			t.Error(err)
		}
	})
	return s, table{conn, name}
}

// rows are the intents as they stand in the table, collapsed or not.
func rows(t testing.TB, conn table) (found []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	answer, err := conn.Query(ctx, `SELECT concat(substring(toString(trace_id), 36), '.', toString(span_id), ' ', embedder, ' ', text,
		' ', toString(length(vector)), ' ', toString(round(distance, 2))) AS line FROM intents WHERE project = ? ORDER BY trace_id, span_id, line`, conn.project)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Close()
	for answer.Next() {
		var line string
		if err := answer.Scan(&line); err != nil {
			t.Fatal(err)
		}
		found = append(found, line)
	}
	if err := answer.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}

// number asks for one number about the project's rows.
func number(t testing.TB, conn table, what string) (n int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := conn.QueryRow(ctx, "SELECT toInt64("+what+") FROM intents FINAL WHERE project = ?", conn.project).Scan(&n); err != nil {
		t.Fatal(what, err)
	}
	return n
}

// words is an embedder whose vectors can be told by eye: a component for each of its words, in the order of the list. It fails
// when it is told to, refuses texts with "refuse me", and counts how often it was asked for each text.
type words struct {
	name string
	list []string

	mu    sync.Mutex
	away  error
	asked map[string]int
}

func newWords(list ...string) *words {
	return &words{name: "words-1", list: list, asked: map[string]int{}}
}

func (w *words) Name() string    { return w.name }
func (w *words) Dimensions() int { return len(w.list) }

func (w *words) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(texts) == 0 {
		return nil, errors.New("asked for nothing")
	}
	if err := errors.Join(ctx.Err(), w.away); err != nil {
		return nil, err
	}
	vectors := make([][]float32, len(texts))
	for i, text := range texts {
		if text == "" {
			return nil, errors.New("an empty text")
		}
		if strings.Contains(text, "refuse me") {
			return nil, errors.New("a text is not allowed")
		}
		w.asked[text]++
		v := make([]float32, len(w.list))
		for j, word := range w.list {
			v[j] = float32(strings.Count(text, word))
		}
		if slices.Max(v) > 0 {
			vectors[i] = v
		}
	}
	return vectors, nil
}

func (w *words) setAway(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away = err
}

func (w *words) times(text string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked[text]
}

func start(t testing.TB, c intents.Config) *intents.Worker {
	t.Helper()
	if c.Every == 0 {
		c.Every = never
	}
	w, err := intents.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func drain(t testing.TB, w *intents.Worker) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := w.Drain(ctx); err != nil {
		t.Fatal(err)
	}
}

// span is a row of a span with an intent, or with messages.
func span(trace byte, id uint64, intent, messages string) tables.Span {
	var s tables.Span
	s.Reset()
	s.TraceID, s.SpanID, s.Start = [16]byte{15: trace}, id, int64(id)
	s.Source, s.IntentText, s.IntentSource = tables.SourceOTLP, intent, "derived"
	if messages != "" {
		s.Attributes = []tables.Attr{{Key: "gen_ai.input.messages", Value: messages}}
	}
	return s
}

func insert(t testing.TB, s *store.Store, received time.Time, spans ...tables.Span) {
	t.Helper()
	b := store.NewBatch(uuid.New(), received)
	for i := range spans {
		spans[i].Project = s.Project()
		b.Span(&spans[i])
	}
	if err := s.Insert(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

// TestRows holds what rows are written: with and without a goal, without words, refused, texts that repeat.
func TestRows(t *testing.T) {
	t.Parallel()
	s, conn := project(t)
	e := newWords("read", "test", "mend")
	const goal = `[{"role":"user","content":"mend the test"}]`
	insert(t, s, time.Now(), span(1, 1, "mend the test", goal), span(1, 2, "read", ""), span(1, 3, "test, test", ""), span(1, 4, "…", ""),
		span(1, 5, "refuse me", ""), span(1, 6, "read", ""), span(1, 7, "", ""), span(2, 1, "read", ""))
	w := start(t, intents.Config{Store: s, Embedder: e})
	drain(t, w)
	want := []string{"1.1 words-1 mend the test 3 0", "1.2 words-1 read 3 1", "1.3 words-1 test, test 3 0.29", "1.4 words-1 … 0 -1", "1.5 words-1 refuse me 0 -1",
		"1.6 words-1 read 3 1", "2.1 words-1 read 3 -1"}
	if diff := cmp.Diff(want, rows(t, conn)); diff != "" {
		t.Error(diff)
	}
	got := w.Stats()
	if diff := cmp.Diff(intents.Stats{Embedder: "words-1", Dimensions: 3, Written: 7, Wordless: 1, Refused: 1, NoGoal: 1}, got); diff != "" {
		t.Error(diff)
	}
	near, err := s.NearestIntents(t.Context(), store.Nearest{Vector: []float32{1, 0, 0}, Embedder: e.Name(), Limit: 3})
	if err != nil || len(near) != 3 || near[0].Text != "read" || near[1].Text != "read" || near[2].Text != "read" {
		t.Error(near, err)
	}
}

// TestWake holds that a hint is enough, without a timer, and that what is done is not done again.
func TestWake(t *testing.T) {
	t.Parallel()
	s, conn := project(t)
	e := newWords("a")
	passes := &watched{Store: s, inserted: make(chan struct{}, 10)}
	w := start(t, intents.Config{Store: passes, Embedder: e})
	drain(t, w)
	insert(t, s, time.Now(), span(1, 1, "a one", ""))
	w.Wake()
	passes.wait(t)
	insert(t, s, time.Now(), span(1, 2, "a two", ""))
	w.Wake()
	passes.wait(t)
	drain(t, w)
	if diff := cmp.Diff([]string{"1.1 words-1 a one 1 -1", "1.2 words-1 a two 1 -1"}, rows(t, conn)); diff != "" {
		t.Error(diff)
	}
	if e.times("a one") != 1 || e.times("a two") != 1 {
		t.Errorf("embedded %d and %d times", e.times("a one"), e.times("a two"))
	}
}

// TestTimer holds that no hint is needed.
func TestTimer(t *testing.T) {
	t.Parallel()
	s, _ := project(t)
	passes := &watched{Store: s, inserted: make(chan struct{}, 10)}
	start(t, intents.Config{Store: passes, Embedder: newWords("a"), Every: time.Millisecond})
	insert(t, s, time.Now(), span(1, 1, "a", ""))
	passes.wait(t)
}

// TestManyPages does more traces than fit on a page, in segments of any age, then changes the embedder.
func TestManyPages(t *testing.T) {
	t.Parallel()
	s, conn := project(t)
	const n = 100
	var all []tables.Span
	for i := range n {
		row := span(0, 1, fmt.Sprintf("a %d", i), "")
		h := fnv.New128a()
		fmt.Fprint(h, i)
		row.TraceID = [16]byte(h.Sum(nil))
		all = append(all, row)
	}
	insert(t, s, time.Now(), all[:60]...)
	insert(t, s, time.Now().Add(-100*24*time.Hour), all[60:]...)
	e := newWords("a")
	w := start(t, intents.Config{Store: s, Embedder: e, Batch: 3, Page: 7})
	drain(t, w)
	if got := number(t, conn, "count()"); got != n {
		t.Errorf("%d rows of %d", got, n)
	}
	for i := range n {
		if got := e.times(fmt.Sprintf("a %d", i)); got != 1 {
			t.Errorf("text %d was embedded %d times", i, got)
		}
	}
	if got := w.Stats(); got.Pending != 0 || !got.Oldest.IsZero() || got.Written != n {
		t.Errorf("%+v", got)
	}
	other := newWords("a", "b")
	other.name = "words-2"
	drain(t, start(t, intents.Config{Store: s, Embedder: other}))
	if got := number(t, conn, "countIf(embedder = 'words-2' AND length(vector) = 2)"); got != n {
		t.Errorf("%d rows of %d of the new embedder", got, n)
	}
}

// TestLateSegment stores a segment that was received long ago, as a spool does that could not be stored: a pass does
// not see it, a sweep does, and one that is late but within the overlap brings the next sweep near.
func TestLateSegment(t *testing.T) {
	t.Parallel()
	s, conn := project(t)
	clock := &clock{now: time.Now()}
	passes := &watched{Store: s, inserted: make(chan struct{}, 10), backlogs: make(chan struct{}, 100)}
	w := start(t, intents.Config{Store: passes, Embedder: newWords("a"), Now: clock.read})
	drain(t, w)
	insert(t, s, clock.read().Add(-time.Hour), span(1, 1, "a early", ""))
	insert(t, s, clock.read().Add(-10*time.Minute), span(1, 2, "a late", ""))
	w.Wake()
	passes.wait(t)
	if diff := cmp.Diff([]string{"1.2 words-1 a late 1 -1"}, rows(t, conn)); diff != "" {
		t.Error(diff)
	}
	clock.add(time.Minute) // not yet the time of a sweep, but for the late one
	for len(rows(t, conn)) < 2 {
		w.Wake()
		passes.wait(t)
	}
}

// TestAway has embedder and store fail for a while; nothing is lost, and what was embedded is not embedded again.
func TestAway(t *testing.T) {
	t.Parallel()
	s, conn := project(t)
	e := newWords("a")
	flaky := &watched{Store: s, inserted: make(chan struct{}, 10), failures: make(chan struct{}, 1000)}
	insert(t, s, time.Now(), span(1, 1, "a one", ""), span(1, 2, "a two", ""))
	e.setAway(errors.New("connection refused"))
	w := start(t, intents.Config{Store: flaky, Embedder: e, MaxWait: time.Millisecond, Every: time.Millisecond})
	failing := drainError(t, w)
	if !strings.Contains(failing, "connection refused") || len(rows(t, conn)) != 0 {
		t.Error(failing, rows(t, conn))
	}
	if got := w.Stats(); got.Pending != 2 || got.Oldest.IsZero() || got.Failures == 0 || got.Refused != 0 || !strings.Contains(got.LastFailure, "connection refused") {
		t.Errorf("%+v", got)
	}
	flaky.setAway(errors.New("ClickHouse is away"))
	e.setAway(nil)
	for range 3 {
		<-flaky.failures
	}
	flaky.setAway(nil)
	flaky.wait(t)
	drain(t, w)
	if diff := cmp.Diff([]string{"1.1 words-1 a one 1 -1", "1.2 words-1 a two 1 -1"}, rows(t, conn)); diff != "" {
		t.Error(diff)
	}
	if e.times("a one") != 1 {
		t.Errorf("embedded %d times", e.times("a one"))
	}
}

// tiring answers so many questions, and then is away.
type tiring struct {
	*words
	left int
}

func (e *tiring) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	if e.left == 0 {
		return nil, errors.New("come again tomorrow")
	}
	e.left--
	return e.words.Embed(ctx, texts)
}

// TestAwayInAPage has an embedder that answers one question and is away before the page is done: what it did is
// written, and not asked for again.
func TestAwayInAPage(t *testing.T) {
	t.Parallel()
	s, conn := project(t)
	insert(t, s, time.Now(), span(1, 1, "a one", ""), span(1, 2, "a two", ""), span(1, 3, "a three", ""))
	e := &tiring{newWords("a"), 1}
	w := start(t, intents.Config{Store: s, Embedder: e, Batch: 2, Page: 10, Every: never, MaxWait: never})
	if failing := drainError(t, w); !strings.Contains(failing, "come again") {
		t.Error(failing)
	}
	if diff := cmp.Diff([]string{"1.1 words-1 a one 1 -1", "1.2 words-1 a two 1 -1"}, rows(t, conn)); diff != "" {
		t.Error(diff)
	}
	again := newWords("a")
	drain(t, start(t, intents.Config{Store: s, Embedder: again}))
	if len(rows(t, conn)) != 3 || again.times("a one") != 0 || again.times("a three") != 1 {
		t.Errorf("%v; embedded again %d times", rows(t, conn), again.times("a one"))
	}
}

// TestUnclearAnswers has inserts that succeed and say that they failed, and workers that end in between: each intent
// has its row, and readers see it once.
func TestUnclearAnswers(t *testing.T) {
	t.Parallel()
	s, conn := project(t)
	e := newWords("a")
	var all []tables.Span
	for i := range 60 {
		all = append(all, span(1, uint64(i+1), fmt.Sprintf("a %d", i), ""))
	}
	insert(t, s, time.Now(), all...)
	for life := range 3 {
		unclear := &watched{Store: s, unclear: true, failAfter: life + 1}
		w, err := intents.Open(t.Context(), intents.Config{Store: unclear, Embedder: e, Batch: 3, Page: 6, Every: never})
		if err != nil {
			t.Fatal(err)
		}
		drainError(t, w)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	drain(t, start(t, intents.Config{Store: s, Embedder: e, Batch: 3, Page: 6}))
	if n := number(t, conn, "count()"); n != 60 {
		t.Errorf("%d rows", n)
	}
	near, err := s.NearestIntents(t.Context(), store.Nearest{Vector: []float32{1}, Embedder: e.Name(), Limit: 100})
	if err != nil || len(near) != 60 {
		t.Error(len(near), err)
	}
	for i := range 60 {
		if got := e.times(fmt.Sprintf("a %d", i)); got != 1 {
			t.Errorf("text %d was embedded %d times", i, got)
		}
	}
}

// TestErasedMeanwhile erases a trace between the reading of its intents and the writing of their rows.
func TestErasedMeanwhile(t *testing.T) {
	t.Parallel()
	s, conn := project(t)
	insert(t, s, time.Now(), span(1, 1, "a secret", ""), span(2, 1, "a b", ""))
	erasing := &watched{Store: s, before: func() {
		if err := s.DeleteFamily(context.Background(), [16]byte{15: 1}); err != nil {
			t.Error(err)
		}
	}}
	drain(t, start(t, intents.Config{Store: erasing, Embedder: newWords("a")}))
	if diff := cmp.Diff([]string{"2.1 words-1 a b 1 -1"}, rows(t, conn)); diff != "" {
		t.Error(diff)
	}
}

// TestTwoWorkers has two on one database.
func TestTwoWorkers(t *testing.T) {
	t.Parallel()
	s, conn := project(t)
	var all []tables.Span
	for i := range 100 {
		all = append(all, span(1, uint64(i+1), fmt.Sprintf("a %d", i), ""))
	}
	insert(t, s, time.Now(), all...)
	a, b := start(t, intents.Config{Store: s, Embedder: newWords("a"), Batch: 25}), start(t, intents.Config{Store: s, Embedder: newWords("a"), Batch: 25})
	drain(t, a)
	drain(t, b)
	near, err := s.NearestIntents(t.Context(), store.Nearest{Vector: []float32{1}, Embedder: "words-1", Limit: 1000})
	if err != nil || len(near) != 100 {
		t.Error(len(near), err)
	}
	if n := number(t, conn, "count()"); n != 100 {
		t.Errorf("%d rows after collapse", n)
	}
}

// TestBadEmbedder holds that answers that cannot be vectors are errors and stored nowhere.
func TestBadEmbedder(t *testing.T) {
	t.Parallel()
	s, conn := project(t)
	insert(t, s, time.Now(), span(1, 1, "a", ""))
	for name, answer := range map[string][][]float32{
		"returned 0 vectors": {},
		"2 dimensions":       {{1, 2}},
		"length NaN":         {{float32(math.NaN())}},
		"length +Inf":        {{float32(math.Inf(1))}},
		"length 0":           {{0}},
	} {
		w := start(t, intents.Config{Store: s, Embedder: fixed(answer)})
		if got := drainError(t, w); !strings.Contains(got, name) {
			t.Errorf("want %q: %s", name, got)
		}
	}
	if got := rows(t, conn); len(got) != 0 {
		t.Error(got)
	}
}

// TestOpenAndClose holds what Open refuses, and that nothing waits for ever after Close.
func TestOpenAndClose(t *testing.T) {
	t.Parallel()
	s, _ := project(t)
	for _, c := range []intents.Config{{}, {Store: s}, {Embedder: newWords("a")}, {Store: s, Embedder: &words{}}} {
		if _, err := intents.Open(t.Context(), c); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
	w := start(t, intents.Config{Store: s, Embedder: newWords("a")})
	if err := errors.Join(w.Close(), w.Close()); err != nil {
		t.Error(err)
	}
	w.Wake()
	if err := w.Drain(t.Context()); !errors.Is(err, intents.ErrClosed) {
		t.Error(err)
	}
	if diff := cmp.Diff(intents.Stats{Embedder: "words-1", Dimensions: 1}, w.Stats(), cmpopts.IgnoreFields(intents.Stats{}, "Failures", "LastFailure", "LastFailureAt")); diff != "" {
		t.Error(diff)
	}
}

func drainError(t testing.TB, w *intents.Worker) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := w.Drain(ctx)
	if err == nil {
		t.Error("no error")
		return ""
	}
	return err.Error()
}

// fixed is an embedder with one answer of one dimension.
type fixed [][]float32

func (fixed) Name() string                                           { return "fixed" }
func (fixed) Dimensions() int                                        { return 1 }
func (f fixed) Embed(context.Context, []string) ([][]float32, error) { return f, nil }

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) read() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// watched is the store, seen from outside, and failing when it is told to.
type watched struct {
	*store.Store
	inserted  chan struct{} // an insert has succeeded
	failures  chan struct{} // an insert has failed
	backlogs  chan struct{}
	unclear   bool // inserts that fail have been done
	failAfter int  // inserts; 0: never
	before    func()

	mu      sync.Mutex
	away    error
	inserts int
}

func (w *watched) setAway(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away = err
}

func (w *watched) wait(t testing.TB) {
	t.Helper()
	select {
	case <-w.inserted:
	case <-time.After(patience):
		t.Fatal("nothing was inserted")
	}
}

func (w *watched) Insert(ctx context.Context, b *store.Batch) error {
	w.mu.Lock()
	away := w.away
	w.inserts++
	if w.failAfter > 0 && w.inserts >= w.failAfter {
		away = errors.New("the connection broke")
	}
	w.mu.Unlock()
	if w.before != nil {
		w.before()
	}
	if away == nil || w.unclear {
		if err := w.Store.Insert(ctx, b); err != nil {
			return err
		}
	}
	told := w.inserted
	if away != nil {
		told = w.failures
	}
	if told != nil {
		told <- struct{}{}
	}
	return away
}
