package spans_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	collectlogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/proto"

	"tachograph/runner/spans"
	"tachograph/runner/state"
	"tachograph/schemas/chat"
)

// hintReceiver keeps the log records that it is sent.
type hintReceiver struct {
	collectlogs.UnimplementedLogsServiceServer

	mu      sync.Mutex
	records []*logs.LogRecord
	changed chan struct{}

	// answer decides what becomes of an HTTP request before it is kept. Nil: it is taken.
	answer func(r *http.Request) int
}

func (h *hintReceiver) handle(w http.ResponseWriter, req *http.Request, body io.Reader) {
	raw, err := io.ReadAll(body)
	var export collectlogs.ExportLogsServiceRequest
	if err == nil {
		err = proto.Unmarshal(raw, &export)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if h.answer != nil {
		if code := h.answer(req); code != http.StatusOK {
			http.Error(w, "not now", code)
			return
		}
	}
	h.take(&export)
}

func (h *hintReceiver) take(export *collectlogs.ExportLogsServiceRequest) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, rl := range export.ResourceLogs {
		for _, sl := range rl.ScopeLogs {
			h.records = append(h.records, sl.LogRecords...)
		}
	}
	close(h.changed)
	h.changed = make(chan struct{})
}

// Export implements the gRPC service.
func (h *hintReceiver) Export(_ context.Context, req *collectlogs.ExportLogsServiceRequest) (*collectlogs.ExportLogsServiceResponse, error) {
	h.take(req)
	return &collectlogs.ExportLogsServiceResponse{}, nil
}

// named lists the records of an event as "name@seq", in the order in which they came.
func (h *hintReceiver) named(event string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []string
	for _, r := range h.records {
		if r.EventName == event {
			out = append(out, fmt.Sprintf("%s@%s", r.Body.GetStringValue(), attributes(r.Attributes)["tacho.entry.seq"]))
		}
	}
	return out
}

// await waits until these records of an event are there, and no others.
func (h *hintReceiver) await(t testing.TB, event string, want ...string) {
	t.Helper()
	over := time.After(patience)
	for {
		h.mu.Lock()
		changed := h.changed
		h.mu.Unlock()
		got := h.named(event)
		if gocmp.Equal(want, got) {
			return
		}
		select {
		case <-changed:
		case <-over:
			t.Fatalf("%s records (-want +got):\n%s", event, gocmp.Diff(want, got))
		}
	}
}

func (h *hintReceiver) find(event, name string) *logs.LogRecord {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.records {
		if r.EventName == event && r.Body.GetStringValue() == name {
			return r
		}
	}
	return nil
}

const (
	startEvent = "tacho.span.start"
	aliveEvent = "tacho.span.alive"
)

// openBeating makes an exporter whose heartbeats are sent by the test.
func openBeating(t testing.TB, env func(string) string) (*spans.Exporter, chan<- time.Time) {
	t.Helper()
	beats := make(chan time.Time)
	e, err := spans.Open(t.Context(), spans.Config{Env: env, Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler), After: atOnce, Beats: beats})
	if err != nil {
		t.Fatal(err)
	}
	return e, beats
}

// stepper plays a script step by step while it is being written.
type stepper struct {
	script
	t   testing.TB
	run *state.Run
	at  int
}

func (s *stepper) catchUp() {
	s.t.Helper()
	for ; s.at < len(s.steps); s.at++ {
		if err := s.play(s.t.Context(), s.run, s.at); err != nil {
			s.t.Fatal(err)
		}
	}
}

