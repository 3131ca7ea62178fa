package journal_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"tachograph/schemas/journal"
)

// foreignBodies are bodies to try in every state of the story: those of the story itself, the
// golden ones, and those with nothing in them.
func foreignBodies(t testing.TB, lines [][]byte) []journal.Body {
	t.Helper()
	bodies := append(fullBodies(), journal.Kinds()...)
	for _, full := range fullBodies() {
		if least, ok := minimal(full); ok {
			bodies = append(bodies, least)
		}
	}
	for _, line := range lines {
		e, err := journal.Decode(line)
		if err != nil {
			t.Fatal(err)
		}
		body, err := journal.DecodeBody(e.Kind, e.Body)
		if err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, body)
	}
	return bodies
}

// Whatever entry comes in whatever state, one that is refused leaves the state as it was, one that
// is accepted leaves the state that it was not meant for as it was.
func TestRefusedEntryChangesNothing(t *testing.T) {
	t.Parallel()
	told := story(t)
	bodies := foreignBodies(t, told.lines)
	s := journal.Start(nil)
	accepted, refused := 0, 0
	for i := range len(told.lines) + 1 {
		before := imprint(s)
		for _, body := range bodies {
			epoch := max(s.Epoch, 1)
			if body.Kind() == journal.KindRecovered {
				epoch = s.Epoch + 1
			}
			for _, agent := range []string{"/", "/1"} {
				if tryEntry(t, s, before, draft(t, s, runID(1), epoch, began.Add(time.Hour), agent, body)) {
					accepted++
				} else {
					refused++
				}
			}
		}
		if imprint(s) != before {
			t.Fatalf("state %d changed with the clones that were tried", i)
		}
		if i < len(told.lines) {
			if _, _, err := s.Apply(told.lines[i]); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d accepted, %d refused", accepted, refused)
	if accepted < 1000 || refused < 1000 {
		t.Errorf("%d accepted and %d refused entries test nothing", accepted, refused)
	}
}

// tryEntry applies an entry to a clone of s, whose imprint is before.
func tryEntry(t *testing.T, s *journal.State, before string, line []byte) (accepted bool) {
	t.Helper()
	state := s.Clone()
	_, _, err := state.Apply(line)
	if err != nil && imprint(state) != before {
		t.Fatalf("an entry changed the state that refused it (%v):\n%s", err, line)
	}
	if err == nil && specifiedHash(t, state) != state.Hash() {
		t.Fatalf("the state hashes to %s, as specified to %s, after\n%s", state.Hash(), specifiedHash(t, state), line)
	}
	return err == nil
}

// Earlier clones, marks and states keep what they were while a run goes on and others branch off.
func TestClonesStandApart(t *testing.T) {
	t.Parallel()
	told := story(t)
	s := journal.Start(nil)
	var clones []*journal.State
	var imprints []string
	for _, line := range told.lines {
		clones, imprints = append(clones, s.Clone()), append(imprints, imprint(s))
		if _, _, err := s.Apply(line); err != nil {
			t.Fatal(err)
		}
	}
	for i, clone := range clones {
		if imprint(clone) != imprints[i] {
			t.Fatalf("the clone before entry %d changed", i)
		}
	}
	// The other way round: going on with a clone does not change the one it was made of.
	end := imprint(s)
	for i, clone := range clones {
		for _, line := range told.lines[i:] {
			if _, _, err := clone.Apply(line); err != nil {
				t.Fatalf("clone before entry %d: %v", i, err)
			}
		}
		if imprint(clone) != end {
			t.Fatalf("the clone before entry %d came to another end", i)
		}
		if i > 0 && imprint(clones[i]) == imprints[i] {
			t.Fatal("imprint sees no difference")
		}
	}
}

// Random changes to a line are refused, but for those that happen to be another entry.
func TestDamagedLine(t *testing.T) {
	t.Parallel()
	told := story(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	s := journal.Start(nil)
	for _, line := range told.lines {
		before := imprint(s)
		for range 50 {
			damaged := append([]byte{}, line...)
			damaged[random.IntN(len(damaged))] ^= 1 << random.IntN(8)
			state := s.Clone()
			if _, _, err := state.Apply(damaged); err == nil {
				if state.Tip == journal.HashEntry(line) {
					t.Fatalf("a damaged line has the hash of the whole one: %s", damaged)
				}
			} else if imprint(state) != before {
				t.Fatalf("changed by an entry that it refused (%v): %s", err, damaged)
			}
		}
		if _, _, err := s.Apply(line); err != nil {
			t.Fatal(err)
		}
	}
}

// An entry has to follow the one before it: in seq, by its hash, in the same run, in no earlier epoch.
func TestEntryDoesNotFit(t *testing.T) {
	t.Parallel()
	r := newRecorder(t, runID(1), nil)
	refuseLine(t, r.state, r.draft("/1", start(r.run)), "agent /1 does not exist")
	r.refuse("/", start(runID(2)), "root run")
	r.refuse("/", &journal.Resumed{}, "resumed at seq 0")
	r.epoch = 3
	r.add("/", start(r.run))

	raw := json.RawMessage(`{}`)
	good := journal.Entry{Version: 1, Run: r.run, Seq: 1, Epoch: 3, Time: began, Agent: "/", Kind: journal.KindResumed, Body: raw, Prev: r.state.Tip}
	for name, c := range map[string]struct {
		change func(*journal.Entry)
		reason string
	}{
		"dropped":  {func(e *journal.Entry) { e.Seq = 2 }, "seq 2 where 1 is due"},
		"doubled":  {func(e *journal.Entry) { e.Seq, e.Prev = 0, journal.Hash{} }, "seq 0 where 1 is due"},
		"prev":     {func(e *journal.Entry) { e.Prev = hash("other") }, "is not the hash of the entry before it"},
		"epoch":    {func(e *journal.Entry) { e.Epoch = 2 }, "epoch 2 after epoch 3"},
		"run":      {func(e *journal.Entry) { e.Run = runID(2) }, "entry of run"},
		"agent":    {func(e *journal.Entry) { e.Agent = "/7" }, "agent /7 does not exist"},
		"2nd root": {func(e *journal.Entry) { e.Kind, e.Body = journal.KindRunStarted, body(t, start(r.run)) }, "run.started at seq 1"},
		"unknown":  {func(e *journal.Entry) { e.Kind = "from.the.future" }, "newer tacho"},
		"body":     {func(e *journal.Entry) { e.Body = json.RawMessage(`{"by":""}`) }, "canonical"},
	} {
		e := good
		c.change(&e)
		line, err := journal.Encode(e)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		refuseLine(t, r.state, line, c.reason)
	}
	r.add("/", &journal.RunEnded{Outcome: "done", Root: r.state.Root})
	r.refuse("/", &journal.Resumed{}, "after the end")
	r.add("/9", &journal.Note{Name: "note.late", Raw: raw}) // a note may come from anybody, at any time
}

func body(t testing.TB, b journal.Body) json.RawMessage {
	t.Helper()
	raw, err := journal.EncodeBody(b)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// A commitment that names another state, or another fold, stops the fold.
func TestCommitmentToAnotherState(t *testing.T) {
	t.Parallel()
	r := newRecorder(t, runID(1), nil)
	r.add("/", start(r.run))
	good := journal.Commit{State: r.state.Hash(), Fold: journal.FoldVersion}
	for reason, commit := range map[string]journal.Commit{
		"fold version 2": {State: good.State, Fold: 2},
		"fold version 0": {State: good.State},
		"commits to":     {State: hash("other"), Fold: journal.FoldVersion},
	} {
		b := &journal.Checkpoint{Root: r.state.Root, Commit: commit}
		line, err := journal.Encode(journal.Entry{Version: 1, Run: r.run, Seq: 1, Epoch: 1, Time: began, Agent: "/", Kind: b.Kind(),
			Body: body(t, b), Prev: r.state.Tip})
		if err != nil {
			t.Fatal(err)
		}
		refuseLine(t, r.state, line, reason)
	}
}

// A note is kept in the chain and changes nothing of the state.
func TestNoteChangesNothing(t *testing.T) {
	t.Parallel()
	r := newRecorder(t, runID(1), nil)
	r.add("/", start(r.run))
	before, tip := r.state.Hash(), r.state.Tip
	r.now = r.now.Add(time.Hour)
	r.add("/", &journal.Note{Name: "note.x", Raw: json.RawMessage(`{"a":1}`)})
	if r.state.Hash() != before || r.state.Tip == tip || r.state.Next != 2 {
		t.Errorf("hash %s before %s, tip %s before %s, next %d", r.state.Hash(), before, r.state.Tip, tip, r.state.Next)
	}
}

func TestUnknownKindStopsTheFold(t *testing.T) {
	t.Parallel()
	r := newRecorder(t, runID(1), nil)
	r.add("/", start(r.run))
	line, err := journal.Encode(journal.Entry{Version: 1, Run: r.run, Seq: 1, Epoch: 1, Time: began, Agent: "/", Kind: "from.the.future",
		Body: json.RawMessage(`{"a":1}`), Prev: r.state.Tip})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.state.Clone().Apply(line); !errors.Is(err, journal.ErrUnknownKind) {
		t.Errorf("%v", err)
	}
}

// Model turns: what an auditor expects of questions and answers.
func TestTurnsRefused(t *testing.T) {
	t.Parallel()
	r := newRecorder(t, runID(1), nil)
	r.add("/", start(r.run))
	r.refuse("/", answer(-1, "nobody asked", 0), "answers -1")
	r.refuse("/", answer(0, "nobody asked", 0), "waits for -1")

	wrong := func(change func(*journal.ModelAsked)) *journal.ModelAsked {
		b := r.ask("/", "question")
		change(b)
		return b
	}
	r.refuse("/", wrong(func(b *journal.ModelAsked) { b.Kept = 1 }), "keeps 1 of 0")
	r.refuse("/", wrong(func(b *journal.ModelAsked) { b.Kept = -1 }), "keeps -1 of 0")
	r.refuse("/", wrong(func(b *journal.ModelAsked) { b.Head = hash("other") }), "names list")
	r.refuse("/", wrong(func(b *journal.ModelAsked) { b.Length = 2 }), "names list")
	r.refuse("/", wrong(func(b *journal.ModelAsked) { b.Step = 2 }), "attempt 1 of step 2")
	r.refuse("/", wrong(func(b *journal.ModelAsked) { b.Attempt = 2 }), "attempt 2 of step 1")
	asked := r.add("/", r.ask("/", "question"))
	r.refuse("/", r.ask("/", "another"), "waits for the answer")
	r.refuse("/", answer(asked+1, "other", 0), "waits for")

	bad := func(change func(*journal.ModelAnswered)) *journal.ModelAnswered {
		b := answer(asked, "answer", 1)
		change(b)
		return b
	}
	r.refuse("/", bad(func(b *journal.ModelAnswered) { b.Status = "fine" }), "none of ok")
	r.refuse("/", bad(func(b *journal.ModelAnswered) { b.Message = journal.Ref{} }), "without a message")
	r.refuse("/", bad(func(b *journal.ModelAnswered) { b.Calls = -1 }), "-1 calls")
	r.refuse("/", bad(func(b *journal.ModelAnswered) { b.Status = "given" }), "where the fork set")
	r.refuse("/", bad(func(b *journal.ModelAnswered) { b.Tokens.Output = -1 }), "charges -1")
	r.refuse("/", bad(func(b *journal.ModelAnswered) { b.CostNUSD = -1 }), "charges -1")
	r.add("/", answer(asked, "answer", 1))
	r.refuse("/", answer(asked, "twice", 1), "waits for -1")

	call := r.allowed("/", 1, 0)
	r.refuse("/", r.ask("/", "next"), "call that has not ended")
	r.add("/", r.started(call))
	r.add("/", ended(call, r.state.Root))
	r.add("/", r.ask("/", "next"))
}

// A failed attempt is repeated within its step, a step that was answered is not.
func TestAttempts(t *testing.T) {
	t.Parallel()
	r := newRecorder(t, runID(1), nil)
	r.add("/", start(r.run))
	asked := r.add("/", r.ask("/", "question"))
	r.add("/", &journal.ModelAnswered{Asked: asked, Status: "failed", Error: ref("429"), Tokens: journal.Tokens{Input: 10}, Estimated: true})
	again := r.ask("/")
	again.Step, again.Attempt = 1, 2
	asked = r.add("/", again)
	r.add("/", answer(asked, "answer", 0))
	u := r.state.Usage
	if u.Steps != 1 || u.Tokens.Input != 910 || u.Estimated != 10 || u.Unpriced != 1 || u.CostNUSD != 1_250_000 {
		t.Errorf("usage %+v", u)
	}
}

// Sums of usage stay integers that every JSON reader can hold, and go up only.
func TestUsageDoesNotOverflow(t *testing.T) {
	t.Parallel()
	r := newRecorder(t, runID(1), nil)
	r.add("/", start(r.run))
	big := answer(r.add("/", r.ask("/", "1")), "a", 0)
	big.Tokens, big.CostNUSD = journal.Tokens{Input: journal.MaxInt - 10}, journal.MaxInt
	r.add("/", big)
	asked := r.add("/", r.ask("/", "2"))
	r.refuse("/", answer(asked, "b", 0), fmt.Sprintf("charges 900 where %d were spent", int64(journal.MaxInt-10)))
	small := answer(asked, "b", 0)
	small.Tokens, small.CostNUSD = journal.Tokens{Input: 10}, 0
	r.add("/", small)
	if got := r.state.Usage.Tokens.Input; got != journal.MaxInt {
		t.Errorf("%d input tokens", got)
	}

	estimated := answer(r.add("/", r.ask("/", "3")), "c", 0)
	estimated.Tokens = journal.Tokens{Input: journal.MaxInt, Output: journal.MaxInt}
	estimated.Estimated = true
	r.refuse("/", estimated, "charges")

	r.now = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) // 8,000 years are more than 2^53 µs hold
	r.add("/", &journal.Intent{Text: ref("late"), Source: "derived"})
	if got := r.state.Usage.ActiveUS; got != journal.MaxInt {
		t.Errorf("active for %d µs", got)
	}
	r.add("/", &journal.Checkpoint{Root: r.state.Root})
}

func TestLimitsBelowNone(t *testing.T) {
	t.Parallel()
	r := newRecorder(t, runID(1), nil)
	first := start(r.run)
	first.Limits.CostNUSD = -1
	r.refuse("/", first, "less than none")
	r.add("/", start(r.run))
	r.refuse("/", &journal.LimitChanged{Limits: journal.Limits{Steps: -1}}, "less than none")
}

// Time counts while somebody works: not while the run is paused, whatever is written then, not
// while a person is thought about, not while nobody is there.
func TestActiveTime(t *testing.T) {
	t.Parallel()
	r := newRecorder(t, runID(1), nil)
	at := func(second int, agent string, b journal.Body) int64 {
		t.Helper()
		r.now = began.Add(time.Duration(second) * time.Second)
		return r.add(agent, b)
	}
	at(0, "/", start(r.run))
	asked := at(10, "/", r.ask("/", "q"))
	at(15, "/", answer(asked, "a", 1))
	call := at(16, "/", propose(1, 0, "bash"))
	hold := allow(call)
	hold.Decision = "hold"
	at(17, "/", hold)
	_, c := r.state.Call(call)
	at(3000, "/", &journal.CallApproved{Call: call, Proposed: c.Proposed, Policy: ref("policy"), Root: r.state.Root, By: ref("ada")})
	at(3003, "/", &journal.Paused{Why: "asked"})
	at(5000, "/", &journal.LimitChanged{Limits: journal.Limits{Steps: 7}})
	at(6000, "/", &journal.Resumed{})
	at(6005, "/", &journal.Intent{Text: ref("go on"), Source: "derived"})
	at(6004, "/", &journal.Intent{Text: ref("a clock that went back"), Source: "derived"})
	at(6006, "/", &journal.Intent{Text: ref("and on"), Source: "derived"})
	r.epoch++
	at(9000, "/", &journal.Recovered{})
	at(9001, "/", &journal.Intent{Text: ref("here again"), Source: "derived"})
	if got, want := r.state.Usage.ActiveUS, int64(17+3+6+1)*1e6; got != want {
		t.Errorf("active for %d µs, want %d", got, want)
	}
}
