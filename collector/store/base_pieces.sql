-- Parts of objects of a base tree: a range of the primary key each.
SELECT name, part, parts, bytes
FROM bases
WHERE project = {project:String} AND root = toFixedString(unhex({root:String}), 32)
    AND name IN (SELECT toFixedString(unhex(arrayJoin({names:Array(String)})), 32))
ORDER BY name, part
LIMIT 1 BY name, part
