package journal_test

import (
	"slices"
	"testing"

	"tachograph/schemas/journal"
)

// forkOf is the first entry of a fork of a state.
func forkOf(s *journal.State) *journal.RunStarted {
	b := start(s.Family)
	b.Base, b.Root, b.LeftOut = s.Base, s.Root, s.LeftOut
	b.Parent = &journal.Parent{Run: s.Run, Seq: s.Next - 1, Entry: s.Tip, State: s.Hash()}
	return b
}

// A fork names exactly the state that it begins with, and goes its own way from there.
func TestFork(t *testing.T) {
	t.Parallel()
	parent := newRecorder(t, runID(1), nil)
	parent.add("/", start(parent.run))
	parent.add("/", &journal.Snapshot{Why: "started", Root: parent.state.Root})
	parent.turn("/", "turn", 0)
	before := imprint(parent.state)

	fork := newRecorder(t, runID(2), parent.state)
	for _, c := range []struct {
		change func(*journal.RunStarted)
		reason string
	}{
		{func(b *journal.RunStarted) { b.Parent = nil }, "names no parent"},
		{func(b *journal.RunStarted) { b.Parent.Seq-- }, "names parent"},
		{func(b *journal.RunStarted) { b.Parent.Entry = hash("other") }, "names parent"},
		{func(b *journal.RunStarted) { b.Parent.State = hash("other") }, "names parent"},
		{func(b *journal.RunStarted) { b.Parent.Run = runID(3) }, "names parent"},
		{func(b *journal.RunStarted) { b.Root = object("other") }, "not those of its parent"},
		{func(b *journal.RunStarted) { b.Family = runID(2) }, "not those of its parent"},
		{func(b *journal.RunStarted) { b.Base = object("other") }, "not those of its parent"},
	} {
		b := forkOf(parent.state)
		c.change(b)
		fork.refuse("/", b, c.reason)
	}
	itself := newRecorder(t, runID(1), parent.state)
	itself.refuse("/", forkOf(parent.state), "fork of itself")
	orphan := newRecorder(t, runID(2), nil)
	orphan.refuse("/", forkOf(parent.state), "its parent's state is needed")

	first := forkOf(parent.state)
	first.Turn, first.Message = ref("turn given"), ref("message of the user")
	fork.add("/", first)
	a := fork.state.Agent("/")
	if a.Turn != first.Turn || !slices.Contains(a.Notes, first.Message) || a.List.Len() != 1 || !a.Answer.IsZero() {
		t.Errorf("the fork's agent is %+v", a)
	}
	if u := fork.state.Usage; u != (journal.Usage{}) || len(fork.state.Marks) != 0 || fork.state.Next != 1 {
		t.Errorf("the fork begins with usage %+v, %d marks, next %d", u, len(fork.state.Marks), fork.state.Next)
	}
	fork.takeGiven(first.Turn)
	if imprint(parent.state) != before {
		t.Error("the parent changed with its fork")
	}
}

// What the parent had under way is no business of its fork: no question waits there, no call is
// started, and no id can be taken for one of the fork's own entries.
func TestForkInheritsNothingUnderWay(t *testing.T) {
	t.Parallel()
	parent := newRecorder(t, runID(1), nil)
	parent.add("/", start(parent.run))
	parent.add("/", &journal.AgentSpawned{Path: "/1", Goal: ref("g"), Model: "m"})
	parent.add("/1", parent.ask("/1", "sub"))
	parent.add("/", &journal.MessageSent{To: "/1", Body: ref("hello")})
	step := parent.turn("/", "turn", 2)
	over := parent.allowed("/", step, 0)
	parent.add("/", parent.started(over))
	parent.add("/", ended(over, parent.state.Root))
	parent.add("/", parent.started(parent.allowed("/", step, 1)))
	before := imprint(parent.state)

	fork := newRecorder(t, runID(2), parent.state)
	fork.add("/", forkOf(parent.state))
	if a := fork.state.Agent("/1"); a.Asked != -1 {
		t.Errorf("the fork's agent waits for the parent's entry %d", a.Asked)
	}
	if calls := fork.state.Agent("/").Calls; len(calls) != 1 || calls[0].ID >= 0 || calls[0].Phase != journal.CallIsEnded {
		t.Errorf("the fork's calls are %+v", calls)
	}
	fork.refuse("/", propose(step, 0, "bash"), "proposed already")
	again := fork.allowed("/", step, 1)
	fork.add("/", fork.started(again))
	fork.add("/", ended(again, fork.state.Root))
	fork.add("/1", &journal.MessageReceived{Sent: fork.state.Mail[0].Sent})
	retry := fork.ask("/1")
	retry.Step, retry.Attempt = 1, 2
	fork.add("/1", retry)
	fork.turn("/", "own turn", 0)
	if imprint(parent.state) != before {
		t.Error("the parent changed with its fork")
	}
}

