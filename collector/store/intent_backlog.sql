-- Segments of any age with spans whose intent has no row in `intents`, one bucket of the traces at a time, which
-- bounds the set that the engine holds in memory. Vectors of another number of dimensions do not count.
SELECT seg, toUnixTimestamp64Milli(min(received)), toInt64(count())
FROM spans
WHERE project = {project:String} AND notEmpty(intent_text) AND cityHash64(trace_id) % {buckets:UInt32} = {bucket:UInt32}
    AND (trace_id, span_id) NOT IN
    (
        SELECT trace_id, span_id
        FROM intents
        WHERE project = {project:String} AND embedder = {embedder:String} AND cityHash64(trace_id) % {buckets:UInt32} = {bucket:UInt32}
            AND ({dimensions:UInt32} = 0 OR length(vector) IN (0, {dimensions:UInt32}))
    )
GROUP BY seg
