//go:build linux

package browser

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"tachograph/web/api"
	"tachograph/web/browser/chrome"
)

// TestFigures measures the timeline of 10,000 and 100,000 spans with Chromium's own tracing (row 11 of
// BENCHMARKS.md). It judges nothing: the figures are for people, and say how busy the machine was.
//
//	TACHO_FIGURES=1 go test -count=1 -v -run TestFigures ./web/browser
func TestFigures(t *testing.T) {
	if os.Getenv("TACHO_FIGURES") == "" {
		t.Skip("set TACHO_FIGURES=1 to measure the timeline of 10,000 and 100,000 spans")
	}
	s := onStage(t)
	for i, n := range []int{10_000, 100_000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
			defer cancel()
			run := s.sendTrace(ctx, t, i+1, n)
			p, err := s.browser.NewPage(ctx, chrome.Look{Width: 1440, Height: 900})
			must(t, err)
			defer p.Close()
			for _, state := range []string{"first time", "again"} { // the first also loads the page's program
				events, err := s.browser.Trace(p, func() error {
					if err := p.Navigate(s.HTTP + "/runs/" + run + "/timeline"); err != nil {
						return err
					}
					return p.Wait(`document.querySelector(".spanrow") && performance.mark("rows")`)
				})
				must(t, err)
				t.Logf("load %s, %s: %s", load(), state, paints(events))
				must(t, p.Wait(shows(".subbar", fmt.Sprintf("%d", n/1000))+` && !document.querySelector(".subbar").innerText.includes("so far")`))
			}
			for _, act := range []struct{ name, script string }{{"scroll", scroll}, {"zoom", zoom}} {
				events, err := s.browser.Trace(p, func() error { return p.Eval(act.script, nil) })
				must(t, err)
				t.Logf("load %s, %s: %s", load(), act.name, frames(events))
			}
		})
	}
}

// scroll moves the rows by about a page in five frames, 300 times; zoom goes in and out about the middle.
const (
	scroll = `new Promise((done) => { const box = document.querySelector(".waterfall"); let n = 0; performance.mark("begin");
  const next = () => { box.scrollTop += 150; if (++n < 300) requestAnimationFrame(next); else { performance.mark("end"); done(); } }; requestAnimationFrame(next); })`
	zoom = `new Promise((done) => { const box = document.querySelector(".waterfall"), r = box.getBoundingClientRect(); let n = 0; performance.mark("begin");
  const next = () => { box.dispatchEvent(new WheelEvent("wheel", { ctrlKey: true, deltaY: n % 120 < 60 ? -30 : 30, clientX: r.x + r.width * 0.7, clientY: r.y + 50, bubbles: true, cancelable: true }));
    if (++n < 300) requestAnimationFrame(next); else { performance.mark("end"); done(); } }; requestAnimationFrame(next); })`
)

func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Fields(string(text))[0]
}

// find is the first event that fits, from a moment on.
func find(events []chrome.Event, name string, from float64) (chrome.Event, bool) {
	for _, e := range events {
		if e.Name == name && e.At >= from {
			return e, true
		}
	}
	return chrome.Event{}, false
}

// paints says when, after the navigation began, something was painted.
func paints(events []chrome.Event) string {
	slices.SortFunc(events, func(a, b chrome.Event) int { return int(a.At - b.At) })
	begin, ok := find(events, "navigationStart", 1)
	if !ok {
		return "the trace has no navigation"
	}
	var out []string
	for _, want := range []struct{ what, event string }{{"first paint", "firstPaint"}, {"first contentful", "firstContentfulPaint"}, {"rows are there", "rows"}} {
		if e, ok := find(events, want.event, begin.At); ok {
			out = append(out, fmt.Sprintf("%s %.0f ms", want.what, (e.At-begin.At)/1000))
		}
	}
	for i := len(events) - 1; i >= 0; i-- {
		if events[i].Name == "largestContentfulPaint::Candidate" {
			out = append(out, fmt.Sprintf("largest contentful %.0f ms", (events[i].At-begin.At)/1000))
			break
		}
	}
	return strings.Join(out, ", ")
}

