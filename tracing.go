package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"tachograph/inference/profile"
)

// serviceName of this process's own telemetry, apart from that of its runs (service.name tacho).
const serviceName = "tacho-server"

// resource says whose telemetry it is. The instance tells the counters of one process from those of the one before it.
func (s *station) resource() *resource.Resource {
	return resource.NewSchemaless(attribute.String("service.name", serviceName), attribute.String("service.version", version()),
		attribute.String("service.instance.id", s.instance.String()))
}

// tracing is the spans of this process's own work: what it does for a request of another command. They go
// through our own collector, and what CPU they took to Pyroscope. Without --pyroscope there are none: they
// would stand beside the runs in every list and tell a user nothing.
type tracing struct {
	tracer   trace.Tracer
	spans    *sdktrace.TracerProvider // nil: none
	profiler *profile.Profiler
}

func (c *cli) openTracing(ctx context.Context, s *station) (*tracing, error) {
	if c.receive.pyroscope == "" {
		return &tracing{tracer: noop.NewTracerProvider().Tracer("")}, nil
	}
	sender, err := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpoint(s.ownAddr), otlptracegrpc.WithInsecure())
	if err != nil {
		return nil, fmt.Errorf("open tracing: %w", err)
	}
	t := &tracing{spans: sdktrace.NewTracerProvider(sdktrace.WithResource(s.resource()), sdktrace.WithBatcher(sender))}
	t.profiler, err = profile.Open(profile.Config{Address: c.receive.pyroscope, Service: serviceName, Tags: map[string]string{"version": version()},
		Env: c.env, Spans: t.spans, Log: s.log})
	if err != nil {
		return nil, usage(errors.Join(err, t.spans.Shutdown(ctx)))
	}
	t.tracer = t.profiler.TracerProvider().Tracer("tachograph")
	return t, nil
}

// Close sends what is left.
func (t *tracing) Close() error {
	if t.spans == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	t.profiler.Close(ctx)
	return t.spans.Shutdown(ctx)
}
