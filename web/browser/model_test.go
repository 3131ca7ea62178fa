//go:build linux

package browser

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// model is an OpenAI-compatible provider whose words a test says, piece by piece, when it wants to:
// what is live needs a run that stands still until it has been looked at.
type model struct {
	server *httptest.Server
	mu     sync.Mutex
	asked  map[string]chan *asked // by the model's name, which is the test's
}

// asked is a request that waits for an answer. say and call stream; done ends it.
type asked struct {
	pieces chan string
	gone   <-chan struct{} // whoever asked left: the run was stopped
}

func newModel() *model {
	m := &model{asked: map[string]chan *asked{}}
	m.server = httptest.NewServer(m)
	return m
}

func (m *model) close() {
	m.server.CloseClientConnections()
	m.server.Close()
}

func (m *model) line(name string) chan *asked {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.asked[name] == nil {
		m.asked[name] = make(chan *asked, 10)
	}
	return m.asked[name]
}

func (m *model) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Model string `json:"model"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a := &asked{pieces: make(chan string), gone: r.Context().Done()}
	m.line(body.Model) <- a
	w.Header().Set("Content-Type", "text/event-stream")
	for {
		select {
		case piece, more := <-a.pieces:
			if !more {
				fmt.Fprint(w, "data: [DONE]\n\n")
				return
			}
			fmt.Fprintf(w, "data: %s\n\n", piece)
			w.(http.Flusher).Flush()
		case <-a.gone:
			return
		}
	}
}

// next is the next request to the model of that name.
func (m *model) next(t *testing.T, name string) *asked {
	t.Helper()
	select {
	case a := <-m.line(name):
		return a
	case <-t.Context().Done():
		t.Fatalf("model %s is not asked", name)
		return nil
	}
}

func (a *asked) send(piece string) {
	select {
	case a.pieces <- piece:
	case <-a.gone:
	}
}

func (a *asked) say(text string) {
	quoted, _ := json.Marshal(text)
	a.send(`{"choices":[{"index":0,"delta":{"content":` + string(quoted) + `}}]}`)
}

func (a *asked) call(tool string, args map[string]any) {
	text, _ := json.Marshal(args)
	quoted, _ := json.Marshal(string(text))
	a.send(fmt.Sprintf(`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":%q,"arguments":%s}}]}}]}`, tool, quoted))
}

func (a *asked) done(reason string) {
	a.send(`{"choices":[{"index":0,"delta":{},"finish_reason":"` + reason + `"}],"usage":{"prompt_tokens":100,"completion_tokens":20}}`)
	close(a.pieces)
}
