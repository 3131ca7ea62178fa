-- The locks of migrations but one's own, and whether each has expired by the server's clock.
SELECT name, toUInt8(ifNull(toInt64OrNull(comment), 0) < toUnixTimestamp64Milli(now64(3))) AS expired
FROM system.tables
WHERE database = currentDatabase() AND startsWith(name, {prefix:String}) AND name != {own:String}
ORDER BY name
