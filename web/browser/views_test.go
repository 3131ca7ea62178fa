//go:build linux

package browser

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tachograph/web/browser/chrome"
)

// view is a page of ours, what it must show of the stage's runs, and what it lives on.
type view struct {
	name  string
	path  string
	wants []string // conditions on the page, in JavaScript
	needs []need
}

// need is a route that a view asks, with fields that it shows: the view's check must fail when the
// route answers 500, and when one of the fields has another name.
type need struct {
	route  string // the path's end, below /api/runs/ID unless it begins with /api
	fields []string
}

// shows is the condition that an element of that selector is seen and has the text.
func shows(selector, text string) string {
	return fmt.Sprintf(`[...document.querySelectorAll(%s)].some((e) => e.checkVisibility() && e.innerText.includes(%s))`, chrome.Quote(selector), chrome.Quote(text))
}

// says is the condition that an element of that selector is seen and its text matches the pattern.
func says(selector, pattern string) string {
	return fmt.Sprintf(`[...document.querySelectorAll(%s)].some((e) => e.checkVisibility() && /%s/.test(e.innerText))`, chrome.Quote(selector), pattern)
}

// told is the condition that the list of facts says under that label what matches the pattern.
func told(list, label, pattern string) string {
	return fmt.Sprintf(`[...document.querySelectorAll(%s)].some((e) => e.innerText === %s && /%s/.test(e.nextElementSibling.innerText))`, chrome.Quote(list+" dt"), chrome.Quote(label), pattern)
}

// drawn is the condition that a canvas has more than so many pixels of some colour.
func drawn(selector string, most int) string {
	return fmt.Sprintf(`(() => { const c = document.querySelector(%s), copy = new OffscreenCanvas(c.width, c.height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(c, 0, 0); const d = copy.getImageData(0, 0, c.width, c.height).data;
  let n = 0; for (let i = 3; i < d.length; i += 4) if (d[i] > 0) n++; return n > %d; })()`, chrome.Quote(selector), most)
}

const (
	goal    = "The totals of some months are wrong."
	mistake = `for f in *.awk *.sh cases/*; do tr -d "\r" < "$f" > "$f"; done`
)

// header is what each view of a run has above it, of the failed run.
var header = []string{
	shows("h1", goal), shows(".facts .badge", "failed"), shows(".facts", "7 steps"), shows(".facts", "8 calls"), shows(".facts", "script/ledger.yaml"),
	shows(".budget", "7 of 40"), shows(".budget", "of 50.0k"), shows(".budget", "$0.0"), says(".budget", `\d ?m?s of 1h 00m`),
	shows(".tabs [aria-current=page]", ""),
}

// headerNeeds is what the header lives on.
var headerNeeds = need{"", []string{"summary", "goal", "status", "steps", "calls", "usage", "limits", "active_seconds"}}

func (s *stage) views() []view { return append(s.ownViews(), s.foreignViews()...) }

