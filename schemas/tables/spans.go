package tables

import "tachograph/schemas/attr"

// Absent is the value of a number that was not sent.
const Absent = -1

// Sources of spans and runs.
const (
	SourceTacho = "tacho"
	SourceOTLP  = "otlp"
)

// Span is a row of spans. See 0001_spans.sql for what each column means.
type Span struct {
	Project          string   `ch:"project"`
	TraceID          [16]byte `ch:"trace_id"`
	SpanID           uint64   `ch:"span_id"`
	ParentSpanID     uint64   `ch:"parent_span_id"`
	Start            int64    `ch:"start"`
	DurationNS       uint64   `ch:"duration_ns"`
	EarlyEndNS       int64    `ch:"early_end_ns"`
	Name             string   `ch:"name"`
	Kind             uint8    `ch:"kind"`
	Flags            uint32   `ch:"flags"`
	TraceState       string   `ch:"trace_state"`
	StatusCode       uint8    `ch:"status_code"`
	StatusMessage    string   `ch:"status_message"`
	Source           string   `ch:"source"`
	Service          string   `ch:"service"`
	ScopeName        string   `ch:"scope_name"`
	ScopeVersion     string   `ch:"scope_version"`
	ScopeAttributes  string   `ch:"scope_attributes"`
	ScopeSchema      string   `ch:"scope_schema"`
	ScopeDropped     uint32   `ch:"scope_dropped"`
	Resource         string   `ch:"resource"`
	ResourceSchema   string   `ch:"resource_schema"`
	ResourceDropped  uint32   `ch:"resource_dropped"`
	Operation        string   `ch:"operation"`
	Provider         string   `ch:"provider"`
	RequestModel     string   `ch:"request_model"`
	ResponseModel    string   `ch:"response_model"`
	ResponseID       string   `ch:"response_id"`
	ConversationID   string   `ch:"conversation_id"`
	Agent            string   `ch:"agent"`
	AgentID          string   `ch:"agent_id"`
	AgentPath        string   `ch:"agent_path"`
	Tool             string   `ch:"tool"`
	ToolCallID       string   `ch:"tool_call_id"`
	ErrorType        string   `ch:"error_type"`
	FinishReasons    []string `ch:"finish_reasons"`
	InputTokens      int64    `ch:"input_tokens"`
	OutputTokens     int64    `ch:"output_tokens"`
	CachedTokens     int64    `ch:"cached_tokens"`
	CacheWriteTokens int64    `ch:"cache_write_tokens"`
	ReasoningTokens  int64    `ch:"reasoning_tokens"`
	CostNUSD         int64    `ch:"cost_nusd"`
	EntrySeq         int64    `ch:"entry_seq"`
	Step             int64    `ch:"step"`
	IntentText       string   `ch:"intent_text"`
	IntentSource     string   `ch:"intent_source"`
	ToolEffect       string   `ch:"tool_effect"`
	ToolScope        string   `ch:"tool_scope"`
	PolicyDecision   string   `ch:"policy_decision"`
	DeltaFiles       int64    `ch:"delta_files"`
	DeltaAdded       int64    `ch:"delta_added"`
	DeltaRemoved     int64    `ch:"delta_removed"`
	Lifted           uint64   `ch:"lifted"`
	Attributes       []Attr   `ch:"attributes"` // and attribute_types
	AttrsDropped     uint32   `ch:"attributes_dropped"`
	Events           []Event  `ch:"events"`
	EventsDropped    uint32   `ch:"events_dropped"`
	Links            []Link   `ch:"links"`
	LinksDropped     uint32   `ch:"links_dropped"`
	Cut              []Cut    `ch:"cut"`
}

// Reset empties a row for the next span: numbers that can be absent are, lists keep their memory.
func (s *Span) Reset() {
	*s = Span{EarlyEndNS: Absent, InputTokens: Absent, OutputTokens: Absent, CachedTokens: Absent, CacheWriteTokens: Absent, ReasoningTokens: Absent,
		CostNUSD: Absent, EntrySeq: Absent, Step: Absent, DeltaFiles: Absent, DeltaAdded: Absent, DeltaRemoved: Absent,
		FinishReasons: s.FinishReasons[:0], Attributes: s.Attributes[:0], Events: s.Events[:0], Links: s.Links[:0], Cut: s.Cut[:0]}
}

// Event is an event of a span.
type Event struct {
	Time       int64
	Name       string
	Attributes []Attr
	Dropped    uint32
}

// Link is a link of a span.
type Link struct {
	TraceID    [16]byte
	SpanID     uint64
	State      string
	Flags      uint32
	Attributes []Attr
	Dropped    uint32
}

