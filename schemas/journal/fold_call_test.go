package journal_test

import (
	"testing"

	"tachograph/schemas/journal"
)

// callIn brings a new run's call 0 to a phase.
func callIn(t *testing.T, phase string) (r *recorder, call int64) {
	t.Helper()
	r = newRecorder(t, runID(1), nil)
	r.add("/", start(r.run))
	step := r.turn("/", "turn", 2)
	call = r.add("/", propose(step, 0, "bash"))
	decision := allow(call)
	switch phase {
	case journal.CallIsProposed:
		return r, call
	case journal.CallIsHeld:
		decision.Decision = "hold"
	case journal.CallIsDenied:
		decision.Decision = "deny"
	}
	r.add("/", decision)
	if phase == journal.CallIsStarted || phase == journal.CallIsEnded {
		r.add("/", r.started(call))
	}
	if phase == journal.CallIsEnded {
		r.add("/", ended(call, r.state.Root))
	}
	if _, c := r.state.Call(call); c.Phase != phase {
		t.Fatalf("call is %s, want %s", c.Phase, phase)
	}
	return r, call
}

// In each phase of a call exactly these entries may follow: the gate's rules.
func TestCallPhases(t *testing.T) {
	t.Parallel()
	may := map[string][]string{
		journal.CallIsProposed: {"decided"},
		journal.CallIsAllowed:  {"decided", "held", "started"},
		journal.CallIsHeld:     {"decided", "held", "approved", "refused", "expired", "ended skipped"},
		journal.CallIsDenied:   {"ended denied"},
		journal.CallIsStarted:  {"ended ok"},
		journal.CallIsEnded:    {},
	}
	for phase, allowed := range may {
		r, call := callIn(t, phase)
		_, c := r.state.Call(call)
		withStatus := func(status string) journal.Body {
			end := ended(call, r.state.Root)
			end.Status = status
			return end
		}
		ok := map[string]bool{}
		for _, name := range allowed {
			ok[name] = true
		}
		for name, body := range map[string]journal.Body{
			"decided":       allow(call),
			"held":          &journal.CallHeld{Call: call, Why: "alarm"},
			"approved":      &journal.CallApproved{Call: call, Proposed: c.Proposed, Policy: ref("policy"), Root: r.state.Root, By: ref("ada")},
			"refused":       &journal.CallRefused{Call: call, By: ref("ada")},
			"expired":       &journal.CallExpired{Call: call},
			"started":       r.started(call),
			"ended ok":      withStatus("ok"),
			"ended denied":  withStatus("denied"),
			"ended skipped": withStatus("skipped"),
			"ended fine":    withStatus("fine"),
		} {
			if accepted := tryEntry(t, r.state, imprint(r.state), r.draft("/", body)); accepted != ok[name] {
				t.Errorf("%s in phase %s: accepted %v", name, phase, accepted)
			}
		}
	}
}

func TestCallRefused(t *testing.T) {
	t.Parallel()
	r, call := callIn(t, journal.CallIsProposed)
	r.refuse("/", propose(1, 0, "bash"), "proposed already")
	r.refuse("/", propose(1, 2, "bash"), "call 2 of 2")
	r.refuse("/", propose(1, -1, "bash"), "call -1 of 2") // the spec's check comes after an answer without calls
	r.refuse("/", allow(call+1), "has no call")
	r.add("/", &journal.AgentSpawned{Path: "/1", Goal: ref("g"), Model: "m"})
	r.refuse("/1", allow(call), "agent /1 has no call")

	odd := allow(call)
	odd.Decision = "maybe"
	r.refuse("/", odd, "none of allow, hold, deny")
	odd = allow(call)
	odd.Errors = 1
	r.refuse("/", odd, "policy errors")
	odd.Decision = "hold"
	r.refuse("/", odd, "policy errors")
	odd.Decision = "deny"
	r.add("/", odd)

	end := ended(call, object("changed"))
	end.Status = "denied"
	r.refuse("/", end, "never started, but changed the workspace")
	end.Root, end.Status = r.state.Root, "refused"
	r.refuse("/", end, "was denied, not refused")

	r, call = callIn(t, journal.CallIsAllowed)
	begin := r.started(call)
	begin.Attempt = 2
	r.refuse("/", begin, "attempt 2 after 0")
	begin = r.started(call)
	begin.Root = object("elsewhere")
	r.refuse("/", begin, "where the workspace is at")
}

// Invariant: an approval holds for the call, the policy and the workspace that the person saw.
func TestApprovalBinds(t *testing.T) {
	t.Parallel()
	approve := func(r *recorder, call int64) *journal.CallApproved {
		_, c := r.state.Call(call)
		return &journal.CallApproved{Call: call, Proposed: c.Proposed, Policy: r.state.Policy, Root: r.state.Root, By: ref("ada")}
	}
	r, call := callIn(t, journal.CallIsHeld)
	other := approve(r, call)
	other.Proposed = hash("other call")
	r.refuse("/", other, "was proposed as")

	for name, change := range map[string]journal.Body{
		"policy":    &journal.PolicyChanged{Policy: ref("policy 2")},
		"workspace": &journal.WorkspaceTouched{By: "person", Root: object("touched")},
	} {
		r, call := callIn(t, journal.CallIsHeld)
		r.add("/", approve(r, call))
		r.add("/", change)
		r.refuse("/", r.started(call), "to be decided again")
		again := allow(call)
		again.Policy = r.state.Policy
		r.add("/", again)
		r.add("/", r.started(call))
		if _, c := r.state.Call(call); c.Approved {
			t.Errorf("%s changed and was decided again, but the call counts as approved by a person", name)
		}
	}

	r, call = callIn(t, journal.CallIsHeld)
	r.add("/", approve(r, call))
	r.add("/", r.started(call))
}

// The check of a spec is a call that no model asked for.
func TestCheckCall(t *testing.T) {
	t.Parallel()
	r := newRecorder(t, runID(1), nil)
	r.add("/", start(r.run))
	r.refuse("/", propose(1, -1, "bash"), "call -1 of 0") // before any answer
	step := r.turn("/", "done", 0)
	call := r.allowed("/", step, -1)
	r.add("/", r.started(call))
	r.add("/", ended(call, r.state.Root))
	r.refuse("/", propose(step, -1, "bash"), "proposed already")
}
