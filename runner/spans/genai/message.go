// Package genai writes conversations in the JSON that OpenTelemetry's GenAI conventions (v1.41) ask
// for in gen_ai.input.messages, gen_ai.output.messages, gen_ai.system_instructions and
// gen_ai.tool.definitions. It is pure: no files, no clock.
//
//	messages      [{"role":"assistant","parts":[PART,…],"finish_reason":"stop"},…]
//	instructions  [PART,…]
//	definitions   [{"type":"function","name":…,"description":…,"parameters":SCHEMA},…]
//	PART          {"type":"text","content":…}
//	              {"type":"reasoning","content":…}
//	              {"type":"tool_call","id":…,"name":…,"arguments":JSON}
//	              {"type":"tool_call_response","id":…,"response":…}
//
// It must never make up what a message does not say: an absent text is no part, an empty one is.
// Each writer takes a limit in bytes and says how long the whole would have been, because whoever
// shows a cut text has to say so.
//
// Read first: [FromChat]; schemas/chat for what it reads.
package genai

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"tachograph/schemas/chat"
)

// Message is one message in parts.
type Message struct {
	Role   string `json:"role"` // system, user, assistant, tool; unknown if it could not be read
	Parts  []Part `json:"parts"`
	Finish string `json:"finish_reason,omitempty"` // of an answer: stop, length, content_filter, tool_call, other
}

// Part is one part of a message. Which fields are set follows from Type.
type Part struct {
	Type      string          `json:"type"`
	Content   *string         `json:"content,omitempty"`
	ID        string          `json:"id,omitempty"`
	Name      string          `json:"name,omitempty"`
	Arguments json.RawMessage `json:"arguments,omitempty"`
	Response  *string         `json:"response,omitempty"`
}

// FromChat takes a message apart. One that is not of the chat form is shown as it is, as the text
// of an unknown role.
func FromChat(m chat.Message) Message {
	p, err := chat.Parse(m)
	if err != nil {
		return Text("unknown", string(m))
	}
	out := Message{Role: p.Role, Parts: []Part{}}
	if p.ReasoningContent != nil {
		out.Parts = append(out.Parts, Part{Type: "reasoning", Content: p.ReasoningContent})
	}
	if p.Role == "tool" {
		out.Parts = append(out.Parts, Part{Type: "tool_call_response", ID: p.ToolCallID, Response: p.Content})
		return out
	}
	if p.Content != nil {
		out.Parts = append(out.Parts, Part{Type: "text", Content: p.Content})
	}
	for _, c := range p.ToolCalls {
		out.Parts = append(out.Parts, Part{Type: "tool_call", ID: c.ID, Name: c.Function.Name, Arguments: arguments(c.Function.Arguments)})
	}
	return out
}

// Text is a message of one text.
func Text(role, text string) Message {
	return Message{Role: role, Parts: []Part{{Type: "text", Content: &text}}}
}

// arguments are JSON if the model wrote JSON, else a JSON string of what it wrote.
func arguments(text string) json.RawMessage {
	if json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	return encode(text)
}

// FinishReason is a finish reason of schemas/chat in the words of the conventions.
func FinishReason(finish string) string {
	if finish == chat.FinishToolCalls {
		return "tool_call"
	}
	return finish
}

// Split takes the instructions out of a conversation: the parts of its system messages.
func Split(all []Message) (instructions []Part, rest []Message) {
	for _, m := range all {
		if m.Role == "system" {
			instructions = append(instructions, m.Parts...)
		} else {
			rest = append(rest, m)
		}
	}
	return instructions, rest
}

// Messages writes messages in at most limit bytes. whole is the length without a limit: if it is
// more than the text's, texts were shortened, and of very many messages the last were left out.
func Messages(list []Message, limit int) (text string, whole int) {
	return fit(list, limit, func(m Message, most int) Message {
		m.Parts = cutParts(m.Parts, most)
		return m
	})
}

// Instructions writes the parts of system messages, limited as [Messages] are.
func Instructions(parts []Part, limit int) (text string, whole int) {
	return fit(parts, limit, func(p Part, most int) Part { return cutParts([]Part{p}, most)[0] })
}

// shortest is how far a text is cut before whole items are left out, in bytes.
const shortest = 64

// fit encodes a list, with texts cut ever shorter until it is short enough.
func fit[T any](list []T, limit int, cut func(item T, most int) T) (text string, whole int) {
	if len(list) == 0 {
		return "[]", len("[]")
	}
	full := encode(list)
	if len(full) <= limit {
		return string(full), len(full)
	}
	var short []T
	for most := limit / 2; most >= shortest; most /= 2 {
		short = make([]T, len(list))
		for i, item := range list {
			short[i] = cut(item, most)
		}
		if out := encode(short); len(out) <= limit {
			return string(out), len(full)
		}
	}
	for len(short) > 0 {
		short = short[:len(short)/2]
		if out := encode(short); len(out) <= limit {
			return string(out), len(full)
		}
	}
	return "[]", len(full)
}

func cutParts(parts []Part, most int) []Part {
	out := make([]Part, len(parts))
	for i, p := range parts {
		p.Content, p.Response = cutPointer(p.Content, most), cutPointer(p.Response, most)
		if len(p.Arguments) > most {
			p.Arguments = encode(Cut(string(p.Arguments), most))
		}
		out[i] = p
	}
	return out
}

func cutPointer(text *string, most int) *string {
	if text == nil {
		return nil
	}
	short := Cut(*text, most)
	return &short
}

// Cut shortens a text of more than most bytes, between two characters, and says at its end how much
// is missing.
func Cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	at := max(most, 0)
	for at > 0 && !utf8.RuneStart(text[at]) {
		at--
	}
	return fmt.Sprintf("%s [… %d bytes cut]", text[:at], len(text)-at)
}

// encode writes JSON with < and > as they are. Its values are strings, numbers and checked JSON,
// which cannot fail.
func encode(v any) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(fmt.Sprintf("genai: encode %T: %v", v, err))
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}
