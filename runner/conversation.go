package runner

import (
	"context"
	"fmt"

	"tachograph/schemas/chat"
	"tachograph/schemas/journal"
)

// conversation is an agent's message list with its bytes at hand, so that a step reads only what
// is new. It is a cache: the truth is the list in the state and the content behind it.
type conversation struct {
	list     journal.List
	messages []chat.Message
	bytes    int
}

// contents reads content by name.
type contents interface {
	Content(ctx context.Context, ref journal.Ref) ([]byte, error)
}

// follow makes the conversation that of the list: it keeps the common beginning and reads the rest.
func (c *conversation) follow(ctx context.Context, from contents, list journal.List) error {
	keep, err := c.common(list)
	if err != nil {
		return err
	}
	c.truncate(keep)
	refs, err := list.Refs(keep, list.Len())
	if err != nil {
		return err
	}
	for i, ref := range refs {
		m, err := from.Content(ctx, ref)
		if err != nil {
			return fmt.Errorf("read message %d of %d: %w", keep+i, list.Len(), err)
		}
		c.messages = append(c.messages, m)
		c.bytes += len(m)
	}
	c.list = list
	return nil
}

// common is a number of first messages that are those of the list. The usual case is a list that grew: its heads say so
// without a look at every message.
func (c *conversation) common(list journal.List) (int, error) {
	for keep := min(len(c.messages), list.Len()); ; keep /= 2 {
		theirs, err := list.Keep(keep)
		if err != nil {
			return 0, err
		}
		ours, err := c.list.Keep(keep)
		if err != nil {
			return 0, err
		}
		if theirs.Head() == ours.Head() {
			return keep, nil
		}
	}
}

// extend appends messages whose list is known already.
func (c *conversation) extend(list journal.List, messages ...chat.Message) {
	c.list = list
	for _, m := range messages {
		c.messages = append(c.messages, m)
		c.bytes += len(m)
	}
}

func (c *conversation) truncate(n int) {
	for _, m := range c.messages[n:] {
		c.bytes -= len(m)
	}
	c.messages = c.messages[:n]
}

// compaction says which messages to drop so that about keepTokens of the newest remain: the first
// head messages (system, goal) stay, then the tail, which begins with a message of the model or
// the user so that no tool result stands without its call. ok is false if nothing can be dropped.
func (c *conversation) compaction(head int, keepTokens int64) (tail int, ok bool) {
	start, size := len(c.messages), 0
	for i := len(c.messages) - 1; i >= head; i-- {
		size += len(c.messages[i])
		if estimate(size) > keepTokens {
			break
		}
		if p, err := chat.Parse(c.messages[i]); err == nil && p.Role != "tool" {
			start = i
		}
	}
	tail = len(c.messages) - start
	return tail, head < start
}
