package intents_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tachograph/collector/intents"
	"tachograph/collector/store"
	"tachograph/schemas/tables"
)

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
