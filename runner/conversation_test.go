package runner

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"testing"

	"tachograph/schemas/chat"
	"tachograph/schemas/journal"
)

// messages is content by name, and counts what is read.
type messages struct {
	all  map[journal.Ref][]byte
	read int
}

func (m *messages) Content(_ context.Context, ref journal.Ref) ([]byte, error) {
	m.read++
	b, ok := m.all[ref]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return b, nil
}

func (m *messages) add(message chat.Message) journal.Ref {
	ref := journal.Salt{}.Name(message)
	m.all[ref] = message
	return ref
}

// TestFollow: whatever a list becomes, the conversation holds its messages, and reads only new ones.
func TestFollow(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	m := &messages{all: map[journal.Ref][]byte{}}
	var c conversation
	var list journal.List
	for step := range 300 {
		var err error
		switch random.IntN(10) {
		case 0: // a rollback
			list, err = list.Keep(random.IntN(list.Len() + 1))
		case 1: // a compaction
			list, err = list.Compact(list.Len()/4, list.Len()/4, m.add(chat.User(fmt.Sprint("dropped ", step))))
		default:
			list = list.Append(m.add(chat.User(fmt.Sprint("message ", step))), m.add(chat.User("the same")))
		}
		if err == nil {
			err = c.follow(t.Context(), m, list)
		}
		if err != nil {
			t.Fatal(err)
		}
		refs, err := list.Refs(0, list.Len())
		if err != nil {
			t.Fatal(err)
		}
		bytes := 0
		for i, message := range c.messages {
			bytes += len(message)
			if string(message) != string(m.all[refs[i]]) {
				t.Fatalf("step %d: message %d is %s", step, i, message)
			}
		}
		if len(c.messages) != list.Len() || bytes != c.bytes {
			t.Fatalf("step %d: %d messages, %d bytes; want %d, %d", step, len(c.messages), c.bytes, list.Len(), bytes)
		}
	}
	read := m.read
	list = list.Append(m.add(chat.User("one more")))
	if err := c.follow(t.Context(), m, list); err != nil || m.read != read+1 {
		t.Errorf("one new message: %d were read, %v", m.read-read, err)
	}
}

// TestCompaction: the beginning stays, and no tool result stands without its call.
func TestCompaction(t *testing.T) {
	t.Parallel()
	var c conversation
	add := func(m chat.Message) { c.messages = append(c.messages, m); c.bytes += len(m) }
	add(chat.System("system"))
	add(chat.User("goal"))
	for i := range 50 {
		content := fmt.Sprint("step ", i)
		add(chat.Assistant(chat.Parsed{Content: &content, ToolCalls: []chat.ToolCall{{ID: fmt.Sprint(i)}}}))
		add(chat.ToolResult(fmt.Sprint(i), "a result"))
		add(chat.ToolResult(fmt.Sprint(i, "b"), "another result"))
	}
	tail, ok := c.compaction(headMessages, estimate(c.bytes)/3)
	if !ok || tail == 0 || tail > 2*len(c.messages)/5 {
		t.Fatalf("keeps %d of %d, %v", tail, len(c.messages), ok)
	}
	first, err := chat.Parse(c.messages[len(c.messages)-tail])
	if err != nil || first.Role != "assistant" {
		t.Errorf("the tail begins with %q", first.Role)
	}
	short := conversation{messages: c.messages[:3]}
	if _, ok := short.compaction(headMessages, 1000); ok {
		t.Error("dropped something of a conversation that is short enough")
	}
}
