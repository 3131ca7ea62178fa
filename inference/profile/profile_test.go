package profile_test

import (
	"bytes"
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

	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"

	"tachograph/inference/profile"
	"tachograph/inference/profile/profiletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds waits that end by a signal.
const patience = 60 * time.Second

// No test here is parallel: a process has one CPU profile.

// burn spends CPU time until an upload with a sample that has what is wanted arrives.
func burn(t *testing.T, uploads chan profiletest.Upload, wanted func(sample map[string]string) bool) profiletest.Upload {
	t.Helper()
	deadline := time.Now().Add(patience)
	for sum := uint64(1); time.Now().Before(deadline); {
		for i := range uint64(1 << 22) {
			sum = sum*6364136223846793005 + i
		}
		if sum == 0 {
			t.Log("the work is not optimised away")
		}
		select {
		case u := <-uploads:
			for _, s := range u.Samples {
				if wanted(s) {
					return u
				}
			}
		default:
		}
	}
	t.Fatal("no upload has the sample")
	return profiletest.Upload{}
}

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

// TestSamplesCarryTheSpan: what is spent under a span arrives with its id, what is spent under its
// child too, and what is spent after it without; the span says that it has a profile.
func TestSamplesCarryTheSpan(t *testing.T) {
	address, uploads := profiletest.Open(t)
	recorded := tracetest.NewInMemoryExporter()
	spans := trace.NewTracerProvider(trace.WithSyncer(recorded))
	defer spans.Shutdown(context.Background())
	p, err := profile.Open(profile.Config{
		Address: address, Service: "recorder", Tags: map[string]string{"version": "v1"}, Every: 200 * time.Millisecond, Spans: spans,
		Env: env("PYROSCOPE_BASIC_AUTH_USER", "user", "PYROSCOPE_BASIC_AUTH_PASSWORD", "password", "PYROSCOPE_TENANT_ID", "team"),
	})
	if err != nil {
		t.Fatal(err)
	}
	tracer := p.TracerProvider().Tracer("test")
	ctx, span := tracer.Start(context.Background(), "insert")
	id, traceID := span.SpanContext().SpanID().String(), span.SpanContext().TraceID().String()
	ofSpan := func(s map[string]string) bool {
		return s["span_id"] == id && s["span_name"] == "insert" && s["trace_id"] == traceID
	}
	u := burn(t, uploads, ofSpan)
	if !strings.HasPrefix(u.Name, "recorder{") || !strings.Contains(u.Name, "version=v1") {
		t.Errorf("application %s", u.Name)
	}
	user, password, _ := (&http.Request{Header: u.Header}).BasicAuth()
	if user != "user" || password != "password" || u.Header.Get("X-Scope-OrgID") != "team" {
		t.Errorf("headers %v", u.Header)
	}
	_, child := tracer.Start(ctx, "encode")
	if child.SpanContext().SpanID().String() == id {
		t.Error("the child has its parent's id")
	}
	burn(t, uploads, ofSpan)
	child.End()
	span.End()
	burn(t, uploads, func(s map[string]string) bool { return len(s) == 0 })
	p.Close(t.Context())
	marked := map[string]string{}
	for _, s := range recorded.GetSpans() {
		marked[s.Name] = ""
		for _, a := range s.Attributes {
			if a.Key == "pyroscope.profile.id" {
				marked[s.Name] = a.Value.AsString()
			}
		}
	}
	if len(marked) != 2 || marked["insert"] != id || marked["encode"] != "" {
		t.Errorf("profiles of spans: %v, want that of insert: %s", marked, id)
	}
}

// TestLastProfile: what was spent just before the end is sent too, under the credentials of the
// environment.
func TestLastProfile(t *testing.T) {
	address, uploads := profiletest.Open(t)
	p, err := profile.Open(profile.Config{Address: address, Every: time.Hour, Env: env("PYROSCOPE_AUTH_TOKEN", "secret-token")})
	if err != nil {
		t.Fatal(err)
	}
	p.Close(t.Context())
	select {
	case u := <-uploads:
		if got := u.Header.Get("Authorization"); got != "Bearer secret-token" || !strings.HasPrefix(u.Name, "tacho{") {
			t.Errorf("upload of %s, authorized by %q", u.Name, got)
		}
	default:
		t.Error("Close returned before the last profile was sent")
	}
}

// TestOff: without an address nothing is wrapped, and nothing runs (TestMain looks for it).
func TestOff(t *testing.T) {
	spans := trace.NewTracerProvider()
	p, err := profile.Open(profile.Config{Spans: spans, Env: env("PYROSCOPE_BASIC_AUTH_USER", "half")})
	if err != nil || p.TracerProvider() != spans {
		t.Errorf("%v, wrapped: %v", err, p.TracerProvider() != spans)
	}
	p.Close(t.Context())
	if p, err = profile.Open(profile.Config{}); err != nil || p.TracerProvider() == nil {
		t.Fatalf("no spans: %v", err)
	}
	_, span := p.TracerProvider().Tracer("x").Start(t.Context(), "x")
	span.End()
	p.Close(t.Context())
}

// records keeps what is logged as warning.
type records struct {
	slog.Handler
	mu    sync.Mutex
	text  bytes.Buffer
	first chan struct{}
}

func newRecords() *records { return &records{first: make(chan struct{})} }

func (r *records) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }

