package traces

import (
	"slices"
	"strings"

	"tachograph/schemas/attr"
	"tachograph/schemas/genai"
	"tachograph/schemas/tables"
)

// What was said may arrive as log records beside a span instead of in its attributes: a message each, or all messages as the
// attributes of one. It is told as if the span had said it; a span that says something itself is believed.

// Conversation is the one that a record says it is part of: whole values are kept by it.
func Conversation(attributes []tables.Attr) string {
	for _, a := range slices.Backward(attributes) {
		if a.Key == attr.GenAIConversationID && a.Type == tables.TypeString {
			return a.Value
		}
	}
	return ""
}

// logged reads the records of a span: what the model was told, its instructions, and what it said.
func (t *Teller) logged(span uint64) (question, instructions, answer conversation) {
	logs := t.Logs[span].Logs
	for i := range logs {
		l := &logs[i]
		if l.Event == genai.EventDetails {
			of := fields{l.Attributes, l.Cut}
			question = append(question, t.conversation(of, questions)...)
			instructions = append(instructions, t.instructions(of)...)
			answer = append(answer, t.conversation(of, answers)...)
			continue
		}
		m := t.message(l)
		if l.Event == genai.EventChoice {
			answer = append(answer, m)
		} else {
			question = append(question, m)
		}
	}
	return question, instructions, answer
}

// message reads a record that is one. Of one whose beginning alone is there, that is shown as it came.
func (t *Teller) message(l *tables.Log) (m said) {
	body, cut := t.whole(l.Body, l.Cut, "body", "")
	m.Message, _ = genai.Event(l.Event, body)
	if cut == nil {
		return m
	}
	if !strings.HasPrefix(strings.TrimSpace(body), "{") {
		m.at = alone
	}
	m.ref = cut.Body
	if _, ok := t.Whole[cut.Body]; !ok {
		m.size = cut.Size
		m.Parts = []genai.Part{{Kind: genai.PartText, Text: body}}
	}
	return m
}
