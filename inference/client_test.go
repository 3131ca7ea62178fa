package inference_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tachograph/inference"
	"tachograph/inference/sse"
	"tachograph/schemas/chat"
)

var update = flag.Bool("update", false, "rewrite golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.TrimSuffix(string(want), "\n"), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestRequestsAreGolden(t *testing.T) {
	t.Parallel()
	tools := []chat.Tool{
		{Name: "read_file", Description: "Reads <a> file & shows it.", Parameters: []byte("{\n \"type\": \"object\"\n}")},
		{Name: "bash", Description: "", Parameters: []byte(`{"type":"object","properties":{"command":{"type":"string"}}}`)},
	}
	messages := []chat.Message{
		chat.System("be <brief>"), chat.User("what is in a.go?"),
		chat.Message(`{"role":"assistant","reasoning_content":"","tool_calls":[{"id":"x","type":"function","function":{"name":"read_file","arguments":"{}"}}]}`),
		chat.ToolResult("x", "package a"),
	}
	for file, tc := range map[string]struct {
		model   string
		tools   []chat.Tool
		options inference.Options
	}{
		"request_kimi.json": {"kimi-k2-6", tools, inference.Options{
			Temperature: "1.0", MaxTokens: 32000, Thinking: "keep", CacheKey: "run-1",
		}},
		"request_kimi_plain.json": {"kimi/kimi-k2.6", nil, inference.Options{}},
		"request_openai.json":     {"openai/gpt-5", tools, inference.Options{MaxTokens: 5, Thinking: "high"}},
	} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			p := serve(t, events(okAnswer()))
			m := open(t, tc.model, p.config(newClock()))
			f, err := m.Frame(tc.tools, tc.options)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := m.Ask(t.Context(), f, messages, nil); err != nil {
				t.Fatal(err)
			}
			sent := p.requests()[0]
			if !bytes.Equal(sent, f.Request(messages)) {
				t.Errorf("what was sent is not what frame and messages say:\n%s\n%s", sent, f.Request(messages))
			}
			golden(t, file, sent)
			h := p.headers[0]
			got := map[string]string{}
			for _, name := range []string{"Authorization", "Content-Type", "Accept", "Accept-Encoding"} {
				got[name] = h.Get(name)
			}
			if diff := cmp.Diff(map[string]string{
				"Authorization": "Bearer " + testKey, "Content-Type": "application/json",
				"Accept": "text/event-stream, application/json", "Accept-Encoding": "identity",
			}, got); diff != "" {
				t.Errorf("headers (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFrameRefuses(t *testing.T) {
	t.Parallel()
	c := inference.Config{Env: env("KIMI_API_KEY", testKey, "OPENAI_API_KEY", testKey)}
	object := []byte(`{}`)
	for name, tc := range map[string]struct {
		model string
		tools []chat.Tool
		o     inference.Options
		want  string
	}{
		"temperature text":  {"kimi/x", nil, inference.Options{Temperature: "warm"}, `temperature "warm"`},
		"temperature float": {"kimi/x", nil, inference.Options{Temperature: "1e0"}, `temperature "1e0"`},
		"temperature high":  {"kimi/x", nil, inference.Options{Temperature: "2.1"}, `temperature "2.1"`},
		"max tokens":        {"kimi/x", nil, inference.Options{MaxTokens: -1}, "max tokens -1"},
		"thinking":          {"kimi/x", nil, inference.Options{Thinking: "high"}, "kimi knows disabled, enabled, keep"},
		"effort":            {"openai/x", nil, inference.Options{Thinking: "keep"}, "openai knows high, low"},
		"tool name":         {"kimi/x", []chat.Tool{{Name: "$web", Parameters: object}}, inference.Options{}, `tool "$web"`},
		"tool list":         {"kimi/x", []chat.Tool{{Name: "a", Parameters: []byte(`[]`)}}, inference.Options{}, "no JSON object"},
		"tool garbage":      {"kimi/x", []chat.Tool{{Name: "a", Parameters: []byte(`{`)}}, inference.Options{}, `tool "a"`},
	} {
		_, err := open(t, tc.model, c).Frame(tc.tools, tc.o)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, tc.want)
		}
	}
}

