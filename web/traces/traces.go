// Package traces tells the traces of other people's agents: it turns spans, as they arrived, into the items of a
// transcript. A model call is a turn, a tool call is a call; what a span does not say is not there.
//
// It must never guess what was said from what is likely, run or fetch anything, or take a part of a text for the whole: a
// value that was cut when it came says so, and names the whole where that was kept.
//
// Read first: Teller, then value.go (which attributes say what, by dialect) and tree.go (whose turn it was).
package traces

import (
	"slices"
	"strings"
	"time"

	"tachograph/schemas/attr"
	"tachograph/schemas/columns"
	"tachograph/schemas/genai"
	"tachograph/schemas/journal"
	"tachograph/schemas/tables"
	"tachograph/web/api"
	"tachograph/web/story"
)

// Operations are those that a story tells.
func Operations() []string {
	return []string{"chat", "generate_content", "text_completion", attr.OperationExecuteTool}
}

// maxHeard bounds what is shown of what a model was told for one answer.
const maxHeard = 12

// Teller tells spans of one trace.
type Teller struct {
	Tree Tree
	// Whole are values that were cut when they came, by their names; those that are not there are told as they are.
	Whole map[[32]byte][]byte
	// Logs are the log records of spans that what was said arrived as.
	Logs map[uint64]tables.SpanLogs
	// Called are the ids of calls that have a span of their own, and the names of tools whose spans have no id.
	called map[string]bool
}

// Tell makes an item of each span. The spans are whole, in the order of their start; seq is that of the first item.
func (t *Teller) Tell(spans []tables.Span, seq int64) []api.Item {
	t.called = map[string]bool{}
	for i := range spans {
		if spans[i].Operation == attr.OperationExecuteTool {
			t.called[spans[i].ToolCallID+"/"+toolOf(&spans[i])] = true
			if spans[i].ToolCallID != "" {
				t.called[spans[i].ToolCallID] = true
			}
		}
	}
	items := make([]api.Item, 0, len(spans))
	for i := range spans {
		item := t.item(&spans[i])
		item.Seq = seq + int64(i)
		item.Last = item.Seq
		items = append(items, item)
	}
	return items
}

// has says whether a call that a model asked for has a span.
func (t *Teller) has(call genai.Part) bool {
	return call.ID != "" && t.called[call.ID] || t.called["/"+call.Tool]
}

func (t *Teller) item(s *tables.Span) api.Item {
	id := story.SpanID(s.SpanID)
	item := api.Item{Time: time.Unix(0, s.Start).UTC(), Span: &id, Agent: t.Tree.Agent(s)}
	if s.Operation == attr.OperationExecuteTool {
		item.Type, item.Call = api.ItemTypeCall, t.call(s)
		return item
	}
	if step, ok := t.Tree.Step(s.SpanID); ok {
		item.Step = &step
	}
	item.Type, item.Turn = api.ItemTypeTurn, t.turn(s)
	return item
}

func ended(s *tables.Span) time.Time { return time.Unix(0, s.Start+int64(s.DurationNS)).UTC() }

func failed(s *tables.Span) bool { return s.StatusCode == 2 || s.ErrorType != "" }

// why is what a span says of its failure: the exception tells more than the type of it.
func why(s *tables.Span) *api.Text {
	for _, e := range s.Events {
		if i := slices.IndexFunc(e.Attributes, func(a tables.Attr) bool { return a.Key == "exception.message" }); i >= 0 && e.Attributes[i].Value != "" {
			return story.Show(e.Attributes[i].Value, journal.Ref{}, "")
		}
	}
	for _, text := range []string{s.StatusMessage, columns.Failure(s)} {
		if text != "" {
			return story.Show(text, journal.Ref{}, "")
		}
	}
	return nil
}

func (t *Teller) turn(s *tables.Span) *api.Turn {
	turn := &api.Turn{Status: api.TurnStatusOk, Model: columns.Model(s), Attempt: 1, AnsweredAt: ptr(ended(s)), Tokens: story.SpanTokens(s), Cost: story.SpanCost(s)}
	if failed(s) {
		turn.Status, turn.Error = api.TurnStatusFailed, why(s)
	}
	talk := t.talk(s)
	turn.Finish = finish(s, talk.answer)
	turn.Message, turn.Thought = together(talk.answer, genai.PartText), together(talk.answer, genai.PartReasoning)
	for _, m := range talk.answer {
		for _, p := range m.Parts {
			if p.Kind == genai.PartCall && !t.has(p) {
				turn.Asks = append(turn.Asks, api.Ask{Tool: p.Tool, Args: *story.Show(p.Text, journal.Ref{}, ""), CallId: some(p.ID)})
			}
		}
	}
	t.addHeard(talk, turn)
	turn.Unread = some(t.Logs[s.SpanID].Unread)
	if len(talk.answer) == 0 {
		turn.Message = t.raw(s, rawAnswers)
	}
	return turn
}

