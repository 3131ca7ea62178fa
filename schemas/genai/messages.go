package genai

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Kinds of parts.
const (
	PartText      = "text"
	PartReasoning = "reasoning"
	PartCall      = "call"   // the assistant asks for a tool call
	PartResult    = "result" // what a tool answered
	PartOther     = "other"  // an image, a file, something newer than this program
)

// Message is a message as somebody's SDK wrote it, whatever its dialect.
type Message struct {
	Role   string // may be empty
	Finish string // why the answer ended, where a message says so
	Parts  []Part
}

// Part is a piece of a message.
type Part struct {
	Kind string
	Text string // a text, a call's arguments or a result as JSON or text, the type of anything else
	ID   string // of a call and its result; may be empty
	Tool string // of a call and, in some dialects, its result
}

// Bounds of what is read of messages; what lies beyond is left out.
const (
	maxMessages = 10_000
	maxParts    = 1000
)

// Parse reads messages whole: those of the conventions, of the OpenAI API and of the Vercel AI SDK. It is for what a
// person looks at; First and Newest are for every span that arrives.
func Parse(text string) ([]Message, error) {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "{") {
		text = "[" + text + "]"
	}
	var raw []json.RawMessage
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		return nil, fmt.Errorf("read messages: %w", err)
	}
	var all []Message
	for _, one := range raw[:min(len(raw), maxMessages)] {
		var m wireMessage
		if json.Unmarshal(one, &m) != nil {
			continue
		}
		all = append(all, m.message())
	}
	return all, nil
}

// wireMessage has the fields of all dialects.
type wireMessage struct {
	Role       string          `json:"role"`
	Finish     string          `json:"finish_reason"`
	Parts      json.RawMessage `json:"parts"`
	Content    json.RawMessage `json:"content"`
	Reasoning  string          `json:"reasoning_content"`
	ToolCalls  []wireCall      `json:"tool_calls"`
	ToolCallID string          `json:"tool_call_id"`
	ID         string          `json:"id"`      // of a log record: what tool_call_id is elsewhere
	Message    *wireMessage    `json:"message"` // of a choice
}

// wireCall is a call of the OpenAI API.
type wireCall struct {
	ID       string `json:"id"`
	Function struct {
		Name      string          `json:"name"`
		Arguments json.RawMessage `json:"arguments"`
	} `json:"function"`
}

// wirePart has the fields of all dialects.
type wirePart struct {
	Type       string          `json:"type"`
	Content    json.RawMessage `json:"content"`
	Text       json.RawMessage `json:"text"`
	ID         string          `json:"id"`
	Name       string          `json:"name"`
	Arguments  json.RawMessage `json:"arguments"`
	Response   json.RawMessage `json:"response"`
	Result     json.RawMessage `json:"result"`
	ToolCallID string          `json:"toolCallId"`
	ToolName   string          `json:"toolName"`
	Input      json.RawMessage `json:"input"`
	Args       json.RawMessage `json:"args"`
	Output     json.RawMessage `json:"output"`
	Error      json.RawMessage `json:"error"`
}

func (m wireMessage) message() Message {
	if inner := m.Message; inner != nil {
		inner.Finish, inner.Role, inner.Message = first(inner.Finish, m.Finish), first(inner.Role, m.Role), nil
		return inner.message()
	}
	told := Message{Role: m.Role, Finish: m.Finish}
	if m.Reasoning != "" {
		told.Parts = append(told.Parts, Part{Kind: PartReasoning, Text: m.Reasoning})
	}
	for _, list := range []json.RawMessage{m.Parts, m.Content} {
		told.Parts = append(told.Parts, parts(list, m)...)
	}
	for _, c := range m.ToolCalls[:min(len(m.ToolCalls), maxParts)] {
		told.Parts = append(told.Parts, Part{Kind: PartCall, Text: Plain(c.Function.Arguments), ID: c.ID, Tool: c.Function.Name})
	}
	return told
}

// parts reads the content of a message: a text, or a list of parts.
func parts(list json.RawMessage, of wireMessage) (all []Part) {
	var text string
	if json.Unmarshal(list, &text) == nil && text != "" {
		if of.Role == "tool" {
			return []Part{{Kind: PartResult, Text: text, ID: first(of.ToolCallID, of.ID)}}
		}
		return []Part{{Kind: PartText, Text: text}}
	}
	var items []json.RawMessage
	if json.Unmarshal(list, &items) != nil { // a result that is no text, as a tool gave it
		if of.Role == "tool" && len(list) > 0 {
			return []Part{{Kind: PartResult, Text: string(list), ID: first(of.ToolCallID, of.ID)}}
		}
		return nil
	}
	for _, item := range items[:min(len(items), maxParts)] {
		if json.Unmarshal(item, &text) == nil {
			all = append(all, Part{Kind: PartText, Text: text})
			continue
		}
		var p wirePart
		if json.Unmarshal(item, &p) == nil {
			all = append(all, p.part())
		}
	}
	return all
}

func (p wirePart) part() Part {
	switch p.Type {
	case "", "text", "input_text", "output_text":
		return Part{Kind: PartText, Text: Plain(first(p.Content, p.Text))}
	case "reasoning", "thinking":
		return Part{Kind: PartReasoning, Text: Plain(first(p.Content, p.Text))}
	case "tool_call", "tool-call", "server_tool_call":
		return Part{Kind: PartCall, Text: Plain(first(p.Arguments, p.Input, p.Args)), ID: p.ID + p.ToolCallID, Tool: p.Name + p.ToolName}
	case "tool_call_response", "tool-result", "server_tool_call_response":
		return Part{Kind: PartResult, Text: Plain(unwrapped(first(p.Response, p.Result, p.Output))), ID: p.ID + p.ToolCallID, Tool: p.Name + p.ToolName}
	case "tool-error":
		return Part{Kind: PartResult, Text: Plain(first(p.Error, p.Result, p.Output)), ID: p.ID + p.ToolCallID, Tool: p.Name + p.ToolName}
	}
	return Part{Kind: PartOther, Text: p.Type}
}

// unwrapped takes a result of the Vercel AI SDK 5 and later, {"type": "json", "value": …}, out of its wrapping.
func unwrapped(result json.RawMessage) json.RawMessage {
	var wrapped struct {
		Type  string          `json:"type"`
		Value json.RawMessage `json:"value"`
	}
	if json.Unmarshal(result, &wrapped) == nil && wrapped.Value != nil {
		switch wrapped.Type {
		case "text", "json", "error-text", "error-json", "content":
			return wrapped.Value
		}
	}
	return result
}

// first is the first of some values that is there.
func first[T ~string | ~[]byte](values ...T) (none T) {
	for _, v := range values {
		if len(v) > 0 && string(v) != "null" {
			return v
		}
	}
	return none
}

// Plain is a JSON value as a person reads it: a string without its quotes, anything else as it stands.
func Plain(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) == nil {
		return text
	}
	return string(value)
}
