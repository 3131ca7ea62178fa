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

	"tachograph/collector/store"
	"tachograph/inference"
	"tachograph/replay"
	"tachograph/runner"
	"tachograph/runner/gate"
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
	far    *store.Store  // the ClickHouse of --clickhouse, nil if none is named
	data   string
	log    *slog.Logger
}

// startRace is how long a directory may be locked by a process that does not answer yet, or does
// not answer any more.
const startRace = 3 * time.Second

// reach opens the data directory for reading or steering, and with --clickhouse the runs that are there.
// Close it.
func (c *cli) reach(ctx context.Context) (*place, error) {
	p, err := c.reachData(ctx)
	if err != nil || c.clickhouse == "" {
		return p, err
	}
	far, err := store.Open(ctx, c.clickhouse, store.Options{Log: p.log, Project: c.project, ReadOnly: true})
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	p.far = far
	p.join(replay.ClickHouseWithTraces(far))
	return p, nil
}

// join adds the runs of a ClickHouse to those of the place.
func (p *place) join(far replay.Follower) { p.Journal = replay.NewUnion(p.Journal, far) }

func (c *cli) reachData(ctx context.Context) (*place, error) {
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
		local, err := c.openStore(p.log)
		if err == nil {
			p.store, p.Journal = local, replay.Local(local)
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
	var far error
	if p.far != nil {
		far = p.far.Close()
	}
	if p.client != nil {
		return errors.Join(far, p.client.Close())
	}
	return errors.Join(far, p.store.Close())
}

// find is the run that an argument names. It must have a journal.
func (p *place) find(ctx context.Context, name string) (replay.Run, error) {
	run, err := replay.FindRun(ctx, p, name)
	if err == nil && run.Source == replay.SourceOTLP {
		err = fmt.Errorf("run %s is a trace of somebody else's agent (%s, %s): it has no journal that could be shown, rebuilt or steered",
			run.ID, run.Service, count(run.Spans, "span"))
	}
	return run, err
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
	out    *sending
	from   *store.Store // where runs are fetched from that are to be forked; may be nil
}

// own makes this process the owner of the directory: it wires the runner, lets other commands in,
// and takes up what had not ended. Close it.
func (c *cli) own(ctx context.Context, p *place, to outlet, watch func(runner.Live)) (_ *workshop, err error) {
	if p.client != nil {
		return nil, fmt.Errorf("own data directory: process %d owns it", p.client.File.PID)
	}
	prices, err := inference.OpenPrices(c.prices)
	if err != nil {
		return nil, usage(err)
	}
	made := &workshop{place: p, from: to.store}
	if made.out, err = to.open(ctx, p, c.env); err != nil {
		return nil, err
	}
	var server *owner.Server
	made.runner = runner.New(runner.Config{
		Store: p.store, Data: p.data, Models: c.models, Rates: prices.Rate, NewRun: newRun, Log: p.log,
		Begun: made.out.follow,
		Watch: func(l runner.Live) {
			watch(l)
			server.Watch(l)
		},
	})
	defer func() {
		if err != nil {
			err = errors.Join(err, made.runner.Close(), made.out.Close())
		}
	}()
	if err := made.runner.Sweep(ctx); err != nil {
		return nil, fmt.Errorf("take up what had not ended: %w", err)
	}
	if server, err = owner.Serve(p.data, version(), withShipped{p.Journal, made.out.ship}, made.operator(), to.trace()); err != nil {
		return nil, err
	}
	made.server = server
	return made, nil
}

// operator is the workshop for commands.
func (w *workshop) operator() remoteOperator { return remoteOperator{w.runner, w.store, w.from, w.out} }

// Close ends what the workshop runs, without ending the runs.
func (w *workshop) Close() error {
	return errors.Join(w.server.Close(), w.runner.Close(), w.out.Close(), w.place.Close())
}

// remoteOperator is a workshop as other commands steer it: nobody there sees the progress.
type remoteOperator struct {
	*runner.Runner
	local *state.Store
	from  *store.Store // where a run may be that is to be forked and is not here; may be nil
	out   *sending
}

// Remove erases a family here, and then in the ClickHouse that this process writes.
func (o remoteOperator) Remove(ctx context.Context, family journal.RunID) error {
	if err := o.Runner.Remove(ctx, family); err != nil || o.from == nil || !o.from.Writes() {
		return err
	}
	if err := o.from.DeleteFamily(ctx, family); err != nil {
		return fmt.Errorf("the family is erased here, and not yet in ClickHouse: run `tacho rm` again: %w", err)
	}
	return nil
}

// Fork forks a run that is here, or in ClickHouse: then it is fetched first, every byte checked.
func (o remoteOperator) Fork(ctx context.Context, run journal.RunID, seq int64, change runner.Change) (journal.RunID, error) {
	if _, err := o.local.Info(run); errors.Is(err, state.ErrNotFound) && o.from != nil {
		if err := replay.Fetch(ctx, replay.ClickHouse(o.from), o.local, run, nil); err != nil {
			return journal.RunID{}, err
		}
	}
	return o.Runner.Fork(ctx, run, seq, change)
}

// Ship sees to it that the journal, as it is now, arrives.
func (o remoteOperator) Ship(ctx context.Context, run journal.RunID) (shipped, total int64, err error) {
	if o.out.ship == nil {
		return 0, 0, fmt.Errorf("ship run %s: the owner of this data directory ships nothing: it was started without --ship, and is not `tacho up`", run)
	}
	if err := o.out.ship.Ship(ctx, run, nil); err != nil {
		return 0, 0, err
	}
	shipped, total = o.out.ship.Shipped(run)
	return shipped, total, nil
}

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
