-- How far a run has come: its seqs, its distinct entries, the greatest seq, and the newest entry of the highest epoch.
-- If there are more entries than seqs, or the greatest seq is not of the highest epoch, a worker went on after it
-- had lost its lease: readers must look which entries count.
SELECT
    toInt64(uniqExact(seq)),
    toInt64(uniqExact(seq, hash)),
    max(seq),
    argMax(seq, (epoch, seq)),
    argMax(hash, (epoch, seq))
FROM entries
WHERE project = {project:String} AND run = {run:UUID}
