package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"

	"tachograph/inference"
	"tachograph/replay"
	"tachograph/runner"
	"tachograph/runner/gate"
	"tachograph/runner/spans"
	"tachograph/runner/state"
	"tachograph/schemas/chat"
	"tachograph/schemas/journal"
	"tachograph/web/owner"
)

// place is a data directory as a command reaches it: through its living owner, or, when there is
// none, by opening it.
type place struct {
	owner.Journal
	client *owner.Client // the owner, nil if this process opened the directory itself
	store  *state.Store  // nil if there is an owner
	data   string
	log    *slog.Logger
}

// startRace is how long a directory may be locked by a process that does not answer yet, or does
// not answer any more.
const startRace = 3 * time.Second

// reach opens the data directory for reading or steering. Close it.
func (c *cli) reach(ctx context.Context) (*place, error) {
	p := &place{data: c.data, log: c.log()}
	deadline := time.Now().Add(startRace)
	for {
		client, err := owner.Dial(ctx, c.data)
		if err == nil {
			p.Journal, p.client = client, client
			return p, nil
		}
		if !errors.Is(err, owner.ErrNoOwner) {
			return nil, err
		}
		store, err := c.openStore(p.log)
		if err == nil {
			p.store, p.Journal = store, replay.Local(store)
			return p, nil
		}
		if !errors.Is(err, state.ErrLocked) || time.Now().After(deadline) {
			return nil, fmt.Errorf("open data directory: %w", err)
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// openStore opens the journals of a data directory that nobody owns. Tools of a server that is root
// run as another user and must be able to pass through to their trees, so there the directory is
// searchable; what it holds besides is for its owner alone.
func (c *cli) openStore(log *slog.Logger) (*state.Store, error) {
	mode := os.FileMode(0o700)
	if gate.ToolUser() >= 0 {
		mode = 0o711
	}
	if err := os.MkdirAll(c.data, mode); err != nil {
		return nil, fmt.Errorf("%w; choose another directory with --data", err)
	}
	return state.Open(c.storeDir(), state.Options{Log: log, Quota: int64(c.quota)})
}

// storeDir is where a data directory keeps its journals and keys.
func (c *cli) storeDir() string { return filepath.Join(c.data, "store") }

func (p *place) Close() error {
	if p.client != nil {
		return p.client.Close()
	}
	return p.store.Close()
}

// find is the run that an argument names.
func (p *place) find(ctx context.Context, name string) (replay.Run, error) {
	return replay.FindRun(ctx, p, name)
}

// look opens the place and finds the run that name names, for a command that only reads.
func (c *cli) look(ctx context.Context, name string, see func(*place, replay.Run) error) error {
	p, err := c.reach(ctx)
	if err != nil {
		return err
	}
	defer p.Close()
	run, err := p.find(ctx, name)
	if err != nil {
		return err
	}
	return see(p, run)
}

// workshop is a place that this process owns and where it runs agents.
type workshop struct {
	*place
	runner *runner.Runner
	server *owner.Server
	spans  *spans.Exporter
}

// own makes this process the owner of the directory: it wires the runner, lets other commands in,
// and takes up what had not ended. Close it.
func (c *cli) own(ctx context.Context, p *place, watch func(runner.Live)) (*workshop, error) {
	if p.client != nil {
		return nil, fmt.Errorf("own data directory: process %d owns it", p.client.File.PID)
	}
	prices, err := inference.OpenPrices(c.prices)
	if err != nil {
		return nil, usage(err)
	}
	w := &workshop{place: p}
	if err := w.exportSpans(ctx, c.env); err != nil {
		return nil, err
	}
	var server *owner.Server
	w.runner = runner.New(runner.Config{
		Store: p.store, Data: p.data, Models: c.models, Rates: prices.Rate, NewRun: newRun, Log: p.log,
		Begun: func(run *state.Run) { w.spans.Follow(run.Journal) },
		Watch: func(l runner.Live) {
			watch(l)
			server.Watch(l)
		},
	})
	if err := w.runner.Sweep(ctx); err != nil {
		return nil, err
	}
	server, err = owner.Serve(p.data, version(), p.Journal, remoteOperator{w.runner})
	if err != nil {
		return nil, err
	}
	w.server = server
	return w, nil
}

// Close ends what the workshop runs, without ending the runs.
func (w *workshop) Close() error {
	return errors.Join(w.server.Close(), w.runner.Close(), w.spans.Close(context.Background()), w.place.Close())
}

// exportSpans sends the spans of all runs where the OTEL_ variables say, those too that an earlier
// owner could not send any more.
func (w *workshop) exportSpans(ctx context.Context, env func(string) string) error {
	var err error
	w.spans, err = spans.Open(ctx, spans.Config{Env: env, Dir: filepath.Join(w.data, "spans"), Log: w.log})
	if err != nil || !w.spans.Enabled() {
		return err
	}
	infos, err := w.store.Runs(ctx)
	if err != nil {
		return err
	}
	for _, info := range infos {
		j, err := w.store.Journal(ctx, info.ID)
		if err != nil {
			return err
		}
		w.spans.Follow(j)
	}
	return nil
}

// remoteOperator is a Runner as other commands steer it: nobody there sees the progress.
type remoteOperator struct{ *runner.Runner }

func (o remoteOperator) Start(ctx context.Context, spec runner.Spec) (journal.RunID, error) {
	return o.Runner.Start(ctx, spec, nil)
}

func newRun() (journal.RunID, error) {
	id, err := uuid.NewV7()
	return journal.RunID(id), err
}

// models opens the model that a spec names.
func (c *cli) models(spec runner.Spec) (runner.Model, error) {
	provider, err := inference.Open(spec.Model, inference.Config{Env: c.env, Log: c.log()})
	if err != nil {
		return nil, err
	}
	return model{provider, inference.Options{Temperature: spec.Options.Temperature, MaxTokens: spec.Options.MaxTokens,
		Thinking: spec.Options.Thinking}}, nil
}

// model asks a provider with the options of one spec.
type model struct {
	inference.Provider
	options inference.Options
}

func (m model) Frame(tools []chat.Tool) (chat.Frame, error) {
	return m.Provider.Frame(tools, m.options)
}
