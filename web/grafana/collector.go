package grafana

import "strings"

// own are the points of some of this process's own metrics (measure.go), as a list of quoted names.
func own(names ...string) string {
	return from("metrics", "time", "name IN ('"+strings.Join(names, "', '")+"')")
}

// grown is how much counters grew from point to point. Each process is a series of its own: it has its own start, and
// counts from 0 there. What a process had counted before the time that is shown is left out.
func grown(names ...string) string {
	return `FROM
(
    SELECT time, name, if(nth = 1, if(start >= $__fromTime, value, 0), value - before) AS more
    FROM
    (
        SELECT time, name, start, value, row_number() OVER points AS nth, lagInFrame(value) OVER points AS before
        ` + strings.ReplaceAll(own(names...), "\n", "\n        ") + `
        WINDOW points AS (PARTITION BY project, service, resource, name, start ORDER BY time ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
    )
)`
}

// last is the newest value of a gauge, of every process added up. A process that has not said a word for a minute
// is gone.
func last(name string) []Query {
	return value("sum(newest) AS value", `FROM
(
    SELECT argMax(value, time) AS newest, max(time) AS seen
    `+strings.ReplaceAll(own(name), "\n", "\n    ")+`
    GROUP BY project, service, resource, start
)
WHERE seen >= (SELECT max(time) - 60 `+own(name)+`)`)
}

// restarts are the starts of the embedded engine after the first one of a process. There is none where a server is used.
func restarts() string {
	return `FROM
(
    SELECT greatest(max(value) - 1, 0) AS restarts
    ` + strings.ReplaceAll(own("tacho.clickhouse.starts"), "\n", "\n    ") + `
    GROUP BY project, service, resource, start
)`
}

// short is the label of a metric: its name without what they all begin with.
const short = "replaceRegexpOne(name, '^tacho\\\\.(collector\\\\.)?', '')"

// Collector shows whether what is sent arrives, is stored, and how far it is behind.
func Collector() Dashboard {
	arrived := from("spans", "received", "", "service")
	rate := func(names ...string) []Query {
		return split("time", short, "sum(more) / $__interval_s AS rate", grown(names...))
	}
	counted := func(name string) []Query { return value("sum(more) AS count", grown(name)) }
	gauges := func(names ...string) []Query {
		return split("time", short, "max(value) AS newest", own(names...))
	}
	return Dashboard{
		UID: "tachograph-collector", Title: "Collector health", Refresh: "10s", From: "now-1h",
		Description: "What tacho says of itself: metrics that go through its own collector. They stand at its /metrics too.",
		Variables:   []Variable{project, service},
		Rows: []Row{
			{Height: 4, Panels: []Panel{
				alarmTile(0.8, "Spool", "Share of it that is used: acknowledged, not stored yet. Full, it refuses requests", "percentunit",
					value("argMaxIf(value, time, name = 'tacho.spool.used') / argMaxIf(value, time, name = 'tacho.spool.limit') AS used", own("tacho.spool.used", "tacho.spool.limit"))),
				alarmTile(1, "Refused", "Requests that were told to come again", "short", counted("tacho.collector.refused")),
				alarmTile(1, "Failed inserts", "Attempts; each is made again", "short", counted("tacho.collector.insert_failures")),
				alarmTile(1, "Damaged segments", "Kept aside in the spool for a person to look at", "short", last("tacho.spool.damaged")),
				alarmTile(1, "Restarts of ClickHouse", "Of the embedded one: it died, and was started again", "short", value("sum(restarts) AS count", restarts())),
				alarmTile(10_000, "Not shipped yet", "Entries of runs under way", "short", last("tacho.ship.lag")),
			}},
			{Height: 8, Panels: []Panel{
				{Title: "Records", Description: "Spans, log records and data points a second: acknowledged; of them known from before; refused for good", Kind: Lines, Width: 8, Unit: "cps",
					Queries: rate("tacho.collector.accepted", "tacho.collector.known", "tacho.collector.rejected")},
				{Title: "Rows", Description: "Stored in ClickHouse a second", Kind: Lines, Width: 8, Unit: "wps", Queries: rate("tacho.collector.stored")},
				{Title: "Requests", Description: "Received a second; of them told to come again; and inserts that failed", Kind: Lines, Width: 8, Unit: "reqps",
					Queries: rate("tacho.collector.requests", "tacho.collector.refused", "tacho.collector.insert_failures")},
			}},
			{Height: 8, Panels: []Panel{
				{Title: "Spool and memory", Description: "Acknowledged and not stored yet; requests in memory; the spool's limit", Kind: Lines, Width: 8, Unit: "bytes",
					Queries: gauges("tacho.spool.used", "tacho.spool.limit", "tacho.collector.in_flight")},
				{Title: "From the end of a span until it is received", Description: "p50 and p95: exporters hold spans back to send them together; a clock that is wrong shows here too", Kind: Lines, Width: 8, Unit: "ms",
					Queries: overTime("received", "quantile(0.5)(late) AS p50, quantile(0.95)(late) AS p95",
						"FROM\n(\n    SELECT received, toUnixTimestamp64Milli(received) - intDiv(toUnixTimestamp64Nano(start) + toInt64(duration_ns), 1000000) AS late\n    "+strings.ReplaceAll(arrived, "\n", "\n    ")+"\n)")},
				{Title: "Spans by service", Description: "Received a second", Kind: Lines, Width: 8, Unit: "cps", Stacked: true,
					Queries: split("received", "if(service = '', 'not said', service)", "count() / $__interval_s AS spans", arrived)},
			}},
			{Height: 8, Panels: []Panel{
				{Title: "Runs under way and what of them is not shipped", Description: "Runs in this process, and entries of theirs that have not reached the collector", Kind: Lines, Width: 12, Unit: "short",
					Queries: gauges("tacho.runs.live", "tacho.ship.lag")},
				{Title: "Tables", Description: "Rows and bytes on disk of this database's tables, and how many parts they are in: hundreds of parts mean that merges are behind", Kind: Table, Width: 12, Unit: "short",
					Fields: []Field{{Column: "on_disk", Unit: "bytes"}, {Column: "uncompressed", Unit: "bytes"}},
					Queries: rows("table, sum(rows) AS of_rows, sum(bytes_on_disk) AS on_disk, sum(data_uncompressed_bytes) AS uncompressed, count() AS parts",
						"FROM system.parts\nWHERE active AND database = currentDatabase()", "GROUP BY table ORDER BY on_disk DESC")},
			}},
		},
	}
}
