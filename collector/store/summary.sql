-- What a summary needs of all entries of a run: bodies of a few kinds only.
SELECT seq, epoch, hash, prev, toUnixTimestamp64Nano(time), kind, if(has({kinds:Array(String)}, kind), line, '')
FROM entries
WHERE project = {project:String} AND run = {run:UUID}
ORDER BY seq, epoch, hash
LIMIT 1 BY seq, epoch, hash