func (r *records) Handle(_ context.Context, record slog.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.text.Len() == 0 {
		close(r.first)
	}
	fmt.Fprint(&r.text, record.Message)
	record.Attrs(func(a slog.Attr) bool { fmt.Fprint(&r.text, " ", a); return true })
	r.text.WriteString("\n")
	return nil
}

// TestNobodyThere: a server that is away, or refuses, is one warning however often it is tried, and
// keeps nothing from ending.
func TestNobodyThere(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	refused := make(chan struct{}, 1000)
	refuses := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		refused <- struct{}{}
	}))
	defer refuses.Close()
	for want, address := range map[string]string{"connection refused": closed.URL, "status 307": refuses.URL} {
		log := newRecords()
		p, err := profile.Open(profile.Config{Address: address, Every: 50 * time.Millisecond, Log: slog.New(log), Env: env("PYROSCOPE_AUTH_TOKEN", "secret-token")})
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-log.first:
		case <-time.After(patience):
			t.Fatal("no warning")
		}
		p.Close(t.Context()) // tries once more at least
		text := log.text.String()
		if strings.Count(text, "\n") != 1 || !strings.Contains(text, want) || strings.Contains(text, "secret-token") {
			t.Errorf("warnings:\n%s", text)
		}
	}
	if len(refused) < 2 {
		t.Errorf("%d uploads refused, want the last one too", len(refused))
	}
}

// TestCloseDoesNotWait: a server that never answers holds Close up no longer than its context lives.
func TestCloseDoesNotWait(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		cancel()
		<-r.Context().Done()
	}))
	defer s.Close()
	p, err := profile.Open(profile.Config{Address: s.URL, Every: time.Hour, Env: env()})
	if err != nil {
		t.Fatal(err)
	}
	p.Close(ctx)
	if ctx.Err() == nil {
		t.Error("the last profile was not sent")
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, tc := range []struct {
		address string
		env     []string
		want    string
	}{
		{"127.0.0.1:4040", nil, "must be one as http://127.0.0.1:4040"},
		{"ftp://x", nil, "must be one as"},
		{"http://", nil, "must be one as"},
		{"http://u:hidden@x", nil, "belong into PYROSCOPE_BASIC_AUTH_USER"},
		{"http://x/?key=hidden", nil, "query"},
		{"http://x", []string{"PYROSCOPE_BASIC_AUTH_USER", "u"}, "set both"},
		{"http://x", []string{"PYROSCOPE_BASIC_AUTH_PASSWORD", "hidden"}, "set both"},
		{"http://x", []string{"PYROSCOPE_BASIC_AUTH_USER", "u", "PYROSCOPE_BASIC_AUTH_PASSWORD", "hidden", "PYROSCOPE_AUTH_TOKEN", "hidden"}, "not both"},
	} {
		_, err := profile.Open(profile.Config{Address: tc.address, Env: env(tc.env...)})
		if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.HasPrefix(err.Error(), "open profiler: ") || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s with %q: error %v, want one with %q", tc.address, tc.env, err, tc.want)
		}
	}
}
