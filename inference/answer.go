package inference

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tachograph/schemas/chat"
)

// maxCalls bounds the tool calls of one answer: far more than a model makes sense of.
const maxCalls = 512

// chunk is one event of a streamed answer, or a whole answer that was not streamed.
type chunk struct {
	ID      string          `json:"id"`
	Model   string          `json:"model"`
	Choices []choice        `json:"choices"`
	Usage   json.RawMessage `json:"usage"`
	Error   json.RawMessage `json:"error"`
}

type choice struct {
	Index        int             `json:"index"`
	Delta        *delta          `json:"delta"`   // streamed
	Message      *delta          `json:"message"` // not streamed
	FinishReason string          `json:"finish_reason"`
	Usage        json.RawMessage `json:"usage"` // Kimi has it here while it streams
}

// delta is a piece of a message. Texts stay as JSON: see jsonText.
type delta struct {
	Content   json.RawMessage `json:"content"`
	Reasoning json.RawMessage `json:"reasoning_content"`
	Refusal   json.RawMessage `json:"refusal"`
	ToolCalls []callDelta     `json:"tool_calls"`
}

type callDelta struct {
	Index    *int   `json:"index"`
	ID       string `json:"id"`
	Type     string `json:"type"`
	Function struct {
		Name      string          `json:"name"`
		Arguments json.RawMessage `json:"arguments"`
	} `json:"function"`
}

// jsonText joins pieces of a JSON string without decoding them, so that the whole keeps the
// provider's bytes: escapes that Go would write otherwise, lone surrogates, and characters that the
// provider cut in two.
type jsonText struct {
	present bool // a piece came, if only an empty one: absent is not empty
	body    []byte
}

// add appends a piece. null is as good as absent.
func (t *jsonText) add(piece json.RawMessage) error {
	if len(piece) == 0 || string(piece) == "null" {
		return nil
	}
	if piece[0] != '"' {
		return fmt.Errorf("%s where a text belongs", bounded(string(piece), 40))
	}
	t.present = true
	t.body = append(t.body, piece[1:len(piece)-1]...)
	return nil
}

// literal is the JSON string.
func (t *jsonText) literal() json.RawMessage {
	return json.RawMessage(`"` + string(t.body) + `"`)
}

// decodeText reads a piece for people to watch.
func decodeText(piece json.RawMessage) string {
	var s string
	if json.Unmarshal(piece, &s) != nil {
		return ""
	}
	return s
}

// assembler makes an answer of its pieces.
type assembler struct {
	watch                       func(chat.Delta)
	content, reasoning, refusal jsonText
	calls                       []*toolCall
	finish                      string // as the provider says it; empty until it does
	usage                       chat.Usage
	id, model                   string
}

type toolCall struct {
	index     int
	id, kind  string
	name      string
	arguments jsonText
}

// errNotAnswer wraps what a provider sent that is no piece of an answer.
var errNotAnswer = errors.New("not an answer")

// add takes one chunk. The error wraps errNotAnswer, or is an *APIError if the chunk is one.
func (a *assembler) add(data []byte, key secret) error {
	var c chunk
	if err := json.Unmarshal(data, &c); err != nil {
		return fmt.Errorf("%w: %w: %s", errNotAnswer, err, bounded(key.redact(string(data)), 200))
	}
	if len(c.Error) > 0 && string(c.Error) != "null" {
		return newAPIError(200, data, key)
	}
	a.id, a.model = firstOf(a.id, c.ID), firstOf(a.model, c.Model)
	a.addUsage(c.Usage)
	for _, ch := range c.Choices {
		if ch.Index != 0 {
			continue // nobody asked for a second choice
		}
		if err := a.addChoice(ch); err != nil {
			return fmt.Errorf("%w: %w", errNotAnswer, err)
		}
	}
	return nil
}