// A fork tells the model another result of a call than its parent recorded, and of a call that its
// parent never ended: what the parent knew of it, its approval too, is gone. The files are as they were.
func TestForkGivesResults(t *testing.T) {
	t.Parallel()
	parent := newRecorder(t, runID(1), nil)
	parent.add("/", start(parent.run))
	parent.add("/", &journal.AgentSpawned{Path: "/1", Goal: ref("g"), Model: "m"})
	parent.add("/", &journal.AgentSpawned{Path: "/2", Goal: ref("g"), Model: "m"})
	sub := parent.allowed("/1", parent.turn("/1", "sub", 1), 0)
	over := parent.allowed("/2", parent.turn("/2", "over", 1), 0)
	parent.add("/", &journal.AgentEnded{Path: "/2", Outcome: "done"})
	step := parent.turn("/", "turn", 3)
	first := parent.allowed("/", step, 0)
	parent.add("/", parent.started(first))
	parent.add("/", ended(first, object("after first")))
	held := parent.allowed("/", step, 1)
	parent.add("/", &journal.CallHeld{Call: held, Why: "alarm", Until: "2026-11-24T00:00:00Z"})
	before := imprint(parent.state)
	given := func(call int64) journal.GivenResult { return journal.GivenResult{Call: call, Message: ref("given")} }

	fork := newRecorder(t, runID(2), parent.state)
	for _, c := range []struct {
		results []journal.GivenResult
		turn    journal.Ref
		reason  string
	}{
		{[]journal.GivenResult{given(held), given(first)}, journal.Ref{}, "after that of call"},
		{[]journal.GivenResult{given(first), given(first)}, journal.Ref{}, "after that of call"},
		{[]journal.GivenResult{given(first + 1)}, journal.Ref{}, "none of a newest answer"},
		{[]journal.GivenResult{given(-1)}, journal.Ref{}, "none of a newest answer"},
		{[]journal.GivenResult{given(over)}, journal.Ref{}, "to agent /2, which is done"},
		{[]journal.GivenResult{{Call: first}}, journal.Ref{}, "gives no result of call"},
		{[]journal.GivenResult{given(first), given(held)}, ref("turn given"), "it would be dropped"},
	} {
		b := forkOf(parent.state)
		b.Results, b.Turn = c.results, c.turn
		fork.refuse("/", b, c.reason)
	}
	plain := newRecorder(t, runID(1), nil)
	b := start(plain.run)
	b.Results = []journal.GivenResult{given(3)}
	plain.refuse("/", b, "is no fork")

	b = forkOf(parent.state)
	b.Results = []journal.GivenResult{{Call: sub, Message: ref("of sub")}, {Call: first, Message: ref("of first")}, {Call: held, Message: ref("of held")}}
	fork.add("/", b)
	calls := fork.state.Agent("/").Calls
	if len(calls) != 2 || calls[0].Message != ref("of first") || calls[1].Message != ref("of held") {
		t.Fatalf("the fork's calls are %+v", calls)
	}
	for _, c := range append(calls, fork.state.Agent("/1").Calls...) {
		if c.ID != -1 || c.Phase != journal.CallIsEnded || c.Status != journal.ResultIsGiven || c.Why != "" || c.Until != "" || c.Approved {
			t.Errorf("a call whose result was given is %+v", c)
		}
	}
	if fork.state.Root != object("after first") {
		t.Errorf("the files are at %s", fork.state.Root)
	}
	fork.refuse("/", propose(step, 1, "bash"), "proposed already")
	last := fork.allowed("/", step, 2)
	fork.add("/", fork.started(last))
	fork.add("/", ended(last, fork.state.Root))
	if imprint(parent.state) != before {
		t.Error("the parent changed with its fork")
	}

	// With all calls over, a turn may be given after the results; the fork's own fork cannot name a
	// call by its parent's number.
	again := newRecorder(t, runID(3), fork.state)
	b = forkOf(fork.state)
	b.Results, b.Turn = []journal.GivenResult{given(last)}, ref("turn given")
	again.add("/", b)
	if calls := again.state.Agent("/").Calls; len(calls) != 3 || calls[2].Message != ref("given") || calls[0].Message != ref("of first") {
		t.Errorf("the calls of the fork's fork are %+v", calls)
	}
	check := newRecorder(t, runID(4), nil)
	check.add("/", start(check.run))
	call := check.allowed("/", check.turn("/", "turn", 0), -1)
	b = forkOf(check.state)
	b.Family, b.Results = check.run, []journal.GivenResult{given(call)}
	newRecorder(t, runID(5), check.state).refuse("/", b, "the spec's check")
}