func (s *stage) ownViews() []view {
	run, fork := "/runs/"+s.failed, "/runs/"+s.fork
	turn, before := fmt.Sprint(s.turn), fmt.Sprint(s.turn-1)
	row := func(text string) string { return shows("#run-"+s.failed, text) }
	return []view{
		{"runs", "/runs",
			[]string{row("failed"), row(goal), row("script/ledger.yaml"), row("\t7\t8\t"), row("$0.0"), `/(ago|now)$/.test(document.getElementById("run-` + s.failed + `").innerText.trim())`, shows("#run-"+s.fork, "fork of "), shows("#run-"+s.hostile, "done")},
			[]need{{"/api/runs", []string{"runs", "id", "status", "goal", "model", "steps", "cost", "started_at", "parent"}}}},
		{"transcript", run + "/transcript?seq=" + fmt.Sprint(s.mistake),
			append(slices.Clone(header), shows(".storyitem .thinks", "A refund is a line like any other here"), shows(".storyitem .says", "Refunds are added to the total"),
				shows(".callwhy", "Take refunds off the total."), shows(".callhead .tool", "edit_file"), shows(".callhead", "+1 −1"), shows(".callhead", "write · workspace"), shows(".callbody", "FAIL  cases/windows.csv"), shows(".stephead", "Step 5"), shows(".stephead", "tokens"),
				shows("aside", fmt.Sprintf("Call %d: bash", s.mistake)), shows("aside .box", mistake), shows("aside", "every state of the workspace can be brought back"), shows("aside .difffile", "cases/plain.csv")),
			[]need{headerNeeds, {"transcript", []string{"items", "seq", "turn", "call", "thought", "message", "intent", "tool", "delta", "effect", "result", "text", "args", "reasons"}}, {"diff", nil}}},
		{"timeline", run + "/timeline",
			append(slices.Clone(header), shows(".spanname", "execute_tool edit_file"), shows(".spannote", "Take refunds off the total."), shows(".spannote", "step 5"), shows(".legend", "model 7"), shows(".legend", "tool 8"),
				shows(".subbar", "23 spans"), `new Set([...document.querySelectorAll("[role=treeitem]")].map((e) => e.ariaLevel)).size >= 3`, drawn(".bars", 2000), drawn(".axis canvas", 50), drawn(".overview canvas", 500)),
			[]need{{"spans", []string{"spans", "total", "parent", "name", "operation", "offset_ns", "intent"}}}},
		{"state-messages", run + "/state?seq=" + turn,
			append(slices.Clone(header), shows(".subbar", "after"), shows(".seqof", "of 57"), shows(".message .who", "user"), shows(".message.role-user", goal), shows(".message.role-assistant .call", "edit_file"), shows(".message.role-tool", "FAIL  cases/windows.csv"),
				shows(".message .thinks", "A refund is a line like any other here"), `document.querySelector('.track input').value === "`+turn+`"`),
			[]need{{"state", []string{"entries", "agents", "path"}}, {"messages", []string{"messages", "role", "content", "calls", "tool", "reasoning"}}}},
		{"state-files", run + "/state?seq=" + turn + "&tab=files&path=totals.awk",
			[]string{shows(".filetree", "totals.awk"), shows(".filetree", "README.md"), shows(".filetree .change", "M"), shows(".codeline", `NF == 3 { total[$1] += ($3 == "refund" ? -$2 : $2) }`)},
			[]need{{"state", nil}, {"files", []string{"entries", "name", "change"}}, {"file", nil}}},
		{"state-diff", run + "/state?seq=57&tab=files&files=changed&as=diff&from=" + turn,
			[]string{shows(".filetree", "check.sh"), shows(".difffile > header", "totals.awk"), shows(".filetree .change", "M"), shows(".diffline.del", `NF == 3 { total[$1]`), `document.querySelectorAll('.difffile').length === 8`},
			[]need{{"diff", []string{"changes", "total", "path", "kind"}}}},
		{"state-budgets", run + "/state?seq=" + turn + "&tab=budgets",
			[]string{shows(".panel .budget", "4 of 40"), shows(".table", "See whether refunds are right now."), told(".pairs", "Files", "^sha256:"), shows(".panel", "Rollbacks")},
			[]need{{"state", []string{"usage", "limits", "agents", "intent", "root"}}}},
		{"audit", run + "/audit",
			append(slices.Clone(header), shows(".audit tr", mistake), shows(".audit tr", "allowed"), shows(".audit tr", "policy (cedar)"), shows(".audit tr", "look-around"), shows(".audit tr", "the check did not pass"), shows("[aria-label='Signed heads']", "tacho.local/worker"), shows("[aria-label='Signed heads'] .good", "trusted")),
			[]need{{"audit", []string{"rows", "heads", "decision", "engine", "summary", "policies", "reason", "signers", "trusted"}}}},
		{"fork", run + "/fork?seq=" + before + "&turn=1",
			[]string{shows(".forkpage", "after entry"), shows(".forkpage .pairs", "step 4"), told(".forkpage .pairs", "Then", `\d\d:\d\d`), told(".forkpage .pairs", "Conversation", "[1-9] messages"), shows(".forkpage .pairs", "bash"), `[...document.querySelectorAll(".calldraft textarea")].some((e) => e.value.includes("tr -d"))`,
				`[...document.querySelectorAll(".formfield textarea")].some((e) => e.value.includes("comes from Windows"))`, shows("button.primary", "Fork and run")},
			[]need{{"state", []string{"time", "agents", "messages"}}, {"transcript", []string{"items", "turn", "call", "args", "message"}}}},
		{"compare", fork + "/compare",
			[]string{shows(".spent", "Parent"), shows(".spent", "failed"), shows(".spent", "done"), shows(".spent", "script/ledger.yaml"), shows(".panel", "what each used after entry "+before), shows(".panel", "The model’s turn was given"), shows(".compare td", mistake), shows(".compare td", "sed -i"), shows(".difffile > header", "totals.awk")},
			[]need{{"/api/compare", []string{"a", "b", "rows", "common", "given_turn", "summary", "status", "model"}}, {"diff", nil}}},
	}
}

