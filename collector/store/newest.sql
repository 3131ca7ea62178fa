-- The end of a run: its newest entry of the highest epoch. The entry with the highest seq is the end of a
-- range, however long the run; an entry of an epoch above that one's there is nearly never, and the index `epochs` tells
-- that without reading the run.
SELECT seq
FROM
(
    SELECT seq, epoch
    FROM entries
    WHERE project = {project:String} AND run = {run:UUID}
    ORDER BY seq DESC, epoch DESC
    LIMIT 1
    UNION ALL
    SELECT seq, epoch
    FROM entries
    WHERE project = {project:String} AND run = {run:UUID} AND epoch >
    (
        SELECT epoch
        FROM entries
        WHERE project = {project:String} AND run = {run:UUID}
        ORDER BY seq DESC, epoch DESC
        LIMIT 1
    )
    ORDER BY epoch DESC, seq DESC
    LIMIT 1
)
ORDER BY epoch DESC, seq DESC
LIMIT 1
