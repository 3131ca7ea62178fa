package tables

import (
	"encoding/json"
	"strconv"

	"tachograph/schemas/journal"
)

// Sent are the attributes as they were sent, but for what was cut: first those that typed columns hold, by the
// numbers of their bits, then those of the map in their order.
func (s *Span) Sent() []Attr {
	sent := make([]Attr, 0, 16+len(s.Attributes))
	for number, l := range Lifts() {
		if s.Lifted&(1<<number) != 0 {
			sent = append(sent, Attr{Key: l.Key, Value: s.lifted(int8(number)), Type: l.Type})
		}
	}
	return append(sent, s.Attributes...)
}

// lifted is the value that a typed column holds, as a map would.
func (s *Span) lifted(number int8) string {
	switch number {
	case LiftRunID:
		return journal.RunID(s.TraceID).String()
	case LiftFinishReasons:
		list, _ := json.Marshal(append([]string{}, s.FinishReasons...)) // strings always encode
		return string(list)
	}
	if text := s.TextColumn(number); text != nil {
		return *text
	}
	if n := s.NumberColumn(number); n != nil {
		return strconv.FormatInt(*n, 10)
	}
	return ""
}

// TextColumn is the column of the attribute with that number that is a string; nil if it is none.
func (s *Span) TextColumn(lift int8) *string {
	switch lift {
	case LiftOperation:
		return &s.Operation
	case LiftProvider:
		return &s.Provider
	case LiftRequestModel:
		return &s.RequestModel
	case LiftResponseModel:
		return &s.ResponseModel
	case LiftResponseID:
		return &s.ResponseID
	case LiftConversationID:
		return &s.ConversationID
	case LiftAgent:
		return &s.Agent
	case LiftAgentID:
		return &s.AgentID
	case LiftAgentPath:
		return &s.AgentPath
	case LiftTool:
		return &s.Tool
	case LiftToolCallID:
		return &s.ToolCallID
	case LiftErrorType:
		return &s.ErrorType
	case LiftIntentText:
		return &s.IntentText
	case LiftIntentSource:
		return &s.IntentSource
	case LiftToolEffect:
		return &s.ToolEffect
	case LiftToolScope:
		return &s.ToolScope
	case LiftPolicyDecision:
		return &s.PolicyDecision
	}
	return nil
}

// NumberColumn is the column of the attribute with that number that is an int; nil if it is none.
func (s *Span) NumberColumn(lift int8) *int64 {
	switch lift {
	case LiftInputTokens:
		return &s.InputTokens
	case LiftOutputTokens:
		return &s.OutputTokens
	case LiftCachedTokens:
		return &s.CachedTokens
	case LiftCacheCreation, LiftCacheWrite:
		return &s.CacheWriteTokens
	case LiftReasoningTokens:
		return &s.ReasoningTokens
	case LiftCostNUSD:
		return &s.CostNUSD
	case LiftEntrySeq:
		return &s.EntrySeq
	case LiftStep:
		return &s.Step
	case LiftDeltaFiles:
		return &s.DeltaFiles
	case LiftDeltaAdded:
		return &s.DeltaAdded
	case LiftDeltaRemoved:
		return &s.DeltaRemoved
	}
	return nil
}