// takeGiven answers with the turn that a fork gave, and with no other.
func (r *recorder) takeGiven(turn journal.Ref) {
	r.t.Helper()
	given := answer(r.add("/", r.ask("/", "message")), "", 0)
	given.Status, given.Priced = "given", false
	given.Message = ref("another turn")
	r.refuse("/", given, "where the fork set")
	given.Message = turn
	r.add("/", given)
	if a := r.state.Agent("/"); a.Answer != turn || !a.Turn.IsZero() {
		r.t.Errorf("after the turn was taken the agent is %+v", a)
	}
	if u := r.state.Usage; u.Unpriced != 0 || u.Steps != 1 {
		r.t.Errorf("a turn that was given costs %+v", u)
	}
}

// A rollback takes back lists, tasks, sessions and the workspace, and nothing that was spent.
func TestRollback(t *testing.T) {
	t.Parallel()
	r := newRecorder(t, runID(1), nil)
	r.add("/", start(r.run))
	r.add("/", &journal.TaskChanged{Task: 1, Status: "open", Title: ref("look")})
	r.turn("/", "first", 0)
	mark := r.add("/", &journal.Snapshot{Why: "interval", Root: r.state.Root})
	then := r.state.Agent("/")

	r.add("/", &journal.TaskChanged{Task: 1, Status: "done"})
	r.add("/", &journal.TaskChanged{Task: 2, Status: "open"})
	r.add("/", &journal.AgentSpawned{Path: "/1", Goal: ref("g"), Model: "m"})
	r.add("/1", r.ask("/1", "sub"))
	step := r.turn("/", "second", 1)
	call := r.allowed("/", step, 0)
	r.add("/", r.started(call))
	r.add("/", ended(call, object("damaged")))
	later := r.add("/", &journal.Snapshot{Why: "interval", Root: r.state.Root})
	spent := r.state.Usage

	r.refuse("/", &journal.RolledBack{To: mark + 1, Root: object("tree"), Message: ref("m"), Reason: ref("r")}, "no snapshot that is remembered")
	r.refuse("/", &journal.RolledBack{To: mark, Root: object("damaged"), Message: ref("m"), Reason: ref("r")}, "no snapshot that is remembered")
	if m := r.state.Target(); m == nil || m.Seq != later {
		t.Errorf("target is %+v, want the newest snapshot", m)
	}
	r.add("/", &journal.RolledBack{To: mark, Root: object("tree"), Message: ref("undone"), Reason: ref("r")})

	root, sub := r.state.Agent("/"), r.state.Agent("/1")
	if root.List.Head() != then.List.Head() || root.Step != step || !slices.Contains(root.Notes, ref("undone")) || len(root.Calls) != 0 {
		t.Errorf("root agent %+v", root)
	}
	if sub.Live() || sub.Asked >= 0 {
		t.Errorf("an agent that did not exist yet is %+v", sub)
	}
	if tasks := r.state.Tasks(); tasks[0].Status != "open" || tasks[1].Status != "dropped" {
		t.Errorf("tasks %+v, %+v", tasks[0], tasks[1])
	}
	spent.ActiveUS = r.state.Usage.ActiveUS
	if r.state.Usage != spent || r.state.Root != object("tree") || r.state.Undone != 1 {
		t.Errorf("usage %+v, spent %+v, root %s, %d undone", r.state.Usage, spent, r.state.Root, r.state.Undone)
	}
	if m := r.state.Target(); len(r.state.Marks) != 1 || m.Seq != mark || !m.Used {
		t.Errorf("%d marks, target %+v", len(r.state.Marks), m)
	}
	r.refuse("/1", r.ask("/1", "more"), "agent /1 is undone")
	r.turn("/", "third", 0)
}

