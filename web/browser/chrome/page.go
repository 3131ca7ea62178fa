package chrome

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
)

// Page is one tab with cookies and storage of its own. Close it.
type Page struct {
	browser *Browser
	ctx     context.Context
	session string
	target  string
	context string // of the browser: what its tabs share

	mu     sync.Mutex
	faults []string
}

// Look is how a page is looked at.
type Look struct {
	Width, Height int
	Dark          bool
	Calm          bool // nothing moves (prefers-reduced-motion): for pictures
}

// watcher runs before anything of the page: it notes what moved without anybody's doing, what the
// page's own policy refused, and how many requests are not answered to their last byte.
const watcher = `(() => {
  let pending = 0;
  const counted = (of, name) => {
    const plain = of[name];
    of[name] = function (...args) { pending++; return plain.apply(this, args).finally(() => pending--); };
  };
  counted(window, "fetch");
  for (const name of ["json", "text", "blob", "arrayBuffer"]) counted(Response.prototype, name);
  window.__pending = () => pending;
  window.__shifts = [];
  new PerformanceObserver((list) => {
    for (const e of list.getEntries()) if (!e.hadRecentInput)
      window.__shifts.push({ value: e.value, at: e.startTime, of: e.sources.map((s) => (s.node && (s.node.className || s.node.nodeName) || "?")
        + " " + JSON.stringify(s.previousRect) + " → " + JSON.stringify(s.currentRect)) });
  }).observe({ type: "layout-shift", buffered: true });
  document.addEventListener("securitypolicyviolation", (e) => console.error("policy violated: " + e.violatedDirective + " " + e.blockedURI));
})()`

// NewPage opens a page of its own: it shares nothing with the others, and believes to be the one in front, as a tab
// behind gets no frames, and answers no click. ctx bounds everything that is done with it.
func (b *Browser) NewPage(ctx context.Context, look Look) (*Page, error) {
	var context struct {
		BrowserContextID string `json:"browserContextId"`
	}
	if err := b.pipe.call(ctx, "", "Target.createBrowserContext", nil, &context); err != nil {
		return nil, err
	}
	p := &Page{browser: b, ctx: ctx, context: context.BrowserContextID}
	if err := p.open(look); err != nil {
		return nil, err
	}
	return p, p.call("Emulation.setFocusEmulationEnabled", map[string]any{"enabled": true}, nil)
}

// NewTabs opens tabs of one window, as a person has them: they share connections and what is stored, and only the one in
// front ([Page.Front]), at first the last, is seen. Close one of them, and all are closed.
func (b *Browser) NewTabs(ctx context.Context, look Look, n int) (tabs []*Page, err error) {
	first, err := b.NewPage(ctx, look)
	if err != nil {
		return nil, err
	}
	if err := first.call("Emulation.setFocusEmulationEnabled", map[string]any{"enabled": false}, nil); err != nil {
		return nil, err
	}
	tabs = append(tabs, first)
	for len(tabs) < n {
		p := &Page{browser: b, ctx: ctx, context: first.context}
		if err := p.open(look); err != nil {
			return nil, err
		}
		tabs = append(tabs, p)
	}
	return tabs, nil
}

// Front brings a tab to the front of its window.
func (p *Page) Front() error { return p.call("Page.bringToFront", nil, nil) }

// open opens the tab in its context.
func (p *Page) open(look Look) error {
	var target struct {
		TargetID string `json:"targetId"`
	}
	where := map[string]any{"url": "about:blank", "browserContextId": p.context}
	if err := p.browser.pipe.call(p.ctx, "", "Target.createTarget", where, &target); err != nil {
		return err
	}
	p.target = target.TargetID
	var session struct {
		SessionID string `json:"sessionId"`
	}
	if err := p.browser.pipe.call(p.ctx, "", "Target.attachToTarget", map[string]any{"targetId": p.target, "flatten": true}, &session); err != nil {
		return err
	}
	p.session = session.SessionID
	p.browser.pipe.listen(p.session, p.event)
	for _, domain := range []string{"Page", "Runtime", "Log"} {
		if err := p.call(domain+".enable", nil, nil); err != nil {
			return err
		}
	}
	if err := p.call("Page.addScriptToEvaluateOnNewDocument", map[string]any{"source": watcher}, nil); err != nil {
		return err
	}
	return p.Look(look)
}

