package traces

import (
	"tachograph/schemas/attr"
	"tachograph/schemas/columns"
	"tachograph/schemas/tables"
)

// MaxTree is the largest trace whose tree is read to tell whose turn it was. In a larger one only what a span says itself is told.
const MaxTree = 20_000

// Tree knows the spans of a trace by their parents. Its zero value knows none.
type Tree struct {
	nodes map[uint64]node
	steps map[uint64]int64
}

type node struct {
	parent uint64
	agent  string // of an agent's span
}

// NewTree makes a Tree of all spans of a trace, in the order of their start.
func NewTree(spans []tables.Span) Tree {
	t := Tree{nodes: make(map[uint64]node, len(spans)), steps: map[uint64]int64{}}
	for i := range spans {
		n := node{parent: spans[i].ParentSpanID}
		switch spans[i].Operation {
		case attr.OperationInvokeAgent, "create_agent", "invoke_workflow":
			n.agent = columns.Agent(&spans[i])
		}
		t.nodes[spans[i].SpanID] = n
	}
	turns := map[string]int64{}
	for i := range spans {
		switch spans[i].Operation {
		case "chat", "generate_content", "text_completion":
			agent := t.Agent(&spans[i])
			turns[agent]++
			t.steps[spans[i].SpanID] = turns[agent]
		}
	}
	return t
}

// maxDepth bounds the way to a root: hostile spans are each other's parents.
const maxDepth = 1000

// Agent is whose span it is: what it says itself, or else the nearest agent above it.
func (t Tree) Agent(s *tables.Span) string {
	if name := columns.Agent(s); name != "" {
		return name
	}
	at := s.ParentSpanID
	for range maxDepth {
		n, ok := t.nodes[at]
		if !ok {
			return ""
		}
		if n.agent != "" {
			return n.agent
		}
		at = n.parent
	}
	return ""
}

// Step is the number of a turn among those of its agent.
func (t Tree) Step(span uint64) (int64, bool) {
	step, ok := t.steps[span]
	return step, ok
}
