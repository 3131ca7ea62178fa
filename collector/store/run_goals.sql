-- The names of what people asked for, of some runs of ours.
SELECT run, family, goal
FROM runs
WHERE project = {project:String} AND run IN ({traces:Array(UUID)})
ORDER BY run, version DESC
LIMIT 1 BY run
