-- Spans of one segment whose intent has no row in `intents`, a page, in the order of their keys. A tool call of
-- somebody else's agent that states none gets what was said last in its trace when it began.
SELECT trace_id, span_id, toUnixTimestamp64Nano(start), agent_path, tool, if(empty(own), 'derived', intent_source), if(empty(own), said, own) AS text
FROM
(
    SELECT trace_id, span_id, start, agent_path, tool, intent_source, intent_text AS own
    FROM spans
    WHERE project = {project:String} AND received = fromUnixTimestamp64Milli({received:Int64}, 'UTC') AND seg = {seg:UUID}
        AND (notEmpty(intent_text) OR operation = 'execute_tool' AND source = 'otlp')
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
                    WHERE project = {project:String} AND received = fromUnixTimestamp64Milli({received:Int64}, 'UTC') AND seg = {seg:UUID}
                )
        )
) AS mine
ASOF LEFT JOIN
(
    SELECT trace_id, start, intent_text AS said
    FROM spans
    WHERE project = {project:String} AND source = 'otlp' AND notEmpty(intent_text) AND trace_id IN
    (
        SELECT trace_id
        FROM spans
        WHERE project = {project:String} AND received = fromUnixTimestamp64Milli({received:Int64}, 'UTC') AND seg = {seg:UUID}
            AND empty(intent_text) AND operation = 'execute_tool' AND source = 'otlp'
    )
) AS talk ON mine.trace_id = talk.trace_id AND mine.start >= talk.start
WHERE notEmpty(text)
ORDER BY mine.trace_id, mine.span_id
LIMIT 1 BY mine.trace_id, mine.span_id
LIMIT {limit:UInt32}
