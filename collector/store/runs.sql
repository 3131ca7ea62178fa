-- The list of our own runs, newest first: the newest row of each. One run alone is the list from it to it.
SELECT run, family, parent, parent_seq, status, why, goal, model, toUnixTimestamp64Nano(started), toUnixTimestamp64Nano(last), entries, tip,
    agents, held, steps, calls, input_tokens, cached_tokens, output_tokens, reasoning_tokens, estimated, cost_nusd, unpriced, active_us,
    limit_steps, limit_tokens, limit_cost_nusd, limit_seconds
FROM
(
    SELECT *
    FROM runs
    WHERE project = {project:String} AND run BETWEEN {first:UUID} AND {last:UUID}
    ORDER BY run, version DESC
    LIMIT 1 BY run
)
WHERE {before:Int64} = 0 OR (toUnixTimestamp64Nano(started), run) < ({before:Int64}, {before_run:UUID})
ORDER BY started DESC, run DESC
LIMIT {limit:UInt32}
