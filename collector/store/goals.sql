-- What people asked for, of a list of runs: the first part, as far as a list shows it.
SELECT family, name, substring(bytes, 1, {size:UInt32})
FROM content
WHERE project = {project:String} AND family IN ({families:Array(UUID)}) AND space = 'content' AND part = 0
    AND name IN (SELECT toFixedString(unhex(arrayJoin({names:Array(String)})), 32))
LIMIT 1 BY family, name
