package spans

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"sync"
	"time"

	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"tachograph/schemas/journal"
)

// Source is one run as it is read here. Its methods are called by one goroutine at a time, and must
// return soon after ctx has ended.
type Source interface {
	ID() journal.RunID
	// Entries yields the lines from seq from on that are durable now, in order and without gaps.
	Entries(ctx context.Context, from int64) iter.Seq2[[]byte, error]
	// Follow is Entries, and waits for new ones until the run has ended or ctx has.
	Follow(ctx context.Context, from int64) iter.Seq2[[]byte, error]
	// Content returns what an entry names.
	Content(ctx context.Context, ref journal.Ref) ([]byte, error)
}

// Config is what an Exporter is opened with.
type Config struct {
	Env func(string) string // variables, as os.Getenv
	Dir string              // where cursor files lie; made if missing and needed
	Log *slog.Logger        // nil: discarded

	// Exporter takes the spans in place of what the environment names. The Exporter shuts it down.
	Exporter sdktrace.SpanExporter
	Console  io.Writer // where OTEL_TRACES_EXPORTER=console writes; nil: os.Stdout
	// After tells when a back-off is over; nil: time.After.
	After func(time.Duration) <-chan time.Time
	// Beats says when the open spans are shown to be open still; nil: every ten seconds.
	Beats <-chan time.Time
}

// Exporter follows runs and sends their spans. Its methods may be called concurrently. One Exporter
// may use a directory at a time.
type Exporter struct {
	cfg      Config
	settings settings
	resource *resource.Resource
	out      sdktrace.SpanExporter // nil: disabled
	hints    *hints                // nil: open spans are not shown
	turn     chan struct{}         // capacity 1: held while out is used, which is not for concurrent use

	following context.Context // ends when Close begins
	stop      context.CancelFunc
	working   context.Context // ends when Close has no more time
	abandon   context.CancelFunc

	mu     sync.Mutex
	closed bool
	runs   map[journal.RunID]bool // being followed
	wait   sync.WaitGroup
}

// Open reads the environment and makes the exporter that it asks for. It connects to nobody yet. An
// error names the variable that cannot be understood.
func Open(ctx context.Context, c Config) (*Exporter, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Console == nil {
		c.Console = os.Stdout
	}
	if c.After == nil {
		c.After = time.After
	}
	e := &Exporter{cfg: c, turn: make(chan struct{}, 1), runs: map[journal.RunID]bool{}}
	e.following, e.stop = context.WithCancel(context.Background())
	e.working, e.abandon = context.WithCancel(context.Background())
	if err := e.open(ctx); err != nil {
		e.stop()
		e.abandon()
		return nil, fmt.Errorf("open span exporter: %w", err)
	}
	return e, nil
}

func (e *Exporter) open(ctx context.Context) error {
	env := environment(e.cfg.Env)
	var err error
	if e.settings, err = env.settings(); err != nil {
		return err
	}
	e.out = e.cfg.Exporter
	if e.out == nil && e.settings.exporter == exporterNone {
		return nil
	}
	if e.resource, err = env.resource(ctx); err != nil {
		return err
	}
	if err := os.MkdirAll(e.cfg.Dir, 0o700); err != nil {
		return err
	}
	if e.out == nil {
		if e.out, err = env.openTraces(ctx, e.settings.exporter, e.cfg.Console); err != nil {
			return err
		}
	}
	if !e.settings.hints {
		return nil
	}
	out, err := env.openLogs(ctx)
	if err != nil {
		return err
	}
	e.hints = newHints(out, e.resource, e.cfg.Beats, e.cfg.Log)
	return nil
}

// Enabled says whether spans are sent at all.
func (e *Exporter) Enabled() bool { return e.out != nil }

// Follow sends the run's spans from now on, those of its past that were not sent included, until the
// run has ended or the Exporter is closed. It returns at once. A run that is followed already, or was
// sent whole, costs nothing.
func (e *Exporter) Follow(run Source) {
	if e.out == nil || !e.settings.samples(run.ID()) {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || e.runs[run.ID()] {
		return
	}
	e.runs[run.ID()] = true
	e.wait.Go(func() {
		newFollower(e, run).main()
		e.mu.Lock()
		delete(e.runs, run.ID())
		e.mu.Unlock()
	})
}

// closeTime is how long Close may go on sending.
const closeTime = 5 * time.Second

// Close sends what is durable already, for at most five seconds or as long as ctx lives, and waits
// for the goroutines. A receiver that does not answer is not waited for: what is left is sent by
// whoever follows the runs next.
func (e *Exporter) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, closeTime)
	defer cancel()
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.stop()
	done := make(chan struct{})
	go func() { // ends with the followers, which are waited for
		e.wait.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		e.abandon()
		<-done
	}
	e.abandon()
	if e.out == nil {
		return nil
	}
	var hinted error
	if e.hints != nil {
		hinted = e.hints.close(context.WithoutCancel(ctx))
	}
	if err := e.out.Shutdown(context.WithoutCancel(ctx)); err != nil {
		return errors.Join(fmt.Errorf("close span exporter: %w", err), hinted)
	}
	return hinted
}
