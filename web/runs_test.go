package web_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"tachograph/web/api"
)

func TestLists(t *testing.T) {
	t.Parallel()
	l, first := finished(t)
	second := l.start(map[string]any{"prompt": "Another errand"})
	l.rest(second)

	list := get[api.RunList](l, "/api/runs")
	if len(list.Runs) != 2 || list.Runs[0].Id != second || list.Runs[1].Id != first || list.Next != nil {
		t.Fatalf("list is %+v", list)
	}
	page := get[api.RunList](l, "/api/runs?limit=1")
	if len(page.Runs) != 1 || page.Runs[0].Id != second || page.Next == nil {
		t.Fatalf("first page is %+v", page)
	}
	page = get[api.RunList](l, "/api/runs?limit=1&cursor="+*page.Next)
	if len(page.Runs) != 1 || page.Runs[0].Id != first || page.Next != nil {
		t.Fatalf("second page is %+v", page)
	}
	for query, want := range map[string]int{"q=ERRAND": 1, "q=another+files": 0, "q=" + first[24:]: 1, "status=done": 2, "status=failed": 0,
		"status=failed&status=done": 2, "source=tacho": 2, "source=otlp": 0, "project=lab": 2, "project=other": 0, "q=lab%2Fone": 2} {
		if got := get[api.RunList](l, "/api/runs?"+query); len(got.Runs) != want {
			t.Errorf("%s finds %d runs, want %d", query, len(got.Runs), want)
		}
	}
	for _, query := range []string{"limit=0", "limit=501", "limit=x", "status=odd", "cursor=!!!", "cursor=AAAA"} {
		l.problem(l.do(http.MethodGet, "/api/runs?"+query, ""), http.StatusBadRequest, "invalid")
	}

	run := get[api.Run](l, "/api/runs/"+first)
	s := run.Summary
	if s.Status != api.StatusDone || s.Steps != 4 || s.Calls != 4 || s.Tokens != (api.Tokens{Input: 400, Cached: 160, Output: 80, Reasoning: 20}) ||
		s.Cost.Known != api.Unknown || s.Cost.Usd != nil || run.Goal.Text != "Put the files in order." || *run.Directory != l.work || run.Live || *run.Heads == 0 {
		t.Errorf("header is %+v", run)
	}
	l.problem(l.do(http.MethodGet, "/api/runs/01970000-0000-7000-8000-000000000000", ""), http.StatusNotFound, "not_found")
	l.problem(l.do(http.MethodGet, "/api/runs/..%2fetc", ""), http.StatusBadRequest, "invalid")
}

// everything reads all pages of a transcript.
func everything(l *lab, run string, limit int) (all []api.Item) {
	for from := int64(0); ; {
		page := get[api.Transcript](l, fmt.Sprintf("/api/runs/%s/transcript?from=%d&limit=%d", run, from, limit))
		all = append(all, page.Items...)
		if page.Next == nil {
			return all
		}
		from = *page.Next
	}
}

func TestTranscript(t *testing.T) {
	t.Parallel()
	l, run := finished(t)
	whole := get[api.Transcript](l, "/api/runs/"+run+"/transcript?limit=500")
	turns, calls := items(whole, api.ItemTypeTurn), items(whole, api.ItemTypeCall)
	if len(turns) != 4 || len(calls) != 4 || whole.Items[0].Type != api.ItemTypeStart || whole.Items[0].Start.Goal.Text != "Put the files in order." {
		t.Fatalf("%d turns, %d calls: %+v", len(turns), len(calls), whole.Items)
	}
	if first := turns[0].Turn; first.Thought.Text != "What is there?" || first.Message.Text != "I look first." || *first.Calls != 2 || first.Tokens.Input != 100 {
		t.Errorf("first turn is %+v", first)
	}
	read := calls[1].Call
	if read.Tool != "read_file" || read.Status != api.CallStatusOk || read.Intent.Text != "Read the hostile file." || *read.Effect != "read" ||
		*read.Scope != "workspace" || read.Decision.Decision != "allow" || *read.Summary != "evil.html" || !strings.Contains(read.Result.Text, script1) {
		t.Errorf("the call is %+v", read)
	}
	if write := calls[2].Call; write.Delta.Files != 2 && write.Delta.Files != 1 || write.Delta.Added != 2 || *write.Observed != "write" {
		t.Errorf("the writing call changed %+v", write.Delta)
	}
	for _, limit := range []int{1, 2, 3, 7} {
		if diff := cmp.Diff(whole.Items, everything(l, run, limit)); diff != "" {
			t.Errorf("pages of %d tell another story:\n%s", limit, diff)
		}
	}
	var back []api.Item
	for before := int64(1 << 50); ; {
		page := get[api.Transcript](l, fmt.Sprintf("/api/runs/%s/transcript?before=%d&limit=3", run, before))
		back = append(append([]api.Item{}, page.Items...), back...)
		if page.Previous == nil {
			break
		}
		before = *page.Previous
	}
	if diff := cmp.Diff(whole.Items, back); diff != "" {
		t.Errorf("told backwards it is another story:\n%s", diff)
	}
	l.problem(l.do(http.MethodGet, "/api/runs/"+run+"/transcript?from=1&before=3", ""), http.StatusBadRequest, "invalid")
}

