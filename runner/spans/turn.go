package spans

import (
	"slices"
	"strings"

	"go.opentelemetry.io/otel/trace"

	"tachograph/runner/spans/genai"
	"tachograph/schemas/attr"
	"tachograph/schemas/journal"
)

// plan is an agent's open plan span: one step, from its first question to its last call proposed.
type plan struct {
	span
	about planDetail
}

type planDetail struct {
	attempts int64
	answered bool
	want     int64  // calls that the answer asks for
	proposed int64  // of them
	status   string // of the newest attempt
}

// chatSpan is an open question to a model.
type chatSpan struct {
	span
	about chatDetail
}

type chatDetail struct {
	asked     *journal.ModelAsked
	answered  *journal.ModelAnswered // nil if nobody answered
	compacted *journal.ContextCompacted
	newFrame  bool // the agent's first question with this frame
}

func (p *projector) modelAsked(e journal.Entry, b *journal.ModelAsked) {
	a := p.agent(e.Agent)
	p.closeChats(a, e, ErrorLost)
	if b.Attempt == 1 || a.plan == nil {
		p.closePlan(a, e, "")
		a.plan = &plan{span: span{id: SpanID(p.run, e.Seq, namePlan), parent: a.id, name: namePlan + " " + a.agent,
			kind: trace.SpanKindInternal, start: e.Time, agent: a.agent, step: b.Step, seq: e.Seq}}
	}
	a.plan.about.attempts++
	_, model := splitModel(b.Model)
	c := &chatSpan{span: span{id: SpanID(p.run, e.Seq, nameChat), parent: a.plan.id, name: nameChat + " " + model,
		kind: trace.SpanKindClient, start: e.Time, agent: a.agent, step: b.Step, seq: e.Seq}}
	c.about = chatDetail{asked: b, compacted: a.compacted, newFrame: b.Frame != a.frame}
	a.chats = append(a.chats, c)
	a.step, a.frame, a.compacted = b.Step, b.Frame, nil
}

func (p *projector) modelAnswered(e journal.Entry, b *journal.ModelAnswered) {
	a := p.agent(e.Agent)
	a.about.charge(b)
	i := slices.IndexFunc(a.chats, func(c *chatSpan) bool { return c.seq == b.Asked })
	if i < 0 {
		return
	}
	c := a.chats[i]
	a.chats = slices.Delete(a.chats, i, i+1)
	c.about.answered = b
	failure := ""
	switch b.Status {
	case "given":
		c.kind = trace.SpanKindInternal // a fork gave the answer: no request was sent
	case "failed", "lost":
		failure, c.because = b.Status, b.Error
	}
	p.emitChat(c, e, failure)
	if a.plan == nil {
		return
	}
	a.plan.about.status = b.Status
	if failure != "" {
		return // the step goes on with another attempt
	}
	a.plan.about.answered, a.plan.about.want = true, b.Calls
	if b.Calls == 0 {
		p.closePlan(a, e, "")
	}
}

func (p *projector) compacted(e journal.Entry, b *journal.ContextCompacted) {
	a := p.agent(e.Agent)
	a.compacted = b
	p.moment(e, b)
}

// planned counts a call of the answer; with the last one the plan is made.
func (p *projector) planned(a *agent, e journal.Entry, index int64) {
	if a.plan == nil || index < 0 {
		return
	}
	if a.plan.about.proposed++; a.plan.about.answered && a.plan.about.proposed >= a.plan.about.want {
		p.closePlan(a, e, "")
	}
}

// closePlan ends an agent's plan, if it has one. One without an answer failed as its last attempt
// did.
func (p *projector) closePlan(a *agent, e journal.Entry, failure string) {
	if a.plan == nil {
		return
	}
	done := a.plan
	a.plan = nil
	switch {
	case done.about.answered && failure != ErrorRolledBack && failure != ErrorRunEnded:
		failure = ""
	case !done.about.answered && failure == "":
		if failure = done.about.status; failure == "" {
			failure = ErrorLost
		}
	}
	done.close(e, failure)
	done.detail = &done.about
	p.emit(&done.span)
}

