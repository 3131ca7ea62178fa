package web

import (
	"bufio"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"

	"tachograph/collector/store"
	"tachograph/schemas/columns"
	"tachograph/schemas/journal"
	"tachograph/schemas/tables"
	"tachograph/web/api"
	"tachograph/web/story"
)

// maxSpans is how many spans one answer holds.
const maxSpans = 200_000

// row is a span, ended or open.
type row struct {
	ended *tables.Span
	open  *tables.OpenSpan
}

func (r row) place() (start int64, id uint64) {
	if r.open != nil {
		return r.open.Start, r.open.SpanID
	}
	return r.ended.Start, r.ended.SpanID
}

func compareRows(a, b row) int {
	startA, idA := a.place()
	startB, idB := b.place()
	return cmp.Or(cmp.Compare(startA, startB), cmp.Compare(idA, idB))
}

// rowsOf are the rows of a batch, by start.
func rowsOf(ended []tables.Span, open []tables.OpenSpan) []row {
	rows := make([]row, 0, len(ended)+len(open))
	for i := range ended {
		rows = append(rows, row{ended: &ended[i]})
	}
	for i := range open {
		rows = append(rows, row{open: &open[i]})
	}
	slices.SortFunc(rows, compareRows)
	return rows
}

// Batches of a trace: a few spans first, so that there is something to see.
const (
	firstBatch = 400
	laterBatch = 8000
)

// batch is what is shown of a trace's spans at once, by start.
type batch struct {
	rows    []row
	origin  int64
	last    bool
	entries int64 // of the journal that all of it is of, in the last batch; 0: there is no journal
}

func batchOf(b tables.SpanBatch) batch {
	return batch{rows: rowsOf(b.Ended, b.Open), origin: b.Origin, last: b.Last, entries: b.Entries}
}

// eachBatch shows the spans of what an id names, read once. after is how many entries of the journal a reader has the spans of: of one that
// is not long behind, only what is new is shown.
func (s *Server) eachBatch(ctx context.Context, of subject, after int64, see func(batch) error) error {
	if of.trace != nil {
		return s.eachTraceBatch(ctx, of.trace, see)
	}
	if after > 0 {
		news, known, err := s.Spans.After(ctx, of.run.ID, after)
		if err != nil {
			return err
		}
		if known {
			return see(batchOf(news))
		}
	}
	return s.Spans.Spans(ctx, of.run.ID, func(b tables.SpanBatch) error { return see(batchOf(b)) })
}

func (s *Server) eachTraceBatch(ctx context.Context, trace *store.Trace, see func(batch) error) error {
	open, err := s.Traces.OpenSpans(ctx, trace.ID)
	if err != nil {
		return err
	}
	page := store.SpanPage{Limit: firstBatch}
	for last := false; !last; open, page.Limit = nil, laterBatch {
		spans, err := s.Traces.TraceSpans(ctx, trace.ID, page)
		if err != nil {
			return err
		}
		if last = len(spans) < page.Limit; !last {
			page.After, page.AfterSpan = spans[len(spans)-1].Start, spans[len(spans)-1].SpanID
		}
		if err := see(batch{rows: rowsOf(spans, open), origin: trace.Started.UnixNano(), last: last}); err != nil {
			return err
		}
	}
	return nil
}

// allRows are the spans of what an id names, by start.
func (s *Server) allRows(ctx context.Context, of subject) (all []row, open int64, err error) {
	err = s.eachBatch(ctx, of, 0, func(b batch) error {
		for _, r := range b.rows {
			// What a journal opened is told of once more when it ends, or in the last batch.
			if r.ended != nil || b.last || of.trace != nil {
				all = append(all, r)
			}
			if r.open != nil && (b.last || of.trace != nil) {
				open++
			}
		}
		return nil
	})
	slices.SortFunc(all, compareRows)
	return all, open, err
}

// ListSpans answers with the spans of a run.
func (s *Server) ListSpans(ctx context.Context, request api.ListSpansRequestObject) (api.ListSpansResponseObject, error) {
	kind, err := choose(ctx, typeJSON, typeLines, typeArrow)
	if err != nil {
		return nil, err
	}
	limit, err := within("limit", request.Params.Limit, 20_000, 1, maxSpans)
	if err != nil {
		return nil, err
	}
	found, err := s.subject(ctx, request.Id)
	if err != nil {
		return nil, err
	}
	after, err := within("after", request.Params.After, 0, 0, int64(journal.MaxInt))
	if err != nil {
		return nil, err
	}
	if kind == typeLines {
		return spanLines{s, ctx, found, after}, nil
	}
	page, err := s.spanPage(ctx, found, request.Params.Cursor, limit)
	if err != nil {
		return nil, err
	}
	if kind == typeArrow {
		return page, nil
	}
	answer := api.SpanList{Spans: make([]api.Span, 0, len(page.rows)), Origin: nano(page.origin), Open: page.open, Total: page.total, Journal: found.run != nil, Next: page.next}
	for _, r := range page.rows {
		answer.Spans = append(answer.Spans, spanOf(r, page.origin))
	}
	return api.ListSpans200JSONResponse{Body: answer}, nil
}

