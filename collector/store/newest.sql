-- The entry of a run with the highest seq, and its epoch: the end of a range, however long the run.
SELECT seq, epoch
FROM entries
WHERE project = {project:String} AND run = {run:UUID}
ORDER BY seq DESC, epoch DESC
LIMIT 1
