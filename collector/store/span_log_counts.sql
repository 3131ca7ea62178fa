-- How many log records of a conversation some spans of a trace have: two light columns of its range.
SELECT span_id, toInt64(count())
FROM logs
WHERE project = {project:String} AND trace_id = {trace:UUID} AND span_id IN {spans:Array(UInt64)} AND event IN {events:Array(String)}
GROUP BY span_id
