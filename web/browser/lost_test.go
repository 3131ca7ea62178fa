//go:build linux

package browser

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tachograph/web/api"
	"tachograph/web/browser/chrome"
)

// waiting starts a run whose model answers when the test says so.
func (s *stage) waiting(t *testing.T, name string) (run string, first *asked) {
	t.Helper()
	run, err := s.start(t.Context(), map[string]any{"model": "openai/" + name, "directory": filepath.Join(s.dir, "ledger"), "prompt": "Wait for me."})
	must(t, err)
	t.Cleanup(func() { s.halt(t, run) })
	return run, s.model.next(t, name)
}

// halt ends a run that a test leaves.
func (s *stage) halt(t *testing.T, run string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var agent api.Agent
	must(t, s.post(ctx, "/v1/agents/"+run+"/stop", map[string]any{"now": true}, &agent))
}

// looks answers with a call that lists the files, and returns the question that follows.
func (s *stage) looks(t *testing.T, name string, turn *asked, why string) *asked {
	t.Helper()
	turn.call("list_files", map[string]any{"intent": why, "path": "."})
	turn.done("tool_calls")
	return s.model.next(t, name)
}

// entire checks that the page shows each item of the run once, in order.
func (s *stage) entire(t *testing.T, p *chrome.Page, run string) {
	t.Helper()
	var story api.Transcript
	must(t, s.get(t.Context(), "/api/runs/"+run+"/transcript?limit=500", &story))
	var want []string
	for _, item := range story.Items {
		want = append(want, fmt.Sprintf("Entry %d", item.Seq))
	}
	list := strings.Join(want, ",")
	const shown = `[...document.querySelectorAll("article.storyitem")].map((e) => e.ariaLabel)`
	must(t, p.Wait(fmt.Sprintf(`%s.join() === %s`, shown, chrome.Quote(list))))
	if sorted := slices.Compact(slices.Sorted(slices.Values(want))); len(sorted) != len(want) {
		t.Errorf("the server tells an item twice: %s", list)
	}
}

var tall = chrome.Look{Width: 1280, Height: 3000} // all items of a short run are in the page

const (
	live         = `document.querySelector(".following")?.innerText === "live"`
	reconnecting = `document.querySelector(".following")?.innerText === "reconnecting"`
)

// TestLost: the stream of a run breaks off, is refused, breaks off within a sentence. The page says so each time, goes on by
// itself, and has lost and doubled nothing.
func TestLost(t *testing.T) {
	t.Parallel()
	s := onStage(t)
	between := s.proxied(t)
	run, turn := s.waiting(t, "lost")
	p := open(t, s, between.server.URL, "/runs/"+run, tall)
	must(t, p.Wait(live))
	turn = s.looks(t, "lost", turn, "Look at first.")
	must(t, p.Wait(shows(".callwhy", "Look at first.")))

	between.set(&fault{route: regexp.MustCompile("^/api/live$")})
	between.cut()
	must(t, p.Wait(reconnecting))
	turn = s.looks(t, "lost", turn, "Look while nobody hears.")
	if len(missing(t, p, []string{shows(".callwhy", "while nobody hears")})) == 0 {
		t.Error("the page hears although its stream is refused: the test shows nothing")
	}
	between.set(nil)
	must(t, p.Wait(live))
	must(t, p.Wait(shows(".callwhy", "Look while nobody hears.")))
	s.entire(t, p, run)

	turn.say("Half a ")
	must(t, p.Wait(shows(".livepiece", "Half a")))
	between.cut()
	must(t, p.Wait(reconnecting))
	must(t, p.Wait(live))
	turn.say("sentence.")
	must(t, p.Wait(shows(".livepiece", "sentence.")))
	must(t, p.Wait(`!document.querySelector(".livepiece").innerText.includes("Half")`)) // what came between is not known
	s.looks(t, "lost", turn, "Look at last.")
	must(t, p.Wait(shows(".says", "Half a sentence.")))
	must(t, p.Wait(shows(".callwhy", "Look at last.")))
	s.entire(t, p, run)
}

// TestRestarted: tacho is killed and started again at the same address while a page looks at a run and another at the list. Both say that
// nothing answers, go on by themselves, and the run, which goes on too, is told without a gap.
func TestRestarted(t *testing.T) {
	s := onStage(t)
	run, turn := s.waiting(t, "again")
	list := open(t, s, s.HTTP, "/runs", desk)
	p := open(t, s, s.HTTP, "/runs/"+run, tall)
	must(t, p.Wait(live))
	turn = s.looks(t, "again", turn, "Look before.")
	must(t, p.Wait(shows(".callwhy", "Look before.")))
	turn.say("Not said to the end")
	must(t, p.Wait(shows(".livepiece", "Not said to the end")))
	must(t, s.kill())
	must(t, p.Wait(reconnecting))
	must(t, list.Wait(reconnecting))
	must(t, p.Press("4"))
	must(t, p.Wait(shows(".notice", "tacho does not answer")))
	must(t, p.Press("1"))
	must(t, s.up(strings.TrimPrefix(s.HTTP, "http://")))
	turn = s.model.next(t, "again") // the run goes on: the question is asked again
	must(t, p.Wait(live))
	must(t, list.Wait(live))
	s.looks(t, "again", turn, "Look after.")
	must(t, p.Wait(shows(".callwhy", "Look after.")))
	must(t, p.Wait(`!document.querySelector(".livepiece")`))
	s.entire(t, p, run)
	must(t, list.Wait(fmt.Sprintf(`document.querySelector("#run-%s").innerText.includes("\t2\t2\t")`, run))) // steps and calls
}

// TestTabs: eight tabs on a run that is under way. A browser opens six connections to a server, so tabs that nobody sees let go of
// their streams; one that is seen again has all that happened meanwhile.
func TestTabs(t *testing.T) {
	s := onStage(t)
	between := s.proxied(t)
	run, turn := s.waiting(t, "tabs")
	tabs, err := s.browser.NewTabs(t.Context(), tall, 8)
	must(t, err)
	t.Cleanup(func() { _ = tabs[0].Close() })
	for _, p := range tabs {
		must(t, p.Front())
		must(t, p.Navigate(between.server.URL+"/runs/"+run))
		must(t, p.Wait(live))
	}
	must(t, between.await(t.Context(), 1))
	s.looks(t, "tabs", turn, "Look while tabs sleep.")
	for _, p := range []*chrome.Page{tabs[7], tabs[0], tabs[3]} {
		must(t, p.Front())
		must(t, p.Wait(shows(".callwhy", "Look while tabs sleep.")))
		must(t, p.Wait(live))
		s.entire(t, p, run)
		must(t, between.await(t.Context(), 1))
	}
	var hidden bool
	if must(t, tabs[0].Eval(`document.hidden`, &hidden)); !hidden {
		t.Error("all tabs are seen: the test shows nothing")
	}
}