// TestContentIsNeverMoreThanText: whatever a tool wrote comes as text or octets, and only if an entry
// names it.
func TestContentIsNeverMoreThanText(t *testing.T) {
	t.Parallel()
	l, run := finished(t)
	call := items(get[api.Transcript](l, "/api/runs/"+run+"/transcript"), api.ItemTypeCall)[1].Call
	a := l.do(http.MethodGet, fmt.Sprintf("/api/runs/%s/content/%s?part=%s", run, *call.Result.Ref, *call.Result.Part), "")
	if !strings.Contains(string(a.body), script1) || a.header.Get("Content-Type") != "text/plain; charset=utf-8" ||
		a.header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(a.header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("content came as %v %s", a.header, a.body)
	}
	l.problem(l.do(http.MethodGet, fmt.Sprintf("/api/runs/%s/content/%s?part=call/7", run, *call.Result.Ref), ""), http.StatusNotFound, "not_found")
	l.problem(l.do(http.MethodGet, "/api/runs/"+run+"/content/sha256:"+strings.Repeat("0", 63)+"1", ""), http.StatusNotFound, "not_found")
	l.problem(l.do(http.MethodGet, "/api/runs/"+run+"/content/nonsense", ""), http.StatusBadRequest, "invalid")
	if root := get[api.Run](l, "/api/runs/"+run).Root; root != nil { // an object is no content
		l.problem(l.do(http.MethodGet, "/api/runs/"+run+"/content/"+*root, ""), http.StatusNotFound, "not_found")
	}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	l, run := finished(t)
	now := get[api.FileList](l, "/api/runs/"+run+"/files")
	changes := map[string]api.FileChange{}
	for _, f := range now.Entries {
		if f.Change != nil {
			changes[f.Name] = *f.Change
		}
	}
	if diff := cmp.Diff(map[string]api.FileChange{"sub": api.FileChangeAdded}, changes); diff != "" || !cmp.Equal(now.Removed, []string{"old.txt"}) {
		t.Errorf("changes %s, removed %v", diff, now.Removed)
	}
	if before := get[api.FileList](l, "/api/runs/"+run+"/files?seq=0"); len(before.Entries) != 4 || before.Removed != nil {
		t.Errorf("at the start: %+v", before.Entries)
	}
	if a := l.do(http.MethodGet, "/api/runs/"+run+"/file?path=sub/new.txt", ""); string(a.body) != "one\ntwo\n" {
		t.Errorf("file is %q", a.body)
	}
	a := l.do(http.MethodGet, "/api/runs/"+run+"/file?path=binary", "")
	if a.header.Get("Content-Type") != "application/octet-stream" || a.header.Get("Content-Disposition") != "attachment" || string(a.body) != "a\x00b\xff" {
		t.Errorf("binary file came as %v %q", a.header, a.body)
	}
	// A long text of two-byte characters in pieces of an odd length: each is text, all together the file.
	var text strings.Builder
	for offset := "0"; offset != ""; {
		a := l.do(http.MethodGet, "/api/runs/"+run+"/file?path=long.txt&limit=300001&offset="+offset, "")
		if a.header.Get("Content-Type") != "text/plain; charset=utf-8" || !utf8.Valid(a.body) || len(a.body) == 0 {
			t.Fatalf("piece at %s is %v", offset, a.header)
		}
		text.Write(a.body)
		offset = a.header.Get("X-Next-Offset")
	}
	if text.String() != strings.Repeat("å", 1<<20) {
		t.Errorf("the pieces are %d bytes", text.Len())
	}
	for path, status := range map[string]int{"../../etc/passwd": 404, "nothing": 404, "sub": 400, "": 400} {
		if a := l.do(http.MethodGet, "/api/runs/"+run+"/file?path="+url.QueryEscape(path), ""); a.status != status {
			t.Errorf("file %q: %d, want %d", path, a.status, status)
		}
	}
	diff := get[api.Diff](l, "/api/runs/"+run+"/diff")
	var kinds []string
	for _, c := range diff.Changes {
		kinds = append(kinds, string(c.Kind)+" "+c.Path)
	}
	if !cmp.Equal(kinds, []string{"removed old.txt", "added sub", "added sub/new.txt"}) {
		t.Errorf("diff is %v", kinds)
	}
	patch := l.do(http.MethodGet, "/api/runs/"+run+"/diff?path=sub", "", "Accept", "text/plain")
	if !strings.Contains(string(patch.body), "+one\n+two\n") || strings.Contains(string(patch.body), "old.txt") {
		t.Errorf("patch is %s", patch.body)
	}
	l.problem(l.do(http.MethodGet, "/api/runs/"+run+"/diff?to=100000", ""), http.StatusNotFound, "not_found")
	l.problem(l.do(http.MethodGet, "/api/runs/"+run+"/diff", "", "Accept", "image/png"), http.StatusNotAcceptable, "not_acceptable")
}