// open opens a page on a path. When the test ends it is left, and used again: a new one costs a process.
func open(t *testing.T, s *stage, base, path string, look chrome.Look) *chrome.Page {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	p := s.unused()
	if p != nil {
		p.Within(ctx)
		must(t, p.Look(look))
	} else {
		var err error
		p, err = s.browser.NewPage(ctx, look)
		must(t, err)
	}
	must(t, p.Navigate(base+path))
	t.Cleanup(func() {
		if p.Leave() == nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.pages = append(s.pages, p)
		}
	})
	return p
}

// unused is a page that no test looks at any more; nil if there is none.
func (s *stage) unused() *chrome.Page {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.pages)
	if n == 0 {
		return nil
	}
	p := s.pages[n-1]
	s.pages = s.pages[:n-1]
	return p
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// missing are the conditions that do not hold on the page as it is.
func missing(t *testing.T, p *chrome.Page, wants []string) (not []string) {
	t.Helper()
	holds := make([]bool, len(wants))
	list := strings.Join(wants, "),\n() => Boolean(")
	must(t, p.Eval(`[() => Boolean(`+list+`)].map((f) => { try { return f(); } catch { return false; } })`, &holds))
	for i, ok := range holds {
		if !ok {
			not = append(not, wants[i])
		}
	}
	return not
}

var desk = chrome.Look{Width: 1280, Height: 1600}

// TestViews: each view shows what it should, in both themes, reloaded too, without an error on the
// console, without anything that moves by itself, in colours that can be read. No other test runs beside it: a
// run that begins moves those of the list.
func TestViews(t *testing.T) {
	s := onStage(t)
	for _, v := range s.views() {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			p := open(t, s, s.HTTP, v.path, desk)
			for _, loaded := range []string{"opened", "reloaded"} {
				must(t, p.Settle())
				if not := missing(t, p, v.wants); len(not) > 0 {
					var text string
					must(t, p.Eval("document.body.innerText", &text))
					t.Errorf("%s, it lacks\n%s\nand shows\n%.4000s", loaded, strings.Join(not, "\n"), text)
				}
				var at string
				if must(t, p.Eval("location.pathname + location.search", &at)); at != v.path {
					t.Errorf("%s, its address is %s, want %s", loaded, at, v.path)
				}
				for _, dark := range []bool{false, true} {
					look := desk
					look.Dark = dark
					must(t, p.Look(look))
					var found []string
					must(t, p.Eval(contrast, &found))
					for _, f := range found {
						t.Errorf("dark %v: contrast %s", dark, f)
					}
				}
				shifts, err := p.Shifts()
				if must(t, err); len(shifts) > 0 {
					t.Errorf("%s, it moves by itself: %v", loaded, shifts)
				}
				must(t, p.Reload())
			}
			for _, f := range p.Faults() {
				t.Error(f)
			}
		})
	}
}

// TestViewsNotice tests the tests above: spoil what a view lives on, and its check must fail.
func TestViewsNotice(t *testing.T) {
	t.Parallel()
	s := onStage(t)
	for _, v := range s.views() {
		if len(v.needs) == 0 {
			continue
		}
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			between := s.proxied(t)
			p := open(t, s, between.server.URL, v.path, desk)
			must(t, p.Settle())
			if not := missing(t, p, v.wants); len(not) > 0 {
				t.Fatalf("behind the proxy, it lacks\n%s", strings.Join(not, "\n"))
			}
			for _, n := range v.needs {
				route := regexp.MustCompile("^/api/runs/[^/]+/" + regexp.QuoteMeta(n.route) + "$")
				if n.route == "" {
					route = regexp.MustCompile("^/api/runs/[^/]+$")
				} else if strings.HasPrefix(n.route, "/api") {
					route = regexp.MustCompile("^" + regexp.QuoteMeta(n.route) + "$")
				}
				for _, field := range append([]string{""}, n.fields...) {
					between.set(&fault{route, field})
					must(t, p.Reload())
					must(t, p.Settle())
					what := "answers 500"
					if field != "" {
						what = "has another name for " + field
					}
					if between.spoiled() == 0 {
						t.Errorf("the view does not ask %s, or it has no field %q", route, field)
					} else if len(missing(t, p, v.wants)) == 0 {
						t.Errorf("%s %s, and the check does not notice", route, what)
					}
					for _, f := range p.Faults() {
						if strings.HasPrefix(f, "exception") && field == "" {
							t.Errorf("%s %s: %s", route, what, f)
						}
					}
					p.Forget()
				}
			}
		})
	}
}
