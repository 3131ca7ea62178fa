//go:build linux

package browser

import (
	"fmt"
	"testing"
)

// TestStates: an address leads to what it names, and what is empty, wrong or not there says what to do.
func TestStates(t *testing.T) {
	t.Parallel()
	s := onStage(t)
	run := "/runs/" + s.failed
	p := open(t, s, s.HTTP, "/runs", desk)
	for _, state := range []struct {
		path  string
		wants []string
	}{
		{"/", []string{`location.pathname === "/runs"`, shows("#run-"+s.failed, goal)}},
		{"/runs?q=nothing+matches", []string{shows(".empty", "No run matches"), shows("button", "Clear"), `document.querySelector("input[type=search]").value === "nothing matches"`}},
		{"/runs?status=failed&status=stopped", []string{shows("#run-"+s.failed, "failed"), `!document.getElementById("run-` + s.fork + `")`, `document.querySelectorAll(".segmented [aria-pressed=true]").length === 3`}},
		{"/nowhere", []string{shows(".empty", "There is no such page"), shows(".empty a", "list of runs")}},
		{"/runs/00000000-0000-0000-0000-000000000000", []string{shows("[role=alert]", "there is none with this id here"), shows("a", "Back to the runs")}},
		{"/runs/nonsense", []string{shows("[role=alert]", "32 hex digits of a trace id"), shows("a", "Back to the runs")}},
		{run, []string{`location.pathname.endsWith("/transcript")`}},
		{run + "/nonsense", []string{shows(".empty", "There is no such view"), shows("h1", goal)}},
		{fmt.Sprintf("%s/transcript?seq=%d", run, s.mistake), []string{shows("aside", fmt.Sprintf("Call %d: bash", s.mistake)), `document.querySelector("article[aria-selected=true]").ariaLabel === "Entry ` + fmt.Sprint(s.mistake) + `"`}},
		{run + "/timeline?failed=1", []string{`document.querySelector("[aria-pressed=true]").innerText === "Failed only"`, says(".subbar", `\d+ of 23 spans`)}},
		{run + "/timeline?find=edit_file", []string{shows(".subbar", "1 of 23 spans"), `document.querySelectorAll("[role=treeitem]").length === 1`}},
		{run + "/timeline?span=00000000000000ff", []string{shows("aside [role=alert]", "lists those that it has")}},
		{run + "/state?seq=99999", []string{shows(".seqof", "of 57"), `document.querySelector(".track input").value === "57"`}},
		{run + "/state?seq=57&tab=files&path=not/there", []string{shows(".main", "not/there"), shows(".main", "After entry 57 there is no such file.")}},
		{run + "/audit?show=Snapshots", []string{shows(".segmented [aria-pressed=true]", "Snapshots"), shows(".audit tr", "snapshot"), `![...document.querySelectorAll(".audit tr")].some((e) => e.innerText.includes("look-around"))`}},
		{run + "/fork?seq=0&result=1", []string{shows(".forkpage .notice", "No result waits to be told here.")}},
		{"/runs/" + s.foreign + "/fork", []string{shows(".empty", "This run has no journal")}},
	} {
		must(t, p.Navigate(s.HTTP+state.path))
		must(t, p.Settle())
		if not := missing(t, p, state.wants); len(not) > 0 {
			var text string
			must(t, p.Eval("document.body.innerText", &text))
			t.Errorf("%s lacks %q and shows\n%.1500s", state.path, not, text)
		}
	}
}
