package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"tachograph/replay"
	"tachograph/runner"
	"tachograph/schemas/journal"
	"tachograph/web/api"
	"tachograph/web/requests"
)

// agentRequest is the body of POST /v1/agents: a spec, and what is not built yet.
type agentRequest struct {
	runner.Spec
	Swarm json.RawMessage `json:"agent_swarm"`
}

// toolsets are those that an agent can be given; toolsNotBuilt those that it will be.
var (
	toolsets      = []string{"filesystem", "bash"}
	toolsNotBuilt = []string{"github", "http"}
)

// parseAgent reads a request, and says by name what of it cannot be had.
func parseAgent(body []byte) (runner.Spec, error) {
	var asked agentRequest
	if err := readJSON(bytes.NewReader(body), &asked); err != nil {
		return asked.Spec, err
	}
	named := func(k kind, field, format string, args ...any) error {
		f := fail(k, format, args...)
		f.field = field
		return f
	}
	if asked.Swarm != nil {
		return asked.Spec, named(kindNotBuilt, "agent_swarm", "field \"agent_swarm\" is not built yet: remove it")
	}
	if asked.RequestKey != "" {
		return asked.Spec, named(kindInvalid, "request_key", "field \"request_key\" is not known: use the header Idempotency-Key")
	}
	for _, tool := range asked.Tools {
		if slices.Contains(toolsNotBuilt, tool) {
			return asked.Spec, named(kindNotBuilt, "tools", "tool %q is not built yet: leave it out; there is %s", tool, strings.Join(toolsets, ", "))
		}
		if !slices.Contains(toolsets, tool) {
			return asked.Spec, named(kindInvalid, "tools", "tool %.40q is not known: there is %s", tool, strings.Join(toolsets, ", "))
		}
	}
	if asked.Policy != "" && !filepath.IsAbs(asked.Policy) {
		return asked.Spec, named(kindInvalid, "policy", "policy %.200q is not an absolute path", asked.Policy)
	}
	if err := asked.Validate(); err != nil {
		return asked.Spec, fail(kindInvalid, "%v", err)
	}
	var err error
	asked.Directory, err = directoryOf(asked.Spec)
	if err != nil {
		return asked.Spec, named(kindInvalid, "directory", "%v", err)
	}
	return asked.Spec, nil
}

// absolute finds absolute paths in a prompt.
var absolute = regexp.MustCompile(`(?:^|[\s"'(<` + "`" + `])(/[^\s"'()<>,;:` + "`" + `]+)`)

