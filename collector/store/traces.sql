-- The list of other people's agents, a trace a row, newest first: from the projection `traces`. A trace of one
-- of our runs is no row here, since its spans are of source tacho.
SELECT trace_id, n, s, e, r,
    if(has_root, root, oldest).2 AS service, if(has_root, root, oldest).3 AS name, has_root,
    conversation, model, errors, answers, calls, agents, input, output, cached, cost, unpriced
FROM
(
    SELECT trace_id,
        toInt64(count()) AS n, toUnixTimestamp64Nano(min(start)) AS s, max(toUnixTimestamp64Nano(start) + toInt64(duration_ns)) AS e,
        toUnixTimestamp64Milli(max(received)) AS r,
        minIf(tuple(start, service, name), parent_span_id = 0) AS root, min(tuple(start, service, name)) AS oldest,
        root.3 != '' OR root.2 != '' AS has_root,
        max(conversation_id) AS conversation, max(request_model) AS model,
        toInt64(countIf(status_code = 2)) AS errors,
        toInt64(countIf(operation IN ('chat', 'generate_content', 'text_completion'))) AS answers,
        toInt64(countIf(operation = 'execute_tool')) AS calls,
        toInt64(countIf(operation IN ('invoke_agent', 'create_agent'))) AS agents,
        sumIf(input_tokens, operation IN ('chat', 'generate_content', 'text_completion', 'embeddings') AND input_tokens > 0) AS input,
        sumIf(output_tokens, operation IN ('chat', 'generate_content', 'text_completion', 'embeddings') AND output_tokens > 0) AS output,
        sumIf(cached_tokens, operation IN ('chat', 'generate_content', 'text_completion', 'embeddings') AND cached_tokens > 0) AS cached,
        sumIf(cost_nusd, operation IN ('chat', 'generate_content', 'text_completion', 'embeddings') AND cost_nusd > 0) AS cost,
        toInt64(countIf(operation IN ('chat', 'generate_content', 'text_completion', 'embeddings') AND cost_nusd < 0)) AS unpriced
    FROM spans
    WHERE project = {project:String} AND source = 'otlp'
    GROUP BY project, source, trace_id
)
WHERE {before:Int64} = 0 OR (s, trace_id) < ({before:Int64}, {before_run:UUID})
ORDER BY s DESC, trace_id DESC
LIMIT {limit:UInt32}
