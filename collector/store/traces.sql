-- The list of other people's agents, a trace a row, newest first: from the projection `traces_by_root`. A trace of one
-- of our runs is no row here, since its spans are of source tacho. One trace alone is the list from it to it.
-- A trace is over when a root has ended, or when nothing was heard of it for long: some roots never arrive.
SELECT trace_id, n, s, e, r, told.2 AS service, told.3 AS name, roots > 0 AS has_root, status,
    conversation, model, errors, answers, calls, agents, input, output, cached, cost, unpriced
FROM
(
    SELECT *,
        if(roots > 0, root, oldest) AS told,
        multiIf(roots > 0 AND root.4 = 2, 'failed', roots > 0 OR r < {recent:Int64}, 'done', 'running') AS status,
        lowerUTF8(concat(told.3, '\0', model, '\0', told.2, '\0', toString(trace_id), '\0', replaceAll(toString(trace_id), '-', ''))) AS text
    FROM
    (
        SELECT trace_id,
            toInt64(count()) AS n, toUnixTimestamp64Nano(min(start)) AS s, max(toUnixTimestamp64Nano(start) + toInt64(duration_ns)) AS e,
            toUnixTimestamp64Milli(max(received)) AS r,
            countIf(parent_span_id = 0) AS roots,
            minIf(tuple(start, service, name, status_code), parent_span_id = 0) AS root, min(tuple(start, service, name, status_code)) AS oldest,
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
        WHERE project = {project:String} AND source = 'otlp' AND trace_id BETWEEN {first:UUID} AND {last:UUID}
        GROUP BY project, source, trace_id
    )
)
WHERE ({before:Int64} = 0 OR (s, trace_id) < ({before:Int64}, {before_run:UUID}))
    AND (empty({status:Array(String)}) OR has({status:Array(String)}, lower(hex(status))))
    AND arrayAll(word -> position(text, unhex(word)) > 0, {words:Array(String)})
ORDER BY s DESC, trace_id DESC
LIMIT {limit:UInt32}
