package web

import (
	"context"

	"tachograph/schemas/journal"
	"tachograph/web/api"
	"tachograph/web/story"
)

// GetTranscript tells a stretch of a run.
func (s *Server) GetTranscript(ctx context.Context, request api.GetTranscriptRequestObject) (api.GetTranscriptResponseObject, error) {
	p := request.Params
	limit, err := within("limit", p.Limit, 100, 1, 500)
	if err != nil {
		return nil, err
	}
	from, err := within("from", p.From, 0, 0, int64(journal.MaxInt))
	if err != nil {
		return nil, err
	}
	before, err := within("before", p.Before, 0, 0, int64(journal.MaxInt))
	if err != nil {
		return nil, err
	}
	if p.From != nil && p.Before != nil {
		return nil, fail(kindMalformed, "from and before go not together")
	}
	found, err := s.subject(ctx, request.Id)
	if err != nil {
		return nil, err
	}
	if found.trace != nil {
		return s.traceTranscript(ctx, *found.trace, p.Before != nil, from, before, limit)
	}
	run := *found.run
	var page story.Page
	if p.Before != nil {
		page, err = story.Before(ctx, s.Journal, run.ID, min(before, run.Entries), limit)
	} else {
		page, err = story.From(ctx, s.Journal, run.ID, from, limit)
	}
	if err != nil {
		return nil, err
	}
	return api.GetTranscript200JSONResponse(transcript(page, run.Entries)), nil
}

func transcript(page story.Page, entries int64) api.Transcript {
	t := api.Transcript{Items: page.Items, Entries: entries}
	if page.Next >= 0 {
		t.Next = &page.Next
	}
	if page.Previous >= 0 {
		t.Previous = &page.Previous
	}
	return t
}