// frames says how long frames took while the page was moved, and what they cost the page's main thread.
func frames(events []chrome.Event) string {
	slices.SortFunc(events, func(a, b chrome.Event) int { return int(a.At - b.At) })
	begin, ok := find(events, "begin", 1)
	end, ended := find(events, "end", begin.At)
	if !ok || !ended {
		return "the trace has no marks"
	}
	var drawn, costs []float64
	dropped := 0
	for _, e := range events {
		if e.At < begin.At || e.At > end.At {
			continue
		}
		switch {
		case e.Name == "DrawFrame":
			drawn = append(drawn, e.At)
		case e.Name == "DroppedFrame":
			dropped++
		case e.Name == "FireAnimationFrame" && e.Process == begin.Process:
			costs = append(costs, e.CPU/1000)
		}
	}
	var gaps []float64
	for i := 1; i < len(drawn); i++ {
		gaps = append(gaps, (drawn[i]-drawn[i-1])/1000)
	}
	return fmt.Sprintf("300 frames asked for in %.1f s, %d drawn, %d dropped; between frames %s; CPU of a frame's script %s",
		(end.At-begin.At)/1e6, len(drawn), dropped, spread(gaps), spread(costs))
}

func spread(values []float64) string {
	if len(values) == 0 {
		return "unknown"
	}
	slices.Sort(values)
	part := func(p int) float64 { return values[min(len(values)-1, len(values)*p/100)] }
	return fmt.Sprintf("p50 %.1f, p95 %.1f, p99 %.1f ms", part(50), part(95), part(99))
}

// sendTrace sends the trace of an agent of somebody else's with n spans over OTLP: steps of a chat and
// eight calls. It returns its run, once all of it is stored.
func (s *stage) sendTrace(ctx context.Context, t *testing.T, id, n int) string {
	t.Helper()
	trace := fmt.Sprintf("5b8efff79803810300000000%08x", id)
	at := time.Now().Add(-time.Duration(n) * 10 * time.Millisecond).UnixNano()
	spans := []string{span(trace, 1, 0, "invoke_agent big", "invoke_agent", at, at+int64(n)*int64(10*time.Millisecond))}
	step := 0
	for i := 2; i <= n; i++ {
		from := at + int64(i)*int64(10*time.Millisecond)
		name, operation, parent, took := "execute_tool search", "execute_tool", step, 8*time.Millisecond
		if (i-2)%10 == 0 {
			step = i
			name, operation, parent, took = "agent_step", "plan", 1, 99*time.Millisecond
		} else if (i-2)%10 == 1 {
			name, operation = "chat some-model", "chat"
		}
		spans = append(spans, span(trace, i, parent, name, operation, from, from+int64(took)))
		if len(spans) == 2000 || i == n {
			s.sendSpans(ctx, t, spans)
			spans = nil
		}
	}
	tick := time.NewTicker(200 * time.Millisecond) // nobody tells when a foreign span is stored
	defer tick.Stop()
	for {
		var list api.RunList
		must(t, s.get(ctx, "/api/runs?source=otlp", &list))
		for _, run := range list.Runs {
			if strings.ReplaceAll(run.Id, "-", "") == trace && run.Spans != nil && *run.Spans == int64(n) {
				return run.Id
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("the trace does not arrive")
		}
	}
}

func span(trace string, id, parent int, name, operation string, from, to int64) string {
	above := ""
	if parent != 0 {
		above = fmt.Sprintf(`"parentSpanId":"%016x",`, parent)
	}
	return fmt.Sprintf(`{"traceId":"%s","spanId":"%016x",%s"name":%q,"kind":1,"startTimeUnixNano":"%d","endTimeUnixNano":"%d","attributes":[{"key":"gen_ai.operation.name","value":{"stringValue":%q}}]}`,
		trace, id, above, name, from, to, operation)
}

func (s *stage) sendSpans(ctx context.Context, t *testing.T, spans []string) {
	t.Helper()
	body := `{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"big-agent"}}]},"scopeSpans":[{"scope":{"name":"figures"},"spans":[` + strings.Join(spans, ",") + `]}]}]}`
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.OTLPHTTP+"/v1/traces", bytes.NewReader([]byte(body)))
	must(t, err)
	request.Header.Set("Content-Type", "application/json")
	var answer json.RawMessage
	must(t, answered(request, &answer))
}
