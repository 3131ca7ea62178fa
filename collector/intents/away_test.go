package intents_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tachograph/collector/intents"
	"tachograph/collector/store"
	"tachograph/schemas/tables"
)

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
