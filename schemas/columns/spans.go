package columns

import (
	"encoding/binary"
	"io"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"tachograph/schemas/tables"
)

var spanID = &arrow.FixedSizeBinaryType{ByteWidth: 8}

// SpansSchema is that of the spans of a run.
func SpansSchema() *arrow.Schema {
	text, number := arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int64
	return arrow.NewSchema([]arrow.Field{
		field("id", spanID, false, "", "big-endian, as OTLP writes it"),
		field("parent", spanID, true, "", "null: a root"),
		field("name", text, false, "", ""),
		field("kind", arrow.PrimitiveTypes.Uint8, false, "", "OTLP: 0 unspecified, 1 internal, 2 server, 3 client, 4 producer, 5 consumer"),
		field("operation", text, false, "", "gen_ai.operation.name"),
		field("start", nanoseconds, false, "ns", ""),
		field("duration", number, true, "ns", "null: the span is open"),
		field("alive", nanoseconds, true, "ns", "when an open span was heard of last"),
		field("status", arrow.PrimitiveTypes.Uint8, false, "", "0 unset, 1 ok, 2 error"),
		field("error", text, false, "", "error.type, or the status message"),
		field("service", text, false, "", ""),
		field("agent", text, false, "", "path of an agent of ours, or name"),
		field("tool", text, false, "", ""),
		field("model", text, false, "", ""),
		field("step", number, true, "", ""),
		field("seq", number, true, "", "journal entry that opened it"),
		field("effect", text, false, "", ""),
		field("scope", text, false, "", ""),
		field("decision", text, false, "", ""),
		field("intent", text, false, "", ""),
		field("input_tokens", number, true, "tokens", "cached ones included"),
		field("cached_tokens", number, true, "tokens", ""),
		field("output_tokens", number, true, "tokens", "reasoning included"),
		field("reasoning_tokens", number, true, "tokens", ""),
		field("cost", number, true, "1e-9 USD", "null: no price is known"),
		field("delta_files", number, true, "files", ""),
		field("delta_added", number, true, "lines", ""),
		field("delta_removed", number, true, "lines", ""),
	}, nil)
}

// Spans writes spans.
type Spans struct{ *stream }

// NewSpans begins a stream. Close it.
func NewSpans(w io.Writer) Spans { return Spans{newStream(w, SpansSchema())} }

// Write adds a span that has ended.
func (s Spans) Write(row *tables.Span) error {
	r := &record{rows: s.rows}
	r.id(row.SpanID, false)
	r.id(row.ParentSpanID, row.ParentSpanID == 0)
	r.text(row.Name)
	r.small(row.Kind)
	r.text(row.Operation)
	r.time(row.Start, false)
	r.number(int64(min(row.DurationNS, 1<<63-1)), false)
	r.time(0, true)
	r.small(row.StatusCode)
	r.text(Failure(row))
	r.text(row.Service)
	r.text(Agent(row))
	r.text(row.Tool)
	r.text(Model(row))
	r.sent(row.Step)
	r.sent(row.EntrySeq)
	r.text(row.ToolEffect)
	r.text(row.ToolScope)
	r.text(row.PolicyDecision)
	r.text(row.IntentText)
	for _, n := range []int64{row.InputTokens, row.CachedTokens, row.OutputTokens, row.ReasoningTokens, row.CostNUSD, row.DeltaFiles, row.DeltaAdded, row.DeltaRemoved} {
		r.sent(n)
	}
	return s.added()
}

// WriteOpen adds a span that is under way.
func (s Spans) WriteOpen(row *tables.OpenSpan) error {
	r := &record{rows: s.rows}
	r.id(row.SpanID, false)
	r.id(row.ParentSpanID, row.ParentSpanID == 0)
	r.text(row.Name)
	r.small(row.Kind)
	r.text(row.Operation)
	r.time(row.Start, false)
	r.number(0, true)
	r.time(row.Alive, row.Alive == 0)
	r.small(0)
	r.text("")
	r.text(row.Service)
	r.text(row.AgentPath)
	r.text(row.Tool)
	r.text("")
	r.sent(tables.Absent)
	r.sent(tables.Absent)
	for range 4 {
		r.text("")
	}
	for range 8 {
		r.sent(tables.Absent)
	}
	return s.added()
}

// Failure is what a span says of its failure, empty if it did not fail.
func Failure(row *tables.Span) string {
	if row.ErrorType != "" {
		return row.ErrorType
	}
	if row.StatusCode == 2 {
		return row.StatusMessage
	}
	return ""
}

// Agent is the path of the agent if it is one of ours, else its name.
func Agent(row *tables.Span) string {
	if row.AgentPath != "" {
		return row.AgentPath
	}
	return row.Agent
}

// Model is the model that answered, or else the one that was asked.
func Model(row *tables.Span) string {
	if row.ResponseModel != "" {
		return row.ResponseModel
	}
	return row.RequestModel
}

// record fills the fields of one row, from the first on.
type record struct {
	rows *array.RecordBuilder
	at   int
}

func (r *record) next() array.Builder {
	r.at++
	return r.rows.Field(r.at - 1)
}

func (r *record) id(id uint64, null bool) {
	b := r.next().(*array.FixedSizeBinaryBuilder)
	if null {
		b.AppendNull()
		return
	}
	b.Append(binary.BigEndian.AppendUint64(nil, id))
}

func (r *record) text(text string) { r.next().(*array.StringBuilder).Append(text) }
func (r *record) small(n uint8)    { r.next().(*array.Uint8Builder).Append(n) }

func (r *record) number(n int64, null bool) {
	b := r.next().(*array.Int64Builder)
	if null {
		b.AppendNull()
		return
	}
	b.Append(n)
}

// sent adds a number that may not have been sent.
func (r *record) sent(n int64) { r.number(n, n == tables.Absent) }

func (r *record) time(ns int64, null bool) {
	b := r.next().(*array.TimestampBuilder)
	if null {
		b.AppendNull()
		return
	}
	b.Append(arrow.Timestamp(ns))
}
