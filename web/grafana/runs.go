package grafana

// ourRuns is the newest row of each of our runs that was alive in the time that is shown.
const ourRuns = `FROM
(
    SELECT * FROM runs
    WHERE $__conditionalAll(project IN (${project:sqlstring}), $project)
    ORDER BY project, run, version DESC
    LIMIT 1 BY project, run
)
WHERE started <= $__toTime AND last >= $__fromTime AND $__conditionalAll(model IN (${model:sqlstring}), $model)`

// withGoals is ourRuns with what people asked for, which stands in `content` under the name that the run gives it.
const withGoals = `FROM
(
    SELECT * ` + ourRuns + `
) AS ours
LEFT JOIN
(
    SELECT project, family, name, toValidUTF8(substring(any(bytes), 1, 200)) AS text
    FROM content
    WHERE (project, family) IN (SELECT project, family FROM runs WHERE last >= $__fromTime) AND space = 'content' AND part = 0
        AND name IN (SELECT goal FROM runs WHERE last >= $__fromTime)
    GROUP BY project, family, name
) AS goals ON ours.project = goals.project AND ours.family = goals.family AND ours.goal = goals.name`

// happened counts entries of some kinds; one that arrived twice counts once.
func happened(kinds string) []Query {
	return split("time", "kind", perMinute("uniqExact(run, seq)")+" AS entries", from("entries", "time", "kind IN ("+kinds+")"))
}

// Runs shows what runs, what waits for a person, and what became of the rest.
func Runs() Dashboard {
	return Dashboard{
		UID: "tachograph-runs", Title: "Runs", Refresh: "10s", From: "now-6h",
		Description: "Agents that tacho runs, and those of others whose traces it receives. A click leads to the run.",
		Variables: []Variable{address, project,
			{Name: "model", Label: "Model", Description: "Of our own runs, as the spec names it", Query: "SELECT DISTINCT model FROM runs WHERE " + chosen("project")},
			service},
		Rows: []Row{
			{Height: 4, Panels: []Panel{
				tile("Running", "Our runs under way", "short", value("countIf(status = 'running') AS running", ourRuns)),
				alarmTile(1, "Wait for a person", "Calls that policy holds: `tacho approve`, or the page of the run", "short", value("sum(held) AS held", ourRuns)),
				tile("Paused", "Our runs that somebody, or a budget, has paused", "short", value("countIf(status = 'paused') AS paused", ourRuns)),
				tile("Done", "Our runs that ended well in this time", "short", value("countIf(why = 'done' AND status = 'ended') AS done", ourRuns)),
				alarmTile(1, "Failed", "Our runs that ended in failure", "short", value("countIf(why = 'failed' AND status = 'ended') AS failed", ourRuns)),
				tile("Traces of others", "Traces of agents that tacho does not run", "short",
					value("uniqExact(trace_id) AS traces", spansOf("")+" AND source = 'otlp'")),
			}},
			{Height: 8, Panels: []Panel{
				{Title: "Steps and calls", Description: "Model answers and ended tool calls a minute, from the journals of our runs", Kind: Lines, Width: 8, Unit: "opm",
					Queries: happened("'model.answered', 'call.ended'")},
				{Title: "Runs", Description: "Started and ended a minute, from their journals", Kind: Lines, Width: 8, Unit: "opm",
					Queries: happened("'run.started', 'run.ended'")},
				{Title: "Interventions", Description: "A minute: pauses, rollbacks, recoveries after a crash, alarms, stops", Kind: Lines, Width: 8, Unit: "opm",
					Queries: happened("'paused', 'resumed', 'stopped', 'rolledback', 'recovered', 'alarm.raised'")},
			}},
			{Height: 10, Panels: []Panel{
				{Title: "Our runs", Description: "The newest 200. Budget: the largest share of a limit that is used up", Kind: Table, Width: gridWidth, Unit: "short",
					Fields: []Field{run("run"), {Column: "goal", Width: 320}, {Column: "usd", Unit: "currencyUSD"}, {Column: "active", Unit: "µs"}, {Column: "budget", Unit: "percentunit", Gauge: true}},
					Queries: rows(`toString(ours.run) AS run, goals.text AS goal, status, why, model, started, active_us AS active, agents, steps, calls, held,
    input_tokens + output_tokens AS tokens, if(unpriced > 0, NULL, cost_nusd / 1e9) AS usd,
    greatest(if(limit_steps > 0, steps / limit_steps, 0), if(limit_tokens > 0, tokens / limit_tokens, 0),
        if(limit_cost_nusd > 0, cost_nusd / limit_cost_nusd, 0), if(limit_seconds > 0, active_us / 1e6 / limit_seconds, 0)) AS budget`,
						withGoals, "ORDER BY started DESC LIMIT 200")},
			}},
			{Height: 10, Panels: []Panel{
				{Title: "Runs of others", Description: "The newest 200 traces. They have no journal: nothing can be rebuilt or proven of them", Kind: Table, Width: gridWidth, Unit: "short",
					Fields: []Field{run("run"), {Column: "took", Unit: "ns"}},
					Queries: rows(`toString(trace_id) AS run, any(service) AS service_name, argMin(name, (parent_span_id != 0, start)) AS first_span, min(start) AS began,
    max(toUnixTimestamp64Nano(start) + toInt64(duration_ns)) - toUnixTimestamp64Nano(min(start)) AS took, count() AS spans,
    countIf(operation IN (`+modelCalls+`)) AS model_calls, countIf(operation IN (`+toolCalls+`)) AS tool_calls, countIf(status_code = 2) AS errors`,
						spansOf("")+" AND source = 'otlp'", "GROUP BY trace_id ORDER BY began DESC LIMIT 200")},
			}},
		},
	}
}
