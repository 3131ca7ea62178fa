package dialect

import (
	"encoding/binary"
	"math"
	"strconv"

	"tachograph/collector/otlp"
	"tachograph/schemas/journal"
	"tachograph/schemas/tables"
)

func runText(trace [16]byte) string { return journal.RunID(trace).String() }

// writeSpan makes the row of one span, and content of its long values.
func (w *Writer) writeSpan(r *otlp.Resource, s *otlp.Scope, in *otlp.Span) error {
	if w.skip() {
		return nil
	}
	w.shared.of(r, s)
	w.values.reset()
	row := &w.span
	row.Reset()
	row.Project = w.project
	copy(row.TraceID[:], in.Trace)
	row.SpanID, row.ParentSpanID = spanID(in.ID), spanID(in.Parent)
	setTimes(row, in.Start, in.End)
	row.Kind, row.Flags, row.StatusCode = small(in.Kind), in.Flags, small(in.StatusCode)
	row.Service, row.Resource, row.ScopeAttributes = w.shared.service, w.shared.resourceJSON, w.shared.scopeJSON
	row.ResourceSchema, row.ResourceDropped = r.SchemaURL, r.Dropped
	row.ScopeName, row.ScopeVersion, row.ScopeSchema, row.ScopeDropped = s.Name, s.Version, s.SchemaURL, s.Dropped
	row.AttrsDropped, row.EventsDropped, row.LinksDropped = in.DroppedAttributes, in.DroppedEvents, in.DroppedLinks

	w.liftAll(row, in.Attributes)
	of := scope{project: w.project, conversation: row.ConversationID, trace: row.TraceID}
	row.Name = w.shorten(&row.Cut, of, "name", "", in.Name)
	row.TraceState = w.shorten(&row.Cut, of, "state", "", in.TraceState)
	row.StatusMessage = w.shorten(&row.Cut, of, "status", "", in.StatusMessage)
	for i, a := range in.Attributes {
		if w.lifts[i] == unlifted || row.Lifted&(1<<w.lifts[i]) == 0 {
			row.Attributes = append(row.Attributes, w.pair(&row.Cut, of, "", a))
		}
	}
	w.read(row, in.Attributes)
	w.derive(row, in.Attributes)
	w.events(row, of, in.Events)
	w.links(row, of, in.Links)
	w.sharedCuts(&row.Cut, of)
	w.rows.Span(row)
	return nil
}

func spanID(b string) uint64 {
	if len(b) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(bytesOf(b))
}

// small keeps an enumeration in a byte. Values that no version of OTLP knows become 255.
func small(v int32) uint8 {
	if v < 0 || v > math.MaxUint8 {
		return math.MaxUint8
	}
	return uint8(v)
}

func setTimes(row *tables.Span, start, end uint64) {
	row.Start = int64(start)
	if end >= start {
		row.DurationNS = end - start
	} else {
		row.EarlyEndNS = int64(end)
	}
}

// liftAll fills typed columns from the attributes that fit and stand there once.
func (w *Writer) liftAll(row *tables.Span, attrs []otlp.Attr) {
	w.lifts = w.lifts[:0]
	var once, twice uint64
	for i := range attrs {
		n := liftOf(attrs[i].Key)
		w.lifts = append(w.lifts, n)
		if n == unlifted {
			continue
		}
		twice |= once & (1 << n)
		once |= 1 << n
	}
	const writes = 1<<tables.LiftCacheCreation | 1<<tables.LiftCacheWrite
	if once&writes == writes {
		twice |= writes // two names of one column
	}
	for i := range attrs {
		if n := w.lifts[i]; n != unlifted && twice&(1<<n) == 0 && lift(row, n, attrs[i].Value) {
			row.Lifted |= 1 << n
		}
	}
}

// pair is an attribute that stays in a map.
func (w *Writer) pair(cuts *[]tables.Cut, of scope, place string, a otlp.Attr) tables.Attr {
	text, letter := w.values.text(a.Value)
	return tables.Attr{Key: a.Key, Value: w.shorten(cuts, of, place, a.Key, text), Type: letter}
}