func TestAnswer(t *testing.T) {
	t.Parallel()
	text := callAnswer()
	p := serve(t, events(text))
	var seen []chat.Delta
	got, err := p.ask(t, t.Context(), newClock(), func(d chat.Delta) { seen = append(seen, d) })
	if err != nil {
		t.Fatal(err)
	}
	want := chat.Answer{
		Message: chat.Message(`{"role":"assistant","reasoning_content":"look first","tool_calls":[{"id":"read_file:0","type":"function",` +
			`"function":{"name":"read_file","arguments":"{\"path\":\"a.go\"}"}}]}`),
		Raw: []byte(text), Finish: chat.FinishToolCalls, Model: "test-0", ID: "a1", Trace: "trace-1", Tries: 1,
		Usage: chat.Usage{Input: 100, Cached: 64, Output: 20, Reasoning: 7, Known: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]chat.Delta{
		{Reasoning: "look "}, {Reasoning: "first"}, {ToolName: "read_file"},
		{ToolArguments: `{"path":`}, {ToolArguments: `"a.go"}`},
	}, seen); diff != "" {
		t.Errorf("watched (-want +got):\n%s", diff)
	}
}

// TestRetries walks through answers that a further try mends.
func TestRetries(t *testing.T) {
	t.Parallel()
	second := time.Second
	first, next := base/2, base // with jitter 0.5
	whole := okAnswer()
	calls := callAnswer()
	for name, tc := range map[string]struct {
		answers []reply
		waits   []time.Duration
	}{
		"429 with seconds": {[]reply{status(429, `{"error":{"message":"slow down"}}`, "Retry-After", "7")},
			[]time.Duration{7*second + first}},
		"429 with a date": {[]reply{status(429, ``, "Retry-After", now.Add(9*second).Format(http.TimeFormat))},
			[]time.Duration{9*second + first}},
		"429 with a date that is past": {[]reply{status(429, ``, "Retry-After", now.Add(-second).Format(http.TimeFormat))},
			[]time.Duration{first}},
		"429 for an hour":  {[]reply{status(429, ``, "Retry-After", "3600")}, []time.Duration{time.Minute + first}},
		"429 with garbage": {[]reply{status(429, ``, "Retry-After", "soon")}, []time.Duration{first}},
		"429 with NaN":     {[]reply{status(429, ``, "Retry-After", "NaN")}, []time.Duration{first}},
		"three 500s": {[]reply{status(500, "oops"), status(502, "<html>"), status(503, "")},
			[]time.Duration{first, next, second * 3 / 2}},
		"408, 409":           {[]reply{status(408, ""), status(409, "")}, []time.Duration{first, next}},
		"cut in the content": {[]reply{cutEvents(whole[:len(whole)/3])}, []time.Duration{first}},
		"cut in a call":      {[]reply{cutEvents(calls[:strings.Index(calls, "a.go")])}, []time.Duration{first}},
		"cut between events": {[]reply{cutEvents(calls[:strings.Index(calls, "data: {\"id\":\"a1\",\"model\":\"test-0\",\"choices\":[{\"index\":0,\"delta\":{},")])}, []time.Duration{first}},
		"cut before a byte":  {[]reply{cutEvents("")}, []time.Duration{first}},
		"ends without end":   {[]reply{events(calls[:strings.Index(calls, "a.go")])}, []time.Duration{first}},
		"ends between events, without end": {[]reply{events(whole[:strings.Index(whole, "data: {\"id\":\"a1\",\"model\":\"test-0\",\"choices\":[{\"index\":0,\"delta\":{},")])},
			[]time.Duration{first}},
		"empty":                 {[]reply{events("")}, []time.Duration{first}},
		"nothing but [DONE]":    {[]reply{events(stream())}, []time.Duration{first}},
		"comments only":         {[]reply{events(": ping\n\n: ping\n\n")}, []time.Duration{first}},
		"garbage in an event":   {[]reply{events("data: {]\n\n" + whole)}, []time.Duration{first}},
		"garbage for an answer": {[]reply{events("\x00\x01\x02 nothing")}, []time.Duration{first}},
		"half a JSON answer":    {[]reply{status(200, `{"choices":[{"message":{"content":"h`)}, []time.Duration{first}},
		"JSON without choice":   {[]reply{status(200, `{"choices":[]}`)}, []time.Duration{first}},
		"error in the stream": {[]reply{events("data: {\"error\":{\"message\":\"overloaded\",\"type\":\"server_error\"}}\n\n")},
			[]time.Duration{first}},
		"error event": {[]reply{events("event: error\ndata: {\"message\":\"overloaded\"}\n\n")}, []time.Duration{first}},
		"broken gzip": {[]reply{status(200, "no gzip at all", "Content-Encoding", "gzip")}, []time.Duration{first}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, c := serve(t, append(tc.answers, events(whole))...), newClock()
			got, err := p.ask(t, t.Context(), c, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got.Tries != len(tc.answers)+1 || string(got.Message) != `{"role":"assistant","content":"hi"}` || string(got.Raw) != whole {
				t.Errorf("try %d: %s\n%s", got.Tries, got.Message, got.Raw)
			}
			if diff := cmp.Diff(tc.waits, c.waited()); diff != "" {
				t.Errorf("waits (-want +got):\n%s", diff)
			}
			for i, r := range p.requests() {
				if !bytes.Equal(r, p.requests()[0]) {
					t.Errorf("request %d differs", i)
				}
			}
		})
	}
}

