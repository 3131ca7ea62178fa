package columns

import (
	"io"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"tachograph/schemas/tables"
)

// RowsSchema is that of rows of the table spans, under the table's own names, as far as a sender that is no collector can
// fill them: INSERT INTO spans (RowNames) FORMAT ArrowStream takes them as they are. Numbers that were not sent are -1,
// as in the table.
func RowsSchema() *arrow.Schema {
	text, number, id := arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Uint64
	of := func(name string, kind arrow.DataType) arrow.Field { return field(name, kind, false, "", "") }
	return arrow.NewSchema([]arrow.Field{
		of("project", text), of("source", text), of("trace_id", text), of("span_id", id), of("parent_span_id", id),
		of("start", nanoseconds), of("duration_ns", id), of("early_end_ns", number), of("name", text), of("kind", arrow.PrimitiveTypes.Uint8),
		of("service", text), of("operation", text), of("provider", text), of("request_model", text), of("response_id", text),
		of("conversation_id", text), of("agent", text), of("tool", text), of("tool_call_id", text), of("input_tokens", number),
		of("output_tokens", number), of("resource", text), of("received", milliseconds),
		of("attributes", arrow.MapOf(text, text)),
	}, nil)
}

// RowNames are the columns of RowsSchema, in order.
func RowNames() (names []string) {
	for _, f := range RowsSchema().Fields() {
		names = append(names, f.Name)
	}
	return names
}

var milliseconds = &arrow.TimestampType{Unit: arrow.Millisecond, TimeZone: "UTC"}

// Rows writes rows of the table spans.
type Rows struct{ *stream }

// NewRows begins a stream. Close it.
func NewRows(w io.Writer) Rows { return Rows{newStream(w, RowsSchema())} }

// Write adds a row that was received at that time, in ms since 1970.
func (s Rows) Write(row *tables.Span, received int64) error {
	r := &record{rows: s.rows}
	r.text(row.Project)
	r.text(row.Source)
	r.uuid(row.TraceID)
	r.unsigned(row.SpanID)
	r.unsigned(row.ParentSpanID)
	r.time(row.Start, false)
	r.unsigned(row.DurationNS)
	r.number(row.EarlyEndNS, false)
	r.text(row.Name)
	r.small(row.Kind)
	for _, text := range []string{row.Service, row.Operation, row.Provider, row.RequestModel, row.ResponseID, row.ConversationID, row.Agent, row.Tool, row.ToolCallID} {
		r.text(text)
	}
	r.number(row.InputTokens, false)
	r.number(row.OutputTokens, false)
	r.text(row.Resource)
	r.time(received, false)
	r.pairs(row.Attributes)
	return s.added()
}

func (r *record) unsigned(n uint64) { r.next().(*array.Uint64Builder).Append(n) }

// uuid is written as text, which is how the engine reads one from Arrow.
func (r *record) uuid(id [16]byte) {
	const digits = "0123456789abcdef"
	var text [36]byte
	at := 0
	for i, b := range id {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			text[at] = '-'
			at++
		}
		text[at], text[at+1] = digits[b>>4], digits[b&15]
		at += 2
	}
	r.next().(*array.StringBuilder).BinaryBuilder.Append(text[:])
}

func (r *record) pairs(attributes []tables.Attr) {
	b := r.next().(*array.MapBuilder)
	b.Append(true)
	keys, values := b.KeyBuilder().(*array.StringBuilder), b.ItemBuilder().(*array.StringBuilder)
	for _, a := range attributes {
		keys.Append(a.Key)
		values.Append(a.Value)
	}
}
