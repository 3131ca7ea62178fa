-- Segments of any age with spans whose intent has no row in `intents`, or tool calls of other people's agents without one, one
-- bucket of the traces at a time, which bounds the sets that the engine holds in memory. Vectors of another number of
-- dimensions do not count. Calls in traces where nobody says anything are no work.
SELECT seg, toUnixTimestamp64Milli(min(received)), toInt64(count())
FROM spans
WHERE project = {project:String} AND cityHash64(trace_id) % {buckets:UInt32} = {bucket:UInt32}
    AND (notEmpty(intent_text) OR operation = 'execute_tool' AND source = 'otlp' AND trace_id IN
    (
        SELECT trace_id
        FROM spans
        WHERE project = {project:String} AND source = 'otlp' AND notEmpty(intent_text) AND cityHash64(trace_id) % {buckets:UInt32} = {bucket:UInt32}
    ))
    AND (trace_id, span_id) NOT IN
    (
        SELECT trace_id, span_id
        FROM intents
        WHERE project = {project:String} AND embedder = {embedder:String} AND cityHash64(trace_id) % {buckets:UInt32} = {bucket:UInt32}
            AND ({dimensions:UInt32} = 0 OR length(vector) IN (0, {dimensions:UInt32}))
    )
GROUP BY seg
