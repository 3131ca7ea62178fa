-- How far some runs reach, and in which epoch.
SELECT run, max(seq), max(epoch)
FROM entries
WHERE project = {project:String} AND run IN ({runs:Array(UUID)})
GROUP BY run