// spanPage is a page of spans. As a response it is an Arrow stream.
type spanPage struct {
	rows                []row
	origin, open, total int64
	next                *string
}

func (s *Server) spanPage(ctx context.Context, of subject, cursor *string, limit int) (p spanPage, err error) {
	place := spanPlace{}
	if cursor != nil {
		if place, err = parseSpanPlace(*cursor); err != nil {
			return p, err
		}
	}
	if of.trace != nil {
		return s.tracePage(ctx, *of.trace, place, limit)
	}
	all, open, err := s.allRows(ctx, of)
	if err != nil {
		return p, err
	}
	p.open, p.total, p.origin = open, int64(len(all)), s.Clock().UnixNano()
	if len(all) > 0 {
		p.origin, _ = all[0].place()
	}
	first, _ := slices.BinarySearchFunc(all, place, func(r row, after spanPlace) int {
		if after.before(r) {
			return 1
		}
		return -1
	})
	end := min(first+limit, len(all))
	p.rows = all[first:end]
	if end < len(all) {
		p.next = ptr(placeOf(all[end-1]).String())
	}
	return p, nil
}

// tracePage reads a page of a trace, and no more. Open spans stand among those that began when they did.
func (s *Server) tracePage(ctx context.Context, t store.Trace, place spanPlace, limit int) (p spanPage, err error) {
	spans, err := s.Traces.TraceSpans(ctx, t.ID, store.SpanPage{After: place.start, AfterSpan: place.id, Limit: limit + 1})
	if err != nil {
		return p, err
	}
	open, err := s.Traces.OpenSpans(ctx, t.ID)
	if err != nil {
		return p, err
	}
	p.origin, p.open, p.total = t.Started.UnixNano(), int64(len(open)), t.Spans+int64(len(open))
	open = slices.DeleteFunc(open, func(o tables.OpenSpan) bool { return !place.before(row{open: &o}) })
	p.rows = rowsOf(spans, open)
	if len(p.rows) > limit {
		p.rows = p.rows[:limit]
		p.next = ptr(placeOf(p.rows[limit-1]).String())
	}
	return p, nil
}

// spanPlace is the place after a span: its start and its id, as spans may be added before the next page is read.
// The zero value is the beginning.
type spanPlace struct {
	start int64
	id    uint64
}

func placeOf(r row) (p spanPlace) {
	p.start, p.id = r.place()
	return p
}

// before says whether a row comes after the place.
func (p spanPlace) before(r row) bool {
	start, id := r.place()
	return p == spanPlace{} || cmp.Or(cmp.Compare(p.start, start), cmp.Compare(p.id, id)) < 0
}

func (p spanPlace) String() string {
	b := binary.BigEndian.AppendUint64(nil, uint64(p.start))
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64(b, p.id))
}

func parseSpanPlace(cursor string) (p spanPlace, err error) {
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(b) != 16 {
		return p, fail(kindMalformed, "cursor %.60q is none that a list of spans gave: leave it out to begin at the first", cursor)
	}
	return spanPlace{int64(binary.BigEndian.Uint64(b)), binary.BigEndian.Uint64(b[8:])}, nil
}

// spanLines sends all spans while they are read, or those that are new.
type spanLines struct {
	s     *Server
	ctx   context.Context
	of    subject
	after int64
}

// VisitListSpansResponse implements api.ListSpansResponseObject.
func (l spanLines) VisitListSpansResponse(w http.ResponseWriter) error {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	line := api.SpanList{Journal: l.of.run != nil}
	begun := map[uint64]bool{} // open, and told of
	sent := false
	return l.s.eachBatch(l.ctx, l.of, l.after, func(b batch) error {
		if !sent {
			w.Header().Set("Content-Type", typeLines)
			w.WriteHeader(http.StatusOK)
			sent = true
		}
		line.Origin, line.Spans = nano(b.origin), make([]api.Span, 0, len(b.rows))
		for _, r := range b.rows {
			_, id := r.place()
			if !begun[id] {
				line.Total++
			}
			if delete(begun, id); r.open != nil {
				begun[id] = true
			}
			line.Spans = append(line.Spans, spanOf(r, b.origin))
		}
		line.Open, line.More, line.Entries = int64(len(begun)), some(!b.last), some(b.entries)
		if err := out.Encode(line); err != nil {
			return err
		}
		return http.NewResponseController(w).Flush()
	})
}

// VisitListSpansResponse implements api.ListSpansResponseObject.
func (c spanPage) VisitListSpansResponse(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", typeArrow)
	if c.next != nil {
		w.Header().Set("X-Next-Cursor", *c.next)
	}
	w.WriteHeader(http.StatusOK)
	out := bufio.NewWriterSize(w, 64<<10)
	stream := columns.NewSpans(out)
	for _, r := range c.rows {
		var err error
		if r.open != nil {
			err = stream.WriteOpen(r.open)
		} else {
			err = stream.Write(r.ended)
		}
		if err != nil {
			return err
		}
	}
	if err := stream.Close(); err != nil {
		return err
	}
	return out.Flush()
}

