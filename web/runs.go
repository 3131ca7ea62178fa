package web

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tachograph/collector/store"
	"tachograph/replay"
	"tachograph/schemas/journal"
	"tachograph/web/api"
	"tachograph/web/story"
)

// maxGoal is how many characters of a goal a list shows.
const maxGoal = 300

// subject is what an id names: a run of ours, or a trace of somebody else's agent.
type subject struct {
	run   *replay.Run
	trace *store.Trace
}

// parseRun reads a run's id, or a trace id as everybody else spells it.
func parseRun(text string) (journal.RunID, error) {
	if b, err := hex.DecodeString(text); err == nil && len(b) == len(journal.RunID{}) {
		return journal.RunID(b), nil
	}
	id, err := journal.ParseRunID(text)
	if err != nil {
		return id, fail(kindMalformed, "%v, or the 32 hex digits of a trace id", err)
	}
	return id, nil
}

// subject finds what an id names.
func (s *Server) subject(ctx context.Context, text string) (subject, error) {
	id, err := parseRun(text)
	if err != nil {
		return subject{}, err
	}
	run, err := s.Journal.Run(ctx, id)
	if err == nil {
		return subject{run: &run}, nil
	}
	if !errors.Is(err, replay.ErrNotFound) {
		return subject{}, err
	}
	if s.Traces != nil {
		t, err := s.Traces.Trace(ctx, id, s.traceFilter())
		if err == nil {
			return subject{trace: &t}, nil
		}
		if !errors.Is(err, store.ErrNotFound) {
			return subject{}, err
		}
	}
	return subject{}, fail(kindNotFound, "run %s: there is none with this id here: /api/runs lists the runs; one that was just sent over OTLP comes within seconds", id)
}

// own finds a run that has a journal.
func (s *Server) own(ctx context.Context, text string) (replay.Run, error) {
	found, err := s.subject(ctx, text)
	if err != nil {
		return replay.Run{}, err
	}
	if found.run == nil {
		return replay.Run{}, fail(kindNoJournal, "run %s is a trace of somebody else's agent: it has spans, a transcript and a timeline, but no journal to rebuild states from, to verify or to fork", journal.RunID(found.trace.ID))
	}
	return *found.run, nil
}

// at is the entry that a request names: the newest if it names none.
func at(run replay.Run, seq *int64) (int64, error) {
	if seq == nil {
		return run.Entries - 1, nil
	}
	if *seq < 0 || *seq >= run.Entries {
		return 0, fail(kindNotFound, "entry %d: run %s has entries 0 to %d", *seq, run.ID, run.Entries-1)
	}
	return *seq, nil
}

// within is a number of a request that has a default and bounds.
func within[N int | int64](name string, given *N, absent, least, most N) (N, error) {
	if given == nil {
		return absent, nil
	}
	if *given < least || *given > most {
		return 0, fail(kindMalformed, "%s is %d: use %d to %d", name, *given, least, most)
	}
	return *given, nil
}

func (s *Server) summary(r replay.Run) api.RunSummary {
	u := r.Usage
	sum := api.RunSummary{Id: r.ID.String(), Source: api.Tacho, Project: s.Project, Status: statusOf(r), Goal: beginning(r.Goal), Model: r.Model,
		StartedAt: stamp(r.Started), LastAt: stamp(r.Last), Agents: r.Agents, Steps: u.Steps, Calls: u.Calls, Entries: ptr(r.Entries), Held: r.Held,
		Tokens: story.Tokens(u.Tokens), Cost: story.CostOf(u.CostNUSD, u.Unpriced == 0)}
	if r.Status == journal.StatusEnded {
		sum.EndedAt = ptr(sum.LastAt)
	}
	if r.Status == journal.StatusPaused {
		sum.Why = some(r.Why)
	}
	if r.Parent != nil {
		sum.Parent = &api.Origin{Run: r.Parent.Run.String(), Seq: r.Parent.Seq}
	}
	if s.Shipped != nil {
		if n, known := s.Shipped(r.ID); known {
			sum.Shipped = ptr(min(n, r.Entries)) // asked a moment after the list: more may have been shipped since
		}
	}
	return sum
}

