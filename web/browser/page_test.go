//go:build linux

package browser

import (
	"fmt"
	"testing"

	"tachograph/web/browser/chrome"
)

// TestHostile: what a model, a tool and a file wrote runs nowhere, hides nothing and stops nothing.
func TestHostile(t *testing.T) {
	t.Parallel()
	s := onStage(t)
	run := "/runs/" + s.hostile
	p := open(t, s, s.HTTP, "/runs", desk)
	for _, path := range []string{"/runs", run + "/transcript", run + "/timeline", run + "/state", run + "/state?tab=files&path=evil.html", run + "/state?tab=files&as=diff&files=changed", run + "/audit", run + "/fork?seq=1&turn=1"} {
		must(t, p.Navigate(s.HTTP+path))
		must(t, p.Settle())
		var title string
		if must(t, p.Eval("document.title", &title)); title == "owned" || title == "1" {
			t.Errorf("%s: a script of the run's content ran", path)
		}
		var strange []string
		must(t, p.Eval(`[...document.querySelectorAll("script, img, iframe, object, embed, b b, a[href^=javascript], main i")]
			.filter((e) => !(e.src ?? "").startsWith(location.origin) && (e.localName !== "i" || e.innerText === "page")).map((e) => e.outerHTML)`, &strange))
		for _, e := range strange {
			t.Errorf("%s: content became an element: %s", path, e)
		}
		var raw bool
		if must(t, p.Eval(`/[\u202a-\u202e\u2066-\u2069\u0000-\u0008\u001b]/.test(document.body.innerText)`, &raw)); raw {
			t.Errorf("%s: a character that reorders or hides text is shown as it is", path)
		}
		clean(t, p)
	}
}

// TestLongLine: a line of a megabyte is told of, shown in pieces, and never stops the page.
func TestLongLine(t *testing.T) {
	t.Parallel()
	s := onStage(t)
	p := open(t, s, s.HTTP, "/runs/"+s.hostile+"/transcript", desk)
	must(t, p.Wait(shows(".storyitem .textmore", "more")))
	must(t, p.Click(`[...document.querySelectorAll(".storyitem")].find((e) => e.innerText.includes("Print one line of a megabyte."))?.querySelector(".callhead")`))
	must(t, p.Wait(shows("aside h3", "Whole output")))
	const whole = `[...document.querySelectorAll("aside section")].find((e) => e.innerText.startsWith("Whole output"))`
	must(t, p.Wait(whole+`.innerText.length < 20_000`))
	must(t, p.Click(whole+`.querySelector("button.link")`))
	must(t, p.Wait(whole+`.innerText.length > 60_000`))
	must(t, p.Wait(whole+`.innerText.includes("KiB of")`))
	clean(t, p)
}

// TestKeys goes through the pages without a mouse.
func TestKeys(t *testing.T) {
	t.Parallel()
	s := onStage(t)
	p := open(t, s, s.HTTP, "/runs", desk)
	must(t, p.Settle())
	must(t, p.Press("/"))
	must(t, p.Type("totals of some months"))
	must(t, p.Wait(`new URLSearchParams(location.search).get("q") === "totals of some months"`))
	must(t, p.Settle())
	must(t, p.Wait(`!document.getElementById("run-`+s.hostile+`")`))
	must(t, p.Press("Escape", "j"))
	must(t, p.Wait(`document.querySelector("tr[aria-selected=true]")`))
	var first string
	must(t, p.Eval(`document.querySelector("tr[aria-selected=true]").id`, &first))
	must(t, p.Press("j", "k", "Enter"))
	must(t, p.Wait(`location.pathname.startsWith("/runs/" + `+chrome.Quote(first)+`.slice(4))`))
	must(t, p.Settle())
	must(t, p.Press("j", "j", "j"))
	must(t, p.Wait(`new URLSearchParams(location.search).has("seq") && document.querySelector("article[aria-selected=true]")`))
	for _, step := range []struct{ key, want string }{
		{"2", `location.pathname.endsWith("/timeline")`}, {"3", `location.pathname.endsWith("/state")`}, {"4", `location.pathname.endsWith("/audit")`},
		{"1", `location.pathname.endsWith("/transcript")`}, {"s", `location.pathname.endsWith("/state")`}, {"u", `location.pathname === "/runs"`},
		{"?", shows("dialog", "fork from the chosen step")},
	} {
		must(t, p.Press(step.key))
		must(t, p.Wait(step.want))
		must(t, p.Settle())
	}
	must(t, p.Press("Escape"))
	must(t, p.Wait(`!document.querySelector("dialog[open]")`))
	must(t, p.Eval(`document.getElementById("main").focus()`, nil)) // from where the focus was last, Tab may leave the page
	must(t, p.Press("Tab"))
	must(t, p.Wait(`document.activeElement.id !== "main" && document.activeElement !== document.body && getComputedStyle(document.activeElement).outlineStyle !== "none"`)) // focus is seen
	clean(t, p)
}

// TestTheme: the choice of a theme holds, and holds after a reload.
func TestTheme(t *testing.T) {
	t.Parallel()
	s := onStage(t)
	p := open(t, s, s.HTTP, "/runs", desk)
	must(t, p.Settle())
	ground := func() (colour string) {
		must(t, p.Eval(`getComputedStyle(document.body).backgroundColor`, &colour))
		return colour
	}
	light := ground()
	for _, theme := range []string{"light", "dark"} {
		must(t, p.Click(`document.querySelector(".topbar .theme")`))
		must(t, p.Wait(fmt.Sprintf(`document.documentElement.dataset.theme === %q && document.querySelector(".topbar .theme").ariaLabel.startsWith("Theme: %[1]s.")`, theme)))
	}
	if ground() == light {
		t.Error("the dark theme has the light one's ground")
	}
	must(t, p.Reload())
	must(t, p.Settle())
	if ground() == light {
		t.Error("after a reload the dark theme is gone")
	}
	clean(t, p)
}

// TestMoreFacts: what is not asked for first is there when it is.
func TestMoreFacts(t *testing.T) {
	t.Parallel()
	s := onStage(t)
	for run, wants := range map[string][]string{
		s.failed:  {shows(".facts", "sandbox tier 1"), says(".facts", `shipped \d+ of 58`), shows(".facts", s.failed[len(s.failed)-8:]), shows(".facts", "1 agent")},
		s.foreign: {shows(".facts", "cap-traceloop"), shows(".facts", "tokens"), shows(".facts", "2 agents")},
	} {
		p := open(t, s, s.HTTP, "/runs/"+run+"/transcript", desk)
		must(t, p.Settle())
		if not := missing(t, p, wants); len(not) != len(wants) {
			t.Errorf("without asking, it lacks only %q", not)
		}
		must(t, p.Click(button(".facts button", "more")))
		for _, want := range wants {
			must(t, p.Wait(want))
		}
		must(t, p.Wait(`document.querySelector(".facts [aria-expanded=true]")`))
		clean(t, p)
	}
}
