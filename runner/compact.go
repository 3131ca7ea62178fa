package runner

import (
	"errors"
	"fmt"

	"tachograph/schemas/chat"
	"tachograph/schemas/journal"
)

// headMessages stay through every compaction: the system prompt and the goal.
const headMessages = 2

// compact drops the middle of a conversation that is too long for the model, and tells the agent
// so. What was dropped stays in the journal. force drops even below the limit, because the
// provider refused the length.
func (x *execution) compact(force bool) error {
	agent := x.agent()
	if err := x.talk.follow(x.ctx, x.run, agent.List); err != nil {
		return err
	}
	most, keep := x.spec.Context.limits()
	size := estimate(x.talk.bytes)
	if !force && size <= most {
		return nil
	}
	if force {
		keep = min(keep, size/2)
	}
	tail, ok := x.talk.compaction(headMessages, keep)
	if !ok {
		if force {
			return errors.New("nothing in the conversation can be dropped")
		}
		return nil
	}
	dropped := agent.List.Len() - headMessages - tail
	note := chat.User(fmt.Sprintf("[tachograph] The %d messages that stood here were dropped to keep the conversation within "+
		"the model's limits. The files in the workspace are as you left them: read them again where you need to.", dropped))
	ref := x.run.Stage(note)
	list, err := agent.List.Compact(headMessages, tail, ref)
	if err != nil {
		return err
	}
	_, err = x.run.Append(x.ctx, x.root(&journal.ContextCompacted{Kept: headMessages, New: []journal.Ref{ref},
		Tail: int64(tail), Head: list.Head(), Length: int64(list.Len())}))
	if err != nil {
		return fmt.Errorf("record the compaction: %w", err)
	}
	return x.talk.follow(x.ctx, x.run, list)
}
