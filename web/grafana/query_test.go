package grafana_test

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/uuid"

	"tachograph/collector/store"
	"tachograph/collector/store/embedded/embeddedtest"
	"tachograph/schemas/tables"
)

func TestMain(m *testing.M) { embeddedtest.Main(m) }

// Every query of every panel and variable runs on the real engine, as Grafana's own user, and finds the
// sample.
func TestQueries(t *testing.T) {
	t.Parallel()
	engine := embeddedtest.Open(t)
	now := time.Now()
	insertSample(t, engine.DSN(), now)
	options, err := clickhouse.ParseDSN(engine.GrafanaDSN())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := clickhouse.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ask := func(name, sql string) {
		t.Helper()
		sql = expand(t, sql, now)
		rows, err := conn.Query(t.Context(), sql)
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, sql)
			return
		}
		defer rows.Close()
		if !rows.Next() || rows.Err() != nil {
			t.Errorf("%s finds nothing (%v):\n%s", name, rows.Err(), sql)
		}
	}
	for name, m := range read(t) {
		for _, v := range m.Templating.List {
			ask(name+", variable "+v.Name, v.Query)
		}
		for _, p := range m.Panels {
			for _, q := range p.Targets {
				ask(fmt.Sprintf("%s, panel %q, query %s", name, p.Title, q.RefID), q.RawSQL)
			}
		}
	}
}

// expand replaces variables and macros as Grafana's ClickHouse data source does (its documentation,
// "Macros"), for the hour round now.
func expand(t *testing.T, sql string, now time.Time) string {
	t.Helper()
	from, to := now.Add(-time.Hour), now.Add(time.Hour)
	sql = regexp.MustCompile(`\$\{(project|service):sqlstring\}`).ReplaceAllStringFunc(sql, func(v string) string {
		return map[bool]string{true: "'default'", false: "'shop','bank'"}[strings.Contains(v, "project")]
	})
	for macro, with := range map[string]func(column string) string{
		"timeFilter_ms": func(c string) string {
			return fmt.Sprintf("%s >= fromUnixTimestamp64Milli(%d) AND %s <= fromUnixTimestamp64Milli(%d)", c, from.UnixMilli(), c, to.UnixMilli())
		},
		"timeFilter": func(c string) string {
			return fmt.Sprintf("%s >= toDateTime(%d) AND %s <= toDateTime(%d)", c, from.Unix(), c, to.Unix())
		},
		"timeInterval": func(c string) string {
			return fmt.Sprintf("toStartOfInterval(toDateTime(%s), INTERVAL 60 second)", c)
		},
	} {
		sql = regexp.MustCompile(`\$__`+macro+`\((\w+)\)`).ReplaceAllStringFunc(sql, func(m string) string {
			return with(m[strings.IndexByte(m, '(')+1 : len(m)-1])
		})
	}
	if strings.Contains(sql, "$") {
		t.Errorf("not expanded: %s", sql)
	}
	return sql
}

// insertSample stores two small traces.
func insertSample(t *testing.T, dsn string, now time.Time) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := store.Open(ctx, dsn, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b := store.NewBatch(uuid.New(), now)
	var row tables.Span
	for i, service := range []string{"shop", "bank"} {
		trace := uuid.New()
		for n, operation := range []string{"invoke_agent", "chat", "execute_tool", "execute_tool"} {
			row.Reset()
			row.Project, row.TraceID, row.SpanID, row.Start = "default", trace, uint64(n+1), now.UnixNano()+int64(n)
			row.Name, row.Operation, row.Service, row.Source, row.DurationNS = operation, operation, service, tables.SourceOTLP, 1e6
			if operation == "chat" {
				row.RequestModel, row.InputTokens, row.OutputTokens, row.CostNUSD = "m", 100, 10, 5000
			}
			if operation == "execute_tool" {
				row.Tool, row.PolicyDecision, row.DeltaFiles = "bash", "allow", int64(i)
			}
			if n == 3 {
				row.StatusCode = 2
			}
			b.Span(&row)
		}
	}
	if err := s.Insert(ctx, b); err != nil {
		t.Fatal(err)
	}
}
