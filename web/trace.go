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
	if teller.Logs, err = s.Traces.SpanLogs(ctx, t.ID, ids); err != nil {
		return nil, err
	}
	if teller.Whole, err = s.cutValues(ctx, t, spans, teller.Logs); err != nil {
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
func (s *Server) cutValues(ctx context.Context, t store.Trace, spans []tables.Span, logs map[uint64]tables.SpanLogs) (map[[32]byte][]byte, error) {
	wanted := wantedCuts{names: map[string][][32]byte{}, seen: map[[32]byte]bool{}, left: maxCutValues}
	for i := range spans {
		wanted.add(spans[i].ConversationID, spans[i].Cut)
		for _, l := range logs[spans[i].SpanID].Logs {
			wanted.add(traces.Conversation(l.Attributes), l.Cut)
		}
	}
	values := map[[32]byte][]byte{}
	for conversation, of := range wanted.names {
		found, err := s.Traces.CutValues(ctx, t.ID, conversation, of)
		if err != nil {
			return nil, err
		}
		maps.Copy(values, found)
	}
	return values, nil
}

// wantedCuts are the names of values to be read, by conversation.
type wantedCuts struct {
	names map[string][][32]byte
	seen  map[[32]byte]bool
	left  uint64
}

func (w *wantedCuts) add(conversation string, cuts []tables.Cut) {
	for _, c := range cuts {
		if c.Body == ([32]byte{}) || c.Size > maxCutValue || c.Size > w.left || w.seen[c.Body] || !traces.Wanted(c) {
			continue
		}
		w.seen[c.Body] = true
		w.left -= c.Size
		w.names[conversation] = append(w.names[conversation], c.Body)
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
