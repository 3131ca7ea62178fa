package spans_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"

	"tachograph/runner/spans"
	"tachograph/runner/state"
	"tachograph/schemas/chat"
	"tachograph/schemas/journal"
)

// exported is what a receiver gets of a run that is written.
func exported(t testing.TB, j spans.Source, more ...string) *receiver {
	t.Helper()
	to := newReceiver()
	e := open(t, t.TempDir(), toHTTP(to.serveHTTP(t), more...))
	e.Follow(j)
	closeExporter(t, e)
	to.check(t)
	return to
}

// TestWithoutContent: with capture off, nothing that a person, a model or a tool wrote leaves.
func TestWithoutContent(t *testing.T) {
	t.Parallel()
	run := newRun(t, openStore(t))
	s, tree := story()
	s.playAll(t, run)
	for _, off := range []string{"false", "no", "NO_CONTENT", "EVENT_ONLY"} {
		to := exported(t, run.Journal, "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", off)
		if diff := cmp.Diff(tree, to.tree()); diff != "" {
			t.Error(diff)
		}
		all := ""
		for _, s := range to.all() {
			all += s
		}
		for _, secret := range []string{"mend the parser", "look", "thinking", "go test", "result of", "ada", "not today", "to see", "example.org", "b.go", "writes are", "it failed", "because of", "model is away"} {
			if strings.Contains(all, secret) {
				t.Errorf("%s: %q is on a span", off, secret)
			}
		}
		want(t, to.find(t, "chat kimi-k2.6", 2), map[string]string{"gen_ai.request.temperature": "0.6", "gen_ai.usage.input_tokens": "100"})
	}
}

// TestCut has content over every limit, and bytes that are no UTF-8.
func TestCut(t *testing.T) {
	t.Parallel()
	run := newRun(t, openStore(t))
	s := &script{}
	s.start()
	huge := strings.Repeat("ä\"<é\n", 300_000)
	asked := s.ask("/", false, chat.System(huge), chat.User(huge), chat.User("end\xff"))
	s.answer("/", asked, huge, 1)
	call := s.add("/", func(r *state.Run) journal.Body {
		var read []string
		for i := range 1000 {
			read = append(read, fmt.Sprint("file", i))
		}
		targets, _ := json.Marshal(map[string]any{"read": read, "written": []string{strings.Repeat("x", 70_000)}})
		return &journal.CallProposed{Step: 1, Tool: "http", Args: stage(r, `{"body":"`+huge+`"}`), Intent: -1, Effect: "write", Scope: "external", Targets: r.Stage(targets)}
	})
	s.decide("/", call, "deny")
	s.add("/", func(r *state.Run) journal.Body {
		return &journal.CallEnded{Call: call, Status: "denied", Message: r.Stage([]byte("\xff\xfe no message " + huge)), Root: r.State().Root, Observed: "none"}
	})
	for range 600 {
		s.add("/", func(r *state.Run) journal.Body {
			return &journal.AlarmRaised{Alarm: "disk.full", Reason: stage(r, huge[:1000])}
		})
	}
	s.end("failed")
	for i := range s.steps {
		if _, err := run.Append(t.Context(), state.Draft{Agent: "/", Body: s.steps[i].body(run)}); err != nil {
			t.Fatal(err)
		}
	}
	to := exported(t, run.Journal)
	if len(to.spans) != 4 || to.biggest > 3<<20 {
		t.Errorf("%d spans, biggest request %d bytes", len(to.spans), to.biggest)
	}
	for _, got := range to.spans {
		if n := len(wire(got)); n > 1<<20 {
			t.Errorf("%s takes %d bytes", got.Name, n)
		}
		for key, value := range attributes(got.Attributes) {
			if !utf8.ValidString(value) {
				t.Errorf("%s of %s is no UTF-8", key, got.Name)
			}
			isJSON := strings.HasSuffix(key, ".messages") || strings.HasSuffix(key, "instructions") || strings.HasSuffix(key, "definitions")
			if isJSON && !json.Valid([]byte(value)) {
				t.Errorf("%s of %s is no JSON: …%q", key, got.Name, value[max(0, len(value)-80):])
			}
		}
	}
	cut := func(name string, seq int64) string {
		return attributes(to.find(t, name, seq).Attributes)["tacho.cut"]
	}
	if got := cut("chat kimi-k2.6", asked); strings.Count(got, " of ") != 3 || !strings.Contains(got, "gen_ai.output.messages: ") {
		t.Errorf("the question's cut: %s", got)
	}
	wantCut := fmt.Sprintf("gen_ai.tool.call.arguments: 196608 of %d | gen_ai.tool.call.result: 196608 of %d | tacho.tool.reads: 256 of 1000 items | tacho.tool.writes: 0 of 1 items",
		len(huge)+11, len(huge)+len("\xff\xfe no message "))
	if got := cut("execute_tool http", call); got != wantCut {
		t.Errorf("the call's cut: %s", got)
	}
	root := to.find(t, "invoke_agent /", 0)
	want(t, root, map[string]string{"tacho.events_dropped": "88", "error.type": "failed"})
	if len(root.Events) != 512 || root.Status.Message != "because of failed" {
		t.Errorf("%d events, status %v", len(root.Events), root.Status)
	}

	short := exported(t, run.Journal, "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "100")
	want(t, short.find(t, "execute_tool http", call), map[string]string{"tacho.tool.reads": "workspace:file0 | workspace:file1 | workspace:file2 | workspace:file3 | workspace:file4 | workspace:file5"})
}

// broken is a run whose content cannot be read, as after its family was erased.
type broken struct{ *state.Journal }

func (broken) Content(context.Context, journal.Ref) ([]byte, error) { return nil, errors.New("erased") }

func TestErased(t *testing.T) {
	t.Parallel()
	run := newRun(t, openStore(t))
	s, tree := story()
	s.playAll(t, run)
	to := exported(t, broken{run.Journal})
	if diff := cmp.Diff(tree, to.tree()); diff != "" {
		t.Error(diff)
	}
	want(t, to.find(t, "execute_tool bash", 5), map[string]string{"gen_ai.tool.call.result": "",
		"tacho.unread": "tacho.intent.text | tacho.policy.reasons | gen_ai.tool.call.arguments | gen_ai.tool.call.result | tacho.tool.reads"})
}

// damaged is a run whose journal breaks off with something that is no entry.
type damaged struct{ *state.Journal }

func (d damaged) Entries(ctx context.Context, from int64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for line, err := range d.Journal.Entries(ctx, from) {
			if !yield(line[:len(line)-1], err) {
				return
			}
		}
	}
}