func (a *assembler) addChoice(ch choice) error {
	a.addUsage(ch.Usage)
	a.finish = firstOf(ch.FinishReason, a.finish)
	d, whole := ch.Delta, false
	if ch.Message != nil {
		d, whole = ch.Message, true
	}
	if d == nil {
		return nil
	}
	for _, t := range []struct {
		name  string
		text  *jsonText
		piece json.RawMessage
		show  func(string) chat.Delta
	}{
		{"reasoning_content", &a.reasoning, d.Reasoning, func(s string) chat.Delta { return chat.Delta{Reasoning: s} }},
		{"content", &a.content, d.Content, func(s string) chat.Delta { return chat.Delta{Content: s} }},
		{"refusal", &a.refusal, d.Refusal, func(s string) chat.Delta { return chat.Delta{Content: s} }},
	} {
		if err := t.text.add(t.piece); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		a.show(t.piece, t.show)
	}
	for _, c := range d.ToolCalls {
		if err := a.addCall(c, whole); err != nil {
			return err
		}
	}
	return nil
}

// show hands a piece of text to whoever watches; pieces without text are not worth a call.
func (a *assembler) show(piece json.RawMessage, as func(string) chat.Delta) {
	if a.watch == nil || len(piece) == 0 {
		return
	}
	if s := decodeText(piece); s != "" {
		a.watch(as(s))
	}
}

func (a *assembler) addCall(d callDelta, whole bool) error {
	c := a.call(d, whole)
	if c == nil {
		if len(a.calls) == maxCalls {
			return fmt.Errorf("more than %d tool calls", maxCalls)
		}
		c = &toolCall{index: len(a.calls)}
		if d.Index != nil {
			c.index = *d.Index
		}
		a.calls = append(a.calls, c)
	}
	c.id, c.kind = firstOf(c.id, d.ID), firstOf(c.kind, d.Type)
	// Names come in one piece, or in several; some servers repeat the whole with each piece.
	if d.Function.Name != "" && d.Function.Name != c.name {
		c.name += d.Function.Name
		if a.watch != nil {
			a.watch(chat.Delta{ToolName: d.Function.Name})
		}
	}
	if err := c.arguments.add(asText(d.Function.Arguments)); err != nil {
		return fmt.Errorf("arguments: %w", err)
	}
	a.show(d.Function.Arguments, func(s string) chat.Delta { return chat.Delta{ToolArguments: s} })
	return nil
}

// asText makes a text of arguments that a server sent as an object, which the API does not allow
// and some do.
func asText(arguments json.RawMessage) json.RawMessage {
	if len(arguments) > 0 && arguments[0] == '{' {
		return json.RawMessage(quote(string(arguments)))
	}
	return arguments
}

// call finds the call that a piece belongs to; nil means that it begins one. In a whole message
// each does. In a stream the index decides, but a new id begins a new call under any index, because
// some servers give all calls the index 0. Without an index, pieces without a new id belong to the
// newest call, unless they bring a name after its arguments.
func (a *assembler) call(d callDelta, whole bool) *toolCall {
	if whole {
		return nil
	}
	for _, c := range slices.Backward(a.calls) {
		if d.Index != nil && c.index != *d.Index {
			continue
		}
		anew := d.ID != "" && c.id != "" && d.ID != c.id ||
			d.Index == nil && d.ID == "" && d.Function.Name != "" && c.arguments.present
		if anew {
			return nil
		}
		return c
	}
	return nil
}

// finished reports whether the provider said that the answer is whole.
func (a *assembler) finished() bool { return a.finish != "" }

// begun reports whether any of the answer came.
func (a *assembler) begun() bool {
	return a.finished() || a.content.present || a.reasoning.present || a.refusal.present || len(a.calls) > 0
}

// answer makes the answer to a request of n messages.
func (a *assembler) answer(n int) (chat.Answer, error) {
	slices.SortStableFunc(a.calls, func(x, y *toolCall) int { return cmp.Compare(x.index, y.index) })
	a.nameCalls(n)
	m, err := a.message()
	if err != nil {
		return chat.Answer{}, fmt.Errorf("%w: %w", errNotAnswer, err)
	}
	return chat.Answer{
		Message: m, Finish: normalFinish(a.finish, len(a.calls)), Usage: a.usage, Model: a.model, ID: a.id,
	}, nil
}

