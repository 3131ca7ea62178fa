-- The messages that some traces began with: of each, those of the oldest span that has any; and where they were cut,
-- the name of the whole.
SELECT trace_id, argMin(conversation_id, key), argMin(attributes[{key:String}], key),
    argMin(arrayFirst((body, place, name) -> place = '' AND name = {key:String}, cut.body, cut.place, cut.key), key),
    argMin(arrayExists((place, name) -> place = '' AND name = {key:String}, cut.place, cut.key), key)
FROM (SELECT *, (start, span_id) AS key FROM spans WHERE project = {project:String} AND trace_id IN ({traces:Array(UUID)}))
WHERE mapContains(attributes, {key:String})
GROUP BY trace_id
