package spans_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	collect "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"tachograph/runner/spans"
	"tachograph/runner/state"
	"tachograph/schemas/journal"
)

// undisturbed is what a receiver gets that is always there.
func undisturbed(t testing.TB, j *state.Journal) map[string]string {
	t.Helper()
	to := newReceiver()
	e := open(t, t.TempDir(), toHTTP(to.serveHTTP(t)))
	e.Follow(j)
	to.await(t, hasRoots(1))
	closeExporter(t, e)
	to.check(t)
	return to.all()
}

// same fails unless the receiver has exactly these spans, each with these bytes.
func (r *receiver) same(t testing.TB, want map[string]string) {
	t.Helper()
	r.check(t)
	got := r.all()
	for id := range want {
		if got[id] != want[id] {
			t.Errorf("span %s: %d bytes, undisturbed %d", id, len(got[id]), len(want[id]))
		}
	}
	if len(got) > len(want) {
		t.Errorf("%d spans, undisturbed %d", len(got), len(want))
	}
}

// TestRestart follows a run with one exporter after another, each closed after some entries, with
// the cursor kept, and lost each time.
func TestRestart(t *testing.T) {
	t.Parallel()
	for _, lost := range []bool{false, true} {
		t.Run(fmt.Sprintf("cursor lost %t", lost), func(t *testing.T) {
			t.Parallel()
			to := newReceiver()
			env := toHTTP(to.serveHTTP(t))
			run := newRun(t, openStore(t))
			dir := t.TempDir()
			s, _ := story()
			for from := 0; from < len(s.steps); from += 7 {
				e := open(t, dir, env)
				e.Follow(run.Journal)
				for i := from; i < min(from+7, len(s.steps)); i++ {
					if err := s.play(t.Context(), run, i); err != nil {
						t.Fatal(err)
					}
				}
				closeExporter(t, e)
				if lost {
					os.Remove(filepath.Join(dir, run.ID().String()+".cursor"))
				}
			}
			to.same(t, undisturbed(t, run.Journal))
			if lost == (to.again == 0) {
				t.Errorf("%d spans came again", to.again)
			}
		})
	}
}

// TestSentOnce: a run that was sent whole is not sent again.
func TestSentOnce(t *testing.T) {
	t.Parallel()
	to := newReceiver()
	env := toHTTP(to.serveHTTP(t))
	run := newRun(t, openStore(t))
	s, _ := story()
	s.playAll(t, run)
	dir := t.TempDir()
	for range 3 {
		e := open(t, dir, env)
		e.Follow(run.Journal)
		closeExporter(t, e)
	}
	if to.again != 0 || to.requests != 1 {
		t.Errorf("%d spans came again in %d requests", to.again, to.requests)
	}
	to.same(t, undisturbed(t, run.Journal))
}

// TestRefusals has receivers that refuse for a while, each in its way.
func TestRefusals(t *testing.T) {
	t.Parallel()
	cases := map[string]func(r *http.Request, request, spans int) int{
		"unavailable": func(_ *http.Request, request, _ int) int { return until(request, 2, http.StatusServiceUnavailable) },
		"rejecting":   func(_ *http.Request, request, _ int) int { return until(request, 20, http.StatusBadRequest) },
		"unknown key": func(_ *http.Request, request, _ int) int { return until(request, 5, http.StatusUnauthorized) },
		"takes at most 2 spans": func(_ *http.Request, _, spans int) int {
			if spans > 2 {
				return http.StatusRequestEntityTooLarge
			}
			return http.StatusOK
		},
	}
	for name, answer := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to := newReceiver()
			to.answer = answer
			run := newRun(t, openStore(t))
			e := open(t, t.TempDir(), toHTTP(to.serveHTTP(t)))
			defer closeExporter(t, e)
			e.Follow(run.Journal)
			s, _ := story()
			s.playAll(t, run)
			to.await(t, hasRoots(1))
			to.same(t, undisturbed(t, run.Journal))
		})
	}
}

func until(request, n, code int) int {
	if request < n {
		return code
	}
	return http.StatusOK
}

// TestAbsent has nobody listen at first.
func TestAbsent(t *testing.T) {
	t.Parallel()
	to := newReceiver()
	server := httptest.NewUnstartedServer(http.HandlerFunc(to.handle))
	address := server.Listener.Addr().String()
	if err := server.Listener.Close(); err != nil {
		t.Fatal(err)
	}
	run := newRun(t, openStore(t))
	s, _ := story()
	s.playAll(t, run)
	dir := t.TempDir()
	e := open(t, dir, toHTTP("http://"+address))
	e.Follow(run.Journal)
	closeExporter(t, e) // does not wait for who does not answer
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("cursor %v, %v after nothing was sent", files, err)
	}
	e = open(t, dir, toHTTP(to.serveHTTP(t)))
	defer closeExporter(t, e)
	e.Follow(run.Journal)
	to.await(t, hasRoots(1))
	to.same(t, undisturbed(t, run.Journal))
}

