-- Whether a run has an entry after a seq: the end of its range of the primary key, which is empty but for what another process
-- has just brought.
SELECT toUInt8(1)
FROM entries
WHERE project = {project:String} AND run = {run:UUID} AND seq > {seq:Int64}
LIMIT 1
