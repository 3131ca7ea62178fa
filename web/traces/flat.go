package traces

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"tachograph/schemas/genai"
	"tachograph/schemas/tables"
)

// Older OpenLLMetry and OpenInference write each field of a message as an attribute of its own:
//
//	gen_ai.prompt.N.role, .content, .tool_call_id, .tool_calls.K.{id, name, arguments}
//	llm.input_messages.N.message.role, .content, .tool_call_id, .contents.M.message_content.text, .tool_calls.K.tool_call.{id, function.name, function.arguments}

// maxFlat bounds the messages that are read so, and the texts and calls of one.
const maxFlat = 1000

// flatMessage is a message whose fields come in any order.
type flatMessage struct {
	role, callID string
	texts        map[int]string
	calls        map[int]genai.Part
}

// flat reads messages whose fields are attributes of their own: PREFIX.N.FIELD.
func flat(s *tables.Span, prefix string) ([]genai.Message, bool) {
	messages := map[int]*flatMessage{}
	for _, a := range s.Attributes {
		rest, ok := strings.CutPrefix(a.Key, prefix)
		n, field, numbered := numberOf(rest)
		if !ok || !numbered {
			continue
		}
		if messages[n] == nil {
			messages[n] = &flatMessage{texts: map[int]string{}, calls: map[int]genai.Part{}}
		}
		messages[n].set(strings.TrimPrefix(field, "message."), a.Value)
	}
	var list []genai.Message
	for _, n := range slices.Sorted(maps.Keys(messages)) {
		list = append(list, messages[n].message())
	}
	return list, len(list) > 0
}

// numberOf takes the number from the front of N.FIELD.
func numberOf(key string) (n int, field string, ok bool) {
	number, field, _ := strings.Cut(key, ".")
	n, err := strconv.Atoi(number)
	return n, field, err == nil && n >= 0 && n < maxFlat
}

func (m *flatMessage) set(field, value string) {
	switch field {
	case "role":
		m.role = value
	case "content":
		m.texts[-1] = value
	case "tool_call_id":
		m.callID = value
	}
	list, rest, _ := strings.Cut(field, ".")
	n, field, ok := numberOf(rest)
	switch {
	case !ok:
	case list == "contents" && field == "message_content.text":
		m.texts[n] = value
	case list == "tool_calls":
		m.calls[n] = withField(m.calls[n], strings.TrimPrefix(strings.TrimPrefix(field, "tool_call."), "function."), value)
	}
}

// withField is a call with one more of its fields.
func withField(call genai.Part, field, value string) genai.Part {
	call.Kind = genai.PartCall
	switch field {
	case "id":
		call.ID = value
	case "name":
		call.Tool = value
	case "arguments":
		call.Text = value
	}
	return call
}

func (m *flatMessage) message() genai.Message {
	told := genai.Message{Role: m.role}
	for _, n := range slices.Sorted(maps.Keys(m.texts)) {
		part := genai.Part{Kind: genai.PartText, Text: m.texts[n]}
		if m.role == "tool" {
			part.Kind, part.ID = genai.PartResult, m.callID
		}
		told.Parts = append(told.Parts, part)
	}
	for _, n := range slices.Sorted(maps.Keys(m.calls)) {
		told.Parts = append(told.Parts, m.calls[n])
	}
	return told
}
