package inference_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"tachograph/inference"
	"tachograph/schemas/chat"
)

// TestSlow sends an answer byte by byte.
func TestSlow(t *testing.T) {
	t.Parallel()
	text := callAnswer()
	p := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for i := range len(text) {
			events(text[i:i+1])(w, r)
			w.(http.Flusher).Flush()
		}
	})
	got, err := p.ask(t, t.Context(), newClock(), nil)
	if err != nil || string(got.Raw) != text || got.Tries != 1 {
		t.Errorf("try %d, %v: %q", got.Tries, err, got.Raw)
	}
}

// TestSilence holds that a server that says nothing any more is given up, before its first byte and
// after.
func TestSilence(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"before the header": "", "in the answer": okAnswer()[:150]} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClock()
			p := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if text != "" {
					events(text)(w, r)
					w.(http.Flusher).Flush()
				}
				c.pass(idle)
				<-r.Context().Done()
			})
			_, err := p.ask(t, t.Context(), c, nil)
			var e *inference.APIError
			if !errors.As(err, &e) || !e.Retryable || e.Tries != 4 || !strings.Contains(e.Error(), "the provider went silent for 1m17s") {
				t.Errorf("%+v", err)
			}
		})
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	hang := func(text string) reply {
		return func(w http.ResponseWriter, r *http.Request) {
			if text != "" {
				events(text)(w, r)
				w.(http.Flusher).Flush()
			}
			<-r.Context().Done()
		}
	}
	t.Run("before", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		p := serve(t, events(okAnswer()))
		if _, err := p.ask(t, ctx, newClock(), nil); !errors.Is(err, context.Canceled) || len(p.requests()) != 0 {
			t.Errorf("%v, %d requests", err, len(p.requests()))
		}
	})
	t.Run("in the stream", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		p := serve(t, hang(okAnswer()[:strings.Index(okAnswer(), `"finish_reason":"stop"`)]))
		_, err := p.ask(t, ctx, newClock(), func(chat.Delta) { cancel() })
		if !errors.Is(err, context.Canceled) || len(p.requests()) != 1 {
			t.Errorf("%v, %d requests", err, len(p.requests()))
		}
	})
	t.Run("while it waits for the answer", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		p := serve(t, func(w http.ResponseWriter, r *http.Request) {
			cancel()
			hang("")(w, r)
		})
		if _, err := p.ask(t, ctx, newClock(), nil); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	t.Run("while it waits to try again", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		p := serve(t, status(503, ""))
		c := p.config(nil)
		c.Clock = stopped{cancel}
		m := open(t, "kimi/test", c)
		f, err := m.Frame(nil, inference.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Ask(ctx, f, nil, nil); !errors.Is(err, context.Canceled) || len(p.requests()) != 1 {
			t.Errorf("%v, %d requests", err, len(p.requests()))
		}
	})
}

// stopped is a clock on which no time passes; it says when somebody waits to try again.
type stopped struct{ waiting func() }

func (stopped) Now() time.Time { return now }

func (s stopped) AfterFunc(d time.Duration, _ func()) func() bool {
	if d != idle {
		s.waiting()
	}
	return func() bool { return true }
}
