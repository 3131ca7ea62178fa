package journal_test

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"testing"
	"time"

	"tachograph/schemas/journal"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// The names and ids of the tests are made of words, so that a golden file can be read.

func ref(word string) journal.Ref       { return journal.Salt{1}.Name([]byte(word)) }
func object(word string) journal.Object { return journal.NameObject([]byte(word)) }
func hash(word string) journal.Hash     { return journal.Hash(sha256.Sum256([]byte(word))) }

func runID(n byte) journal.RunID {
	return journal.RunID{0x01, 0x9a, 0xb0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, n}
}

var began = time.Date(2026, 11, 23, 18, 24, 0, 123456789, time.UTC)

// recorder writes a journal as a runner would: it fills in seq, prev, time and commitments, and
// folds every entry as it is written.
type recorder struct {
	t     testing.TB
	run   journal.RunID
	epoch int64
	now   time.Time
	state *journal.State
	lines [][]byte
	tree  journal.Frontier
}

func newRecorder(t testing.TB, run journal.RunID, parent *journal.State) *recorder {
	return &recorder{t: t, run: run, epoch: 1, now: began, state: journal.Start(parent)}
}

// draft encodes a body as the next entry of a state.
func draft(t testing.TB, s *journal.State, run journal.RunID, epoch int64, at time.Time, agent string, body journal.Body) []byte {
	t.Helper()
	if c, ok := body.(journal.Committed); ok {
		*c.Commitment() = journal.Commit{State: s.Hash(), Fold: journal.FoldVersion}
	}
	raw, err := journal.EncodeBody(body)
	if err != nil {
		t.Fatal(err)
	}
	line, err := journal.Encode(journal.Entry{Version: journal.Version, Run: run, Seq: s.Next, Epoch: epoch, Time: at,
		Agent: agent, Kind: body.Kind(), Body: raw, Prev: s.Tip})
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// draft is the line that add would write.
func (r *recorder) draft(agent string, body journal.Body) []byte {
	r.t.Helper()
	return draft(r.t, r.state, r.run, r.epoch, r.now, agent, body)
}

// add writes an entry one second after the one before and returns its seq.
func (r *recorder) add(agent string, body journal.Body) int64 {
	r.t.Helper()
	line := r.draft(agent, body)
	e, _, err := r.state.Apply(line)
	if err != nil {
		r.t.Fatalf("%s: %v", body.Kind(), err)
	}
	r.lines = append(r.lines, line)
	r.tree.Add(journal.HashEntry(line))
	r.now = r.now.Add(time.Second)
	return e.Seq
}

// refuse checks that an entry is refused for this reason and leaves the state as it was.
func (r *recorder) refuse(agent string, body journal.Body, reason string) {
	r.t.Helper()
	refuseLine(r.t, r.state, r.draft(agent, body), reason)
}

func refuseLine(t testing.TB, s *journal.State, line []byte, reason string) {
	t.Helper()
	before := imprint(s)
	_, _, err := s.Apply(line)
	switch {
	case err == nil:
		t.Errorf("accepted where %q is due: %s", reason, line)
	case !bytes.Contains([]byte(err.Error()), []byte(reason)):
		t.Errorf("refused with %q where %q is due", err, reason)
	case imprint(s) != before:
		t.Errorf("changed by an entry that it refused (%v)", err)
	}
}

// imprint is all that a state holds, in short: every field of it goes into its checkpoint.
func imprint(s *journal.State) string {
	record, chunks, err := s.SaveCheckpoint(func(journal.Hash) bool { return false })
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s %d %v\n", record, s.Hash(), len(chunks), err)
	return b.String()
}

// start is the first entry of a run that is no fork.
func start(run journal.RunID) *journal.RunStarted {
	return &journal.RunStarted{Spec: ref("spec"), Goal: ref("goal"), Model: "script/turns.yaml", Family: run,
		Base: object("tree"), Root: object("tree"), LeftOut: 2, Policy: ref("policy"), Sandbox: "1",
		Limits: journal.Limits{Steps: 100, Tokens: 1 << 20, CostNUSD: 5e9, Seconds: 3600}}
}

// ask makes the question of a step that appends these messages to the agent's list.
func (r *recorder) ask(agent string, words ...string) *journal.ModelAsked {
	r.t.Helper()
	a := r.state.Agent(agent)
	refs := []journal.Ref{}
	for _, w := range words {
		refs = append(refs, ref(w))
	}
	list := a.List.Append(refs...)
	return &journal.ModelAsked{Step: a.Step + 1, Attempt: 1, Model: "script/turns.yaml", Kept: int64(a.List.Len()),
		New: refs, Head: list.Head(), Length: int64(list.Len()), Frame: ref("frame"), At: 40}
}

func answer(asked int64, word string, calls int64) *journal.ModelAnswered {
	finish := "stop"
	if calls > 0 {
		finish = "tool_calls"
	}
	return &journal.ModelAnswered{Asked: asked, Status: "ok", Message: ref(word), Raw: ref(word + " raw"), Finish: finish,
		Calls: calls, Tokens: journal.Tokens{Input: 900, Cached: 600, Output: 40, Reasoning: 10}, CostNUSD: 1_250_000, Priced: true}
}

func propose(step, index int64, tool string) *journal.CallProposed {
	return &journal.CallProposed{Step: step, Index: index, Tool: tool, Args: ref(tool + " args"), Intent: -1,
		Effect: "write", Scope: "workspace", Targets: ref(tool + " targets")}
}

func allow(call int64) *journal.CallDecided {
	return &journal.CallDecided{Call: call, Decision: "allow", Engine: "cedar", Policy: ref("policy"), Reasons: ref("reasons")}
}

func (r *recorder) started(call int64) *journal.CallStarted {
	_, c := r.state.Call(call)
	return &journal.CallStarted{Call: call, Attempt: c.Attempt + 1, Root: r.state.Root}
}

func ended(call int64, root journal.Object) *journal.CallEnded {
	return &journal.CallEnded{Call: call, Status: "ok", Message: ref("result"), Root: root, Files: 1, Added: 3, Removed: 1,
		Observed: "write", MicroSec: 1500}
}

// turn adds a question and an answer with so many calls, and returns the answer's step.
func (r *recorder) turn(agent, word string, calls int64) int64 {
	r.t.Helper()
	asked := r.add(agent, r.ask(agent, word+" question"))
	r.add(agent, answer(asked, word, calls))
	return r.state.Agent(agent).Step
}

// allowed adds a call up to where it may start.
func (r *recorder) allowed(agent string, step, index int64) int64 {
	r.t.Helper()
	call := r.add(agent, propose(step, index, "bash"))
	r.add(agent, allow(call))
	return call
}
