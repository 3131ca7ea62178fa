-- The newest entry of the highest epoch above one, if there is one: nearly never, and the index `epochs` tells that
-- without reading the run.
SELECT seq
FROM entries
WHERE project = {project:String} AND run = {run:UUID} AND epoch > {epoch:Int64}
ORDER BY epoch DESC, seq DESC
LIMIT 1
