package journaltest

import (
	"encoding/json"
	"fmt"
	"slices"

	"tachograph/schemas/journal"
)

// Next says what could be appended to the state, and by which agent.
func (g *Story) Next(s *journal.State) (agent string, body journal.Body, err error) {
	if s.Status == journal.StatusPaused && g.chance(80) {
		return "/", &journal.Resumed{By: g.text()}, nil
	}
	if g.chance(4) {
		body, err := g.run(s)
		return "/", body, err
	}
	a := g.agent(s)
	if g.chance(6) {
		return a.Path, g.social(s, a), nil
	}
	return a.Path, g.turn(s, a), nil
}

// agent picks one that can act; the root always can.
func (g *Story) agent(s *journal.State) *journal.Agent {
	live := slices.DeleteFunc(s.Agents(), func(a *journal.Agent) bool { return !a.Live() })
	if len(live) == 0 {
		return s.Agent("/")
	}
	return live[g.rng.IntN(len(live))]
}

// run is something that concerns the whole run.
func (g *Story) run(s *journal.State) (journal.Body, error) {
	switch g.rng.IntN(13) {
	case 0:
		return &journal.WorkspaceTouched{By: g.pick("recovery", "person"), Root: g.root(), Delta: g.text(), Files: g.rng.Int64N(9)}, nil
	case 1:
		return &journal.WorkspaceMerged{From: s.Run, FromRoot: g.root(), Root: g.root(), Delta: g.text(), Files: 3, Conflicts: 1}, nil
	case 2, 3, 4:
		return &journal.Snapshot{Why: g.pick("interval", "risky", "asked"), Root: s.Root, LeftOut: s.LeftOut}, nil
	case 5:
		return g.rollBack(s), nil
	case 6:
		return &journal.AlarmRaised{Alarm: "story.alarm", Reason: g.text(), Hold: g.chance(30)}, nil
	case 7:
		return &journal.PolicyChanged{Policy: g.text(), By: g.text()}, nil
	case 8:
		return &journal.LimitChanged{Limits: g.limits()}, nil
	case 9:
		return &journal.Paused{Why: g.pick("asked", "budget", "alarm"), By: g.text()}, nil
	case 10:
		return &journal.Stopped{By: g.text(), Now: g.chance(50)}, nil
	case 11:
		return g.recover(s)
	}
	return &journal.Checkpoint{Root: s.Root}, nil
}

func (g *Story) rollBack(s *journal.State) journal.Body {
	to := s.Target()
	if to == nil {
		return &journal.Snapshot{Why: "asked", Root: s.Root, LeftOut: s.LeftOut}
	}
	return &journal.RolledBack{To: to.Seq, Root: to.Root, Message: g.text(), Reason: g.text()}
}

// recover is what a new owner writes after the old one died in this state.
func (g *Story) recover(s *journal.State) (journal.Body, error) {
	if g.Take == nil {
		return &journal.Note{Name: "note.story", Raw: json.RawMessage(fmt.Sprintf(`{"at":%d}`, s.Next))}, nil
	}
	b := &journal.Recovered{}
	for _, a := range s.Agents() {
		if a.Asked >= 0 {
			b.Lost = append(b.Lost, a.Asked)
		}
		for _, c := range a.Calls {
			switch {
			case c.Phase != journal.CallIsStarted:
			case g.chance(50):
				b.Doubt = append(b.Doubt, c.ID)
			default:
				b.Rerun = append(b.Rerun, c.ID)
			}
		}
	}
	return b, g.Take()
}

// social is what an agent does besides its turns.
func (g *Story) social(s *journal.State, a *journal.Agent) journal.Body {
	agents := s.Agents()
	switch g.rng.IntN(6) {
	case 0, 1:
		if len(agents) < g.MaxAgents {
			return &journal.AgentSpawned{Path: childPath(s, a.Path), Goal: g.text(), Model: "script/child"}
		}
		for _, child := range agents {
			if child.Live() && child.Path != "/" && len(child.Calls) == 0 && child.Asked < 0 {
				return &journal.AgentEnded{Path: child.Path, Outcome: g.pick("done", "failed"), Result: g.text()}
			}
		}
	case 2:
		return &journal.MessageSent{To: agents[g.rng.IntN(len(agents))].Path, Body: g.text()}
	case 3:
		n := int64(len(s.Tasks()))
		return &journal.TaskChanged{Task: 1 + g.rng.Int64N(min(n, 20)+1), Status: g.pick("open", "running", "done"), Title: g.text(),
			Agent: a.Path, After: []int64{}}
	case 4:
		for _, m := range s.Mail {
			if m.To == a.Path {
				return &journal.MessageReceived{Sent: m.Sent}
			}
		}
	}
	return &journal.Intent{Text: g.text(), Source: g.pick("declared", "derived")}
}

func childPath(s *journal.State, parent string) string {
	if parent == "/" {
		parent = ""
	}
	for n := 1; ; n++ {
		if path := fmt.Sprintf("%s/%d", parent, n); s.Agent(path) == nil {
			return path
		}
	}
}

// turn takes an agent's turn one entry further.
func (g *Story) turn(s *journal.State, a *journal.Agent) journal.Body {
	for _, c := range a.Calls {
		if c.Phase != journal.CallIsEnded {
			return g.call(s, c)
		}
	}
	switch {
	case a.Asked >= 0:
		return g.answer(a)
	case !a.Answer.IsZero() && len(a.Calls) < int(a.Want):
		return g.propose(a, int64(len(a.Calls)))
	case !a.Answer.IsZero() && a.Want == 0 && len(a.Calls) == 0 && g.chance(20):
		return g.propose(a, -1)
	case a.List.Len() > 30 && g.chance(10):
		return g.compact(a)
	}
	return g.ask(a)
}

