package web

import (
	"context"
	"encoding/json"
	"fmt"

	"tachograph/runner"
	"tachograph/schemas/access"
	"tachograph/schemas/chat"
	"tachograph/web/api"
)

// ForkRun makes a run that begins with the state of another.
func (s *Server) ForkRun(ctx context.Context, request api.ForkRunRequestObject) (api.ForkRunResponseObject, error) {
	run, err := s.own(ctx, request.Id)
	if err != nil {
		return nil, err
	}
	body := request.Body
	seq, err := at(run, &body.Seq)
	if err != nil {
		return nil, err
	}
	change, err := changeAsked(body.Set)
	if err != nil {
		return nil, err
	}
	change.By = s.by(ctx, body.By)
	fork, err := s.Operator.Fork(ctx, run.ID, seq, change)
	if err != nil {
		return nil, refused(err)
	}
	answer := api.ForkRun201JSONResponse{Body: api.Forked{RunId: fork.String()}}
	answer.Headers.Location = ptr("/api/runs/" + fork.String())
	if deref(body.Resume) {
		if err := s.Operator.Resume(ctx, fork, s.by(ctx, body.By)); err != nil {
			answer.Body.Warning = ptr(fmt.Sprintf("the fork is there, paused, but could not be resumed: %v", err))
		}
	}
	return answer, nil
}

// by is who asks, as the journal keeps it. With a token it is the token's name, whatever else a request says: nobody
// signs for somebody else.
func (s *Server) by(ctx context.Context, named *api.Person) string {
	name := deref(named)
	switch caller := access.From(ctx); {
	case caller.Name != "" && name != "" && name != caller.Name:
		return caller.Name + " (token), who says: " + name
	case caller.Name != "":
		return caller.Name + " (token)"
	case name == "":
		return s.Person
	}
	return name
}

func changeAsked(set *api.ForkChange) (runner.Change, error) {
	var change runner.Change
	if set == nil {
		return change, nil
	}
	change.Message, change.Spec = deref(set.Message), set.Spec
	for i, r := range set.Results {
		if _, twice := change.Results[r.Call]; twice {
			f := fail(kindInvalid, "set.results gives the result of call %d twice", r.Call)
			f.field = fmt.Sprintf("set.results[%d]", i)
			return change, f
		}
		if change.Results == nil {
			change.Results = map[int64]string{}
		}
		change.Results[r.Call] = r.Text
	}
	if set.Turn == nil {
		return change, nil
	}
	if deref(set.Turn.Content) == "" && len(set.Turn.Calls) == 0 {
		f := fail(kindInvalid, "set.turn says nothing and calls nothing: give it content, calls, or both")
		f.field = "set.turn"
		return change, f
	}
	turn := chat.Parsed{Content: set.Turn.Content, ReasoningContent: set.Turn.Reasoning}
	for i, c := range set.Turn.Calls {
		args, err := json.Marshal(c.Arguments)
		if err != nil {
			return change, err
		}
		turn.ToolCalls = append(turn.ToolCalls, chat.ToolCall{ID: fmt.Sprintf("call_%d", i+1), Type: "function",
			Function: chat.FunctionCall{Name: c.Tool, Arguments: string(args)}})
	}
	change.Turn = chat.Assistant(turn)
	return change, nil
}
