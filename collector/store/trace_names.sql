-- The conversations of spans and log records of the trace that name a content: it is served only to a trace that names it,
-- and the conversation leads to the family in which it stands.
SELECT DISTINCT conversation
FROM
(
    SELECT conversation_id AS conversation
    FROM spans
    WHERE project = {project:String} AND trace_id = {trace:UUID} AND source = 'otlp' AND has(cut.body, toFixedString(unhex({name:String}), 32))
    UNION ALL
    SELECT attributes['gen_ai.conversation.id']
    FROM logs
    WHERE project = {project:String} AND trace_id = {trace:UUID} AND has(cut.body, toFixedString(unhex({name:String}), 32))
)
LIMIT 8
