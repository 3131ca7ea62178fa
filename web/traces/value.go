package traces

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tachograph/schemas/attr"
	"tachograph/schemas/genai"
	"tachograph/schemas/journal"
	"tachograph/schemas/tables"
	"tachograph/web/api"
	"tachograph/web/story"
)

// Where dialects put what was said: the first that is there is read. CONVENTIONS.md of the project's notes names them.
var (
	answers       = []string{attr.GenAIOutputMessages}
	questions     = []string{attr.GenAIInputMessages, "ai.prompt.messages"}
	instructions  = []string{"gen_ai.system_instructions"}
	rawAnswers    = []string{"ai.response.text", "ai.response.object", attr.GenAIOutputMessages, "output.value", "traceloop.entity.output"}
	callArguments = []string{attr.GenAIToolCallArguments, "ai.toolCall.args", "input.value", "traceloop.entity.input"}
	callResults   = []string{attr.GenAIToolCallResult, "ai.toolCall.result", "output.value", "traceloop.entity.output"}
)

// Wanted are the attributes whose whole values a Teller reads.
func Wanted() []string {
	return slices.Concat(answers, questions, instructions, rawAnswers, callArguments, callResults, []string{"ai.response.toolCalls", "ai.response.reasoning"})
}

// conversation is messages, and the name of the value that they stand in if that was cut.
type conversation struct {
	messages []genai.Message
	ref      journal.Ref
}

// find is the first of the attributes that is there, whole if that is known, and its name if it was cut.
func (t *Teller) find(s *tables.Span, keys []string) (text string, cut *tables.Cut, ok bool) {
	for _, key := range keys {
		i := slices.IndexFunc(s.Attributes, func(a tables.Attr) bool { return a.Key == key })
		if i < 0 {
			continue
		}
		text = s.Attributes[i].Value
		if j := slices.IndexFunc(s.Cut, func(c tables.Cut) bool { return c.Place == "" && c.Key == key }); j >= 0 {
			cut = &s.Cut[j]
			if whole, ok := t.Whole[cut.Body]; ok {
				text = string(whole)
			}
		}
		return text, cut, true
	}
	return "", nil, false
}

func (t *Teller) conversation(s *tables.Span, keys []string) (c conversation) {
	text, cut, ok := t.find(s, keys)
	if !ok {
		return c
	}
	messages, err := genai.Parse(text)
	if err != nil {
		return c
	}
	c.messages = messages
	if cut != nil {
		c.ref = cut.Body
	}
	return c
}

// answer is what the model said.
func (t *Teller) answer(s *tables.Span) conversation {
	if c := t.conversation(s, answers); len(c.messages) > 0 {
		return c
	}
	if m, ok := flat(s, "gen_ai.completion.", ""); ok {
		return conversation{messages: m}
	}
	if m, ok := flat(s, "llm.output_messages.", "message."); ok {
		return conversation{messages: m}
	}
	return conversation{messages: t.vercel(s)}
}

// question is the conversation that the model was sent.
func (t *Teller) question(s *tables.Span) conversation {
	if c := t.conversation(s, questions); len(c.messages) > 0 {
		return c
	}
	if m, ok := flat(s, "gen_ai.prompt.", ""); ok {
		return conversation{messages: m}
	}
	m, _ := flat(s, "llm.input_messages.", "message.")
	return conversation{messages: m}
}

// instructions come as parts without a message.
func (t *Teller) instructions(s *tables.Span) conversation {
	text, _, ok := t.find(s, instructions)
	if !ok {
		return conversation{}
	}
	messages, err := genai.Parse(`{"role":"system","parts":` + text + `}`)
	if err != nil {
		return conversation{}
	}
	return conversation{messages: messages}
}

