-- Spans of one segment whose intent has no row in `intents`, a page, in the order of their keys.
SELECT trace_id, span_id, toUnixTimestamp64Nano(start), agent_path, tool, intent_source, intent_text
FROM spans
WHERE project = {project:String} AND received = fromUnixTimestamp64Milli({received:Int64}, 'UTC') AND seg = {seg:UUID} AND notEmpty(intent_text)
    AND (trace_id, span_id) > ({after_trace:UUID}, {after_span:UInt64})
    AND (trace_id, span_id) NOT IN
    (
        SELECT trace_id, span_id
        FROM intents
        WHERE project = {project:String} AND embedder = {embedder:String} AND ({dimensions:UInt32} = 0 OR length(vector) IN (0, {dimensions:UInt32}))
            AND trace_id IN
            (
                SELECT trace_id
                FROM spans
                WHERE project = {project:String} AND received = fromUnixTimestamp64Milli({received:Int64}, 'UTC') AND seg = {seg:UUID} AND notEmpty(intent_text)
            )
    )
ORDER BY trace_id, span_id
LIMIT 1 BY trace_id, span_id
LIMIT {limit:UInt32}
