-- The intents nearest to a vector, by brute force: each span once, however many rows it has. The inner
-- question reads vectors and keys; texts only of those that are shown. Of two rows the one that knows its goal is taken.
SELECT trace_id, span_id, toUnixTimestamp64Nano(time), agent_path, tool, source, text, distance,
    cosineDistance(vector, {vector:Array(Float32)}) AS away
FROM intents
WHERE project = {project:String} AND embedder = {embedder:String} AND length(vector) = {dimensions:UInt32}
    AND (trace_id, span_id) IN
    (
        SELECT trace_id, span_id
        FROM intents
        WHERE project = {project:String} AND embedder = {embedder:String} AND length(vector) = {dimensions:UInt32}
            AND toUnixTimestamp64Nano(time) >= {from:Int64} AND toUnixTimestamp64Nano(time) < {to:Int64}
        GROUP BY trace_id, span_id
        ORDER BY min(cosineDistance(vector, {vector:Array(Float32)})), trace_id, span_id
        LIMIT {limit:UInt32}
    )
ORDER BY away, trace_id, span_id, distance DESC
LIMIT 1 BY trace_id, span_id