// Lift is an attribute that a typed column holds exactly as it was sent. A column may be filled without
// its bit, from another attribute or by counting otherwise: then it is our reading and the attributes
// say what was sent. So an attribute is rebuilt from the columns whose bits are set, and from the
// map. Only an attribute that is there once and has the type of the list may be lifted.
type Lift struct {
	Key    string
	Column string
	Type   byte // of the value: s, i; j: a list of strings
}

// Bits of the column lifted. The number of a bit never changes; new ones follow at the end.
const (
	LiftOperation = iota
	LiftProvider
	LiftRequestModel
	LiftResponseModel
	LiftResponseID
	LiftConversationID
	LiftAgent
	LiftAgentID
	LiftAgentPath
	LiftTool
	LiftToolCallID
	LiftErrorType
	LiftFinishReasons
	LiftInputTokens
	LiftOutputTokens
	LiftCachedTokens
	LiftCacheCreation
	LiftCacheWrite
	LiftReasoningTokens
	LiftCostNUSD
	LiftEntrySeq
	LiftStep
	LiftIntentText
	LiftIntentSource
	LiftToolEffect
	LiftToolScope
	LiftPolicyDecision
	LiftDeltaFiles
	LiftDeltaAdded
	LiftDeltaRemoved
	LiftRunID
)

// Lifts are the attributes by the numbers of their bits.
func Lifts() []Lift {
	return []Lift{
		LiftOperation:       {attr.GenAIOperationName, "operation", TypeString},
		LiftProvider:        {attr.GenAIProviderName, "provider", TypeString},
		LiftRequestModel:    {attr.GenAIRequestModel, "request_model", TypeString},
		LiftResponseModel:   {"gen_ai.response.model", "response_model", TypeString},
		LiftResponseID:      {"gen_ai.response.id", "response_id", TypeString},
		LiftConversationID:  {attr.GenAIConversationID, "conversation_id", TypeString},
		LiftAgent:           {attr.GenAIAgentName, "agent", TypeString},
		LiftAgentID:         {"gen_ai.agent.id", "agent_id", TypeString},
		LiftAgentPath:       {attr.AgentPath, "agent_path", TypeString},
		LiftTool:            {attr.GenAIToolName, "tool", TypeString},
		LiftToolCallID:      {attr.GenAIToolCallID, "tool_call_id", TypeString},
		LiftErrorType:       {attr.ErrorType, "error_type", TypeString},
		LiftFinishReasons:   {attr.GenAIResponseFinish, "finish_reasons", TypeJSON},
		LiftInputTokens:     {attr.GenAIUsageInput, "input_tokens", TypeInt},
		LiftOutputTokens:    {attr.GenAIUsageOutput, "output_tokens", TypeInt},
		LiftCachedTokens:    {attr.GenAIUsageCacheRead, "cached_tokens", TypeInt},
		LiftCacheCreation:   {"gen_ai.usage.cache_creation.input_tokens", "cache_write_tokens", TypeInt},
		LiftCacheWrite:      {"gen_ai.usage.cache_write.input_tokens", "cache_write_tokens", TypeInt},
		LiftReasoningTokens: {attr.GenAIUsageReasoning, "reasoning_tokens", TypeInt},
		LiftCostNUSD:        {attr.CostNUSD, "cost_nusd", TypeInt},
		LiftEntrySeq:        {attr.EntrySeq, "entry_seq", TypeInt},
		LiftStep:            {attr.Step, "step", TypeInt},
		LiftIntentText:      {attr.IntentText, "intent_text", TypeString},
		LiftIntentSource:    {attr.IntentSource, "intent_source", TypeString},
		LiftToolEffect:      {attr.ToolEffect, "tool_effect", TypeString},
		LiftToolScope:       {attr.ToolScope, "tool_scope", TypeString},
		LiftPolicyDecision:  {attr.PolicyDecision, "policy_decision", TypeString},
		LiftDeltaFiles:      {attr.DeltaFiles, "delta_files", TypeInt},
		LiftDeltaAdded:      {attr.DeltaAdded, "delta_added", TypeInt},
		LiftDeltaRemoved:    {attr.DeltaRemoved, "delta_removed", TypeInt},
		LiftRunID:           {attr.RunID, "trace_id", TypeString}, // only if it is the UUID of the trace, in its usual spelling
	}
}

// OpenSpan is a row of open_spans.
type OpenSpan struct {
	Project      string   `ch:"project"`
	TraceID      [16]byte `ch:"trace_id"`
	SpanID       uint64   `ch:"span_id"`
	ParentSpanID uint64   `ch:"parent_span_id"`
	Start        int64    `ch:"start"`
	Alive        int64    `ch:"alive"`
	Name         string   `ch:"name"`
	Kind         uint8    `ch:"kind"`
	Service      string   `ch:"service"`
	Operation    string   `ch:"operation"`
	AgentPath    string   `ch:"agent_path"`
	Tool         string   `ch:"tool"`
}