// read fills columns that no attribute fitted into exactly, with what the attributes mean. These are
// readings: their bits stay unset, and the attributes are there as they came.
func (w *Writer) read(row *tables.Span, attrs []otlp.Attr) {
	row.Source = tables.SourceOTLP
	if row.Lifted&(1<<tables.LiftRunID) != 0 {
		row.Source = tables.SourceTacho
	}
	for i := range attrs {
		a := &attrs[i]
		n := w.lifts[i]
		if n == unlifted {
			readOld(row, a)
			continue
		}
		if row.Lifted&(1<<n) != 0 {
			continue
		}
		if column := row.TextColumn(n); column != nil && a.Value.Type == otlp.String {
			*column = cutText(a.Value.Text)
		} else if column := row.NumberColumn(n); column != nil {
			readNumber(column, a.Value)
		} else if n == tables.LiftFinishReasons && a.Value.Type == otlp.String {
			row.FinishReasons = append(row.FinishReasons[:0], cutText(a.Value.Text))
		}
	}
}

// readOld reads names that were in use before (CONVENTIONS.md §1).
func readOld(row *tables.Span, a *otlp.Attr) {
	switch a.Key {
	case "gen_ai.system":
		if row.Provider == "" && a.Value.Type == otlp.String {
			row.Provider = cutText(a.Value.Text)
		}
	case "gen_ai.usage.prompt_tokens":
		if row.InputTokens == tables.Absent {
			readNumber(&row.InputTokens, a.Value)
		}
	case "gen_ai.usage.completion_tokens":
		if row.OutputTokens == tables.Absent {
			readNumber(&row.OutputTokens, a.Value)
		}
	default:
		readOther(row, a)
	}
}

// readNumber reads a count that was sent as a double or as text.
func readNumber(column *int64, v otlp.Value) {
	switch v.Type {
	case otlp.Int:
		*column = v.Int()
	case otlp.Double:
		if d := v.Double(); d == math.Trunc(d) && math.Abs(d) < 1<<53 {
			*column = int64(d)
		}
	case otlp.String:
		if len(v.Text) < 20 {
			if n, err := strconv.ParseInt(v.Text, 10, 64); err == nil {
				*column = n
			}
		}
	}
}

func (w *Writer) events(row *tables.Span, of scope, events []otlp.Event) {
	for i := range events {
		in := &events[i]
		n := len(row.Events)
		if n < cap(row.Events) {
			row.Events = row.Events[:n+1]
		} else {
			row.Events = append(row.Events, tables.Event{})
		}
		e := &row.Events[n]
		*e = tables.Event{Time: int64(in.Time), Dropped: in.Dropped, Attributes: e.Attributes[:0]}
		place := ""
		if long(in.Name) || anyLong(in.Attributes) {
			place = "event " + strconv.Itoa(i)
		}
		e.Name = w.shorten(&row.Cut, of, place, "", in.Name)
		for _, a := range in.Attributes {
			e.Attributes = append(e.Attributes, w.pair(&row.Cut, of, place, a))
		}
	}
}

func (w *Writer) links(row *tables.Span, of scope, links []otlp.Link) {
	for i := range links {
		in := &links[i]
		l := tables.Link{SpanID: spanID(in.ID), State: in.State, Flags: in.Flags, Dropped: in.Dropped}
		if len(in.Trace) == 16 {
			copy(l.TraceID[:], in.Trace)
		}
		place := "link " + strconv.Itoa(i)
		l.State = w.shorten(&row.Cut, of, place, "", in.State)
		for _, a := range in.Attributes {
			l.Attributes = append(l.Attributes, w.pair(&row.Cut, of, place, a))
		}
		row.Links = append(row.Links, l)
	}
}

// long and anyLong say whether a place must be named. Only texts and lists can be long.
func long(text string) bool { return len(text) > tables.MaxValue }

func anyLong(attrs []otlp.Attr) bool {
	for i := range attrs {
		if len(attrs[i].Value.Text) > tables.MaxValue/8 { // lists grow when they become text
			return true
		}
	}
	return false
}

// sharedCuts adds what was cut of resource and scope.
func (w *Writer) sharedCuts(cuts *[]tables.Cut, of scope) {
	for i, c := range w.shared.cuts {
		c.Body = w.keep(of, w.shared.wholes[i].Value.Text)
		*cuts = append(*cuts, c)
	}
}

// eventOf is the name of a log record's event: some SDKs send it as an attribute.
func eventOf(l *otlp.Log) string {
	if l.Event != "" {
		return l.Event
	}
	return findText(l.Attributes, "event.name")
}
