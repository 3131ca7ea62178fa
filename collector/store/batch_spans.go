package store

import (
	"tachograph/collector/store/native"
	"tachograph/schemas/tables"
)

type spanColumns struct {
	project, name, source, service, operation, provider, requestModel, responseModel                        *native.LowCard
	agent, agentID, agentPath, tool, errorType, intentSource, toolEffect, toolScope                         *native.LowCard
	policyDecision                                                                                          *native.LowCard
	traceID                                                                                                 *native.UUID
	spanID, parentSpanID, durationNS, lifted                                                                *native.UInt64
	start, earlyEndNS, inputTokens, outputTokens, cachedTokens, cacheWriteTokens, reasoningTokens, costNUSD *native.Int64
	entrySeq, step, deltaFiles, deltaAdded, deltaRemoved                                                    *native.Int64
	kind, statusCode                                                                                        *native.UInt8
	flags, attrsDropped, eventsDropped, linksDropped                                                        *native.UInt32
	traceState, statusMessage, responseID, conversationID, toolCallID, intentText                           *native.String
	origin                                                                                                  origin
	finishReasons                                                                                           *native.Array[*native.LowCard]
	attributes                                                                                              attributes
	events                                                                                                  eventsColumns
	links                                                                                                   linksColumns
	cut                                                                                                     cuts
}

func newSpanColumns(t *block) *spanColumns {
	return &spanColumns{
		project:          t.lowCard("project"),
		traceID:          t.uuid("trace_id"),
		spanID:           t.uint64("span_id"),
		parentSpanID:     t.uint64("parent_span_id"),
		start:            t.nanos("start"),
		durationNS:       t.uint64("duration_ns"),
		earlyEndNS:       t.int64("early_end_ns"),
		name:             t.lowCard("name"),
		kind:             t.uint8("kind"),
		flags:            t.uint32("flags"),
		traceState:       t.text("trace_state"),
		statusCode:       t.uint8("status_code"),
		statusMessage:    t.text("status_message"),
		source:           t.lowCard("source"),
		service:          t.lowCard("service"),
		origin:           t.origin(),
		operation:        t.lowCard("operation"),
		provider:         t.lowCard("provider"),
		requestModel:     t.lowCard("request_model"),
		responseModel:    t.lowCard("response_model"),
		responseID:       t.text("response_id"),
		conversationID:   t.text("conversation_id"),
		agent:            t.lowCard("agent"),
		agentID:          t.lowCard("agent_id"),
		agentPath:        t.lowCard("agent_path"),
		tool:             t.lowCard("tool"),
		toolCallID:       t.text("tool_call_id"),
		errorType:        t.lowCard("error_type"),
		finishReasons:    column(t, "finish_reasons", native.NewArray(native.NewLowCard())),
		inputTokens:      t.int64("input_tokens"),
		outputTokens:     t.int64("output_tokens"),
		cachedTokens:     t.int64("cached_tokens"),
		cacheWriteTokens: t.int64("cache_write_tokens"),
		reasoningTokens:  t.int64("reasoning_tokens"),
		costNUSD:         t.int64("cost_nusd"),
		entrySeq:         t.int64("entry_seq"),
		step:             t.int64("step"),
		intentText:       t.text("intent_text"),
		intentSource:     t.lowCard("intent_source"),
		toolEffect:       t.lowCard("tool_effect"),
		toolScope:        t.lowCard("tool_scope"),
		policyDecision:   t.lowCard("policy_decision"),
		deltaFiles:       t.int64("delta_files"),
		deltaAdded:       t.int64("delta_added"),
		deltaRemoved:     t.int64("delta_removed"),
		lifted:           t.uint64("lifted"),
		attributes:       t.attributes(),
		attrsDropped:     t.uint32("attributes_dropped"),
		events:           t.events(),
		eventsDropped:    t.uint32("events_dropped"),
		links:            t.links(),
		linksDropped:     t.uint32("links_dropped"),
		cut:              t.cuts(),
	}
}

