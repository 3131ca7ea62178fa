-- What was said for some spans of somebody else's trace, where it arrived as log records: those since the model spoke last, and
-- what it spoke (its newest message: results of tools do not say whose they are). SDKs repeat the whole conversation for
-- each span, so that reading all would be quadratic. Many are sent at one time: observed, and then the order in which they
-- lie, which is that in which they came, tell them apart. Whoever asks bounds how many records the spans have.
SELECT span_id, toUnixTimestamp64Nano(time), event, body, body_type, mapKeys(attributes), mapValues(attributes), attribute_types,
    cut.place, cut.key, cut.size, cut.body, seg, since
FROM
(
    SELECT *, countIf(spoken = 0) OVER (PARTITION BY span_id) AS since
    FROM
    (
        SELECT *, _part AS part, _part_offset AS at,
            countIf(event = {spoke:String}) OVER (PARTITION BY span_id ORDER BY time DESC, observed DESC, part DESC, at DESC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS spoken
        FROM logs
        WHERE project = {project:String} AND trace_id = {trace:UUID} AND span_id IN {spans:Array(UInt64)} AND event IN {events:Array(String)}
    )
    WHERE spoken = 0 OR spoken = 1 AND event = {spoke:String}
)
ORDER BY span_id, time DESC, observed DESC, part DESC, at DESC
LIMIT {limit:UInt32} BY span_id
