package inference

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

// ErrContextTooLong says that the messages are more than the model can read. The caller shortens
// them: asking again is no use.
var ErrContextTooLong = errors.New("context too long")

// errIdle is the cause of a request that Config.Idle ended.
var errIdle = errors.New("the provider went silent")

// APIError is an answer that did not come. errors.Is finds [ErrContextTooLong] in it.
type APIError struct {
	Model  string // provider/name
	Status int    // of HTTP; 0 if no answer began

	// Code, Type and Message are the provider's words where there are some, else ours. They are
	// bounded, and the key is taken out.
	Code, Type, Message string

	// Retryable says that the same request may do later, though all tries are used up.
	Retryable  bool
	RetryAfter time.Duration // how long the provider asked to be left alone; 0: it did not say
	Tries      int           // requests that were sent
	Trace      string        // the provider's trace id; may be empty
	Hint       string        // what an operator can do; may be empty
	Cause      error         // may be nil
}

func (e *APIError) Error() string {
	var b strings.Builder
	b.WriteString("ask " + e.Model + ":")
	if e.Status != 0 {
		fmt.Fprintf(&b, " status %d", e.Status)
	}
	if word := firstOf(e.Code, e.Type); word != "" {
		b.WriteString(" (" + word + ")")
	}
	if e.Status != 0 || firstOf(e.Code, e.Type) != "" {
		b.WriteString(":")
	}
	b.WriteString(" " + e.Message)
	if e.Tries > 1 {
		fmt.Fprintf(&b, ", after %d tries", e.Tries)
	}
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

func (e *APIError) Unwrap() error { return e.Cause }

// providerError is the error object of a provider: {"error":{…}}, or the same without the cover.
type providerError struct {
	Message string `json:"message"`
	Type    string `json:"type"`
	Code    any    `json:"code"` // text or number
}

// readProviderError takes the error object out of a body; ok is false if there is none.
func readProviderError(body []byte) (e providerError, ok bool) {
	var cover struct {
		Error json.RawMessage `json:"error"`
		providerError
	}
	if json.Unmarshal(body, &cover) != nil {
		return e, false
	}
	if len(cover.Error) == 0 || string(cover.Error) == "null" {
		return cover.providerError, cover.Message != ""
	}
	if json.Unmarshal(cover.Error, &e) == nil {
		return e, true
	}
	return providerError{Message: string(cover.Error)}, true // such as "error":"some text"
}

func (e providerError) code() string {
	if e.Code == nil {
		return ""
	}
	return fmt.Sprint(e.Code)
}

// maxMessage bounds what of a provider's message is shown.
const maxMessage = 1000

// newAPIError makes an error of a provider's words. An error inside an answer has status 200: it is
// judged by its code if that is a status, else by its words.
func newAPIError(status int, body []byte, key secret) *APIError {
	p, ok := readProviderError(body)
	if !ok {
		p.Message = strings.TrimSpace(string(body))
	}
	if p.Message == "" {
		p.Message = strings.ToLower(http.StatusText(status))
	}
	e := &APIError{
		Status:  status,
		Code:    bounded(key.redact(p.code()), 100),
		Type:    bounded(key.redact(p.Type), 100),
		Message: bounded(key.redact(p.Message), maxMessage),
	}
	if code, isNumber := p.Code.(float64); isNumber && status == http.StatusOK && code >= 400 && code < 600 {
		status = int(code)
	}
	if isTooLong(status, p) {
		e.Cause = ErrContextTooLong
		return e
	}
	e.Retryable = mayRetry(status, p)
	return e
}

// mayRetry tells passing errors from lasting ones. 409 is a lock time-out at OpenAI. An exhausted
// quota is a 429 too, but lasts until somebody pays.
func mayRetry(status int, p providerError) bool {
	words := strings.ToLower(p.Type + " " + p.code())
	if strings.Contains(words, "insufficient_quota") || strings.Contains(words, "exceeded_current_quota") {
		return false
	}
	switch status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests:
		return true
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return false
	case http.StatusOK:
		return !strings.Contains(words, "invalid") && !strings.Contains(words, "not_found") &&
			!strings.Contains(words, "permission") && !strings.Contains(words, "auth")
	}
	return status >= 500
}

// tooLong are the words of providers for too many messages: OpenAI and vLLM, Moonshot, llama.cpp,
// and others that are compatible.
var tooLong = regexp.MustCompile(`(?i)context_length_exceeded|exceed_context_size|` +
	`maximum context length|exceeded model token limit|context (window|length|size)|prompt is too long`)

func isTooLong(status int, p providerError) bool {
	switch status {
	case http.StatusOK, http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity,
		http.StatusInternalServerError: // llama.cpp before it had a type for it
		return tooLong.MatchString(p.code() + " " + p.Type + " " + p.Message)
	}
	return false
}

// bounded cuts a text to n bytes, between characters, makes it valid UTF-8 and one line.
func bounded(text string, n int) string {
	cut := len(text) > n
	if cut {
		for n > 0 && !utf8.RuneStart(text[n]) {
			n--
		}
		text = text[:n]
	}
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "�")), " ")
	if cut {
		text += " …"
	}
	return text
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// Temporary says whether the same request may succeed later, after the tries that were made.
func (e *APIError) Temporary() bool { return e.Retryable }

// ContextExceeded says whether the messages were too long for the model.
func (e *APIError) ContextExceeded() bool { return errors.Is(e, ErrContextTooLong) }
