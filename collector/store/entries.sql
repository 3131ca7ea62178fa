-- Lines of a run, in order. One range of the primary key; entries that came twice once.
SELECT seq, hash, line
FROM entries
WHERE project = {project:String} AND run = {run:UUID} AND seq BETWEEN {from:Int64} AND {to:Int64}
ORDER BY seq, epoch, hash
LIMIT 1 BY seq, epoch, hash
