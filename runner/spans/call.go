package spans

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/trace"

	"tachograph/schemas/attr"
	"tachograph/schemas/chat"
	"tachograph/schemas/journal"
	"tachograph/schemas/verdict"
)

// call is an open tool call. Its span begins at the proposal and is moved to the start: what
// happened before is then shown on the agent's span, as it would lie before the call's.
type call struct {
	span
	about callDetail
}

type callDetail struct {
	proposed *journal.CallProposed
	intent   intent               // seq is −1 if there is none
	decided  *journal.CallDecided // the newest; nil before
	by       journal.Ref          // who approved it
	starts   int64
	ended    *journal.CallEnded // nil if something else closed the span
}

// call finds an open call of the agent.
func (a *agent) call(id int64) *call {
	for _, c := range a.calls {
		if c.seq == id {
			return c
		}
	}
	return nil
}

func (p *projector) callProposed(e journal.Entry, b *journal.CallProposed) {
	a := p.agent(e.Agent)
	c := &call{span: span{id: SpanID(p.run, e.Seq, nameCall), parent: a.id, name: nameCall + " " + b.Tool,
		kind: trace.SpanKindInternal, start: e.Time, agent: a.agent, step: b.Step, seq: e.Seq}}
	c.about = callDetail{proposed: b, intent: a.takeIntent(b.Intent)}
	a.calls = append(a.calls, c)
	p.planned(a, e, b.Index)
}

// takeIntent finds the intent of a call, and forgets it.
func (a *agent) takeIntent(seq int64) intent {
	i := slices.IndexFunc(a.intents, func(in intent) bool { return in.seq == seq })
	if i < 0 {
		return intent{seq: -1}
	}
	found := a.intents[i]
	a.intents = slices.Delete(a.intents, i, i+1)
	return found
}

func (p *projector) callDecided(e journal.Entry, b *journal.CallDecided) {
	if c := p.agent(e.Agent).call(b.Call); c != nil {
		c.about.decided, c.about.by = b, journal.Ref{}
	}
}

// callAnswered shows a hold and what came of it.
func (p *projector) callAnswered(e journal.Entry, body journal.Body) {
	var id int64
	var by, because journal.Ref
	switch b := body.(type) {
	case *journal.CallHeld:
		id = b.Call
	case *journal.CallApproved:
		id, by = b.Call, b.By
	case *journal.CallRefused:
		id, because = b.Call, b.Reason
	case *journal.CallExpired:
		id = b.Call
	}
	if c := p.agent(e.Agent).call(id); c != nil {
		c.about.by, c.because = by, because
		c.add(newEvent(e, body))
	}
}

func (p *projector) callStarted(e journal.Entry, b *journal.CallStarted) {
	a := p.agent(e.Agent)
	c := a.call(b.Call)
	if c == nil {
		return
	}
	if c.about.starts == 0 {
		c.start = e.Time
		p.note(a, c.events...)
		c.events = nil
	}
	c.about.starts = b.Attempt
}

func (p *projector) callEnded(e journal.Entry, b *journal.CallEnded) {
	a := p.agent(e.Agent)
	a.about.calls++
	i := slices.IndexFunc(a.calls, func(c *call) bool { return c.seq == b.Call })
	if i < 0 {
		return
	}
	c := a.calls[i]
	a.calls = slices.Delete(a.calls, i, i+1)
	c.about.ended = b
	failure := b.Status
	if failure == "ok" {
		failure = ""
	}
	c.close(e, failure)
	p.emitCall(c)
}

func (p *projector) emitCall(c *call) {
	c.detail = &c.about
	p.emit(&c.span)
}

