package web_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/google/go-cmp/cmp"

	"tachograph/schemas/journal"
	"tachograph/web/api"
)

// event is a server-sent event.
type event struct{ id, name, data string }

// listen opens a live stream; it ends with the test.
func (l *lab) listen(query string, headers ...string) <-chan event {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, l.http.URL+"/api/live?"+query, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := l.client.Do(request)
	if err != nil {
		l.t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/event-stream" {
		l.t.Fatalf("live: %d %v", response.StatusCode, response.Header)
	}
	events, done := make(chan event, 1000), make(chan struct{})
	go func() {
		defer close(done)
		defer close(events)
		defer response.Body.Close()
		lines := bufio.NewScanner(response.Body)
		lines.Buffer(nil, 1<<20)
		var e event
		for lines.Scan() {
			switch name, value, _ := strings.Cut(lines.Text(), ": "); name {
			case "id":
				e.id = value
			case "event":
				e.name = value
			case "data":
				e.data = value
			case "":
				if e.name != "" {
					events <- e
				}
				e = event{}
			}
		}
	}()
	l.t.Cleanup(func() {
		cancel()
		<-done
	})
	return events
}

// until reads events up to the first that is enough.
func until(t *testing.T, events <-chan event, enough func(event) bool) (all []event) {
	t.Helper()
	for e := range events {
		all = append(all, e)
		if enough(e) {
			return all
		}
	}
	t.Fatalf("the stream ended after %v", all)
	return nil
}

func named(name string) func(event) bool { return func(e event) bool { return e.name == name } }

// What a run tells, its end above all, does not wait for the list of all runs: that is also asked of
// ClickHouse, which may be busy or starting again. Pages stayed at "running" then.
func TestLiveRunWhileTheListHangs(t *testing.T) {
	t.Parallel()
	turns := repair()
	turns[1].wait = true
	l := newLab(t, turns)
	run := l.start(nil)
	<-l.asked
	events := l.listen("run=" + run + "&after=-1")
	until(t, events, named("run")) // the header was told once: from now on the list is looked at
	l.hangs.Store(true)
	close(l.free)
	entries := until(t, events, named("end"))
	if !slices.ContainsFunc(entries, func(e event) bool { return strings.Contains(e.data, `"run.ended"`) }) {
		t.Errorf("the end came without the last entry: %v", entries)
	}
	l.hangs.Store(false)
}

func TestLiveRun(t *testing.T) {
	t.Parallel()
	turns := repair()
	turns[1].wait = true
	l := newLab(t, turns)
	run := l.start(nil)
	<-l.asked
	events := l.listen("run=" + run + "&after=-1")
	first := until(t, events, func(e event) bool {
		return e.name == "entry" && strings.Contains(e.data, `"model.asked"`) && strings.Contains(e.data, `"step":2`)
	})
	if first[0].name != "hello" {
		t.Errorf("the first event is %+v", first[0])
	}
	close(l.free)
	rest := until(t, events, named("end"))

	// Told event by event, the story is the same as told at once.
	story := map[int64]api.Item{}
	last := int64(-1)
	for _, e := range append(first, rest...) {
		if e.name != "entry" {
			continue
		}
		var entry api.LiveEntry
		if err := json.Unmarshal([]byte(e.data), &entry); err != nil {
			t.Fatal(err)
		}
		if entry.Seq != last+1 || e.id != strconv.FormatInt(entry.Seq, 10) {
			t.Fatalf("entry %d with id %s follows %d", entry.Seq, e.id, last)
		}
		last = entry.Seq
		for _, item := range entry.Items {
			story[item.Seq] = item
		}
	}
	var told []api.Item
	for _, item := range story {
		told = append(told, item)
	}
	slices.SortFunc(told, func(a, b api.Item) int { return int(a.Seq - b.Seq) })
	if diff := cmp.Diff(get[api.Transcript](l, "/api/runs/"+run+"/transcript?limit=500").Items, told); diff != "" {
		t.Errorf("live it is another story:\n%s", diff)
	}
	if !slices.ContainsFunc(rest, func(e event) bool { return e.name == "piece" && strings.Contains(e.data, "The old one goes.") }) {
		t.Error("no piece of an answer was seen")
	}
	if !slices.ContainsFunc(rest, func(e event) bool { return e.name == "run" && strings.Contains(e.data, `"status":"done"`) }) {
		t.Error("nobody said that the run is done")
	}

	// A connection that was lost goes on after its last event.
	again := until(t, l.listen("run="+run+"&after=0", "Last-Event-ID", strconv.FormatInt(last-2, 10)), named("end"))
	var seqs []string
	for _, e := range again {
		if e.name == "entry" {
			seqs = append(seqs, e.id)
		}
	}
	if want := []string{strconv.FormatInt(last-1, 10), strconv.FormatInt(last, 10)}; !cmp.Equal(seqs, want) {
		t.Errorf("after a lost connection came %v, want %v", seqs, want)
	}
	l.problem(l.do(http.MethodGet, "/api/live?run="+run+"&after=x", ""), http.StatusBadRequest, "invalid")
}

