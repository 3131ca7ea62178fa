package web

import (
	"context"
	"maps"
	"slices"

	"tachograph/collector/store"
	"tachograph/schemas/tables"
	"tachograph/web/api"
	"tachograph/web/story"
	"tachograph/web/traces"
)

// traceTranscript tells a trace of somebody else's agent: its questions and calls, by start. seq
// counts the items; what a span does not say is not there.
func (s *Server) traceTranscript(ctx context.Context, t store.Trace, backward bool, from, before int64, limit int) (api.GetTranscriptResponseObject, error) {
	total := t.Answers + t.Calls
	first, end := min(from, total), min(from+int64(limit), total)
	if backward {
		end = min(before, total)
		first = max(end-int64(limit), 0)
	}
	page := story.Page{Items: []api.Item{}, Next: -1, Previous: -1}
	if end < total {
		page.Next = end
	}
	if first > 0 {
		page.Previous = first
	}
	if first < end {
		var err error
		if page.Items, err = s.tellTrace(ctx, t, first, int(end-first)); err != nil {
			return nil, err
		}
	}
	return api.GetTranscript200JSONResponse(transcript(page, total)), nil
}

// tellTrace makes items of a stretch of the spans that a story tells.
func (s *Server) tellTrace(ctx context.Context, t store.Trace, first int64, count int) ([]api.Item, error) {
	teller := traces.Teller{}
	if t.Spans <= traces.MaxTree {
		all, err := s.Traces.TraceSpans(ctx, t.ID, store.SpanPage{Limit: traces.MaxTree})
		if err != nil {
			return nil, err
		}
		teller.Tree = traces.NewTree(all)
	}
	light, err := s.Traces.TraceSpans(ctx, t.ID, store.SpanPage{Operations: traces.Operations(), Skip: int(first), Limit: count})
	if err != nil || len(light) == 0 {
		return []api.Item{}, err
	}
	ids := make([]uint64, len(light))
	for i := range light {
		ids[i] = light[i].SpanID
	}
	spans, err := s.Traces.WholeSpans(ctx, t.ID, ids)
	if err != nil {
		return nil, err
	}
	if teller.Whole, err = s.cutValues(ctx, t, spans); err != nil {
		return nil, err
	}
	return teller.Tell(spans, first), nil
}

// How much is read, for one page, of values that were cut when they came. What is longer is shown by its beginning.
const (
	maxCutValue  = 1 << 20
	maxCutValues = 24 << 20
)

// cutValues reads those that a transcript shows.
func (s *Server) cutValues(ctx context.Context, t store.Trace, spans []tables.Span) (map[[32]byte][]byte, error) {
	wanted := traces.Wanted()
	names := map[string][][32]byte{} // by conversation
	seen, left := map[[32]byte]bool{}, uint64(maxCutValues)
	for i := range spans {
		for _, c := range spans[i].Cut {
			if c.Place != "" || c.Body == ([32]byte{}) || c.Size > maxCutValue || c.Size > left || seen[c.Body] || !slices.Contains(wanted, c.Key) {
				continue
			}
			seen[c.Body] = true
			left -= c.Size
			names[spans[i].ConversationID] = append(names[spans[i].ConversationID], c.Body)
		}
	}
	values := map[[32]byte][]byte{}
	for conversation, of := range names {
		found, err := s.Traces.CutValues(ctx, t.ID, conversation, of)
		if err != nil {
			return nil, err
		}
		maps.Copy(values, found)
	}
	return values, nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
