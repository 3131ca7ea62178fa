package traces

import (
	"encoding/json"
	"fmt"
	"slices"

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

// wanted are the attributes whose whole values a Teller reads.
var wanted = slices.Concat(answers, questions, instructions, rawAnswers, callArguments, callResults, []string{"ai.response.toolCalls", "ai.response.reasoning"})

// Wanted says whether a Teller reads the whole of a value that was cut: of an attribute, or of the body of a log record.
func Wanted(c tables.Cut) bool {
	return c.Place == "body" || c.Place == "" && slices.Contains(wanted, c.Key)
}

// fields are where a span or a log record says something.
type fields struct {
	attributes []tables.Attr
	cut        []tables.Cut
}

func fieldsOf(s *tables.Span) fields { return fields{s.Attributes, s.Cut} }

// conversation is messages, one after another.
type conversation []said

// said is a message, and where it stands.
type said struct {
	genai.Message
	ref  journal.Ref // of the value, if that was cut when it came
	at   int         // its place among the messages of the value; alone: the value is its text
	size uint64      // of the value, if this is its beginning and no more
}

const alone = -1

// show shows a part of it.
func (m *said) show(part int) *api.Text {
	text := m.Parts[part].Text
	if m.size > 0 {
		shown := story.Show(text, m.ref, "")
		shown.Size, shown.Cut = int64(m.size), true
		return shown
	}
	if m.at == alone {
		return story.Show(text, m.ref, "")
	}
	return story.Show(text, m.ref, orNone(MessagePart(m.at, part), m.ref))
}

// find is the first of the attributes that is there, whole if that is known, and how it was cut if it was.
func (t *Teller) find(f fields, keys []string) (text string, cut *tables.Cut, ok bool) {
	for _, key := range keys {
		i := slices.IndexFunc(f.attributes, func(a tables.Attr) bool { return a.Key == key })
		if i < 0 {
			continue
		}
		text, cut = t.whole(f.attributes[i].Value, f.cut, "", key)
		return text, cut, true
	}
	return "", nil, false
}

// whole is a value that may have been cut: whole if that is known, and how it was cut if it was.
func (t *Teller) whole(text string, cuts []tables.Cut, place, key string) (string, *tables.Cut) {
	i := slices.IndexFunc(cuts, func(c tables.Cut) bool { return c.Place == place && c.Key == key })
	if i < 0 {
		return text, nil
	}
	if whole, ok := t.Whole[cuts[i].Body]; ok {
		text = string(whole)
	}
	return text, &cuts[i]
}

func (t *Teller) conversation(f fields, keys []string) conversation {
	text, cut, ok := t.find(f, keys)
	if !ok {
		return nil
	}
	messages, err := genai.Parse(text)
	if err != nil {
		return nil
	}
	var ref journal.Ref
	if cut != nil {
		ref = cut.Body
	}
	return standing(messages, ref)
}

func standing(messages []genai.Message, ref journal.Ref) (c conversation) {
	for i, m := range messages {
		c = append(c, said{Message: m, ref: ref, at: i})
	}
	return c
}

// talk is what a span says of one question and its answer.
type talk struct {
	question, instructions, answer conversation
	before                         int64 // what the model was told since it spoke last, and that is not in question
}

// talk reads it, of its attributes first.
func (t *Teller) talk(s *tables.Span) (of talk) {
	of.question, of.instructions, of.answer = t.logged(s.SpanID)
	of.before = t.Logs[s.SpanID].Before
	if c := t.question(s); len(c) > 0 {
		of.question, of.before = c, 0
	}
	if c := t.instructions(fieldsOf(s)); len(c) > 0 {
		of.instructions = c
	}
	if c := t.answer(s); len(c) > 0 {
		of.answer = c
	}
	return of
}

// answer is what the model said.
func (t *Teller) answer(s *tables.Span) conversation {
	if c := t.conversation(fieldsOf(s), answers); len(c) > 0 {
		return c
	}
	if m, ok := flat(s, "gen_ai.completion."); ok {
		return standing(m, journal.Ref{})
	}
	if m, ok := flat(s, "llm.output_messages."); ok {
		return standing(m, journal.Ref{})
	}
	return standing(t.vercel(fieldsOf(s)), journal.Ref{})
}

// question is the conversation that the model was sent.
func (t *Teller) question(s *tables.Span) conversation {
	if c := t.conversation(fieldsOf(s), questions); len(c) > 0 {
		return c
	}
	if m, ok := flat(s, "gen_ai.prompt."); ok {
		return standing(m, journal.Ref{})
	}
	m, _ := flat(s, "llm.input_messages.")
	return standing(m, journal.Ref{})
}

// instructions come as parts without a message.
func (t *Teller) instructions(f fields) conversation {
	text, _, ok := t.find(f, instructions)
	if !ok {
		return nil
	}
	messages, err := genai.Parse(`{"role":"system","parts":` + text + `}`)
	if err != nil {
		return nil
	}
	return standing(messages, journal.Ref{})
}

// vercel is the answer as the Vercel AI SDK 5 spells it: attributes for text, reasoning and calls.
func (t *Teller) vercel(f fields) []genai.Message {
	var m genai.Message
	if text, _, ok := t.find(f, []string{"ai.response.reasoning"}); ok && text != "" {
		m.Parts = append(m.Parts, genai.Part{Kind: genai.PartReasoning, Text: text})
	}
	if text, _, ok := t.find(f, []string{"ai.response.text"}); ok && text != "" {
		m.Parts = append(m.Parts, genai.Part{Kind: genai.PartText, Text: text})
	}
	if text, _, ok := t.find(f, []string{"ai.response.toolCalls"}); ok {
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

// raw shows an attribute as it is, a JSON string without its quotes.
func (t *Teller) raw(s *tables.Span, keys []string) *api.Text {
	text, cut, ok := t.find(fieldsOf(s), keys)
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
