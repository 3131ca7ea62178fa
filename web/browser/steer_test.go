//go:build linux

package browser

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"tachograph/schemas/journal"
	"tachograph/web/api"
	"tachograph/web/browser/chrome"
)

// button is the element with that text, among those of a selector.
func button(selector, text string) string {
	return fmt.Sprintf(`[...document.querySelectorAll(%s)].find((e) => e.checkVisibility() && e.innerText.trim() === %s)`, chrome.Quote(selector), chrome.Quote(text))
}

// clean reports what went wrong in the page meanwhile.
func clean(t *testing.T, p *chrome.Page) {
	t.Helper()
	for _, f := range p.Faults() {
		t.Error(f)
	}
}

// at is the path where the page is.
func at(t *testing.T, p *chrome.Page) string {
	t.Helper()
	var path string
	must(t, p.Eval("location.pathname", &path))
	return path
}

// TestForkToGreen is the story of the product: find the mistake, fork before it with the keyboard, change
// the call, watch the fork end well, compare it with where it came from.
func TestForkToGreen(t *testing.T) {
	t.Parallel()
	s := onStage(t)
	p := open(t, s, s.HTTP, fmt.Sprintf("/runs/%s/transcript?seq=%d", s.failed, s.mistake), desk)
	must(t, p.Wait(shows("aside", mistake)))
	must(t, p.Press("f"))
	const draft = `[...document.querySelectorAll(".calldraft textarea")].find((e) => !e.disabled && e.value.includes("tr -d"))`
	must(t, p.Click(draft))
	must(t, p.Eval(draft+`.select()`, nil))
	must(t, p.Type(`{"intent": "Drop a carriage return at a line's end.", "command": `+chrome.Quote(remedy)+`}`))
	must(t, p.Click(button("button", "Fork and run")))
	must(t, p.Wait(`!location.pathname.startsWith("/runs/`+s.failed+`")`))
	must(t, p.Wait(shows(".facts .badge", "done"))) // by itself: nobody reloads
	must(t, p.Wait(shows(".storyitem", "This turn was given by the fork")))
	must(t, p.Wait(shows(".storyitem .callbody", "all totals are right")))
	must(t, p.Click(button(".tabs a", "Compare")))
	for _, want := range []string{shows(".spent", "failed"), shows(".spent", "done"), shows(".compare td", "sed -i"), shows(".difffile > header", "totals.awk")} {
		must(t, p.Wait(want))
	}
	clean(t, p)
	if _, err := journal.ParseRunID(strings.Split(at(t, p), "/")[2]); err != nil {
		t.Error(err)
	}
}

// TestApprove: policy holds a call, the page says so, a person approves it with a reason, and the run ends.
func TestApprove(t *testing.T) {
	t.Parallel()
	s := onStage(t)
	run, err := s.start(t.Context(), map[string]any{"model": "script/" + filepath.Join(s.dir, "secret.yaml"), "directory": filepath.Join(s.dir, "secret"), "prompt": "Find the server's address."})
	must(t, err)
	p := open(t, s, s.HTTP, "/runs?status=held", desk)
	must(t, p.Wait(shows("#run-"+run, "waits")))
	must(t, p.Click(`document.querySelector("#run-`+run+` a")`))
	must(t, p.Wait(shows(".heldbar", "cat .env")))
	must(t, p.Wait(shows(".heldbar", "it touches a file that usually holds a secret")))
	must(t, p.Click(`document.querySelector(".heldbar input")`))
	must(t, p.Type("It is <b>no</b> secret."))
	must(t, p.Click(button(".heldbar button", "Approve")))
	must(t, p.Wait(`!document.querySelector(".heldbar")`))
	must(t, p.Wait(shows(".facts .badge", "done")))
	must(t, p.Wait(shows(".storyitem", "approved by")))
	must(t, p.Wait(shows(".storyitem", "It is <b>no</b> secret.")))
	must(t, p.Press("4"))
	must(t, p.Wait(shows(".audit tr", "approval")))
	clean(t, p)
}

