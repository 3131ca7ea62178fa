// Package attr holds every attribute key, span name and event name that Tachograph writes into
// telemetry, once. It is words only: no logic, no values of ours.
//
// Keys that begin with gen_ai. are those of the OpenTelemetry semantic conventions for generative
// AI, v1.41, and of the later operation plan; error.type is theirs too. Keys that begin with tacho.
// are ours, because no convention has a word for them. A key is never renamed: who stored it under
// the old name would not find it again. Add one beside it.
//
// Units are in the key where they are not plain counts (_nusd: billionths of a US dollar, _us:
// microseconds). "Content" says that the value is bytes which a person, a model, a tool or a file
// wrote: it is left out where content capture is off.
package attr

// SchemaURL names the version of the conventions that the gen_ai keys follow.
const SchemaURL = "https://opentelemetry.io/schemas/1.41.0"

// Operations (gen_ai.operation.name). A span's name is its operation, a space and the agent, model
// or tool.
const (
	OperationInvokeAgent = "invoke_agent"
	OperationPlan        = "plan"
	OperationChat        = "chat"
	OperationExecuteTool = "execute_tool"
)

// Keys of OpenTelemetry.
const (
	ServiceName = "service.name"
	ErrorType   = "error.type" // string, low cardinality: failed, lost, timeout, denied, …

	GenAIOperationName       = "gen_ai.operation.name"
	GenAIProviderName        = "gen_ai.provider.name"
	GenAIConversationID      = "gen_ai.conversation.id"        // the run's id
	GenAIConversationCompact = "gen_ai.conversation.compacted" // bool; the middle of the conversation was dropped before this question
	GenAIAgentName           = "gen_ai.agent.name"             // the agent's path
	GenAIRequestModel        = "gen_ai.request.model"
	GenAIRequestStream       = "gen_ai.request.stream"          // bool
	GenAIRequestTemperature  = "gen_ai.request.temperature"     // double
	GenAIRequestMaxTokens    = "gen_ai.request.max_tokens"      // int
	GenAIResponseFinish      = "gen_ai.response.finish_reasons" // string[]
	GenAIUsageInput          = "gen_ai.usage.input_tokens"      // int, cached input included
	GenAIUsageOutput         = "gen_ai.usage.output_tokens"     // int, reasoning included
	GenAIUsageCacheRead      = "gen_ai.usage.cache_read.input_tokens"
	GenAIUsageReasoning      = "gen_ai.usage.reasoning.output_tokens"
	GenAISystemInstructions  = "gen_ai.system_instructions" // JSON text; content
	GenAIInputMessages       = "gen_ai.input.messages"      // JSON text; content; only the messages new in this question
	GenAIOutputMessages      = "gen_ai.output.messages"     // JSON text; content
	GenAIToolDefinitions     = "gen_ai.tool.definitions"    // JSON text; content; on the first question of an agent that has them
	GenAIToolName            = "gen_ai.tool.name"
	GenAIToolType            = "gen_ai.tool.type" // function
	GenAIToolCallID          = "gen_ai.tool.call.id"
	GenAIToolCallArguments   = "gen_ai.tool.call.arguments" // JSON text; content
	GenAIToolCallResult      = "gen_ai.tool.call.result"    // text; content; what the model was told
)

// Keys of a span's place in the journal.
const (
	RunID      = "tacho.run.id"
	AgentPath  = "tacho.agent.path"
	Step       = "tacho.step"           // int; of an agent: the steps it took
	EntrySeq   = "tacho.entry.seq"      // int; the entry that opened the span, or that the event is
	EntryLast  = "tacho.entry.last_seq" // int; the entry that closed it
	RunFamily  = "tacho.run.family"     // the family's root run
	RunParent  = "tacho.run.parent"     // the run that a fork comes from
	ParentSeq  = "tacho.run.parent_seq" // int; the entry after which it begins
	RunSandbox = "tacho.run.sandbox"    // tier: 1, 2, off
	AgentTask  = "tacho.agent.task"     // int; the task that the agent was made for
	Outcome    = "tacho.outcome"        // done, failed, stopped; undone, by a rollback
)

// Keys of what was spent. Those of an agent are the sums of its own model calls, of no other agent's.
const (
	CostNUSD       = "tacho.cost_nusd"       // int; absent when no price is known
	UsageEstimated = "tacho.usage.estimated" // int, tokens of the counts that are no provider's
	AgentAnswers   = "tacho.agent.answers"   // int; model answers
	AgentCalls     = "tacho.agent.calls"     // int; tool calls that ended
	AgentUnpriced  = "tacho.agent.unpriced"  // int; answers whose price is unknown
)

// Keys of a model's turn.
const (
	Attempt      = "tacho.attempt"       // int, from 1; of a question: more after one was lost or failed; of a tool call: starts
	AnswerStatus = "tacho.answer.status" // ok, failed, lost (the process died while asking), given (by a fork; nobody was asked)
	PlanAttempts = "tacho.plan.attempts" // int; questions until there was an answer
	PlanCalls    = "tacho.plan.calls"    // int; tool calls that the answer asks for
)

