package intents

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/google/uuid"

	"tachograph/collector/store"
	"tachograph/schemas/tables"
)

// segment does one segment, a page after the other.
func (w *Worker) segment(ctx context.Context, s store.IntentSegment) error {
	var trace [16]byte
	var span uint64
	for {
		page, err := w.config.Store.IntentSpans(ctx, s, w.embedding(), trace, span, w.config.Page)
		if err != nil || len(page) == 0 {
			return err
		}
		if err := w.page(ctx, page); err != nil {
			return err
		}
		last := page[len(page)-1]
		trace, span = last.TraceID, last.SpanID
		if len(page) < w.config.Page {
			return nil
		}
	}
}

// page embeds some intents and writes their rows. Where the embedder fails, those that have their vectors are written all the
// same: they may have cost money, and one that is away now and then would never get through a page.
func (w *Worker) page(ctx context.Context, page []tables.Intent) error {
	batch := store.NewBatch(uuid.New(), w.config.Now())
	batch.Fresh = true
	var failed error
	for some := range slices.Chunk(page, w.config.Batch) {
		if failed = w.fill(ctx, batch, some); failed != nil {
			break
		}
	}
	if batch.Rows() == 0 {
		return failed
	}
	w.unsent, w.check = batch, traces(page[:batch.Rows()])
	return errors.Join(failed, w.send(ctx))
}