// TestSlow: while a receiver keeps a request waiting, the run goes on, and what comes meanwhile is
// sent afterwards in few requests.
func TestSlow(t *testing.T) {
	t.Parallel()
	to := newReceiver()
	arrived, goOn := make(chan struct{}, 1), make(chan struct{})
	to.answer = func(_ *http.Request, request, _ int) int {
		if request == 0 {
			arrived <- struct{}{}
			<-goOn
		}
		return http.StatusOK
	}
	run := newRun(t, openStore(t))
	e := open(t, t.TempDir(), toHTTP(to.serveHTTP(t)))
	defer closeExporter(t, e)
	s, _ := story()
	e.Follow(run.Journal)
	for i := range 9 {
		if err := s.play(t.Context(), run, i); err != nil {
			t.Fatal(err)
		}
	}
	<-arrived
	for i := 9; i < len(s.steps); i++ {
		if err := s.play(t.Context(), run, i); err != nil {
			t.Fatal(err)
		}
	}
	close(goOn)
	to.await(t, hasRoots(1))
	to.same(t, undisturbed(t, run.Journal))
	if to.requests > 3 {
		t.Errorf("%d requests", to.requests)
	}
}

// TestCloseIsBounded has a receiver that never answers.
func TestCloseIsBounded(t *testing.T) {
	t.Parallel()
	arrived, goOn := make(chan struct{}, 8), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-goOn
	}))
	defer server.Close()
	defer close(goOn)
	run := newRun(t, openStore(t))
	e := open(t, t.TempDir(), toHTTP(server.URL))
	s, _ := story()
	s.playAll(t, run)
	e.Follow(run.Journal)
	<-arrived
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // the caller has no more time
	if err := e.Close(ctx); err != nil {
		t.Error(err)
	}
	e.Follow(run.Journal) // does nothing any more
}

// TestPartialSuccess: OTLP forbids to send again what was rejected for good.
func TestPartialSuccess(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		answer, err := proto.Marshal(&collect.ExportTraceServiceResponse{PartialSuccess: &collect.ExportTracePartialSuccess{RejectedSpans: 1, ErrorMessage: "bad"}})
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
		if _, err := w.Write(answer); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	run := newRun(t, openStore(t))
	s, _ := story()
	s.playAll(t, run)
	var log locked
	e, err := spans.Open(t.Context(), spans.Config{Env: toHTTP(server.URL), Dir: t.TempDir(), Log: slog.New(slog.NewTextHandler(&log, nil)), After: atOnce})
	if err != nil {
		t.Fatal(err)
	}
	e.Follow(run.Journal)
	closeExporter(t, e)
	if n := requests.Load(); n != 1 || !strings.Contains(log.String(), "1 spans rejected") {
		t.Errorf("%d requests, log %s", n, log.String())
	}
}

// locked is a buffer that goroutines may write to.
type locked struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestCursor: a file that is not a cursor of this journal means that nothing was sent.
func TestCursor(t *testing.T) {
	t.Parallel()
	run := newRun(t, openStore(t))
	s, _ := story()
	s.playAll(t, run)
	whole := undisturbed(t, run.Journal)
	id, other := run.ID().String(), newRunID(t).String()
	hash := journal.HashEntry([]byte("another")).String()
	for name, text := range map[string]string{
		"empty": "", "cut": "tacho-spans-1 " + id + " 5", "garbage": strings.Repeat("\xff", 200), "zeros": string(make([]byte, 150)),
		"of another run":   "tacho-spans-1 " + other + " 5 " + hash + " open\n",
		"other journal":    "tacho-spans-1 " + id + " 5 " + hash + " open\n",
		"beyond the end":   "tacho-spans-1 " + id + " 5000 " + hash + " open\n",
		"another spelling": "tacho-spans-1 " + id + " 05 " + hash + " open\n",
		"unknown state":    "tacho-spans-1 " + id + " 5 " + hash + " closed\n",
		"newer":            "tacho-spans-2 " + id + " 5 " + hash + " ended\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, id+".cursor"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			to := newReceiver()
			e := open(t, dir, toHTTP(to.serveHTTP(t)))
			e.Follow(run.Journal)
			to.await(t, hasRoots(1))
			closeExporter(t, e)
			to.same(t, whole)
		})
	}
}

// TestManyRuns follows runs that are written at the same time, with an exporter that is handed in
// and checks that it is used by one at a time.
func TestManyRuns(t *testing.T) {
	t.Parallel()
	out := &takeAll{}
	e, err := spans.Open(t.Context(), spans.Config{Env: vars("OTEL_BSP_SCHEDULE_DELAY", "0"), Dir: t.TempDir(), Exporter: out})
	if err != nil {
		t.Fatal(err)
	}
	store := openStore(t)
	var wait sync.WaitGroup
	for range 6 {
		run := newRun(t, store)
		e.Follow(run.Journal)
		wait.Go(func() {
			s, _ := story()
			for i := range s.steps {
				if err := s.play(t.Context(), run, i); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	closeExporter(t, e)
	_, want := story()
	if len(out.names) != 6*len(want) || !out.shut || out.atOnce.Load() {
		t.Errorf("%d spans, want %d; shut down %t; used by two at once %t", len(out.names), 6*len(want), out.shut, out.atOnce.Load())
	}
}

// takeAll is an exporter that is handed in.
type takeAll struct {
	mu     sync.Mutex
	names  []string
	shut   bool
	inUse  atomic.Int64
	atOnce atomic.Bool // two used it at the same time
}

func (x *takeAll) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	if x.inUse.Add(1) > 1 { // which OpenTelemetry forbids
		x.atOnce.Store(true)
	}
	defer x.inUse.Add(-1)
	for range 1000 {
		runtime.Gosched() // room for another one to come
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, s := range spans {
		x.names = append(x.names, s.Name())
	}
	return nil
}

func (x *takeAll) Shutdown(context.Context) error {
	x.shut = true
	return nil
}