func (g *Story) answer(a *journal.Agent) journal.Body {
	b := &journal.ModelAnswered{Asked: a.Asked, Status: "ok", Finish: "tool_calls", Calls: g.rng.Int64N(4), Raw: g.text(), Priced: g.chance(80),
		Tokens: journal.Tokens{Input: 1 + g.rng.Int64N(9000), Cached: g.rng.Int64N(100), Output: g.rng.Int64N(900)}, CostNUSD: g.rng.Int64N(1e6)}
	switch {
	case !a.Turn.IsZero():
		b.Status, b.Message, b.Tokens, b.CostNUSD = "given", a.Turn, journal.Tokens{}, 0
	case g.chance(5):
		b.Status, b.Error, b.Calls, b.Estimated = "failed", g.text(), 0, true
	default:
		b.Message = g.text()
	}
	return b
}

// ask sends the list with what is new: as a rule all of it, now and then edited.
func (g *Story) ask(a *journal.Agent) journal.Body {
	kept := a.List.Len()
	var fresh []journal.Ref
	switch {
	case kept == 0:
		fresh = append(fresh, g.text(), g.text())
	case g.chance(2):
		kept -= g.rng.IntN(min(kept, 5))
	}
	if !a.Answer.IsZero() {
		fresh = append(fresh, a.Answer)
	}
	for _, c := range a.Calls {
		fresh = append(fresh, c.Message)
	}
	fresh = append(fresh, a.Notes...)
	list := must(a.List.Keep(kept)).Append(fresh...)
	b := &journal.ModelAsked{Step: a.Step + 1, Attempt: 1, Model: a.Model, Kept: int64(kept), New: fresh, Head: list.Head(),
		Length: int64(list.Len()), Frame: g.Stage([]byte(`{"model":"story","messages":[]}`)), At: 28}
	if a.Step > 0 && a.Answer.IsZero() {
		b.Step, b.Attempt = a.Step, a.Attempt+1
	}
	return b
}

func (g *Story) compact(a *journal.Agent) journal.Body {
	kept, tail := g.rng.IntN(3), g.rng.IntN(10)
	note := g.text()
	list := must(a.List.Compact(kept, tail, note))
	return &journal.ContextCompacted{Kept: int64(kept), New: []journal.Ref{note}, Tail: int64(tail), Head: list.Head(), Length: int64(list.Len())}
}

// must is for lists that are here as a whole, as those of a run that is written are.
func must(l journal.List, err error) journal.List {
	if err != nil {
		panic("journaltest: " + err.Error())
	}
	return l
}

func (g *Story) propose(a *journal.Agent, index int64) journal.Body {
	return &journal.CallProposed{Step: a.Step, Index: index, Tool: g.pick("bash", "fs.read", "fs.write", "http"), Args: g.text(), Intent: -1,
		Effect: g.pick("none", "read", "write", "delete"), Scope: g.pick("workspace", "machine", "external"), Targets: g.text()}
}

// call takes a call one phase further.
func (g *Story) call(s *journal.State, c journal.Call) journal.Body {
	switch c.Phase {
	case journal.CallIsProposed:
		return g.decide(s, c, g.pick("allow", "allow", "allow", "allow", "hold", "deny"))
	case journal.CallIsHeld:
		return g.held(s, c)
	case journal.CallIsDenied:
		return g.ended(s, c, c.Status)
	case journal.CallIsStarted:
		return g.ended(s, c, g.pick("ok", "ok", "ok", "error", "timeout", "killed"))
	}
	if c.Approved && (c.Policy != s.Policy || c.Root != s.Root) {
		return g.decide(s, c, "allow")
	}
	if g.chance(3) {
		return &journal.CallHeld{Call: c.ID, Why: "alarm"}
	}
	return &journal.CallStarted{Call: c.ID, Attempt: c.Attempt + 1, Root: s.Root}
}

func (g *Story) decide(s *journal.State, c journal.Call, decision string) journal.Body {
	return &journal.CallDecided{Call: c.ID, Decision: decision, Engine: "cedar", Policy: s.Policy, Reasons: g.text()}
}

func (g *Story) held(s *journal.State, c journal.Call) journal.Body {
	switch g.rng.IntN(6) {
	case 0:
		return &journal.CallRefused{Call: c.ID, By: g.text(), Reason: g.text()}
	case 1:
		return &journal.CallExpired{Call: c.ID}
	case 2:
		return g.ended(s, c, "skipped")
	case 3:
		return g.decide(s, c, "allow")
	}
	return &journal.CallApproved{Call: c.ID, Proposed: c.Proposed, Policy: s.Policy, Root: s.Root, By: g.text()}
}

func (g *Story) ended(s *journal.State, c journal.Call, status string) journal.Body {
	b := &journal.CallEnded{Call: c.ID, Status: status, Message: g.text(), Root: s.Root, LeftOut: s.LeftOut, Observed: "none", MicroSec: g.rng.Int64N(1e6)}
	if c.Phase == journal.CallIsStarted && g.chance(50) {
		b.Root, b.Delta, b.Files, b.Added, b.Observed = g.root(), g.text(), 1+g.rng.Int64N(3), g.rng.Int64N(50), "write"
		if c.Tool == "bash" {
			b.Session = g.text()
		}
	}
	return b
}
