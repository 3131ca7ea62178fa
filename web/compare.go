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
	for _, r := range []replay.Run{b, a} { // what the fork was given
		started, err := replay.Started(ctx, s.Journal, r.ID)
		if err != nil {
			return 0, 0, err
		}
		if started.Parent != nil && (started.Parent.Run == a.ID || started.Parent.Run == b.ID) {
			to.GivenTurn = story.Read(ctx, s.Journal, r.ID, started.Turn, "")
			to.GivenMessage = story.Read(ctx, s.Journal, r.ID, started.Message, story.PartContent)
			break
		}
	}
	return fromA, fromB, nil
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

// cell is a call, with the hash of its arguments: names of content differ between families.
type cell struct {
	api.CompareCell
	args journal.Object
}

// cells are the calls of a run from an entry on.
func (s *Server) cells(ctx context.Context, run journal.RunID, from int64, limit int) (cells []cell, cut bool, err error) {
	for {
		page, err := story.From(ctx, s.Journal, run, from, 200)
		if err != nil {
			return nil, false, err
		}
		for _, item := range page.Items {
			c := item.Call
			if c == nil {
				continue
			}
			if len(cells) == limit {
				return cells, true, nil
			}
			args, err := s.argsHash(ctx, run, c.Args)
			if err != nil {
				return nil, false, err
			}
			cells = append(cells, cell{api.CompareCell{Seq: item.Seq, Step: item.Step, Agent: item.Agent, Tool: c.Tool, Summary: c.Summary,
				Status: string(c.Status), Delta: c.Delta}, args})
		}
		if page.Next < 0 {
			return cells, false, nil
		}
		from = page.Next
	}
}

func (s *Server) argsHash(ctx context.Context, run journal.RunID, args api.Text) (journal.Object, error) {
	if !args.Cut || args.Ref == nil {
		return journal.NameObject([]byte(args.Text)), nil
	}
	var ref journal.Ref
	if err := ref.UnmarshalText([]byte(*args.Ref)); err != nil {
		return journal.Object{}, err
	}
	b, err := s.Journal.Content(ctx, run, ref)
	return journal.NameObject(b), err
}

// pair puts the calls side by side, one by one in order: what an agent does depends on all before,
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
		rows[i].Same = i < len(left) && i < len(right) && left[i].Tool == right[i].Tool && left[i].args == right[i].args && left[i].Status == right[i].Status
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