// Keys of a tool call: why, how far it reaches, what it did, who let it happen.
const (
	IntentText     = "tacho.intent.text"     // content
	IntentSource   = "tacho.intent.source"   // declared, derived
	ToolEffect     = "tacho.tool.effect"     // none, read, write, delete: as proposed
	ToolScope      = "tacho.tool.scope"      // workspace, machine, external
	ToolIdempotent = "tacho.tool.idempotent" // bool
	ToolReversible = "tacho.tool.reversible" // workspace, no
	ToolReads      = "tacho.tool.reads"      // string[] of URIs; content
	ToolWrites     = "tacho.tool.writes"     // string[] of URIs; content; what is deleted is among them
	ToolHosts      = "tacho.tool.hosts"      // string[]; content
	ToolObserved   = "tacho.tool.observed"   // effect that was seen
	ToolExit       = "tacho.tool.exit"       // int; exit status
	ToolTimeUS     = "tacho.tool.time_us"    // int; wall time of the tool, without gate and journal

	CallIndex  = "tacho.call.index"  // int; among the calls of the answer, −1: the spec's check
	CallStatus = "tacho.call.status" // ok, error, timeout, killed, denied, refused, expired, skipped

	PolicyDecision = "tacho.policy.decision" // allow, deny, hold: the newest
	PolicyIDs      = "tacho.policy.ids"      // string[]; the policies that made it
	PolicyReasons  = "tacho.policy.reasons"  // string[]; content
	PolicyEngine   = "tacho.policy.engine"
	PolicyErrors   = "tacho.policy.errors" // int; policies that could not be evaluated
	ApprovalBy     = "tacho.approval.by"   // content

	DeltaFiles   = "tacho.delta.files"   // int
	DeltaAdded   = "tacho.delta.added"   // int; lines
	DeltaRemoved = "tacho.delta.removed" // int; lines
)

// Keys of what a span does not show.
const (
	Cut           = "tacho.cut"            // string[]; "key: shown of whole" in bytes, or in items of a list
	Unread        = "tacho.unread"         // string[]; keys whose content could not be read any more
	EventsDropped = "tacho.events_dropped" // int; the oldest ones
)

// EventPrefix and the kind of an entry are the name of the span event that shows it.
const EventPrefix = "tacho."

// EventRestarted is the event of a tool call that was started again; EventInDoubt that of one that
// may have happened before its process died.
const (
	EventRestarted = "tacho.call.restarted"
	EventInDoubt   = "tacho.call.in_doubt"
)

// Keys of span events.
const (
	Why       = "tacho.why"         // as the entry spells it
	Reason    = "tacho.reason"      // content
	By        = "tacho.by"          // content; the person who did it, or what
	Until     = "tacho.until"       // RFC 3339; when a hold expires
	Call      = "tacho.call"        // int; seq of call.proposed
	To        = "tacho.to"          // path of an agent
	From      = "tacho.from"        // id of a run
	Snapshot  = "tacho.snapshot"    // int; seq of a snapshot
	Files     = "tacho.files"       // int
	Conflicts = "tacho.conflicts"   // int
	Now       = "tacho.now"         // bool; the running call was killed
	Hold      = "tacho.hold"        // bool; the agents are held at their next call
	Alarm     = "tacho.alarm"       // identifier
	Doubt     = "tacho.doubt"       // int; calls that may have happened
	Rerun     = "tacho.rerun"       // int; calls run again, their effect was dropped
	Lost      = "tacho.lost"        // int; questions without an answer
	Task      = "tacho.task"        // int
	Status    = "tacho.status"      // of a task
	Sent      = "tacho.sent"        // int; seq of message.sent
	Kept      = "tacho.kept"        // int; messages kept at the beginning of a conversation
	Tail      = "tacho.tail"        // int; messages kept at its end
	Length    = "tacho.length"      // int; messages after it
	Root      = "tacho.root"        // hash of the workspace's tree
	Relation  = "tacho.relation"    // on a span link: fork_of, continues
	LimitStep = "tacho.limit.steps" // int, as are those that follow; 0: none
	LimitTok  = "tacho.limit.tokens"
	LimitCost = "tacho.limit.cost_nusd"
	LimitSecs = "tacho.limit.seconds"
)

// Values of [Relation].
const (
	RelationFork      = "fork_of"   // the root span of the run that this one was forked from
	RelationContinues = "continues" // the agent's earlier span, ended before a rollback took the agent back to life
)

// Event names (LogRecord.EventName) of the records that show a span before it has ended. They are
// hints: sent at most once, lost where nobody takes them, and void as soon as the span itself is
// there. The record's own trace id and span id are those of the span, its body is the span's name,
// its time that of the start (start) or of the heartbeat (alive).
//
// Besides the keys below such a record has RunID, AgentPath, Step, EntrySeq, GenAIConversationID,
// GenAIOperationName, GenAIAgentName, and of a tool call GenAIToolName, of a question and an agent
// GenAIRequestModel, all as they stand on the span.
const (
	EventSpanStart = "tacho.span.start"
	EventSpanAlive = "tacho.span.alive" // repeated while it is open
)

// Keys of those records.
const (
	SpanParent = "tacho.span.parent_id"       // 16 hex digits; absent: a root span
	SpanName   = "tacho.span.name"            // as the span's
	SpanKind   = "tacho.span.kind"            // internal, client: as OpenTelemetry spells them, lower case
	SpanStart  = "tacho.span.start_unix_nano" // int; a call's start moves once, from its proposal to its start
)
