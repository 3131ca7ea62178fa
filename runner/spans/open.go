package spans

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	otellog "go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/trace"

	"tachograph/schemas/attr"
	"tachograph/schemas/journal"
)

// openSpan is what is said of a span before it has ended.
type openSpan struct {
	id, parent trace.SpanID
	name       string
	kind       trace.SpanKind
	start      time.Time
	agent      string // path
	step       int64
	seq        int64
	operation  string
	tool       string // of a call
	model      string // of an agent and a question
}

// open lists the spans that are open after the entries so far, parents before children.
func (p *projector) open() []openSpan {
	var all []openSpan
	for _, a := range p.order {
		if a.open {
			_, model := splitModel(a.about.model)
			all = append(all, a.span.shown(attr.OperationInvokeAgent, "", model))
		}
		if a.plan != nil {
			all = append(all, a.plan.shown(attr.OperationPlan, "", ""))
		}
		for _, c := range a.chats {
			_, model := splitModel(c.about.asked.Model)
			all = append(all, c.shown(attr.OperationChat, "", model))
		}
		for _, c := range a.calls {
			all = append(all, c.shown(attr.OperationExecuteTool, c.about.proposed.Tool, ""))
		}
	}
	return all
}

func (s *span) shown(operation, tool, model string) openSpan {
	return openSpan{id: s.id, parent: s.parent, name: s.name, kind: s.kind, start: s.start, agent: s.agent, step: s.step, seq: s.seq,
		operation: operation, tool: tool, model: model}
}

// Limits of what waits to be sent, and of one request, in records of about 1 KB.
const (
	maxWaiting = 4096
	maxHints   = 512
)

// beatEvery is the time between two heartbeats of an open span.
const beatEvery = 10 * time.Second

// hints shows open spans as log records: a start when one is first seen, then heartbeats. It sends
// from a goroutine of its own.
//
// Invariant: nobody waits for it. What does not fit into its queue, or is not taken at the first
// attempt, is dropped: the next heartbeat says it again.
type hints struct {
	log    *slog.Logger
	out    sdklog.Exporter
	logger otellog.Logger

	ctx    context.Context
	cancel context.CancelFunc
	wake   chan struct{} // capacity 1: something is in the queue
	done   chan struct{}

	mu      sync.Mutex
	open    map[journal.RunID][]openSpan
	waiting []sdklog.Record
	dropped int64 // since the last request
}

// newHints starts the goroutine. beats says when the open spans are shown again; nil: every ten seconds.
func newHints(out sdklog.Exporter, r *resource.Resource, beats <-chan time.Time, log *slog.Logger) *hints {
	h := &hints{log: log, out: out, wake: make(chan struct{}, 1), done: make(chan struct{}),
		open: map[journal.RunID][]openSpan{}}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	provider := sdklog.NewLoggerProvider(sdklog.WithResource(r), sdklog.WithProcessor(queue{h}),
		sdklog.WithAttributeCountLimit(-1), sdklog.WithAttributeValueLengthLimit(-1))
	h.logger = provider.Logger(scope, otellog.WithSchemaURL(attr.SchemaURL))
	go h.main(beats)
	return h
}

// see takes note of a run's open spans, all of them.
func (h *hints) see(run journal.RunID, now []openSpan) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := make(map[trace.SpanID]time.Time, len(h.open[run]))
	for _, s := range h.open[run] {
		before[s.id] = s.start
	}
	for _, s := range now {
		// A call's start moves from its proposal to its start; then it is said again.
		if start, known := before[s.id]; !known || !start.Equal(s.start) {
			h.emit(run, s, attr.EventSpanStart, s.start)
		}
	}
	h.open[run] = now
}

// forget ends the heartbeats of a run.
func (h *hints) forget(run journal.RunID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.open, run)
}

// beat says of every open span that it is.
func (h *hints) beat(at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for run, open := range h.open {
		for _, s := range open {
			h.emit(run, s, attr.EventSpanAlive, at)
		}
	}
}

