package web

import (
	"bufio"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"time"

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

// rows reads the spans of a run, by start.
func (s *Server) rows(ctx context.Context, from Spans, run journal.RunID) (all []row, open int64, err error) {
	known := map[uint64]bool{}
	for span, err := range from.Spans(ctx, run) {
		if err != nil {
			return nil, 0, err
		}
		known[span.SpanID] = true
		all = append(all, row{ended: &span})
	}
	opened, err := from.Open(ctx, run)
	if err != nil {
		return nil, 0, err
	}
	for i := range opened {
		if !known[opened[i].SpanID] { // it has ended since
			all = append(all, row{open: &opened[i]})
			open++
		}
	}
	slices.SortFunc(all, compareRows)
	return all, open, nil
}

func compareRows(a, b row) int {
	startA, idA := a.place()
	startB, idB := b.place()
	return cmp.Or(cmp.Compare(startA, startB), cmp.Compare(idA, idB))
}

// spansOf says who knows the spans of what an id names.
func (s *Server) spansOf(ctx context.Context, id string) (Spans, journal.RunID, subject, error) {
	found, err := s.subject(ctx, id)
	if err != nil {
		return nil, journal.RunID{}, found, err
	}
	if found.trace != nil {
		return s.Traces, found.trace.ID, found, nil
	}
	return s.Spans, found.run.ID, found, nil
}

// ListSpans answers with the spans of a run.
func (s *Server) ListSpans(ctx context.Context, request api.ListSpansRequestObject) (api.ListSpansResponseObject, error) {
	kind, err := choose(ctx, typeJSON, typeArrow)
	if err != nil {
		return nil, err
	}
	limit, err := within("limit", request.Params.Limit, 20_000, 1, maxSpans)
	if err != nil {
		return nil, err
	}
	from, run, found, err := s.spansOf(ctx, request.Id)
	if err != nil {
		return nil, err
	}
	all, open, err := s.rows(ctx, from, run)
	if err != nil {
		return nil, err
	}
	answer := api.SpanList{Spans: []api.Span{}, Open: open, Total: int64(len(all)), Journal: found.run != nil, Origin: s.Clock().UTC()}
	origin := int64(0)
	if len(all) > 0 {
		origin, _ = all[0].place()
		answer.Origin = nano(origin)
	}
	first := 0
	if request.Params.Cursor != nil {
		if first, err = positionIn(all, *request.Params.Cursor); err != nil {
			return nil, err
		}
	}
	end := min(first+limit, len(all))
	if end < len(all) {
		answer.Next = ptr(spanCursor(all[end-1]))
	}
	if kind == typeArrow {
		return spanColumns{all[first:end], answer.Next}, nil
	}
	answer.Spans = make([]api.Span, 0, end-first)
	for _, r := range all[first:end] {
		answer.Spans = append(answer.Spans, spanOf(r, origin))
	}
	return api.ListSpans200JSONResponse{Body: answer}, nil
}

// spanCursor is the place after a row: its start and its id, as spans may be added before the next
// page is read.
func spanCursor(r row) string {
	start, id := r.place()
	b := binary.BigEndian.AppendUint64(nil, uint64(start))
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64(b, id))
}

func positionIn(all []row, cursor string) (int, error) {
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(b) != 16 {
		return 0, fail(kindMalformed, "cursor %.60q is none that a list of spans gave", cursor)
	}
	start, id := int64(binary.BigEndian.Uint64(b)), binary.BigEndian.Uint64(b[8:])
	at, _ := slices.BinarySearchFunc(all, struct{}{}, func(r row, _ struct{}) int {
		rowStart, rowID := r.place()
		if c := cmp.Or(cmp.Compare(rowStart, start), cmp.Compare(rowID, id)); c != 0 {
			return c
		}
		return -1 // the next page begins after it
	})
	return at, nil
}

// spanColumns sends spans as an Arrow stream.
type spanColumns struct {
	rows []row
	next *string
}

// VisitListSpansResponse implements api.ListSpansResponseObject.
func (c spanColumns) VisitListSpansResponse(w http.ResponseWriter) error {
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

func spanHex(id uint64) string { return hex.EncodeToString(binary.BigEndian.AppendUint64(nil, id)) }

// spanNumber reads the 16 hex digits of a span's id.
func spanNumber(text string) (uint64, bool) {
	id, err := strconv.ParseUint(text, 16, 64)
	return id, err == nil && len(text) == 16
}

func parentHex(id uint64) *string {
	if id == 0 {
		return nil
	}
	return ptr(spanHex(id))
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
		told := api.Span{Id: spanHex(o.SpanID), Parent: parentHex(o.ParentSpanID), Name: text(o.Name), Kind: spanKind(o.Kind), Operation: o.Operation,
			Start: nano(o.Start), OffsetNs: o.Start - origin, Status: api.SpanStatusUnset, Service: some(o.Service), Agent: text(o.AgentPath), Tool: some(o.Tool)}
		if o.Alive != 0 {
			told.AliveAt = ptr(nano(o.Alive))
		}
		return told
	}
	e := r.ended
	told := api.Span{Id: spanHex(e.SpanID), Parent: parentHex(e.ParentSpanID), Name: text(e.Name), Kind: spanKind(e.Kind), Operation: e.Operation,
		Start: nano(e.Start), OffsetNs: e.Start - origin, DurationNs: ptr(int64(min(e.DurationNS, journal.MaxInt))), Status: api.SpanStatusUnset,
		Service: some(e.Service), Agent: text(columns.Agent(e)), Tool: some(text(e.Tool)), Model: some(text(columns.Model(e))), Error: some(text(columns.Failure(e))),
		Step: sent(e.Step), Seq: sent(e.EntrySeq), Effect: some(e.ToolEffect), Scope: some(e.ToolScope), Decision: some(e.PolicyDecision),
		Intent: some(story.Cut(e.IntentText, story.MaxText))}
	if int(e.StatusCode) < len(spanStatuses) {
		told.Status = spanStatuses[e.StatusCode]
	}
	if e.InputTokens != tables.Absent || e.OutputTokens != tables.Absent {
		told.Tokens = &api.Tokens{Input: max(e.InputTokens, 0), Cached: max(e.CachedTokens, 0), Output: max(e.OutputTokens, 0), Reasoning: max(e.ReasoningTokens, 0)}
	}
	if e.CostNUSD != tables.Absent {
		told.Cost = ptr(story.CostOf(e.CostNUSD, true))
	}
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
	from, run, _, err := s.spansOf(ctx, request.Id)
	if err != nil {
		return nil, err
	}
	span, ended, err := from.Span(ctx, run, id)
	if err != nil {
		return nil, err
	}
	if !ended {
		return s.openSpan(ctx, from, run, id)
	}
	return api.GetSpan200JSONResponse(spanDetail(&span)), nil
}

// openSpan shows what is known of a span that has not ended.
func (s *Server) openSpan(ctx context.Context, from Spans, run journal.RunID, id uint64) (api.GetSpanResponseObject, error) {
	opened, err := from.Open(ctx, run)
	if err != nil {
		return nil, err
	}
	for i := range opened {
		if opened[i].SpanID == id {
			return api.GetSpan200JSONResponse{Span: spanOf(row{open: &opened[i]}, opened[i].Start), Attributes: []api.Attribute{}, Resource: []api.Attribute{},
				Events: []api.SpanEvent{}, Links: []api.SpanLink{}, Cut: []string{}}, nil
		}
	}
	return nil, fail(kindNotFound, "span %s: run %s has none with this id", spanHex(id), run)
}
