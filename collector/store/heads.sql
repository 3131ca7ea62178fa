SELECT head
FROM heads
WHERE project = {project:String} AND run = {run:UUID}
ORDER BY size, hash
LIMIT 1 BY size, hash
