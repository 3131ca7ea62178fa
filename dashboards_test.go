//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"tachograph/collector/store/embedded/embeddedtest"
	"tachograph/schemas/journal"
	"tachograph/web/grafana"
)

// Specs of runs that leave something for every panel: calls that policy holds and denies, a failure, a price.
const (
	watchedSpec = `
model: script/watched.yaml
prompt: Tidy up.
directory: work
policy: watched.cedar
prices: {input: "3", cached: "0.3", output: "15"}
budget: {cost_usd: "1", seconds: 3600}
`
	watchedPolicy = `
@id("all") permit (principal, action, resource);
@id("deletes") @hold("deleting needs a person") forbid (principal, action == Action::"delete", resource);
@id("no-etc") @reason("that is not yours") forbid (principal, action, resource) when { context has writesOutside && context.writesOutside };
`
	watchedModel = `
turns:
  - say: I look.
    calls:
      - {tool: bash, intent: Look round., args: {command: "ls; echo seen >> log.txt"}}
      - {tool: read_file, intent: Read what is not there., args: {path: absent.txt}}
      - {tool: bash, intent: Leave a mark outside., args: {command: "echo x > /etc/mark"}}
      - {tool: delete_file, intent: Remove the log., args: {path: log.txt}}
  - say: Done.
`
	failingSpec = `
model: script/watched.yaml
prompt: Count.
directory: work
policy: lax.cedar
check: "false"
max_steps: 3
`
)

// calm are the panels that show zero when all is well, as it is here.
var calm = []string{"Spool", "Refused", "Failed inserts", "Damaged segments", "Restarts of ClickHouse", "Not shipped yet"}

