package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"

	"tachograph/collector"
	"tachograph/collector/intents"
	"tachograph/collector/store"
	"tachograph/collector/store/embedded"
	"tachograph/inference"
	"tachograph/inference/embed"
	"tachograph/replay"
	"tachograph/schemas/access"
	"tachograph/schemas/journal"
)

// station takes telemetry in and keeps it: a ClickHouse, the collector in front of it, and the ports that
// the collector answers on. It knows nothing of runs.
type station struct {
	engine *embedded.Engine // nil: --clickhouse names a server
	dsn    string

	instance     uuid.UUID // of this process, in its own telemetry
	startsBefore uint64    // of the engine, by earlier processes
	store        *store.Store
	collector    *collector.Collector
	intents      *intents.Worker

	gate     *access.Gate   // of addresses that are not this machine's alone; nil: there are none
	grpc     []*grpc.Server // who sends from here may need no token, others do: one for each
	http     *http.Server
	grpcAddr string // host:port where others send to
	httpAddr string // as a URL
	ownAddr  string // host:port where this machine's own processes send to, with gRPC, without TLS
	serving  sync.WaitGroup
	log      *slog.Logger
}

// openStation starts what receives. Close it. An address with port 0 takes a free one.
func (c *cli) openStation(ctx context.Context) (s *station, err error) {
	s = &station{dsn: c.clickhouse, instance: uuid.New(), log: c.log()}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.gate, err = c.openGate(); err != nil {
		return s, err
	}
	embedder, err := c.openEmbedder()
	if err != nil {
		return s, usage(err)
	}
	if err := s.openStore(ctx, c); err != nil {
		return s, err
	}
	if s.intents, err = intents.Open(ctx, intents.Config{Store: s.store, Embedder: embedder, Log: s.log}); err != nil {
		return s, err
	}
	s.collector, err = collector.Open(ctx, collector.Config{Store: waking{s.store, s.intents}, SpoolDir: filepath.Join(c.data, "spool"), Project: c.project, Log: s.log})
	if err != nil {
		return s, err
	}
	return s, s.serve(c.receive.otlpGRPC, c.receive.otlpHTTP)
}

func (s *station) openStore(ctx context.Context, c *cli) error {
	var err error
	if s.dsn == "" {
		line := c.progressLine("fetching ClickHouse, once for this user:")
		s.engine, err = embedded.Open(ctx, embedded.Config{Dir: filepath.Join(c.data, "clickhouse"), Log: s.log, Env: c.env,
			Progress: func(done, total int64) { line(done, total, 0) }})
		if err != nil {
			return err
		}
		s.dsn, s.startsBefore = s.engine.DSN(), s.engine.Starts()-1
	}
	// A server of somebody else may come later than we do, or be away for a while: what is acknowledged waits in the spool.
	s.store, err = store.Open(ctx, s.dsn, store.Options{Log: s.log, Project: c.project, MayBeAway: s.engine == nil})
	return err
}

// openEmbedder makes vectors of intents: the built-in ones, or those of an OpenAI-compatible server.
func (c *cli) openEmbedder() (intents.Embedder, error) {
	model := c.env("TACHO_EMBEDDER")
	if model == "" {
		return embed.Hashed{}, nil
	}
	return inference.OpenEmbeddings(model, 0, inference.Config{Env: c.env, Log: c.log()})
}

// waking stores rows and tells who makes vectors of them that there are some.
type waking struct {
	*store.Store
	intents *intents.Worker
}

func (w waking) Insert(ctx context.Context, b *store.Batch) error {
	err := w.Store.Insert(ctx, b)
	if err == nil {
		w.intents.Wake()
	}
	return err
}

// runs are those in ClickHouse. The embedded one may just be starting again, which is no reason to refuse a list.
type runs struct {
	*replay.Database
	engine *embedded.Engine // nil: a server, which somebody else keeps alive
}

// runs with the traces of other people's agents among them.
func (s *station) runs() runs { return runs{replay.ClickHouseWithTraces(s.store), s.engine} }

