SELECT toInt64(uniqExact(seq))
FROM entries
WHERE project = {project:String} AND run = {run:UUID} AND seq < {before:Int64}
