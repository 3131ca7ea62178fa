-- Lines of a run, in order: one range of the primary key; entries that came twice once. What comes after the newest entry of
-- the highest epoch does not count: whoever asks knows that entry (newest.sql) and asks no further.
SELECT seq, hash, line
FROM entries
WHERE project = {project:String} AND run = {run:UUID} AND seq >= {from:Int64} AND seq <= {to:Int64}
ORDER BY seq, epoch, hash
LIMIT 1 BY seq, epoch, hash