// Trust has the page take a certificate that nobody has signed, as a test's is.
func (p *Page) Trust(unsigned bool) error {
	return p.call("Security.setIgnoreCertificateErrors", map[string]any{"ignore": unsigned}, nil)
}

// Within bounds what is done with the page from now on by ctx.
func (p *Page) Within(ctx context.Context) { p.ctx = ctx }

// Leave leaves the page for an empty one, and what it stored and did wrong behind.
func (p *Page) Leave() error {
	if err := p.Eval(`localStorage.clear()`, nil); err != nil {
		return err
	}
	p.Forget()
	return p.Navigate("about:blank")
}

// Close closes the tab.
func (p *Page) Close() error {
	p.browser.pipe.listen(p.session, nil)
	return p.browser.pipe.call(context.WithoutCancel(p.ctx), "", "Target.disposeBrowserContext", map[string]any{"browserContextId": p.context}, nil)
}

func (p *Page) call(method string, params, result any) error {
	return p.browser.pipe.call(p.ctx, p.session, method, params, result)
}

// Look changes how the page is looked at.
func (p *Page) Look(l Look) error {
	size := map[string]any{"width": l.Width, "height": l.Height, "deviceScaleFactor": 1, "mobile": false}
	if err := p.call("Emulation.setDeviceMetricsOverride", size, nil); err != nil {
		return err
	}
	scheme, motion := "light", "no-preference"
	if l.Dark {
		scheme = "dark"
	}
	if l.Calm {
		motion = "reduce"
	}
	return p.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{
		{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": motion}}}, nil)
}

// Navigate goes to an address and returns when its document is there; [Page.Settle] waits for more.
func (p *Page) Navigate(url string) error {
	var went struct {
		ErrorText string `json:"errorText"`
	}
	if err := p.call("Page.navigate", map[string]any{"url": url}, &went); err != nil {
		return err
	}
	if went.ErrorText != "" {
		return fmt.Errorf("go to %s: %s", url, went.ErrorText)
	}
	return p.Wait(`document.readyState === "complete"`)
}

// Reload loads the page again, as F5 does.
func (p *Page) Reload() error {
	if err := p.Eval(`void (window.__old = true)`, nil); err != nil {
		return err
	}
	if err := p.call("Page.reload", nil, nil); err != nil {
		return err
	}
	return p.Wait(`!window.__old && document.readyState === "complete"`)
}

// Eval evaluates an expression of JavaScript, waits for it if it is a promise, and decodes its value
// into result unless that is nil.
func (p *Page) Eval(expression string, result any) error {
	var got struct {
		Result struct {
			Value json.RawMessage `json:"value"`
		} `json:"result"`
		Exception *struct {
			Text      string `json:"text"`
			Exception struct {
				Description string `json:"description"`
			} `json:"exception"`
		} `json:"exceptionDetails"`
	}
	params := map[string]any{"expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true}
	if err := p.call("Runtime.evaluate", params, &got); err != nil {
		return err
	}
	if got.Exception != nil {
		return fmt.Errorf("evaluate %.200s: %s %s", expression, got.Exception.Text, got.Exception.Exception.Description)
	}
	if result == nil || len(got.Result.Value) == 0 {
		return nil
	}
	return json.Unmarshal(got.Result.Value, result)
}

// often is how many milliseconds pass between two looks at a condition: at each frame would be no sooner
// for a person, and costs a busy machine more than the page itself.
const often = 40

// Wait returns when the condition, an expression, is true; it is looked at every 40 ms. An error
// says what the page showed instead when ctx ended.
func (p *Page) Wait(condition string) error {
	const loop = `new Promise((resolve) => {
  const look = () => { let ok = false; try { ok = Boolean(%s); } catch { /* not there yet */ } if (ok) resolve(true); else setTimeout(look, %d); };
  look();
})`
	for {
		err := p.Eval(fmt.Sprintf(loop, condition, often), nil)
		if err == nil {
			return nil
		}
		if p.ctx.Err() != nil {
			return fmt.Errorf("wait for %s: %w; the page shows: %s", condition, p.ctx.Err(), p.shown())
		}
		if !leftPage(err) {
			return err
		}
	}
}

// leftPage says whether the page went elsewhere while it was asked.
func leftPage(err error) bool {
	text := err.Error()
	return strings.Contains(text, "context was destroyed") || strings.Contains(text, "navigated") || strings.Contains(text, "Cannot find context") ||
		strings.Contains(text, "Cannot find default execution context")
}

// shown is what the page shows, when its time is over.
func (p *Page) shown() string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), patience)
	defer cancel()
	var got struct {
		Result struct{ Value string }
	}
	const ask = `location.href + "\n" + document.body.innerText.slice(0, 3000)`
	if err := p.browser.pipe.call(ctx, p.session, "Runtime.evaluate", map[string]any{"expression": ask, "returnByValue": true}, &got); err != nil {
		return err.Error()
	}
	return got.Result.Value
}