// finish is why the answer ended.
func finish(s *tables.Span, answer conversation) *string {
	if len(s.FinishReasons) > 0 {
		return &s.FinishReasons[0]
	}
	for _, m := range answer {
		if m.Finish != "" {
			return &m.Finish
		}
	}
	return nil
}

// together are the texts of an answer, one after another. Where it is one, the whole of it can be read.
func together(answer conversation, kind string) *api.Text {
	var texts []string
	var last *api.Text
	var ref journal.Ref
	for i := range answer {
		for j, p := range answer[i].Parts {
			if p.Kind == kind && p.Text != "" {
				texts, last = append(texts, p.Text), answer[i].show(j)
				if ref = answer[i].ref; ref != answer[0].ref {
					ref = journal.Ref{} // no value has it all
				}
			}
		}
	}
	if len(texts) < 2 {
		return last
	}
	return story.Show(strings.Join(texts, "\n\n"), ref, "")
}

func orNone(part string, ref journal.Ref) string {
	if ref.IsZero() {
		return ""
	}
	return part
}

// addHeard tells what the model was told since it spoke last: the user's words, and results of calls that have no span. Of a
// conversation that begins, the instructions too.
func (t *Teller) addHeard(of talk, turn *api.Turn) {
	from := 0
	tools := map[string]string{} // by the id of a call: a result does not say whose it is
	for i, m := range of.question {
		for _, p := range m.Parts {
			if p.Kind == genai.PartCall {
				tools[p.ID] = p.Tool
			}
		}
		if m.Role == "assistant" || m.Role == "model" {
			from = i + 1
		}
	}
	var heard []api.Heard
	if from == 0 {
		for _, m := range of.instructions {
			for _, p := range m.Parts {
				heard = append(heard, api.Heard{Role: "system", Text: *story.Show(p.Text, journal.Ref{}, "")})
			}
		}
	}
	for i := range of.question[from:] {
		m := &of.question[from+i]
		for j, p := range m.Parts {
			if p.Kind == genai.PartResult && p.Tool == "" {
				p.Tool = tools[p.ID]
			}
			if p.Kind == genai.PartResult && t.has(p) || p.Text == "" {
				continue
			}
			role := m.Role
			if p.Kind == genai.PartResult {
				role = "tool"
			}
			heard = append(heard, api.Heard{Role: role, Tool: some(p.Tool), CallId: some(p.ID), Text: *m.show(j)})
		}
	}
	over := max(len(heard)-maxHeard, 0)
	turn.Heard, turn.HeardBefore = heard[over:], some(of.before+int64(over))
}

func (t *Teller) call(s *tables.Span) *api.Call {
	start := time.Unix(0, s.Start).UTC()
	call := &api.Call{Tool: toolOf(s), Status: api.CallStatusOk, Attempts: 1, StartedAt: &start, EndedAt: ptr(ended(s)), DurationUs: ptr(int64(s.DurationNS / 1000)),
		Effect: some(api.Effect(s.ToolEffect)), Scope: some(api.Scope(s.ToolScope))}
	if args := t.raw(s, callArguments); args != nil {
		call.Args, call.Summary = *args, some(story.Summary([]byte(args.Text)))
	}
	call.Result = t.raw(s, callResults)
	if failed(s) {
		call.Status = api.CallStatusError
		if call.Result == nil {
			call.Result = why(s)
		}
	}
	if s.IntentText != "" {
		call.Intent, call.IntentSource = story.Show(s.IntentText, journal.Ref{}, ""), some(api.CallIntentSource(s.IntentSource))
	}
	return call
}

// toolOf is the tool's name; where nobody says it, the span's.
func toolOf(s *tables.Span) string {
	if s.Tool != "" {
		return s.Tool
	}
	return s.Name
}

func ptr[T any](v T) *T { return &v }

func some[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}
