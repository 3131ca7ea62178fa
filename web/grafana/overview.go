package grafana

// runURL leads from a run's id to our own page about it.
const runURL = "http://127.0.0.1:7080/runs/${__value.raw}"

// chosen narrows a query to what the variables and the time range ask for.
const chosen = "project IN (${project:sqlstring}) AND service IN (${service:sqlstring}) AND $__timeFilter_ms(start)"

// Overview is the first dashboard: what agents do, how long it takes, what it costs, what is refused.
func Overview() Dashboard {
	return Dashboard{
		UID: "tachograph-overview", Title: "Agents", Tags: []string{"tachograph"}, Refresh: "10s", From: "now-6h",
		Variables: []Variable{
			{"project", "Project", "SELECT DISTINCT project FROM spans ORDER BY project"},
			{"service", "Service", "SELECT DISTINCT service FROM spans WHERE project IN (${project:sqlstring}) ORDER BY service"},
		},
		Rows: []Row{totals(), models(), tools(), runs()},
	}
}

func totals() Row {
	stat := func(title, description, unit, value string) Panel {
		return Panel{Title: title, Description: description, Kind: "stat", Width: 4, Unit: unit,
			Queries: []Query{{SQL: "SELECT " + value + " FROM spans WHERE " + chosen}}}
	}
	return Row{4, []Panel{
		stat("Runs", "Traces with at least one span in this time", "short", "uniqExact(trace_id) AS runs"),
		stat("Model calls", "Spans of operation chat", "short", "countIf(operation = 'chat') AS calls"),
		stat("Tool calls", "Spans of operation execute_tool", "short", "countIf(operation = 'execute_tool') AS calls"),
		stat("Tokens", "Of model calls that reported them: input (cached input included) and output", "short",
			"sumIf(input_tokens, operation = 'chat' AND input_tokens > 0) + sumIf(output_tokens, operation = 'chat' AND output_tokens > 0) AS tokens"),
		stat("Cost", "Of model calls with a known price", "currencyUSD",
			"sumIf(cost_nusd, operation = 'chat' AND cost_nusd > 0) / 1e9 AS usd"),
		stat("Failed calls", "Share of model and tool calls that ended in an error", "percentunit",
			"countIf(status_code = 2 AND operation IN ('chat', 'execute_tool')) / greatest(countIf(operation IN ('chat', 'execute_tool')), 1) AS failed"),
	}}
}

func models() Row {
	return Row{8, []Panel{
		{Title: "Model calls", Description: "A minute, by model", Kind: "timeseries", Width: 8, Unit: "short", Stacked: true,
			Queries: []Query{{Series: true, SQL: "SELECT $__timeInterval(start) AS time, request_model AS model, count() AS calls FROM spans\n" +
				"WHERE " + chosen + " AND operation = 'chat' GROUP BY time, model ORDER BY time"}}},
		{Title: "Tokens", Description: "Input, of it cached, and output", Kind: "timeseries", Width: 8, Unit: "short",
			Queries: []Query{{Series: true, SQL: "SELECT $__timeInterval(start) AS time, sumIf(input_tokens, input_tokens > 0) AS input,\n" +
				"  sumIf(cached_tokens, cached_tokens > 0) AS cached, sumIf(output_tokens, output_tokens > 0) AS output FROM spans\n" +
				"WHERE " + chosen + " AND operation = 'chat' GROUP BY time ORDER BY time"}}},
		{Title: "Model latency", Description: "p50 and p95 of a model call", Kind: "timeseries", Width: 8, Unit: "ns",
			Queries: []Query{{Series: true, SQL: "SELECT $__timeInterval(start) AS time, quantile(0.5)(duration_ns) AS p50, quantile(0.95)(duration_ns) AS p95 FROM spans\n" +
				"WHERE " + chosen + " AND operation = 'chat' GROUP BY time ORDER BY time"}}},
	}}
}

func tools() Row {
	return Row{8, []Panel{
		{Title: "Tool calls by decision", Description: "What policy said; empty: somebody else's agent", Kind: "timeseries", Width: 8, Unit: "short", Stacked: true,
			Queries: []Query{{Series: true, SQL: "SELECT $__timeInterval(start) AS time, if(policy_decision = '', 'none', policy_decision) AS decision, count() AS calls FROM spans\n" +
				"WHERE " + chosen + " AND operation = 'execute_tool' GROUP BY time, decision ORDER BY time"}}},
		{Title: "Slowest tools", Description: "p95 of a call", Kind: "bargauge", Width: 8, Unit: "ns",
			Queries: []Query{{SQL: "SELECT tool, quantile(0.95)(duration_ns) AS p95 FROM spans\n" +
				"WHERE " + chosen + " AND operation = 'execute_tool' GROUP BY tool ORDER BY p95 DESC LIMIT 12"}}},
		{Title: "Tools", Description: "Calls, failures and files changed", Kind: "table", Width: 8, Unit: "short",
			Queries: []Query{{SQL: "SELECT tool, count() AS calls, countIf(status_code = 2) AS failed, sumIf(delta_files, delta_files > 0) AS files FROM spans\n" +
				"WHERE " + chosen + " AND operation = 'execute_tool' GROUP BY tool ORDER BY calls DESC LIMIT 50"}}},
	}}
}

func runs() Row {
	return Row{10, []Panel{
		{Title: "Runs", Description: "The newest; a click leads to the run", Kind: "table", Width: gridWidth, Unit: "short",
			Links: []Link{{"run", "Open the run", runURL}},
			Queries: []Query{{SQL: "SELECT toString(trace_id) AS run, any(service) AS of_service, min(start) AS started, count() AS spans,\n" +
				"  countIf(operation = 'chat') AS model_calls, countIf(operation = 'execute_tool') AS tool_calls,\n" +
				"  countIf(status_code = 2) AS errors, sumIf(cost_nusd, cost_nusd > 0) / 1e9 AS usd\n" +
				"FROM spans WHERE " + chosen + " GROUP BY trace_id ORDER BY started DESC LIMIT 100"}}},
	}}
}

// All are the dashboards, by the name of their file.
func All() map[string]Dashboard {
	return map[string]Dashboard{"overview.json": Overview()}
}
