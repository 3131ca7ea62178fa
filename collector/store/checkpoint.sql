SELECT seq, record
FROM checkpoints
WHERE project = {project:String} AND run = {run:UUID} AND seq <= {seq:Int64}
ORDER BY seq DESC, hash
LIMIT 1
