package story

import (
	"fmt"
	"strings"

	"tachograph/schemas/journal"
	"tachograph/web/api"
)

// USD spells billionths of a dollar as a decimal number of dollars, exactly.
func USD(nano int64) string {
	sign := ""
	if nano < 0 {
		sign, nano = "-", -nano
	}
	text := fmt.Sprintf("%s%d.%09d", sign, nano/1e9, nano%1e9)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}

// CostOf is what answers cost; priced says that the price of each is known. A cost of which nothing
// is known is not zero.
func CostOf(nano int64, priced bool) api.Cost {
	switch {
	case priced:
		return api.Cost{Known: api.Exact, Usd: ptr(USD(nano))}
	case nano == 0:
		return api.Cost{Known: api.Unknown}
	}
	return api.Cost{Known: api.AtLeast, Usd: ptr(USD(nano))}
}

// Tokens are the counts of an answer or a run.
func Tokens(t journal.Tokens) api.Tokens {
	return api.Tokens{Input: t.Input, Cached: t.Cached, Output: t.Output, Reasoning: t.Reasoning}
}

// Usage is what a run has spent.
func Usage(u journal.Usage) api.Usage {
	return api.Usage{Steps: u.Steps, Calls: u.Calls, Tokens: Tokens(u.Tokens), EstimatedTokens: u.Estimated,
		Cost: CostOf(u.CostNUSD, u.Unpriced == 0), ActiveSeconds: float32(u.ActiveUS) / 1e6}
}

// Limits are a run's budgets; what has no limit is left out.
func Limits(l journal.Limits) api.Limits {
	limits := api.Limits{Steps: some(l.Steps), Tokens: some(l.Tokens), Seconds: some(l.Seconds)}
	if l.CostNUSD != 0 {
		limits.CostUsd = ptr(USD(l.CostNUSD))
	}
	return limits
}