// TestOpenSpans follows a run in which one thing is under way after another.
func TestOpenSpans(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"http/protobuf", "http/json", "grpc"} {
		t.Run(strings.ReplaceAll(protocol, "/", " "), func(t *testing.T) {
			t.Parallel()
			to := newReceiver()
			address := ""
			if protocol == "grpc" {
				address = "http://" + to.serveGRPC(t)
			} else {
				address = to.serveHTTP(t)
			}
			e, beats := openBeating(t, toHTTP(address, "OTEL_EXPORTER_OTLP_PROTOCOL", protocol, "OTEL_LOGS_EXPORTER", "otlp"))
			defer closeExporter(t, e)
			run := newRun(t, openStore(t))
			e.Follow(run.Journal)
			s := &stepper{t: t, run: run}
			shown := &to.hints

			s.start()
			s.catchUp()
			shown.await(t, startEvent, "invoke_agent /@0")
			asked := s.ask("/", false, chat.User("go on"))
			s.catchUp()
			shown.await(t, startEvent, "invoke_agent /@0", "plan /@1", "chat kimi-k2.6@1")
			beat := time.Unix(1_900_000_000, 7)
			beats <- beat
			shown.await(t, aliveEvent, "invoke_agent /@0", "plan /@1", "chat kimi-k2.6@1")
			checkRecords(t, run, shown, beat)

			s.answer("/", asked, "answer", 1)
			call := s.propose("/", 0, -1)
			s.decide("/", call, "hold")
			s.hold("/", call)
			s.catchUp()
			shown.await(t, startEvent, "invoke_agent /@0", "plan /@1", "chat kimi-k2.6@1", fmt.Sprintf("execute_tool bash@%d", call))
			s.approve("/", call)
			s.begin("/", call)
			s.catchUp() // the span begins with the start, not with the proposal
			shown.await(t, startEvent, "invoke_agent /@0", "plan /@1", "chat kimi-k2.6@1",
				fmt.Sprintf("execute_tool bash@%d", call), fmt.Sprintf("execute_tool bash@%d", call))
			s.finish("/", call, "ok")
			s.end("done")
			s.catchUp()
			to.await(t, hasRoots(1))

			// Nothing of the ended run is alive, while another one is.
			other := &stepper{t: t, run: newRun(t, openStore(t))}
			e.Follow(other.run.Journal)
			other.start()
			other.catchUp()
			shown.await(t, startEvent, "invoke_agent /@0", "plan /@1", "chat kimi-k2.6@1",
				fmt.Sprintf("execute_tool bash@%d", call), fmt.Sprintf("execute_tool bash@%d", call), "invoke_agent /@0")
			beats <- beat
			shown.await(t, aliveEvent, "invoke_agent /@0", "plan /@1", "chat kimi-k2.6@1", "invoke_agent /@0")
		})
	}
}

// checkRecords compares what is said of an open span with what the ended one will say.
func checkRecords(t *testing.T, run *state.Run, shown *hintReceiver, beat time.Time) {
	t.Helper()
	trace := spans.TraceID(run.ID())
	plan, question := spans.SpanID(run.ID(), 1, "plan"), spans.SpanID(run.ID(), 1, "chat")
	r := shown.find(aliveEvent, "chat kimi-k2.6")
	if string(r.TraceId) != string(trace[:]) || string(r.SpanId) != string(question[:]) || r.TimeUnixNano != uint64(beat.UnixNano()) {
		t.Errorf("trace %x span %x at %d", r.TraceId, r.SpanId, r.TimeUnixNano)
	}
	started := shown.find(startEvent, "chat kimi-k2.6")
	want := map[string]string{
		"tacho.span.name": "chat kimi-k2.6", "tacho.span.kind": "client", "tacho.span.parent_id": plan.String(),
		"tacho.span.start_unix_nano": fmt.Sprint(started.TimeUnixNano), "tacho.run.id": run.ID().String(),
		"gen_ai.conversation.id": run.ID().String(), "tacho.agent.path": "/", "gen_ai.agent.name": "/", "gen_ai.operation.name": "chat",
		"gen_ai.request.model": "kimi-k2.6", "tacho.step": "1", "tacho.entry.seq": "1",
	}
	if diff := gocmp.Diff(want, attributes(r.Attributes)); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
	if root := attributes(shown.find(startEvent, "invoke_agent /").Attributes); root["tacho.span.parent_id"] != "" || root["tacho.span.kind"] != "internal" {
		t.Errorf("root %v", root)
	}
}