func statusOf(r replay.Run) api.Status {
	switch {
	case r.Status == journal.StatusEnded:
		return api.Status(r.Why)
	case r.Status == journal.StatusPaused:
		return api.StatusPaused
	case r.Held > 0:
		return api.StatusHeld
	}
	return api.StatusRunning
}

func (s *Server) traceSummary(t store.Trace) api.RunSummary {
	sum := api.RunSummary{Id: journal.RunID(t.ID).String(), Source: api.Otlp, Project: s.Traces.Project(), Status: api.Status(t.Status), Goal: beginning(t.Name),
		Model: text(t.Model), Service: some(text(t.Service)), StartedAt: t.Started, LastAt: t.Received, Agents: t.Agents, Steps: t.Answers, Calls: t.Calls,
		Spans: ptr(t.Spans), Errors: t.Errors, Tokens: api.Tokens{Input: t.Input, Cached: t.Cached, Output: t.Output},
		Cost: story.CostOf(t.CostNUSD, t.Unpriced == 0)}
	if t.Status != store.TraceRunning {
		sum.EndedAt = ptr(t.Ended)
	}
	if !t.HasRoot {
		sum.Why = ptr("no root")
	}
	return sum
}

// traceFilter reads the status of traces as of now.
func (s *Server) traceFilter() store.TraceFilter {
	return store.TraceFilter{Recent: s.Clock().Add(-replay.TraceQuiet)}
}

// beginning is the first characters of a goal.
func beginning(text string) string {
	text = strings.TrimSpace(text)
	if runes := []rune(story.Cut(text, 4*maxGoal)); len(runes) > maxGoal {
		return string(runes[:maxGoal-1]) + "…"
	} else {
		return string(runes)
	}
}

// position is a place in the list, newest first: after the run that began then.
type position struct {
	started time.Time
	id      journal.RunID
}

func positionOf(s api.RunSummary) position {
	id, _ := journal.ParseRunID(s.Id)
	return position{s.StartedAt, id}
}

// compare orders positions as the list does.
func (p position) compare(o position) int {
	return cmp.Or(o.started.Compare(p.started), strings.Compare(string(o.id[:]), string(p.id[:])))
}

func (p position) String() string {
	return base64.RawURLEncoding.EncodeToString([]byte(p.started.UTC().Format(time.RFC3339Nano) + "|" + p.id.String()))
}

func parsePosition(text string) (position, error) {
	bad := fail(kindMalformed, "cursor %.60q is none that a list gave: leave it out to begin at the newest", text)
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return position{}, bad
	}
	started, id, _ := strings.Cut(string(b), "|")
	var p position
	if p.started, err = time.Parse(time.RFC3339Nano, started); err != nil {
		return position{}, bad
	}
	if p.id, err = journal.ParseRunID(id); err != nil {
		return position{}, bad
	}
	return p, nil
}

// filter is what a list is asked for.
type filter struct {
	words   []string
	status  []api.Status
	source  string
	project string
}

func (f filter) admits(s api.RunSummary, goal string) bool {
	if f.source != "" && f.source != string(s.Source) || f.project != "" && f.project != s.Project ||
		len(f.status) > 0 && !slices.Contains(f.status, s.Status) {
		return false
	}
	hay := strings.ToLower(goal + "\x00" + s.Model + "\x00" + s.Id)
	if s.Service != nil {
		hay += "\x00" + strings.ToLower(*s.Service)
	}
	return !slices.ContainsFunc(f.words, func(w string) bool { return !strings.Contains(hay, w) })
}

