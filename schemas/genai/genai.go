// Package genai reads the texts out of messages as the OpenTelemetry conventions for generative AI write them
// (gen_ai.input.messages, gen_ai.output.messages), and as SDKs write them that follow the OpenAI API instead:
//
//	[{"role": "user", "parts": [{"type": "text", "content": "…"}, …]}, …]
//	[{"role": "user", "content": "…"}, {"role": "user", "content": [{"type": "text", "text": "…"}, …]}]
//
// It must never copy more than a bounded part of what a stranger wrote, never recurse, and never fail: messages that were cut in the middle,
// or are no JSON at all, give the texts that stand in front of the damage. Reasoning, tool calls and their
// results are no texts here.
//
// Read Newest and First, then scan.go.
package genai

import (
	"strings"
	"unicode/utf8"
)

// Roles of messages. Others (system, developer, tool) say nothing of what somebody wants.
const (
	User      = "user"
	Assistant = "assistant"
	model     = "model" // as Gemini spells it
)

// Newest is the beginning, at most max bytes, of the last text that a user or an assistant wrote; "" if there is none.
// A message without a role is the assistant's: some SDKs leave it out of output messages.
func Newest(messages string, max int) string {
	newest := ""
	walk(messages, func(m message) bool {
		switch m.role {
		case User, Assistant, model, "":
			newest = m.last
		}
		return true
	})
	return readable(newest, max)
}

// First is the beginning, at most max bytes, of the first text that a user wrote; "" if there is none.
func First(messages string, max int) string {
	first := ""
	walk(messages, func(m message) bool {
		if m.role == User {
			first = m.first
		}
		return first == ""
	})
	return readable(first, max)
}

// message is one message: its role and its texts, still as JSON writes what stands between the quotes.
type message struct {
	role        string
	first, last string
}

func (m *message) add(raw string) {
	if readable(raw, blankProbe) == "" {
		return
	}
	if m.first == "" {
		m.first = raw
	}
	m.last = raw
}

// blankProbe is how far a text is looked at for something to read. What begins with more white space than that is no text.
const blankProbe = 256

// walk shows each message that has a text, in order, until see says no.
func walk(messages string, see func(message) bool) {
	s := scanner{text: messages}
	visit := func() {
		if s.peek() != '{' {
			s.skip()
			return
		}
		var m message
		s.message(&m)
		if m.first != "" && !see(m) {
			s.end()
		}
	}
	if s.peek() == '{' { // one message alone
		visit()
		return
	}
	s.array(visit)
}

func (s *scanner) message(m *message) {
	s.object(func(key string) {
		switch key {
		case "role":
			m.role = s.word()
		case "content", "parts":
			s.texts(m)
		default:
			s.skip()
		}
	})
}

// texts reads the content of a message: a text, or a list of parts.
func (s *scanner) texts(m *message) {
	switch s.peek() {
	case '"':
		m.add(s.string())
	case '[':
		s.array(func() {
			switch s.peek() {
			case '"':
				m.add(s.string())
			case '{':
				s.part(m)
			default:
				s.skip()
			}
		})
	default:
		s.skip()
	}
}

func (s *scanner) part(m *message) {
	kind, text := "", ""
	s.object(func(key string) {
		switch key {
		case "type":
			kind = s.word()
		case "content", "text":
			if s.peek() == '"' {
				text = s.string()
				return
			}
			s.skip()
		default:
			s.skip()
		}
	})
	switch kind {
	case "", "text", "input_text", "output_text":
		m.add(text)
	}
}

// readable is the beginning of a text as a person reads it: escapes resolved, no white space round it, valid UTF-8,
// at most max bytes.
func readable(raw string, max int) string {
	var b strings.Builder
	for len(raw) > 0 && b.Len() < max+utf8.UTFMax {
		if at := strings.IndexByte(raw, '\\'); at != 0 {
			if at < 0 {
				at = len(raw)
			}
			plain := raw[:min(at, max+utf8.UTFMax)]
			raw = raw[len(plain):]
			if b.Len() == 0 {
				plain = strings.TrimLeft(plain, " \t\r\n")
			}
			b.WriteString(plain)
			continue
		}
		r, size := escape(raw)
		raw = raw[size:]
		if b.Len() > 0 || r > ' ' {
			b.WriteRune(r)
		}
	}
	text := strings.ToValidUTF8(b.String(), "\uFFFD")
	if len(text) > max {
		text = text[:max]
		for len(text) > 0 {
			if r, size := utf8.DecodeLastRuneInString(text); r != utf8.RuneError || size > 1 {
				break
			}
			text = text[:len(text)-1]
		}
	}
	return strings.TrimSpace(text)
}
