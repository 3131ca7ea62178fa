-- Which conversation each trace of other people's agents belongs to: from the projection `trace_list`.
SELECT trace_id, conversation
FROM
(
    SELECT trace_id, max(conversation_id) AS conversation
    FROM spans
    WHERE project = {project:String} AND source = 'otlp'
    GROUP BY project, source, trace_id
)
WHERE conversation != ''
