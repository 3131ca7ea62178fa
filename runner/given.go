package runner

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"tachograph/runner/state"
	"tachograph/schemas/chat"
	"tachograph/schemas/journal"
)

// maxGiven bounds the result that a fork gives of one call, in bytes: the model is told all of it. A
// tool's own results are shown to the model in parts of 32 KiB.
const maxGiven = 1 << 20

// givenResult is what a fork tells the model of a call.
type givenResult struct {
	call    int64
	message chat.Message
}

// results makes the messages of a change, in the order of their calls, and refuses what the model of
// a fork at this state would never be told.
func (c Change) results(ctx context.Context, from *state.Run, at *journal.State) ([]givenResult, error) {
	var all []givenResult
	for _, id := range slices.Sorted(maps.Keys(c.Results)) {
		text := c.Results[id]
		switch {
		case len(text) > maxGiven:
			return nil, fmt.Errorf("the result given of call %d has %d bytes; at most %d are taken, because the model is told all of it", id, len(text), maxGiven)
		case !utf8.ValidString(text):
			return nil, fmt.Errorf("the result given of call %d is not UTF-8 text, and a model can be told nothing else", id)
		}
		agent, call := at.Call(id)
		if id < 0 || call == nil {
			return nil, notOfNewestAnswer(ctx, from, at, id)
		}
		if call.Index == checkIndex {
			return nil, fmt.Errorf("call %d is the spec's check: no model is told its result", id)
		}
		toolCall, err := toolCallID(ctx, from, agent, call)
		if err != nil {
			return nil, err
		}
		all = append(all, givenResult{id, chat.ToolResult(toolCall, text)})
	}
	return all, nil
}

// toolCallID is how the model named a call of the agent's newest answer.
func toolCallID(ctx context.Context, from *state.Run, agent *journal.Agent, call *journal.Call) (string, error) {
	answer, err := from.Content(ctx, agent.Answer)
	if err != nil {
		return "", fmt.Errorf("read the answer that asked for call %d: %w", call.ID, err)
	}
	parsed, err := chat.Parse(answer)
	if err != nil || call.Index >= int64(len(parsed.ToolCalls)) {
		return "", fmt.Errorf("the answer that asked for call %d does not hold it", call.ID)
	}
	return parsed.ToolCalls[call.Index].ID, nil
}

// notOfNewestAnswer says why a result cannot be given there, and where it can.
func notOfNewestAnswer(ctx context.Context, from *state.Run, at *journal.State, id int64) error {
	last := at.Next - 1
	if id > last {
		return fmt.Errorf("call %d has not been asked for at entry %d: fork after a later entry", id, last)
	}
	until, agent := int64(-1), ""
	if id >= 0 {
		for line, err := range from.Entries(ctx, id) {
			if err != nil {
				return err
			}
			e, err := journal.Decode(line)
			if err != nil {
				return err
			}
			if e.Seq == id && e.Kind != journal.KindCallProposed {
				break
			}
			if e.Seq == id {
				agent = e.Agent
			}
			if e.Kind == journal.KindModelAsked && e.Agent == agent || e.Seq > last {
				until = e.Seq
				break
			}
		}
	}
	if until < 0 {
		return fmt.Errorf("entry %d is not a tool call of this run (`tacho show` lists them; a call of its parent is changed in a fork of the parent)", id)
	}
	return fmt.Errorf("the model was told the result of call %d with entry %d: to tell it another, fork after entry %d or before it (--seq %d)", id, until, until-1, until-1)
}
