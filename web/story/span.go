package story

import (
	"encoding/binary"
	"encoding/hex"

	"tachograph/schemas/tables"
	"tachograph/web/api"
)

// SpanID spells a span's id as OTLP does.
func SpanID(id uint64) string { return hex.EncodeToString(binary.BigEndian.AppendUint64(nil, id)) }

// SpanTokens are the counts of a span; nil if none was sent.
func SpanTokens(s *tables.Span) *api.Tokens {
	if s.InputTokens == tables.Absent && s.OutputTokens == tables.Absent {
		return nil
	}
	return &api.Tokens{Input: max(s.InputTokens, 0), Cached: max(s.CachedTokens, 0), Output: max(s.OutputTokens, 0), Reasoning: max(s.ReasoningTokens, 0)}
}

// SpanCost is what a span cost; nil if nobody knows.
func SpanCost(s *tables.Span) *api.Cost {
	if s.CostNUSD == tables.Absent {
		return nil
	}
	cost := CostOf(s.CostNUSD, true)
	return &cost
}