// Settle returns when everything that the page asked for is answered and drawn, three looks long: what
// an answer leads to may ask again. Streams of events, which never end, do not count. What our pages show
// while they wait (class skeleton, aria-busy) counts too: a page may not have come to asking yet.
func (p *Page) Settle() error {
	if err := p.Eval(`void (window.__idle = 0)`, nil); err != nil && !leftPage(err) {
		return err
	}
	return p.Wait(`(() => {
  const idle = document.readyState === "complete" && document.querySelector("main")?.innerText.trim() && window.__pending() === 0
    && !document.querySelector('.skeleton, [aria-busy="true"]');
  window.__idle = idle ? (window.__idle ?? 0) + 1 : 0;
  return window.__idle > 3;
})()`)
}

// Faults are what went wrong in the page: exceptions, errors and warnings on its console, what its
// policy refused. Forget drops them.
func (p *Page) Faults() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.faults...)
}

// Forget drops the faults so far.
func (p *Page) Forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = nil
}

// Shift is something that moved although nobody did anything.
type Shift struct {
	Value float64  `json:"value"`
	At    float64  `json:"at"` // milliseconds since the page began
	Of    []string `json:"of"`
}

// Shifts are those of the present document.
func (p *Page) Shifts() (shifts []Shift, err error) {
	err = p.Eval(`window.__shifts`, &shifts)
	return shifts, err
}

// Screenshot is what is seen, as PNG.
func (p *Page) Screenshot() ([]byte, error) {
	var got struct{ Data string }
	if err := p.call("Page.captureScreenshot", map[string]any{"format": "png", "optimizeForSpeed": false}, &got); err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(got.Data)
}

func (p *Page) event(method string, params json.RawMessage) {
	switch method {
	case "Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded":
		if fault := faultOf(method, params); fault != "" {
			p.mu.Lock()
			p.faults = append(p.faults, fault)
			p.mu.Unlock()
		}
	}
}

func faultOf(method string, params json.RawMessage) string {
	var e struct {
		Type string `json:"type"`
		Args []struct {
			Value       json.RawMessage `json:"value"`
			Description string          `json:"description"`
		} `json:"args"`
		Details struct {
			Text      string `json:"text"`
			Exception struct {
				Description string `json:"description"`
			} `json:"exception"`
		} `json:"exceptionDetails"`
		Entry struct{ Source, Level, Text, URL string } `json:"entry"`
	}
	if json.Unmarshal(params, &e) != nil {
		return method
	}
	switch {
	case method == "Runtime.exceptionThrown":
		return "exception: " + e.Details.Text + " " + e.Details.Exception.Description
	case method == "Log.entryAdded" && (e.Entry.Level == "error" || e.Entry.Level == "warning"):
		return e.Entry.Source + " " + e.Entry.Level + ": " + e.Entry.Text + " " + e.Entry.URL
	case method == "Runtime.consoleAPICalled" && (e.Type == "error" || e.Type == "warning" || e.Type == "assert"):
		text := "console." + e.Type + ":"
		for _, a := range e.Args {
			text += " " + strings.Trim(string(a.Value), `"`) + a.Description
		}
		return text
	}
	return ""
}
