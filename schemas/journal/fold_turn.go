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
	}
	list := a.List.Keep(int(b.Kept)).Append(b.New...)
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
	err := s.agent(func(a *Agent) error {
		if b.Status != "lost" && a.Asked != b.Asked {
			return fmt.Errorf("answers %d, but agent %s waits for %d", b.Asked, a.Path, a.Asked)
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
	s.charge(b)
	return nil
}

// charge adds what an answer cost. An attempt that failed or was lost has cost something too.
func (s *step) charge(b *ModelAnswered) {
	if b.Status == "ok" || b.Status == "given" {
		s.Usage.Steps++
	}
	t := &s.Usage.Tokens
	t.Input += b.Tokens.Input
	t.Cached += b.Tokens.Cached
	t.Output += b.Tokens.Output
	t.Reasoning += b.Tokens.Reasoning
	if b.Estimated {
		s.Usage.Estimated += b.Tokens.Input + b.Tokens.Output
	}
	s.Usage.CostNUSD += b.CostNUSD
	if !b.Priced && b.Status != "given" {
		s.Usage.Unpriced++
	}
}

// compacted replaces the middle of a list.
func compacted(a *Agent, b *ContextCompacted) error {
	n := int64(a.List.Len())
	if b.Kept < 0 || b.Tail < 0 || b.Kept+b.Tail > n {
		return fmt.Errorf("keeps %d and %d of %d messages", b.Kept, b.Tail, n)
	}
	tail := a.List.Refs(int(n-b.Tail), int(n))
	list := a.List.Keep(int(b.Kept)).Append(b.New...).Append(tail...)
	if list.Head() != b.Head || int64(list.Len()) != b.Length {
		return fmt.Errorf("names list %s of %d, but it is %s of %d", b.Head, b.Length, list.Head(), list.Len())
	}
	a.List = list
	return nil
}
