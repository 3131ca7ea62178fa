package web

import (
	"context"
	"maps"
	"slices"

	"tachograph/schemas/attr"
	"tachograph/schemas/journal"
	"tachograph/schemas/tables"
	"tachograph/web/api"
	"tachograph/web/story"
)

// traceTranscript tells a trace of somebody else's agent: its questions and calls, by start. seq
// counts the items; what a span does not say is not there.
func (s *Server) traceTranscript(ctx context.Context, t Trace, backward bool, from, before int64, limit int) (api.GetTranscriptResponseObject, error) {
	all, _, err := s.rows(ctx, s.Traces, t.ID)
	if err != nil {
		return nil, err
	}
	items := []api.Item{}
	for _, r := range all {
		if item, ok := traceItem(r); ok {
			item.Seq = int64(len(items))
			item.Last = item.Seq
			items = append(items, item)
		}
	}
	total := int64(len(items))
	first, end := min(from, total), min(from+int64(limit), total)
	if backward {
		end = min(before, total)
		first = max(end-int64(limit), 0)
	}
	page := story.Page{Items: items[first:end], Next: -1, Previous: -1}
	if end < total {
		page.Next = end
	}
	if first > 0 {
		page.Previous = first
	}
	for i := range page.Items {
		if err := s.addMessages(ctx, t.ID, &page.Items[i]); err != nil {
			return nil, err
		}
	}
	return api.GetTranscript200JSONResponse(transcript(page, total)), nil
}

// traceItem makes an item of a span, if it is one that a story tells.
func traceItem(r row) (api.Item, bool) {
	span := spanOf(r, 0)
	item := api.Item{Time: span.Start, Agent: span.Agent, Span: ptr(span.Id), Step: span.Step}
	switch span.Operation {
	case "chat", "generate_content", "text_completion":
		item.Type = api.ItemTypeTurn
		item.Turn = &api.Turn{Status: api.TurnStatusAsking, Model: deref(span.Model), Attempt: 1, Tokens: span.Tokens, Cost: span.Cost}
		if e := r.ended; e != nil {
			item.Turn.Status, item.Turn.AnsweredAt = api.TurnStatusOk, ptr(nano(e.Start+int64(e.DurationNS)))
			if e.StatusCode == 2 || e.ErrorType != "" {
				item.Turn.Status = api.TurnStatusFailed
				item.Turn.Error = story.Show(deref(span.Error), journal.Ref{}, "")
			}
			if len(e.FinishReasons) > 0 {
				item.Turn.Finish = some(e.FinishReasons[0])
			}
		}
	case attr.OperationExecuteTool:
		item.Type = api.ItemTypeCall
		item.Call = &api.Call{Tool: deref(span.Tool), Status: api.CallStatusRunning, Effect: some(api.Effect(deref(span.Effect))), Scope: some(api.Scope(deref(span.Scope))), Attempts: 1, StartedAt: &span.Start}
		if e := r.ended; e != nil {
			item.Call.Status, item.Call.EndedAt = api.CallStatusOk, ptr(nano(e.Start+int64(e.DurationNS)))
			item.Call.DurationUs = ptr(int64(e.DurationNS / 1000))
			if e.StatusCode == 2 || e.ErrorType != "" {
				item.Call.Status = api.CallStatusError
			}
		}
	default:
		return item, false
	}
	return item, true
}

// addMessages reads what was said, as far as it was sent: whole messages as JSON, which is how
// everybody's spans carry them.
func (s *Server) addMessages(ctx context.Context, run journal.RunID, item *api.Item) error {
	id, ok := spanNumber(deref(item.Span))
	if !ok {
		return nil
	}
	span, ended, err := s.Traces.Span(ctx, run, id)
	if err != nil || !ended {
		return err
	}
	value := func(keys ...string) *api.Text {
		for _, key := range keys {
			if i := slices.IndexFunc(span.Attributes, func(a tables.Attr) bool { return a.Key == key }); i >= 0 {
				return story.Show(span.Attributes[i].Value, journal.Ref{}, "")
			}
		}
		return nil
	}
	switch {
	case item.Turn != nil:
		item.Turn.Message = value(attr.GenAIOutputMessages, "gen_ai.completion", "output.value", "traceloop.entity.output")
	case item.Call != nil:
		if args := value(attr.GenAIToolCallArguments, "input.value", "traceloop.entity.input"); args != nil {
			item.Call.Args = *args
			item.Call.Summary = some(story.Summary([]byte(args.Text)))
		}
		item.Call.Result = value(attr.GenAIToolCallResult, "output.value", "traceloop.entity.output")
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