func (c *callDetail) describe(d *describer) {
	b := c.proposed
	d.text(attr.GenAIOperationName, attr.OperationExecuteTool)
	d.text(attr.GenAIToolName, b.Tool)
	d.text(attr.GenAIToolType, "function")
	d.number(attr.CallIndex, b.Index)
	d.text(attr.ToolEffect, b.Effect)
	d.text(attr.ToolScope, b.Scope)
	d.flag(attr.ToolIdempotent, b.Idempotent)
	switch {
	case b.Scope == "workspace":
		d.text(attr.ToolReversible, "workspace")
	case b.Effect == "write" || b.Effect == "delete":
		d.text(attr.ToolReversible, "no")
	}
	if c.starts > 0 {
		d.number(attr.Attempt, c.starts)
	}
	c.describeReason(d)
	if args, ok := d.content(attr.GenAIToolCallArguments, b.Args); ok {
		d.long(attr.GenAIToolCallArguments, string(args))
	}
	if c.ended != nil {
		c.describeEnd(d, c.ended)
	}
	if text, ok := d.content(attr.ToolReads, b.Targets); ok {
		describeTargets(d, text)
	}
}

// describeReason shows why the call was asked for, and who let it happen.
func (c *callDetail) describeReason(d *describer) {
	if c.intent.seq >= 0 {
		d.text(attr.IntentSource, c.intent.source)
		if text, ok := d.content(attr.IntentText, c.intent.text); ok {
			d.short(attr.IntentText, string(text))
		}
	}
	if b := c.decided; b != nil {
		d.text(attr.PolicyDecision, b.Decision)
		d.text(attr.PolicyEngine, b.Engine)
		if b.Errors > 0 {
			d.number(attr.PolicyErrors, b.Errors)
		}
		if text, ok := d.content(attr.PolicyReasons, b.Reasons); ok {
			describeReasons(d, text)
		}
	}
	if by, ok := d.content(attr.ApprovalBy, c.by); ok {
		d.short(attr.ApprovalBy, string(by))
	}
}

func (c *callDetail) describeEnd(d *describer, b *journal.CallEnded) {
	d.text(attr.CallStatus, b.Status)
	if c.starts > 0 {
		d.number(attr.ToolExit, b.Exit)
		d.number(attr.ToolTimeUS, b.MicroSec)
		d.text(attr.ToolObserved, b.Observed)
		d.number(attr.DeltaFiles, b.Files)
		d.number(attr.DeltaAdded, b.Added)
		d.number(attr.DeltaRemoved, b.Removed)
	}
	raw, ok := d.content(attr.GenAIToolCallResult, b.Message)
	if !ok {
		return
	}
	m, err := chat.Parse(raw)
	if err != nil || m.Content == nil {
		d.long(attr.GenAIToolCallResult, string(raw))
		return
	}
	if m.ToolCallID != "" {
		d.short(attr.GenAIToolCallID, m.ToolCallID)
	}
	d.long(attr.GenAIToolCallResult, *m.Content)
}

// describeTargets shows the content that call.proposed names as Targets (runner/gate specifies it):
// paths as URIs, of the workspace "workspace:" and the path in it.
func describeTargets(d *describer, text []byte) {
	var t struct {
		Read    []string `json:"read"`
		Written []string `json:"written"`
		Deleted []string `json:"deleted"`
		Hosts   []string `json:"hosts"`
	}
	if err := json.Unmarshal(text, &t); err != nil {
		d.unread(attr.ToolReads)
		return
	}
	d.list(attr.ToolReads, pathURIs(t.Read))
	d.list(attr.ToolWrites, pathURIs(append(t.Written, t.Deleted...)))
	d.list(attr.ToolHosts, t.Hosts)
}

func pathURIs(paths []string) []string {
	uris := make([]string, len(paths))
	for i, p := range paths {
		if strings.HasPrefix(p, "/") {
			uris[i] = (&url.URL{Scheme: "file", Path: p}).String()
		} else {
			uris[i] = "workspace:" + (&url.URL{Path: p}).EscapedPath()
		}
	}
	return uris
}

// describeReasons shows the content that call.decided names as Reasons.
func describeReasons(d *describer, text []byte) {
	v, err := verdict.Decode(text)
	if err != nil {
		d.unread(attr.PolicyReasons)
		return
	}
	var ids, reasons []string
	for _, reason := range v.Reasons {
		if reason.ID != "" {
			ids = append(ids, reason.ID)
		}
		if why := reason.Text + reason.Error; why != "" {
			reasons = append(reasons, why)
		}
	}
	d.list(attr.PolicyIDs, ids)
	d.list(attr.PolicyReasons, reasons)
}
