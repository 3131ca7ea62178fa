package store

import (
	"context"
	"encoding/hex"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"tachograph/schemas/journal"
	"tachograph/schemas/tables"
)

// Status of a trace.
const (
	TraceRunning = "running" // no root has ended, and something was heard of it since TraceFilter.Recent
	TraceDone    = "done"
	TraceFailed  = "failed" // its first root has the status error
)

// Trace is a trace of somebody else's agent as a list shows it: a run of source otlp.
type Trace struct {
	ID           [16]byte
	Spans        int64
	Service      string
	Name         string // of the root; of the oldest span while there is no root
	HasRoot      bool   // the root has ended, so that the trace may be taken for complete
	Status       string
	Conversation string
	Model        string
	Started      time.Time
	Ended        time.Time // end of the last span so far
	Received     time.Time // arrival of the last span so far
	Errors       int64     // spans with the status error
	Answers      int64     // of models
	Calls        int64     // of tools
	Agents       int64     // invocations
	Input        int64     // tokens of model calls, cached ones included
	Output       int64
	Cached       int64
	CostNUSD     int64
	Unpriced     int64 // model calls whose price is unknown
}

// TraceFilter says which traces a list holds, and how their status is read. The zero value holds all, and takes those
// without a root for over.
type TraceFilter struct {
	Words  []string  // each stands in the name, model, service or id, lower case
	Status []string  // one of these; none: any
	Recent time.Time // a trace without a root goes on if a span of it arrived since
}

func (f TraceFilter) parameters() []string {
	recent := int64(math.MaxInt64)
	if !f.Recent.IsZero() {
		recent = f.Recent.UnixMilli()
	}
	return []string{"words", textsParameter(f.Words), "status", textsParameter(f.Status), "recent", fmt.Sprint(recent)}
}

// textsParameter spells texts as an array of hex texts: within an array the engine reads escapes otherwise than alone.
func textsParameter(texts []string) string {
	coded := make([]string, len(texts))
	for i, text := range texts {
		coded[i] = "'" + hex.EncodeToString([]byte(text)) + "'"
	}
	return "[" + strings.Join(coded, ",") + "]"
}

func numbersParameter(ids []uint64) string {
	return strings.ReplaceAll(fmt.Sprint(ids), " ", ",")
}

// Traces are the traces of other people's agents, newest first.
func (s *Store) Traces(ctx context.Context, filter TraceFilter, page Page) ([]Trace, error) {
	traces, err := s.traces(ctx, filter, page, all)
	if err != nil {
		return nil, fmt.Errorf("list traces: %w", err)
	}
	return traces, nil
}

// Trace is one of them; ErrNotFound if nothing of it has arrived.
func (s *Store) Trace(ctx context.Context, id [16]byte, filter TraceFilter) (Trace, error) {
	traces, err := s.traces(ctx, TraceFilter{Recent: filter.Recent}, Page{Limit: 1}, one(id))
	if err != nil {
		return Trace{}, fmt.Errorf("read trace %s: %w", uuid.UUID(id), err)
	}
	if len(traces) == 0 {
		return Trace{}, fmt.Errorf("trace %s: %w", uuid.UUID(id), ErrNotFound)
	}
	return traces[0], nil
}

func (s *Store) traces(ctx context.Context, filter TraceFilter, page Page, ids stretch) ([]Trace, error) {
	parameters := append(append(page.parameters(), filter.parameters()...), ids.parameters()...)
	return list(with(ctx, append(parameters, "project", s.project)...), s, question("traces"), scanTrace)
}

func scanTrace(r driver.Rows) (Trace, error) {
	var t Trace
	var id uuid.UUID
	var start, end, received int64
	var hasRoot uint8
	var spans, errors, answers, calls, agents, unpriced uint64
	err := r.Scan(&id, &spans, &start, &end, &received, &t.Service, &t.Name, &hasRoot, &t.Status, &t.Conversation, &t.Model, &errors, &answers,
		&calls, &agents, &t.Input, &t.Output, &t.Cached, &t.CostNUSD, &unpriced)
	t.ID, t.HasRoot = id, hasRoot == 1
	t.Spans, t.Errors, t.Answers, t.Calls, t.Agents, t.Unpriced = int64(spans), int64(errors), int64(answers), int64(calls), int64(agents), int64(unpriced)
	t.Started, t.Ended, t.Received = time.Unix(0, start).UTC(), time.Unix(0, end).UTC(), time.UnixMilli(received).UTC()
	return t, err
}

// SpanPage bounds a list of spans: at most Limit, after the place (After, AfterSpan), passing over Skip. Operations
// holds only spans of these; none: all. The zero place is the beginning.
type SpanPage struct {
	After      int64
	AfterSpan  uint64
	Operations []string
	Skip       int
	Limit      int
}

