package web

import (
	"context"
	"time"

	"tachograph/replay"
	"tachograph/schemas/chat"
	"tachograph/schemas/journal"
	"tachograph/web/api"
	"tachograph/web/story"
)

// stateAt rebuilds a state. The list may count an entry a moment before it can be read: that it is
// durable is waited for.
func (s *Server) stateAt(ctx context.Context, run replay.Run, seq int64) (*journal.State, error) {
	st, err := replay.At(ctx, s.Journal, run.ID, seq)
	if !isMissing(err) || seq >= run.Entries || run.Status == journal.StatusEnded {
		return st, err
	}
	waiting, cancel := context.WithTimeout(ctx, durableWithin)
	defer cancel()
	for _, err := range s.Journal.Follow(waiting, run.ID, seq) {
		if err != nil {
			return nil, err
		}
		break
	}
	return replay.At(ctx, s.Journal, run.ID, seq)
}

// durableWithin bounds the time in which an entry that is counted can be read.
const durableWithin = 10 * time.Second

// GetState answers with what a run knew after an entry.
func (s *Server) GetState(ctx context.Context, request api.GetStateRequestObject) (api.GetStateResponseObject, error) {
	run, err := s.own(ctx, request.Id)
	if err != nil {
		return nil, err
	}
	seq, err := at(run, request.Params.Seq)
	if err != nil {
		return nil, err
	}
	st, err := s.stateAt(ctx, run, seq)
	if err != nil {
		return nil, err
	}
	e, err := s.entry(ctx, run.ID, seq)
	if err != nil {
		return nil, err
	}
	answer := api.State{Run: run.ID.String(), Seq: seq, Entries: run.Entries, Time: e.Time, Kind: ptr(string(e.Kind)), Status: api.StateStatus(st.Status),
		Why: some(st.Why), Hold: some(st.Hold), State: st.Hash().String(), Model: st.Model, Root: st.Root.String(), Base: st.Base.String(),
		LeftOut: st.LeftOut, Limits: story.Limits(st.Limits), Usage: story.Usage(st.Usage), Rollbacks: st.Undone,
		Agents: []api.AgentState{}, Tasks: []api.Task{}, Snapshots: []int64{}}
	for _, a := range st.Agents() {
		answer.Agents = append(answer.Agents, s.agentState(ctx, run.ID, a))
	}
	for _, t := range st.Tasks() {
		answer.Tasks = append(answer.Tasks, api.Task{Id: t.ID, Status: t.Status, Title: s.text(ctx, run.ID, t.Title), Agent: some(t.Agent),
			After: append([]int64{}, t.After...), Result: story.Read(ctx, s.Journal, run.ID, t.Result, "")})
	}
	for _, m := range st.Marks {
		answer.Snapshots = append(answer.Snapshots, m.Seq)
	}
	return api.GetState200JSONResponse(answer), nil
}

func (s *Server) agentState(ctx context.Context, run journal.RunID, a *journal.Agent) api.AgentState {
	told := api.AgentState{Path: a.Path, Status: api.AgentStateStatus(a.Status), Model: a.Model, Goal: s.text(ctx, run, a.Goal), Step: a.Step,
		Messages: int64(a.List.Len()), Intent: story.Read(ctx, s.Journal, run, a.Intent, ""),
		Answer: story.Read(ctx, s.Journal, run, a.Answer, story.PartContent), Waiting: some(a.Asked >= 0), Calls: []api.AgentCall{}}
	if a.List.Len() > 0 {
		told.Head = ptr(a.List.Head().String())
	}
	for _, c := range a.Calls {
		call := api.AgentCall{Call: c.ID, Index: c.Index, Phase: c.Phase, Status: some(c.Status), Tool: c.Tool,
			Result: story.Read(ctx, s.Journal, run, c.Message, story.PartContent)}
		if args, err := s.Journal.Content(ctx, run, c.Args); err == nil {
			call.Summary = some(story.Summary(args))
		}
		told.Calls = append(told.Calls, call)
	}
	return told
}

// entry reads one entry.
func (s *Server) entry(ctx context.Context, run journal.RunID, seq int64) (journal.Entry, error) {
	for line, err := range s.Journal.Entries(ctx, run, seq) {
		if err != nil {
			return journal.Entry{}, err
		}
		return journal.Decode(line)
	}
	return journal.Entry{}, fail(kindNotFound, "entry %d: run %s does not have it", seq, run)
}

// ListMessages answers with the conversation of an agent.
func (s *Server) ListMessages(ctx context.Context, request api.ListMessagesRequestObject) (api.ListMessagesResponseObject, error) {
	p := request.Params
	limit, err := within("limit", p.Limit, 100, 1, 500)
	if err != nil {
		return nil, err
	}
	from, err := within("from", p.From, 0, 0, int64(journal.MaxInt))
	if err != nil {
		return nil, err
	}
	run, err := s.own(ctx, request.Id)
	if err != nil {
		return nil, err
	}
	seq, err := at(run, p.Seq)
	if err != nil {
		return nil, err
	}
	st, err := s.stateAt(ctx, run, seq)
	if err != nil {
		return nil, err
	}
	path := "/"
	if p.Agent != nil {
		path = *p.Agent
	}
	a := st.Agent(path)
	if a == nil {
		return nil, fail(kindNotFound, "agent %.100q: run %s has none of that name after entry %d", path, run.ID, seq)
	}
	total := int64(a.List.Len())
	from = min(from, total)
	to := min(from+int64(limit), total)
	answer := api.MessageList{Messages: []api.Message{}, Total: total, Agent: path, Seq: seq}
	refs, err := replay.Messages(ctx, s.Journal, st, path, int(from), int(to))
	if err != nil {
		return nil, err
	}
	for i, ref := range refs {
		answer.Messages = append(answer.Messages, s.message(ctx, run.ID, from+int64(i), ref))
	}
	if to < total {
		answer.Next = &to
	}
	return api.ListMessages200JSONResponse(answer), nil
}

// message shows a message. What cannot be read, or is none, has no role.
func (s *Server) message(ctx context.Context, run journal.RunID, index int64, ref journal.Ref) api.Message {
	told := api.Message{Index: index, Ref: ref.String()}
	b, err := s.Journal.Content(ctx, run, ref)
	if err != nil {
		told.Content = story.Read(ctx, s.Journal, run, ref, "") // which says why
		return told
	}
	told.Size = int64(len(b))
	m, err := chat.Parse(b)
	if err != nil {
		told.Content = story.Show(string(b), ref, "")
		return told
	}
	told.Role, told.ToolCallId = m.Role, some(m.ToolCallID)
	if m.Content != nil {
		told.Content = story.Show(*m.Content, ref, story.PartContent)
	}
	if m.ReasoningContent != nil {
		told.Reasoning = story.Show(*m.ReasoningContent, ref, story.PartReasoning)
	}
	for i, c := range m.ToolCalls {
		told.Calls = append(told.Calls, api.MessageCall{Arguments: *story.Show(c.Function.Arguments, ref, story.PartOfCall(i)), Id: c.ID, Tool: c.Function.Name})
	}
	return told
}
