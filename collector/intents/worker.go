package intents

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"tachograph/collector/store"
	"tachograph/schemas/tables"
)

// Embedder turns texts into vectors. inference/embed.Hashed and inference.Embeddings are.
type Embedder interface {
	// Name is stored with each vector: only vectors of one name are compared.
	Name() string
	// Dimensions of the vectors; 0 while it does not know.
	Dimensions() int
	// Embed returns a vector for each text, in order; nil for a text that has no direction. After an
	// error there are none.
	Embed(ctx context.Context, texts []string) ([][]float32, error)
}

// Store is what the worker reads and writes. *store.Store is one.
type Store interface {
	IntentSegments(ctx context.Context, since time.Time) ([]store.IntentSegment, error)
	IntentBacklog(ctx context.Context, e store.Embedding) ([]store.IntentSegment, error)
	IntentSpans(ctx context.Context, of store.IntentSegment, e store.Embedding, afterTrace [16]byte, afterSpan uint64, limit int) ([]tables.Intent, error)
	Goals(ctx context.Context, traces [][16]byte) (map[[16]byte]string, error)
	Insert(ctx context.Context, b *store.Batch) error
	ForgetIntents(ctx context.Context, traces [][16]byte) error
}

// Config of a Worker. Zero values mean the defaults given.
type Config struct {
	Store    Store
	Embedder Embedder

	Every   time.Duration // a pass without a hint; 2 s
	Sweep   time.Duration // a look at everything; 10 min
	Overlap time.Duration // how much later than others a segment may be stored and be seen by a pass; 15 min
	Batch   int           // rows whose texts are embedded at once; 512
	Page    int           // rows read and inserted at once, since each question reads what tells segments apart of the whole table; 8 Batch
	MaxWait time.Duration // between attempts while the embedder or the store is away; 1 min

	Log *slog.Logger
	Now func() time.Time // time.Now
}

func (c Config) withDefaults() (Config, error) {
	if c.Store == nil || c.Embedder == nil {
		return c, errors.New("open intents: Store and Embedder must be set")
	}
	if c.Embedder.Name() == "" {
		return c, errors.New("open intents: the embedder has no name to store with its vectors")
	}
	def(&c.Every, 2*time.Second)
	def(&c.Sweep, 10*time.Minute)
	def(&c.Overlap, 15*time.Minute)
	def(&c.Batch, 512)
	def(&c.Page, 8*c.Batch)
	def(&c.MaxWait, time.Minute)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c, nil
}

func def[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// firstWait is after the first failed attempt; it doubles up to Config.MaxWait.
const firstWait = 500 * time.Millisecond

// lateSweep is how soon a sweep follows when a segment shows that others may come late too.
const lateSweep = time.Minute

// Worker embeds what comes until it is closed.
type Worker struct {
	config Config
	wake   chan struct{}
	drains chan chan error
	stop   context.CancelFunc
	ended  chan struct{}

	// Of the goroutine.
	seen    time.Time // when the last good pass asked
	sweepAt time.Time
	done    map[[16]byte]time.Time // segments that are finished, and when they were received
	unsent  *store.Batch           // rows that are not stored yet
	check   [][16]byte             // traces with new rows, which may have been erased meanwhile
	goals   map[[16]byte][]float32 // vectors of runs' goals

	mu    sync.Mutex
	stats Stats
}

// Open starts a worker. It does not wait for the store or the embedder: either may be away. ctx bounds only the opening.
func Open(ctx context.Context, config Config) (*Worker, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open intents: %w", err)
	}
	w := &Worker{config: config, wake: make(chan struct{}, 1), drains: make(chan chan error), ended: make(chan struct{}),
		done: map[[16]byte]time.Time{}, goals: map[[16]byte][]float32{}}
	var running context.Context
	running, w.stop = context.WithCancel(context.Background())
	go w.run(running)
	return w, nil
}

// Wake says that something was stored. It never waits, and may be called from anywhere at any rate, also
// after Close.
func (w *Worker) Wake() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// ErrClosed is of calls after Close.
var ErrClosed = errors.New("the worker of intents is closed")

// Drain makes a sweep now, and returns when every intent that was stored before the call has its row; or with the
// error that the sweep ended with.
func (w *Worker) Drain(ctx context.Context) error {
	answer := make(chan error, 1)
	select {
	case w.drains <- answer:
	case <-w.ended:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("drain intents: %w", ctx.Err())
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return fmt.Errorf("drain intents: %w", ctx.Err())
	}
}

// Close ends the worker. What it has not done is done by the next one.
func (w *Worker) Close() error {
	w.stop()
	<-w.ended
	return nil
}

// run makes passes until ctx ends.
func (w *Worker) run(ctx context.Context) {
	defer close(w.ended)
	failed := 0
	for {
		err := w.pass(ctx, !w.config.Now().Before(w.sweepAt))
		if ctx.Err() != nil {
			return
		}
		wait, wake := w.config.Every, w.wake
		if err == nil {
			failed = 0
		} else {
			w.note(err, failed)
			wait, wake = min(w.config.MaxWait, firstWait<<min(failed, 20)), nil // a hint does not bring it back
			failed++
		}
		if !w.sleep(ctx, wait, wake) {
			return
		}
	}
}

