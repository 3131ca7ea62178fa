package web

import (
	"context"
	"encoding/json"
	"slices"

	"tachograph/replay"
	"tachograph/schemas/journal"
	"tachograph/web/api"
	"tachograph/web/story"
)

// CompareRuns puts two runs side by side.
func (s *Server) CompareRuns(ctx context.Context, request api.CompareRunsRequestObject) (api.CompareRunsResponseObject, error) {
	limit, err := within("limit", request.Params.Limit, 500, 1, 2000)
	if err != nil {
		return nil, err
	}
	a, err := s.own(ctx, request.Params.A)
	if err != nil {
		return nil, err
	}
	b, err := s.own(ctx, request.Params.B)
	if err != nil {
		return nil, err
	}
	answer := api.Comparison{A: s.summary(a), B: s.summary(b), Spec: []api.SpecDifference{}, Rows: []api.CompareRow{}, Files: []api.Change{}}
	fromA, fromB, err := s.parting(ctx, a, b, &answer)
	if err != nil {
		return nil, err
	}
	left, cutA, err := s.cells(ctx, a.ID, fromA, limit)
	if err != nil {
		return nil, err
	}
	right, cutB, err := s.cells(ctx, b.ID, fromB, limit)
	if err != nil {
		return nil, err
	}
	answer.Rows, answer.Cut = pair(left, right), cutA || cutB
	if answer.Spec, err = s.specDifferences(ctx, a.ID, b.ID); err != nil {
		return nil, err
	}
	if err := s.compareFiles(ctx, a, b, &answer); err != nil {
		return nil, err
	}
	return api.CompareRuns200JSONResponse(answer), nil
}

// spent is what a run used after it parted from the other at the entry common of one of the runs on its way
// (nil: they share nothing): its own, and that of the runs between.
func (s *Server) spent(ctx context.Context, way []replay.Origin, common *api.Origin) (journal.Usage, error) {
	var sum journal.Usage
	for _, o := range way {
		at, err := replay.At(ctx, s.Journal, o.Run, o.Seq)
		if err != nil {
			return sum, err
		}
		sum = plus(sum, at.Usage, 1)
		if common == nil || common.Run != o.Run.String() {
			continue
		}
		if at, err = replay.At(ctx, s.Journal, o.Run, common.Seq); err != nil {
			return sum, err
		}
		return plus(sum, at.Usage, -1), nil
	}
	return sum, nil
}

// plus adds times times what was used.
func plus(a, b journal.Usage, times int64) journal.Usage {
	a.Steps += times * b.Steps
	a.Calls += times * b.Calls
	a.Tokens.Input += times * b.Tokens.Input
	a.Tokens.Cached += times * b.Tokens.Cached
	a.Tokens.Output += times * b.Tokens.Output
	a.Tokens.Reasoning += times * b.Tokens.Reasoning
	a.Estimated += times * b.Estimated
	a.CostNUSD += times * b.CostNUSD
	a.Unpriced += times * b.Unpriced
	a.ActiveUS += times * b.ActiveUS
	return a
}

// parting finds where the runs part: the entry that the one was forked from, in the other or in an
// ancestor of both. It returns the first entry of each that the other does not share.
func (s *Server) parting(ctx context.Context, a, b replay.Run, to *api.Comparison) (fromA, fromB int64, err error) {
	ways := [2][]replay.Origin{}
	for i, r := range []replay.Run{a, b} {
		if ways[i], err = s.ancestors(ctx, r); err != nil {
			return 0, 0, err
		}
	}
	for _, x := range ways[0] {
		i := slices.IndexFunc(ways[1], func(y replay.Origin) bool { return y.Run == x.Run })
		if i < 0 {
			continue
		}
		y := ways[1][i]
		common := min(x.Seq, y.Seq)
		to.Common = &api.Origin{Run: x.Run.String(), Seq: common}
		if x.Run == a.ID {
			fromA = common + 1
		}
		if x.Run == b.ID {
			fromB = common + 1
		}
		break
	}
	for i, spent := range []*api.Usage{&to.SpentA, &to.SpentB} {
		used, err := s.spent(ctx, ways[i], to.Common)
		if err != nil {
			return 0, 0, err
		}
		*spent = story.Usage(used)
	}
	for _, r := range []replay.Run{b, a} { // what the fork was given
		started, err := replay.Started(ctx, s.Journal, r.ID)
		if err != nil {
			return 0, 0, err
		}
		if started.Parent != nil && (started.Parent.Run == a.ID || started.Parent.Run == b.ID) {
			to.By = story.Read(ctx, s.Journal, r.ID, started.By, "")
			to.GivenTurn = story.Read(ctx, s.Journal, r.ID, started.Turn, "")
			to.GivenMessage = story.Read(ctx, s.Journal, r.ID, started.Message, story.PartContent)
			to.GivenResults, err = s.givenResults(ctx, r.ID, started)
			return fromA, fromB, err
		}
	}
	return fromA, fromB, nil
}

// givenResults are the results that a fork was given, beside those that its parent recorded.
func (s *Server) givenResults(ctx context.Context, fork journal.RunID, started *journal.RunStarted) ([]api.GivenResult, error) {
	var all []api.GivenResult
	for _, r := range started.Results {
		given := api.GivenResult{Call: r.Call, Text: story.Read(ctx, s.Journal, fork, r.Message, story.PartContent)}
		page, err := story.From(ctx, s.Journal, started.Parent.Run, r.Call, 1)
		if err != nil {
			return nil, err
		}
		if len(page.Items) > 0 && page.Items[0].Call != nil {
			call := page.Items[0].Call
			given.Tool, given.Summary, given.Was = &call.Tool, call.Summary, call.Result
		}
		all = append(all, given)
	}
	return all, nil
}