// ListRuns implements api.StrictServerInterface, as do all methods of this form.
func (s *Server) ListRuns(ctx context.Context, request api.ListRunsRequestObject) (api.ListRunsResponseObject, error) {
	p := request.Params
	limit, err := within("limit", p.Limit, 100, 1, 500)
	if err != nil {
		return nil, err
	}
	f := filter{words: strings.Fields(strings.ToLower(deref(p.Q))), status: p.Status, source: string(deref(p.Source)), project: deref(p.Project)}
	for _, status := range f.status {
		if !status.Valid() {
			return nil, fail(kindMalformed, "status %.40q is none of running, held, paused, done, failed, stopped", status)
		}
	}
	var after position
	if p.Cursor != nil {
		if after, err = parsePosition(*p.Cursor); err != nil {
			return nil, err
		}
	}
	asOf := s.Clock()
	all, err := s.summaries(ctx, f, after, limit+1)
	if err != nil {
		return nil, err
	}
	answer := api.RunList{Runs: all, AsOf: asOf.UTC().Format(time.RFC3339Nano)}
	if len(all) > limit {
		answer.Runs = all[:limit]
		answer.Next = ptr(positionOf(all[limit-1]).String())
	}
	return api.ListRuns200JSONResponse(answer), nil
}

// summaries lists what passes the filter after a position, both sources in one order.
func (s *Server) summaries(ctx context.Context, f filter, after position, limit int) ([]api.RunSummary, error) {
	all := []api.RunSummary{}
	past := func(sum api.RunSummary) bool { return after.started.IsZero() || after.compare(positionOf(sum)) < 0 }
	if f.source != string(api.Otlp) {
		runs, err := s.Journal.Runs(ctx)
		if err != nil {
			return nil, err
		}
		for _, r := range runs {
			if sum := s.summary(r); past(sum) && f.admits(sum, r.Goal) {
				all = append(all, sum)
			}
		}
	}
	if s.Traces != nil && f.source != string(api.Tacho) {
		traces, err := s.traces(ctx, f, after, limit)
		if err != nil {
			return nil, err
		}
		all = append(all, traces...)
	}
	slices.SortFunc(all, func(a, b api.RunSummary) int { return positionOf(a).compare(positionOf(b)) })
	return all[:min(limit, len(all))], nil
}

// traces lists other people's traces that pass the filter, which the store applies.
func (s *Server) traces(ctx context.Context, f filter, after position, limit int) ([]api.RunSummary, error) {
	if f.project != "" && f.project != s.Traces.Project() {
		return nil, nil
	}
	ask := s.traceFilter()
	ask.Words = f.words
	for _, status := range f.status {
		ask.Status = append(ask.Status, string(status))
	}
	found, err := s.Traces.Traces(ctx, ask, store.Page{Limit: limit, Before: after.started, BeforeRun: after.id})
	if err != nil {
		return nil, err
	}
	listed := make([]api.RunSummary, 0, len(found))
	for _, t := range found {
		listed = append(listed, s.traceSummary(t))
	}
	return listed, nil
}

