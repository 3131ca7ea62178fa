package spans

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"tachograph/schemas/attr"
	"tachograph/schemas/journal"
)

// scope names the instrumentation in every span.
const scope = "tachograph/runner/spans"

// maker makes SDK spans of one run. It is used by one goroutine.
type maker struct {
	run      journal.RunID
	from     reader
	frames   frames
	settings settings
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	ended    *collector
}

func newMaker(run journal.RunID, from reader, s settings, r *resource.Resource) *maker {
	m := &maker{run: run, from: from, settings: s, ended: &collector{}}
	unlimited := sdktrace.SpanLimits{AttributeValueLengthLimit: -1, AttributeValueDepthLimit: -1, AttributeCountLimit: -1, EventCountLimit: -1,
		LinkCountLimit: -1, AttributePerEventCountLimit: -1, AttributePerLinkCountLimit: -1}
	m.provider = sdktrace.NewTracerProvider(sdktrace.WithResource(r), sdktrace.WithIDGenerator(givenIDs{}), sdktrace.WithRawSpanLimits(unlimited),
		sdktrace.WithSampler(sdktrace.AlwaysSample()), sdktrace.WithSpanProcessor(m.ended))
	m.tracer = m.provider.Tracer(scope, trace.WithSchemaURL(attr.SchemaURL))
	return m
}

// close lets the provider go. Nothing is waiting in it.
func (m *maker) close(ctx context.Context) error { return m.provider.Shutdown(ctx) }

// make makes the SDK's span, with its content, and estimates its size in bytes. An error means that
// ctx has ended.
func (m *maker) make(ctx context.Context, s *span) (sdktrace.ReadOnlySpan, int, error) {
	d := describer{ctx: ctx, from: m.from, frames: &m.frames, capture: m.settings.capture, limit: m.settings.limit, span: s}
	attrs, err := d.attributes(m.run)
	if err != nil {
		return nil, 0, err
	}
	sized := size(attrs)
	made := m.open(ctx, s, attrs)
	for _, e := range s.events {
		of := d.event(e)
		sized += size(of)
		made.AddEvent(e.name, trace.WithTimestamp(e.time), trace.WithAttributes(of...))
	}
	if s.failure != "" {
		why := s.failure
		if text, ok := d.content(attr.Reason, s.because); ok {
			why = valid(d.eventText(event{name: "status"}, attr.Reason, string(text)))
		}
		made.SetStatus(codes.Error, why)
	}
	if d.failed != nil {
		return nil, 0, d.failed
	}
	made.SetAttributes(d.finish()...)
	made.End(trace.WithTimestamp(s.end))
	out := m.ended.take()
	if out == nil {
		return nil, 0, errors.New("make span: the SDK did not end it")
	}
	return out, sized, nil
}

// open starts the SDK's span under its own id and its parent's.
func (m *maker) open(ctx context.Context, s *span, attrs []attribute.KeyValue) trace.Span {
	under := trace.SpanContextConfig{TraceID: TraceID(m.run), SpanID: s.parent, TraceFlags: trace.FlagsSampled}
	ctx = context.WithValue(context.WithoutCancel(ctx), idsKey{}, ids{TraceID(m.run), s.id})
	if s.parent.IsValid() {
		ctx = trace.ContextWithSpanContext(ctx, trace.NewSpanContext(under))
	}
	links := make([]trace.Link, len(s.links))
	for i, l := range s.links {
		to := trace.SpanContextConfig{TraceID: TraceID(l.run), SpanID: l.span, TraceFlags: trace.FlagsSampled}
		links[i] = trace.Link{SpanContext: trace.NewSpanContext(to), Attributes: []attribute.KeyValue{attribute.String(attr.Relation, l.relation)}}
	}
	_, made := m.tracer.Start(ctx, valid(s.name), trace.WithTimestamp(s.start), trace.WithSpanKind(s.kind), trace.WithAttributes(attrs...),
		trace.WithLinks(links...))
	return made
}

// size is about what attributes take on the wire.
func size(attrs []attribute.KeyValue) (n int) {
	for _, kv := range attrs {
		n += len(kv.Key) + 16
		switch kv.Value.Type() {
		case attribute.STRING:
			n += len(kv.Value.AsString())
		case attribute.STRINGSLICE:
			for _, item := range kv.Value.AsStringSlice() {
				n += len(item) + 4
			}
		}
	}
	return n + 64
}

// givenIDs takes the ids from the context: they are the journal's, not random.
type givenIDs struct{}

type idsKey struct{}

type ids struct {
	trace trace.TraceID
	span  trace.SpanID
}

// NewIDs implements sdktrace.IDGenerator.
func (givenIDs) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	given, _ := ctx.Value(idsKey{}).(ids)
	return given.trace, given.span
}

// NewSpanID implements sdktrace.IDGenerator.
func (givenIDs) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	given, _ := ctx.Value(idsKey{}).(ids)
	return given.span
}

// collector is the span processor: it keeps the span that ended, for the batch. The SDK's own batch
// processor drops spans when its queue is full.
type collector struct{ ended sdktrace.ReadOnlySpan }

func (c *collector) take() sdktrace.ReadOnlySpan {
	out := c.ended
	c.ended = nil
	return out
}

// OnStart implements sdktrace.SpanProcessor.
func (c *collector) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

// OnEnd implements sdktrace.SpanProcessor.
func (c *collector) OnEnd(s sdktrace.ReadOnlySpan) { c.ended = s }

// Shutdown implements sdktrace.SpanProcessor.
func (c *collector) Shutdown(context.Context) error { return nil }

// ForceFlush implements sdktrace.SpanProcessor.
func (c *collector) ForceFlush(context.Context) error { return nil }
