-- The list of other people's agents, a trace a row, newest first: from the projection `trace_list`. A trace of one
-- of our runs is no row here, since its spans are of source tacho. One trace alone is the list from it to it.
-- A trace is over when a root has ended, or when nothing was heard of it for long: some roots never arrive.
-- One level, and aggregates as the projection has them: nearly all that this costs is its planning, and each
-- subquery, each formatted number and each further aggregate adds to that.
SELECT trace_id, count(), toUnixTimestamp64Nano(min(start)) AS s, max(toUnixTimestamp64Nano(start) + toInt64(duration_ns)), toUnixTimestamp64Milli(max(received)) AS r,
    (min(tuple(parent_span_id != 0, start, service, name, status_code)) AS told).3, told.4, told.1 = 0 AS has_root,
    multiIf(has_root AND told.5 = 2, 'failed', has_root OR r < {recent:Int64}, 'done', 'running') AS status,
    max(conversation_id), max(request_model) AS model,
    countIf(status_code = 2),
    countIf(operation IN ('chat', 'generate_content', 'text_completion')),
    countIf(operation = 'execute_tool'),
    countIf(operation IN ('invoke_agent', 'create_agent')),
    sumIf(input_tokens, operation IN ('chat', 'generate_content', 'text_completion', 'embeddings') AND input_tokens > 0),
    sumIf(output_tokens, operation IN ('chat', 'generate_content', 'text_completion', 'embeddings') AND output_tokens > 0),
    sumIf(cached_tokens, operation IN ('chat', 'generate_content', 'text_completion', 'embeddings') AND cached_tokens > 0),
    sumIf(cost_nusd, operation IN ('chat', 'generate_content', 'text_completion', 'embeddings') AND cost_nusd > 0),
    countIf(operation IN ('chat', 'generate_content', 'text_completion', 'embeddings') AND cost_nusd < 0)
FROM spans
WHERE project = {project:String} AND source = 'otlp' AND trace_id BETWEEN {first:UUID} AND {last:UUID}
GROUP BY project, source, trace_id
HAVING ({before:Int64} = 0 OR (s, trace_id) < ({before:Int64}, {before_run:UUID}))
    AND (empty({status:Array(String)}) OR has({status:Array(String)}, lower(hex(status))))
    AND (empty({words:Array(String)}) OR arrayAll(word -> position(lowerUTF8(concat(told.4, '\0', model, '\0', told.3, '\0', toString(trace_id), '\0',
        replaceAll(toString(trace_id), '-', ''))), unhex(word)) > 0, {words:Array(String)}))
ORDER BY s DESC, trace_id DESC
LIMIT {limit:UInt32}