// TestLiveAndStop: a run appears in the list, moves and is stopped, and nobody reloads a page.
func TestLiveAndStop(t *testing.T) {
	t.Parallel()
	s := onStage(t)
	list := open(t, s, s.HTTP, "/runs", desk)
	must(t, list.Settle())
	run, err := s.start(t.Context(), map[string]any{"model": "openai/live", "directory": filepath.Join(s.dir, "ledger"), "prompt": "Wait for me."})
	must(t, err)
	must(t, list.Wait(shows("#run-"+run, "running")))
	turn := s.model.next(t, "live")
	p := open(t, s, s.HTTP, "/runs/"+run, desk)
	must(t, p.Wait(shows(".storyitem", "The model is asked")))
	must(t, p.Wait(shows(".following", "live")))
	turn.say("I begin ")
	must(t, p.Wait(shows(".livepiece", "I begin")))
	turn.say("to look <b>around</b>.")
	must(t, p.Wait(shows(".livepiece", "I begin to look <b>around</b>.")))
	turn.call("list_files", map[string]any{"intent": "Look around.", "path": "."})
	turn.done("tool_calls")
	must(t, p.Wait(shows(".storyitem .callwhy", "Look around.")))
	must(t, p.Wait(shows(".storyitem .callbody", "cases/plain.csv")))
	must(t, p.Wait(`!document.querySelector(".livepiece")`))
	must(t, list.Wait(fmt.Sprintf(`document.querySelector("#run-%s").innerText.includes("\t1\t1\t")`, run))) // steps and calls

	s.model.next(t, "live") // it asks again, and waits
	must(t, p.Press("2"))
	must(t, p.Wait(shows(".subbar", "open"))) // spans that have not ended
	must(t, p.Wait(drawn(".bars", 500)))
	must(t, p.Press("1"))
	must(t, p.Wait(shows(".storyitem", "The model is asked")))
	must(t, p.Click(button("button", "Stop…")))
	must(t, p.Wait(shows("dialog", "Stop this run?")))
	must(t, p.Click(button("dialog button", "Stop")))
	must(t, p.Wait(shows(".facts .badge", "stopped")))
	must(t, list.Wait(shows("#run-"+run, "stopped")))
	clean(t, p)
	clean(t, list)
	must(t, s.rest(t.Context(), run, api.StatusStopped))
}

// TestVerify: everything is checked at the press of a button.
func TestVerify(t *testing.T) {
	t.Parallel()
	s := onStage(t)
	p := open(t, s, s.HTTP, "/runs/"+s.hostile+"/audit", desk)
	must(t, p.Click(button("button", "Verify now")))
	must(t, p.Wait(shows(".verdict", "States compared")))
	must(t, p.Wait(shows(".facts .badge", "verified")))
	clean(t, p)
}

// TestForkResult: what a tool said is changed from the chosen call, by a key, and the model of the fork is told that.
func TestForkResult(t *testing.T) {
	t.Parallel()
	s := onStage(t)
	var story api.Transcript
	must(t, s.get(t.Context(), "/api/runs/"+s.failed+"/transcript?limit=200", &story))
	var last int64
	for _, item := range story.Items {
		if item.Call != nil && item.Call.Index >= 0 {
			last = item.Seq
		}
	}
	p := open(t, s, s.HTTP, fmt.Sprintf("/runs/%s/transcript?seq=%d", s.failed, last), desk)
	must(t, p.Wait(shows("aside", fmt.Sprintf("Call %d: bash", last))))
	must(t, p.Press("r"))
	const field = `document.querySelector(".calldraft textarea")`
	must(t, p.Wait(field+`?.value.includes("0 totals.awk")`)) // what was said stands in the field
	must(t, p.Click(field))
	must(t, p.Eval(field+`.select()`, nil))
	must(t, p.Type("all totals are right <b>now</b>\n"))
	must(t, p.Click(button("button", "Fork and run")))
	must(t, p.Wait(`!location.pathname.startsWith("/runs/`+s.failed+`")`))
	must(t, p.Wait(shows(".storyitem .says", "Done: refunds are taken off")))
	must(t, p.Wait(shows(".storyitem", "all totals are right <b>now</b>")))
	must(t, p.Wait(says(".facts .badge", "done|failed")))
	clean(t, p)
}

