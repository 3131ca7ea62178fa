package script

import (
	"errors"
	"fmt"
	"strings"

	"tachograph/schemas/chat"
)

// The words of "from" that are not a tool's name.
const (
	fromLast      = "last"
	fromAny       = "any"
	fromUser      = "user"
	fromSystem    = "system"
	fromAssistant = "assistant"
	fromTool      = "tool"
)

// ErrOver says that the script has no turn for these messages. It is a mistake in the script, or
// the run went on where its author did not think it would.
var ErrOver = errors.New("the script is over")

// Unmet says that an expectation does not hold. The run has left the path its script was written
// for: it must fail and not be asked again.
type Unmet struct {
	Script, Place string
	Want, Saw     string // Saw is cut to a readable length
}

func (e *Unmet) Error() string {
	return fmt.Sprintf("script %s: %s: expected %s; %s", e.Script, e.Place, e.Want, e.Saw)
}

// Next returns the turn that follows the messages, as the package comment says. Errors are [*Unmet],
// one that wraps [ErrOver], or a message that cannot be read.
func (s *Script) Next(messages []chat.Message) (Turn, error) {
	l := list{messages: messages}
	si, ti, err := s.locate(&l)
	if err != nil {
		return Turn{}, fmt.Errorf("script %s: %w", s.name, err)
	}
	sc := &s.scenes[si]
	t, n, ok := sc.placeAt(ti)
	if !ok {
		return Turn{}, fmt.Errorf("script %s: %s: %w: the scene has %d turns", s.name, sc.place(ti, ""), ErrOver, sc.length)
	}
	out := Turn{Place: sc.place(ti, t.label), Finish: t.finish, Usage: t.usage, Pace: s.pace}
	if t.pace != nil {
		out.Pace = *t.pace
	}
	for i := range t.expect {
		want, saw, err := t.expect[i].check(&l, n)
		if err != nil {
			return Turn{}, fmt.Errorf("script %s: %w", s.name, err)
		}
		if want != "" {
			return Turn{}, &Unmet{Script: s.name, Place: out.Place, Want: want, Saw: saw}
		}
	}
	if t.fail != nil {
		out.Fail = fill(*t.fail, n)
		return out, nil
	}
	out.Message = t.message(n, func(index int) string { return callID(si, ti, len(messages), index) })
	return out, nil
}

// locate finds scene and turn, from 0.
func (s *Script) locate(l *list) (scene, turn int, err error) {
	for i := len(l.messages) - 1; i >= 0; i-- {
		m, err := l.at(i)
		if err != nil {
			return 0, 0, err
		}
		if m.Role == fromAssistant {
			if len(m.ToolCalls) > 0 {
				if si, ti, ok := readID(m.ToolCalls[0].ID); ok && si < len(s.scenes) {
					return si, ti + 1 + turn, nil
				}
			}
			turn++
			continue
		}
		for si := range s.scenes {
			if w := s.scenes[si].when; w != nil {
				ok, err := w.opens(l, i)
				if err != nil {
					return 0, 0, err
				}
				if ok {
					return si, turn, nil
				}
			}
		}
	}
	return 0, turn, nil
}

// message builds the answer of repetition n.
func (t *turn) message(n int, id func(index int) string) chat.Message {
	p := chat.Parsed{ReasoningContent: filled(t.reasoning, n), Content: filled(t.say, n)}
	if p.Content != nil && *p.Content == "" && len(t.calls) > 0 {
		p.Content = nil // an empty content beside calls is refused by real providers
	}
	for i, c := range t.calls {
		p.ToolCalls = append(p.ToolCalls, chat.ToolCall{
			ID: id(i), Type: "function",
			Function: chat.FunctionCall{Name: c.tool, Arguments: fill(c.arguments, n)},
		})
	}
	return chat.Assistant(p)
}

func filled(text *string, n int) *string {
	if text == nil {
		return nil
	}
	s := fill(*text, n)
	return &s
}

// list reads messages when they are asked for: the newest are enough to find the place, and a run
// of thousands of steps asks at each.
type list struct{ messages []chat.Message }

func (l *list) at(i int) (chat.Parsed, error) {
	p, err := chat.Parse(l.messages[i])
	if err != nil {
		return p, fmt.Errorf("message %d of %d: %w", i+1, len(l.messages), err)
	}
	if p.Role == "developer" {
		p.Role = fromSystem
	}
	return p, nil
}

// answer finds the newest answer before message i; −1 if there is none.
func (l *list) answer(i int) (at int, p chat.Parsed, err error) {
	for at = i - 1; at >= 0; at-- {
		if p, err = l.at(at); err != nil || p.Role == fromAssistant {
			return at, p, err
		}
	}
	return -1, chat.Parsed{}, nil
}

// tool names the tool whose result message i is; empty if the call is not there.
func (l *list) tool(i int, id string) (string, error) {
	_, a, err := l.answer(i)
	if err != nil {
		return "", err
	}
	for _, c := range a.ToolCalls {
		if c.ID == id {
			return c.Function.Name, nil
		}
	}
	return "", nil
}