// directoryOf is the directory that an agent is to work on: the one that is given, or else the one
// existing directory that the prompt names. It works in a copy in either case.
func directoryOf(spec runner.Spec) (string, error) {
	if spec.Directory != "" {
		if !filepath.IsAbs(spec.Directory) {
			return "", errors.New("directory is relative: this process has no directory of yours, so give an absolute path")
		}
		return filepath.Clean(spec.Directory), nil
	}
	var found []string
	for _, match := range absolute.FindAllStringSubmatch(spec.Prompt, -1) {
		path := filepath.Clean(strings.TrimRight(match[1], "."))
		if info, err := os.Stat(path); err == nil && info.IsDir() && path != "/" && !slices.Contains(found, path) {
			found = append(found, path)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", errors.New("directory is missing, and the prompt names no directory that exists here: name the one whose copy the agent works in")
	}
	return "", errors.New("directory is missing, and the prompt names several (" + strings.Join(found, ", ") + "): name the one whose copy the agent works in")
}

// CreateAgent starts a run.
func (s *Server) CreateAgent(ctx context.Context, request api.CreateAgentRequestObject) (api.CreateAgentResponseObject, error) {
	if request.Body == nil {
		return nil, bodyError(errors.New("it is empty"))
	}
	body := []byte(*request.Body)
	spec, err := parseAgent(body)
	if err != nil {
		return nil, err
	}
	begin := func() (journal.RunID, error) {
		run, err := s.Operator.Start(ctx, spec)
		if err != nil {
			return run, startFailed(err)
		}
		return run, nil
	}
	var run journal.RunID
	if key := request.Params.IdempotencyKey; key == nil {
		run, err = begin()
	} else {
		if *key == "" || len(*key) > 255 {
			return nil, fail(kindMalformed, "the Idempotency-Key has %d bytes: use 1 to 255", len(*key))
		}
		spec.RequestKey = requests.Name(*key)
		run, _, err = s.Requests.Begin(ctx, *key, compacted(body), func(since time.Time) (journal.RunID, bool, error) {
			return s.findRequest(ctx, spec.RequestKey, since)
		}, begin)
	}
	if errors.Is(err, requests.ErrReused) {
		return nil, fail(kindKeyReused, "this Idempotency-Key came with another body before: use a new key for a new request")
	}
	if err != nil {
		return nil, err
	}
	agent, err := s.agent(ctx, run.String())
	if err != nil {
		return nil, err
	}
	answer := api.CreateAgent201JSONResponse{Body: agent}
	answer.Headers.Location = ptr("/v1/agents/" + run.String())
	return answer, nil
}

// startFailed tells what this request cannot have from what is wrong with this process.
func startFailed(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &failure{kind: kindInvalid, detail: err.Error(), cause: err}
}

// compacted is the body without white space between its parts: the same request, written otherwise,
// is the same.
func compacted(body []byte) []byte {
	var out bytes.Buffer
	if json.Compact(&out, body) != nil {
		return body
	}
	return out.Bytes()
}

// findRequest finds the run that was begun for a key by a process that did not live to say so.
func (s *Server) findRequest(ctx context.Context, key string, since time.Time) (journal.RunID, bool, error) {
	runs, err := s.Journal.Runs(ctx)
	if err != nil {
		return journal.RunID{}, false, err
	}
	for _, r := range runs {
		if r.Parent != nil || stamp(r.Last).Before(since) {
			continue
		}
		started, err := replay.Started(ctx, s.Journal, r.ID)
		if err != nil {
			return journal.RunID{}, false, err
		}
		text, err := s.Journal.Content(ctx, r.ID, started.Spec)
		if errors.Is(err, replay.ErrErased) {
			continue
		}
		if err != nil {
			return journal.RunID{}, false, err
		}
		var spec struct {
			RequestKey string `json:"request_key"`
		}
		if json.Unmarshal(text, &spec) == nil && spec.RequestKey == key {
			return r.ID, true, nil
		}
	}
	return journal.RunID{}, false, nil
}

// agent shows a run as an agent.
func (s *Server) agent(ctx context.Context, id string) (api.Agent, error) {
	run, err := s.own(ctx, id)
	if err != nil {
		return api.Agent{}, err
	}
	return s.agentOf(ctx, run)
}

func (s *Server) agentOf(ctx context.Context, run replay.Run) (api.Agent, error) {
	sum := s.summary(run)
	state, err := s.stateAt(ctx, run, run.Entries-1)
	if err != nil {
		return api.Agent{}, err
	}
	agent := api.Agent{Id: sum.Id, RunId: sum.Id, Status: sum.Status, Why: sum.Why, Model: sum.Model, Prompt: s.text(ctx, run.ID, state.Goal),
		CreatedAt: sum.StartedAt, EndedAt: sum.EndedAt, Steps: sum.Steps, HeldCalls: []int64{}, Run: "/api/runs/" + sum.Id, Page: "/runs/" + sum.Id}
	if directory, err := replay.Directory(ctx, s.Journal, state); err == nil {
		agent.Directory = some(directory)
	}
	for _, a := range state.Agents() {
		for _, c := range a.Calls {
			if c.Phase == journal.CallIsHeld {
				agent.HeldCalls = append(agent.HeldCalls, c.ID)
			}
		}
	}
	return agent, nil
}

// GetAgent answers with how an agent stands.
func (s *Server) GetAgent(ctx context.Context, request api.GetAgentRequestObject) (api.GetAgentResponseObject, error) {
	agent, err := s.agent(ctx, request.Id)
	return api.GetAgent200JSONResponse(agent), err
}

// ListAgents answers with the agents, newest first.
func (s *Server) ListAgents(ctx context.Context, request api.ListAgentsRequestObject) (api.ListAgentsResponseObject, error) {
	limit, err := within("limit", request.Params.Limit, 100, 1, 500)
	if err != nil {
		return nil, err
	}
	f := filter{source: string(api.Tacho)}
	if request.Params.Status != nil {
		f.status = []api.Status{*request.Params.Status}
	}
	var after position
	if request.Params.Cursor != nil {
		if after, err = parsePosition(*request.Params.Cursor); err != nil {
			return nil, err
		}
	}
	sums, err := s.summaries(ctx, f, after, limit+1)
	if err != nil {
		return nil, err
	}
	answer := api.AgentList{Agents: []api.Agent{}}
	if len(sums) > limit {
		answer.Next = ptr(positionOf(sums[limit-1]).String())
		sums = sums[:limit]
	}
	for _, sum := range sums {
		agent, err := s.agent(ctx, sum.Id)
		if err != nil {
			return nil, err
		}
		answer.Agents = append(answer.Agents, agent)
	}
	return api.ListAgents200JSONResponse(answer), nil
}

// steer has the operator do something to a run, and answers how the agent then stands.
func (s *Server) steer(ctx context.Context, id string, do func(journal.RunID) error) (api.Agent, error) {
	run, err := s.own(ctx, id)
	if err != nil {
		return api.Agent{}, err
	}
	if err := do(run.ID); err != nil {
		return api.Agent{}, refused(err)
	}
	return s.agent(ctx, id)
}

// StopAgent ends a run.
func (s *Server) StopAgent(ctx context.Context, request api.StopAgentRequestObject) (api.StopAgentResponseObject, error) {
	agent, err := s.steer(ctx, request.Id, func(run journal.RunID) error {
		return s.Operator.Stop(ctx, run, s.by(ctx, request.Body.By), deref(request.Body.Now))
	})
	return api.StopAgent200JSONResponse(agent), err
}

// PauseAgent holds a run.
func (s *Server) PauseAgent(ctx context.Context, request api.PauseAgentRequestObject) (api.PauseAgentResponseObject, error) {
	agent, err := s.steer(ctx, request.Id, func(run journal.RunID) error { return s.Operator.Pause(ctx, run, s.by(ctx, request.Body.By)) })
	return api.PauseAgent200JSONResponse(agent), err
}

// ResumeAgent ends a pause.
func (s *Server) ResumeAgent(ctx context.Context, request api.ResumeAgentRequestObject) (api.ResumeAgentResponseObject, error) {
	agent, err := s.steer(ctx, request.Id, func(run journal.RunID) error { return s.Operator.Resume(ctx, run, s.by(ctx, request.Body.By)) })
	return api.ResumeAgent200JSONResponse(agent), err
}

// AnswerCall approves or denies a held call.
func (s *Server) AnswerCall(ctx context.Context, request api.AnswerCallRequestObject) (api.AnswerCallResponseObject, error) {
	body := request.Body
	answer := s.Operator.Approve
	switch body.Decision {
	case api.ApprovalRequestDecisionApprove:
	case api.ApprovalRequestDecisionDeny:
		answer = s.Operator.Deny
	default:
		f := fail(kindInvalid, "decision is %.40q: use approve or deny", body.Decision)
		f.field = "decision"
		return nil, f
	}
	agent, err := s.steer(ctx, request.Id, func(run journal.RunID) error {
		return answer(ctx, run, request.Call, s.by(ctx, body.By), deref(body.Reason))
	})
	return api.AnswerCall200JSONResponse(agent), err
}
