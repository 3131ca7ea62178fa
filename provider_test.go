package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"tachograph/replay"
	"tachograph/runner/state"
	"tachograph/schemas/chat"
	"tachograph/schemas/journal"
)

// provider plays an OpenAI-compatible server that misbehaves in all the ways that real ones do.
type provider struct {
	mu       sync.Mutex
	requests [][]byte // bodies, in order
	answers  []func(w http.ResponseWriter)
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	p.mu.Lock()
	n := len(p.requests)
	p.requests = append(p.requests, body)
	p.mu.Unlock()
	if n >= len(p.answers) {
		http.Error(w, "no more answers", http.StatusTeapot)
		return
	}
	p.answers[n](w)
}

// stream writes chunks as server-sent events; cut leaves in the middle of the last one.
func stream(cut bool, chunks ...string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i, c := range chunks {
			if cut && i == len(chunks)-1 {
				fmt.Fprintf(w, "data: %s", c[:len(c)/2])
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			}
			fmt.Fprintf(w, "data: %s\n\n", c)
			w.(http.Flusher).Flush()
		}
		fmt.Fprint(w, "data: [DONE]\n\n")
	}
}

func delta(format string, args ...any) string {
	return `{"choices":[{"index":0,"delta":` + fmt.Sprintf(format, args...) + `}]}`
}

func finish(reason string) string {
	return `{"choices":[{"index":0,"delta":{},"finish_reason":"` + reason + `"}],"usage":{"prompt_tokens":100,"completion_tokens":20}}`
}

// tenCalls is a turn of ten calls: good ones, one with broken arguments, one of no known tool.
func tenCalls() []string {
	chunks := []string{delta(`{"role":"assistant","reasoning_content":""}`)}
	for i := range 10 {
		name, arguments := "write_file", fmt.Sprintf(`{"intent":"Write number %d.","path":"f%d.txt","content":"%d\n"}`, i, i, i)
		switch i {
		case 4:
			arguments = `{"intent": "Broken", "path": `
		case 7:
			name = "no_such_tool"
		}
		text, _ := json.Marshal(arguments)
		chunks = append(chunks, delta(`{"tool_calls":[{"index":%d,"id":"call_x%d","type":"function","function":{"name":%q,"arguments":%s}}]}`, i, i, name, text))
	}
	return append(chunks, finish("tool_calls"))
}

// TestProvider runs an agent against a provider that refuses, cuts streams and asks for nonsense, and
// then rebuilds from the journal every request, byte for byte as the provider received it.
func TestProvider(t *testing.T) {
	t.Parallel()
	p := &provider{answers: []func(http.ResponseWriter){
		func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", "0")
			http.Error(w, `{"error":{"message":"slow down"}}`, http.StatusTooManyRequests)
		},
		stream(true, delta(`{"role":"assistant","content":"half"}`), delta(`{"content":" an answer"}`)),
		stream(false, tenCalls()...),
		stream(false, delta(`{"role":"assistant","reasoning_content":"I am thinking <b>&\u00e9."}`), delta(`{"content":"All written."}`), finish("stop")),
	}}
	server := httptest.NewServer(p)
	defer server.Close()

	k := newKilled(t, 1)
	spec := "model: openai/test-model\nprompt: Write ten files.\ndirectory: work\nprices: {input: '1', output: '2'}\n"
	if err := os.WriteFile(filepath.Join(k.dir, "spec.yaml"), []byte(spec), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := k.command("run", "spec.yaml")
	cmd.Env = append(cmd.Env, "OPENAI_BASE_URL="+server.URL+"/v1", "OPENAI_API_KEY=secret-key")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if bytes.Contains(out, []byte("secret-key")) {
		t.Error("the key is in the output")
	}
	k.result()
	checkRequests(t, filepath.Join(k.dir, "data", "store"), p.requests)
}

// checkRequests rebuilds each request from the journal. Tries that the client made again by itself
// were the same bytes.
func checkRequests(t *testing.T, dir string, received [][]byte) {
	t.Helper()
	store, err := state.Open(dir, state.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	ctx := context.Background()
	src := replay.Local(store)
	run, err := replay.FindRun(ctx, src, "last")
	if err != nil {
		t.Fatal(err)
	}
	if run.Usage.CostNUSD != 2*(100*1000+20*2000) {
		t.Errorf("cost %d nano-dollars", run.Usage.CostNUSD)
	}
	content := func(ref journal.Ref) []byte {
		b, err := src.Content(ctx, run.ID, ref)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var rebuilt [][]byte
	for line, err := range src.Entries(ctx, run.ID, 0) {
		if err != nil {
			t.Fatal(err)
		}
		_, body, err := decode(line)
		if err != nil {
			t.Fatal(err)
		}
		asked, ok := body.(*journal.ModelAsked)
		if !ok {
			continue
		}
		e, _ := journal.Decode(line)
		s, err := replay.At(ctx, src, run.ID, e.Seq)
		if err != nil {
			t.Fatal(err)
		}
		list := s.Agent("/").List
		var messages []chat.Message
		refs, err := list.Refs(0, list.Len())
		if err != nil {
			t.Fatal(err)
		}
		for _, ref := range refs {
			messages = append(messages, content(ref))
		}
		rebuilt = append(rebuilt, chat.Frame{Bytes: content(asked.Frame), At: int(asked.At)}.Request(messages))
	}
	if len(rebuilt) != 2 || len(received) != 4 {
		t.Fatalf("%d requests recorded, %d received", len(rebuilt), len(received))
	}
	for i, r := range received {
		if want := rebuilt[max(0, i-2)]; !bytes.Equal(r, want) {
			t.Errorf("request %d was\n%s\nrebuilt from the journal it is\n%s", i, r, want)
		}
	}
	last := string(received[3])
	if !strings.Contains(last, `"reasoning_content":""`) || strings.Count(last, `"role":"tool"`) != 10 {
		t.Errorf("the second turn does not carry the first one's empty reasoning and ten results:\n%s", last)
	}
}
