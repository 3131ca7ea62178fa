package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tachograph/runner/gate"
	"tachograph/schemas/chat"
	"tachograph/schemas/journal"
	"tachograph/schemas/price"
)

// ask sends the conversation to the model and records the answer.
func (x *execution) ask(extra string) error {
	if err := x.compact(false); err != nil {
		return err
	}
	asked, seq, err := x.journalAsked(extra)
	if err != nil {
		return err
	}
	var answer chat.Answer
	err = x.interruptible(func(ctx context.Context) error {
		answer, err = x.model.Ask(ctx, x.frame, x.talk.messages, x.watchDelta)
		return err
	})
	if err != nil {
		return x.askFailed(asked, seq, err)
	}
	return x.journalAnswer(seq, answer)
}

// journalAsked records what is about to be sent: the answer of the turn before, the results of its
// calls, and what else the agent has to see.
func (x *execution) journalAsked(extra string) (*journal.ModelAsked, int64, error) {
	agent := x.agent()
	if err := x.talk.follow(x.ctx, x.run, agent.List); err != nil {
		return nil, 0, err
	}
	refs, messages, err := x.newMessages(agent, extra)
	if err != nil {
		return nil, 0, err
	}
	list := agent.List.Append(refs...)
	body := &journal.ModelAsked{Step: agent.Step + 1, Attempt: 1, Model: x.model.Name(),
		Kept: int64(agent.List.Len()), New: refs, Head: list.Head(), Length: int64(list.Len()),
		Frame: x.run.Stage(x.frame.Bytes), At: int64(x.frame.At)}
	// Nothing new: the attempt before was lost or failed.
	if len(refs) == 0 && agent.Attempt > 0 {
		body.Step, body.Attempt = agent.Step, agent.Attempt+1
	}
	written, err := x.run.Append(x.ctx, x.root(body))
	if err != nil {
		return nil, 0, fmt.Errorf("record the question to the model: %w", err)
	}
	x.talk.extend(list, messages...)
	return body, written[0].Seq, nil
}

// newMessages are the messages that the agent's list does not hold yet.
func (x *execution) newMessages(a *journal.Agent, extra string) ([]journal.Ref, []chat.Message, error) {
	refs := []journal.Ref{}
	var messages []chat.Message
	add := func(m chat.Message) {
		refs = append(refs, x.run.Stage(m))
		messages = append(messages, m)
	}
	if a.List.Len() == 0 {
		add(chat.System(systemPrompt(x.spec)))
		add(chat.User(x.spec.Prompt))
	}
	recorded := []journal.Ref{}
	if !a.Answer.IsZero() {
		recorded = append(recorded, a.Answer)
	}
	for _, c := range a.Calls {
		recorded = append(recorded, c.Message)
	}
	for _, ref := range append(recorded, a.Notes...) {
		m, err := x.run.Content(x.ctx, ref)
		if err != nil {
			return nil, nil, fmt.Errorf("read new message %s: %w", ref.Short(), err)
		}
		add(m)
	}
	if extra != "" {
		add(chat.User(extra))
	}
	return refs, messages, nil
}

// journalAnswer records an answer before any of its calls is looked at.
func (x *execution) journalAnswer(asked int64, a chat.Answer) error {
	parsed, err := chat.Parse(a.Message)
	if err != nil {
		return x.askFailed(nil, asked, err)
	}
	body := &journal.ModelAnswered{Asked: asked, Status: "ok", Message: x.run.Stage(a.Message), Raw: x.run.Stage(a.Raw),
		Finish: a.Finish, Calls: int64(len(parsed.ToolCalls))}
	body.Tokens, body.Estimated = tokens(a, x.talk.bytes)
	x.price(body)
	if _, err := x.run.Append(x.ctx, x.root(body)); err != nil {
		return fmt.Errorf("record the model's answer: %w", err)
	}
	return nil
}

// price says what an answer cost, if that is known: at the spec's prices, else at those of today.
func (x *execution) price(body *journal.ModelAnswered) {
	if rate, known := x.rate(); known {
		body.CostNUSD, body.Priced = rate.Cost(body.Tokens.Input, body.Tokens.Cached, body.Tokens.Output), true
	}
}

func (x *execution) rate() (price.Rate, bool) {
	if x.agreed != nil {
		return *x.agreed, true
	}
	return x.runner.cfg.Rates(x.model.Name(), x.runner.cfg.Clock())
}

// maxAttempts bounds how often a model that does not answer is asked in one turn, the provider's
// own retries apart; then the run pauses, because nobody is served by a run that dies of an outage.
const maxAttempts = 8

