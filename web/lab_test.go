package web_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"
	"golang.org/x/mod/sumdb/note"

	"tachograph/replay"
	"tachograph/runner"
	"tachograph/runner/gate"
	"tachograph/runner/spans"
	"tachograph/runner/state"
	"tachograph/schemas/access"
	"tachograph/schemas/chat"
	"tachograph/schemas/journal"
	"tachograph/web"
	"tachograph/web/api"
	"tachograph/web/requests"
)

// TestMain is first of all where a sandbox's zygote begins: it is this binary, started again. Without
// that line each zygote would run the tests, which start zygotes.
func TestMain(m *testing.M) {
	gate.RunIfHelper()
	goleak.VerifyTestMain(m)
}

// patience bounds every wait of these tests.
const patience = 60 * time.Second

// lab is the real server over a real store and a real runner, on loopback; only the model's words are
// written down.
type lab struct {
	t      *testing.T
	data   string
	work   string // the user's directory
	store  *state.Store
	runner *runner.Runner
	server *web.Server
	http   *httptest.Server
	client *http.Client
	asked  chan struct{} // one for each question to the model that waits for free
	free   chan struct{} // lets a waiting model answer
	hangs  atomic.Bool   // the list of runs is never answered
	gate   *access.Gate  // nil: it is reached from this machine alone
}

// turn is one answer of the model.
type turn struct {
	say, think string
	calls      []chat.ToolCall
	wait       bool // for lab.free
}

// script is a model whose answers are written down: the n-th follows n−1 messages of its own.
type script struct {
	lab   *lab
	turns []turn
}

func (s script) Name() string { return "lab/one" }

func (s script) Frame([]chat.Tool) (chat.Frame, error) {
	const head = `{"model":"lab","messages":[`
	return chat.Frame{Bytes: []byte(head + `]}`), At: len(head)}, nil
}

func (s script) Ask(ctx context.Context, _ chat.Frame, messages []chat.Message, watch func(chat.Delta)) (chat.Answer, error) {
	n := 0
	for _, m := range messages {
		if p, err := chat.Parse(m); err == nil && p.Role == "assistant" {
			n++
		}
	}
	if n >= len(s.turns) {
		return chat.Answer{}, fmt.Errorf("the script has %d turns, this would be turn %d", len(s.turns), n+1)
	}
	t := s.turns[n]
	if watch != nil {
		watch(chat.Delta{Content: t.say})
	}
	if t.wait {
		s.lab.asked <- struct{}{}
		select {
		case <-s.lab.free:
		case <-ctx.Done():
			return chat.Answer{}, ctx.Err()
		}
	}
	parsed := chat.Parsed{Content: &t.say, ToolCalls: t.calls}
	if t.think != "" {
		parsed.ReasoningContent = &t.think
	}
	answer := chat.Answer{Message: chat.Assistant(parsed), Finish: chat.FinishStop, Usage: chat.Usage{Input: 100, Cached: 40, Output: 20, Reasoning: 5, Known: true}}
	if len(t.calls) > 0 {
		answer.Finish = chat.FinishToolCalls
	}
	answer.Raw = answer.Message
	return answer, nil
}

func call(tool, intent string, args map[string]any) chat.ToolCall {
	args["intent"] = intent
	text, err := json.Marshal(args)
	if err != nil {
		panic(err)
	}
	return chat.ToolCall{ID: "c" + uuid.NewString(), Type: "function", Function: chat.FunctionCall{Name: tool, Arguments: string(text)}}
}

// hostile is what a file of the lab holds.
const (
	hostile = script1 + " \u202egnp.exe \x1b[31mred"
	script1 = "<script>alert(1)</script>"
)

// repair is a run that reads, writes and deletes.
func repair() []turn {
	return []turn{
		{say: "I look first.", think: "What is there?", calls: []chat.ToolCall{call("list_files", "See what there is.", map[string]any{"path": "."}),
			call("read_file", "Read the hostile file.", map[string]any{"path": "evil.html"})}},
		{say: "Now I write.", calls: []chat.ToolCall{call("write_file", "Write the answer down.", map[string]any{"path": "sub/new.txt", "content": "one\ntwo\n"})}},
		{say: "The old one goes.", calls: []chat.ToolCall{call("delete_file", "It is not needed any more.", map[string]any{"path": "old.txt"})}},
		{say: "Done."},
	}
}

// newLab makes a lab whose model answers with turns.
func newLab(t *testing.T, turns []turn) *lab {
	t.Helper()
	return newLabBehind(t, nil, turns)
}

