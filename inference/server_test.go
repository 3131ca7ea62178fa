package inference_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tachograph/inference"
	"tachograph/schemas/chat"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testKey = "sk-do-not-show-4711"
	idle    = 77 * time.Second        // told from other times by its odd length
	base    = 1200 * time.Millisecond // of retries, too
)

// provider is an OpenAI-compatible server on loopback that answers request n with answers[n], the
// last one again and again.
type provider struct {
	url     string
	client  *http.Client
	mu      sync.Mutex
	bodies  [][]byte
	headers []http.Header
}

type reply func(w http.ResponseWriter, r *http.Request)

func serve(t *testing.T, answers ...reply) *provider {
	t.Helper()
	p := &provider{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read request: %v", err)
		}
		p.mu.Lock()
		n := len(p.bodies)
		p.bodies = append(p.bodies, body)
		p.headers = append(p.headers, r.Header.Clone())
		p.mu.Unlock()
		if r.Method != http.MethodPost || r.URL.Path != "/v1/chat/completions" {
			t.Errorf("request %s %s", r.Method, r.URL.Path)
		}
		answers[min(n, len(answers)-1)](w, r)
	}))
	t.Cleanup(s.Close)
	p.url, p.client = s.URL+"/v1", s.Client()
	return p
}

func (p *provider) requests() [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bodies
}

// config points both vendors at the server.
func (p *provider) config(clock *clock) inference.Config {
	return inference.Config{
		Env: env("KIMI_BASE_URL", p.url, "KIMI_API_KEY", testKey,
			"OPENAI_BASE_URL", p.url, "OPENAI_API_KEY", testKey),
		HTTP: p.client, Clock: clock, Idle: idle,
		Jitter: func() float64 { return 0.5 },
		Retry:  inference.Retry{Tries: 4, Base: base, Cap: 3 * time.Second, AfterCap: time.Minute},
		Answer: 2 << 20,
	}
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

func open(t *testing.T, model string, c inference.Config) inference.Provider {
	t.Helper()
	m, err := inference.Open(model, c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// ask opens kimi/test at the server and asks it one question.
func (p *provider) ask(t *testing.T, ctx context.Context, clock *clock, watch func(chat.Delta)) (chat.Answer, error) {
	t.Helper()
	m := open(t, "kimi/test", p.config(clock))
	f, err := m.Frame(nil, inference.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return m.Ask(ctx, f, []chat.Message{chat.User("hello")}, watch)
}

// clock does not wait: it notes each wait and lets it pass at once, but for that of the idle time
// and the times after the end of an answer, which pass when the test says so.
type clock struct {
	mu    sync.Mutex
	waits []time.Duration
	armed map[int]timer
	next  int
	gone  map[time.Duration]bool
}

type timer struct {
	d time.Duration
	f func()
}

func newClock() *clock { return &clock{armed: map[int]timer{}, gone: map[time.Duration]bool{}} }

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func (c *clock) Now() time.Time { return now }

func (c *clock) AfterFunc(d time.Duration, f func()) func() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	held := d == idle || d == afterFinish || d == afterDone
	if !held {
		c.waits = append(c.waits, d)
	}
	if !held || c.gone[d] {
		go f()
		return func() bool { return false }
	}
	id := c.next
	c.next++
	c.armed[id] = timer{d, f}
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, there := c.armed[id]
		delete(c.armed, id)
		return there
	}
}

// The times that are left to a server after it gave a finish reason, and after [DONE].
const (
	afterFinish = 30 * time.Second
	afterDone   = time.Second
)

// pass lets all times of length d pass, those to come too.
func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone[d] = true
	for id, t := range c.armed {
		if t.d == d {
			delete(c.armed, id)
			go t.f()
		}
	}
}

func (c *clock) waited() []time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waits
}

// Replies.

// events answers 200 with the text as a stream of events.
func events(text string) reply {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("X-Trace-Id", "trace-1")
		io.WriteString(w, text)
	}
}

// cutEvents sends the text and breaks the connection.
func cutEvents(text string) reply {
	return func(w http.ResponseWriter, r *http.Request) {
		events(text)(w, r)
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
}

// status answers with a status, headers as name and value, and a body.
func status(code int, body string, headers ...string) reply {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(code)
		io.WriteString(w, body)
	}
}

// stream writes chunks as events, with [DONE].
func stream(chunks ...string) string {
	return "data: " + strings.Join(chunks, "\n\ndata: ") + "\n\ndata: [DONE]\n\n"
}

// piece is a chunk with one delta.
func piece(delta string) string {
	return fmt.Sprintf(`{"id":"a1","model":"test-0","choices":[{"index":0,"delta":%s,"finish_reason":null}]}`, delta)
}

func finish(reason string) string {
	return fmt.Sprintf(`{"id":"a1","model":"test-0","choices":[{"index":0,"delta":{},"finish_reason":%q}]}`, reason)
}

const usage = `{"id":"a1","choices":[],"usage":{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120,` +
	`"cached_tokens":64,"completion_tokens_details":{"reasoning_tokens":7}}}`

// okAnswer is a whole answer that says hi.
func okAnswer() string {
	return stream(piece(`{"role":"assistant","content":""}`), piece(`{"content":"hi"}`), finish("stop"), usage)
}

// callAnswer is a whole answer with a call in several pieces.
func callAnswer() string {
	return stream(
		piece(`{"role":"assistant","reasoning_content":"look "}`), piece(`{"reasoning_content":"first"}`),
		piece(`{"tool_calls":[{"index":0,"id":"read_file:0","type":"function","function":{"name":"read_file","arguments":""}}]}`),
		piece(`{"tool_calls":[{"index":0,"function":{"arguments":"{\"path\":"}}]}`),
		piece(`{"tool_calls":[{"index":0,"function":{"arguments":"\"a.go\"}"}}]}`),
		finish("tool_calls"), usage)
}