func TestStateAuditVerify(t *testing.T) {
	t.Parallel()
	l, run := finished(t)
	state := get[api.State](l, "/api/runs/"+run+"/state")
	if state.Status != "ended" || len(state.Agents) != 1 || state.Agents[0].Messages == 0 || len(state.Snapshots) == 0 {
		t.Errorf("state is %+v", state)
	}
	if early := get[api.State](l, "/api/runs/"+run+"/state?seq=1"); early.Status != "running" || early.Agents[0].Messages != 0 || early.State == state.State {
		t.Errorf("early state is %+v", early)
	}
	messages := get[api.MessageList](l, "/api/runs/"+run+"/messages?from=1&limit=2")
	if len(messages.Messages) != 2 || messages.Messages[0].Role != "user" || messages.Messages[1].Role != "assistant" ||
		len(messages.Messages[1].Calls) != 2 || messages.Messages[1].Reasoning.Text != "What is there?" || *messages.Next != 3 {
		t.Errorf("messages are %+v", messages)
	}
	l.problem(l.do(http.MethodGet, "/api/runs/"+run+"/messages?agent=/9", ""), http.StatusNotFound, "not_found")
	l.problem(l.do(http.MethodGet, "/api/runs/"+run+"/state?seq=100000", ""), http.StatusNotFound, "not_found")

	audit := get[api.Audit](l, "/api/runs/"+run+"/audit?kind=decision")
	if len(audit.Rows) != 4 || audit.Rows[3].Tool == nil || *audit.Rows[3].Tool != "delete_file" || *audit.Rows[3].Decision != "allow" || len(audit.Rows[3].Policies) == 0 {
		t.Errorf("decisions are %+v", audit.Rows)
	}
	if len(audit.Heads) == 0 || !audit.Heads[0].Signers[0].Trusted || audit.Heads[0].Size != audit.Entries {
		t.Errorf("heads are %+v", audit.Heads)
	}
	var rows []api.AuditRow
	for from := int64(0); ; {
		page := get[api.Audit](l, fmt.Sprintf("/api/runs/%s/audit?limit=2&from=%d", run, from))
		rows = append(rows, page.Rows...)
		if page.Next == nil {
			break
		}
		from = *page.Next
	}
	if diff := cmp.Diff(get[api.Audit](l, "/api/runs/"+run+"/audit").Rows, rows); diff != "" {
		t.Errorf("pages of the audit differ:\n%s", diff)
	}

	if v := get[api.Run](l, "/api/runs/"+run).Verification; v != nil {
		t.Errorf("verified before anybody asked: %+v", v)
	}
	a := l.do(http.MethodPost, "/api/runs/"+run+"/verify", "{}")
	var v api.Verification
	decode(t, a, &v)
	if v.Verdict != api.VerificationVerdictVerified || v.Covered != audit.Entries || len(v.Findings) != 0 {
		t.Errorf("verification is %+v", v)
	}
	if kept := get[api.Run](l, "/api/runs/"+run).Verification; kept == nil || kept.Verdict != v.Verdict {
		t.Errorf("the header says %+v", kept)
	}
}
