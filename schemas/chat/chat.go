// Package chat holds the words that a runner and a model provider share: messages, tools, a
// request and its answer. It holds no provider's habits and does no input or output.
//
// A message is kept as the exact bytes that travel: one JSON object in the form of the OpenAI chat
// completions API (role, content, tool_calls, tool_call_id, and reasoning_content as Kimi sends
// it). Whoever records a message records those bytes, and a request is rebuilt from them byte for
// byte; see [Frame].
package chat

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Message is one message as it travels: a JSON object, without white space around it.
type Message = json.RawMessage

// Parsed is what a message says. ReasoningContent is nil when the field is absent, which is not
// the same as empty: a model that keeps its reasoning demands it back as it was.
type Parsed struct {
	Role             string     `json:"role"`
	Content          *string    `json:"content,omitempty"`
	ReasoningContent *string    `json:"reasoning_content,omitempty"`
	ToolCalls        []ToolCall `json:"tool_calls,omitempty"`
	ToolCallID       string     `json:"tool_call_id,omitempty"`
}

// ToolCall is one call that an assistant message asks for. Arguments is the text the model wrote:
// it should be a JSON object and may be anything.
type ToolCall struct {
	ID       string       `json:"id"`
	Type     string       `json:"type"` // "function"
	Function FunctionCall `json:"function"`
}

// FunctionCall names the tool and its arguments.
type FunctionCall struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

// Tool describes a tool to the model. Parameters is a JSON Schema of an object.
type Tool struct {
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Parameters  json.RawMessage `json:"parameters"`
}

// Frame is a request without its messages. The request's bytes are Bytes[:At], the messages
// joined by commas, Bytes[At:]. It is the same for every step as long as model, tools and options
// are, so a conversation of n messages is recorded in O(n) and not in O(n²).
type Frame struct {
	Bytes []byte
	At    int
}

// Request joins frame and messages to the bytes that are sent.
func (f Frame) Request(messages []Message) []byte {
	var b bytes.Buffer
	b.Write(f.Bytes[:f.At])
	for i, m := range messages {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(m)
	}
	b.Write(f.Bytes[f.At:])
	return b.Bytes()
}

// Finish reasons, as every provider's are normalised.
const (
	FinishStop      = "stop"
	FinishToolCalls = "tool_calls"
	FinishLength    = "length"
	FinishFilter    = "content_filter"
	FinishOther     = "other"
)

// Usage counts tokens. Input includes Cached and Output includes Reasoning, whatever the provider
// means by its own fields. Known is false when the provider sent no counts: absent is not zero.
type Usage struct {
	Input, Cached, Output, Reasoning int64
	Known                            bool
}

// Answer is what came back.
type Answer struct {
	Message Message // the assistant message, as it goes back to the model in the next request
	Raw     []byte  // the provider's answer, byte for byte
	Finish  string  // one of the Finish… constants
	Usage   Usage
	Model   string // the model that answered, as the provider names it; may be empty
	ID      string // the provider's id of the answer; may be empty
	Trace   string // the provider's trace id (x-trace-id); may be empty
	Tries   int    // requests that were sent, the last one included
}

// Delta is a piece of an answer while it streams, for people to watch. Exactly one field is set.
type Delta struct {
	Reasoning, Content, ToolName, ToolArguments string
}

// Parse reads a message.
func Parse(m Message) (Parsed, error) {
	var p Parsed
	if err := json.Unmarshal(m, &p); err != nil {
		return p, fmt.Errorf("parse message: %w", err)
	}
	if p.Role == "" {
		return p, fmt.Errorf("parse message: no role in %.60q", m)
	}
	return p, nil
}

// System, User and ToolResult make messages.
func System(text string) Message { return must(Parsed{Role: "system", Content: &text}) }

// User makes a message of the user.
func User(text string) Message { return must(Parsed{Role: "user", Content: &text}) }

// ToolResult answers the call with that id.
func ToolResult(id, text string) Message {
	return must(Parsed{Role: "tool", Content: &text, ToolCallID: id})
}

// Assistant makes a message of the model from its parts.
func Assistant(p Parsed) Message {
	p.Role = "assistant"
	return must(p)
}

// must encodes a value of plain strings, which cannot fail. Invalid UTF-8 becomes U+FFFD.
func must(p Parsed) Message {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(p); err != nil {
		panic("chat: encode message: " + err.Error())
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}
