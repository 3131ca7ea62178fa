package runner

import (
	"fmt"
	"slices"

	"tachograph/schemas/chat"
	"tachograph/schemas/journal"
)

// action is what an agent does next. It follows from the folded state alone, so a process that
// takes a run over goes on exactly where the one before it was.
type action struct {
	do    actionKind
	index int64  // of the call, for actCall
	call  int64  // its seq if it was proposed already, −1 if not
	extra string // for actAsk: a message of ours that the model has to see
	why   string // for actFail
}

type actionKind int

const (
	actAsk   actionKind = iota // ask the model
	actTake                    // take the answer that a fork gave
	actCall                    // run a call of the answer
	actCheck                   // run the spec's check
	actDone                    // the run is done
	actFail                    // the check failed
)

// checkIndex is the index of the call that the spec's check is.
const checkIndex = -1

const cutOff = "[tachograph] Your last answer was cut off at its token limit. Go on where you stopped, in smaller pieces."

// next decides. check says whether the spec has one.
func next(a *journal.Agent, check bool) action {
	switch {
	case !a.Turn.IsZero():
		return action{do: actTake}
	case a.Answer.IsZero():
		return action{do: actAsk}
	case a.Want > 0:
		return nextCall(a)
	case len(a.Notes) > 0:
		return action{do: actAsk}
	case a.Finish == chat.FinishLength:
		return action{do: actAsk, extra: cutOff}
	case !check:
		return action{do: actDone}
	}
	return nextCheck(a)
}

// nextCall is the first call of the answer, in its order, that has not ended.
func nextCall(a *journal.Agent) action {
	for index := range a.Want {
		i := slices.IndexFunc(a.Calls, func(c journal.Call) bool { return c.Index == index })
		if i < 0 {
			return action{do: actCall, index: index, call: -1}
		}
		if a.Calls[i].Phase != journal.CallIsEnded {
			return action{do: actCall, index: index, call: a.Calls[i].ID}
		}
	}
	return action{do: actAsk}
}

func nextCheck(a *journal.Agent) action {
	if len(a.Calls) == 0 {
		return action{do: actCheck, index: checkIndex, call: -1}
	}
	c := a.Calls[len(a.Calls)-1]
	switch {
	case c.Phase != journal.CallIsEnded:
		return action{do: actCheck, index: checkIndex, call: c.ID}
	case c.Status == "ok":
		return action{do: actDone}
	}
	return action{do: actFail, why: fmt.Sprintf("the check did not pass (call %d: %s)", c.ID, c.Status)}
}

// overBudget says which limit is reached, "" if none is.
func overBudget(l journal.Limits, u journal.Usage) string {
	tokens := u.Tokens.Input + u.Tokens.Output
	switch {
	case l.Steps > 0 && u.Steps >= l.Steps:
		return fmt.Sprintf("max_steps: %d of %d turns used", u.Steps, l.Steps)
	case l.Tokens > 0 && tokens >= l.Tokens:
		return fmt.Sprintf("budget.tokens: %d of %d used", tokens, l.Tokens)
	case l.CostNUSD > 0 && u.CostNUSD >= l.CostNUSD:
		return fmt.Sprintf("budget.cost_usd: %.4f of %.4f spent", float64(u.CostNUSD)/1e9, float64(l.CostNUSD)/1e9)
	case l.Seconds > 0 && u.ActiveUS >= l.Seconds*1e6:
		return fmt.Sprintf("budget.seconds: %d of %d used", u.ActiveUS/1e6, l.Seconds)
	}
	return ""
}
