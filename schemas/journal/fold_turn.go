package journal

import (
	"fmt"
	"slices"
)

// modelAsked makes the list what is sent, and begins a turn.
func modelAsked(a *Agent, b *ModelAsked, seq int64) error {
	switch {
	case a.Asked >= 0:
		return fmt.Errorf("agent %s waits for the answer to %d", a.Path, a.Asked)
	case b.Kept < 0 || b.Kept > int64(a.List.Len()):
		return fmt.Errorf("keeps %d of %d messages", b.Kept, a.List.Len())
	case !allEnded(a.Calls):
		return fmt.Errorf("agent %s has a call that has not ended", a.Path)
	case !a.Live():
		return fmt.Errorf("agent %s is %s", a.Path, a.Status)
	case !(b.Step == a.Step+1 && b.Attempt == 1) && !(b.Step == a.Step && b.Attempt == a.Attempt+1):
		return fmt.Errorf("attempt %d of step %d after attempt %d of step %d", b.Attempt, b.Step, a.Attempt, a.Step)
	}
	list, err := a.List.Keep(int(b.Kept))
	if err != nil {
		return err
	}
	list = list.Append(b.New...)
	if list.Head() != b.Head || int64(list.Len()) != b.Length {
		return fmt.Errorf("names list %s of %d, but it is %s of %d", b.Head, b.Length, list.Head(), list.Len())
	}
	a.List, a.Asked, a.Step, a.Attempt, a.Model = list, seq, b.Step, b.Attempt, b.Model
	a.Answer, a.Finish, a.Want, a.Calls, a.Notes = Ref{}, "", 0, nil, nil
	return nil
}

func allEnded(calls []Call) bool {
	return !slices.ContainsFunc(calls, func(c Call) bool { return c.Phase != CallIsEnded })
}

func (s *step) modelAnswered(b *ModelAnswered) error {
	usage, err := s.Usage.charge(b)
	if err != nil {
		return err
	}
	err = s.agent(func(a *Agent) error {
		if err := answers(a, b); err != nil {
			return err
		}
		if a.Asked == b.Asked {
			a.Asked = -1
		}
		if b.Status == "ok" || b.Status == "given" {
			a.Answer, a.Finish, a.Want = b.Message, b.Finish, b.Calls
		}
		if b.Status == "given" {
			a.Turn = Ref{}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.Usage = usage
	return nil
}

// answers says whether the agent waits for this answer. A lost attempt is charged after recovered
// has taken the question back, so there the agent need not wait for it any more.
func answers(a *Agent, b *ModelAnswered) error {
	switch b.Status {
	case "ok", "given":
		switch {
		case b.Message.IsZero() || b.Calls < 0:
			return fmt.Errorf("answer without a message, or with %d calls", b.Calls)
		case b.Status == "given" && b.Message != a.Turn:
			return fmt.Errorf("gives the turn %s where the fork set %q", b.Message, a.Turn)
		}
	case "failed", "lost":
	default:
		return fmt.Errorf("status %.20q is none of ok, given, failed, lost", b.Status)
	}
	if b.Asked < 0 || b.Status != "lost" && a.Asked != b.Asked {
		return fmt.Errorf("answers %d, but agent %s waits for %d", b.Asked, a.Path, a.Asked)
	}
	return nil
}

// charge adds what an answer cost. An attempt that failed or was lost has cost something too.
func (u Usage) charge(b *ModelAnswered) (Usage, error) {
	if b.Status == "ok" || b.Status == "given" {
		u.Steps++
	}
	if !b.Priced && b.Status != "given" {
		u.Unpriced++
	}
	var estimated int64
	if b.Estimated {
		estimated = b.Tokens.Input + b.Tokens.Output
	}
	for _, sum := range []struct {
		of   *int64
		more int64
	}{
		{&u.Tokens.Input, b.Tokens.Input}, {&u.Tokens.Cached, b.Tokens.Cached}, {&u.Tokens.Output, b.Tokens.Output},
		{&u.Tokens.Reasoning, b.Tokens.Reasoning}, {&u.Estimated, estimated}, {&u.CostNUSD, b.CostNUSD},
	} {
		if sum.more < 0 || sum.more > MaxInt-*sum.of {
			return u, fmt.Errorf("charges %d where %d were spent", sum.more, *sum.of)
		}
		*sum.of += sum.more
	}
	return u, nil
}

func (l Limits) check() error {
	if min(l.Steps, l.Tokens, l.CostNUSD, l.Seconds) < 0 {
		return fmt.Errorf("limits %+v: less than none", l)
	}
	return nil
}

// compacted replaces the middle of a list.
func compacted(a *Agent, b *ContextCompacted) error {
	n := int64(a.List.Len())
	if b.Kept < 0 || b.Tail < 0 || b.Kept+b.Tail > n {
		return fmt.Errorf("keeps %d and %d of %d messages", b.Kept, b.Tail, n)
	}
	list, err := a.List.Compact(int(b.Kept), int(b.Tail), b.New...)
	if err != nil {
		return err
	}
	if list.Head() != b.Head || int64(list.Len()) != b.Length {
		return fmt.Errorf("names list %s of %d, but it is %s of %d", b.Head, b.Length, list.Head(), list.Len())
	}
	a.List = list
	return nil
}