// newLabBehind makes a lab with that gate.
func newLabBehind(t *testing.T, behind *access.Gate, turns []turn) *lab {
	t.Helper()
	l := &lab{t: t, gate: behind, data: t.TempDir(), work: t.TempDir(), asked: make(chan struct{}, 100), free: make(chan struct{})}
	for name, content := range map[string]string{"evil.html": hostile, "old.txt": "old\n", "long.txt": strings.Repeat("å", 1<<20), "binary": "a\x00b\xff"} {
		if err := os.WriteFile(filepath.Join(l.work, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(l.data, 0o711); err != nil {
		t.Fatal(err)
	}
	l.open(turns)
	t.Cleanup(l.close)
	return l
}

func (l *lab) open(turns []turn) {
	l.t.Helper()
	var err error
	if l.store, err = state.Open(filepath.Join(l.data, "store"), state.Options{}); err != nil {
		l.t.Fatal(err)
	}
	var once sync.Mutex // Watch may come before the server is there
	once.Lock()
	l.runner = runner.New(runner.Config{Store: l.store, Data: l.data, Log: discard(),
		Models: func(runner.Spec) (runner.Model, error) { return script{l, turns}, nil },
		NewRun: func() (journal.RunID, error) { id, err := uuid.NewV7(); return journal.RunID(id), err },
		Watch: func(live runner.Live) {
			once.Lock()
			server := l.server
			once.Unlock()
			server.Watch(live)
		}})
	keys, err := requests.Open(filepath.Join(l.data, "requests"), time.Now)
	if err != nil {
		l.t.Fatal(err)
	}
	source := hanging{replay.Local(l.store), &l.hangs}
	l.server, err = web.New(web.Config{Gate: l.gate, Journal: source, Operator: operator{l.runner}, Spans: spans.NewView(source, "lab"), Keys: l.keys(), Requests: keys,
		Assets:  fstest.MapFS{"index.html": {Data: []byte("<!doctype html><title>lab</title>")}, "app.js": {Data: []byte("export const x = 1\n" + strings.Repeat("// x\n", 500))}},
		Project: "lab", Version: "test", Parts: []web.Part{{Name: "store", Check: func(context.Context) error { return nil }}}})
	if err != nil {
		l.t.Fatal(err)
	}
	once.Unlock()
	l.http = httptest.NewServer(l.server)
	l.client = &http.Client{Transport: &http.Transport{DisableCompression: true}}
}

// hanging is a journal whose list can be made to hang, as that of a ClickHouse that starts again does.
type hanging struct {
	replay.Store
	hangs *atomic.Bool
}

func (h hanging) Runs(ctx context.Context) ([]replay.Run, error) {
	if h.hangs.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return h.Store.Runs(ctx)
}

// keys trusts the store's own worker.
func (l *lab) keys() note.Verifiers { return note.VerifierList(l.store.Key()) }

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func (l *lab) close() {
	l.server.Close()
	l.client.CloseIdleConnections()
	l.http.Close()
	l.runner.Close()
	l.store.Close()
}

type operator struct{ *runner.Runner }

func (o operator) Start(ctx context.Context, spec runner.Spec) (journal.RunID, error) {
	return o.Runner.Start(ctx, spec, nil)
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (l *lab) do(method, path, body string, headers ...string) answer {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, l.http.URL+path, strings.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	if method != http.MethodGet && method != http.MethodHead {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			request.Host = headers[i+1]
			continue
		}
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := l.client.Do(request)
	if err != nil {
		l.t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	got := answer{response.StatusCode, response.Header, b}
	conform(l.t, method, path, got)
	return got
}

func get[T any](l *lab, path string) (v T) {
	l.t.Helper()
	a := l.do(http.MethodGet, path, "")
	if a.status != http.StatusOK {
		l.t.Fatalf("GET %s: %d %s", path, a.status, a.body)
	}
	decode(l.t, a, &v)
	return v
}

func decode(t *testing.T, a answer, v any) {
	t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("%v: %.300s", err, a.body)
	}
}

// problem expects a problem document.
func (l *lab) problem(a answer, status int, kind string) api.Problem {
	l.t.Helper()
	var p api.Problem
	if a.status != status || a.header.Get("Content-Type") != "application/problem+json" {
		l.t.Fatalf("got %d %s %.300s, want a problem with status %d", a.status, a.header.Get("Content-Type"), a.body, status)
	}
	decode(l.t, a, &p)
	if string(p.Kind) != kind || p.Status != status || p.Detail == "" {
		l.t.Fatalf("problem is %+v, want kind %s", p, kind)
	}
	return p
}

// spec is the body that starts an agent on the lab's directory. Tools run without a sandbox: what is
// tested here is not where they run.
func (l *lab) spec(more map[string]any) string {
	l.t.Helper()
	fields := map[string]any{"model": "lab/one", "prompt": "Put the files in order.", "directory": l.work, "sandbox": map[string]any{"disabled": true}}
	for k, v := range more {
		fields[k] = v
	}
	text, err := json.Marshal(fields)
	if err != nil {
		l.t.Fatal(err)
	}
	return string(text)
}

// start starts an agent and returns its run.
func (l *lab) start(more map[string]any) string {
	l.t.Helper()
	a := l.do(http.MethodPost, "/v1/agents", l.spec(more))
	if a.status != http.StatusCreated {
		l.t.Fatalf("start: %d %s", a.status, a.body)
	}
	var agent api.Agent
	decode(l.t, a, &agent)
	return agent.RunId
}

// rest waits until the run has come to rest here.
func (l *lab) rest(run string) runner.Outcome {
	l.t.Helper()
	id, err := journal.ParseRunID(run)
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	outcome, err := l.runner.Wait(ctx, id)
	if err != nil {
		l.t.Fatal(err)
	}
	return outcome
}

// finished is a lab with one run that is done.
func finished(t *testing.T) (*lab, string) {
	t.Helper()
	l := newLab(t, repair())
	run := l.start(nil)
	if o := l.rest(run); o.Why != "done" {
		t.Fatalf("the run came to %+v", o)
	}
	return l, run
}

// await follows the run's journal until an entry of that kind is there, and returns its seq.
func (l *lab) await(run string, kind journal.Kind, from int64) int64 {
	l.t.Helper()
	id, err := journal.ParseRunID(run)
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	for line, err := range replay.Local(l.store).Follow(ctx, id, from) {
		if err != nil {
			l.t.Fatalf("wait for %s: %v", kind, err)
		}
		e, err := journal.Decode(line)
		if err != nil {
			l.t.Fatal(err)
		}
		if e.Kind == kind {
			return e.Seq
		}
	}
	l.t.Fatalf("the run has ended without %s", kind)
	return 0
}

func items(t api.Transcript, kind api.ItemType) []api.Item {
	return slices.DeleteFunc(slices.Clone(t.Items), func(i api.Item) bool { return i.Type != kind })
}