func (p *projector) closeChats(a *agent, e journal.Entry, failure string) {
	for _, c := range a.chats {
		p.emitChat(c, e, failure)
	}
	a.chats = nil
}

func (p *projector) emitChat(c *chatSpan, e journal.Entry, failure string) {
	c.close(e, failure)
	c.detail = &c.about
	p.emit(&c.span)
}

// splitModel takes provider/name apart.
func splitModel(full string) (provider, model string) {
	provider, model, ok := strings.Cut(full, "/")
	if !ok {
		return "", full
	}
	switch provider {
	case "kimi":
		provider = "moonshot_ai" // the conventions' name
	}
	return provider, model
}

func (p *planDetail) describe(d *describer) {
	d.text(attr.GenAIOperationName, attr.OperationPlan)
	d.text(attr.GenAIAgentName, d.span.agent)
	d.number(attr.PlanAttempts, p.attempts)
	if p.answered {
		d.number(attr.PlanCalls, p.want)
	}
}

func (c *chatDetail) describe(d *describer) {
	d.text(attr.GenAIOperationName, attr.OperationChat)
	d.text(attr.GenAIAgentName, d.span.agent)
	d.model(c.asked.Model)
	d.number(attr.Attempt, c.asked.Attempt)
	if c.compacted != nil {
		d.flag(attr.GenAIConversationCompact, true)
	}
	c.describeQuestion(d)
	c.describeAnswer(d)
}

// describeQuestion shows what is new in the question: the whole of it would cost O(n²) over a run.
func (c *chatDetail) describeQuestion(d *describer) {
	frame := d.frame(c.asked.Frame, c.asked.At)
	if frame.Temperature != nil {
		d.real(attr.GenAIRequestTemperature, *frame.Temperature)
	}
	if frame.MaxTokens != nil {
		d.number(attr.GenAIRequestMaxTokens, *frame.MaxTokens)
	}
	if frame.Stream != nil {
		d.flag(attr.GenAIRequestStream, *frame.Stream)
	}
	if !d.capture {
		return
	}
	var fresh []journal.Ref
	if c.compacted != nil {
		fresh = append(fresh, c.compacted.New...)
	}
	var messages []genai.Message
	for _, ref := range append(fresh, c.asked.New...) {
		if m, ok := d.content(attr.GenAIInputMessages, ref); ok {
			messages = append(messages, genai.FromChat(m))
		}
	}
	instructions, rest := genai.Split(messages)
	if len(instructions) > 0 {
		text, whole := genai.Instructions(instructions, d.limit)
		d.cutText(attr.GenAISystemInstructions, text, whole)
	}
	d.messages(attr.GenAIInputMessages, rest)
	if c.newFrame && len(frame.Tools) > 0 {
		text, whole := genai.Definitions(frame.Tools, d.limit)
		d.cutText(attr.GenAIToolDefinitions, text, whole)
	}
}

func (c *chatDetail) describeAnswer(d *describer) {
	b := c.answered
	if b == nil {
		return
	}
	d.text(attr.AnswerStatus, b.Status)
	if b.Finish != "" {
		d.list(attr.GenAIResponseFinish, []string{b.Finish})
	}
	if b.Status != "given" {
		estimated := int64(0)
		if b.Estimated {
			estimated = b.Tokens.Input + b.Tokens.Output
		}
		d.tokens(b.Tokens, estimated)
		if b.Priced {
			d.number(attr.CostNUSD, b.CostNUSD)
		}
	}
	if answer, ok := d.content(attr.GenAIOutputMessages, b.Message); ok {
		m := genai.FromChat(answer)
		m.Finish = genai.FinishReason(b.Finish)
		d.messages(attr.GenAIOutputMessages, []genai.Message{m})
	}
}
