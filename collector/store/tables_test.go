package store_test

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"testing"

	"tachograph/collector/store"
	"tachograph/collector/store/embedded/embeddedtest"
	"tachograph/schemas/tables"
)

// rowTypes are the structs of schemas/tables by their tables.
func rowTypes() map[string]any {
	return map[string]any{"spans": tables.Span{}, "open_spans": tables.OpenSpan{}, "entries": tables.Entry{}, "content": tables.Content{}, "bases": tables.Base{},
		"families": tables.Family{}, "heads": tables.Head{}, "checkpoints": tables.Checkpoint{}, "runs": tables.Run{}, "logs": tables.Log{}, "metrics": tables.Metric{},
		"intents": tables.Intent{}, "profiles": tables.Profile{}, "scores": tables.Score{}}
}

// goTypes are the types of columns that a type of Go stands for.
func goTypes() map[string][]string {
	return map[string][]string{
		"string": {"String", "LowCardinality(String)"}, "[]uint8": {"String"}, "[16]uint8": {"UUID"}, "[32]uint8": {"FixedString(32)"},
		"int64": {"Int64", "DateTime64(9, 'UTC')"}, "uint64": {"UInt64"}, "uint32": {"UInt32"}, "int32": {"Int32"}, "uint8": {"UInt8"}, "float64": {"Float64"}, "float32": {"Float32"},
		"[]string": {"Array(LowCardinality(String))"}, "[]float64": {"Array(Float64)"}, "[]uint64": {"Array(UInt64)"}, "[]float32": {"Array(Float32)"},
		"[]tables.Attr": {"Map(LowCardinality(String), String)"},
	}
}

// TestRowsAreTables compares each struct with its table, on the real engine: names, order and types.
func TestRowsAreTables(t *testing.T) {
	t.Parallel()
	dsn := embeddedtest.Database(t)
	open(t, dsn, store.Options{})
	conn := embeddedtest.Connect(t, dsn)
	seen := []string{"life", "migrations"}
	for table, row := range rowTypes() {
		seen = append(seen, table)
		got := columnsOf(t, dsn, table)
		var want [][2]string
		for f := range reflect.TypeOf(row).Fields() {
			want = append(want, expand(f.Tag.Get("ch"), f.Type.String())...)
		}
		if table != "runs" {
			want = append(want, [2]string{"seg", "UUID"})
		}
		want = append(want, [2]string{"received", "DateTime64(3, 'UTC')"})
		if len(got) != len(want) {
			t.Errorf("%s has %d columns, its struct %d", table, len(got), len(want))
			continue
		}
		for i, w := range want {
			if got[i][0] != w[0] || !slices.Contains(goTypes()[w[1]], got[i][1]) && got[i][1] != w[1] {
				t.Errorf("%s: column %d is %s %s, the struct says %s %s", table, i, got[i][0], got[i][1], w[0], w[1])
			}
		}
	}
	rows, err := conn.Query(t.Context(), "SELECT name FROM system.tables WHERE database = currentDatabase()")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(seen, name) {
			t.Errorf("table %s has no struct", name)
		}
	}
}

// expand gives the columns that a field stands for.
func expand(name, typ string) [][2]string {
	const words, pairs = "Array(LowCardinality(String))", "Array(Map(LowCardinality(String), String))"
	switch typ {
	case "[]tables.Attr":
		return [][2]string{{name, typ}, {"attribute_types", "LowCardinality(String)"}}
	case "[]tables.Event":
		return [][2]string{{"events.time", "Array(DateTime64(9, 'UTC'))"}, {"events.name", words}, {"events.attributes", pairs}, {"events.types", words}, {"events.dropped", "Array(UInt32)"}}
	case "[]tables.Link":
		return [][2]string{{"links.trace_id", "Array(UUID)"}, {"links.span_id", "Array(UInt64)"}, {"links.state", "Array(String)"}, {"links.flags", "Array(UInt32)"},
			{"links.attributes", pairs}, {"links.types", words}, {"links.dropped", "Array(UInt32)"}}
	case "[]tables.Cut":
		return [][2]string{{"cut.place", words}, {"cut.key", words}, {"cut.size", "Array(UInt64)"}, {"cut.body", "Array(FixedString(32))"}}
	}
	return [][2]string{{name, typ}}
}

func columnsOf(t *testing.T, dsn, table string) (found [][2]string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	rows, err := embeddedtest.Connect(t, dsn).Query(ctx, "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = ? AND default_kind = '' ORDER BY position", table)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var c [2]string
		if err := rows.Scan(&c[0], &c[1]); err != nil {
			t.Fatal(err)
		}
		found = append(found, c)
	}
	return found
}

// TestEveryTableSaysWhy holds that each table has a comment above it.
func TestEveryTableSaysWhy(t *testing.T) {
	t.Parallel()
	all, err := tables.Migrations()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		for _, s := range m.Statements {
			if at := strings.Index(s, "CREATE TABLE"); at > 0 && !strings.Contains(s[:at], "-- ") || at == 0 {
				t.Errorf("%s: no comment before %.60q", m.Name, s)
			}
		}
	}
}
