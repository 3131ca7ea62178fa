-- Segments that came since a time and brought spans with an intent, or tool calls of other people's agents, which may be
-- given one; oldest first. Parts are left out by the range of `received` that each keeps, as it is what they are
-- partitioned by.
SELECT seg, toUnixTimestamp64Milli(min(received)), toInt64(count())
FROM spans
WHERE project = {project:String} AND received >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')
    AND (notEmpty(intent_text) OR operation = 'execute_tool' AND source = 'otlp')
GROUP BY seg
ORDER BY 2, 1
