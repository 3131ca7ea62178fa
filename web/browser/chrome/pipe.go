// Package chrome drives a headless Chromium over the pipe that --remote-debugging-pipe opens: the
// Chrome DevTools Protocol, one JSON message after another, each ended by a zero byte.
//
// Tests and scripts use it; the program does not, and must not come to depend on it. Decision
// (November 2026): a client of our own, of a few hundred lines, and not chromedp. The pipe needs no
// WebSocket, opens no port that other users of the machine could reach, and costs go.mod nothing;
// chromedp brings five modules, of which cdproto alone compiles for longer than all of our pages'
// tests run, to generate types for 60 domains of which this package needs nine.
//
// Nothing here sleeps: what has to be waited for is a condition on the page
// ([Page.Wait]), or that its requests are answered ([Page.Settle]). Read first: browser.go, page.go.
package chrome

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// errClosed is what calls get once the browser is gone.
var errClosed = errors.New("the browser has ended")

// message is a request (id, method, params), an answer (id, result or error) or an event (method, params).
type message struct {
	ID      int64           `json:"id,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Session string          `json:"sessionId,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Data    string `json:"data"`
	} `json:"error,omitempty"`
}

// pipe sends requests and hands answers and events to whom they belong.
type pipe struct {
	to io.WriteCloser

	mu       sync.Mutex
	last     int64
	waiting  map[int64]chan message
	sessions map[string]func(method string, params json.RawMessage) // by session; "" is the browser itself
	closed   bool
}

func newPipe(to io.WriteCloser) *pipe {
	return &pipe{to: to, waiting: map[int64]chan message{}, sessions: map[string]func(string, json.RawMessage){}}
}

// read hands out what comes until from ends. Handlers of events run here: they must not call.
func (p *pipe) read(from io.Reader) {
	in := bufio.NewReaderSize(from, 1<<20)
	for {
		raw, err := in.ReadBytes(0)
		if err != nil {
			p.end()
			return
		}
		var m message
		if json.Unmarshal(bytes.TrimSuffix(raw, []byte{0}), &m) != nil {
			continue
		}
		p.deliver(m)
	}
}

func (p *pipe) deliver(m message) {
	p.mu.Lock()
	answer, waited := p.waiting[m.ID]
	delete(p.waiting, m.ID)
	handle := p.sessions[m.Session]
	p.mu.Unlock()
	if waited {
		answer <- m
	} else if m.Method != "" && handle != nil {
		handle(m.Method, m.Params)
	}
}

func (p *pipe) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, answer := range p.waiting {
		close(answer)
	}
	p.waiting = nil
}

// listen gives the events of a session to handle; nil ends it.
func (p *pipe) listen(session string, handle func(method string, params json.RawMessage)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if handle == nil {
		delete(p.sessions, session)
		return
	}
	p.sessions[session] = handle
}

// call asks and waits for the answer, which is decoded into result unless that is nil.
func (p *pipe) call(ctx context.Context, session, method string, params, result any) error {
	answer, err := p.send(session, method, params)
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	select {
	case m, ok := <-answer:
		switch {
		case !ok:
			return fmt.Errorf("%s: %w", method, errClosed)
		case m.Error != nil:
			return fmt.Errorf("%s: %s %s", method, m.Error.Message, m.Error.Data)
		case result == nil:
			return nil
		}
		return json.Unmarshal(m.Result, result)
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", method, ctx.Err())
	}
}

func (p *pipe) send(session, method string, params any) (<-chan message, error) {
	if params == nil {
		params = struct{}{}
	}
	body, err := json.Marshal(params)
	if err != nil {
		return nil, err
	}
	answer := make(chan message, 1)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errClosed
	}
	p.last++
	text, err := json.Marshal(message{ID: p.last, Method: method, Params: body, Session: session})
	if err != nil {
		return nil, err
	}
	p.waiting[p.last] = answer
	_, err = p.to.Write(append(text, 0))
	return answer, err
}