// askFailed records a failed attempt and decides what follows: wait and ask again, shorten the
// conversation, pause, or fail.
func (x *execution) askFailed(asked *journal.ModelAsked, seq int64, cause error) error {
	if x.ctx.Err() != nil {
		return x.ctx.Err() // interrupted: whoever takes the run over records the lost attempt
	}
	body := &journal.ModelAnswered{Asked: seq, Status: "failed", Error: x.run.Stage([]byte(cause.Error()))}
	if errors.Is(cause, context.Canceled) {
		body.Tokens, body.Estimated = journal.Tokens{Input: estimate(x.talk.bytes)}, true
		x.price(body)
	}
	if _, err := x.run.Append(x.ctx, x.root(body)); err != nil {
		return fmt.Errorf("record the model's failure: %w", err)
	}
	switch {
	case errors.Is(cause, context.Canceled):
		return nil // stopped: the loop sees why
	case contextExceeded(cause):
		if err := x.compact(true); err != nil {
			return x.failed(fmt.Sprintf("the conversation is too long for the model: %v", cause))
		}
		return nil
	case !temporary(cause):
		return x.failed(fmt.Sprintf("the model gave no answer: %v", cause))
	case asked != nil && asked.Attempt >= maxAttempts:
		return x.pauseForModel(cause)
	}
	return x.waitToAskAgain(asked, cause)
}

func (x *execution) pauseForModel(cause error) error {
	x.runner.cfg.Log.Warn("the model cannot be reached: the run pauses", "run", x.id(), "error", cause)
	_, err := x.run.Append(x.ctx, x.root(&journal.Paused{Why: "model"}))
	return err
}

// waitToAskAgain waits 1 s, 2 s, 4 s … up to 5 minutes.
func (x *execution) waitToAskAgain(asked *journal.ModelAsked, cause error) error {
	attempt := int64(1)
	if asked != nil {
		attempt = asked.Attempt
	}
	wait := min(time.Second<<min(attempt-1, 20), 5*time.Minute)
	x.runner.cfg.Log.Warn("the model gave no answer; asking again", "run", x.id(), "in", wait, "error", cause)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-x.changed:
		x.signal()
	case <-x.ctx.Done():
	}
	return nil
}

// takeTurn records the answer that a fork gave in place of the model's.
func (x *execution) takeTurn() error {
	turn := x.agent().Turn
	_, seq, err := x.journalAsked("")
	if err != nil {
		return err
	}
	message, err := x.run.Content(x.ctx, turn)
	if err != nil {
		return fmt.Errorf("read the turn that was given: %w", err)
	}
	parsed, err := chat.Parse(message)
	if err != nil {
		return x.end("failed", fmt.Sprintf("the turn that was given is no message: %v", err))
	}
	finish := chat.FinishStop
	if len(parsed.ToolCalls) > 0 {
		finish = chat.FinishToolCalls
	}
	body := &journal.ModelAnswered{Asked: seq, Status: "given", Message: turn, Finish: finish, Calls: int64(len(parsed.ToolCalls))}
	if _, err := x.run.Append(x.ctx, x.root(body)); err != nil {
		return fmt.Errorf("record the turn that was given: %w", err)
	}
	return nil
}

// call has the gate run one call of the newest answer.
func (x *execution) call(act action) error {
	agent := x.agent()
	message, err := x.run.Content(x.ctx, agent.Answer)
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	parsed, err := chat.Parse(message)
	if err != nil || act.index >= int64(len(parsed.ToolCalls)) {
		return fmt.Errorf("read call %d of the answer: %w", act.index, errors.Join(err, errors.New("the answer does not hold it")))
	}
	asked := parsed.ToolCalls[act.index]
	return x.pass(act, gate.Request{Agent: agent.Path, Step: agent.Step, Index: act.index,
		Tool: asked.Function.Name, Arguments: asked.Function.Arguments, ToolCallID: asked.ID})
}

// check runs the spec's check: a bash call that nobody but the spec asked for. It passes the gate
// like any other.
func (x *execution) check(act action) error {
	// A check is what the user wrote, often all tests of a project: it may take as long as a call can.
	const checkSeconds = 1800

	arguments, err := json.Marshal(map[string]any{"command": x.spec.Check, "intent": "Check that the goal is reached.", "timeout_seconds": checkSeconds})
	if err != nil {
		return fmt.Errorf("write the check's arguments: %w", err)
	}
	agent := x.agent()
	return x.pass(act, gate.Request{Agent: agent.Path, Step: agent.Step, Index: checkIndex, Tool: "bash", Arguments: string(arguments)})
}

func (x *execution) pass(act action, request gate.Request) error {
	return x.interruptible(func(ctx context.Context) error {
		var err error
		if act.call < 0 {
			_, err = x.gate.Do(ctx, request)
		} else {
			_, err = x.gate.Continue(ctx, act.call, request)
		}
		if err != nil && x.ctx.Err() == nil && x.stopping() {
			return nil // stopped while it waited for a person: the loop sees why
		}
		return err
	})
}

func (x *execution) stopping() (yes bool) {
	x.run.View(func(s *journal.State) { yes = s.Stop != "" || s.Status != journal.StatusRunning })
	return yes
}

func (x *execution) agent() (a *journal.Agent) {
	x.run.View(func(s *journal.State) { a = s.Agent("/") })
	return a
}

func (x *execution) watchDelta(d chat.Delta) {
	live := Live{Run: x.id(), Agent: "/"}
	switch {
	case d.Reasoning != "":
		live.Kind, live.Text = "reasoning", d.Reasoning
	case d.Content != "":
		live.Kind, live.Text = "content", d.Content
	default:
		live.Kind, live.Text = "call", d.ToolName+d.ToolArguments
	}
	x.runner.cfg.Watch(live)
}
