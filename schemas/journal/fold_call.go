package journal

import (
	"fmt"
	"slices"
)

// call folds the entries of a tool call. The phases that each may follow are the gate's rules:
//
//	proposed ─decided→ allowed ─────────────────────────────→ started ─→ ended
//	                 ↘ held ─approved→ allowed (or decided again)  ↑
//	                 ↘ denied ─→ ended (refused, expired too)      └ rerun after a crash
func (s *step) call(body Body) error {
	switch b := body.(type) {
	case *CallProposed:
		return s.callProposed(b)
	case *CallEnded:
		return s.callEnded(b)
	case *CallDecided:
		return s.moveCall(b.Call, func(c *Call) error { return decided(c, b) })
	case *CallHeld:
		return s.moveCall(b.Call, func(c *Call) error {
			return c.move(CallIsHeld, func() { c.Why, c.Until, c.Approved = b.Why, b.Until, false }, CallIsHeld, CallIsAllowed)
		})
	case *CallApproved:
		return s.moveCall(b.Call, func(c *Call) error {
			if b.Proposed != c.Proposed {
				return fmt.Errorf("approves %s, but call %d was proposed as %s", b.Proposed, c.ID, c.Proposed)
			}
			return c.move(CallIsAllowed, func() { c.Approved, c.Policy, c.Root = true, b.Policy, b.Root }, CallIsHeld)
		})
	case *CallRefused:
		return s.moveCall(b.Call, func(c *Call) error {
			return c.move(CallIsDenied, func() { c.Status = "refused" }, CallIsHeld)
		})
	case *CallExpired:
		return s.moveCall(b.Call, func(c *Call) error {
			return c.move(CallIsDenied, func() { c.Status = "expired" }, CallIsHeld)
		})
	case *CallStarted:
		return s.callStarted(b)
	}
	return ErrUnknownKind
}

func (s *step) callProposed(b *CallProposed) error {
	return s.agent(func(a *Agent) error {
		// The spec's check is a call that no model asked for: it follows an answer without calls.
		check := b.Index == -1 && a.Want == 0 && !a.Answer.IsZero()
		if !check && (b.Index < 0 || b.Index >= a.Want) {
			return fmt.Errorf("call %d of %d that the answer asks for", b.Index, a.Want)
		}
		if slices.ContainsFunc(a.Calls, func(c Call) bool { return c.Index == b.Index }) {
			return fmt.Errorf("call %d of the answer was proposed already", b.Index)
		}
		a.Calls = append(a.Calls, Call{ID: s.entry.Seq, Index: b.Index, Tool: b.Tool, Args: b.Args, Intent: b.Intent,
			Effect: b.Effect, Scope: b.Scope, Idempotent: b.Idempotent, Targets: b.Targets,
			Phase: CallIsProposed, Proposed: s.hash})
		return nil
	})
}

func decided(c *Call, b *CallDecided) error {
	var to string
	switch b.Decision {
	case "allow":
		to = CallIsAllowed
	case "hold":
		to = CallIsHeld
	case "deny":
		to = CallIsDenied
	default:
		return fmt.Errorf("decision %.20q is none of allow, hold, deny", b.Decision)
	}
	if b.Errors < 0 || b.Errors > 0 && b.Decision != "deny" {
		return fmt.Errorf("decision %s with %d policy errors, any of which means deny", b.Decision, b.Errors)
	}
	return c.move(to, func() {
		c.Policy, c.Approved, c.Status, c.Why = b.Policy, false, "", ""
		switch to {
		case CallIsHeld:
			c.Why = "policy"
		case CallIsDenied:
			c.Status = "denied"
		}
	}, CallIsProposed, CallIsAllowed, CallIsHeld)
}

func (s *step) callStarted(b *CallStarted) error {
	if err := s.sameRoot(b.Root); err != nil {
		return err
	}
	return s.moveCall(b.Call, func(c *Call) error {
		if b.Attempt != c.Attempt+1 {
			return fmt.Errorf("attempt %d after %d", b.Attempt, c.Attempt)
		}
		// Invariant: an approval holds for the policy and the workspace that the person saw.
		if c.Approved && (c.Policy != s.Policy || c.Root != b.Root) {
			return fmt.Errorf("call %d was approved under policy %s and root %s, which are not those of now: it is to be decided again",
				c.ID, c.Policy, c.Root)
		}
		return c.move(CallIsStarted, func() { c.Attempt, c.Root = b.Attempt, b.Root }, CallIsAllowed)
	})
}

func (s *step) callEnded(b *CallEnded) error {
	err := s.moveCall(b.Call, func(c *Call) error {
		from := CallIsStarted
		switch b.Status {
		case "ok", "error", "timeout", "killed":
		case "denied", "refused", "expired":
			from = CallIsDenied
		case "skipped":
			from = CallIsHeld
		default:
			return fmt.Errorf("status %.20q is none that a call ends with", b.Status)
		}
		switch {
		case from == CallIsDenied && c.Phase == from && c.Status != b.Status:
			return fmt.Errorf("call %d was %s, not %s", c.ID, c.Status, b.Status)
		case from != CallIsStarted && b.Root != s.Root:
			return fmt.Errorf("call %d never started, but changed the workspace from %s to %s", c.ID, s.Root, b.Root)
		}
		return c.move(CallIsEnded, func() { c.Status, c.Message = b.Status, b.Message }, from)
	})
	if err != nil {
		return err
	}
	if !b.Session.IsZero() {
		s.agent(func(a *Agent) error { a.Session = b.Session; return nil })
	}
	s.Root = b.Root
	s.LeftOut = b.LeftOut
	s.Usage.Calls++
	return nil
}

// move changes the phase if the present one is among from.
func (c *Call) move(to string, change func(), from ...string) error {
	if !slices.Contains(from, c.Phase) {
		return fmt.Errorf("call %d is %s", c.ID, c.Phase)
	}
	c.Phase = to
	change()
	return nil
}

// moveCall changes a copy of a call of the entry's agent.
func (s *step) moveCall(id int64, change func(*Call) error) error {
	return s.agent(func(a *Agent) error {
		i := slices.IndexFunc(a.Calls, func(c Call) bool { return c.ID == id })
		if i < 0 {
			return fmt.Errorf("agent %s has no call %d", a.Path, id)
		}
		return change(&a.Calls[i])
	})
}