// sleep waits for a hint, or so long, and does what Drain asks meanwhile. It returns false when ctx ends.
func (w *Worker) sleep(ctx context.Context, wait time.Duration, wake <-chan struct{}) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-wake:
			return true
		case answer := <-w.drains:
			err := w.pass(ctx, true)
			if err != nil && ctx.Err() == nil {
				w.note(err, 0)
			}
			answer <- err
		}
	}
}

// note counts an error and says it, at first and then rarely.
func (w *Worker) note(err error, before int) {
	w.mu.Lock()
	w.stats.Failures++
	w.stats.LastFailure, w.stats.LastFailureAt = err.Error(), w.config.Now()
	w.mu.Unlock()
	if before == 0 || before%20 == 0 {
		w.config.Log.Warn("vectors of intents are not up to date; it is tried again", "tries", before+1, "error", err)
	}
}

// embedding is what the vectors are stored under.
func (w *Worker) embedding() store.Embedding {
	return store.Embedding{Name: w.config.Embedder.Name(), Dimensions: w.config.Embedder.Dimensions()}
}

// pass does all that is there to do. A sweep looks at everything, else at what came lately.
func (w *Worker) pass(ctx context.Context, sweep bool) error {
	if err := w.send(ctx); err != nil {
		return err
	}
	asked := w.config.Now()
	if w.seen.IsZero() {
		w.seen = asked
	}
	since := w.seen.Add(-w.config.Overlap)
	recent, err := w.config.Store.IntentSegments(ctx, since)
	if err != nil {
		return err
	}
	todo := w.unfinished(recent)
	if sweep {
		// After the list of recent ones: what is in that and not in this is finished.
		if todo, err = w.config.Store.IntentBacklog(ctx, w.embedding()); err != nil {
			return err
		}
		w.finish(recent, todo)
	}
	if err := w.all(ctx, todo); err != nil {
		return err
	}
	w.seen = asked
	w.plan(asked, sweep, todo)
	for id, received := range w.done {
		if received.Before(since) {
			delete(w.done, id)
		}
	}
	return nil
}

// unfinished are those of the segments that are not done.
func (w *Worker) unfinished(segments []store.IntentSegment) (left []store.IntentSegment) {
	for _, s := range segments {
		if _, done := w.done[s.Segment]; !done {
			left = append(left, s)
		}
	}
	return left
}

// finish remembers the recent segments that a sweep found nothing to do in.
func (w *Worker) finish(recent, todo []store.IntentSegment) {
	open := map[[16]byte]bool{}
	for _, s := range todo {
		open[s.Segment] = true
	}
	for _, s := range recent {
		if !open[s.Segment] {
			w.done[s.Segment] = s.Received
		}
	}
}

// all does one segment after another, oldest first.
func (w *Worker) all(ctx context.Context, segments []store.IntentSegment) error {
	w.lag(segments)
	for i, s := range segments {
		if err := w.segment(ctx, s); err != nil {
			return err
		}
		w.done[s.Segment] = s.Received
		w.lag(segments[i+1:])
	}
	return nil
}

// plan sets when everything is looked at next. Segments that were stored late say that the collector has a backlog, of which
// older ones may follow.
func (w *Worker) plan(now time.Time, swept bool, done []store.IntentSegment) {
	if swept {
		w.sweepAt = now.Add(w.config.Sweep)
	}
	for _, s := range done {
		if now.Sub(s.Received) > w.config.Overlap/2 && w.sweepAt.After(now.Add(lateSweep)) {
			w.sweepAt = now.Add(lateSweep)
			return
		}
	}
}

// lag shows what is left to do.
func (w *Worker) lag(left []store.IntentSegment) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stats.Pending, w.stats.Oldest = 0, time.Time{}
	for _, s := range left {
		w.stats.Pending += s.Spans
		if w.stats.Oldest.IsZero() || s.Received.Before(w.stats.Oldest) {
			w.stats.Oldest = s.Received
		}
	}
}

// Stats are counts since the start, and what is now.
type Stats struct {
	Embedder   string `json:"embedder"`
	Dimensions int    `json:"dimensions"` // 0: not known yet
	Written    int64  `json:"written"`    // rows
	Wordless   int64  `json:"wordless"`   // of them, those whose text has no direction
	Refused    int64  `json:"refused"`    // of them, those whose text the embedder did not take
	NoGoal     int64  `json:"no_goal"`    // of them, those of runs whose goal was not known

	Pending int64     `json:"pending"`         // intents found that have no row yet
	Oldest  time.Time `json:"oldest,omitzero"` // arrival of the oldest of them

	Failures      int64     `json:"failures"` // attempts; each is made again
	LastFailure   string    `json:"last_failure,omitempty"`
	LastFailureAt time.Time `json:"last_failure_at,omitzero"`
}

// Stats is a snapshot.
func (w *Worker) Stats() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.stats
	s.Embedder, s.Dimensions = w.config.Embedder.Name(), w.config.Embedder.Dimensions()
	return s
}