// The newest eight snapshots are remembered.
func TestMarksAreFew(t *testing.T) {
	t.Parallel()
	r := newRecorder(t, runID(1), nil)
	r.add("/", start(r.run))
	if r.state.Target() != nil {
		t.Error("a target without a snapshot")
	}
	for range 11 {
		r.add("/", &journal.Snapshot{Why: "interval", Root: r.state.Root})
	}
	if n := len(r.state.Marks); n != 8 || r.state.Marks[0].Seq != 4 || r.state.Marks[7].Seq != 11 {
		t.Errorf("%d marks, from %d to %d", n, r.state.Marks[0].Seq, r.state.Marks[n-1].Seq)
	}
}

// Recovered names exactly what was under way.
func TestRecovered(t *testing.T) {
	t.Parallel()
	r := newRecorder(t, runID(1), nil)
	r.add("/", start(r.run))
	step := r.turn("/", "turn", 2)
	a, b := r.allowed("/", step, 0), r.allowed("/", step, 1)
	r.add("/", r.started(a))
	r.add("/", r.started(b))
	r.add("/", &journal.AgentSpawned{Path: "/1", Goal: ref("g"), Model: "m"})
	asked := r.add("/1", r.ask("/1", "sub"))

	whole := journal.Recovered{Doubt: []int64{b}, Rerun: []int64{a}, Lost: []int64{asked}}
	r.refuse("/", &whole, "epoch 1 is not above 1")
	r.epoch = 2
	const calls, questions = "names the calls", "names the questions"
	for _, c := range []struct {
		entry  journal.Recovered
		reason string
	}{
		{journal.Recovered{Lost: whole.Lost}, calls},
		{journal.Recovered{Doubt: []int64{b}, Lost: whole.Lost}, calls},
		{journal.Recovered{Doubt: []int64{a, b}, Rerun: []int64{a}, Lost: whole.Lost}, calls},
		{journal.Recovered{Doubt: []int64{a, b, 99}, Lost: whole.Lost}, calls},
		{journal.Recovered{Doubt: []int64{a, b}}, questions},
		{journal.Recovered{Doubt: []int64{a, b}, Lost: []int64{1, asked}}, questions},
	} {
		r.refuse("/", &c.entry, c.reason)
	}
	r.add("/", &whole)
	_, doubt := r.state.Call(b)
	_, rerun := r.state.Call(a)
	if doubt.Phase != journal.CallIsHeld || doubt.Why != "doubt" || rerun.Phase != journal.CallIsAllowed {
		t.Errorf("in doubt %+v, to run again %+v", doubt, rerun)
	}
	if sub := r.state.Agent("/1"); sub.Asked != -1 {
		t.Errorf("the agent still waits for %d", sub.Asked)
	}
	r.add("/1", &journal.ModelAnswered{Asked: asked, Status: "lost", Tokens: journal.Tokens{Input: 5}, Estimated: true})
	again := r.ask("/1")
	again.Step, again.Attempt = 1, 2
	r.add("/1", again)
	r.add("/", r.started(a)) // the second attempt
}

