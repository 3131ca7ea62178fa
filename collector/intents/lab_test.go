package intents_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
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
	dsn := embeddedtest.InDatabase(t, embeddedtest.Open(t).DSN(), "tacho_intents") + "?dial_timeout=" + patience.String()
	name := uuid.NewString()
	s, err := store.Open(t.Context(), dsn, store.Options{Project: name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, table{embeddedtest.Connect(t, dsn), name}
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

func (w *words) Name() string { return w.name }

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

func (fixed) Name() string { return "fixed" }

func (fixed) Dimensions() int { return 1 }

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
