package inference

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"
	"time"

	"tachograph/inference/sse"
	"tachograph/schemas/chat"
)

// Bounds of what is read, in bytes. The longest answers today, 128k tokens of some 200 bytes each
// with their wrapping, have 30 MiB. An event has 200 bytes, or the whole answer where a server does
// not send it in pieces.
const (
	maxAnswer = 128 << 20
	maxEvent  = 16 << 20
	maxError  = 64 << 10
)

// client is one model at one path of an OpenAI-compatible API. It never changes after it was made.
type client struct {
	vendor vendor
	model  string // as the API knows it
	url    string
	accept string // media types that an answer may have
	key    secret
	http   *http.Client
	idle   time.Duration
	retry  Retry
	limit  int // bytes of an answer
	clock  Clock
	jitter func() float64
	log    *slog.Logger
}

// newChat makes the client that is a [Provider].
func newChat(v vendor, model string, c Config) (*client, error) {
	made, err := newClient(v, model, c, "chat", "completions")
	if err == nil {
		made.accept = "text/event-stream, " + made.accept
	}
	return made, err
}

// newClient makes the client of one path of the API.
func newClient(v vendor, model string, c Config, path ...string) (*client, error) {
	url, key, err := v.endpoint(c.Env, path...)
	if err != nil {
		return nil, err
	}
	// A redirect would carry the conversation, and on the same host the key, to an address nobody
	// configured.
	h := &http.Client{
		Transport:     c.HTTP.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &client{
		vendor: v, model: v.spelling(model), url: url, accept: "application/json", key: key, http: h,
		idle: c.Idle, retry: c.Retry, limit: c.Answer, clock: c.Clock, jitter: c.Jitter, log: c.Log,
	}, nil
}

// Name implements [Provider].
func (c *client) Name() string { return c.vendor.name + "/" + c.model }

// Frame implements [Provider].
func (c *client) Frame(tools []chat.Tool, o Options) (chat.Frame, error) {
	members, err := c.vendor.members(o)
	if err == nil {
		var f chat.Frame
		if f, err = writeFrame(c.model, tools, members); err == nil {
			return f, nil
		}
	}
	return chat.Frame{}, fmt.Errorf("write request for %s: %w", c.Name(), err)
}

// Ask implements [Provider].
func (c *client) Ask(ctx context.Context, f chat.Frame, messages []chat.Message, watch func(chat.Delta)) (chat.Answer, error) {
	if f.At < 0 || f.At > len(f.Bytes) {
		return chat.Answer{}, fmt.Errorf("ask %s: the frame's position %d is not within its %d bytes", c.Name(), f.At, len(f.Bytes))
	}
	request := f.Request(messages)
	var answer chat.Answer
	tries, err := c.insist(ctx, func() *APIError {
		return c.post(ctx, request, func(ctx context.Context, resp *http.Response, guard *silence) (fail *APIError) {
			answer, fail = c.read(ctx, resp, guard, len(messages), watch)
			answer.Trace = traceID(resp.Header)
			return fail
		})
	})
	if err != nil {
		return chat.Answer{}, err
	}
	answer.Tries = tries
	return answer, nil
}

// insist calls try until it succeeds, fails in a way that lasts, or has had its tries, and says how
// often it did.
func (c *client) insist(ctx context.Context, try func() *APIError) (int, error) {
	for n := 1; ; n++ {
		err := try()
		if ctx.Err() != nil && err != nil {
			return n, fmt.Errorf("ask %s: %w", c.Name(), ctx.Err())
		}
		if err == nil {
			return n, nil
		}
		err.Model, err.Tries = c.Name(), n
		if !err.Retryable || n >= c.retry.Tries {
			return n, err
		}
		d := c.retry.wait(n, err.RetryAfter, c.jitter())
		c.log.WarnContext(ctx, "model is asked again", "model", c.Name(), "try", n+1, "of", c.retry.Tries, "wait", d, "cause", err)
		if err := wait(ctx, c.clock, d); err != nil {
			return n, fmt.Errorf("ask %s: %w", c.Name(), err)
		}
	}
}

// post sends one request and has read take its answer. It keeps the silence bounded, from the first
// byte on.
func (c *client) post(ctx context.Context, request []byte, read func(context.Context, *http.Response, *silence) *APIError) *APIError {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	guard := &silence{clock: c.clock, limit: c.idle, end: func() { cancel(errIdle) }}
	guard.heard()
	defer guard.stop()

	resp, err := c.send(ctx, request)
	if err != nil {
		return c.transportError(ctx, 0, err)
	}
	defer resp.Body.Close()
	fail := read(ctx, resp, guard)
	if fail != nil {
		fail.Trace = traceID(resp.Header)
	}
	return fail
}

func (c *client) send(ctx context.Context, request []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(request))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", c.accept)
	// Compressed streams arrive in blocks, not when they are said. Naming it also keeps the
	// transport from asking for gzip by itself.
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("User-Agent", "tacho")
	if !c.key.none() {
		req.Header.Set("Authorization", "Bearer "+c.key.text())
	}
	return c.http.Do(req)
}