// TestWholeWithoutEnd holds that an answer whose finish came is not thrown away, whatever becomes
// of the connection.
func TestWholeWithoutEnd(t *testing.T) {
	t.Parallel()
	done := strings.TrimSuffix(okAnswer(), "data: [DONE]\n\n")
	forgetful := func(text string) reply { // a server that never closes
		return func(w http.ResponseWriter, r *http.Request) {
			events(text)(w, r)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}
	}
	for name, answer := range map[string]reply{
		"no [DONE]":               events(done),
		"cut before [DONE]":       cutEvents(done),
		"cut in [DONE]":           cutEvents(done + "data: [DO"),
		"no blank line at end":    events(done + "data: [DONE]"),
		"garbage after finish":    events(done + "data: {]\n\n"),
		"garbage after [DONE]":    events(done + "data: [DONE]\n\ndata: {]\n\n"),
		"open after finish":       forgetful(done),
		"open after [DONE]":       forgetful(done + "data: [DONE]\n\n"),
		"cr lf and comments":      events(": hello\r\n" + strings.ReplaceAll(okAnswer(), "\n", "\r\n")),
		"byte order mark, spaces": events("\xef\xbb\xbf\n\n" + okAnswer()),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClock()
			c.pass(afterDone)
			if strings.HasPrefix(name, "open after finish") {
				c.pass(afterFinish)
			}
			got, err := serve(t, answer).ask(t, t.Context(), c, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got.Tries != 1 || string(got.Message) != `{"role":"assistant","content":"hi"}` || got.Finish != chat.FinishStop {
				t.Errorf("try %d, %s: %s", got.Tries, got.Finish, got.Message)
			}
		})
	}
}

