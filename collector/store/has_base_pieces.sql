-- Names of objects of a base tree whose parts are all there.
SELECT name
FROM bases
WHERE project = {project:String} AND root = toFixedString(unhex({root:String}), 32)
    AND name IN (SELECT toFixedString(unhex(arrayJoin({names:Array(String)})), 32))
GROUP BY name
HAVING uniqExact(part) = max(parts)