func TestDamaged(t *testing.T) {
	t.Parallel()
	run := newRun(t, openStore(t))
	s, _ := story()
	s.playAll(t, run)
	if to := exported(t, damaged{run.Journal}); len(to.spans) != 0 {
		t.Errorf("%d spans of a damaged journal", len(to.spans))
	}
}

// TestForkLinksToItsParent, and shows agents that came with the parent's state.
func TestForkLinksToItsParent(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	run := newRun(t, store)
	s := &script{}
	s.start()
	s.snapshot()
	s.spawn("/", "/1")
	s.playAll(t, run)
	fork, err := store.Create(t.Context(), newRunID(t), state.CreateOptions{Parent: &state.ForkPoint{Run: run.ID(), Seq: 2}})
	if err != nil {
		t.Fatal(err)
	}
	at := run.State()
	f := &script{}
	f.add("/", func(r *state.Run) journal.Body {
		return &journal.RunStarted{Spec: at.Spec, Goal: at.Goal, Model: at.Model, Family: at.Family, Base: at.Base, Root: at.Root, Policy: at.Policy,
			Sandbox: "1", Turn: r.Stage(chat.Assistant(chat.Parsed{})),
			Parent: &journal.Parent{Run: at.Run, Seq: at.Next - 1, Entry: at.Tip, State: at.Hash()}}
	})
	f.add("/", nil) // the store's own: a fork begins with a checkpoint
	asked := f.ask("/", false, chat.User("go"))
	f.add("/", func(r *state.Run) journal.Body {
		return &journal.ModelAnswered{Asked: asked, Status: "given", Message: r.State().Agent("/").Turn, Finish: "stop"}
	})
	f.turn("/1", "help", 0)
	f.end("done")
	f.playAll(t, fork)

	to := exported(t, fork.Journal)
	root := to.find(t, "invoke_agent /", 0)
	id, parent := run.ID(), spans.SpanID(run.ID(), 0, "invoke_agent /")
	if len(root.Links) != 1 || string(root.Links[0].TraceId) != string(id[:]) || string(root.Links[0].SpanId) != string(parent[:]) ||
		attributes(root.Links[0].Attributes)["tacho.relation"] != "fork_of" {
		t.Errorf("links %v", root.Links)
	}
	want(t, root, map[string]string{"tacho.run.parent": id.String(), "tacho.run.parent_seq": "2", "tacho.run.family": id.String()})
	given := to.find(t, "chat kimi-k2.6", asked)
	if given.Kind != trace.Span_SPAN_KIND_INTERNAL {
		t.Errorf("a given turn has kind %s", given.Kind)
	}
	want(t, given, map[string]string{"tacho.answer.status": "given", "gen_ai.usage.input_tokens": ""})
	sub, inherited := to.find(t, "invoke_agent /1", 0), spans.SpanID(fork.ID(), 0, "invoke_agent /1")
	if string(sub.SpanId) != string(inherited[:]) || string(sub.ParentSpanId) != string(root.SpanId) {
		t.Error("the agent that came with the parent has another id or parent")
	}
}

