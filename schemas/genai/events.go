package genai

import (
	"encoding/json"
	"strings"
)

// Names of log records that a conversation arrives as, one a message: those of the conventions up to 1.36.
const (
	EventAssistant = "gen_ai.assistant.message"
	EventChoice    = "gen_ai.choice" // the answer; its body has the message inside
)

// EventDetails is the record that has a call's messages as attributes, as a span may have them.
const EventDetails = "gen_ai.client.inference.operation.details"

// roles of messages, by the names of their records.
var roles = map[string]string{"gen_ai.system.message": "system", "gen_ai.user.message": User, EventAssistant: Assistant,
	"gen_ai.tool.message": "tool", EventChoice: Assistant}

// Events are the names of all records that are part of a conversation.
func Events() []string {
	return []string{"gen_ai.system.message", "gen_ai.user.message", EventAssistant, "gen_ai.tool.message", EventChoice, EventDetails}
}

// Event reads the body of a record that is a message. A body that is no object is the message's text; it says false of
// a damaged one, and of records that are no message.
func Event(name, body string) (Message, bool) {
	role, ok := roles[name]
	if !ok {
		return Message{}, false
	}
	m := wireMessage{Role: role}
	if body = strings.TrimSpace(body); strings.HasPrefix(body, "{") {
		if json.Unmarshal([]byte(body), &m) != nil {
			return Message{}, false
		}
		return m.message(), true
	}
	if body != "" {
		m.Content, _ = json.Marshal(body)
	}
	return m.message(), true
}
