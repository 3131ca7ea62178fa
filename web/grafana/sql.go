package grafana

import "strings"

// Variables that several dashboards have.
var (
	address = Variable{Name: "tacho", Label: "tacho", Description: "Where links to runs lead: the address that `tacho up` prints", Value: "http://127.0.0.1:7080"}
	project = Variable{Name: "project", Label: "Project", Description: "TACHO_PROJECT of who ran or received it",
		Query: "SELECT project FROM spans UNION DISTINCT SELECT project FROM runs UNION DISTINCT SELECT project FROM metrics"}
	service = Variable{Name: "service", Label: "Service", Description: "service.name of who sent it; tacho: our own runs",
		Query: "SELECT DISTINCT service FROM spans WHERE " + chosen("project")}
)

// run and runStep are cells that lead to our own page about a run, the latter to one step of it.
func run(column string) Field {
	return Field{Column: column, Width: 300, Link: Link{"Open the run", "${tacho:raw}/runs/${__value.raw}"}}
}

func runStep(column, seq string) Field {
	return Field{Column: column, Width: 300, Link: Link{"Open this step", "${tacho:raw}/runs/${__value.raw}/transcript?seq=${__data.fields." + seq + "}"}}
}

// chosen narrows a query to the chosen values of variables that are named as their columns. Where all are chosen, nothing
// is narrowed: not even to the values that were there when the page was loaded.
func chosen(columns ...string) string {
	conditions := make([]string, len(columns))
	for i, c := range columns {
		conditions[i] = "$__conditionalAll(" + c + " IN (${" + c + ":sqlstring}), $" + c + ")"
	}
	return strings.Join(conditions, " AND ")
}

// from is a query's table and condition, within the time that is shown.
func from(table, column, condition string, variables ...string) string {
	sql := "FROM " + table + "\nWHERE " + chosen(append([]string{"project"}, variables...)...) + " AND $__timeFilter_ms(" + column + ")"
	if condition != "" {
		sql += "\n  AND " + condition
	}
	return sql
}

// spansOf are spans of some operations.
func spansOf(operations string, variables ...string) string {
	condition := ""
	if operations != "" {
		condition = "operation IN (" + operations + ")"
	}
	return from("spans", "start", condition, append([]string{"service"}, variables...)...)
}

// Operations of spans, as schemas/attr has them; other people's may be older.
const (
	modelCalls = "'chat', 'generate_content', 'text_completion', 'embeddings'"
	toolCalls  = "'execute_tool'"
)

// perMinute makes a count of a bucket one that does not depend on how far one zooms in.
func perMinute(count string) string { return count + " * 60 / $__interval_s" }

// value is a query with one row, rows one with several.
func value(column, source string) []Query { return []Query{{SQL: "SELECT " + column + "\n" + source}} }

func rows(columns, source, end string) []Query {
	return []Query{{SQL: "SELECT " + columns + "\n" + source + "\n" + end}}
}

// overTime is a query whose first column is time; each number is a series.
func overTime(column, numbers, source string) []Query {
	return []Query{{Series: true, SQL: "SELECT $__timeInterval(" + column + ") AS bucket, " + numbers + "\n" + source + "\nGROUP BY bucket ORDER BY bucket"}}
}

// split is overTime where each text of a label is a series, of one number.
func split(column, label, number, source string) []Query {
	return []Query{{Series: true, Split: true,
		SQL: "SELECT $__timeInterval(" + column + ") AS bucket, " + label + " AS label, " + number + "\n" + source + "\nGROUP BY bucket, label ORDER BY bucket, label"}}
}

// tile is one number of a row of six.
func tile(title, description, unit string, queries []Query) Panel {
	return Panel{Title: title, Description: description, Kind: Stat, Width: gridWidth / 6, Unit: unit, Queries: queries}
}

// alarmTile is red from a value on.
func alarmTile(alarm float64, title, description, unit string, queries []Query) Panel {
	p := tile(title, description, unit, queries)
	p.Alarm = alarm
	return p
}
