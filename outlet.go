package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"tachograph/collector/store"
	"tachograph/replay"
	"tachograph/runner/ship"
	"tachograph/runner/spans"
	"tachograph/runner/state"
	"tachograph/schemas/journal"
	"tachograph/web/owner"
)

// outlet is where a process sends what its runs record: journals by the shipper, spans by the exporter.
// The zero value sends nothing but what the OTEL_ variables ask for.
type outlet struct {
	endpoint string           // of the collector: grpc://host:port, http://host:port; "": journals are not shipped
	final    bool             // the collector is ours
	unstored func() time.Time // since when it has something that is not stored; nil: not known
	token    string           // for the endpoint; empty: it wants none
	target   string           // what stands behind the endpoint, by a name that stays when a port changes
	store    *store.Store     // asked what has arrived; may be nil
	spans    string           // endpoint for spans, if the OTEL_ variables name none
	tracer   trace.Tracer     // of this process's own work; nil: none
}

func (o outlet) trace() trace.Tracer {
	if o.tracer == nil {
		return noop.NewTracerProvider().Tracer("")
	}
	return o.tracer
}

// outlet into the station, for runs of the same process.
func (s *station) outlet(tracer trace.Tracer) outlet {
	target := "own"
	if s.engine == nil {
		target = store.Redacted(s.dsn)
	}
	return outlet{endpoint: "grpc://" + s.ownAddr, final: true, target: target, store: s.store,
		unstored: func() time.Time { return s.collector.Metrics().Oldest }, spans: "http://" + s.ownAddr, tracer: tracer}
}

// outlet of a process that has no station: --ship, and --clickhouse to ask what has arrived.
func (c *cli) outlet(far *store.Store) outlet {
	return outlet{endpoint: c.shipTo, token: c.env("TACHO_SHIP_TOKEN"), target: c.shipTo, store: far}
}

// cursors is where it is noted how much was sent to the target, below a directory for one kind.
func (o outlet) cursors(dir string) string {
	if o.spans == "" {
		return dir
	}
	sum := sha256.Sum256([]byte(o.target))
	return filepath.Join(dir, hex.EncodeToString(sum[:8]))
}

// env is the environment of the span exporter: the user's, and where that names no receiver, ours.
func (o outlet) env(users func(string) string) func(string) string {
	if o.spans == "" {
		return users
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER", "OTEL_SDK_DISABLED"} {
		if users(name) != "" {
			return users
		}
	}
	return func(name string) string {
		switch name {
		case "OTEL_EXPORTER_OTLP_ENDPOINT":
			return o.spans
		case "OTEL_EXPORTER_OTLP_PROTOCOL":
			return "grpc"
		}
		return users(name)
	}
}

// sending is what sends for a process.
type sending struct {
	spans *spans.Exporter
	ship  *ship.Shipper // nil: journals are not shipped
}

// open starts to send all runs of the place, those too that an earlier owner could not send any more.
func (o outlet) open(ctx context.Context, p *place, env func(string) string) (s *sending, err error) {
	s = &sending{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	s.spans, err = spans.Open(ctx, spans.Config{Env: o.env(env), Dir: o.cursors(filepath.Join(p.data, "spans")), Log: p.log})
	if err != nil {
		return s, err
	}
	if o.endpoint != "" {
		config := ship.Config{State: p.store, Endpoint: o.endpoint, Token: o.token, Dir: filepath.Join(p.data, "ship"), Target: o.target, Final: o.final, Unstored: o.unstored, Log: p.log}
		if o.store != nil {
			config.Store = o.store
		}
		if s.ship, err = ship.Open(config); err != nil {
			return s, err
		}
		if err := s.ship.FollowAll(ctx); err != nil {
			return s, err
		}
	}
	return s, s.spansOfAll(ctx, p.store)
}

func (s *sending) spansOfAll(ctx context.Context, store *state.Store) error {
	if !s.spans.Enabled() {
		return nil
	}
	infos, err := store.Runs(ctx)
	if err != nil {
		return err
	}
	for _, info := range infos {
		j, err := store.Journal(ctx, info.ID)
		if err != nil {
			return fmt.Errorf("send spans: %w", err)
		}
		s.spans.Follow(j)
	}
	return nil
}

// follow sends a run that begins or is taken up.
func (s *sending) follow(run *state.Run) {
	s.spans.Follow(run.Journal)
	if s.ship != nil {
		s.ship.Follow(run.Journal)
	}
}

// withShipped tells how much of each run is shipped.
type withShipped struct {
	owner.Journal
	ship *ship.Shipper // may be nil
}

func (j withShipped) Runs(ctx context.Context) ([]replay.Run, error) {
	runs, err := j.Journal.Runs(ctx)
	if err != nil || j.ship == nil {
		return runs, err
	}
	all, err := j.ship.ShippedOfAll(ctx)
	if err != nil {
		return nil, err
	}
	for i := range runs {
		if shipped, ours := all[runs[i].ID]; ours && runs[i].Entries > 0 {
			runs[i].Shipped = &shipped
		}
	}
	return runs, nil
}

func (j withShipped) Run(ctx context.Context, id journal.RunID) (replay.Run, error) {
	run, err := j.Journal.Run(ctx, id)
	if err != nil || j.ship == nil {
		return run, err
	}
	if shipped, total := j.ship.Shipped(id); total > 0 {
		run.Shipped = &shipped
	}
	return run, nil
}

// Close sends what is durable already, for a few seconds at most.
func (s *sending) Close() error {
	ctx := context.Background()
	var failed []error
	if s.spans != nil {
		failed = append(failed, s.spans.Close(ctx))
	}
	if s.ship != nil {
		failed = append(failed, s.ship.Close(ctx))
	}
	return errors.Join(failed...)
}