// read reads the answer of one request.
func (c *client) read(ctx context.Context, resp *http.Response, guard *silence, messages int, watch func(chat.Delta)) (chat.Answer, *APIError) {
	in, err := decoded(resp)
	if err != nil {
		return chat.Answer{}, &APIError{Status: resp.StatusCode, Message: err.Error(), Cause: err}
	}
	body := &recorder{in: in, guard: guard, limit: c.limit}
	if resp.StatusCode != http.StatusOK {
		return chat.Answer{}, c.statusError(resp, body)
	}
	a := &assembler{watch: watch}
	if err := c.assemble(a, body, resp.Header); err != nil {
		return chat.Answer{}, c.answerError(ctx, err)
	}
	answer, err := a.answer(messages)
	if err != nil {
		return chat.Answer{}, c.answerError(ctx, err)
	}
	answer.Raw = body.seen.Bytes()
	return answer, nil
}

// errCut says that an answer ended before it was whole.
var errCut = errors.New("the answer was cut off")

// assemble reads a stream of events, or the one JSON object of a server that does not stream.
func (c *client) assemble(a *assembler, body *recorder, h http.Header) error {
	in := bufio.NewReader(body)
	first, err := peek(in)
	if err != nil {
		return fmt.Errorf("%w: %w", errCut, err)
	}
	if first == '{' {
		whole, err := io.ReadAll(in)
		if err != nil {
			return fmt.Errorf("%w: %w", errCut, err)
		}
		if err := a.add(whole, c.key); err != nil {
			return err
		}
		if !a.begun() {
			return fmt.Errorf("%w: no choice in it", errNotAnswer)
		}
		return nil
	}
	if kind, _, _ := mime.ParseMediaType(h.Get("Content-Type")); kind == "text/html" {
		return errPage
	}
	err = c.stream(a, sse.NewReader(in, maxEvent), body.guard)
	if err == nil || a.finished() && !isProviders(err) {
		return nil // the message is whole, whatever became of the connection after it
	}
	return err
}

// errPage says that a web page came instead of an answer.
var errPage = errors.New("a web page came instead of an answer")

// isProviders reports whether an error is what the provider said, and not what became of it on the
// way.
func isProviders(err error) bool {
	var said *APIError
	return errors.As(err, &said) || errors.Is(err, errTooLarge) || errors.Is(err, sse.ErrTooLong)
}

func (c *client) stream(a *assembler, events *sse.Reader, guard *silence) error {
	for {
		e, err := events.Next()
		switch {
		case errors.Is(err, io.EOF):
			if a.finished() {
				return nil
			}
			return errCut
		case isProviders(err):
			return err
		case err != nil:
			return fmt.Errorf("%w: %w", errCut, err)
		}
		if strings.TrimSpace(string(e.Data)) == "[DONE]" {
			if !a.begun() {
				return fmt.Errorf("%w: it ended before anything was said", errNotAnswer)
			}
			drain(events, guard)
			return nil
		}
		if e.Name == "error" {
			return newAPIError(http.StatusOK, e.Data, c.key)
		}
		if err := a.add(e.Data, c.key); err != nil {
			return err
		}
		if a.finished() && !guard.last { // the counts may follow, and a server may forget to close
			guard.atMost(30 * time.Second)
		}
	}
}

// drain reads on to the end, so that Raw holds all that was sent and the connection can be used
// again, but not for long. What comes is not looked at: [DONE] was said.
func drain(events *sse.Reader, guard *silence) {
	guard.atMost(time.Second)
	for {
		if _, err := events.Next(); err != nil {
			return
		}
	}
}

// peek skips white space and a byte order mark, and returns the byte that follows, which stays to
// be read.
func peek(in *bufio.Reader) (byte, error) {
	const skip = " \t\r\n\xef\xbb\xbf"
	for {
		b, err := in.ReadByte()
		if err != nil {
			return 0, err
		}
		if strings.IndexByte(skip, b) < 0 {
			return b, in.UnreadByte()
		}
	}
}

// decoded undoes a compression that nobody asked for.
func decoded(resp *http.Response) (io.Reader, error) {
	switch coding := strings.ToLower(strings.TrimSpace(resp.Header.Get("Content-Encoding"))); coding {
	case "", "identity":
		return resp.Body, nil
	case "gzip", "x-gzip":
		return &lazyGzip{in: resp.Body}, nil
	default:
		return nil, fmt.Errorf("the answer has content encoding %q, and none was asked for", bounded(coding, 40))
	}
}