// Agents, tasks and messages: what names something that does not exist is refused.
func TestAgentsRefused(t *testing.T) {
	t.Parallel()
	r := newRecorder(t, runID(1), nil)
	r.add("/", start(r.run))
	r.refuse("/", &journal.AgentSpawned{Path: "/"}, "cannot be added")
	r.refuse("/", &journal.AgentSpawned{Path: "/x"}, "cannot be added")
	r.refuse("/", &journal.AgentSpawned{Path: "/1/1"}, "cannot be added by /")
	r.add("/", &journal.AgentSpawned{Path: "/1", Goal: ref("g"), Model: "m"})
	r.refuse("/", &journal.AgentSpawned{Path: "/1"}, "cannot be added")
	r.refuse("/1", &journal.AgentSpawned{Path: "/2"}, "cannot be added by /1")
	r.add("/1", &journal.AgentSpawned{Path: "/1/1", Goal: ref("g"), Model: "m"})
	r.refuse("/", &journal.AgentEnded{Path: "/2", Outcome: "done"}, "is not running")
	r.refuse("/", &journal.AgentEnded{Path: "/1", Outcome: "running"}, "none of done, failed, stopped")
	r.add("/", &journal.AgentEnded{Path: "/1", Outcome: "done"})
	r.refuse("/", &journal.AgentEnded{Path: "/1", Outcome: "done"}, "is not running")
	r.refuse("/1", r.ask("/1", "late"), "agent /1 is done")

	r.refuse("/", &journal.TaskChanged{Task: 0, Status: "open"}, "task 0 where 0 exist")
	r.refuse("/", &journal.TaskChanged{Task: 2, Status: "open"}, "task 2 where 0 exist")

	r.refuse("/", &journal.MessageSent{To: "/9", Body: ref("x")}, "does not exist")
	sent := r.add("/", &journal.MessageSent{To: "/1/1", Body: ref("x")})
	r.refuse("/", &journal.MessageReceived{Sent: sent}, "no message")
	r.add("/1/1", &journal.MessageReceived{Sent: sent})
	r.refuse("/1/1", &journal.MessageReceived{Sent: sent}, "no message")
	r.refuse("/", &journal.ContextCompacted{Kept: 1}, "keeps 1 and 0 of 0")
	r.refuse("/", &journal.ContextCompacted{Kept: -1}, "keeps -1")
	r.refuse("/", &journal.ContextCompacted{New: []journal.Ref{ref("x")}}, "names list")
	r.refuse("/", &journal.RunEnded{Outcome: "fine", Root: r.state.Root}, "none of done")
	for _, b := range []journal.Body{
		&journal.RunEnded{Outcome: "done", Root: object("other")}, &journal.Checkpoint{Root: object("other")},
		&journal.Snapshot{Root: object("other")},
	} {
		r.refuse("/", b, "where the workspace is at")
	}
}

// What a task is told later replaces what it was told before; what is not said stays.
func TestTaskKeepsWhatIsNotSaid(t *testing.T) {
	t.Parallel()
	r := newRecorder(t, runID(1), nil)
	r.add("/", start(r.run))
	r.add("/", &journal.TaskChanged{Task: 1, Status: "open", Title: ref("a")})
	r.add("/", &journal.TaskChanged{Task: 2, Status: "open", Title: ref("b"), Agent: "/", After: []int64{1}})
	r.add("/", &journal.TaskChanged{Task: 2, Status: "done", Result: ref("r")})
	got := *r.state.Tasks()[1]
	if got.Title != ref("b") || got.Agent != "/" || !slices.Equal(got.After, []int64{1}) || got.Result != ref("r") || got.Status != "done" {
		t.Errorf("%+v", got)
	}
	r.add("/", &journal.TaskChanged{Task: 2, Status: "open", After: []int64{}})
	if got := r.state.Tasks()[1]; len(got.After) != 0 {
		t.Errorf("after %d where none is due", got.After)
	}
}
