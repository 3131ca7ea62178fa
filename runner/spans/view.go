package spans

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"iter"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"tachograph/schemas/attr"
	"tachograph/schemas/journal"
	"tachograph/schemas/tables"
)

// Journals is what a View reads of journals.
type Journals interface {
	Entries(ctx context.Context, run journal.RunID, from int64) iter.Seq2[[]byte, error]
	Content(ctx context.Context, run journal.RunID, ref journal.Ref) ([]byte, error)
}

// View shows the spans of journals as rows, without sending them anywhere: the same spans, ids and
// attributes that an [Exporter] sends, so that a run can be looked at where nobody collects.
type View struct {
	src     Journals
	project string
	tails   *tails
}

// NewView makes a View. project is what the rows say.
func NewView(src Journals, project string) View { return View{src, project, &tails{}} }

// How many spans end in a batch: a few in the first, so that there is something to see before a long journal is read.
const (
	firstBatch = 400
	laterBatch = 4000
)

// Spans shows the spans of a run to see, batch by batch, and reads the journal once: those that ended, in the order in which they
// did, and those that began, are open at the end of the batch, and were not shown before; of the last batch all that are open. So
// a parent comes before its children or with them. They are light: of what people, models and tools wrote
// they hold only the intents, and no events. A batch is see's to keep.
func (v View) Spans(ctx context.Context, run journal.RunID, see func(tables.SpanBatch) error) error {
	shape := shaper{view: v, ctx: ctx, run: run}
	told := map[trace.SpanID]bool{}
	most := firstBatch
	var ended []tables.Span
	p := newProjector(run)
	entries, err := v.read(ctx, p, 0, func(_ int64, s *span) (bool, error) {
		row, err := shape.light(s)
		if err != nil {
			return false, err
		}
		ended = append(ended, row)
		delete(told, s.id)
		if len(ended) < most {
			return true, nil
		}
		err = see(tables.SpanBatch{Ended: ended, Open: v.open(p, told), Origin: p.origin()})
		ended, most = make([]tables.Span, 0, laterBatch), laterBatch
		return err == nil, err
	})
	if err != nil {
		return err
	}
	return see(tables.SpanBatch{Ended: ended, Open: v.open(p, nil), Origin: p.origin(), Last: true, Entries: entries})
}

// open are the spans of a projector that are open now and not told of. It notes that they are; nil: all, and nothing is noted.
func (v View) open(p *projector, told map[trace.SpanID]bool) (rows []tables.OpenSpan) {
	for _, o := range p.open() {
		if told[o.id] {
			continue
		}
		if told != nil {
			told[o.id] = true
		}
		rows = append(rows, tables.OpenSpan{Project: v.project, TraceID: p.run, SpanID: number(o.id), ParentSpanID: number(o.parent), Start: o.start.UnixNano(),
			Name: valid(o.name), Kind: uint8(o.kind), Operation: o.operation, AgentPath: valid(o.agent), Tool: valid(o.tool)})
	}
	return rows
}

// Span is a span with everything that is sent of it, or what is known of one that has not ended. Both are nil if
// there is none with that id.
func (v View) Span(ctx context.Context, run journal.RunID, id uint64) (ended *tables.Span, open *tables.OpenSpan, err error) {
	shape := shaper{view: v, ctx: ctx, run: run}
	p := newProjector(run)
	_, err = v.read(ctx, p, 0, func(_ int64, s *span) (bool, error) {
		if number(s.id) != id {
			return true, nil
		}
		row, err := shape.whole(s)
		ended = &row
		return false, err
	})
	if ended != nil || err != nil {
		return ended, nil, err
	}
	for _, o := range v.open(p, nil) {
		if o.SpanID == id {
			return nil, &o, nil
		}
	}
	return nil, nil, nil
}

// read shows the spans that a journal ends from an entry on, each with the entry's seq, until see has enough. It says how many
// entries the projector has taken then.
func (v View) read(ctx context.Context, p *projector, from int64, see func(seq int64, s *span) (more bool, err error)) (entries int64, err error) {
	for line, err := range v.src.Entries(ctx, p.run, from) {
		if err != nil {
			return from, fmt.Errorf("show spans of run %s: %w", p.run, err)
		}
		closed, _, err := p.project(line)
		if err != nil {
			return from, fmt.Errorf("show spans of run %s: %w", p.run, err)
		}
		for i := range closed {
			if more, err := see(from, &closed[i]); err != nil || !more {
				return from, err
			}
		}
		from++
	}
	return from, nil
}

func number(id trace.SpanID) uint64 { return binary.BigEndian.Uint64(id[:]) }

// shaper makes rows of the spans of one run.
type shaper struct {
	view   View
	ctx    context.Context
	run    journal.RunID
	frames frames
}

// Content implements reader.
func (h *shaper) Content(ctx context.Context, ref journal.Ref) ([]byte, error) {
	return h.view.src.Content(ctx, h.run, ref)
}

func (h *shaper) describer(s *span, capture bool) *describer {
	return &describer{ctx: h.ctx, from: h, frames: &h.frames, capture: capture, limit: maxText, span: s}
}

