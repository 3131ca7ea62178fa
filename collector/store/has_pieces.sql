-- Names whose parts are all there.
SELECT name
FROM content
WHERE project = {project:String} AND family = {family:UUID} AND space = {space:String}
    AND name IN (SELECT toFixedString(unhex(arrayJoin({names:Array(String)})), 32))
GROUP BY name
HAVING uniqExact(part) = max(parts)
