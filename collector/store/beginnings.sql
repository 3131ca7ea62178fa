-- The beginnings of long values of attributes.
SELECT family, name, substring(bytes, 1, {size:UInt32})
FROM content
WHERE project = {project:String} AND family IN ({families:Array(UUID)}) AND space = 'attribute' AND part = 0
    AND name IN (SELECT toFixedString(unhex(arrayJoin({names:Array(String)})), 32))
LIMIT 1 BY family, name
