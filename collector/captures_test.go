package collector_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"tachograph/collector"
	"tachograph/collector/store/embedded/embeddedtest"
)

// TestCapturesAreStoredWhole sends what real clients sent, and rebuilds every span and attribute of it from the rows.
func TestCapturesAreStoredWhole(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("testdata/captures/*/*traces.*")
	if err != nil || len(names) < 5 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		t.Run(filepath.Base(filepath.Dir(name)), func(t *testing.T) {
			t.Parallel()
			s, conn, _ := database(t)
			l := collect(t, collector.Config{Store: s})
			body, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			req := ptraceotlp.NewExportRequest()
			kind, read := protobuf, req.UnmarshalProto
			if strings.HasSuffix(name, ".json") {
				kind, read = "application/json", req.UnmarshalJSON
			}
			if err := read(body); err != nil {
				t.Fatal(err)
			}
			if a := l.post(t, "/v1/traces", body, "Content-Type", kind); a.code != 200 {
				t.Fatalf("%d %s", a.code, a.body)
			}
			l.flush(t)
			want, got := sentSpans(req.Traces()), storedSpans(t, conn)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("sent and not stored (-), stored and not sent (+):\n%s", diff)
			}
		})
	}
}

// TestWhatCapturesSay checks facts that expected.md of a capture states about the model calls.
func TestWhatCapturesSay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name                                 string
		chats, withUsage                     int64
		input, output, cached, tools, agents int64
	}{
		{"vercel-ai-7-genai/01-traces.pb", 8, 7, 9450, 375, 4096, 5, 4},
		{"otel-js-openai/02-traces.pb", 7, 5, 6450, 250, 0, 0, 0},
		{"traceloop-openai/01-traces.pb", 6, 5, 6900, 280, 0, 3, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, conn, _ := database(t)
			l := collect(t, collector.Config{Store: s})
			body, err := os.ReadFile(filepath.Join("testdata/captures", c.name))
			if err != nil {
				t.Fatal(err)
			}
			l.must(t, "/v1/traces", body)
			l.must(t, "/v1/traces", body) // a sender that saw no answer
			l.flush(t)
			for query, want := range map[string]int64{
				"SELECT count() FROM spans WHERE operation = 'chat'":                                   c.chats,
				"SELECT count() FROM spans WHERE operation = 'chat' AND input_tokens >= 0":             c.withUsage,
				"SELECT sum(input_tokens) FROM spans WHERE operation = 'chat' AND input_tokens >= 0":   c.input,
				"SELECT sum(output_tokens) FROM spans WHERE operation = 'chat' AND output_tokens >= 0": c.output,
				"SELECT sum(cached_tokens) FROM spans WHERE operation = 'chat' AND cached_tokens >= 0": c.cached,
				"SELECT count() FROM spans WHERE operation = 'execute_tool' AND tool != ''":            c.tools,
				"SELECT uniqExact(agent) FROM spans WHERE operation = 'invoke_agent'":                  c.agents,
				"SELECT count() FROM spans WHERE source != 'otlp'":                                     0,
			} {
				if got := embeddedtest.Number(t, conn, query); got != want {
					t.Errorf("%s: %d, want %d", query, got, want)
				}
			}
			if m := l.Metrics(); m.Known == 0 {
				t.Error("the second request was not known again")
			}
		})
	}
}

// TestLogsAndMetricsOfACapture counts what otel-js sent besides spans, sent twice.
func TestLogsAndMetricsOfACapture(t *testing.T) {
	t.Parallel()
	s, conn, _ := database(t)
	l := collect(t, collector.Config{Store: s})
	for path, name := range map[string]string{"/v1/logs": "01-logs.pb", "/v1/metrics": "03-metrics.pb"} {
		body, err := os.ReadFile(filepath.Join("testdata/captures/otel-js-openai", name))
		if err != nil {
			t.Fatal(err)
		}
		l.must(t, path, body)
		l.must(t, path, body)
	}
	l.flush(t)
	for query, want := range map[string]int64{
		"SELECT count() FROM logs": 24,
		"SELECT count() FROM logs WHERE event = 'gen_ai.client.inference.operation.details'":                                                      2,
		"SELECT count() FROM logs WHERE event LIKE 'gen_ai.%.message' OR event = 'gen_ai.choice'":                                                 22,
		"SELECT count() FROM logs WHERE event_name = ''":                                                                                          22,
		"SELECT count() FROM logs WHERE body_type = 'j'":                                                                                          22,
		"SELECT count() > 0 FROM metrics WHERE name = 'gen_ai.client.token.usage' AND kind = 'histogram' AND length(counts) = length(bounds) + 1": 1,
	} {
		if got := embeddedtest.Number(t, conn, query); got != want {
			t.Errorf("%s: %d, want %d", query, got, want)
		}
	}
	var stored []string
	rows, err := conn.Query(t.Context(), "SELECT mapKeys(attributes), mapValues(attributes), attribute_types, body, body_type FROM logs")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var keys, values []string
		var letters, body, letter string
		if err := rows.Scan(&keys, &values, &letters, &body, &letter); err != nil {
			t.Fatal(err)
		}
		stored = append(stored, fmt.Sprint(whole{}.pairs(t, "", keys, values, letters), sayStored(t, body, letter[0])))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	body, err := os.ReadFile("testdata/captures/otel-js-openai/01-logs.pb")
	if err != nil {
		t.Fatal(err)
	}
	req := plogotlp.NewExportRequest()
	if err := req.UnmarshalProto(body); err != nil {
		t.Fatal(err)
	}
	var sent []string
	for _, rl := range req.Logs().ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, record := range sl.LogRecords().All() {
				sent = append(sent, fmt.Sprint(sentPairs(record.Attributes()), sayValue(record.Body())))
			}
		}
	}
	slices.Sort(sent)
	slices.Sort(stored)
	if diff := cmp.Diff(sent, stored); diff != "" {
		t.Errorf("sent and not stored (-), stored and not sent (+):\n%s", diff)
	}
}
