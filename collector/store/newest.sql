-- The newest entry of a run that counts: of the highest epoch, the one with the highest seq. Two narrow columns are read.
SELECT seq
FROM entries
WHERE project = {project:String} AND run = {run:UUID}
ORDER BY epoch DESC, seq DESC
LIMIT 1