// ancestors lists a run and those that it descends from, each with the last of its entries that
// belong to the run.
func (s *Server) ancestors(ctx context.Context, r replay.Run) ([]replay.Origin, error) {
	way := []replay.Origin{{Run: r.ID, Seq: r.Entries - 1}}
	for {
		started, err := replay.Started(ctx, s.Journal, way[len(way)-1].Run)
		if err != nil {
			return nil, err
		}
		if started.Parent == nil {
			return way, nil
		}
		way = append(way, replay.Origin{Run: started.Parent.Run, Seq: started.Parent.Seq})
	}
}

// cell is a turn or a call, with the hash of what the model said in it (the text, the arguments): names
// of content differ between families.
type cell struct {
	api.CompareCell
	said journal.Object
}

// cells are the turns and calls of a run from an entry on.
func (s *Server) cells(ctx context.Context, run journal.RunID, from int64, limit int) (cells []cell, cut bool, err error) {
	for {
		page, err := story.From(ctx, s.Journal, run, from, 200)
		if err != nil {
			return nil, false, err
		}
		for _, item := range page.Items {
			made, err := s.cell(ctx, run, item)
			if err != nil {
				return nil, false, err
			}
			if made == nil {
				continue
			}
			if len(cells) == limit {
				return cells, true, nil
			}
			cells = append(cells, *made)
		}
		if page.Next < 0 {
			return cells, false, nil
		}
		from = page.Next
	}
}

// cell is nil for an item that is neither a call nor a turn.
func (s *Server) cell(ctx context.Context, run journal.RunID, item api.Item) (*cell, error) {
	made := cell{CompareCell: api.CompareCell{Seq: item.Seq, Step: item.Step, Agent: item.Agent}}
	said := api.Text{}
	switch {
	case item.Call != nil:
		c := item.Call
		made.Type, made.Tool, made.Summary, made.Status, made.Delta = api.CompareCellTypeCall, c.Tool, c.Summary, string(c.Status), c.Delta
		said = c.Args
	case item.Turn != nil: // one that says nothing has a row too, or all rows after it would shift
		made.Type, made.Status = api.CompareCellTypeTurn, string(item.Turn.Status)
		if item.Turn.Message != nil {
			said = *item.Turn.Message
			made.Summary = some(story.OneLine(said.Text))
		}
	default:
		return nil, nil
	}
	var err error
	made.said, err = s.hashOf(ctx, run, said)
	return &made, err
}

// hashOf is the hash of a whole text, of which the beginning may be shown.
func (s *Server) hashOf(ctx context.Context, run journal.RunID, shown api.Text) (journal.Object, error) {
	if !shown.Cut || shown.Ref == nil {
		return journal.NameObject([]byte(shown.Text)), nil
	}
	var ref journal.Ref
	if err := ref.UnmarshalText([]byte(*shown.Ref)); err != nil {
		return journal.Object{}, err
	}
	b, err := s.Journal.Content(ctx, run, ref)
	if err != nil || shown.Part == nil {
		return journal.NameObject(b), err
	}
	text, err := story.Part(b, *shown.Part)
	return journal.NameObject([]byte(text)), err
}

// pair puts turns and calls side by side, one by one in order: what an agent does depends on all before,
// so after the first difference alignment would only guess.
func pair(left, right []cell) []api.CompareRow {
	rows := make([]api.CompareRow, max(len(left), len(right)))
	for i := range rows {
		if i < len(left) {
			rows[i].A = &left[i].CompareCell
		}
		if i < len(right) {
			rows[i].B = &right[i].CompareCell
		}
		rows[i].Same = i < len(left) && i < len(right) && left[i].Type == right[i].Type && left[i].Tool == right[i].Tool && left[i].said == right[i].said && left[i].Status == right[i].Status
	}
	return rows
}

// specDifferences lists the fields of two specs that differ, as JSON.
func (s *Server) specDifferences(ctx context.Context, a, b journal.RunID) ([]api.SpecDifference, error) {
	var fields [2]map[string]json.RawMessage
	for i, run := range []journal.RunID{a, b} {
		started, err := replay.Started(ctx, s.Journal, run)
		if err != nil {
			return nil, err
		}
		text, err := s.Journal.Content(ctx, run, started.Spec)
		if err != nil {
			return []api.SpecDifference{}, nil // erased: there is nothing to compare
		}
		if err := json.Unmarshal(text, &fields[i]); err != nil {
			return nil, err
		}
		delete(fields[i], "request_key")
	}
	names := map[string]bool{}
	for _, f := range fields {
		for name := range f {
			names[name] = true
		}
	}
	differences := []api.SpecDifference{}
	for name := range names {
		if x, y := string(fields[0][name]), string(fields[1][name]); x != y {
			differences = append(differences, api.SpecDifference{Field: name, A: some(story.Cut(x, story.MaxText)), B: some(story.Cut(y, story.MaxText))})
		}
	}
	slices.SortFunc(differences, func(x, y api.SpecDifference) int {
		if x.Field < y.Field {
			return -1
		}
		return 1
	})
	return differences, nil
}

func (s *Server) compareFiles(ctx context.Context, a, b replay.Run, to *api.Comparison) error {
	from, err := s.tree(ctx, a, a.Entries-1)
	if err != nil {
		return err
	}
	until, err := s.tree(ctx, b, b.Entries-1)
	if err != nil {
		return err
	}
	changes, err := replay.Changes(ctx, from, until)
	if err != nil {
		return err
	}
	to.FilesTotal = int64(len(changes))
	for _, c := range changes[:min(len(changes), maxChanged)] {
		to.Files = append(to.Files, changeOf(c))
	}
	return nil
}
