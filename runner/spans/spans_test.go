package spans_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"log/slog"
	"sort"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"

	"tachograph/runner/spans"
	"tachograph/runner/state"
	"tachograph/schemas/chat"
	"tachograph/schemas/journal"
)

func TestMain(m *testing.M) {
	asChild()
	goleak.VerifyTestMain(m)
}

func newRunID(t testing.TB) journal.RunID {
	t.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	return journal.RunID(id)
}

func openStore(t testing.TB) *state.Store {
	t.Helper()
	store, err := state.Open(t.TempDir(), state.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

func newRun(t testing.TB, store *state.Store) *state.Run {
	t.Helper()
	r, err := store.Create(t.Context(), newRunID(t), state.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// vars makes an environment of pairs.
func vars(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

// toHTTP is the environment of a user with a receiver of spans at that address.
func toHTTP(address string, more ...string) func(string) string {
	return vars(append(more, "OTEL_EXPORTER_OTLP_ENDPOINT", address, "OTEL_BSP_SCHEDULE_DELAY", "1", "OTEL_LOGS_EXPORTER", "none")...)
}

// open makes an exporter whose back-offs are over at once.
func open(t testing.TB, dir string, env func(string) string) *spans.Exporter {
	t.Helper()
	e, err := spans.Open(t.Context(), spans.Config{Env: env, Dir: dir, Log: slog.New(slog.DiscardHandler), After: atOnce})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func atOnce(time.Duration) <-chan time.Time {
	over := make(chan time.Time, 1)
	over <- time.Time{}
	return over
}

func closeExporter(t testing.TB, e *spans.Exporter) {
	t.Helper()
	if err := e.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// story has every kind of span, and most ways in which one ends.
func story() (*script, map[string]string) {
	s := &script{}
	want := map[string]string{}
	expect := func(name string, seq, last int64, parent, failure string) {
		want[fmt.Sprintf("%s@%d", name, seq)] = fmt.Sprintf("…%d in %s %s", last, parent, failure)
	}
	s.start()
	mark := s.snapshot()

	first := s.turn("/", "look", 3)
	expect("chat kimi-k2.6", first, first+1, fmt.Sprintf("plan /@%d", first), "")
	ok := s.call("/", 0)
	expect("execute_tool bash", ok, ok+3, "invoke_agent /@0", "")
	held := s.propose("/", 1, -1)
	s.decide("/", held, "hold")
	s.hold("/", held)
	s.approve("/", held)
	s.begin("/", held)
	expect("execute_tool bash", held, s.finish("/", held, "error"), "invoke_agent /@0", "error")
	refused := s.propose("/", 2, -1)
	expect("plan /", first, refused, "invoke_agent /@0", "")
	s.decide("/", refused, "hold")
	s.hold("/", refused)
	s.refuse("/", refused)
	expect("execute_tool bash", refused, s.finish("/", refused, "refused"), "invoke_agent /@0", "refused")

	sub := s.spawn("/", "/1")
	asked := s.ask("/1", false, chat.User("help"))
	s.noAnswer("/1", asked, "failed")
	expect("chat gpt-oss", asked, asked+1, fmt.Sprintf("plan /1@%d", asked), "failed")
	again := s.ask("/1", true)
	s.answer("/1", again, "found", 0)
	expect("chat gpt-oss", again, again+1, fmt.Sprintf("plan /1@%d", asked), "")
	expect("plan /1", asked, again+1, fmt.Sprintf("invoke_agent /1@%d", sub), "")
	expect("invoke_agent /1", sub, s.agentEnds("/", "/1", "failed"), "invoke_agent /@0", "failed")

	s.compact()
	lost := s.ask("/", false, chat.User("go on"))
	s.recover(nil, nil, []int64{lost})
	s.noAnswer("/", lost, "lost")
	expect("chat kimi-k2.6", lost, lost+2, fmt.Sprintf("plan /@%d", lost), "lost")
	retried := s.ask("/", true)
	s.answer("/", retried, "again", 1)
	expect("chat kimi-k2.6", retried, retried+1, fmt.Sprintf("plan /@%d", lost), "")
	rerun := s.propose("/", 0, -1)
	expect("plan /", lost, rerun, "invoke_agent /@0", "")
	s.decide("/", rerun, "allow")
	s.begin("/", rerun)
	s.recover(nil, []int64{rerun}, nil)
	s.begin("/", rerun)
	expect("execute_tool bash", rerun, s.finish("/", rerun, "ok"), "invoke_agent /@0", "")

	s.put("/", &journal.Paused{Why: "asked"})
	s.put("/", &journal.Resumed{})
	undone := s.turn("/", "break it", 2)
	expect("chat kimi-k2.6", undone, undone+1, fmt.Sprintf("plan /@%d", undone), "")
	broken := s.propose("/", 0, -1)
	second := s.spawn("/", "/2")
	back := s.rollBack(mark)
	expect("execute_tool bash", broken, back, "invoke_agent /@0", "rolledback")
	expect("plan /", undone, back, "invoke_agent /@0", "rolledback")
	expect("invoke_agent /2", second, back, "invoke_agent /@0", "rolledback")

	last := s.turn("/", "finish", 0)
	expect("chat kimi-k2.6", last, last+1, fmt.Sprintf("plan /@%d", last), "")
	expect("plan /", last, last+1, "invoke_agent /@0", "")
	s.put("/", &journal.Note{Name: "note.test", Raw: []byte(`{"seen":true}`)})
	s.end("done")
	expect("invoke_agent /", 0, int64(len(s.steps)-1), " ", "")
	return s, want
}

func (s *script) compact() {
	s.add("/", func(r *state.Run) journal.Body {
		list := r.State().Agent("/").List
		note := r.Stage(chat.User("[dropped]"))
		next, err := list.Compact(1, 0, note)
		if err != nil {
			panic(err) // the list of a run that is written is here as a whole
		}
		return &journal.ContextCompacted{Kept: 1, New: []journal.Ref{note}, Head: next.Head(), Length: int64(next.Len())}
	})
}

// tree is what the receiver got, in the words of expect.
func (r *receiver) tree() map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := map[string]string{}
	for id, s := range r.spans {
		names[id] = fmt.Sprintf("%s@%s", s.Name, attributes(s.Attributes)["tacho.entry.seq"])
	}
	out := map[string]string{}
	for id, s := range r.spans {
		a := attributes(s.Attributes)
		parent := " "
		if len(s.ParentSpanId) > 0 {
			parent = names[fmt.Sprintf("%x/%x", s.TraceId, s.ParentSpanId)]
		}
		out[names[id]] = fmt.Sprintf("…%s in %s %s", a["tacho.entry.last_seq"], parent, a["error.type"])
		if failed := s.Status.GetCode() == trace.Status_STATUS_CODE_ERROR; failed != (a["error.type"] != "") {
			out[names[id]] += " but its status is " + s.Status.String()
		}
	}
	return out
}

// find returns the only span of that name that the entry opened.
func (r *receiver) find(t testing.TB, name string, seq int64) *trace.Span {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.spans {
		if s.Name == name && attributes(s.Attributes)["tacho.entry.seq"] == fmt.Sprint(seq) {
			return s
		}
	}
	t.Fatalf("no span %s of entry %d", name, seq)
	return nil
}

func TestTree(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"http/protobuf", "http/json", "grpc"} {
		t.Run(strings.ReplaceAll(protocol, "/", " "), func(t *testing.T) {
			t.Parallel()
			to := newReceiver()
			env := func() func(string) string {
				if protocol == "grpc" {
					return vars("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+to.serveGRPC(t), "OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
				}
				return toHTTP(to.serveHTTP(t), "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", protocol)
			}()
			run := newRun(t, openStore(t))
			s, want := story()
			e := open(t, t.TempDir(), env)
			defer closeExporter(t, e)
			e.Follow(run.Journal)
			e.Follow(run.Journal)
			s.playAll(t, run)
			to.await(t, hasRoots(1))
			to.check(t)
			if diff := gocmp.Diff(want, to.tree()); diff != "" {
				t.Errorf("tree (-want +got):\n%s", diff)
			}
		})
	}
}

// TestIdentity holds ids and times to the specification in the package comment.
func TestIdentity(t *testing.T) {
	t.Parallel()
	to := newReceiver()
	run := newRun(t, openStore(t))
	e := open(t, t.TempDir(), toHTTP(to.serveHTTP(t)))
	defer closeExporter(t, e)
	s, _ := story()
	s.playAll(t, run)
	e.Follow(run.Journal)
	to.await(t, hasRoots(1))

	times, started := map[string]uint64{}, map[string]uint64{}
	for line, err := range run.Entries(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		entry, err := journal.Decode(line)
		if err != nil {
			t.Fatal(err)
		}
		times[fmt.Sprint(entry.Seq)] = uint64(entry.Time.UnixNano())
		var begin journal.CallStarted
		if entry.Kind == journal.KindCallStarted && json.Unmarshal(entry.Body, &begin) == nil && begin.Attempt == 1 {
			started[fmt.Sprint(begin.Call)] = uint64(entry.Time.UnixNano())
		}
	}
	id := run.ID()
	for _, got := range to.spans {
		a := attributes(got.Attributes)
		var seq int64
		fmt.Sscan(a["tacho.entry.seq"], &seq)
		name, _, _ := strings.Cut(got.Name, " ")
		if name == "invoke_agent" {
			name = got.Name
		}
		if want := spans.SpanID(id, seq, name); string(got.SpanId) != string(want[:]) || string(got.TraceId) != string(id[:]) {
			t.Errorf("%s@%d: ids %x/%x, want %x/%s", got.Name, seq, got.TraceId, got.SpanId, id[:], want)
		}
		if got.EndTimeUnixNano != times[a["tacho.entry.last_seq"]] {
			t.Errorf("%s@%d ends at %d", got.Name, seq, got.EndTimeUnixNano)
		}
		if got.StartTimeUnixNano != cmp.Or(started[a["tacho.entry.seq"]], times[a["tacho.entry.seq"]]) {
			t.Errorf("%s@%d starts at %d", got.Name, seq, got.StartTimeUnixNano)
		}
		for _, event := range got.Events {
			if event.TimeUnixNano < got.StartTimeUnixNano || event.TimeUnixNano > got.EndTimeUnixNano {
				t.Errorf("%s@%d: event %s lies outside the span", got.Name, seq, event.Name)
			}
		}
		for _, key := range []string{"tacho.run.id", "gen_ai.conversation.id"} {
			if a[key] != id.String() {
				t.Errorf("%s@%d: %s is %q", got.Name, seq, key, a[key])
			}
		}
	}
	root := spans.SpanID(id, 0, "invoke_agent /")
	if to.spans[fmt.Sprintf("%x/%x", id[:], root[:])] == nil {
		t.Error("no root span under its id")
	}
}

// TestSpanIDIsAsEver pins the derivation: other programs compute it too.
func TestSpanIDIsAsEver(t *testing.T) {
	t.Parallel()
	run, err := journal.ParseRunID("01970000-0000-7000-8000-000000000000")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := spans.SpanID(run, 7, "chat").String(), "31fa0d4ead523ec0"; got != want {
		t.Errorf("SpanID = %s, want %s", got, want)
	}
	if got := spans.TraceID(run).String(); got != "01970000000070008000000000000000" {
		t.Errorf("TraceID = %s", got)
	}
}

// events lists a span's events with their attributes but the seq.
func events(s *trace.Span) []string {
	var out []string
	for _, e := range s.Events {
		var pairs []string
		for key, value := range attributes(e.Attributes) {
			if key != "tacho.entry.seq" && key != "tacho.root" {
				pairs = append(pairs, strings.TrimPrefix(key, "tacho.")+"="+value)
			}
		}
		sort.Strings(pairs)
		out = append(out, strings.Join(append([]string{e.Name}, pairs...), " "))
	}
	return out
}

// want compares some of a span's attributes; "" means absent.
func want(t *testing.T, s *trace.Span, pairs map[string]string) {
	t.Helper()
	got := attributes(s.Attributes)
	for key, value := range pairs {
		if got[key] != value {
			t.Errorf("%s: %s = %q, want %q", s.Name, key, got[key], value)
		}
	}
}

func TestAttributes(t *testing.T) {
	t.Parallel()
	to := newReceiver()
	run := newRun(t, openStore(t))
	e := open(t, t.TempDir(), toHTTP(to.serveHTTP(t), "OTEL_RESOURCE_ATTRIBUTES", "team=a%20b,service.name=x", "OTEL_SERVICE_NAME", "agents",
		"OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20key", "OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"))
	defer closeExporter(t, e)
	s, _ := story()
	s.playAll(t, run)
	e.Follow(run.Journal)
	to.await(t, hasRoots(1))

	if got := to.headers.Get("Authorization"); got != "Bearer key" {
		t.Errorf("Authorization = %q", got)
	}
	resource := attributes(to.resource.Values)
	if resource["service.name"] != "agents" || resource["team"] != "a b" {
		t.Errorf("resource %v", resource)
	}
	t.Run("chat", func(t *testing.T) { checkChat(t, to) })
	t.Run("call", func(t *testing.T) { checkCalls(t, to) })
	t.Run("agent", func(t *testing.T) { checkAgents(t, to) })
}

func checkChat(t *testing.T, to *receiver) {
	first := to.find(t, "chat kimi-k2.6", 2)
	if first.Kind != trace.Span_SPAN_KIND_CLIENT {
		t.Errorf("kind %s", first.Kind)
	}
	want(t, first, map[string]string{
		"gen_ai.operation.name": "chat", "gen_ai.provider.name": "moonshot_ai", "gen_ai.request.model": "kimi-k2.6",
		"gen_ai.request.temperature": "0.6", "gen_ai.request.max_tokens": "4096", "gen_ai.request.stream": "true",
		"gen_ai.usage.input_tokens": "100", "gen_ai.usage.output_tokens": "20", "gen_ai.usage.cache_read.input_tokens": "40",
		"gen_ai.usage.reasoning.output_tokens": "5", "tacho.cost_nusd": "1500", "gen_ai.response.finish_reasons": "tool_calls",
		"gen_ai.system_instructions": `[{"type":"text","content":"You are an agent."}]`,
		"gen_ai.input.messages":      `[{"role":"user","parts":[{"type":"text","content":"look"}]}]`,
		"gen_ai.tool.definitions":    `[{"type":"function","name":"bash","description":"Run a command","parameters":{"type":"object"}}]`,
		"tacho.step":                 "1", "tacho.agent.path": "/", "tacho.attempt": "1",
	})
	call := `{"type":"tool_call","id":"call_%d","name":"bash","arguments":{"command":"go test"}}`
	want(t, first, map[string]string{"gen_ai.output.messages": `[{"role":"assistant","parts":[{"type":"reasoning","content":"thinking about answer to look"},` +
		`{"type":"text","content":"answer to look"},` + fmt.Sprintf(call, 0) + "," + fmt.Sprintf(call, 1) + "," + fmt.Sprintf(call, 2) + `],"finish_reason":"tool_call"}]`})
	compacted := 0
	for _, s := range to.spans {
		a := attributes(s.Attributes)
		if a["gen_ai.conversation.compacted"] != "" {
			compacted++
		}
		if s.Name == "chat kimi-k2.6" && a["error.type"] == "lost" {
			want(t, s, map[string]string{"gen_ai.usage.input_tokens": "800", "tacho.usage.estimated": "800", "gen_ai.conversation.compacted": "true",
				"gen_ai.input.messages": `[{"role":"user","parts":[{"type":"text","content":"[dropped]"}]},{"role":"user","parts":[{"type":"text","content":"go on"}]}]`,
				"tacho.cost_nusd":       "", "gen_ai.tool.definitions": "", "tacho.answer.status": "lost"})
		}
		if s.Name == "chat gpt-oss" && a["error.type"] == "failed" && s.Status.Message != "the model is away" {
			t.Errorf("status of a failed question: %q", s.Status.Message)
		}
	}
	if compacted != 1 {
		t.Errorf("%d questions say that the conversation was compacted", compacted)
	}
}

func checkCalls(t *testing.T, to *receiver) {
	ok := to.find(t, "execute_tool bash", 5)
	want(t, ok, map[string]string{
		"gen_ai.tool.name": "bash", "gen_ai.tool.type": "function", "gen_ai.tool.call.id": "call_x", "gen_ai.tool.call.arguments": `{"command":"go test"}`,
		"gen_ai.tool.call.result": "result of ok", "tacho.intent.text": "to see what fails", "tacho.intent.source": "declared",
		"tacho.tool.effect": "write", "tacho.tool.scope": "workspace", "tacho.tool.idempotent": "false", "tacho.tool.reversible": "workspace",
		"tacho.tool.reads": "workspace:a%20b.go | file:///etc/hosts", "tacho.tool.writes": "workspace:out/x | workspace:old", "tacho.tool.hosts": "example.org:443",
		"tacho.tool.observed": "write", "tacho.tool.exit": "0", "tacho.tool.time_us": "1234", "tacho.delta.files": "2", "tacho.delta.added": "10", "tacho.delta.removed": "3",
		"tacho.policy.decision": "allow", "tacho.policy.ids": "policy0", "tacho.policy.reasons": "writes are allow", "tacho.policy.engine": "cedar",
		"tacho.approval.by": "", "tacho.call.status": "ok", "tacho.attempt": "1", "tacho.cut": "", "tacho.unread": "",
	})
	held := to.find(t, "execute_tool bash", 9)
	want(t, held, map[string]string{"tacho.approval.by": "ada", "tacho.policy.decision": "hold", "tacho.call.status": "error", "error.type": "error"})
	refused := to.find(t, "execute_tool bash", 15)
	want(t, refused, map[string]string{"tacho.approval.by": "", "tacho.call.status": "refused", "tacho.attempt": "", "tacho.delta.files": ""})
	if refused.Status.Message != "not today" {
		t.Errorf("status of a refused call: %q", refused.Status.Message)
	}
	if diff := gocmp.Diff([]string{"tacho.call.held call=15 until=2026-11-24T00:00:00Z why=policy", "tacho.call.refused by=ada call=15 reason=not today"}, events(refused)); diff != "" {
		t.Error(diff)
	}
	for _, s := range to.spans {
		if a := attributes(s.Attributes); a["tacho.attempt"] == "2" && a["gen_ai.tool.name"] != "" {
			if diff := gocmp.Diff([]string{"tacho.call.restarted call=" + a["tacho.entry.seq"]}, events(s)); diff != "" {
				t.Error(diff)
			}
		}
	}
}

func checkAgents(t *testing.T, to *receiver) {
	root := to.find(t, "invoke_agent /", 0)
	want(t, root, map[string]string{
		"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "/", "tacho.outcome": "done", "tacho.agent.answers": "4", "tacho.agent.calls": "4",
		"gen_ai.usage.input_tokens": "1200", "tacho.usage.estimated": "800", "tacho.cost_nusd": "6000", "tacho.agent.unpriced": "1", "tacho.run.sandbox": "1",
		"gen_ai.input.messages": `[{"role":"user","parts":[{"type":"text","content":"mend the parser"}]}]`, "tacho.step": "4",
	})
	var names []string
	for _, e := range root.Events {
		names = append(names, strings.TrimPrefix(e.Name, "tacho."))
	}
	if diff := gocmp.Diff("snapshot call.held call.approved context.compacted recovered recovered paused resumed rolledback", strings.Join(names, " ")); diff != "" {
		t.Error(diff)
	}
	for _, s := range to.spans {
		if s.Name == "invoke_agent /1" {
			want(t, s, map[string]string{"gen_ai.provider.name": "openai", "tacho.agent.task": "1", "tacho.outcome": "failed", "tacho.agent.answers": "1",
				"gen_ai.input.messages":  `[{"role":"user","parts":[{"type":"text","content":"look into /1"}]}]`,
				"gen_ai.output.messages": `[{"role":"assistant","parts":[{"type":"text","content":"/1 is failed"}]}]`})
		}
		if s.Name == "invoke_agent /2" {
			want(t, s, map[string]string{"tacho.outcome": "undone", "error.type": "rolledback"})
		}
	}
}