// GetRun answers with a run's header.
func (s *Server) GetRun(ctx context.Context, request api.GetRunRequestObject) (api.GetRunResponseObject, error) {
	found, err := s.subject(ctx, request.Id)
	if err != nil {
		return nil, err
	}
	if t := found.trace; t != nil {
		return api.GetRun200JSONResponse(api.Run{Summary: s.traceSummary(*t), Goal: *story.Show(t.Name, journal.Ref{}, ""), Family: journal.RunID(t.ID).String(),
			HeldCalls: []api.HeldCall{}, Forks: []api.ForkedRun{}}), nil
	}
	r := *found.run
	state, err := s.stateAt(ctx, r, r.Entries-1)
	if err != nil {
		return nil, err
	}
	run := api.Run{Summary: s.summary(r), Goal: s.text(ctx, r.ID, state.Goal), Family: r.Family.String(), Live: r.Status != journal.StatusEnded,
		Stop: some(api.RunStop(state.Stop)), Sandbox: some(api.RunSandbox(state.Sandbox)), Limits: ptr(story.Limits(state.Limits)),
		Usage: ptr(story.Usage(state.Usage)), State: ptr(state.Hash().String()), Root: ptr(state.Root.String()), Tip: ptr(state.Tip.String()),
		Verification: s.checks.last(r.ID)}
	s.addSpec(ctx, r.ID, state.Spec, &run)
	if run.HeldCalls, err = s.heldCalls(ctx, r.ID, state); err != nil {
		return nil, err
	}
	if run.Forks, err = s.forks(ctx, r.ID); err != nil {
		return nil, err
	}
	heads, err := s.Journal.Heads(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	run.Heads = ptr(int64(len(heads)))
	if r.Status == journal.StatusEnded {
		run.Outcome = s.outcome(ctx, r)
	}
	return api.GetRun200JSONResponse(run), nil
}

// addSpec shows what was asked for. One that was erased is left out.
func (s *Server) addSpec(ctx context.Context, run journal.RunID, ref journal.Ref, to *api.Run) {
	text, err := s.Journal.Content(ctx, run, ref)
	if err != nil {
		return
	}
	if json.Unmarshal(text, &to.Spec) != nil {
		return
	}
	delete(to.Spec, "request_key")
	if directory, ok := to.Spec["directory"].(string); ok {
		to.Directory = &directory
	}
}

// outcome is the reason of the run's end.
func (s *Server) outcome(ctx context.Context, r replay.Run) *api.Text {
	for line, err := range s.Journal.Entries(ctx, r.ID, r.Entries-1) {
		if err != nil {
			return nil
		}
		e, err := journal.Decode(line)
		if err != nil {
			return nil
		}
		if body, err := journal.DecodeBody(e.Kind, e.Body); err == nil {
			if ended, ok := body.(*journal.RunEnded); ok {
				return story.Read(ctx, s.Journal, r.ID, ended.Reason, "")
			}
		}
		return nil
	}
	return nil
}

func (s *Server) forks(ctx context.Context, id journal.RunID) ([]api.ForkedRun, error) {
	runs, err := s.Journal.Runs(ctx)
	if err != nil {
		return nil, err
	}
	forks := []api.ForkedRun{}
	for _, r := range runs {
		if r.Parent != nil && r.Parent.Run == id {
			forks = append(forks, api.ForkedRun{Id: r.ID.String(), Seq: r.Parent.Seq, Status: statusOf(r), StartedAt: stamp(r.Started)})
		}
	}
	return forks, nil
}

func (s *Server) heldCalls(ctx context.Context, run journal.RunID, state *journal.State) ([]api.HeldCall, error) {
	held := []api.HeldCall{}
	for _, a := range state.Agents() {
		for _, c := range a.Calls {
			if c.Phase != journal.CallIsHeld {
				continue
			}
			page, err := story.From(ctx, s.Journal, run, c.ID, 1)
			if err != nil {
				return nil, err
			}
			if len(page.Items) == 0 || page.Items[0].Call == nil {
				return nil, fmt.Errorf("held call %d of run %s is no call", c.ID, run)
			}
			told := page.Items[0].Call
			h := api.HeldCall{Call: c.ID, Agent: a.Path, Tool: c.Tool, Why: api.HeldCallWhy(c.Why), Until: story.Time(c.Until), Summary: told.Summary,
				Args: told.Args, Intent: told.Intent, Effect: deref(told.Effect), Scope: deref(told.Scope)}
			if told.Decision != nil {
				h.Reasons = told.Decision.Reasons
			}
			held = append(held, h)
		}
	}
	return held, nil
}

// text is content that must be there; what cannot be read says so.
func (s *Server) text(ctx context.Context, run journal.RunID, ref journal.Ref) api.Text {
	if t := story.Read(ctx, s.Journal, run, ref, ""); t != nil {
		return *t
	}
	return api.Text{}
}

func stamp(text string) time.Time {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}
	}
	return at
}

func ptr[T any](v T) *T { return &v }

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// some is nil for a value that is left out.
func some[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}