func (p SpanPage) parameters() []string {
	after := p.After
	if p.After == 0 && p.AfterSpan == 0 {
		after = math.MinInt64
	}
	return []string{"after", fmt.Sprint(after), "after_span", fmt.Sprint(p.AfterSpan), "operations", textsParameter(p.Operations),
		"skip", fmt.Sprint(p.Skip), "limit", fmt.Sprint(p.Limit)}
}

// TraceSpans are ended spans of a trace, by start and id, without attributes, events, links, resource and scope.
func (s *Store) TraceSpans(ctx context.Context, trace [16]byte, page SpanPage) ([]tables.Span, error) {
	ctx = with(ctx, append(page.parameters(), "project", s.project, "trace", uuid.UUID(trace).String())...)
	var row lightRow
	spans, err := list(ctx, s, question("trace_spans"), func(r driver.Rows) (tables.Span, error) {
		row.Span.Reset()
		err := r.Scan(row.columns()...)
		return row.span(), err
	})
	if err != nil {
		return nil, fmt.Errorf("read spans of trace %s: %w", uuid.UUID(trace), err)
	}
	return spans, nil
}

// maxOpen bounds how many open spans are shown of a trace.
const maxOpen = 10_000

// OpenSpans are those that their sender said have begun, and that have not ended.
func (s *Store) OpenSpans(ctx context.Context, trace [16]byte) ([]tables.OpenSpan, error) {
	ctx = with(ctx, "project", s.project, "trace", uuid.UUID(trace).String(), "limit", fmt.Sprint(maxOpen))
	spans, err := list(ctx, s, question("trace_open"), func(r driver.Rows) (tables.OpenSpan, error) {
		o := tables.OpenSpan{Project: s.project, TraceID: trace}
		return o, r.Scan(&o.SpanID, &o.ParentSpanID, &o.Start, &o.Alive, &o.Name, &o.Kind, &o.Service, &o.Operation, &o.AgentPath, &o.Tool)
	})
	if err != nil {
		return nil, fmt.Errorf("read open spans of trace %s: %w", uuid.UUID(trace), err)
	}
	return spans, nil
}

// WholeSpans are those of the ended spans that are there, by start and id, with everything that is stored of them. Values
// that were cut are read with CutValues.
func (s *Store) WholeSpans(ctx context.Context, trace [16]byte, ids []uint64) ([]tables.Span, error) {
	ctx = with(ctx, "project", s.project, "trace", uuid.UUID(trace).String(), "spans", numbersParameter(ids))
	spans, err := list(ctx, s, question("trace_whole"), func(r driver.Rows) (tables.Span, error) {
		var row wholeRow
		row.Span.Reset()
		err := r.Scan(row.columns()...)
		return row.span(), err
	})
	if err != nil {
		return nil, fmt.Errorf("read spans of trace %s: %w", uuid.UUID(trace), err)
	}
	return spans, nil
}

// CutValues reads values that were cut when they came, whole, by their names: those that are there. conversation is
// that of the span or log record that names them.
func (s *Store) CutValues(ctx context.Context, trace [16]byte, conversation string, names [][32]byte) (map[[32]byte][]byte, error) {
	family := journal.RunID(tables.ConversationFamily(s.project, conversation, trace))
	found := map[[32]byte][]byte{}
	for len(names) > 0 {
		some := names[:min(len(names), maxNames)]
		names = names[len(some):]
		pieces, err := s.pieces(s.inSpace(ctx, family.String(), tables.SpaceAttribute, some), "pieces")
		if err != nil {
			return nil, err
		}
		for name, b := range pieces {
			found[name] = b
		}
	}
	return found, nil
}

// CutValue reads one of them, for whoever knows only the trace and the name. ErrNotFound if no span or log record of the
// trace names it, or it was removed.
func (s *Store) CutValue(ctx context.Context, trace [16]byte, name [32]byte) ([]byte, error) {
	ask := with(ctx, "project", s.project, "trace", uuid.UUID(trace).String(), "name", hexOf(name))
	conversations, err := list(ask, s, question("trace_names"), func(r driver.Rows) (c string, err error) { return c, r.Scan(&c) })
	for _, conversation := range conversations {
		var found map[[32]byte][]byte
		if found, err = s.CutValues(ctx, trace, conversation, [][32]byte{name}); err != nil {
			break
		}
		if b, ok := found[name]; ok {
			return b, nil
		}
	}
	if err == nil {
		err = ErrNotFound
	}
	return nil, fmt.Errorf("value %s of trace %s: %w", journal.Hash(name), uuid.UUID(trace), err)
}
