-- The chain of a run from a seq on: every entry once, without its line.
SELECT seq, epoch, hash, prev
FROM entries
WHERE project = {project:String} AND run = {run:UUID} AND seq >= {from:Int64}
ORDER BY seq, epoch, hash
LIMIT 1 BY seq, epoch, hash