// fill embeds the texts of some intents, all in one question, and adds their rows.
func (w *Worker) fill(ctx context.Context, batch *store.Batch, some []tables.Intent) error {
	texts, at := unique(some)
	vectors, refused, err := w.embed(ctx, texts)
	if err != nil {
		return err
	}
	if err := w.learnGoals(ctx, some); err != nil {
		return err
	}
	var sum Stats
	for i := range some {
		row := &some[i]
		row.Embedder, row.Vector = w.config.Embedder.Name(), vectors[at[i]]
		goal := w.goals[row.TraceID]
		row.Distance = distance(row.Vector, goal)
		switch {
		case refused[at[i]]:
			sum.Refused++
		case row.Vector == nil:
			sum.Wordless++
		case goal == nil:
			sum.NoGoal++
		}
		batch.Intent(row)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stats.Wordless += sum.Wordless
	w.stats.Refused += sum.Refused
	w.stats.NoGoal += sum.NoGoal
	return nil
}

// send inserts the rows in hand. They are kept until that succeeds, since vectors may have cost money. Then it sees
// to it that none stays of a family that was erased while its texts were embedded.
func (w *Worker) send(ctx context.Context) error {
	if w.unsent != nil {
		if err := w.config.Store.Insert(ctx, w.unsent); err != nil {
			return fmt.Errorf("store vectors of intents: %w", err)
		}
		w.mu.Lock()
		w.stats.Written += int64(w.unsent.Rows())
		w.mu.Unlock()
		w.unsent = nil
	}
	if len(w.check) > 0 {
		if err := w.config.Store.ForgetIntents(ctx, w.check); err != nil {
			return err
		}
		w.check = nil
	}
	return nil
}

// traces are those of a page, each once.
func traces(page []tables.Intent) (all [][16]byte) {
	known := map[[16]byte]bool{}
	for _, row := range page {
		if !known[row.TraceID] {
			known[row.TraceID] = true
			all = append(all, row.TraceID)
		}
	}
	return all
}

// unique are the texts of a page, each once, and which of them each row has.
func unique(page []tables.Intent) (texts []string, at []int) {
	known := map[string]int{}
	for _, row := range page {
		n, ok := known[row.Text]
		if !ok {
			n = len(texts)
			known[row.Text] = n
			texts = append(texts, row.Text)
		}
		at = append(at, n)
	}
	return texts, at
}

// probe is a text that every embedder takes.
const probe = "hello"

// embed makes vectors of texts, nil for those without a direction. Where the embedder refuses them all at once, it is
// asked for halves: so one text that it does not take costs a few questions, and is named in refused.
func (w *Worker) embed(ctx context.Context, texts []string) (vectors [][]float32, refused []bool, err error) {
	vectors, err = w.ask(ctx, texts)
	if err == nil {
		return vectors, make([]bool, len(texts)), nil
	}
	if ctx.Err() != nil {
		return nil, nil, err
	}
	// Is it the texts, or is the embedder away?
	if _, away := w.ask(ctx, []string{probe}); away != nil {
		return nil, nil, err
	}
	if len(texts) == 1 {
		w.config.Log.Warn("the embedder does not take the text of an intent; it gets no vector", "bytes", len(texts[0]), "error", err)
		return make([][]float32, 1), []bool{true}, nil
	}
	half := len(texts) / 2
	for _, some := range [][]string{texts[:half], texts[half:]} {
		v, r, err := w.embed(ctx, some)
		if err != nil {
			return nil, nil, err
		}
		vectors, refused = append(vectors, v...), append(refused, r...)
	}
	return vectors, refused, nil
}

// ask asks the embedder once, and trusts nothing of the answer.
func (w *Worker) ask(ctx context.Context, texts []string) ([][]float32, error) {
	name := w.config.Embedder.Name()
	vectors, err := w.config.Embedder.Embed(ctx, texts)
	if err != nil {
		return nil, fmt.Errorf("embed %d intents with %s: %w", len(texts), name, err)
	}
	if len(vectors) != len(texts) {
		return nil, fmt.Errorf("embed %d intents with %s: it returned %d vectors", len(texts), name, len(vectors))
	}
	dimensions := w.config.Embedder.Dimensions()
	for i, v := range vectors {
		if len(v) == 0 {
			vectors[i] = nil
			continue
		}
		if dimensions > 0 && len(v) != dimensions {
			return nil, fmt.Errorf("embed intents with %s: a vector of %d dimensions, not %d", name, len(v), dimensions)
		}
		if length(v) == 0 || math.IsNaN(length(v)) || math.IsInf(length(v), 0) {
			return nil, fmt.Errorf("embed intents with %s: a vector of length %v", name, length(v))
		}
	}
	return vectors, nil
}

// maxGoals bounds the goals in memory. Beyond it all are forgotten, and those that are needed asked for again.
const maxGoals = 4096

// learnGoals makes vectors of the goals of a page's runs, as far as they are known. Unknown ones are asked for again with the
// next page: a goal may come later.
func (w *Worker) learnGoals(ctx context.Context, page []tables.Intent) error {
	if len(w.goals) > maxGoals {
		clear(w.goals)
	}
	unknown := slices.DeleteFunc(traces(page), func(t [16]byte) bool { return w.goals[t] != nil })
	if len(unknown) == 0 {
		return nil
	}
	found, err := w.config.Store.Goals(ctx, unknown)
	if err != nil {
		return err
	}
	var known [][16]byte
	var texts []string
	for _, trace := range unknown {
		if text := found[trace]; text != "" {
			known, texts = append(known, trace), append(texts, text)
		}
	}
	if len(texts) == 0 {
		return nil
	}
	vectors, _, err := w.embed(ctx, texts)
	if err != nil {
		return err
	}
	for i, trace := range known {
		if vectors[i] != nil {
			w.goals[trace] = vectors[i]
		}
	}
	return nil
}

// distance is the cosine distance of two vectors, 0 to 2; tables.Absent if there is one only.
func distance(a, b []float32) float32 {
	if len(a) == 0 || len(a) != len(b) {
		return tables.Absent
	}
	var product float64
	for i := range a {
		product += float64(a[i]) * float64(b[i])
	}
	return float32(min(2, max(0, 1-product/(length(a)*length(b)))))
}

func length(v []float32) float64 {
	var squares float64
	for _, x := range v {
		squares += float64(x) * float64(x)
	}
	return math.Sqrt(squares)
}