// journals are the runs that have one.
func (s *station) journals() runs { return runs{replay.ClickHouse(s.store), s.engine} }

func (r runs) Runs(ctx context.Context) ([]replay.Run, error) { return r.RunsBut(ctx, nil) }

func (r runs) RunsBut(ctx context.Context, has func(run journal.RunID, entries int64) bool) ([]replay.Run, error) {
	const tries = 10
	list, err := r.Database.RunsBut(ctx, has)
	for n := 1; err != nil && r.engine != nil && n < tries && ctx.Err() == nil; n++ {
		select {
		case <-time.After(200 * time.Millisecond): // its end may not have been noticed yet
		case <-ctx.Done():
		}
		if r.engine.Wait(ctx) == nil {
			list, err = r.Database.RunsBut(ctx, has)
		}
	}
	return list, err
}

// readerDSN is what others on this machine read with.
func (s *station) readerDSN() string {
	if s.engine != nil {
		return s.engine.ReaderDSN()
	}
	return s.dsn
}

// serve listens on all ports before it answers on any.
func (s *station) serve(grpcAddr, httpAddr string) (err error) {
	var open []net.Listener
	defer func() {
		if err != nil {
			for _, l := range open {
				err = errors.Join(err, l.Close())
			}
		}
	}()
	on := func(address, flag string) (l net.Listener, gate *access.Gate, err error) {
		if l, gate, err = listen(address, flag, s.gate); err == nil {
			open = append(open, l)
		}
		return l, gate, err
	}
	forGRPC, grpcGate, err := on(grpcAddr, "--otlp-grpc")
	if err != nil {
		return err
	}
	forHTTP, httpGate, err := on(httpAddr, "--otlp-http")
	if err != nil {
		return err
	}
	own := forGRPC
	if grpcGate != nil { // this process has no token
		if own, _, err = on("127.0.0.1:0", "--otlp-grpc"); err != nil {
			return err
		}
		s.answerGRPC(own, nil)
	}
	s.answerGRPC(forGRPC, grpcGate)
	s.http = s.collector.HTTPServer(httpGate)
	s.serving.Go(func() {
		if err := s.http.Serve(secured(forHTTP, httpGate)); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("OTLP/HTTP is not answered any more", "error", err)
		}
	})
	s.ownAddr, s.grpcAddr, s.httpAddr = own.Addr().String(), shownHost(forGRPC, grpcGate), shownAddress(forHTTP, httpGate)
	return nil
}

func (s *station) answerGRPC(l net.Listener, gate *access.Gate) {
	server := s.collector.GRPCServer(gate)
	s.grpc = append(s.grpc, server)
	s.serving.Go(func() {
		if err := server.Serve(l); err != nil {
			s.log.Error("OTLP/gRPC is not answered any more", "error", err)
		}
	})
}

// stationPatience is how long Close waits for requests under way, and then for rows to be stored. What
// is not stored then is durable in the spool.
const stationPatience = 10 * time.Second

// Close stops listening, stores what was acknowledged as far as time allows, and ends the engine.
func (s *station) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), stationPatience)
	defer cancel()
	var failed []error
	if s.http != nil {
		for _, server := range s.grpc {
			timer := time.AfterFunc(stationPatience/2, server.Stop)
			server.GracefulStop()
			timer.Stop()
		}
		if err := s.http.Shutdown(ctx); err != nil {
			failed = append(failed, s.http.Close())
		}
		s.serving.Wait()
	}
	if s.collector != nil {
		if err := s.collector.Flush(ctx); err != nil {
			s.log.Warn("telemetry waits in the spool for the next start", "error", err)
		}
		failed = append(failed, s.collector.Close())
	}
	if s.intents != nil {
		failed = append(failed, s.intents.Close())
	}
	if s.store != nil {
		failed = append(failed, s.store.Close())
	}
	if s.engine != nil {
		failed = append(failed, s.engine.Close())
	}
	return errors.Join(failed...)
}
