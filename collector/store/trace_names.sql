-- The conversation of a span of the trace that names a content: it is served only to a trace that names it, and the conversation
-- leads to the family in which it stands.
SELECT conversation_id
FROM spans
WHERE project = {project:String} AND trace_id = {trace:UUID} AND source = 'otlp' AND has(cut.body, toFixedString(unhex({name:String}), 32))
LIMIT 1