func nano(ns int64) time.Time { return time.Unix(0, ns).UTC() }

// spanNumber reads the 16 hex digits of a span's id.
func spanNumber(text string) (uint64, bool) {
	id, err := strconv.ParseUint(text, 16, 64)
	return id, err == nil && len(text) == 16
}

func parentHex(id uint64) *string {
	if id == 0 {
		return nil
	}
	return ptr(story.SpanID(id))
}

var spanKinds = []api.SpanKind{api.SpanKindUnspecified, api.SpanKindInternal, api.SpanKindServer, api.SpanKindClient, api.SpanKindProducer, api.SpanKindConsumer}

func spanKind(n uint8) api.SpanKind {
	if int(n) < len(spanKinds) {
		return spanKinds[n]
	}
	return spanKinds[0]
}

var spanStatuses = []api.SpanStatus{api.SpanStatusUnset, api.SpanStatusOk, api.SpanStatusError}

func spanOf(r row, origin int64) api.Span {
	if o := r.open; o != nil {
		told := api.Span{Id: story.SpanID(o.SpanID), Parent: parentHex(o.ParentSpanID), Name: text(o.Name), Kind: spanKind(o.Kind), Operation: o.Operation,
			Start: nano(o.Start), OffsetNs: o.Start - origin, Status: api.SpanStatusUnset, Service: some(o.Service), Agent: text(o.AgentPath), Tool: some(o.Tool)}
		if o.Alive != 0 {
			told.AliveAt = ptr(nano(o.Alive))
		}
		return told
	}
	e := r.ended
	told := api.Span{Id: story.SpanID(e.SpanID), Parent: parentHex(e.ParentSpanID), Name: text(e.Name), Kind: spanKind(e.Kind), Operation: e.Operation,
		Start: nano(e.Start), OffsetNs: e.Start - origin, DurationNs: ptr(int64(min(e.DurationNS, journal.MaxInt))), Status: api.SpanStatusUnset,
		Service: some(e.Service), Agent: text(columns.Agent(e)), Tool: some(text(e.Tool)), Model: some(text(columns.Model(e))), Error: some(text(columns.Failure(e))),
		Step: sent(e.Step), Seq: sent(e.EntrySeq), Effect: some(e.ToolEffect), Scope: some(e.ToolScope), Decision: some(e.PolicyDecision),
		Intent: some(story.Cut(e.IntentText, story.MaxText))}
	if int(e.StatusCode) < len(spanStatuses) {
		told.Status = spanStatuses[e.StatusCode]
	}
	told.Tokens, told.Cost = story.SpanTokens(e), story.SpanCost(e)
	if e.DeltaFiles != tables.Absent {
		told.Delta = &api.Delta{Files: e.DeltaFiles, Added: max(e.DeltaAdded, 0), Removed: max(e.DeltaRemoved, 0)}
	}
	return told
}

func sent(n int64) *int64 {
	if n == tables.Absent {
		return nil
	}
	return &n
}

// GetSpan answers with all of a span.
func (s *Server) GetSpan(ctx context.Context, request api.GetSpanRequestObject) (api.GetSpanResponseObject, error) {
	id, ok := spanNumber(request.Span)
	if !ok {
		return nil, fail(kindMalformed, "span %.40q is no id: give 16 hex digits", request.Span)
	}
	found, err := s.subject(ctx, request.Id)
	if err != nil {
		return nil, err
	}
	ended, open, err := s.oneSpan(ctx, found, id)
	switch {
	case err != nil:
		return nil, err
	case ended != nil:
		return api.GetSpan200JSONResponse(spanDetail(ended)), nil
	case open != nil: // there is no more of it yet
		return api.GetSpan200JSONResponse{Span: spanOf(row{open: open}, open.Start), Attributes: []api.Attribute{}, Resource: []api.Attribute{},
			Events: []api.SpanEvent{}, Links: []api.SpanLink{}, Cut: []string{}}, nil
	}
	return nil, fail(kindNotFound, "span %s: the run has none with this id: /api/runs/%s/spans lists those that it has", story.SpanID(id), request.Id)
}

func (s *Server) oneSpan(ctx context.Context, of subject, id uint64) (ended *tables.Span, open *tables.OpenSpan, err error) {
	if of.trace == nil {
		return s.Spans.Span(ctx, of.run.ID, id)
	}
	spans, err := s.Traces.WholeSpans(ctx, of.trace.ID, []uint64{id})
	if err != nil {
		return nil, nil, err
	}
	if len(spans) > 0 {
		spans[0].Attributes = spans[0].Sent()
		return &spans[0], nil, nil
	}
	opened, err := s.Traces.OpenSpans(ctx, of.trace.ID)
	for i := range opened {
		if opened[i].SpanID == id {
			return nil, &opened[i], err
		}
	}
	return nil, nil, err
}
