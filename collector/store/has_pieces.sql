-- Names whose parts are all there. See pieces.sql.
SELECT name
FROM content
WHERE project = {project:String} AND family = {family:UUID} AND seq <= {last:Int64} AND space = {space:String}
    AND name IN (SELECT toFixedString(unhex(arrayJoin({names:Array(String)})), 32))
GROUP BY name
HAVING uniqExact(part) = max(parts)