// Span adds a row of spans.
func (b *Batch) Span(r *tables.Span) {
	c := row(b, &b.spans, "spans", newSpanColumns)
	c.project.Append(r.Project)
	c.traceID.Append(r.TraceID)
	c.spanID.Append(r.SpanID)
	c.parentSpanID.Append(r.ParentSpanID)
	c.start.Append(r.Start)
	c.durationNS.Append(r.DurationNS)
	c.earlyEndNS.Append(r.EarlyEndNS)
	c.name.Append(r.Name)
	c.kind.Append(r.Kind)
	c.flags.Append(r.Flags)
	c.traceState.Append(r.TraceState)
	c.statusCode.Append(r.StatusCode)
	c.statusMessage.Append(r.StatusMessage)
	c.source.Append(r.Source)
	c.service.Append(r.Service)
	c.origin.append(r.ScopeName, r.ScopeVersion, r.ScopeAttributes, r.ScopeSchema, r.ScopeDropped, r.Resource, r.ResourceSchema, r.ResourceDropped)
	c.operation.Append(r.Operation)
	c.provider.Append(r.Provider)
	c.requestModel.Append(r.RequestModel)
	c.responseModel.Append(r.ResponseModel)
	c.responseID.Append(r.ResponseID)
	c.conversationID.Append(r.ConversationID)
	c.agent.Append(r.Agent)
	c.agentID.Append(r.AgentID)
	c.agentPath.Append(r.AgentPath)
	c.tool.Append(r.Tool)
	c.toolCallID.Append(r.ToolCallID)
	c.errorType.Append(r.ErrorType)
	for _, v := range r.FinishReasons {
		c.finishReasons.Of.Append(v)
	}
	c.finishReasons.End()
	c.inputTokens.Append(r.InputTokens)
	c.outputTokens.Append(r.OutputTokens)
	c.cachedTokens.Append(r.CachedTokens)
	c.cacheWriteTokens.Append(r.CacheWriteTokens)
	c.reasoningTokens.Append(r.ReasoningTokens)
	c.costNUSD.Append(r.CostNUSD)
	c.entrySeq.Append(r.EntrySeq)
	c.step.Append(r.Step)
	c.intentText.Append(r.IntentText)
	c.intentSource.Append(r.IntentSource)
	c.toolEffect.Append(r.ToolEffect)
	c.toolScope.Append(r.ToolScope)
	c.policyDecision.Append(r.PolicyDecision)
	c.deltaFiles.Append(r.DeltaFiles)
	c.deltaAdded.Append(r.DeltaAdded)
	c.deltaRemoved.Append(r.DeltaRemoved)
	c.lifted.Append(r.Lifted)
	c.attributes.append(r.Attributes)
	c.attrsDropped.Append(r.AttrsDropped)
	c.events.append(r.Events)
	c.eventsDropped.Append(r.EventsDropped)
	c.links.append(r.Links)
	c.linksDropped.Append(r.LinksDropped)
	c.cut.append(r.Cut)
}

type openSpanColumns struct {
	project, name, service, operation, agentPath, tool *native.LowCard
	traceID                                            *native.UUID
	spanID, parentSpanID                               *native.UInt64
	start, alive                                       *native.Int64
	kind                                               *native.UInt8
}

func newOpenSpanColumns(t *block) *openSpanColumns {
	return &openSpanColumns{
		project:      t.lowCard("project"),
		traceID:      t.uuid("trace_id"),
		spanID:       t.uint64("span_id"),
		parentSpanID: t.uint64("parent_span_id"),
		start:        t.nanos("start"),
		alive:        t.nanos("alive"),
		name:         t.lowCard("name"),
		kind:         t.uint8("kind"),
		service:      t.lowCard("service"),
		operation:    t.lowCard("operation"),
		agentPath:    t.lowCard("agent_path"),
		tool:         t.lowCard("tool"),
	}
}

// OpenSpan adds a row of open_spans.
func (b *Batch) OpenSpan(r *tables.OpenSpan) {
	c := row(b, &b.openSpans, "open_spans", newOpenSpanColumns)
	c.project.Append(r.Project)
	c.traceID.Append(r.TraceID)
	c.spanID.Append(r.SpanID)
	c.parentSpanID.Append(r.ParentSpanID)
	c.start.Append(r.Start)
	c.alive.Append(r.Alive)
	c.name.Append(r.Name)
	c.kind.Append(r.Kind)
	c.service.Append(r.Service)
	c.operation.Append(r.Operation)
	c.agentPath.Append(r.AgentPath)
	c.tool.Append(r.Tool)
}