// TestFinalErrors walks through answers after which asking again is no use.
func TestFinalErrors(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer  reply
		status  int
		tooLong bool
		want    string
	}{
		"401":           {status(401, `{"error":{"message":"Incorrect key `+testKey+`","type":"invalid_authentication_error"}}`), 401, false, "Incorrect key [redacted]; check KIMI_API_KEY or MOONSHOT_API_KEY"},
		"400":           {status(400, `{"error":{"message":"text content is empty","type":"invalid_request_error","code":null}}`), 400, false, "status 400 (invalid_request_error): text content is empty"},
		"404":           {status(404, `not here`), 404, false, "not here; check the model's name and KIMI_BASE_URL"},
		"error as text": {status(400, `{"error":"no such model"}`), 400, false, "no such model"},
		"no body":       {status(403, ``), 403, false, "forbidden"},
		"no money":      {status(429, `{"error":{"message":"pay","type":"exceeded_current_quota_error"}}`), 429, false, "exceeded_current_quota_error"},
		"too long": {status(400, `{"error":{"message":"too many","code":"context_length_exceeded"}}`), 400, true,
			"context_length_exceeded"},
		"too long for kimi": {status(400, `{"error":{"message":"Invalid request: Your request exceeded model token limit: 262144","type":"invalid_request_error"}}`), 400, true,
			"exceeded model token limit"},
		"too long in the stream": {events("data: {\"error\":{\"message\":\"maximum context length is 8\",\"code\":400}}\n\n"), 200, true,
			"maximum context length"},
		"bad in the stream":   {events("data: {\"error\":{\"message\":\"no\",\"code\":401}}\n\n"), 200, false, "(401): no"},
		"redirect":            {status(307, ``, "Location", "/v1/elsewhere?"+testKey), 307, false, "not followed; check KIMI_BASE_URL"},
		"no content":          {status(204, ``), 204, false, "not followed"},
		"a page":              {status(200, "<!doctype html><title>hello</title>", "Content-Type", "text/html; charset=utf-8"), 200, false, "a web page came"},
		"brotli":              {status(200, "xx", "Content-Encoding", "br"), 200, false, `content encoding "br"`},
		"endless line":        {endless("data: " + strings.Repeat("x", 1<<20)), 200, false, "too large"},
		"endless JSON":        {endless("{" + strings.Repeat(" ", 1<<20)), 200, false, "too large"},
		"endless events":      {endless("data: " + piece(`{"content":"`+strings.Repeat("x", 1<<20)+`"}`) + "\n\n"), 200, false, "too large"},
		"endless white space": {endless(strings.Repeat("\n", 1<<20)), 200, false, "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, c := serve(t, tc.answer), newClock()
			_, err := p.ask(t, t.Context(), c, nil)
			var e *inference.APIError
			if !errors.As(err, &e) {
				t.Fatalf("error %v", err)
			}
			if e.Status != tc.status || e.Retryable || e.Tries != 1 || !strings.Contains(e.Error(), tc.want) {
				t.Errorf("%+v\n%v\nwant %q", e, e, tc.want)
			}
			if errors.Is(err, inference.ErrContextTooLong) != tc.tooLong {
				t.Errorf("too long: %v, want %v", !tc.tooLong, tc.tooLong)
			}
			if len(p.requests()) != 1 || len(c.waited()) != 0 {
				t.Errorf("%d requests, waits %v", len(p.requests()), c.waited())
			}
			if strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, e), testKey) {
				t.Errorf("the key shows: %+v", err)
			}
		})
	}
}

// endless writes a text until the client hangs up.
func endless(text string) reply {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, text); err != nil {
				return
			}
		}
	}
}

