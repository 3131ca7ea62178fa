-- Parts of pieces by name: the index by_name leaves few granules of the family's range. Of chunks of checkpoints (last = 0)
-- the primary key does, whatever the family has besides.
SELECT name, part, parts, bytes
FROM content
WHERE project = {project:String} AND family = {family:UUID} AND seq <= {last:Int64} AND space = {space:String}
    AND name IN (SELECT toFixedString(unhex(arrayJoin({names:Array(String)})), 32))
ORDER BY name, part
LIMIT 1 BY name, part
