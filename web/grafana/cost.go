package grafana

// sent is the sum of a count over the spans that have it: absent (−1) is not zero.
func sent(column string) string { return "sumIf(" + column + ", " + column + " > 0)" }

// Cost shows what models were asked for, what it cost and how long it took.
func Cost() Dashboard {
	calls := spansOf(modelCalls, "request_model")
	usd := sent("cost_nusd") + " / 1e9"
	unpriced := "countIf(cost_nusd < 0)"
	cached := sent("cached_tokens") + " / greatest(" + sent("input_tokens") + ", 1)"
	return Dashboard{
		UID: "tachograph-cost", Title: "Tokens and cost", Refresh: "30s", From: "now-24h",
		Description: "Model calls of all agents. Sums are those of model calls alone: agents repeat the sums of theirs. A call without a known price counts as unpriced, never as free.",
		Variables: []Variable{address, project, service,
			{Name: "request_model", Label: "Model", Description: "The model that was asked for", Query: "SELECT DISTINCT request_model FROM spans WHERE " + chosen("project", "service") + " AND operation IN (" + modelCalls + ")"}},
		Rows: []Row{
			{Height: 4, Panels: []Panel{
				tile("Model calls", "That ended", "short", value("count() AS calls", calls)),
				tile("Input", "Tokens that models read, cached ones included", "short", value(sent("input_tokens")+" AS input", calls)),
				tile("Cached", "Share of the input that the provider had cached", "percentunit", value(cached+" AS cached", calls)),
				tile("Output", "Tokens that models wrote, reasoning included", "short", value(sent("output_tokens")+" AS output", calls)),
				tile("Cost", "Of model calls with a known price", "currencyUSD", value(usd+" AS usd", calls)),
				tile("Unpriced", "Model calls whose price is not known: `--prices FILE` names a list", "short", value(unpriced+" AS calls", calls)),
			}},
			{Height: 8, Panels: []Panel{
				{Title: "Tokens", Description: "A minute: input that was not cached, cached input, output", Kind: Lines, Width: 8, Unit: "short", Stacked: true,
					Queries: overTime("start", perMinute("("+sent("input_tokens")+" - "+sent("cached_tokens")+")")+" AS fresh_input, "+perMinute(sent("cached_tokens"))+" AS cached_input, "+
						perMinute(sent("output_tokens"))+" AS output", calls)},
				{Title: "Cost", Description: "US dollars an hour, by model", Kind: Lines, Width: 8, Unit: "currencyUSD", Stacked: true,
					Queries: split("start", "request_model", usd+" * 3600 / $__interval_s AS usd", calls)},
				{Title: "Model calls", Description: "A minute, by model", Kind: Lines, Width: 8, Unit: "opm", Stacked: true,
					Queries: split("start", "request_model", perMinute("count()")+" AS calls", calls)},
			}},
			{Height: 8, Panels: []Panel{
				{Title: "How long a model call takes", Description: "p50 and p95", Kind: Lines, Width: 8, Unit: "ns",
					Queries: overTime("start", "quantile(0.5)(duration_ns) AS p50, quantile(0.95)(duration_ns) AS p95", calls)},
				{Title: "Output tokens a second", Description: "p50 by model, of calls that say how many they wrote", Kind: Lines, Width: 8, Unit: "short",
					Queries: split("start", "request_model", "quantile(0.5)(output_tokens / (duration_ns / 1e9)) AS tokens", calls+" AND output_tokens > 0 AND duration_ns > 0")},
				{Title: "How model calls end", Description: "A minute, by finish reason", Kind: Lines, Width: 8, Unit: "opm", Stacked: true,
					Queries: split("start", "if(status_code = 2, 'error', if(empty(finish_reasons), 'not said', arrayStringConcat(finish_reasons, ', ')))", perMinute("count()")+" AS calls", calls)},
			}},
			{Height: 9, Panels: []Panel{
				{Title: "Models", Description: "What each was asked for, and what it cost", Kind: Table, Width: 14, Unit: "short",
					Fields: []Field{{Column: "cached", Unit: "percentunit", Gauge: true}, {Column: "usd", Unit: "currencyUSD"}, {Column: "p95", Unit: "ns"}},
					Queries: rows("request_model AS model, any(provider) AS of_provider, count() AS calls, countIf(status_code = 2) AS errors, "+sent("input_tokens")+" AS input, "+cached+" AS cached,\n    "+
						sent("output_tokens")+" AS output, "+sent("reasoning_tokens")+" AS reasoning, "+usd+" AS usd, "+unpriced+" AS unpriced, quantile(0.95)(duration_ns) AS p95",
						calls, "GROUP BY model ORDER BY usd DESC, input DESC LIMIT 100")},
				{Title: "Agents", Description: "Cost and tokens by service and agent", Kind: Table, Width: 10, Unit: "short",
					Fields: []Field{{Column: "usd", Unit: "currencyUSD"}},
					Queries: rows("service, if(agent = '', agent_path, agent) AS who, count() AS calls, "+sent("input_tokens")+" AS input, "+sent("output_tokens")+" AS output, "+usd+" AS usd",
						calls, "GROUP BY service, who ORDER BY usd DESC, input DESC LIMIT 100")},
			}},
			{Height: 10, Panels: []Panel{
				{Title: "Most expensive runs", Description: "Of this time, at most 200; what has no price stands below. A click leads to the run", Kind: Table, Width: gridWidth, Unit: "short",
					Fields: []Field{run("run"), {Column: "usd", Unit: "currencyUSD"}, {Column: "cached", Unit: "percentunit", Gauge: true}},
					Queries: rows("toString(trace_id) AS run, any(service) AS of_service, min(start) AS began, count() AS calls, "+sent("input_tokens")+" AS input, "+cached+" AS cached,\n    "+
						sent("output_tokens")+" AS output, "+usd+" AS usd, "+unpriced+" AS unpriced", calls, "GROUP BY trace_id ORDER BY usd DESC, input DESC LIMIT 200")},
			}},
		},
	}
}