// TestDashboards: what our runs, an agent of others and tacho itself leave in ClickHouse fills every panel of every
// dashboard, for Grafana's own user, whether all values of the variables are chosen or each by itself.
func TestDashboards(t *testing.T) {
	t.Parallel()
	k := newKilled(t, 300)
	k.env = []string{"OTEL_METRIC_EXPORT_INTERVAL=500"}
	for name, text := range map[string]string{"watched.yaml": watchedModel, "watched-spec.yaml": watchedSpec, "watched.cedar": watchedPolicy,
		"lax.cedar":          `@id("all") permit (principal, action, resource);`,
		"expiring-spec.yaml": watchedSpec + "hold_for: 1\n", "failing-spec.yaml": failingSpec} {
		if err := os.WriteFile(filepath.Join(k.dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	begun := time.Now()
	u := k.up()
	defer u.down()
	u.record(t)
	sendOthers(t, u, begun)

	conn := embeddedtest.Connect(t, u.Grafana)
	boards := boards(t)
	for name := range boards {
		t.Run(name, func(t *testing.T) {
			b := board{model: boards[name], conn: conn, http: u.HTTP, from: begun.Add(-time.Minute)}
			for _, what := range b.soon(t) {
				t.Error(what)
			}
			if t.Failed() {
				return
			}
			b.choose(t)
			for _, what := range b.empty(t) {
				t.Errorf("with every value chosen: %s", what)
			}
		})
	}
	for _, title := range calm {
		if !slices.ContainsFunc(titles(boards), func(t string) bool { return t == title }) {
			t.Errorf("no panel is called %q", title)
		}
	}
}

// record makes our runs: one whose held call is approved, one refused, one expired, one that fails, one that still
// waits for a person, and one that was paused and goes on.
func (u *upped) record(t *testing.T) {
	t.Helper()
	for _, answer := range []string{"approve", "deny", ""} {
		u.tacho(exitDone, "run", "watched-spec.yaml", "--detach")
		run, call := u.held(t)
		if answer != "" {
			u.tacho(exitDone, answer, run, call)
			u.tacho(exitDone, "tail", run)
		}
	}
	u.tacho(exitDone, "run", "expiring-spec.yaml")
	u.tacho(exitRunFailed, "run", "failing-spec.yaml")
	waits, _ := u.held(t)
	u.tacho(exitDone, "run", "loose.yaml", "--detach")
	paused := func() string {
		for _, r := range u.runs("--source", "tacho") {
			if r.ID.String() != waits && (r.Status == "running" || r.Status == "paused") {
				return r.ID.String()
			}
		}
		t.Fatal("the run that is to be paused has ended")
		return ""
	}()
	u.tacho(exitDone, "pause", paused)
}

// held waits for the run whose call waits for a person, and returns both.
func (u *upped) held(t *testing.T) (run, call string) {
	t.Helper()
	u.settle(t, func() bool {
		for _, r := range u.runs("--source", "tacho") {
			if r.Held > 0 {
				run = r.ID.String()
			}
		}
		return run != ""
	})
	for line := range strings.Lines(u.tacho(exitDone, "show", run, "--json")) {
		e, err := journal.Decode([]byte(strings.TrimSuffix(line, "\n")))
		if err != nil || e.Kind != journal.KindCallHeld {
			continue
		}
		body, err := journal.DecodeBody(e.Kind, e.Body)
		if err != nil {
			t.Fatal(err)
		}
		call = strconv.FormatInt(body.(*journal.CallHeld).Call, 10)
	}
	return run, call
}

// others is an agent that tacho does not run.
const others = `{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop-agent"}}]},"scopeSpans":[{"scope":{"name":"curl"},"spans":[
{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"invoke_agent shop","kind":1,"startTimeUnixNano":"%[1]d","endTimeUnixNano":"%[4]d",
 "attributes":[{"key":"gen_ai.operation.name","value":{"stringValue":"invoke_agent"}}]},
{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b175","parentSpanId":"eee19b7ec3c1b174","name":"chat m","kind":3,"startTimeUnixNano":"%[2]d","endTimeUnixNano":"%[3]d",
 "attributes":[{"key":"gen_ai.operation.name","value":{"stringValue":"chat"}},{"key":"gen_ai.provider.name","value":{"stringValue":"openai"}},{"key":"gen_ai.request.model","value":{"stringValue":"m"}},
 {"key":"gen_ai.usage.input_tokens","value":{"intValue":"1200"}},{"key":"gen_ai.usage.cache_read.input_tokens","value":{"intValue":"900"}},{"key":"gen_ai.usage.output_tokens","value":{"intValue":"80"}},
 {"key":"gen_ai.usage.reasoning.output_tokens","value":{"intValue":"30"}},{"key":"gen_ai.response.finish_reasons","value":{"arrayValue":{"values":[{"stringValue":"tool_calls"}]}}}]},
{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b176","parentSpanId":"eee19b7ec3c1b174","name":"execute_tool pay","kind":1,"startTimeUnixNano":"%[3]d","endTimeUnixNano":"%[4]d",
 "status":{"code":2,"message":"card declined"},"attributes":[{"key":"gen_ai.operation.name","value":{"stringValue":"execute_tool"}},{"key":"gen_ai.tool.name","value":{"stringValue":"pay"}},
 {"key":"error.type","value":{"stringValue":"declined"}}]}]}]}]}`

func sendOthers(t *testing.T, u *upped, at time.Time) {
	t.Helper()
	var times [4]any
	for i := range times {
		times[i] = at.Add(time.Duration(i) * 100 * time.Millisecond).UnixNano()
	}
	for range 2 { // an impatient sender
		response, err := http.Post(u.OTLPHTTP+"/v1/traces", "application/json", strings.NewReader(fmt.Sprintf(others, times[:]...)))
		if err != nil {
			t.Fatal(err)
		}
		if response.Body.Close(); response.StatusCode != http.StatusOK {
			t.Fatal(response.Status)
		}
	}
}

// dashboard is what of a dashboard's JSON asks something.
type dashboard struct {
	Templating struct {
		List []struct{ Name, Type, Query string }
	}
	Panels []struct {
		Type, Title string
		Targets     []struct{ RefID, RawSQL, QueryType string }
		FieldConfig struct {
			Overrides []struct{ Matcher struct{ Options string } }
		}
	}
}

func boards(t *testing.T) map[string]dashboard {
	t.Helper()
	all := map[string]dashboard{}
	for name, d := range grafana.All() {
		text, err := d.JSON()
		if err != nil {
			t.Fatal(err)
		}
		var m dashboard
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatal(err)
		}
		all[name] = m
	}
	return all
}

func titles(boards map[string]dashboard) (all []string) {
	for _, b := range boards {
		for _, p := range b.Panels {
			all = append(all, p.Title)
		}
	}
	return all
}

// board asks what Grafana would ask for a dashboard.
type board struct {
	model  dashboard
	conn   driver.Conn
	http   string
	from   time.Time
	chosen map[string][]string // nil: all of each variable
}

// choose chooses every value of every variable by name.
func (b *board) choose(t *testing.T) {
	t.Helper()
	chosen := map[string][]string{}
	for _, v := range b.model.Templating.List {
		if v.Type != "query" {
			continue
		}
		table := b.ask(t, v.Query)
		for _, row := range table.rows {
			chosen[v.Name] = append(chosen[v.Name], fmt.Sprint(row[0]))
		}
		if len(table.rows) == 0 {
			t.Errorf("variable %s has no values", v.Name)
		}
		b.chosen = chosen // a later variable is asked with those before it
	}
}

// soon is empty when what arrives by itself, and not at once, is there.
func (b *board) soon(t *testing.T) []string {
	t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(time.Minute); ; {
		why := b.empty(t)
		if len(why) == 0 || t.Failed() {
			return why
		}
		select {
		case <-tick.C:
		case <-end:
			return why
		}
	}
}

// empty are the panels that show nothing, and why.
func (b *board) empty(t *testing.T) (why []string) {
	t.Helper()
	for _, p := range b.model.Panels {
		for _, q := range p.Targets {
			table := b.ask(t, q.RawSQL)
			say := func(format string, args ...any) {
				why = append(why, fmt.Sprintf("panel %q, query %s: ", p.Title, q.RefID)+fmt.Sprintf(format, args...)+"\n"+q.RawSQL)
			}
			switch {
			case len(table.rows) == 0:
				say("finds nothing")
			case !table.says() && !slices.Contains(calm, p.Title):
				say("finds only zeros: %v", table.rows)
			case q.QueryType == "timeSeries" && !strings.HasPrefix(table.types[0], "DateTime"):
				say("its first column is a %s, not a time", table.types[0])
			}
			for _, o := range p.FieldConfig.Overrides {
				if !slices.Contains(table.columns, o.Matcher.Options) {
					t.Errorf("panel %q: there is no column %q, but %v", p.Title, o.Matcher.Options, table.columns)
				}
			}
			b.links(t, p.Title, table)
		}
	}
	return why
}

// links: the run of a row with a journal is one that our API knows.
func (b *board) links(t *testing.T, panel string, table table) {
	t.Helper()
	i := slices.Index(table.columns, "run")
	for _, row := range table.rows {
		if i < 0 {
			return
		}
		id := fmt.Sprint(row[i])
		if _, err := uuid.Parse(id); err != nil {
			t.Errorf("panel %q: the cell %q is no run", panel, id)
			continue
		}
		if !slices.Contains(table.columns, "goal") {
			continue
		}
		response, err := http.Get(b.http + "/api/runs/" + id)
		if err != nil {
			t.Fatal(err)
		}
		if response.Body.Close(); response.StatusCode != http.StatusOK {
			t.Errorf("panel %q: /api/runs/%s: %s", panel, id, response.Status)
		}
		if goal := row[slices.Index(table.columns, "goal")]; goal != "Tidy up." && goal != "Count." {
			t.Errorf("panel %q: the goal of run %s is %q", panel, id, goal)
		}
	}
}

// table is an answer.
type table struct {
	columns, types []string
	rows           [][]any
}

// says whether it has a number other than zero.
func (t table) says() bool {
	for _, row := range t.rows {
		for i, cell := range row {
			if text := fmt.Sprint(cell); regexp.MustCompile(`^(Nullable\()?(U?Int|Float)`).MatchString(t.types[i]) && text != "0" && text != "NaN" && text != "<nil>" {
				return true
			}
		}
	}
	return false
}

func (b *board) ask(t *testing.T, sql string) (found table) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	sql = b.expand(t, sql)
	rows, err := b.conn.Query(ctx, sql)
	if err != nil {
		t.Fatalf("%v\n%s", err, sql)
	}
	defer rows.Close()
	for _, c := range rows.ColumnTypes() {
		found.columns, found.types = append(found.columns, c.Name()), append(found.types, c.DatabaseTypeName())
	}
	for rows.Next() {
		into := make([]any, len(found.columns))
		for i, c := range rows.ColumnTypes() {
			into[i] = reflect.New(c.ScanType()).Interface()
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatalf("%v\n%s", err, sql)
		}
		for i := range into {
			into[i] = plain(into[i])
		}
		found.rows = append(found.rows, into)
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%v\n%s", err, sql)
	}
	return found
}

// plain is what a scan left behind a pointer, and behind that of a Nullable.
func plain(cell any) any {
	v := reflect.ValueOf(cell)
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	return v.Interface()
}

// expand replaces variables and macros as Grafana and its ClickHouse data source do: CHDatasource.ts of the plugin
// ($__conditionalAll), Grafana's format sqlstring, then pkg/macros/macros.go, for buckets of ten seconds.
func (b *board) expand(t *testing.T, sql string) string {
	t.Helper()
	from, to := b.from, time.Now().Add(time.Minute)
	sql = regexp.MustCompile(`\$__conditionalAll\((\w+ IN \(\$\{\w+:sqlstring\}\)), \$(\w+)\)`).ReplaceAllStringFunc(sql, func(macro string) string {
		if b.chosen == nil {
			return "1=1"
		}
		return macro[len("$__conditionalAll("):strings.LastIndexByte(macro, ',')]
	})
	sql = regexp.MustCompile(`\$\{(\w+):sqlstring\}`).ReplaceAllStringFunc(sql, func(v string) string {
		var quoted []string
		for _, value := range b.chosen[v[2:strings.IndexByte(v, ':')]] {
			quoted = append(quoted, "'"+strings.ReplaceAll(value, "'", "''")+"'")
		}
		return strings.Join(quoted, ",")
	})
	milli := func(at time.Time) string { return fmt.Sprintf("fromUnixTimestamp64Milli(%d)", at.UnixMilli()) }
	sql = regexp.MustCompile(`\$__timeFilter_ms\((\w+)\)`).ReplaceAllString(sql, "$1 >= "+milli(from)+" AND $1 <= "+milli(to))
	sql = regexp.MustCompile(`\$__timeInterval\((\w+)\)`).ReplaceAllString(sql, "toStartOfInterval(toDateTime($1), INTERVAL 10 second)")
	sql = strings.NewReplacer("$__fromTime", fmt.Sprintf("toDateTime(%d)", from.Unix()), "$__toTime", fmt.Sprintf("toDateTime(%d)", to.Unix()), "$__interval_s", "10").Replace(sql)
	if strings.Contains(sql, "$") {
		t.Fatalf("not expanded: %s", sql)
	}
	return sql
}
