package genai

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Frame is what a request says besides its messages. A nil field was not sent.
type Frame struct {
	Tools       []Tool
	Temperature *float64
	MaxTokens   *int64
	Stream      *bool
}

// Tool is one definition.
type Tool struct {
	Type        string          `json:"type"`
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Parameters  json.RawMessage `json:"parameters,omitempty"` // JSON Schema
}

// ParseFrame reads the bytes of a request without its messages, which belong at the offset at. What
// it does not know it skips.
func ParseFrame(b []byte, at int64) (Frame, error) {
	if at < 0 || at > int64(len(b)) {
		return Frame{}, fmt.Errorf("parse frame: the messages' place %d is not within its %d bytes", at, len(b))
	}
	var request struct {
		Tools []struct {
			Type     string `json:"type"`
			Function Tool   `json:"function"`
		} `json:"tools"`
		Temperature         *float64 `json:"temperature"`
		MaxCompletionTokens *int64   `json:"max_completion_tokens"`
		MaxTokens           *int64   `json:"max_tokens"`
		Stream              *bool    `json:"stream"`
	}
	if err := json.Unmarshal(b, &request); err != nil {
		return Frame{}, fmt.Errorf("parse frame: %w", err)
	}
	f := Frame{Temperature: request.Temperature, MaxTokens: request.MaxCompletionTokens, Stream: request.Stream}
	if f.MaxTokens == nil {
		f.MaxTokens = request.MaxTokens
	}
	for _, t := range request.Tools {
		if t.Function.Name == "" {
			return Frame{}, errors.New("parse frame: a tool without a name")
		}
		t.Function.Type = t.Type
		f.Tools = append(f.Tools, t.Function)
	}
	return f, nil
}

// Definitions writes tool definitions, limited as [Messages] are: schemas go first, as half a schema
// is none.
func Definitions(tools []Tool, limit int) (text string, whole int) {
	return fit(tools, limit, func(t Tool, most int) Tool {
		t.Description = Cut(t.Description, most)
		if len(t.Parameters) > most {
			t.Parameters = nil
		}
		return t
	})
}