// emit puts a record into the queue. h.mu is held.
func (h *hints) emit(run journal.RunID, s openSpan, event string, at time.Time) {
	var r otellog.Record
	r.SetEventName(event)
	r.SetTimestamp(at)
	r.SetSeverity(otellog.SeverityInfo)
	r.SetBody(attribute.StringValue(valid(s.name)))
	r.AddAttributes(attribute.String(attr.SpanName, valid(s.name)), attribute.String(attr.SpanKind, s.kind.String()),
		attribute.Int64(attr.SpanStart, s.start.UnixNano()), attribute.String(attr.RunID, run.String()),
		attribute.String(attr.GenAIConversationID, run.String()), attribute.String(attr.AgentPath, valid(s.agent)),
		attribute.String(attr.GenAIAgentName, valid(s.agent)), attribute.String(attr.GenAIOperationName, s.operation),
		attribute.Int64(attr.Step, s.step), attribute.Int64(attr.EntrySeq, s.seq))
	if s.parent.IsValid() {
		r.AddAttributes(attribute.String(attr.SpanParent, s.parent.String()))
	}
	if s.tool != "" {
		r.AddAttributes(attribute.String(attr.GenAIToolName, valid(s.tool)))
	}
	if s.model != "" {
		r.AddAttributes(attribute.String(attr.GenAIRequestModel, valid(s.model)))
	}
	of := trace.NewSpanContext(trace.SpanContextConfig{TraceID: TraceID(run), SpanID: s.id, TraceFlags: trace.FlagsSampled})
	h.logger.Emit(trace.ContextWithSpanContext(h.ctx, of), r)
}

func (h *hints) main(beats <-chan time.Time) {
	defer close(h.done)
	if beats == nil {
		ticker := time.NewTicker(beatEvery)
		defer ticker.Stop()
		beats = ticker.C
	}
	failing := false
	for {
		select {
		case <-h.ctx.Done():
			return
		case at := <-beats:
			h.beat(at)
		case <-h.wake:
		}
		err := h.send()
		if err != nil && !failing && h.ctx.Err() == nil {
			h.log.Info("open spans cannot be shown for now; ended ones are not affected", "error", err)
		}
		failing = err != nil
	}
}

// send sends what waits, once.
func (h *hints) send() error {
	h.mu.Lock()
	records, dropped := h.waiting, h.dropped
	h.waiting, h.dropped = nil, 0
	h.mu.Unlock()
	if dropped > 0 {
		h.log.Debug("records of open spans are dropped: the receiver is too slow", "records", dropped)
	}
	for piece := range slices.Chunk(records, maxHints) {
		if err := h.out.Export(h.ctx, piece); err != nil {
			return err
		}
	}
	return nil
}

// close ends the goroutine; a request under way is given up.
func (h *hints) close(ctx context.Context) error {
	h.cancel()
	<-h.done
	if err := h.out.Shutdown(ctx); err != nil {
		return fmt.Errorf("close exporter of open spans: %w", err)
	}
	return nil
}

// queue is the log processor that keeps records for [hints.send]. The SDK's own batch processor reports its
// failures to the process's error stream, and lets its Shutdown wait for a receiver.
type queue struct{ *hints }

// Enabled implements sdklog.Processor.
func (q queue) Enabled(context.Context, sdklog.EnabledParameters) bool { return true }

// OnEmit implements sdklog.Processor. It is called by emit, which holds the lock.
func (q queue) OnEmit(_ context.Context, r *sdklog.Record) error {
	if len(q.waiting) >= maxWaiting {
		q.dropped++
		return nil
	}
	q.waiting = append(q.waiting, r.Clone())
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return nil
}

// Shutdown implements sdklog.Processor.
func (q queue) Shutdown(context.Context) error { return nil }

// ForceFlush implements sdklog.Processor.
func (q queue) ForceFlush(context.Context) error { return nil }
