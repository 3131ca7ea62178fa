package journal_test

import (
	"encoding/json"
	"testing"

	"tachograph/schemas/journal"
)

// story is a short run in which every kind happens at least once.
func story(t testing.TB) *recorder {
	t.Helper()
	r := newRecorder(t, runID(1), nil)
	r.add("/", start(r.run))
	r.add("/", &journal.Snapshot{Why: "started", Root: r.state.Root, LeftOut: 2})
	r.storyOfCalls()
	r.storyOfAgents()
	r.storyOfControl()
	r.storyOfRecovery()
	r.add("/", &journal.Stopped{By: ref("ada"), Now: true})
	r.add("/", &journal.Snapshot{Why: "ended", Root: r.state.Root, LeftOut: r.state.LeftOut})
	r.add("/", &journal.RunEnded{Outcome: "stopped", Reason: ref("asked to"), Root: r.state.Root})
	r.add("/", &journal.Note{Name: "note.review", Raw: json.RawMessage(`{"by":"audit","seen":true}`)})
	return r
}

// storyOfCalls has one call of every way that a call can go.
func (r *recorder) storyOfCalls() {
	step := r.turn("/", "first", 5)
	intent := r.add("/", &journal.Intent{Text: ref("to find the bug"), Source: "declared"})

	ok := propose(step, 0, "bash")
	ok.Intent = intent
	call := r.add("/", ok)
	r.add("/", allow(call))
	r.add("/", r.started(call))
	end := ended(call, object("tree after bash"))
	end.Session, end.Delta, end.Output, end.LeftOut = ref("session"), ref("delta"), ref("output"), 3
	r.add("/", end)

	held := r.add("/", propose(step, 1, "http"))
	hold := allow(held)
	hold.Decision = "hold"
	r.add("/", hold)
	r.add("/", &journal.CallHeld{Call: held, Why: "policy", Until: "2026-11-24T00:00:00Z"})
	_, c := r.state.Call(held)
	r.add("/", &journal.CallApproved{Call: held, Proposed: c.Proposed, Policy: r.state.Policy, Root: r.state.Root, By: ref("ada")})
	begin := r.started(held)
	begin.Key = "key-1"
	r.add("/", begin)
	r.add("/", ended(held, object("tree after http")))

	for index, end := range []journal.Body{
		&journal.CallRefused{By: ref("ada"), Reason: ref("no")}, &journal.CallExpired{}, nil,
	} {
		r.notStarted(step, int64(index+2), end)
	}
}

// notStarted has a call refused, expired, or denied by policy.
func (r *recorder) notStarted(step, index int64, answer journal.Body) {
	call := r.add("/", propose(step, index, "bash"))
	decision, status := "hold", ""
	switch b := answer.(type) {
	case *journal.CallRefused:
		b.Call, status = call, "refused"
	case *journal.CallExpired:
		b.Call, status = call, "expired"
	default:
		decision, status = "deny", "denied"
	}
	decided := allow(call)
	decided.Decision = decision
	r.add("/", decided)
	if answer != nil {
		r.add("/", answer)
	}
	end := ended(call, r.state.Root)
	end.Status, end.Observed = status, "none"
	r.add("/", end)
}

// storyOfAgents has a second agent with a task, and messages.
func (r *recorder) storyOfAgents() {
	r.add("/", &journal.TaskChanged{Task: 1, Status: "open", Title: ref("look")})
	r.add("/", &journal.TaskChanged{Task: 2, Status: "open", Title: ref("mend"), After: []int64{1}})
	r.add("/", &journal.AgentSpawned{Path: "/1", Goal: ref("look closely"), Model: "script/sub.yaml", Task: 1})
	r.add("/", &journal.TaskChanged{Task: 1, Status: "running", Agent: "/1"})
	sent := r.add("/", &journal.MessageSent{To: "/1", Body: ref("where are you?")})
	r.add("/1", &journal.MessageReceived{Sent: sent})
	r.turn("/1", "sub", 0)
	r.add("/1", &journal.MessageSent{To: "/", Body: ref("here")})
	r.add("/1", &journal.WorkspaceMerged{From: runID(9), FromRoot: object("other"), Root: object("merged"), Delta: ref("delta"), Files: 2, Conflicts: 1})
	r.add("/", &journal.AgentEnded{Path: "/1", Outcome: "done", Result: ref("found")})
	r.add("/", &journal.TaskChanged{Task: 1, Status: "done", Result: ref("found")})
}

