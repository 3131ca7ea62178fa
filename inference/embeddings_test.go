package inference_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tachograph/inference"
)

// embeddingServer answers request n with answers[n], the last one again and again.
type embeddingServer struct {
	url      string
	client   *http.Client
	mu       sync.Mutex
	requests []embeddingRequest
}

type embeddingRequest struct {
	Model          string   `json:"model"`
	Input          []string `json:"input"`
	EncodingFormat string   `json:"encoding_format"`
	Dimensions     int      `json:"dimensions"`
}

type embeddingReply func(w http.ResponseWriter, r embeddingRequest)

func serveEmbeddings(t *testing.T, answers ...embeddingReply) *embeddingServer {
	t.Helper()
	p := &embeddingServer{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var request embeddingRequest
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil || r.URL.Path != "/v1/embeddings" || r.Method != http.MethodPost {
			t.Errorf("request %s %s: %v", r.Method, r.URL.Path, err)
		}
		if r.Header.Get("Authorization") != "Bearer "+testKey || r.Header.Get("Accept") != "application/json" {
			t.Errorf("headers %v", r.Header)
		}
		p.mu.Lock()
		n := len(p.requests)
		p.requests = append(p.requests, request)
		p.mu.Unlock()
		answers[min(n, len(answers)-1)](w, request)
	}))
	t.Cleanup(s.Close)
	p.url, p.client = s.URL+"/v1", s.Client()
	return p
}

