package dialect

import (
	"tachograph/collector/otlp"
	"tachograph/schemas/attr"
	"tachograph/schemas/tables"
)

const unlifted = -1

// liftOf is the number of the typed column that an attribute belongs to. It says what tables.Lifts says, as
// a switch, which costs a few nanoseconds where a map costs twenty.
func liftOf(key string) int8 {
	switch key {
	case attr.GenAIOperationName:
		return tables.LiftOperation
	case attr.GenAIProviderName:
		return tables.LiftProvider
	case attr.GenAIRequestModel:
		return tables.LiftRequestModel
	case "gen_ai.response.model":
		return tables.LiftResponseModel
	case "gen_ai.response.id":
		return tables.LiftResponseID
	case attr.GenAIConversationID:
		return tables.LiftConversationID
	case attr.GenAIAgentName:
		return tables.LiftAgent
	case "gen_ai.agent.id":
		return tables.LiftAgentID
	case attr.AgentPath:
		return tables.LiftAgentPath
	case attr.GenAIToolName:
		return tables.LiftTool
	case attr.GenAIToolCallID:
		return tables.LiftToolCallID
	case attr.ErrorType:
		return tables.LiftErrorType
	case attr.GenAIResponseFinish:
		return tables.LiftFinishReasons
	case attr.GenAIUsageInput:
		return tables.LiftInputTokens
	case attr.GenAIUsageOutput:
		return tables.LiftOutputTokens
	case attr.GenAIUsageCacheRead:
		return tables.LiftCachedTokens
	case "gen_ai.usage.cache_creation.input_tokens":
		return tables.LiftCacheCreation
	case "gen_ai.usage.cache_write.input_tokens":
		return tables.LiftCacheWrite
	case attr.GenAIUsageReasoning:
		return tables.LiftReasoningTokens
	case attr.CostNUSD:
		return tables.LiftCostNUSD
	case attr.EntrySeq:
		return tables.LiftEntrySeq
	case attr.Step:
		return tables.LiftStep
	case attr.IntentText:
		return tables.LiftIntentText
	case attr.IntentSource:
		return tables.LiftIntentSource
	case attr.ToolEffect:
		return tables.LiftToolEffect
	case attr.ToolScope:
		return tables.LiftToolScope
	case attr.PolicyDecision:
		return tables.LiftPolicyDecision
	case attr.DeltaFiles:
		return tables.LiftDeltaFiles
	case attr.DeltaAdded:
		return tables.LiftDeltaAdded
	case attr.DeltaRemoved:
		return tables.LiftDeltaRemoved
	case attr.RunID:
		return tables.LiftRunID
	}
	return unlifted
}

// maxFinish bounds what a list of finish reasons may hold to be lifted.
const maxFinish = 64

// lift puts an attribute into its column, if it fits there exactly.
func lift(s *tables.Span, number int8, v otlp.Value) bool {
	switch v.Type {
	case otlp.String:
		if number == tables.LiftRunID {
			return v.Text == runText(s.TraceID)
		}
		column := s.TextColumn(number)
		if column == nil || len(v.Text) > tables.MaxValue {
			return false
		}
		*column = v.Text
		return true
	case otlp.Int:
		column := s.NumberColumn(number)
		if column == nil {
			return false
		}
		*column = v.Int()
		return true
	case otlp.List:
		return number == tables.LiftFinishReasons && liftFinish(s, v)
	}
	return false
}

func liftFinish(s *tables.Span, v otlp.Value) bool {
	for item := range v.Items {
		if item.Type != otlp.String || len(item.Text) > tables.MaxValue || len(s.FinishReasons) == maxFinish {
			s.FinishReasons = s.FinishReasons[:0]
			return false
		}
		s.FinishReasons = append(s.FinishReasons, item.Text)
	}
	return true
}