// storyOfControl has what people and the runner do to a run.
func (r *recorder) storyOfControl() {
	r.add("/", &journal.Checkpoint{Root: r.state.Root})
	list := r.state.Agent("/").List
	compacted, err := list.Compact(1, 0, ref("[dropped]"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.add("/", &journal.ContextCompacted{Kept: 1, New: []journal.Ref{ref("[dropped]")}, Tail: 0,
		Head: compacted.Head(), Length: int64(compacted.Len())})
	r.add("/", &journal.AlarmRaised{Alarm: "disk.full", Reason: ref("98 %"), Hold: true})
	r.add("/", &journal.Paused{Why: "alarm", By: ref("ada")})
	r.add("/", &journal.LimitChanged{Limits: journal.Limits{Steps: 200}, By: ref("ada")})
	r.add("/", &journal.PolicyChanged{Policy: ref("policy 2"), By: ref("ada")})
	r.add("/", &journal.Resumed{By: ref("ada")})
	r.add("/", &journal.WorkspaceTouched{By: "person", Root: object("touched"), Delta: ref("delta"), Files: 1})
	r.add("/", &journal.RolledBack{To: 1, Root: object("tree"), Message: ref("undone"), Reason: ref("it failed")})
}

// storyOfRecovery has a process die with a question and two calls under way.
func (r *recorder) storyOfRecovery() {
	step := r.turn("/", "again", 2)
	r.add("/", &journal.AgentSpawned{Path: "/2", Goal: ref("help"), Model: "script/sub.yaml"})
	asked := r.add("/2", r.ask("/2", "sub question"))
	inside, outside := r.allowed("/", step, 0), r.allowed("/", step, 1)
	r.add("/", r.started(inside))
	r.add("/", r.started(outside))

	r.epoch++
	r.add("/", &journal.Recovered{Doubt: []int64{outside}, Rerun: []int64{inside}, Lost: []int64{asked}})
	r.add("/2", &journal.ModelAnswered{Asked: asked, Status: "lost", Tokens: journal.Tokens{Input: 800}, Estimated: true})
	r.add("/", r.started(inside))
	r.add("/", ended(inside, object("tree after rerun")))
	skipped := ended(outside, r.state.Root)
	skipped.Status, skipped.Observed = "skipped", "none"
	r.add("/", skipped)
}

// forkStory is a fork of the story, from the state at, in the middle of its first answer: one call has
// ended, one is held. The results of both are given, and the fork goes on with the others.
func forkStory(t testing.TB) (at *journal.State, fork *recorder) {
	t.Helper()
	at = journal.Start(nil)
	for _, line := range story(t).lines {
		_, body, err := at.Apply(line)
		if err != nil {
			t.Fatal(err)
		}
		if _, held := body.(*journal.CallHeld); held {
			break
		}
	}
	fork = newRecorder(t, runID(2), at)
	first := forkOf(at)
	for i, c := range at.Agent("/").Calls {
		first.Results = append(first.Results, journal.GivenResult{Call: c.ID, Message: ref("given " + string(rune('a'+i)))})
	}
	first.Message, first.By = ref("what if?"), ref("ada")
	fork.add("/", first)
	fork.add("/", &journal.Paused{Why: "fork", By: ref("ada")})
	fork.add("/", &journal.Resumed{By: ref("ada")})
	step := fork.state.Agent("/").Step
	for index := int64(2); index < 5; index++ {
		call := fork.allowed("/", step, index)
		fork.add("/", fork.started(call))
		fork.add("/", ended(call, fork.state.Root))
	}
	fork.add("/", fork.ask("/", "first", "given a", "given b", "result", "result", "result", "what if?"))
	fork.add("/", &journal.RunEnded{Outcome: "stopped", Root: fork.state.Root})
	return at, fork
}
