package spans_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"tachograph/runner/state"
	"tachograph/schemas/chat"
	"tachograph/schemas/journal"
)

// script is a run written down, one entry a step, so that a step's index is its entry's seq and a
// process can go on where another one was killed. What depends on the state is made when it is
// played into a real store.
type script struct{ steps []step }

type step struct {
	agent string
	body  func(r *state.Run) journal.Body // nil: an entry that the store adds by itself before the next
	take  bool                            // the epoch rises before
}

func (s *script) add(agent string, body func(*state.Run) journal.Body) int64 {
	s.steps = append(s.steps, step{agent: agent, body: body})
	return int64(len(s.steps) - 1)
}

// put adds an entry that depends on nothing.
func (s *script) put(agent string, body journal.Body) int64 {
	return s.add(agent, func(*state.Run) journal.Body { return body })
}

// play writes the step of that index.
func (s *script) play(ctx context.Context, r *state.Run, index int) error {
	step := s.steps[index]
	if step.body == nil {
		return nil
	}
	if step.take {
		if err := r.Take(ctx); err != nil {
			return err
		}
	}
	written, err := r.Append(ctx, state.Draft{Agent: step.agent, Body: step.body(r)})
	if err == nil && written[0].Seq != int64(index) {
		err = fmt.Errorf("step %d became entry %d", index, written[0].Seq)
	}
	return err
}

// playAll writes every step, after which nobody else can write.
func (s *script) playAll(t testing.TB, r *state.Run) {
	t.Helper()
	for i := range s.steps {
		if err := s.play(t.Context(), r, i); err != nil {
			t.Fatalf("play step %d: %v", i, err)
		}
	}
}

func stage(r *state.Run, text string) journal.Ref { return r.Stage([]byte(text)) }

const frameText = `{"model":"kimi-k2.6","messages":[],"tools":[{"type":"function","function":{"name":"bash",` +
	`"description":"Run a command","parameters":{"type":"object"}}}],"stream":true,"temperature":0.6,"max_completion_tokens":4096}`

func object(text string) journal.Object { return journal.NameObject([]byte(text)) }

func (s *script) start() {
	s.add("/", func(r *state.Run) journal.Body {
		return &journal.RunStarted{Spec: stage(r, `{"model":"kimi/kimi-k2.6"}`), Goal: stage(r, "mend the parser"), Model: "kimi/kimi-k2.6",
			Family: r.ID(), Base: object("tree"), Root: object("tree"), Policy: stage(r, "permit(principal, action, resource);"), Sandbox: "1"}
	})
}

func (s *script) end(outcome string) {
	s.add("/", func(r *state.Run) journal.Body {
		return &journal.RunEnded{Outcome: outcome, Reason: stage(r, "because of "+outcome), Root: r.State().Root}
	})
}

func (s *script) snapshot() int64 {
	return s.add("/", func(r *state.Run) journal.Body { return &journal.Snapshot{Why: "interval", Root: r.State().Root} })
}

// ask asks the agent's model; again is another attempt at the same step.
func (s *script) ask(agent string, again bool, news ...chat.Message) int64 {
	return s.add(agent, func(r *state.Run) journal.Body {
		a := r.State().Agent(agent)
		refs := []journal.Ref{}
		for _, m := range news {
			refs = append(refs, r.Stage(m))
		}
		list := a.List.Append(refs...)
		b := &journal.ModelAsked{Step: a.Step + 1, Attempt: 1, Model: a.Model, Kept: int64(a.List.Len()), New: refs, Head: list.Head(),
			Length: int64(list.Len()), Frame: stage(r, frameText), At: int64(strings.Index(frameText, "[") + 1)}
		if again {
			b.Step, b.Attempt = a.Step, a.Attempt+1
		}
		return b
	})
}

// answer answers with a text and calls of bash.
func (s *script) answer(agent string, asked int64, text string, calls int) {
	s.add(agent, func(r *state.Run) journal.Body {
		m := chat.Parsed{Content: &text}
		reasoning := "thinking about " + text
		m.ReasoningContent = &reasoning
		finish := chat.FinishStop
		for i := range calls {
			m.ToolCalls = append(m.ToolCalls, chat.ToolCall{ID: callID(i), Type: "function", Function: chat.FunctionCall{Name: "bash", Arguments: `{"command":"go test"}`}})
			finish = chat.FinishToolCalls
		}
		return &journal.ModelAnswered{Asked: asked, Status: "ok", Message: r.Stage(chat.Assistant(m)), Raw: stage(r, "raw of "+text), Finish: finish,
			Calls: int64(calls), Tokens: journal.Tokens{Input: 100, Cached: 40, Output: 20, Reasoning: 5}, CostNUSD: 1500, Priced: true}
	})
}

func callID(index int) string { return fmt.Sprintf("call_%d", index) }

