//go:build linux

package browser

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"tachograph/runner/state"
	"tachograph/web/api"
	"tachograph/web/browser/chrome"
)

// TestFigures measures the timelines of runs of 10,000 and 100,000 spans, other people's and our own, and the list of 10,000 runs, with
// Chromium's own tracing (rows 11 and 12 of BENCHMARKS.md). It judges nothing: the figures are for people, and say how busy the machine was.
//
//	TACHO_FIGURES=1 go test -count=1 -timeout 40m -v -run TestFigures ./web/browser
func TestFigures(t *testing.T) {
	if os.Getenv("TACHO_FIGURES") == "" {
		t.Skip("set TACHO_FIGURES=1 to measure the timelines of 10,000 and 100,000 spans and the list of 10,000 runs")
	}
	s := onStage(t)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	sizes := []int{10_000, 100_000}
	for i, n := range sizes {
		run := s.sendTrace(ctx, t, i+1, n)
		t.Run(fmt.Sprint("foreign ", n), func(t *testing.T) { s.measureTimeline(t, run) })
	}
	own := s.written(ctx, t, func(store *state.Store) (runs []string) {
		for _, n := range sizes {
			run, err := writeRun(ctx, store, fmt.Sprintf("A run of about %d spans.", n), n/(callsOfTurn+2))
			must(t, err)
			runs = append(runs, run)
		}
		return runs
	})
	for i, n := range sizes {
		t.Run(fmt.Sprint("own ", n), func(t *testing.T) { s.measureTimeline(t, own[i]) })
	}
	const many = 10_000
	s.written(ctx, t, func(store *state.Store) (last []string) {
		for i := range many {
			run, err := writeRun(ctx, store, fmt.Sprintf("Run %d of many.", i), 0)
			must(t, err)
			last = []string{run}
		}
		return last
	})
	t.Run(fmt.Sprint("list of runs ", many), func(t *testing.T) {
		s.measure(t, "/runs", "tbody tr[id]", []act{{"scroll", fmt.Sprintf(scroll, ".scroll", 20)}})
		s.measure(t, "/runs?q=9876+of+many", "tbody tr[id]", nil)
	})
}

func (s *stage) measureTimeline(t *testing.T, run string) {
	s.measure(t, "/runs/"+run+"/timeline", ".spanrow", []act{{"scroll", fmt.Sprintf(scroll, ".waterfall", 150)}, {"zoom", zoom}})
}

// act is something done with a page for 300 frames.
type act struct{ name, script string }

// measure loads a page twice, at first in a Chromium that has nothing of it, until rows are there, and then does what is to be done with it.
func (s *stage) measure(t *testing.T, path, rows string, acts []act) {
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	p, err := s.browser.NewPage(ctx, chrome.Look{Width: 1440, Height: 900})
	must(t, err)
	defer p.Close()
	for _, state := range []string{"first time", "again"} { // the first also loads the page's program
		events, err := s.browser.Trace(p, func() error {
			if err := p.Navigate(s.HTTP + path); err != nil {
				return err
			}
			return p.Wait(`document.querySelector(` + chrome.Quote(rows) + `) && performance.mark("rows")`)
		})
		must(t, err)
		told, err := paints(events)
		must(t, err)
		t.Logf("load %s, %s, %s: %s", load(), path, state, told)
		must(t, p.Settle())
		must(t, p.Wait(`!document.querySelector(".subbar")?.innerText.includes("so far")`))
	}
	for _, a := range acts {
		events, err := s.browser.Trace(p, func() error { return p.Eval(a.script, nil) })
		must(t, err)
		told, err := frames(events)
		must(t, err)
		t.Logf("load %s, %s: %s", load(), a.name, told)
	}
}

// TestFigureEvents: Chromium's trace has the events that TestFigures reads. It measures nothing.
func TestFigureEvents(t *testing.T) {
	s := onStage(t)
	s.measure(t, "/runs/"+s.failed+"/timeline", ".spanrow", []act{{"zoom", zoom}}) // all its rows are seen: scrolling would draw nothing
}