// nameCalls gives an id to each call that has none or one that is taken. Like all ids of one
// conversation they differ, because n grows.
func (a *assembler) nameCalls(n int) {
	taken := make(map[string]bool, len(a.calls))
	for _, c := range a.calls {
		taken[c.id] = true
	}
	used := make(map[string]bool, len(a.calls))
	for i, c := range a.calls {
		if c.id == "" || used[c.id] {
			c.id = fmt.Sprintf("call_%d_%d", n, i)
			for taken[c.id] {
				c.id += "_"
			}
			taken[c.id] = true
		}
		used[c.id] = true
	}
}

// assistantMessage is chat.Parsed with texts that keep their bytes.
type assistantMessage struct {
	Role      string          `json:"role"`
	Content   json.RawMessage `json:"content,omitempty"`
	Reasoning json.RawMessage `json:"reasoning_content,omitempty"`
	Refusal   json.RawMessage `json:"refusal,omitempty"`
	ToolCalls []callMessage   `json:"tool_calls,omitempty"`
}

type callMessage struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	Function struct {
		Name      string          `json:"name"`
		Arguments json.RawMessage `json:"arguments"`
	} `json:"function"`
}

// message writes the assistant message as it goes back to the model. An empty content beside tool
// calls is left out, because Kimi refuses it; an answer of nothing has an empty content.
func (a *assembler) message() (chat.Message, error) {
	m := assistantMessage{Role: "assistant"}
	if len(a.content.body) > 0 || len(a.calls) == 0 {
		m.Content = a.content.literal()
	}
	if a.reasoning.present {
		m.Reasoning = a.reasoning.literal()
	}
	if len(a.refusal.body) > 0 {
		m.Refusal = a.refusal.literal()
	}
	for _, c := range a.calls {
		var cm callMessage
		cm.ID, cm.Type = c.id, firstOf(c.kind, "function")
		cm.Function.Name, cm.Function.Arguments = c.name, c.arguments.literal()
		m.ToolCalls = append(m.ToolCalls, cm)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(m); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// normalFinish maps what providers say to the words of package chat. Some say stop though there are
// calls.
func normalFinish(reason string, calls int) string {
	switch strings.ReplaceAll(strings.ToLower(reason), "-", "_") {
	case "stop", "end_turn", "eos":
		if calls > 0 {
			return chat.FinishToolCalls
		}
		return chat.FinishStop
	case "tool_calls", "tool_call", "tool_use", "tooluse", "function_call":
		return chat.FinishToolCalls
	case "length", "max_tokens":
		return chat.FinishLength
	case "content_filter":
		return chat.FinishFilter
	}
	return chat.FinishOther
}

// addUsage takes the newest counts. They are inclusive at all OpenAI-compatible providers. What
// cannot be read is not known.
func (a *assembler) addUsage(data json.RawMessage) {
	var u struct {
		Prompt        *int64 `json:"prompt_tokens"`
		Completion    *int64 `json:"completion_tokens"`
		Cached        int64  `json:"cached_tokens"` // Kimi
		PromptDetails struct {
			Cached int64 `json:"cached_tokens"`
		} `json:"prompt_tokens_details"`
		CompletionDetails struct {
			Reasoning int64 `json:"reasoning_tokens"`
		} `json:"completion_tokens_details"`
	}
	if len(data) == 0 || json.Unmarshal(data, &u) != nil || u.Prompt == nil || u.Completion == nil {
		return
	}
	in, out := max(*u.Prompt, 0), max(*u.Completion, 0)
	a.usage = chat.Usage{
		Input: in, Output: out, Known: true,
		Cached:    min(max(u.Cached, u.PromptDetails.Cached, 0), in),
		Reasoning: min(max(u.CompletionDetails.Reasoning, 0), out),
	}
}