func (s *script) noAnswer(agent string, asked int64, status string) {
	s.add(agent, func(r *state.Run) journal.Body {
		b := &journal.ModelAnswered{Asked: asked, Status: status, Error: stage(r, "the model is away")}
		if status == "lost" {
			b.Error, b.Tokens, b.Estimated = journal.Ref{}, journal.Tokens{Input: 800}, true
		}
		return b
	})
}

// turn is a question and its answer.
func (s *script) turn(agent, text string, calls int) int64 {
	asked := s.ask(agent, false, chat.System("You are an agent."), chat.User(text))
	s.answer(agent, asked, "answer to "+text, calls)
	return asked
}

func (s *script) intent(agent, text string) int64 {
	return s.add(agent, func(r *state.Run) journal.Body { return &journal.Intent{Text: stage(r, text), Source: "declared"} })
}

func (s *script) propose(agent string, index, intent int64) int64 {
	return s.add(agent, func(r *state.Run) journal.Body {
		return &journal.CallProposed{Step: r.State().Agent(agent).Step, Index: index, Tool: "bash", Args: stage(r, `{"command":"go test"}`), Intent: intent,
			Effect: "write", Scope: "workspace",
			Targets: stage(r, `{"v":1,"actions":["write"],"read":["a b.go","/etc/hosts"],"written":["out/x"],"deleted":["old"],"hosts":["example.org:443"]}`)}
	})
}

func (s *script) decide(agent string, call int64, decision string) int64 {
	return s.add(agent, func(r *state.Run) journal.Body {
		reasons, _ := json.Marshal(map[string]any{"v": 1, "decision": decision,
			"reasons": []any{map[string]any{"id": "policy0", "text": "writes are " + decision}}})
		return &journal.CallDecided{Call: call, Decision: decision, Engine: "cedar", Policy: r.State().Policy, Reasons: r.Stage(reasons)}
	})
}

func (s *script) hold(agent string, call int64) int64 {
	return s.put(agent, &journal.CallHeld{Call: call, Why: "policy", Until: "2026-11-24T00:00:00Z"})
}

func (s *script) approve(agent string, call int64) int64 {
	return s.add(agent, func(r *state.Run) journal.Body {
		st := r.State()
		_, c := st.Call(call)
		return &journal.CallApproved{Call: call, Proposed: c.Proposed, Policy: st.Policy, Root: st.Root, By: stage(r, "ada"), Reason: stage(r, "fine")}
	})
}

func (s *script) refuse(agent string, call int64) int64 {
	return s.add(agent, func(r *state.Run) journal.Body {
		return &journal.CallRefused{Call: call, By: stage(r, "ada"), Reason: stage(r, "not today")}
	})
}

func (s *script) begin(agent string, call int64) int64 {
	return s.add(agent, func(r *state.Run) journal.Body {
		st := r.State()
		_, c := st.Call(call)
		return &journal.CallStarted{Call: call, Attempt: c.Attempt + 1, Root: st.Root}
	})
}

func (s *script) finish(agent string, call int64, status string) int64 {
	return s.add(agent, func(r *state.Run) journal.Body {
		st := r.State()
		b := &journal.CallEnded{Call: call, Status: status, Message: r.Stage(chat.ToolResult("call_x", "result of "+status)), Root: st.Root, Observed: "none"}
		if status == "ok" {
			b.Root, b.Files, b.Added, b.Removed, b.Observed, b.MicroSec = object(fmt.Sprint("tree after ", call)), 2, 10, 3, "write", 1234
		}
		return b
	})
}

// call is a call that goes through.
func (s *script) call(agent string, index int64) int64 {
	intent := s.intent(agent, "to see what fails")
	call := s.propose(agent, index, intent)
	s.decide(agent, call, "allow")
	s.begin(agent, call)
	s.finish(agent, call, "ok")
	return call
}

func (s *script) spawn(parent, path string) int64 {
	return s.add(parent, func(r *state.Run) journal.Body {
		return &journal.AgentSpawned{Path: path, Goal: stage(r, "look into "+path), Model: "openai/gpt-oss", Task: 1}
	})
}

func (s *script) agentEnds(parent, path, outcome string) int64 {
	return s.add(parent, func(r *state.Run) journal.Body {
		return &journal.AgentEnded{Path: path, Outcome: outcome, Result: stage(r, path+" is "+outcome)}
	})
}

func (s *script) recover(doubt, rerun, lost []int64) int64 {
	seq := s.put("/", &journal.Recovered{Doubt: doubt, Rerun: rerun, Lost: lost})
	s.steps[seq].take = true
	return seq
}

func (s *script) rollBack(to int64) int64 {
	return s.add("/", func(r *state.Run) journal.Body {
		root := r.State().Root
		for _, m := range r.State().Marks {
			if m.Seq == to {
				root = m.Root
			}
		}
		return &journal.RolledBack{To: to, Root: root, Message: r.Stage(chat.User("undone")), Reason: stage(r, "it failed")}
	})
}
