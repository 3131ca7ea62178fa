//go:build linux

package browser

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tachograph/web/api"
)

// capture sends what a real SDK of somebody else's sent, and waits until its trace is there.
func (s *stage) capture(ctx context.Context) error {
	body, err := os.ReadFile(filepath.Join("..", "..", "collector", "testdata", "captures", "traceloop-openai", "01-traces.pb"))
	if err != nil {
		return err
	}
	if err := s.sendTraces(ctx, body, "application/x-protobuf"); err != nil {
		return err
	}
	s.foreign, err = s.foreignRun(ctx, func(r api.RunSummary) bool {
		return r.Goal == "check_plan.workflow" && r.Spans != nil && *r.Spans == 13
	})
	return err
}

func (s *stage) sendTraces(ctx context.Context, body []byte, kind string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.OTLPHTTP+"/v1/traces", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", kind)
	var answer json.RawMessage
	if kind != "application/json" { // then the answer is none either
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		if response.Body.Close(); response.StatusCode != http.StatusOK {
			return fmt.Errorf("send traces: %s", response.Status)
		}
		return nil
	}
	return answered(request, &answer)
}

// foreignRun waits for a trace.
func (s *stage) foreignRun(ctx context.Context, is func(api.RunSummary) bool) (string, error) {
	return s.listed(ctx, "/api/runs?source=otlp&limit=500", is)
}

// listed waits until a list has such a run. Nobody tells when something is stored in ClickHouse, so it asks.
func (s *stage) listed(ctx context.Context, list string, is func(api.RunSummary) bool) (string, error) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		var got api.RunList
		if err := s.get(ctx, list, &got); err != nil {
			return "", err
		}
		for _, r := range got.Runs {
			if is(r) {
				return r.Id, nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return "", errors.Join(fmt.Errorf("%s has no such run", list), ctx.Err())
		}
	}
}

// foreignHeader is what each view of somebody else's trace has above it.
var foreignHeader = []string{
	shows("h1", "check_plan.workflow"), shows(".facts .badge", "done"), shows(".facts .badge", "no journal"), shows(".facts", "13 spans"), shows(".facts", "6 steps"),
	shows(".facts", "3 calls"), shows(".facts", "kimi-k2.6"), `!document.querySelector(".budgets")`,
}

var foreignNeeds = need{"", []string{"summary", "goal", "status", "steps", "calls", "spans", "model"}}

func (s *stage) foreignViews() []view {
	run := "/runs/" + s.foreign
	none := shows(".empty", "This run has no journal")
	return []view{
		{"runs-foreign", "/runs?source=otlp",
			[]string{shows("#run-"+s.foreign, "check_plan.workflow"), shows("#run-"+s.foreign, "no journal"), shows("#run-"+s.foreign, "kimi-k2.6"), shows("#run-"+s.foreign, "\t6\t3\t"), `!document.getElementById("run-` + s.failed + `")`},
			[]need{{"/api/runs", []string{"runs", "id", "source", "goal", "model", "steps", "calls"}}}},
		{"foreign-transcript", run + "/transcript",
			append(foreignHeader[:len(foreignHeader):len(foreignHeader)], shows(".callhead .tool", "read_file"), shows(".callbody", "No rollback step."), shows(".storyitem .says", "the main risk is the missing rollback step"), shows(".stephead", "researcher"), `document.querySelector("article.storyitem").ariaLabel === "Entry 0"`),
			[]need{foreignNeeds, {"transcript", []string{"items", "seq", "turn", "call", "message", "tool", "result", "text", "agent"}}}},
		{"foreign-timeline", run + "/timeline",
			append(foreignHeader[:len(foreignHeader):len(foreignHeader)], shows(".subbar", "13 spans"), shows(".spanname", "read_file"), shows(".legend", "tool 3"), `new Set([...document.querySelectorAll("[role=treeitem]")].map((e) => e.ariaLevel)).size >= 3`, drawn(".bars", 1000)),
			[]need{foreignNeeds, {"spans", []string{"spans", "total", "parent", "name", "operation", "offset_ns"}}}},
		{"foreign-state", run + "/state", append(foreignHeader[:len(foreignHeader):len(foreignHeader)], none, shows(".empty", "rebuilt entry by entry from the journal")), []need{foreignNeeds}},
		{"foreign-audit", run + "/audit", append(foreignHeader[:len(foreignHeader):len(foreignHeader)], none, shows(".empty", "signed heads that prove")), []need{foreignNeeds}},
	}
}

// TestForeignGrows: a trace that is under way grows in the page, and nobody reloads it.
func TestForeignGrows(t *testing.T) {
	t.Parallel()
	s := onStage(t)
	const trace = "5b8efff7980381030000000000000777"
	at := time.Now().Add(-time.Minute).UnixNano()
	s.sendSpans(t.Context(), t, []string{span(trace, 2, 1, "execute_tool first", "execute_tool", at, at+1e9)})
	run, err := s.foreignRun(t.Context(), func(r api.RunSummary) bool { return strings.ReplaceAll(r.Id, "-", "") == trace })
	must(t, err)
	p := open(t, s, s.HTTP, "/runs/"+run+"/timeline", desk)
	must(t, p.Wait(shows(".spanname", "first")))
	must(t, p.Wait(shows(".subbar", "1 without their parent")))
	must(t, p.Wait(shows(".facts", "no root span")))
	s.sendSpans(t.Context(), t, []string{span(trace, 3, 1, "execute_tool second", "execute_tool", at+2e9, at+3e9)})
	must(t, p.Wait(shows(".spanname", "second")))
	s.sendSpans(t.Context(), t, []string{span(trace, 1, 0, "invoke_agent whole", "invoke_agent", at, at+9e9)})
	must(t, p.Wait(shows(".spanname", "whole")))
	must(t, p.Wait(shows(".facts .badge", "done")))
	must(t, p.Wait(`document.querySelectorAll("[role=treeitem]").length === 3 && !document.querySelector(".subbar").innerText.includes("without")`))
	clean(t, p)
}

// TestLongList: of more runs than one page has, the older ones come when asked for, each once.
func TestLongList(t *testing.T) {
	t.Parallel()
	s := onStage(t)
	const n = 230
	begin := time.Now().Add(-1000 * time.Hour).UnixNano() // below what other tests look at
	var spans []string
	for i := range n {
		at := begin + int64(i)*int64(time.Second)
		spans = append(spans, span(fmt.Sprintf("5b8efff7980381030000000100%06x", i), 1, 0, fmt.Sprintf("one of many, %d", i), "invoke_agent", at, at+1e6))
	}
	s.sendSpans(t.Context(), t, spans)
	_, err := s.foreignRun(t.Context(), func(r api.RunSummary) bool { return r.Goal == "one of many, 0" })
	must(t, err)
	p := open(t, s, s.HTTP, "/runs?source=otlp&q=one+of+many", desk)
	for _, want := range []int{100, 200, n} {
		must(t, p.Wait(fmt.Sprintf(`document.querySelectorAll("tbody tr[id]").length === %d`, want)))
		if want < n {
			must(t, p.Click(button("button", "Older runs")))
		}
	}
	must(t, p.Wait(`![...document.querySelectorAll("button")].some((e) => e.innerText === "Older runs")`))
	var goals []string
	must(t, p.Eval(`[...document.querySelectorAll("tbody tr[id] .runlink")].map((e) => e.innerText)`, &goals))
	for i, goal := range goals {
		if want := fmt.Sprintf("one of many, %d", n-1-i); goal != want {
			t.Fatalf("row %d is %q, want %q", i, goal, want)
		}
	}
	clean(t, p)
}