func TestLiveList(t *testing.T) {
	t.Parallel()
	l := newLab(t, repair())
	list := get[api.RunList](l, "/api/runs")
	events := l.listen("after=" + list.AsOf)
	run := l.start(nil)
	seen := until(t, events, func(e event) bool { return e.name == "run" && strings.Contains(e.data, `"status":"done"`) })
	last := seen[len(seen)-1]
	if !strings.Contains(last.data, run) || last.id == "" {
		t.Errorf("the last event is %+v", last)
	}
	// What happened before the last event may come again, what happened after must.
	other := l.start(map[string]any{"prompt": "Later"})
	until(t, l.listen("", "Last-Event-ID", last.id), func(e event) bool { return strings.Contains(e.data, other) })
}

// TestCloseEndsStreams: a server that closes does not wait for onlookers.
func TestCloseEndsStreams(t *testing.T) {
	t.Parallel()
	l := newLab(t, repair())
	events := l.listen("")
	until(t, events, named("hello"))
	l.server.Close()
	for range events {
	}
}

func TestSpansAndArrow(t *testing.T) {
	t.Parallel()
	l, run := finished(t)
	list := get[api.SpanList](l, "/api/runs/"+run+"/spans")
	operations := map[string]int{}
	for _, s := range list.Spans {
		operations[s.Operation]++
		if s.DurationNs == nil || s.OffsetNs < 0 || s.Seq == nil {
			t.Errorf("span %+v", s)
		}
	}
	if diff := cmp.Diff(map[string]int{"invoke_agent": 1, "plan": 4, "chat": 4, "execute_tool": 4}, operations); diff != "" || !list.Journal || list.Open != 0 || list.Total != 13 {
		t.Errorf("spans: %s %+v", diff, list)
	}
	var paged []api.Span
	for cursor := ""; ; {
		page := get[api.SpanList](l, "/api/runs/"+run+"/spans?limit=4"+cursor)
		paged = append(paged, page.Spans...)
		if page.Next == nil {
			break
		}
		cursor = "&cursor=" + *page.Next
	}
	if diff := cmp.Diff(list.Spans, paged); diff != "" {
		t.Errorf("pages of spans differ:\n%s", diff)
	}
	i := slices.IndexFunc(list.Spans, func(s api.Span) bool { return s.Tool != nil && *s.Tool == "write_file" })
	detail := get[api.SpanDetail](l, "/api/runs/"+run+"/spans/"+list.Spans[i].Id)
	if !slices.ContainsFunc(detail.Attributes, func(a api.Attribute) bool {
		return a.Key == "gen_ai.tool.call.arguments" && strings.Contains(a.Value, "sub/new.txt")
	}) {
		t.Errorf("span is %+v", detail)
	}
	l.problem(l.do(http.MethodGet, "/api/runs/"+run+"/spans/00000000000000ff", ""), http.StatusNotFound, "not_found")

	ids, names := []string{}, []string{}
	l.arrow("/api/runs/"+run+"/spans", func(b *ipc.Reader) {
		for r := range b.Record().NumRows() {
			ids = append(ids, hexOf(b.Record().Column(0).(*array.FixedSizeBinary).Value(int(r))))
			names = append(names, b.Record().Column(2).(*array.String).Value(int(r)))
		}
	})
	for n, s := range list.Spans {
		if ids[n] != s.Id || names[n] != s.Name {
			t.Errorf("row %d is %s %s, in JSON %s %s", n, ids[n], names[n], s.Id, s.Name)
		}
	}

	lines := l.do(http.MethodGet, "/api/runs/"+run+"/entries?limit=100000", "", "Accept", "application/x-ndjson")
	var stored [][]byte
	for line := range bytes.Lines(lines.body) {
		stored = append(stored, bytes.TrimSuffix(line, []byte("\n")))
	}
	entries := get[api.EntryList](l, "/api/runs/"+run+"/entries")
	if len(stored) != int(entries.Total) || len(entries.Entries) != len(stored) {
		t.Fatalf("%d lines, %d entries of %d", len(stored), len(entries.Entries), entries.Total)
	}
	n := 0
	l.arrow("/api/runs/"+run+"/entries", func(b *ipc.Reader) {
		for r := range b.Record().NumRows() {
			line := b.Record().Column(6).(*array.Binary).Value(int(r))
			hash := b.Record().Column(5).(*array.FixedSizeBinary).Value(int(r))
			if !bytes.Equal(line, stored[n]) || journal.HashEntry(line) != journal.Hash(hash) || entries.Entries[n].Hash != journal.HashEntry(line).String() {
				t.Errorf("entry %d differs between its forms", n)
			}
			n++
		}
	})
	if n != len(stored) {
		t.Errorf("Arrow has %d entries, want %d", n, len(stored))
	}
}

