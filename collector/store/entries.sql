-- Lines of a run, in order, up to the newest entry of the highest epoch: what comes after that does not count. One range of the primary key; entries that came twice once.
SELECT seq, hash, line
FROM entries
WHERE project = {project:String} AND run = {run:UUID} AND seq >= {from:Int64}
    AND seq <= least({to:Int64}, (
        SELECT seq FROM entries WHERE project = {project:String} AND run = {run:UUID} ORDER BY epoch DESC, seq DESC LIMIT 1
    ))
ORDER BY seq, epoch, hash
LIMIT 1 BY seq, epoch, hash
