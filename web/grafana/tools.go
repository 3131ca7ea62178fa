package grafana

// waited is how long calls were held until somebody, or the clock, answered.
const waited = `FROM
(
    SELECT run, JSONExtractInt(line, 'body', 'call') AS call, kind, min(time) AS answered
    FROM entries
    WHERE $__conditionalAll(project IN (${project:sqlstring}), $project) AND $__timeFilter_ms(time)
        AND kind IN ('call.approved', 'call.refused', 'call.expired')
    GROUP BY run, seq, call, kind
) AS answers
ASOF INNER JOIN
(
    SELECT run, JSONExtractInt(line, 'body', 'call') AS call, time AS held
    FROM entries
    WHERE $__conditionalAll(project IN (${project:sqlstring}), $project) AND kind = 'call.held'
) AS holds ON answers.run = holds.run AND answers.call = holds.call AND answers.answered >= holds.held`

// Tools shows what agents do, what policy and people say to it, what fails and what is slow.
func Tools() Dashboard {
	calls := spansOf(toolCalls, "tool")
	return Dashboard{
		UID: "tachograph-tools", Title: "Tools and decisions", Refresh: "10s", From: "now-6h",
		Description: "Tool calls of all agents; what policy and people decided, of those that tacho runs.",
		Variables: []Variable{address, project, service,
			{Name: "tool", Label: "Tool", Description: "Name of the tool", Query: "SELECT DISTINCT tool FROM spans WHERE " + chosen("project", "service") + " AND operation IN (" + toolCalls + ")"}},
		Rows: []Row{
			{Height: 4, Panels: []Panel{
				tile("Calls", "Tool calls that ended", "short", value("count() AS calls", calls)),
				alarmTile(0.2, "Failed", "Share of them that ended in an error, the denied ones among them", "percentunit",
					value("countIf(status_code = 2) / greatest(count(), 1) AS failed", calls)),
				tile("Denied", "Calls that policy denied", "short", value("countIf(policy_decision = 'deny') AS denied", calls)),
				tile("Held", "Calls that policy put before a person", "short", value("countIf(policy_decision = 'hold') AS held", calls)),
				tile("p95", "Of how long a call takes, what it waited for a person left out", "ns",
					value("quantileIf(0.95)(duration_ns, policy_decision != 'hold') AS p95", calls)),
				tile("Files changed", "By calls of agents that tacho runs", "short", value("sumIf(delta_files, delta_files > 0) AS files", calls)),
			}},
			{Height: 8, Panels: []Panel{
				{Title: "Calls by tool", Description: "A minute", Kind: Lines, Width: 8, Unit: "opm", Stacked: true,
					Queries: split("start", "tool", perMinute("count()")+" AS calls", calls)},
				{Title: "Calls by decision", Description: "A minute. none: an agent of others, which no policy of ours was asked about", Kind: Lines, Width: 8, Unit: "opm", Stacked: true,
					Queries: split("start", "if(policy_decision = '', 'none', policy_decision)", perMinute("count()")+" AS calls", calls)},
				{Title: "Calls by effect and scope", Description: "A minute. What a call may do, and how far it reaches, as the sandbox enforced it", Kind: Lines, Width: 8, Unit: "opm", Stacked: true,
					Queries: split("start", "if(tool_effect = '', 'unknown', concat(tool_effect, ', ', tool_scope))", perMinute("count()")+" AS calls", calls)},
			}},
			{Height: 8, Panels: []Panel{
				{Title: "Slowest tools", Description: "p95 of a call, what waited for a person left out", Kind: Bars, Width: 8, Unit: "ns",
					Queries: rows("tool, quantile(0.95)(duration_ns) AS p95", calls+" AND policy_decision != 'hold'", "GROUP BY tool ORDER BY p95 DESC LIMIT 12")},
				{Title: "Answers of people", Description: "Held calls that were approved, refused, or expired unanswered", Kind: Bars, Width: 8, Unit: "short",
					Queries: rows("splitByChar('.', toString(kind))[2] AS answer, count() AS calls", waited, "GROUP BY answer ORDER BY calls DESC")},
				{Title: "How long people let a call wait", Description: "p50 and longest, by answer", Kind: Table, Width: 8, Unit: "ms",
					Queries: rows("splitByChar('.', toString(kind))[2] AS answer, quantile(0.5)(dateDiff('millisecond', held, answered)) AS p50, max(dateDiff('millisecond', held, answered)) AS longest",
						waited, "GROUP BY answer ORDER BY answer")},
			}},
			{Height: 9, Panels: []Panel{
				{Title: "Tools", Description: "Calls, how they ended, how long they took, and what they changed", Kind: Table, Width: 14, Unit: "short",
					Fields: []Field{{Column: "failed", Unit: "percentunit", Gauge: true}, {Column: "p50", Unit: "ns"}, {Column: "p95", Unit: "ns"}},
					Queries: rows("tool, count() AS calls, countIf(status_code = 2) / count() AS failed, countIf(policy_decision = 'deny') AS denied, quantile(0.5)(duration_ns) AS p50,\n"+
						"    quantile(0.95)(duration_ns) AS p95, sumIf(delta_files, delta_files > 0) AS files, sumIf(delta_added, delta_added > 0) AS lines_added, sumIf(delta_removed, delta_removed > 0) AS lines_removed",
						calls, "GROUP BY tool ORDER BY calls DESC LIMIT 100")},
				{Title: "How calls fail", Description: "By error.type and tool", Kind: Table, Width: 10, Unit: "short",
					Queries: rows("if(error_type = '', 'not said', error_type) AS failure, tool, count() AS calls, max(start) AS last_seen", calls+" AND status_code = 2",
						"GROUP BY failure, tool ORDER BY calls DESC LIMIT 100")},
			}},
			{Height: 10, Panels: []Panel{
				{Title: "Denied, held and failed calls", Description: "The newest 200, and why the agent wanted them. A click leads to the step", Kind: Table, Width: gridWidth, Unit: "short",
					Fields: []Field{runStep("run", "entry"), {Column: "took", Unit: "ns"}, {Column: "entry", Width: 80}},
					Queries: rows("toString(trace_id) AS run, entry_seq AS entry, start AS began, service, agent_path AS agent_of_run, tool, policy_decision AS decision, error_type AS failure, duration_ns AS took,\n"+
						"    substring(intent_text, 1, 200) AS intent", calls+" AND (status_code = 2 OR policy_decision IN ('deny', 'hold'))", "ORDER BY start DESC LIMIT 200")},
			}},
		},
	}
}