// TestAgentComesBack: a rollback revives an agent whose span was sent.
func TestAgentComesBack(t *testing.T) {
	t.Parallel()
	run := newRun(t, openStore(t))
	s := &script{}
	s.start()
	first := s.spawn("/", "/1")
	mark := s.snapshot()
	s.agentEnds("/", "/1", "done")
	back := s.rollBack(mark)
	s.turn("/1", "again", 0)
	s.end("done")
	s.playAll(t, run)
	to := exported(t, run.Journal)
	before, after := to.find(t, "invoke_agent /1", first), to.find(t, "invoke_agent /1", back)
	if len(after.Links) != 1 || string(after.Links[0].SpanId) != string(before.SpanId) {
		t.Errorf("links %v", after.Links)
	}
	want(t, after, map[string]string{"tacho.agent.answers": "1", "tacho.outcome": "stopped", "error.type": "run_ended"})
	want(t, before, map[string]string{"tacho.outcome": "done", "error.type": ""})
}

// TestNothingAsked: without variables there is no file, no connection and no goroutine.
func TestNothingAsked(t *testing.T) {
	t.Parallel()
	run := newRun(t, openStore(t))
	for _, pairs := range [][]string{
		{}, {"OTEL_TRACES_EXPORTER", "none", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"},
		{"OTEL_SDK_DISABLED", "true", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"},
	} {
		dir := filepath.Join(t.TempDir(), "spans")
		e := open(t, dir, vars(pairs...))
		e.Follow(run.Journal)
		closeExporter(t, e)
		if _, err := os.Stat(dir); e.Enabled() || !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%v: enabled %t, directory %v", pairs, e.Enabled(), err)
		}
	}
}

func TestRefusesVariables(t *testing.T) {
	t.Parallel()
	for _, pairs := range [][]string{
		{"OTEL_TRACES_EXPORTER", "zipkin"},
		{"OTEL_EXPORTER_OTLP_PROTOCOL", "udp"},
		{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "udp"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318"},
		{"OTEL_EXPORTER_OTLP_TIMEOUT", "soon"},
		{"OTEL_EXPORTER_OTLP_TIMEOUT", "-1"},
		{"OTEL_EXPORTER_OTLP_COMPRESSION", "snappy"},
		{"OTEL_EXPORTER_OTLP_HEADERS", "secret"},
		{"OTEL_EXPORTER_OTLP_HEADERS", "key=%zz-secret"},
		{"OTEL_EXPORTER_OTLP_CERTIFICATE", "/nonexistent"},
		{"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/nonexistent"},
		{"OTEL_RESOURCE_ATTRIBUTES", "a"},
		{"OTEL_TRACES_SAMPLER", "jaeger_remote"},
		{"OTEL_TRACES_SAMPLER", "traceidratio", "OTEL_TRACES_SAMPLER_ARG", "2"},
		{"OTEL_BSP_SCHEDULE_DELAY", "x"},
		{"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "x"},
	} {
		env := vars(append(slices.Clone(pairs), "OTEL_TRACES_EXPORTER", "otlp")...)
		_, err := spans.Open(t.Context(), spans.Config{Env: env, Dir: t.TempDir()})
		name := strings.Replace(pairs[len(pairs)-2], "_TRACES_PROTOCOL", "_PROTOCOL", 1)
		if err == nil || !strings.Contains(err.Error(), "read "+name) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v: %v", pairs, err)
		}
	}
}

// TestSampler: a run is sent whole or not at all.
func TestSampler(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	_, whole := story()
	counts := map[int]int{}
	for range 12 {
		run := newRun(t, store)
		s, _ := story()
		s.playAll(t, run)
		counts[len(exported(t, run.Journal, "OTEL_TRACES_SAMPLER", "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG", "0.5").spans)]++
		if n := len(exported(t, run.Journal, "OTEL_TRACES_SAMPLER", "always_off").spans); n != 0 {
			t.Errorf("%d spans with the sampler off", n)
		}
	}
	if counts[0]+counts[len(whole)] != 12 {
		t.Errorf("runs by number of spans: %v", counts)
	}
}

func TestConsole(t *testing.T) {
	t.Parallel()
	run := newRun(t, openStore(t))
	s, whole := story()
	s.playAll(t, run)
	var out locked
	e, err := spans.Open(t.Context(), spans.Config{Env: vars("OTEL_TRACES_EXPORTER", "console"), Dir: t.TempDir(), Console: &out})
	if err != nil {
		t.Fatal(err)
	}
	e.Follow(run.Journal)
	closeExporter(t, e)
	if n := strings.Count(out.String(), `"Parent":`); n != len(whole) {
		t.Errorf("%d spans written, want %d", n, len(whole))
	}
}
