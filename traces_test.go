//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tachograph/web/api"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestOtherPeoplesTraces sends what real SDKs sent to the real collector, and reads what the pages read: the list, each
// transcript, timeline and span.
func TestOtherPeoplesTraces(t *testing.T) {
	t.Parallel()
	u := newKilled(t, 2).up()
	defer u.down()
	files, err := filepath.Glob("collector/testdata/captures/*/*")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		u.post(t, file)
	}
	const traces = 19
	u.settle(t, func() bool { return len(ask[api.RunList](u, "/api/runs?source=otlp").Runs) == traces })
	var told strings.Builder
	runs := ask[api.RunList](u, "/api/runs?source=otlp").Runs
	slices.SortFunc(runs, func(a, b api.RunSummary) int { return strings.Compare(deref(a.Service)+a.Id, deref(b.Service)+b.Id) })
	for _, r := range runs {
		fmt.Fprintf(&told, "\n%s · %s · %s · %s: %d spans, %d steps, %d calls, %d agents, %d errors, %d → %d tokens\n", deref(r.Service), r.Goal, r.Model, r.Status,
			deref(r.Spans), r.Steps, r.Calls, r.Agents, r.Errors, r.Tokens.Input, r.Tokens.Output)
		hex := strings.ReplaceAll(r.Id, "-", "") // as everybody else spells a trace's id
		if header := ask[api.Run](u, "/api/runs/"+hex); header.Summary.Id != r.Id || header.Live {
			t.Errorf("header of %s is %+v", hex, header)
		}
		for _, item := range ask[api.Transcript](u, "/api/runs/"+r.Id+"/transcript").Items {
			told.WriteString(say(item))
		}
		u.eachSpan(t, r)
		for _, view := range []string{"state", "audit", "entries", "files"} {
			if p := u.refused(t, "/api/runs/"+r.Id+"/"+view, http.StatusConflict); p.Kind != "no_journal" || !strings.Contains(p.Detail, "timeline") {
				t.Errorf("%s of a trace is refused with %+v", view, p)
			}
		}
	}
	if p := u.refused(t, "/api/runs/00000000000000000000000000000001", http.StatusNotFound); p.Kind != "not_found" || !strings.Contains(p.Detail, "/api/runs") {
		t.Errorf("a trace that is not there: %+v", p)
	}
	golden(t, "testdata/transcripts.txt", told.String())
}

// eachSpan compares the three forms of a list of spans, and reads each span whole.
func (u *upped) eachSpan(t *testing.T, r api.RunSummary) {
	t.Helper()
	page := ask[api.SpanList](u, "/api/runs/"+r.Id+"/spans")
	if page.Journal || page.Total != *r.Spans || int64(len(page.Spans)) != page.Total {
		t.Errorf("%s has %d spans, the list says %d of %d", r.Id, len(page.Spans), page.Total, *r.Spans)
	}
	var streamed api.SpanList
	lines := bytes.Split(bytes.TrimSpace(u.fetch(t, "/api/runs/"+r.Id+"/spans", "application/x-ndjson", http.StatusOK)), []byte("\n"))
	if err := json.Unmarshal(lines[len(lines)-1], &streamed); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(page, streamed); diff != "" {
		t.Errorf("page and stream differ:\n%s", diff)
	}
	paged := []api.Span{}
	for cursor := ""; ; {
		one := ask[api.SpanList](u, "/api/runs/"+r.Id+"/spans?limit=2"+cursor)
		paged = append(paged, one.Spans...)
		if one.Next == nil {
			break
		}
		cursor = "&cursor=" + *one.Next
	}
	if diff := cmp.Diff(page.Spans, paged); diff != "" {
		t.Errorf("pages differ from the whole:\n%s", diff)
	}
	for _, span := range page.Spans {
		whole := ask[api.SpanDetail](u, "/api/runs/"+r.Id+"/spans/"+span.Id)
		if whole.Span.Name != span.Name || len(whole.Resource) == 0 {
			t.Errorf("span %s is %+v", span.Id, whole)
		}
		for _, a := range whole.Attributes {
			if a.Ref == nil {
				continue
			}
			if b := u.fetch(t, "/api/runs/"+r.Id+"/content/"+*a.Ref+"?limit=4000000", "", http.StatusOK); int64(len(b)) != *a.Size || !bytes.HasPrefix(b, []byte(a.Value)) {
				t.Errorf("%s of span %s has %d bytes, want %d", a.Key, span.Id, len(b), *a.Size)
			}
		}
	}
}

// say tells an item in a line or a few.
func say(item api.Item) string {
	var b strings.Builder
	line := func(mark, text string) { fmt.Fprintf(&b, "      %s %.160q\n", mark, text) }
	if c := item.Call; c != nil {
		fmt.Fprintf(&b, "  %3d %s calls %s: %s\n", item.Seq, item.Agent, c.Tool, c.Status)
		line("(", c.Args.Text)
		if c.Result != nil {
			line("=", c.Result.Text)
		}
	}
	if turn := item.Turn; turn != nil {
		fmt.Fprintf(&b, "  %3d %s step %d, %s: %s %s\n", item.Seq, item.Agent, deref(item.Step), turn.Model, turn.Status, deref(turn.Finish))
		for _, h := range turn.Heard {
			line("< "+h.Role, h.Text.Text)
		}
		if turn.Thought != nil {
			line("> thinks", turn.Thought.Text)
		}
		if turn.Message != nil {
			line("> says", turn.Message.Text)
		}
		for _, a := range turn.Asks {
			line("> asks for "+a.Tool, a.Args.Text)
		}
		if turn.Error != nil {
			line("!", turn.Error.Text)
		}
	}
	return b.String()
}

// golden compares with a file, or writes it.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (want -, got +; -update rewrites it):\n%s", file, diff)
	}
}

// post sends a captured request as its client did.
func (u *upped) post(t *testing.T, file string) {
	t.Helper()
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	kind := "application/x-protobuf"
	if strings.HasSuffix(file, ".json") {
		kind = "application/json"
	}
	signal, _, _ := strings.Cut(filepath.Base(file)[len("01-"):], ".")
	response, err := http.Post(u.OTLPHTTP+"/v1/"+signal, kind, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if text, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %s", file, response.Status, text)
	}
}

func (u *upped) fetch(t *testing.T, path, accept string, status int) []byte {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, u.HTTP+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", accept)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != status {
		t.Fatalf("GET %s: %s %v\n%.500s", path, response.Status, err, body)
	}
	return body
}

func (u *upped) refused(t *testing.T, path string, status int) (p api.Problem) {
	t.Helper()
	if err := json.Unmarshal(u.fetch(t, path, "", status), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

func ask[T any](u *upped, path string) (v T) {
	u.t.Helper()
	if err := json.Unmarshal(u.fetch(u.t, path, "application/json", http.StatusOK), &v); err != nil {
		u.t.Fatal(err)
	}
	return v
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
