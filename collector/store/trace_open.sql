-- Spans of somebody else's trace that have begun and not ended, as far as their sender says so (open_spans).
SELECT span_id, parent_span_id, toUnixTimestamp64Nano(start), toUnixTimestamp64Nano(alive), name, kind, service, operation, agent_path, tool
FROM open_spans
WHERE project = {project:String} AND trace_id = {trace:UUID}
    AND span_id NOT IN (SELECT span_id FROM spans WHERE project = {project:String} AND trace_id = {trace:UUID})
ORDER BY span_id, alive DESC
LIMIT 1 BY span_id
LIMIT {limit:UInt32}
