package inference

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"sync/atomic"
)

// Embeddings turns texts into vectors with a model of an OpenAI-compatible API (POST /embeddings).
// It is safe for concurrent use. Package embed does the same without a model.
type Embeddings struct {
	client     *client
	asked      int          // dimensions that are asked for; 0: the model's own
	dimensions atomic.Int64 // of its vectors; 0: not known yet
}

// Bounds of one request; more texts go into more requests. Servers take 2,048 texts and 300,000
// tokens (OpenAI), or much less (those of one's own).
const (
	maxBatchTexts = 64
	maxBatchBytes = 128 << 10
)

// OpenEmbeddings finds the provider of an embedding model's name as [Open] does; scripts have none.
// It sends nothing.
//
// dimensions are asked of the model, and another number in its answer is an error. 0 leaves them to
// the model, which some models insist on; then its first answer sets what the later ones must have.
func OpenEmbeddings(model string, dimensions int, c Config) (*Embeddings, error) {
	c = c.withDefaults()
	if dimensions < 0 {
		return nil, fmt.Errorf("open embedding model %q: %d dimensions", model, dimensions)
	}
	v, name, err := embeddingVendor(model, c.Env)
	if err == nil {
		var made *client
		if made, err = newClient(v, name, c, "embeddings"); err == nil {
			e := &Embeddings{client: made, asked: dimensions}
			e.dimensions.Store(int64(dimensions))
			return e, nil
		}
	}
	return nil, fmt.Errorf("open embedding model %q: %w", model, err)
}

func embeddingVendor(model string, env func(string) string) (vendor, string, error) {
	provider, name, found := strings.Cut(model, "/")
	if !found {
		v, err := lookUp(model, env)
		return v, model, err
	}
	var known []string
	for _, v := range vendors() {
		if v.name == provider && name != "" {
			return v, name, nil
		}
		known = append(known, v.name)
	}
	if name == "" {
		return vendor{}, "", fmt.Errorf("no name after %q", provider+"/")
	}
	return vendor{}, "", fmt.Errorf("no embeddings from provider %q: known are %s", provider, strings.Join(known, ", "))
}

// Name is provider/name, to be stored with each vector: vectors of two models do not compare.
func (e *Embeddings) Name() string { return e.client.Name() }

// Dimensions of the vectors; 0 if the model has not said yet.
func (e *Embeddings) Dimensions() int { return int(e.dimensions.Load()) }

// Embed makes a vector of length 1 of each text, in order; nil for a text of white space, which no
// API takes. It asks as often as the texts need, and again where that may help. An error is ctx's or
// an [*APIError], and then there are no vectors at all.
func (e *Embeddings) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	vectors := make([][]float32, len(texts))
	var batch []string
	var places []int
	size := 0
	for i, text := range texts {
		if strings.TrimSpace(text) == "" {
			continue
		}
		if len(batch) == maxBatchTexts || len(batch) > 0 && size+len(text) > maxBatchBytes {
			if err := e.embed(ctx, batch, places, vectors); err != nil {
				return nil, err
			}
			batch, places, size = batch[:0], places[:0], 0
		}
		batch, places, size = append(batch, text), append(places, i), size+len(text)
	}
	if len(batch) == 0 {
		return vectors, nil
	}
	if err := e.embed(ctx, batch, places, vectors); err != nil {
		return nil, err
	}
	return vectors, nil
}

// embed sends one request. The vector of texts[i] becomes into[places[i]].
func (e *Embeddings) embed(ctx context.Context, texts []string, places []int, into [][]float32) error {
	request, err := json.Marshal(struct {
		Model      string   `json:"model"`
		Input      []string `json:"input"`
		Format     string   `json:"encoding_format"`
		Dimensions int      `json:"dimensions,omitempty"`
	}{e.client.model, texts, "float", e.asked})
	if err != nil {
		return fmt.Errorf("write request for %s: %w", e.Name(), err)
	}
	_, err = e.client.insist(ctx, func() *APIError {
		return e.client.post(ctx, request, func(ctx context.Context, resp *http.Response, guard *silence) *APIError {
			vectors, fail := e.read(ctx, resp, guard, len(texts))
			for i, v := range vectors {
				into[places[i]] = v
			}
			return fail
		})
	})
	return err
}

// read reads the answer to n texts.
func (e *Embeddings) read(ctx context.Context, resp *http.Response, guard *silence, n int) ([][]float32, *APIError) {
	in, err := decoded(resp)
	if err != nil {
		return nil, &APIError{Status: resp.StatusCode, Message: err.Error(), Cause: err}
	}
	body := &recorder{in: in, guard: guard, limit: e.client.limit}
	if resp.StatusCode != http.StatusOK {
		return nil, e.client.statusError(resp, body)
	}
	if _, err := io.Copy(io.Discard, body); err != nil {
		return nil, e.client.answerError(ctx, fmt.Errorf("%w: %w", errCut, err))
	}
	vectors, err := parseEmbeddings(body.seen.Bytes(), n, e.client.key)
	if err != nil {
		return nil, e.client.answerError(ctx, err)
	}
	return vectors, e.check(vectors)
}

// parseEmbeddings takes n vectors out of an answer, and gives them length 1. The error wraps
// errNotAnswer, or is an *APIError if the answer is one.
func parseEmbeddings(body []byte, n int, key secret) ([][]float32, error) {
	var answer struct {
		Error json.RawMessage `json:"error"`
		Data  []struct {
			Index     int       `json:"index"`
			Embedding []float32 `json:"embedding"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("%w: %w: %s", errNotAnswer, err, bounded(key.redact(string(body)), 200))
	}
	if len(answer.Error) > 0 && string(answer.Error) != "null" {
		return nil, newAPIError(http.StatusOK, body, key)
	}
	if len(answer.Data) != n {
		return nil, fmt.Errorf("%w: %d vectors for %d texts", errNotAnswer, len(answer.Data), n)
	}
	vectors := make([][]float32, n)
	for _, d := range answer.Data {
		if d.Index < 0 || d.Index >= n || vectors[d.Index] != nil {
			return nil, fmt.Errorf("%w: vector %d twice, or of no text", errNotAnswer, d.Index)
		}
		v, err := unit(d.Embedding)
		if err != nil {
			return nil, fmt.Errorf("%w: vector %d %w", errNotAnswer, d.Index, err)
		}
		vectors[d.Index] = v
	}
	return vectors, nil
}

// check holds that all vectors have the same dimensions, those of earlier answers too.
func (e *Embeddings) check(vectors [][]float32) *APIError {
	first := len(vectors[0])
	for _, v := range vectors {
		if len(v) != first {
			return &APIError{Status: http.StatusOK, Message: fmt.Sprintf("vectors of %d and of %d dimensions in one answer", first, len(v))}
		}
	}
	if e.dimensions.CompareAndSwap(0, int64(first)) || e.Dimensions() == first {
		return nil
	}
	fail := &APIError{Status: http.StatusOK, Message: fmt.Sprintf("the vectors have %d dimensions, not %d", first, e.Dimensions())}
	if e.asked != 0 {
		fail.Hint = fmt.Sprintf("configure the model with %d dimensions, or leave them to it", first)
	}
	return fail
}

// unit gives a vector length 1, so that the cosine of two is their inner product.
func unit(v []float32) ([]float32, error) {
	var squares float64
	for _, x := range v {
		squares += float64(x) * float64(x)
	}
	if squares == 0 {
		return nil, errors.New("is empty or has no direction")
	}
	length := math.Sqrt(squares)
	for i, x := range v {
		v[i] = float32(float64(x) / length)
	}
	return v, nil
}