// TestLongEvent holds that one event is bounded below the whole answer.
func TestLongEvent(t *testing.T) {
	t.Parallel()
	p := serve(t, endless("data: "+strings.Repeat("x", 1<<20)+"\n"))
	c := p.config(newClock())
	c.Answer = 20 << 20
	m := open(t, "kimi/test", c)
	f, err := m.Frame(nil, inference.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var e *inference.APIError
	if _, err := m.Ask(t.Context(), f, nil, nil); !errors.As(err, &e) || e.Retryable || !errors.Is(err, sse.ErrTooLong) {
		t.Errorf("error %v", err)
	}
}

func TestTriesEnd(t *testing.T) {
	t.Parallel()
	p, c := serve(t, status(503, `{"error":{"message":"busy `+strings.Repeat("x", 5000)+`"}}`, "Retry-After", "2", "X-Request-Id", "r9")), newClock()
	_, err := p.ask(t, t.Context(), c, nil)
	var e *inference.APIError
	if !errors.As(err, &e) {
		t.Fatalf("error %v", err)
	}
	if e.Tries != 4 || !e.Retryable || e.RetryAfter != 2*time.Second || e.Status != 503 || e.Model != "kimi/test" || e.Trace != "r9" {
		t.Errorf("%+v", e)
	}
	if len(p.requests()) != 4 || len(c.waited()) != 3 {
		t.Errorf("%d requests, waits %v", len(p.requests()), c.waited())
	}
	if len(e.Error()) > 1500 || !strings.Contains(e.Error(), "after 4 tries") {
		t.Errorf("%d bytes: %v", len(e.Error()), e)
	}
}

func TestConnectionRefused(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	c := newClock()
	p := &provider{url: "http://" + address + "/v1", client: &http.Client{Transport: transport}}
	_, err = p.ask(t, t.Context(), c, nil)
	var e *inference.APIError
	if !errors.As(err, &e) || !e.Retryable || e.Tries != 4 || e.Status != 0 {
		t.Errorf("%+v", err)
	}
}

func TestCertificateIsFinal(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	defer s.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	p := &provider{url: s.URL, client: &http.Client{Transport: transport}}
	_, err := p.ask(t, t.Context(), newClock(), nil)
	var e *inference.APIError
	if !errors.As(err, &e) || e.Retryable || e.Tries != 1 || e.Hint == "" {
		t.Errorf("%+v", err)
	}
}

func TestGzip(t *testing.T) {
	t.Parallel()
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	io.WriteString(w, callAnswer())
	w.Close()
	p := serve(t, status(200, z.String(), "Content-Encoding", "gzip", "Content-Type", "text/event-stream"))
	got, err := p.ask(t, t.Context(), newClock(), nil)
	if err != nil || string(got.Raw) != callAnswer() || got.Finish != chat.FinishToolCalls {
		t.Errorf("%v: %s", err, got.Raw)
	}
}

func TestGzipBomb(t *testing.T) {
	t.Parallel()
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	block := bytes.Repeat([]byte(":\n"), 1<<20)
	for range 2 {
		w.Write(block)
	}
	w.Close()
	p := serve(t, status(200, z.String(), "Content-Encoding", "gzip", "Content-Type", "text/event-stream"))
	_, err := p.ask(t, t.Context(), newClock(), nil)
	var e *inference.APIError
	if !errors.As(err, &e) || e.Retryable || !strings.Contains(e.Error(), "too large") {
		t.Errorf("%d bytes: %v", z.Len(), err)
	}
}

// TestConnectionIsKept holds that a whole answer leaves its connection for the next request.
func TestConnectionIsKept(t *testing.T) {
	t.Parallel()
	var from []string
	p := serve(t, func(w http.ResponseWriter, r *http.Request) {
		from = append(from, r.RemoteAddr)
		events(okAnswer())(w, r)
	})
	m := open(t, "kimi/test", p.config(newClock()))
	f, err := m.Frame(nil, inference.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := m.Ask(t.Context(), f, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	if from[0] != from[1] || from[1] != from[2] {
		t.Errorf("connections %v", from)
	}
}

// TestNoCredentialsBehindRedirect holds that nothing is sent to where a redirect points.
func TestNoCredentialsBehindRedirect(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("redirect followed: %s %v", r.Method, r.Header)
	}))
	defer other.Close()
	for _, code := range []int{301, 302, 303, 307, 308} {
		p := serve(t, status(code, "", "Location", other.URL))
		c := p.config(newClock())
		c.HTTP = &http.Client{Transport: p.client.Transport, CheckRedirect: nil}
		m := open(t, "openai/test", c)
		f, err := m.Frame(nil, inference.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var e *inference.APIError
		if _, err := m.Ask(t.Context(), f, nil, nil); !errors.As(err, &e) || e.Status != code {
			t.Errorf("%d: %v", code, err)
		}
	}
}

func TestLogHasNoKey(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p := serve(t, status(500, "key "+testKey), events(okAnswer()))
	c := p.config(newClock())
	c.Log = slog.New(slog.NewJSONHandler(&out, nil))
	m := open(t, "kimi/test", c)
	f, err := m.Frame(nil, inference.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Ask(t.Context(), f, nil, nil); err != nil {
		t.Fatal(err)
	}
	if log := out.String(); strings.Contains(log, testKey) || !strings.Contains(log, "[redacted]") || strings.Count(log, "\n") != 1 {
		t.Errorf("log:\n%s", log)
	}
	if shown := fmt.Sprintf("%v %+v %#v", m, m, m); strings.Contains(shown, testKey) {
		t.Errorf("the key shows: %s", shown)
	}
}

func TestAskRefusesABrokenFrame(t *testing.T) {
	t.Parallel()
	m := open(t, "kimi/test", inference.Config{Env: env("KIMI_API_KEY", "k")})
	if _, err := m.Ask(t.Context(), chat.Frame{Bytes: []byte("{}"), At: 3}, nil, nil); err == nil {
		t.Error("no error")
	}
}