// vercel is the answer as the Vercel AI SDK 5 spells it: attributes for text, reasoning and calls.
func (t *Teller) vercel(s *tables.Span) []genai.Message {
	var m genai.Message
	if text, _, ok := t.find(s, []string{"ai.response.reasoning"}); ok && text != "" {
		m.Parts = append(m.Parts, genai.Part{Kind: genai.PartReasoning, Text: text})
	}
	if text, _, ok := t.find(s, []string{"ai.response.text"}); ok && text != "" {
		m.Parts = append(m.Parts, genai.Part{Kind: genai.PartText, Text: text})
	}
	if text, _, ok := t.find(s, []string{"ai.response.toolCalls"}); ok {
		var calls []struct {
			ID    string          `json:"toolCallId"`
			Tool  string          `json:"toolName"`
			Args  json.RawMessage `json:"args"`
			Input json.RawMessage `json:"input"`
		}
		if json.Unmarshal([]byte(text), &calls) == nil {
			for _, c := range calls {
				m.Parts = append(m.Parts, genai.Part{Kind: genai.PartCall, ID: c.ID, Tool: c.Tool, Text: genai.Plain(append(c.Input, c.Args...))})
			}
		}
	}
	if len(m.Parts) == 0 {
		return nil
	}
	return []genai.Message{m}
}

// maxFlat bounds the messages that are read of attributes with numbers in their names.
const maxFlat = 1000

// flat reads messages whose fields are attributes of their own: PREFIX.N.FIELD.
func flat(s *tables.Span, prefix, field string) ([]genai.Message, bool) {
	messages := map[int]*genai.Message{}
	most := -1
	for _, a := range s.Attributes {
		rest, ok := strings.CutPrefix(a.Key, prefix)
		if !ok {
			continue
		}
		number, key, _ := strings.Cut(rest, ".")
		n, err := strconv.Atoi(number)
		if err != nil || n < 0 || n >= maxFlat {
			continue
		}
		if messages[n] == nil {
			messages[n] = &genai.Message{}
		}
		most = max(most, n)
		switch strings.TrimPrefix(key, field) {
		case "role":
			messages[n].Role = a.Value
		case "content":
			messages[n].Parts = append(messages[n].Parts, genai.Part{Kind: genai.PartText, Text: a.Value})
		}
	}
	var list []genai.Message
	for n := range most + 1 {
		if messages[n] != nil {
			list = append(list, *messages[n])
		}
	}
	return list, len(list) > 0
}

// raw shows an attribute as it is, a JSON string without its quotes.
func (t *Teller) raw(s *tables.Span, keys []string) *api.Text {
	text, cut, ok := t.find(s, keys)
	if !ok {
		return nil
	}
	part := ""
	if plain := genai.Plain(json.RawMessage(text)); plain != text {
		text, part = plain, PartString
	}
	if cut == nil {
		return story.Show(text, journal.Ref{}, "")
	}
	shown := story.Show(text, cut.Body, orNone(part, cut.Body))
	if _, whole := t.Whole[cut.Body]; !whole {
		shown.Size, shown.Cut = int64(cut.Size), true
	}
	return shown
}

// PartString is the part of a value that is a JSON string: its text.
const PartString = "string"

// MessagePart names a part of a message of a value.
func MessagePart(message, part int) string { return fmt.Sprintf("message/%d/%d", message, part) }

// Part is a part of a value that was cut; story.ErrNoPart if it does not have it.
func Part(value []byte, part string) (string, error) {
	var message, at int
	switch {
	case part == "":
		return string(value), nil
	case part == PartString:
		return genai.Plain(value), nil
	}
	if _, err := fmt.Sscanf(part, "message/%d/%d", &message, &at); err != nil {
		return "", fmt.Errorf("part %.40s: %w", part, story.ErrNoPart)
	}
	messages, err := genai.Parse(string(value))
	if err != nil || message < 0 || message >= len(messages) || at < 0 || at >= len(messages[message].Parts) {
		return "", fmt.Errorf("part %.40s: %w", part, story.ErrNoPart)
	}
	return messages[message].Parts[at].Text, nil
}