// TestForkModel: another model goes on from where the run was.
func TestForkModel(t *testing.T) {
	t.Parallel()
	s := onStage(t)
	p := open(t, s, s.HTTP, fmt.Sprintf("/runs/%s/fork?seq=%d", s.failed, s.turn-1), desk)
	must(t, p.Click(`[...document.querySelectorAll(".choice")].find((e) => e.innerText.includes("Another model or budget"))`))
	const field = `document.querySelector("input[placeholder='provider/name']")`
	must(t, p.Wait(field+`?.value.startsWith("script/")`))
	must(t, p.Click(button("button", "Fork and run")))
	must(t, p.Wait(shows("[role=alert]", "Nothing is different yet")))
	must(t, p.Click(field))
	must(t, p.Eval(field+`.select()`, nil))
	must(t, p.Type("openai/other"))
	must(t, p.Click(button("button", "Fork and run")))
	must(t, p.Wait(`!location.pathname.startsWith("/runs/`+s.failed+`")`))
	run := strings.Split(at(t, p), "/")[2]
	t.Cleanup(func() { s.halt(t, run) })
	turn := s.model.next(t, "other")
	must(t, p.Wait(shows(".facts", "openai/other")))
	must(t, p.Wait(live))
	turn.say("I am another model.")
	must(t, p.Wait(shows(".livepiece", "I am another model.")))
	turn.call("list_files", map[string]any{"intent": "See it with other eyes.", "path": "."})
	turn.done("tool_calls")
	s.model.next(t, "other")
	must(t, p.Wait(shows(".stephead", "openai/other")))
	must(t, p.Wait(shows(".callwhy", "See it with other eyes.")))
	clean(t, p)
}

// TestAnswerKeys: a goes to the call that waits, and the buttons behind the reason are reached by Tab.
func TestAnswerKeys(t *testing.T) {
	t.Parallel()
	s := onStage(t)
	for _, answer := range []struct {
		tabs              []string
		want, then, audit string
	}{{[]string{"Tab"}, "Deny", "refused by", "refusal"}, {[]string{"Tab", "Tab"}, "Approve", "approved by", "approval"}} {
		run, err := s.start(t.Context(), map[string]any{"model": "script/" + filepath.Join(s.dir, "secret.yaml"), "directory": filepath.Join(s.dir, "secret"), "prompt": "Find the server's address."})
		must(t, err)
		p := open(t, s, s.HTTP, "/runs/"+run, desk)
		must(t, p.Wait(shows(".heldbar", "cat .env")))
		must(t, p.Press("a"))
		must(t, p.Wait(`document.activeElement === document.querySelector(".heldbar input")`))
		must(t, p.Type("ax")) // there they are text, and no keys
		must(t, p.Press(answer.tabs...))
		must(t, p.Wait(`document.activeElement.innerText === `+chrome.Quote(answer.want)))
		must(t, p.Press("Enter"))
		must(t, p.Wait(`!document.querySelector(".heldbar")`))
		must(t, p.Wait(shows(".storyitem", answer.then)))
		must(t, p.Wait(shows(".storyitem", "ax")))
		must(t, p.Press("4"))
		must(t, p.Wait(shows(".audit tr", answer.audit)))
		clean(t, p)
	}
}

// TestForkOfFork: results that a fork inherited are changed where they came from, and the page leads there.
func TestForkOfFork(t *testing.T) {
	t.Parallel()
	s := onStage(t)
	var forked api.Forked
	must(t, s.post(t.Context(), "/api/runs/"+s.failed+"/fork", map[string]any{"seq": s.turn - 1, "by": "a tester"}, &forked))
	p := open(t, s, s.HTTP, "/runs/"+forked.RunId+"/fork?seq=0&result=0", desk)
	must(t, p.Wait(shows(".forkpage .notice", "This run is a fork")))
	must(t, p.Click(`document.querySelector(".forkpage .notice a")`))
	must(t, p.Wait(fmt.Sprintf(`location.pathname === "/runs/%s/fork" && new URLSearchParams(location.search).get("seq") === "%d"`, s.failed, s.turn-1)))
	must(t, p.Click(button(".calldraft button", "Change its result")))
	must(t, p.Wait(`document.querySelector(".calldraft textarea")?.value.includes("FAIL  cases/windows.csv")`))
	clean(t, p)
}
