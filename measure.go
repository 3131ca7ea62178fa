package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"tachograph/collector"
)

// measure is this process's own numbers, each defined once: they are read by Prometheus at /metrics,
// and go through our own collector into the table metrics, where dashboards find them.
type measure struct {
	provider *sdkmetric.MeterProvider
	handler  http.Handler
}

// measureEvery is how often the numbers are sent to the collector, unless OpenTelemetry's own variable says otherwise.
const measureEvery = 15 * time.Second

// everyVariable holds milliseconds.
const everyVariable = "OTEL_METRIC_EXPORT_INTERVAL"

func interval(env func(string) string) (time.Duration, error) {
	text := env(everyVariable)
	if text == "" {
		return measureEvery, nil
	}
	ms, err := strconv.ParseUint(text, 10, 31)
	if err != nil || ms == 0 {
		return 0, usage(fmt.Errorf("%s is %.60q: it is a number of milliseconds, as 15000", everyVariable, text))
	}
	return time.Duration(ms) * time.Millisecond, nil
}

func (c *cli) openMeasure(ctx context.Context, s *station, w *workshop) (*measure, error) {
	every, err := interval(c.env)
	if err != nil {
		return nil, err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	pulled, err := otelprometheus.New(otelprometheus.WithRegisterer(registry), otelprometheus.WithoutScopeInfo(), otelprometheus.WithoutTargetInfo())
	if err != nil {
		return nil, fmt.Errorf("open metrics: %w", err)
	}
	sender, err := otlpmetricgrpc.New(ctx, otlpmetricgrpc.WithEndpoint(s.ownAddr), otlpmetricgrpc.WithInsecure())
	if err != nil {
		return nil, fmt.Errorf("open metrics: %w", err)
	}
	m := &measure{
		provider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(pulled), sdkmetric.WithResource(s.resource()),
			sdkmetric.WithReader(sdkmetric.NewPeriodicReader(sender, sdkmetric.WithInterval(every)))),
		handler: promhttp.HandlerFor(registry, promhttp.HandlerOpts{}),
	}
	if err := m.define(s, w); err != nil {
		return nil, errors.Join(fmt.Errorf("define metrics: %w", err), m.Close())
	}
	return m, nil
}

// Close sends the last numbers, if the collector still takes them.
func (m *measure) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return m.provider.Shutdown(ctx)
}

// number is one of the instruments; of reads its value from a snapshot.
type number struct {
	name, unit, help string
	sum              bool // it only grows, from 0 at the start of the process
	of               func(snapshot) int64
}

// snapshot is what all instruments of one collection are read from.
type snapshot struct {
	collector collector.Metrics
	starts    uint64 // of the embedded engine, by this process
	running   int    // runs under way here
	unshipped int64  // entries of runs under way here that are not shipped
}

func numbers() []number {
	return []number{
		{"tacho.collector.requests", "{request}", "OTLP requests received", true, func(s snapshot) int64 { return s.collector.Requests }},
		{"tacho.collector.accepted", "{record}", "spans, log records and data points acknowledged", true, func(s snapshot) int64 { return s.collector.Accepted }},
		{"tacho.collector.known", "{record}", "of them, those that were known: their sender sent them again", true, func(s snapshot) int64 { return s.collector.Known }},
		{"tacho.collector.rejected", "{record}", "records refused for good (partial success)", true, func(s snapshot) int64 { return s.collector.Rejected }},
		{"tacho.collector.refused", "{request}", "requests told to come again", true, func(s snapshot) int64 { return s.collector.Refused }},
		{"tacho.collector.stored", "{row}", "rows stored in ClickHouse", true, func(s snapshot) int64 { return s.collector.Stored }},
		{"tacho.collector.insert_failures", "{attempt}", "inserts that failed; each is tried again", true, func(s snapshot) int64 { return s.collector.InsertFailures }},
		{"tacho.collector.in_flight", "By", "requests in memory", false, func(s snapshot) int64 { return s.collector.InFlightBytes }},
		{"tacho.spool.used", "By", "acknowledged, not stored yet", false, func(s snapshot) int64 { return s.collector.SpoolBytes }},
		{"tacho.spool.limit", "By", "above it requests are told to come again", false, func(s snapshot) int64 { return s.collector.SpoolMaxBytes }},
		{"tacho.spool.damaged", "{segment}", "segments kept aside for a person", false, func(s snapshot) int64 { return s.collector.DamagedKept }},
		{"tacho.clickhouse.starts", "{start}", "starts of the embedded engine by this process; more than one: it died", true, func(s snapshot) int64 { return int64(s.starts) }},
		{"tacho.runs.live", "{run}", "runs under way in this process", false, func(s snapshot) int64 { return int64(s.running) }},
		{"tacho.ship.lag", "{entry}", "entries of runs under way that are not shipped yet", false, func(s snapshot) int64 { return s.unshipped }},
	}
}

func (m *measure) define(s *station, w *workshop) error {
	meter := m.provider.Meter("tachograph")
	all := numbers()
	instruments := make([]metric.Int64Observable, len(all))
	observables := make([]metric.Observable, len(all))
	for i, n := range all {
		var err error
		if n.sum {
			instruments[i], err = meter.Int64ObservableCounter(n.name, metric.WithUnit(n.unit), metric.WithDescription(n.help))
		} else {
			instruments[i], err = meter.Int64ObservableGauge(n.name, metric.WithUnit(n.unit), metric.WithDescription(n.help))
		}
		if err != nil {
			return err
		}
		observables[i] = instruments[i]
	}
	_, err := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		now := take(s, w)
		for i, n := range all {
			o.ObserveInt64(instruments[i], n.of(now))
		}
		return nil
	}, observables...)
	return err
}

func take(s *station, w *workshop) snapshot {
	now := snapshot{collector: s.collector.Metrics()}
	if s.engine != nil {
		now.starts = s.engine.Starts() - s.startsBefore
	}
	live := w.runner.Live()
	now.running = len(live)
	for _, run := range live {
		shipped, total := w.out.ship.Shipped(run)
		now.unshipped += total - shipped
	}
	return now
}
