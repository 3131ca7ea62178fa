-- Which runs have an entry at a place: a point of the primary key each.
SELECT run
FROM entries
WHERE project = {project:String} AND (run, seq) IN ({places:Array(Tuple(UUID, Int64))})
GROUP BY run