func (p *embeddingServer) open(t *testing.T, dimensions int, clock *clock) *inference.Embeddings {
	t.Helper()
	e, err := inference.OpenEmbeddings("openai/vectors-1", dimensions, inference.Config{
		Env: env("OPENAI_BASE_URL", p.url, "OPENAI_API_KEY", testKey), HTTP: p.client, Clock: clock, Idle: idle,
		Jitter: func() float64 { return 0.5 }, Retry: inference.Retry{Tries: 4, Base: base}, Answer: 1 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// lengths embeds a text as its length and 1, not of length 1, and last text first.
func lengths(w http.ResponseWriter, r embeddingRequest) {
	var data []string
	for i := len(r.Input) - 1; i >= 0; i-- {
		data = append(data, fmt.Sprintf(`{"object":"embedding","index":%d,"embedding":[%d,1]}`, i, len(r.Input[i])))
	}
	fmt.Fprintf(w, `{"object":"list","data":[%s],"model":"vectors-1","usage":{"prompt_tokens":1}}`, strings.Join(data, ","))
}

func says(code int, body string) embeddingReply {
	return func(w http.ResponseWriter, _ embeddingRequest) {
		w.WriteHeader(code)
		io.WriteString(w, body)
	}
}

func wantLength(t *testing.T, text string, v []float32) {
	t.Helper()
	n := math.Hypot(float64(len(text)), 1)
	if len(v) != 2 || math.Abs(float64(v[0])-float64(len(text))/n) > 1e-6 || math.Abs(float64(v[1])-1/n) > 1e-6 {
		t.Errorf("%.20q: vector %v", text, v)
	}
}

// TestEmbeddings: texts go out in batches, and each gets its own vector, of length 1.
func TestEmbeddings(t *testing.T) {
	t.Parallel()
	p := serveEmbeddings(t, lengths)
	e := p.open(t, 0, newClock())
	if e.Name() != "openai/vectors-1" || e.Dimensions() != 0 {
		t.Errorf("%s, %d dimensions", e.Name(), e.Dimensions())
	}
	texts := []string{"", "a", " \n", strings.Repeat("b", 100<<10), strings.Repeat("c", 100<<10), "d"}
	for i := range 100 {
		texts = append(texts, strings.Repeat("e", i+1))
	}
	vectors, err := e.Embed(t.Context(), texts)
	if err != nil || len(vectors) != len(texts) || e.Dimensions() != 2 {
		t.Fatalf("%d vectors of %d dimensions, %v", len(vectors), e.Dimensions(), err)
	}
	for i, text := range texts {
		if strings.TrimSpace(text) == "" {
			if vectors[i] != nil {
				t.Errorf("white space has vector %v", vectors[i])
			}
			continue
		}
		wantLength(t, text, vectors[i])
	}
	var sizes []int
	for _, r := range p.requests {
		sizes = append(sizes, len(r.Input))
		if r.Model != "vectors-1" || r.EncodingFormat != "float" || r.Dimensions != 0 {
			t.Errorf("request for %s as %s with %d dimensions", r.Model, r.EncodingFormat, r.Dimensions)
		}
	}
	if diff := cmp.Diff([]int{2, 64, 38}, sizes); diff != "" {
		t.Errorf("texts of the requests (-want +got):\n%s", diff)
	}
	if vectors, err := e.Embed(t.Context(), []string{" "}); err != nil || len(vectors) != 1 || vectors[0] != nil || len(p.requests) != 3 {
		t.Errorf("nothing but white space: %v, %v, %d requests", vectors, err, len(p.requests))
	}
}

// TestEmbeddingsAgain: what may pass is tried again, within the bounds of all models.
func TestEmbeddingsAgain(t *testing.T) {
	t.Parallel()
	p := serveEmbeddings(t, says(503, ""), says(200, `{"data":[{"index":0,"embed`), says(200, `{"error":{"message":"overloaded","code":503}}`), lengths)
	clock := newClock()
	e := p.open(t, 2, clock)
	vectors, err := e.Embed(t.Context(), []string{"abc"})
	if err != nil {
		t.Fatal(err)
	}
	wantLength(t, "abc", vectors[0])
	if diff := cmp.Diff([]time.Duration{base / 2, base, 2 * base}, clock.waited()); diff != "" {
		t.Errorf("waits (-want +got):\n%s", diff)
	}
	if p.requests[3].Dimensions != 2 {
		t.Errorf("%d dimensions asked for", p.requests[3].Dimensions)
	}
}

// TestEmbeddingsRefuse: a vector that is not what was asked for is an error, never a vector.
func TestEmbeddingsRefuse(t *testing.T) {
	t.Parallel()
	two := []string{"x", "y"}
	for name, tc := range map[string]struct {
		answer     embeddingReply
		dimensions int
		tries      int
		want       string
	}{
		"one for two":      {says(200, `{"data":[{"index":0,"embedding":[1,0]}]}`), 0, 4, "1 vectors for 2 texts"},
		"one twice":        {says(200, `{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]}`), 0, 4, "vector 0 twice"},
		"of no text":       {says(200, `{"data":[{"index":0,"embedding":[1]},{"index":2,"embedding":[1]}]}`), 0, 4, "vector 2"},
		"empty":            {says(200, `{"data":[{"index":0,"embedding":[]},{"index":1,"embedding":[1]}]}`), 0, 4, "no direction"},
		"zero":             {says(200, `{"data":[{"index":0,"embedding":[0,0]},{"index":1,"embedding":[1,1]}]}`), 0, 4, "no direction"},
		"too large":        {says(200, `{"data":[{"index":0,"embedding":[1e39]},{"index":1,"embedding":[1]}]}`), 0, 4, "not an answer"},
		"base64":           {says(200, `{"data":[{"index":0,"embedding":"AAAA"},{"index":1,"embedding":"AAAA"}]}`), 0, 4, "not an answer"},
		"uneven":           {says(200, `{"data":[{"index":0,"embedding":[1,2]},{"index":1,"embedding":[1]}]}`), 0, 1, "vectors of 2 and of 1 dimensions in one answer"},
		"other dimensions": {lengths, 256, 1, "the vectors have 2 dimensions, not 256; configure the model with 2 dimensions, or leave them to it"},
		"page":             {says(200, "<html>"), 0, 4, "not an answer"},
		"wrong model":      {says(404, `{"error":{"message":"no such model"}}`), 0, 1, "no such model; check the model's name and OPENAI_BASE_URL"},
		"key":              {says(401, `{"error":{"message":"bad key `+testKey+`"}}`), 0, 1, "bad key [redacted]; check OPENAI_API_KEY"},
		"long":             {says(200, `{"data":[`+strings.Repeat(" ", 2<<20)+`]}`), 0, 1, "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := serveEmbeddings(t, tc.answer)
			vectors, err := p.open(t, tc.dimensions, newClock()).Embed(t.Context(), two)
			var api *inference.APIError
			if vectors != nil || !errors.As(err, &api) || !strings.Contains(err.Error(), tc.want) || !strings.HasPrefix(err.Error(), "ask openai/vectors-1: ") {
				t.Fatalf("%v, error %v, want one with %q", vectors, err, tc.want)
			}
			if api.Tries != tc.tries || len(p.requests) != tc.tries {
				t.Errorf("%d tries, %d requests, want %d", api.Tries, len(p.requests), tc.tries)
			}
			if strings.Contains(err.Error(), testKey) {
				t.Error("the key shows")
			}
		})
	}
}

// TestEmbeddingsKeepDimensions: a model that changes under the same name is noticed.
func TestEmbeddingsKeepDimensions(t *testing.T) {
	t.Parallel()
	p := serveEmbeddings(t, lengths, says(200, `{"data":[{"index":0,"embedding":[1,2,3]}]}`))
	e := p.open(t, 0, newClock())
	if _, err := e.Embed(t.Context(), []string{"x"}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Embed(t.Context(), []string{"x"}); err == nil || !strings.Contains(err.Error(), "3 dimensions, not 2") {
		t.Errorf("error %v", err)
	}
}

func TestEmbeddingsStop(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	p := serveEmbeddings(t, func(http.ResponseWriter, embeddingRequest) { cancel(); panic(http.ErrAbortHandler) })
	if _, err := p.open(t, 0, newClock()).Embed(ctx, []string{"x"}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestOpenEmbeddings(t *testing.T) {
	t.Parallel()
	for model, want := range map[string]string{
		"openai/m": "", "m": "", "openai/": "no name after", "script/x.yaml": `no embeddings from provider "script": known are kimi, openai`,
		"": "no name", "kimi/m": "no key for kimi",
	} {
		_, err := inference.OpenEmbeddings(model, 0, inference.Config{Env: env("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: error %v, want %q", model, err, want)
		}
	}
	if _, err := inference.OpenEmbeddings("openai/m", -1, inference.Config{Env: env("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")}); err == nil {
		t.Error("-1 dimensions were accepted")
	}
}
