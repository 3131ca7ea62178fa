package runner

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"tachograph/schemas/chat"
	"tachograph/schemas/journal"
)

// TestNext: what an agent does next follows from its state alone.
func TestNext(t *testing.T) {
	t.Parallel()
	some := journal.Ref{1}
	ended := journal.Call{ID: 9, Phase: journal.CallIsEnded, Status: "ok"}
	call := func(index int64, phase string) journal.Call {
		return journal.Call{ID: 10 + index, Index: index, Phase: phase}
	}
	for name, c := range map[string]struct {
		agent journal.Agent
		check bool
		want  action
	}{
		"at the start":             {journal.Agent{}, true, action{do: actAsk}},
		"a turn given by a fork":   {journal.Agent{Turn: some, Answer: some}, true, action{do: actTake}},
		"first of two calls":       {journal.Agent{Answer: some, Want: 2}, true, action{do: actCall, index: 0, call: -1}},
		"second of two calls":      {journal.Agent{Answer: some, Want: 2, Calls: []journal.Call{call(0, journal.CallIsEnded)}}, true, action{do: actCall, index: 1, call: -1}},
		"a call that is held":      {journal.Agent{Answer: some, Want: 2, Calls: []journal.Call{call(0, journal.CallIsEnded), call(1, journal.CallIsHeld)}}, true, action{do: actCall, index: 1, call: 11}},
		"all calls ended":          {journal.Agent{Answer: some, Want: 1, Calls: []journal.Call{call(0, journal.CallIsEnded)}}, true, action{do: actAsk}},
		"final answer":             {journal.Agent{Answer: some, Finish: chat.FinishStop}, false, action{do: actDone}},
		"final answer cut off":     {journal.Agent{Answer: some, Finish: chat.FinishLength}, false, action{do: actAsk, extra: cutOff}},
		"final answer, a message":  {journal.Agent{Answer: some, Notes: []journal.Ref{some}}, true, action{do: actAsk}},
		"final answer, to check":   {journal.Agent{Answer: some}, true, action{do: actCheck, index: checkIndex, call: -1}},
		"check under way":          {journal.Agent{Answer: some, Calls: []journal.Call{{ID: 7, Index: -1, Phase: journal.CallIsAllowed}}}, true, action{do: actCheck, index: checkIndex, call: 7}},
		"check passed":             {journal.Agent{Answer: some, Calls: []journal.Call{ended}}, true, action{do: actDone}},
		"check did not pass":       {journal.Agent{Answer: some, Calls: []journal.Call{{ID: 7, Phase: journal.CallIsEnded, Status: "error"}}}, true, action{do: actFail, why: "the check did not pass (call 7: error)"}},
		"check was denied":         {journal.Agent{Answer: some, Calls: []journal.Call{{ID: 7, Phase: journal.CallIsEnded, Status: "denied"}}}, true, action{do: actFail, why: "the check did not pass (call 7: denied)"}},
		"check failed, and a word": {journal.Agent{Answer: some, Notes: []journal.Ref{some}, Calls: []journal.Call{{Phase: journal.CallIsEnded, Status: "error"}}}, true, action{do: actAsk}},
	} {
		if got := next(&c.agent, c.check); got != c.want {
			t.Errorf("%s: %s", name, cmp.Diff(c.want, got, cmp.AllowUnexported(action{})))
		}
	}
}

func TestOverBudget(t *testing.T) {
	t.Parallel()
	limits := journal.Limits{Steps: 10, Tokens: 1000, CostNUSD: 5e9, Seconds: 60}
	within := journal.Usage{Steps: 9, Tokens: journal.Tokens{Input: 900, Output: 99}, CostNUSD: 5e9 - 1, ActiveUS: 60e6 - 1}
	if over := overBudget(limits, within); over != "" {
		t.Errorf("within every limit: %s", over)
	}
	if over := overBudget(journal.Limits{}, journal.Usage{Steps: 1e9, CostNUSD: 1e15}); over != "" {
		t.Errorf("without limits: %s", over)
	}
	for _, spend := range []func(*journal.Usage){
		func(u *journal.Usage) { u.Steps++ },
		func(u *journal.Usage) { u.Tokens.Output++ },
		func(u *journal.Usage) { u.CostNUSD++ },
		func(u *journal.Usage) { u.ActiveUS++ },
	} {
		u := within
		spend(&u)
		if overBudget(limits, u) == "" {
			t.Errorf("%+v is within the limits", u)
		}
	}
}
