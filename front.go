package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"time"

	"tachograph/replay"
	"tachograph/runner"
	"tachograph/runner/spans"
	"tachograph/schemas/access"
	"tachograph/schemas/journal"
	"tachograph/web"
	"tachograph/web/requests"
	"tachograph/web/ui"
)

// front is the HTTP server for people, programs and monitors: pages, API, health and metrics.
type front struct {
	server  *http.Server
	web     *web.Server
	address string // as a URL
	done    chan struct{}
	measure *measure
}

func (c *cli) openFront(ctx context.Context, s *station, w *workshop) (*front, error) {
	l, gate, err := listen(c.receive.http, "--http", s.gate)
	if err != nil {
		return nil, err
	}
	site, err := c.site(s, w, gate)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	m, err := c.openMeasure(ctx, s, w)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	f := &front{web: site, address: shownAddress(l, gate), done: make(chan struct{}), measure: m}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", gate.Guard(access.Look, m.handler))
	mux.Handle("/", site)
	f.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 5 * time.Minute, MaxHeaderBytes: 64 << 10}
	go func() { // ends with Close
		defer close(f.done)
		if err := f.server.Serve(secured(l, gate)); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("HTTP is not answered any more", "error", err)
		}
	}()
	return f, nil
}

// site is pages and API over the runs of the workshop and those of the station's ClickHouse.
func (c *cli) site(s *station, w *workshop, gate *access.Gate) (*web.Server, error) {
	keys, err := w.store.Verifiers()
	if err != nil {
		return nil, err
	}
	asked, err := requests.Open(filepath.Join(c.data, "requests"), time.Now)
	if err != nil {
		return nil, err
	}
	pages, err := ui.Files()
	if err != nil {
		return nil, fmt.Errorf("open the pages: %w", err)
	}
	return web.New(web.Config{Gate: gate,
		Journal: replay.NewUnion(replay.Local(w.store), s.journals()), Traces: s.store, Operator: w.operator(), Spans: spans.NewView(w.Journal, c.project),
		Shipped: func(run journal.RunID) (int64, bool) {
			shipped, total := w.out.ship.Shipped(run)
			return shipped, total > 0
		},
		Keys: keys, Requests: asked, Assets: pages, Parts: parts(s), Project: c.project, Version: version(), Person: c.person(), Log: s.log,
	})
}

func (f *front) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := f.web.Close()
	if shut := f.server.Shutdown(ctx); shut != nil {
		err = errors.Join(err, f.server.Close())
	}
	<-f.done
	return errors.Join(err, f.measure.Close())
}

// parts are what readiness means: requests are taken, and rows reach ClickHouse.
func parts(s *station) []web.Part {
	return []web.Part{
		{Name: "collector", Check: func(context.Context) error {
			if h := s.collector.Health(); !h.Ready {
				return errors.New(h.Reason)
			}
			return nil
		}},
		{Name: "storing", Check: func(context.Context) error {
			if h := s.collector.Health(); !h.Storing {
				return errors.New(h.Reason)
			}
			return nil
		}},
		{Name: "clickhouse", Check: s.store.Ping},
	}
}

// relay hands on what happens between entries, once there is somebody to hand it to.
type relay struct{ to atomic.Pointer[front] }

func (r *relay) watch(l runner.Live) {
	if f := r.to.Load(); f != nil {
		f.web.Watch(l)
	}
}