// lazyGzip reads the header only when it is read itself, within the guard of silence.
type lazyGzip struct {
	in io.Reader
	gz *gzip.Reader
}

func (z *lazyGzip) Read(p []byte) (n int, err error) {
	if z.gz == nil {
		if z.gz, err = gzip.NewReader(z.in); err != nil {
			return 0, err
		}
	}
	return z.gz.Read(p)
}

// statusError reads the error that a status other than 200 brings.
func (c *client) statusError(resp *http.Response, body io.Reader) *APIError {
	text, _ := io.ReadAll(io.LimitReader(body, maxError)) // what came before it broke has to do
	e := newAPIError(resp.StatusCode, text, c.key)
	e.RetryAfter = retryAfter(resp.Header, c.clock.Now())
	switch code := resp.StatusCode; {
	case code < 400:
		e.Message = "a redirect or an answer without content is not followed"
		e.Retryable = false
		e.Hint = "check " + c.vendor.baseVar
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		e.Hint = "check " + strings.Join(c.vendor.keyVars, " or ")
	case code == http.StatusNotFound:
		e.Hint = "check the model's name and " + c.vendor.baseVar
	}
	return e
}

// answerError judges what went wrong in an answer that began well.
func (c *client) answerError(ctx context.Context, err error) *APIError {
	var said *APIError
	switch {
	case errors.As(err, &said):
		return said
	case errors.Is(err, errPage):
		return &APIError{Status: http.StatusOK, Message: err.Error(), Hint: "check " + c.vendor.baseVar, Cause: err}
	case errors.Is(err, errTooLarge), errors.Is(err, sse.ErrTooLong):
		return &APIError{Status: http.StatusOK, Message: err.Error(), Cause: err}
	case errors.Is(err, errNotAnswer): // bytes that a proxy broke come right the next time
		return &APIError{Status: http.StatusOK, Message: err.Error(), Retryable: true, Cause: err}
	}
	return c.transportError(ctx, http.StatusOK, err)
}

// transportError judges a request that the network ended. All but what a certificate is about may
// pass: an agent that runs for days outlives a router.
func (c *client) transportError(ctx context.Context, status int, err error) *APIError {
	e := &APIError{Status: status, Message: bounded(c.key.redact(err.Error()), maxMessage), Retryable: true, Cause: err}
	if errors.Is(context.Cause(ctx), errIdle) {
		e.Message = fmt.Sprintf("%v for %v", errIdle, c.idle)
		e.Cause = errIdle
		return e
	}
	var (
		certificate *tls.CertificateVerificationError
		header      tls.RecordHeaderError
		authority   x509.UnknownAuthorityError
		host        x509.HostnameError
	)
	if errors.As(err, &certificate) || errors.As(err, &header) || errors.As(err, &authority) || errors.As(err, &host) {
		e.Retryable = false
		e.Hint = "check " + c.vendor.baseVar + " and the machine's certificates"
	}
	return e
}

// traceID is the name under which the provider's people find the request.
func traceID(h http.Header) string {
	return bounded(firstOf(h.Get("X-Trace-Id"), h.Get("X-Request-Id")), 200)
}

// silence ends a request when nothing is heard for a while. It is used by one goroutine.
type silence struct {
	clock  Clock
	limit  time.Duration
	end    func()
	last   bool // the time that runs is the last one
	cancel func() bool
}

// heard starts the time anew.
func (s *silence) heard() {
	if s.last {
		return
	}
	s.stop()
	s.cancel = s.clock.AfterFunc(s.limit, s.end)
}

// atMost ends the request after d, whatever is heard.
func (s *silence) atMost(d time.Duration) {
	s.stop()
	s.last = true
	s.cancel = s.clock.AfterFunc(min(d, s.limit), s.end)
}

func (s *silence) stop() {
	if s.cancel != nil {
		s.cancel()
	}
}

// errTooLarge says that an answer is beyond reason.
var errTooLarge = errors.New("the answer is too large")

// recorder keeps what is read, up to a limit.
type recorder struct {
	in    io.Reader
	guard *silence
	limit int
	seen  bytes.Buffer
}

func (r *recorder) Read(p []byte) (int, error) {
	if r.seen.Len() >= r.limit {
		return 0, fmt.Errorf("%w: more than %d bytes", errTooLarge, r.limit)
	}
	n, err := r.in.Read(p[:min(len(p), r.limit-r.seen.Len())])
	if n > 0 {
		r.seen.Write(p[:n])
		r.guard.heard()
	}
	return n, err
}