// TestSpansAfter: whoever has the spans of so many entries is told what is new, and all if it is too far behind.
func TestSpansAfter(t *testing.T) {
	t.Parallel()
	l, run := finished(t)
	lines := func(query string) (ids []string, last api.SpanList) {
		a := l.do(http.MethodGet, "/api/runs/"+run+"/spans"+query, "", "Accept", "application/x-ndjson")
		for line := range bytes.Lines(a.body) {
			last = api.SpanList{}
			decode(t, answer{body: line}, &last)
			for _, s := range last.Spans {
				ids = append(ids, s.Id)
			}
		}
		if last.Entries == nil || last.More != nil || last.Open != 0 {
			t.Fatalf("%s: the last line is %+v", query, last)
		}
		slices.Sort(ids)
		return slices.Compact(ids), last
	}
	all, whole := lines("")
	total := *whole.Entries
	for query, want := range map[string][]string{"?after=1": all, fmt.Sprintf("?after=%d", total): nil, fmt.Sprintf("?after=%d", total+1): all} {
		got, last := lines(query)
		if !slices.Equal(got, want) || *last.Entries != total || !last.Origin.Equal(whole.Origin) {
			t.Errorf("%s: %d spans of %d entries since %v; want %d of %d since %v", query, len(got), *last.Entries, last.Origin, len(want), total, whole.Origin)
		}
	}
}

func (l *lab) arrow(path string, see func(*ipc.Reader)) {
	l.t.Helper()
	a := l.do(http.MethodGet, path, "", "Accept", "application/vnd.apache.arrow.stream")
	r, err := ipc.NewReader(bytes.NewReader(a.body))
	if err != nil {
		l.t.Fatalf("%s: %v", path, err)
	}
	defer r.Release()
	for r.Next() {
		see(r)
	}
	if err := r.Err(); err != nil {
		l.t.Fatal(err)
	}
}

func hexOf(b []byte) string {
	const digits = "0123456789abcdef"
	var out strings.Builder
	for _, c := range b {
		out.WriteByte(digits[c>>4])
		out.WriteByte(digits[c&15])
	}
	return out.String()
}