// TestOpenSpansAgain: a new process shows what is open, and nothing of what had ended before.
func TestOpenSpansAgain(t *testing.T) {
	t.Parallel()
	run := newRun(t, openStore(t))
	s := &stepper{t: t, run: run}
	s.start()
	s.turn("/", "look", 1)
	s.call("/", 0)
	sub := s.spawn("/", "/1")
	s.catchUp()
	to := newReceiver()
	env := toHTTP(to.serveHTTP(t), "OTEL_LOGS_EXPORTER", "otlp")
	var want []string
	for range 2 {
		e, _ := openBeating(t, env)
		e.Follow(run.Journal)
		want = append(want, "invoke_agent /@0", fmt.Sprintf("invoke_agent /1@%d", sub))
		to.hints.await(t, startEvent, want...)
		closeExporter(t, e)
	}
}

// TestOpenSpansHoldNothingUp has receivers of log records that are of no use.
func TestOpenSpansHoldNothingUp(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(*http.Request) int{
		"unknown": func(*http.Request) int { return http.StatusNotFound },
		"busy":    func(*http.Request) int { return http.StatusServiceUnavailable },
		"silent":  func(r *http.Request) int { <-r.Context().Done(); return http.StatusOK },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := make(chan struct{}, 100)
			to := newReceiver()
			to.hints.answer = func(r *http.Request) int {
				asked <- struct{}{}
				return answer(r)
			}
			e, beats := openBeating(t, toHTTP(to.serveHTTP(t), "OTEL_LOGS_EXPORTER", "otlp"))
			run := newRun(t, openStore(t))
			e.Follow(run.Journal)
			s := &stepper{t: t, run: run}
			s.start()
			s.catchUp()
			<-asked
			select {
			case beats <- time.Unix(1_900_000_000, 0):
			default: // it is busy with its request
			}
			s.turn("/", "finish", 0)
			s.end("done")
			s.catchUp()
			to.await(t, hasRoots(1))
			closeExporter(t, e)
		})
	}
}

// TestOpenSpansWanted: the environment says whether log records are sent at all.
func TestOpenSpansWanted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		vars []string
		want bool
	}{
		"endpoint of all":    {[]string{"OTEL_EXPORTER_OTLP_ENDPOINT", "URL"}, true},
		"endpoint of traces": {[]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "URL/v1/traces"}, false},
		"own endpoint":       {[]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "URL/v1/traces", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "URL/v1/logs"}, true},
		"none":               {[]string{"OTEL_EXPORTER_OTLP_ENDPOINT", "URL", "OTEL_LOGS_EXPORTER", "none"}, false},
		"console":            {[]string{"OTEL_EXPORTER_OTLP_ENDPOINT", "URL", "OTEL_LOGS_EXPORTER", "console"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to := newReceiver()
			server := httptest.NewServer(http.HandlerFunc(to.handle))
			defer server.Close()
			pairs := append([]string{"OTEL_BSP_SCHEDULE_DELAY", "1"}, c.vars...)
			for i := range pairs {
				pairs[i] = strings.Replace(pairs[i], "URL", server.URL, 1)
			}
			e, _ := openBeating(t, vars(pairs...))
			run := newRun(t, openStore(t))
			e.Follow(run.Journal)
			s := &stepper{t: t, run: run}
			s.start()
			s.catchUp()
			if c.want {
				to.hints.await(t, startEvent, "invoke_agent /@0")
			}
			s.turn("/", "finish", 0)
			s.end("done")
			s.catchUp()
			to.await(t, hasRoots(1))
			closeExporter(t, e)
			if got := to.hints.named(startEvent); !c.want && len(got) > 0 {
				t.Errorf("%v came", got)
			}
		})
	}
}
