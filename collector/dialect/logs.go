package dialect

import (
	"time"

	"tachograph/collector/otlp"
	"tachograph/schemas/attr"
	"tachograph/schemas/record"
	"tachograph/schemas/tables"
)

func (w *Writer) writeLog(received time.Time, r *otlp.Resource, s *otlp.Scope, in *otlp.Log) error {
	if w.skip() {
		return nil
	}
	switch {
	case record.Is(in.Event):
		return w.writeOurs(in)
	case isHint(in.Event):
		w.writeHint(r, in)
		return nil
	}
	w.writeOther(r, s, in)
	return nil
}

// writeOther makes the row of a log record that is none of ours.
func (w *Writer) writeOther(r *otlp.Resource, s *otlp.Scope, in *otlp.Log) {
	w.shared.of(r, s)
	w.values.reset()
	row := &w.log
	*row = tables.Log{Project: w.project, SpanID: spanID(in.Span), Time: int64(in.Time), Observed: int64(in.Observed),
		Severity: in.Severity, Event: cutText(eventOf(in)), Service: w.shared.service, Flags: in.Flags,
		ScopeName: s.Name, ScopeVersion: s.Version, ScopeAttributes: w.shared.scopeJSON, ScopeSchema: s.SchemaURL, ScopeDropped: s.Dropped,
		Resource: w.shared.resourceJSON, ResourceSchema: r.SchemaURL, ResourceDropped: r.Dropped,
		AttrsDropped: in.Dropped, Attributes: row.Attributes[:0], Cut: row.Cut[:0]}
	copy(row.TraceID[:], in.Trace)
	of := scope{project: w.project, conversation: findText(in.Attributes, attr.GenAIConversationID), trace: row.TraceID}
	row.SeverityText = w.shorten(&row.Cut, of, "severity", "", in.SeverityText)
	row.EventName = w.shorten(&row.Cut, of, "event_name", "", in.Event)
	body, letter := w.values.text(in.Body)
	row.Body, row.BodyType = w.shorten(&row.Cut, of, "body", "", body), letters[letter]
	for _, a := range in.Attributes {
		row.Attributes = append(row.Attributes, w.pair(&row.Cut, of, "", a))
	}
	w.sharedCuts(&row.Cut, of)
	w.rows.Log(row)
}

// letters are the types as texts.
var letters = map[byte]string{tables.TypeString: "s", tables.TypeBool: "b", tables.TypeInt: "i", tables.TypeDouble: "d",
	tables.TypeBytes: "y", tables.TypeJSON: "j", tables.TypeNone: "n"}