// opens reports whether message i fits a scene's when.
func (c *condition) opens(l *list, i int) (bool, error) {
	m, err := l.at(i)
	if err != nil {
		return false, err
	}
	switch c.from {
	case "":
		if m.Role != fromUser && m.Role != fromSystem {
			return false, nil
		}
	case fromUser, fromSystem, fromTool:
		if m.Role != c.from {
			return false, nil
		}
	default:
		if m.Role != fromTool {
			return false, nil
		}
		name, err := l.tool(i, m.ToolCallID)
		if err != nil || name != c.from {
			return false, err
		}
	}
	return c.unmet([]string{content(m)}, 0) == "", nil
}

func content(m chat.Parsed) string {
	if m.Content == nil {
		return ""
	}
	return *m.Content
}

// check tells what was wanted and what was seen instead; want is empty if the expectation holds.
func (c *condition) check(l *list, n int) (want, saw string, err error) {
	texts, err := c.choose(l)
	if err != nil {
		return "", "", err
	}
	if len(texts) == 0 {
		return c.subject(), "there is none", nil
	}
	want = c.unmet(texts, n)
	if want == "" {
		return "", "", nil
	}
	saw = fmt.Sprintf("saw %s", excerpt(texts[len(texts)-1]))
	if len(texts) > 1 {
		saw = fmt.Sprintf("saw %d messages, the newest %s", len(texts), excerpt(texts[len(texts)-1]))
	}
	return c.subject() + " " + want, saw, nil
}

// unmet names the first part that does not hold for the texts; empty if all do.
func (c *condition) unmet(texts []string, n int) string {
	some := func(fits func(string) bool) bool {
		for _, t := range texts {
			if fits(t) {
				return true
			}
		}
		return false
	}
	if c.contains != nil {
		want := fill(*c.contains, n)
		if !some(func(t string) bool { return strings.Contains(t, want) }) {
			return fmt.Sprintf("to contain %q", want)
		}
	}
	if c.matches != nil && !some(c.matches.MatchString) {
		return fmt.Sprintf("to match %q", c.matches)
	}
	if c.notContains != nil {
		bad := fill(*c.notContains, n)
		if some(func(t string) bool { return strings.Contains(t, bad) }) {
			return fmt.Sprintf("not to contain %q", bad)
		}
	}
	return ""
}

// choose returns the contents of the messages that an expectation is about.
func (c *condition) choose(l *list) ([]string, error) {
	last := len(l.messages) - 1
	switch {
	case last < 0:
		return nil, nil
	case c.call > 0:
		return l.results(func(i int, _ string) bool { return i == c.call-1 })
	}
	switch c.from {
	case "", fromLast:
		m, err := l.at(last)
		return []string{content(m)}, err
	case fromTool:
		return l.results(func(int, string) bool { return true })
	case fromAny, fromUser, fromSystem, fromAssistant:
		var texts []string
		for i := range l.messages {
			m, err := l.at(i)
			if err != nil {
				return nil, err
			}
			if c.from == fromAny || m.Role == c.from {
				texts = append(texts, content(m))
			}
		}
		return texts, nil
	}
	return l.newest(c.from)
}

// results returns the results of those calls of the newest answer that pick chooses by index and
// tool.
func (l *list) results(pick func(index int, tool string) bool) ([]string, error) {
	at, a, err := l.answer(len(l.messages))
	if err != nil || at < 0 {
		return nil, err
	}
	chosen := make(map[string]bool)
	for i, call := range a.ToolCalls {
		chosen[call.ID] = pick(i, call.Function.Name)
	}
	var texts []string
	for i := at + 1; i < len(l.messages); i++ {
		m, err := l.at(i)
		if err != nil {
			return nil, err
		}
		if m.Role == fromTool && chosen[m.ToolCallID] {
			texts = append(texts, content(m))
		}
	}
	return texts, nil
}

// newest returns the newest result of a tool.
func (l *list) newest(tool string) ([]string, error) {
	for i := len(l.messages) - 1; i >= 0; i-- {
		m, err := l.at(i)
		if err != nil {
			return nil, err
		}
		if m.Role != fromTool {
			continue
		}
		name, err := l.tool(i, m.ToolCallID)
		if err != nil {
			return nil, err
		}
		if name == tool {
			return []string{content(m)}, nil
		}
	}
	return nil, nil
}

// subject says which messages an expectation is about.
func (c *condition) subject() string {
	switch {
	case c.call > 0:
		return fmt.Sprintf("the result of call %d", c.call)
	case c.from == "" || c.from == fromLast:
		return "the last message"
	case c.from == fromAny:
		return "a message"
	case c.from == fromTool:
		return "a result of the last answer's calls"
	case c.from == fromUser || c.from == fromSystem || c.from == fromAssistant:
		return "a message of role " + c.from
	}
	return "the newest result of " + c.from
}

// excerpt quotes the beginning and the end of a text, for people to read.
func excerpt(text string) string {
	const head, tail = 700, 300
	if len(text) <= head+tail {
		return fmt.Sprintf("%q", text)
	}
	return fmt.Sprintf("%q … %d bytes … %q", text[:head], len(text)-head-tail, text[len(text)-tail:])
}