func (h *shaper) light(s *span) (tables.Span, error) {
	attrs, err := h.describer(s, false).attributes(h.run)
	row := h.row(s, attrs)
	if c, ok := s.detail.(*callDetail); ok && err == nil {
		d := h.describer(s, true)
		if text, ok := d.content(attr.IntentText, c.intent.text); ok {
			d.short(attr.IntentText, string(text))
			lift(&row, d.attrs)
		}
		err = d.failed
	}
	return row, err
}

func (h *shaper) whole(s *span) (tables.Span, error) {
	d := h.describer(s, true)
	attrs, err := d.attributes(h.run)
	if err != nil {
		return tables.Span{}, err
	}
	row := h.row(s, attrs)
	for _, e := range s.events {
		row.Events = append(row.Events, tables.Event{Time: e.time.UnixNano(), Name: e.name, Attributes: attributePairs(d.event(e))})
	}
	for _, l := range s.links {
		row.Links = append(row.Links, tables.Link{TraceID: l.run, SpanID: number(l.span), Attributes: []tables.Attr{{Key: attr.Relation, Value: l.relation}}})
	}
	if text, ok := d.content(attr.Reason, s.because); ok {
		row.StatusMessage = valid(string(text))
	}
	row.Attributes = attributePairs(append(attrs, d.finish()...))
	return row, d.failed
}

// row is what a span says without its maps.
func (h *shaper) row(s *span, attrs []attribute.KeyValue) tables.Span {
	var row tables.Span
	row.Reset()
	row.Project, row.TraceID, row.SpanID, row.ParentSpanID = h.view.project, h.run, number(s.id), number(s.parent)
	row.Name, row.Kind, row.Source, row.ScopeName = valid(s.name), uint8(s.kind), tables.SourceTacho, scope
	row.Start, row.DurationNS = s.start.UnixNano(), uint64(max(s.end.Sub(s.start), 0))
	if s.failure != "" {
		row.StatusCode, row.StatusMessage = 2, s.failure
	}
	lift(&row, attrs)
	return row
}

// lift fills the typed columns that attributes have.
func lift(row *tables.Span, attrs []attribute.KeyValue) {
	texts := map[string]*string{attr.GenAIOperationName: &row.Operation, attr.GenAIProviderName: &row.Provider, attr.GenAIRequestModel: &row.RequestModel,
		attr.GenAIConversationID: &row.ConversationID, attr.GenAIAgentName: &row.Agent, attr.AgentPath: &row.AgentPath, attr.GenAIToolName: &row.Tool,
		attr.GenAIToolCallID: &row.ToolCallID, attr.ErrorType: &row.ErrorType, attr.IntentText: &row.IntentText, attr.IntentSource: &row.IntentSource,
		attr.ToolEffect: &row.ToolEffect, attr.ToolScope: &row.ToolScope, attr.PolicyDecision: &row.PolicyDecision}
	numbers := map[string]*int64{attr.GenAIUsageInput: &row.InputTokens, attr.GenAIUsageOutput: &row.OutputTokens, attr.GenAIUsageCacheRead: &row.CachedTokens,
		attr.GenAIUsageReasoning: &row.ReasoningTokens, attr.CostNUSD: &row.CostNUSD, attr.EntrySeq: &row.EntrySeq, attr.Step: &row.Step,
		attr.DeltaFiles: &row.DeltaFiles, attr.DeltaAdded: &row.DeltaAdded, attr.DeltaRemoved: &row.DeltaRemoved}
	for _, kv := range attrs {
		key := string(kv.Key)
		if to := texts[key]; to != nil {
			*to = kv.Value.AsString()
		} else if to := numbers[key]; to != nil {
			*to = kv.Value.AsInt64()
		} else if key == attr.GenAIResponseFinish {
			row.FinishReasons = kv.Value.AsStringSlice()
		}
	}
}

// pairs writes attributes as the tables do.
func attributePairs(attrs []attribute.KeyValue) []tables.Attr {
	all := make([]tables.Attr, 0, len(attrs))
	for _, kv := range attrs {
		pair := tables.Attr{Key: string(kv.Key)}
		switch kv.Value.Type() {
		case attribute.STRING:
			pair.Value, pair.Type = kv.Value.AsString(), tables.TypeString
		case attribute.INT64:
			pair.Value, pair.Type = fmt.Sprint(kv.Value.AsInt64()), tables.TypeInt
		case attribute.BOOL:
			pair.Value, pair.Type = fmt.Sprint(kv.Value.AsBool()), tables.TypeBool
		case attribute.FLOAT64:
			pair.Value, pair.Type = string(tables.AppendDouble(nil, kv.Value.AsFloat64())), tables.TypeDouble
		case attribute.STRINGSLICE:
			list, _ := json.Marshal(kv.Value.AsStringSlice()) // strings always encode
			pair.Value, pair.Type = string(list), tables.TypeJSON
		default:
			pair.Value, pair.Type = fmt.Sprint(kv.Value.AsInterface()), tables.TypeString
		}
		all = append(all, pair)
	}
	return all
}