// scroll moves what the selector names by so many pixels, 300 times; zoom goes in and out about the middle.
const (
	scroll = `new Promise((done) => { const box = document.querySelector(%q); let n = 0; performance.mark("begin");
  const next = () => { box.scrollTop += %d; if (++n < 300) requestAnimationFrame(next); else { performance.mark("end"); done(); } }; requestAnimationFrame(next); })`
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

// paints says when, after the navigation began, something was painted, and what the page's main thread did until then.
func paints(events []chrome.Event) (string, error) {
	slices.SortFunc(events, func(a, b chrome.Event) int { return cmp.Compare(a.At, b.At) })
	begin, ok := find(events, "navigationStart", 1)
	if !ok {
		return "", errors.New("the trace has no navigationStart")
	}
	var out []string
	var rows chrome.Event
	for _, want := range []struct{ what, event string }{{"first paint", "firstPaint"}, {"first contentful", "firstContentfulPaint"}, {"rows are there", "rows"}} {
		if rows, ok = find(events, want.event, begin.At); !ok {
			return "", fmt.Errorf("the trace has no %s", want.event)
		}
		out = append(out, fmt.Sprintf("%s %.0f ms", want.what, (rows.At-begin.At)/1000))
	}
	costs := map[string]float64{}
	for _, e := range events {
		if e.Process == rows.Process && e.At >= begin.At && e.At <= rows.At {
			costs[e.Name] += e.CPU / 1000
		}
	}
	for _, name := range []string{"v8.compile", "EvaluateScript", "FunctionCall", "RunMicrotasks", "UpdateLayoutTree", "Layout", "Paint"} {
		out = append(out, fmt.Sprintf("%s %.0f", name, costs[name]))
	}
	return strings.Join(out, ", "), nil
}

// frames says how long frames took while the page was moved, and what they cost the page's main thread.
func frames(events []chrome.Event) (string, error) {
	slices.SortFunc(events, func(a, b chrome.Event) int { return cmp.Compare(a.At, b.At) })
	begin, ok := find(events, "begin", 1)
	end, ended := find(events, "end", begin.At)
	if !ok || !ended {
		return "", errors.New("the trace has no marks of performance.mark")
	}
	var drawn []float64
	dropped, costs := 0, map[int]float64{} // main thread's, by the frame of 1/60 s in which it was
	for _, e := range events {
		if e.At < begin.At || e.At > end.At {
			continue
		}
		switch {
		case e.Name == "DrawFrame":
			drawn = append(drawn, e.At)
		case e.Name == "DroppedFrame":
			dropped++
		case e.Name == "RunTask" && e.Process == begin.Process && e.Thread == begin.Thread, e.Name == "ThreadControllerImpl::RunTask" && e.Process == begin.Process && e.Thread == begin.Thread:
			costs[int((e.At-begin.At)/16_667)] += e.CPU / 1000
		}
	}
	if len(drawn) < 2 || len(costs) == 0 {
		return "", fmt.Errorf("the trace has %d DrawFrame and %d RunTask", len(drawn), len(costs))
	}
	var gaps []float64
	for i := 1; i < len(drawn); i++ {
		gaps = append(gaps, (drawn[i]-drawn[i-1])/1000)
	}
	return fmt.Sprintf("300 frames asked for in %.1f s, %d drawn, %d dropped; between frames %s; CPU of the page's main thread in 1/60 s %s",
		(end.At-begin.At)/1e6, len(drawn), dropped, spread(gaps), spread(slices.Collect(maps.Values(costs)))), nil
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
	found, err := s.foreignRun(ctx, func(r api.RunSummary) bool {
		return strings.ReplaceAll(r.Id, "-", "") == trace && r.Spans != nil && *r.Spans == int64(n)
	})
	must(t, err)
	return found
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
	must(t, s.sendTraces(ctx, []byte(body), "application/json"))
}
