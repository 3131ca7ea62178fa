package embedded_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"tachograph/collector/store/embedded/embeddedtest"
)

// What ClickHouse answers (ErrorCodes.cpp).
const (
	codeReadonly     = 164
	codeConstraint   = 452
	codeAccessDenied = 497
)

func TestWriterMayDoWhatAStoreDoes(t *testing.T) {
	t.Parallel()
	conn := embeddedtest.Connect(t, embeddedtest.Open(t).DSN())
	for _, query := range []string{
		"CREATE DATABASE tacho_writer",
		"CREATE TABLE tacho_writer.a (id UInt64, s String, v Array(Float32), PROJECTION p (SELECT s, count() GROUP BY s)) ENGINE = MergeTree ORDER BY id",
		"CREATE TABLE tacho_writer.b (id UInt64, n UInt64) ENGINE = ReplacingMergeTree ORDER BY id",
		"CREATE MATERIALIZED VIEW tacho_writer.mv TO tacho_writer.b AS SELECT id, length(s) AS n FROM tacho_writer.a",
		"CREATE DICTIONARY tacho_writer.d (id UInt64, n UInt64) PRIMARY KEY id SOURCE(CLICKHOUSE(TABLE 'b' DB 'tacho_writer' USER 'tacho')) LAYOUT(FLAT()) LIFETIME(60)",
		"INSERT INTO tacho_writer.a SELECT number, toString(number), [1, 2] FROM numbers(1000)",
		"ALTER TABLE tacho_writer.a ADD COLUMN x UInt8, MODIFY TTL toDateTime(id) + INTERVAL 100 YEAR",
		"ALTER TABLE tacho_writer.a DELETE WHERE id = 7 SETTINGS mutations_sync = 2",
		"OPTIMIZE TABLE tacho_writer.a FINAL",
		"SYSTEM STOP MERGES tacho_writer.a",
		"CREATE TEMPORARY TABLE x (i Int8)",
		"KILL QUERY WHERE query_id = 'none'",
		"EXCHANGE TABLES tacho_writer.a AND tacho_writer.b",
		"RENAME TABLE tacho_writer.a TO tacho_writer.c",
		"TRUNCATE TABLE tacho_writer.c",
		"DROP DATABASE tacho_writer SYNC",
	} {
		exec1(t, conn, query)
	}
	if n := number(t, conn, "SELECT count() FROM system.server_settings"); n == 0 {
		t.Error("the writer sees no server settings")
	}
}

func TestReadersOnlyRead(t *testing.T) {
	t.Parallel()
	e := embeddedtest.Open(t)
	writer := embeddedtest.Connect(t, e.DSN())
	for _, query := range []string{
		"CREATE TABLE tacho.rights (id UInt64) ENGINE = MergeTree ORDER BY id",
		"INSERT INTO tacho.rights SELECT number FROM numbers(10)",
		"CREATE DATABASE secrets",
		"CREATE TABLE secrets.t (id UInt64) ENGINE = MergeTree ORDER BY id",
	} {
		exec1(t, writer, query)
	}
	refused := []struct {
		query string
		code  int32
	}{
		{"INSERT INTO tacho.rights VALUES (1)", codeAccessDenied},
		{"ALTER TABLE tacho.rights DELETE WHERE 1", codeAccessDenied},
		{"DROP TABLE tacho.rights", codeAccessDenied},
		{"CREATE TABLE tacho.more (id UInt64) ENGINE = Memory", codeAccessDenied},
		{"CREATE USER someone", codeAccessDenied},
		{"GRANT ALL ON *.* TO reader", codeAccessDenied},
		{"SYSTEM STOP LISTEN HTTP", codeAccessDenied},
		{"SYSTEM SHUTDOWN", codeAccessDenied},
		{"KILL QUERY WHERE 1", codeAccessDenied},
		{"SELECT * FROM secrets.t", codeAccessDenied},
		{"SELECT * FROM system.server_settings", codeAccessDenied},
		{"SELECT * FROM file('users.xml', LineAsString)", codeAccessDenied},
		{"SELECT * FROM url('http://127.0.0.1:1/', LineAsString)", codeAccessDenied},
		{"SELECT * FROM remote('127.0.0.1', tacho.rights)", codeAccessDenied},
		{"INSERT INTO FUNCTION file('x.csv', CSV, 'i Int8') VALUES (1)", codeAccessDenied},
		{"SET readonly = 0", codeReadonly},
		{"SELECT 1 SETTINGS readonly = 0", codeReadonly},
		{"SELECT 1 SETTINGS max_memory_usage = 0", codeConstraint},
		{"SELECT 1 SETTINGS max_memory_usage = 8000000000", codeConstraint},
		{"SELECT 1 SETTINGS max_execution_time = 0", codeConstraint},
		{"SELECT 1 SETTINGS max_execution_time = 100000", codeConstraint},
		{"SELECT 1 SETTINGS max_threads = 64", codeConstraint},
	}
	for user, dsn := range map[string]string{"reader": e.ReaderDSN(), "grafana": e.GrafanaDSN()} {
		conn := embeddedtest.Connect(t, dsn)
		if n := number(t, conn, "SELECT count() FROM tacho.rights"); n != 10 {
			t.Errorf("%s counts %d rows, want 10", user, n)
		}
		if n := number(t, conn, "SELECT sum(number) FROM numbers(10) SETTINGS max_execution_time = 20, max_threads = 1"); n != 45 {
			t.Errorf("%s adds up to %d, want 45", user, n)
		}
		for _, c := range refused {
			err := conn.Exec(patient(t), c.query)
			var refusal *clickhouse.Exception
			if !errors.As(err, &refusal) || refusal.Code != c.code {
				t.Errorf("%s: %s: %v, want code %d", user, c.query, err, c.code)
			}
		}
	}
	grafana := embeddedtest.Connect(t, e.GrafanaDSN())
	var refusal *clickhouse.Exception
	if err := grafana.Exec(patient(t), "SELECT 1 SETTINGS max_memory_usage = 500000000"); !errors.As(err, &refusal) || refusal.Code != codeConstraint {
		t.Errorf("grafana takes more memory than its limit: %v", err)
	}
	if n := number(t, writer, "SELECT count() FROM tacho.rights"); n != 10 {
		t.Errorf("%d rows after all that, want 10", n)
	}
}

// TestNobodyElse holds that `default`, who has no password and may read files, can do nothing over the network, however a
// client says that it is him, and that nobody is let in as somebody else.
func TestNobodyElse(t *testing.T) {
	t.Parallel()
	e := embeddedtest.Open(t)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("a line of a user's file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	exec1(t, embeddedtest.Connect(t, e.DSN()), "CREATE TABLE tacho.nobody (s String) ENGINE = MergeTree ORDER BY s")
	exec1(t, embeddedtest.Connect(t, e.DSN()), "INSERT INTO tacho.nobody VALUES ('a line of a user')")
	asDefault := map[string]func(*http.Request){
		"nothing":        nil,
		"a parameter":    func(r *http.Request) { r.URL.RawQuery = "user=default" },
		"a setting":      func(r *http.Request) { r.URL.RawQuery = "max_rows_to_read=0" },
		"a profile":      func(r *http.Request) { r.URL.RawQuery = "profile=limited" },
		"a quota key":    func(r *http.Request) { r.URL.RawQuery = "quota_key=mine" },
		"a header":       func(r *http.Request) { r.Header.Set("X-ClickHouse-User", "default") },
		"HTTP":           func(r *http.Request) { r.SetBasicAuth("default", "") },
		"two names":      func(r *http.Request) { r.SetBasicAuth("tacho", ""); r.URL.RawQuery = "user=default" },
		"tacho":          func(r *http.Request) { r.SetBasicAuth("tacho", "") },
		"reader":         func(r *http.Request) { r.Header.Set("X-ClickHouse-User", "reader") },
		"a wrong secret": func(r *http.Request) { r.SetBasicAuth("grafana", passwordOf(t, e.ReaderDSN())) },
	}
	for _, query := range []string{
		"SELECT * FROM file('" + secret + "', LineAsString)",
		"SELECT count() FROM file('" + secret + "', LineAsString)",
		"SELECT * FROM file('/dev/fd/3', LineAsString)",
		"SELECT * FROM tacho.nobody",
		"SELECT sum(number) FROM numbers(1000000000000)",
		"SELECT name FROM system.tables LIMIT 1",
		"SYSTEM STOP LISTEN HTTP",
		"CREATE TEMPORARY TABLE x (i Int8) ENGINE = Memory",
		"INSERT INTO FUNCTION file('x.csv', CSV, 'i Int8') VALUES (1)",
	} {
		for name, change := range asDefault {
			status, text := post(t, e.DSN(), query, change)
			if status == http.StatusOK || strings.Contains(text, "a line of") {
				t.Errorf("by %s: %s: status %d: %s", name, query, status, text)
			}
		}
	}
	for name, dsn := range map[string]string{"tacho": e.DSN(), "reader": e.ReaderDSN(), "grafana": e.GrafanaDSN()} {
		for kind, change := range map[string]func(*http.Request){
			"HTTP": func(r *http.Request) { r.SetBasicAuth(name, passwordOf(t, dsn)) },
			"headers": func(r *http.Request) {
				r.Header.Set("X-ClickHouse-User", name)
				r.Header.Set("X-ClickHouse-Key", passwordOf(t, dsn))
			},
		} {
			if status, text := post(t, dsn, "SELECT currentUser()", change); status != http.StatusOK || strings.TrimSpace(text) != name {
				t.Errorf("%s by %s: status %d: %s", name, kind, status, text)
			}
		}
	}
}

// TestReaderThatLeaves holds that a reader's query ends with its client, and not only at its time limit.
func TestReaderThatLeaves(t *testing.T) {
	t.Parallel()
	e := embeddedtest.Open(t)
	writer, reader := embeddedtest.Connect(t, e.DSN()), embeddedtest.Connect(t, e.ReaderDSN())
	const running = "SELECT count() FROM system.processes WHERE query LIKE '%sum(sipHash64(number, 4711))%' AND user = 'reader'"
	ctx, leave := context.WithCancel(patient(t))
	left := make(chan error)
	go func() {
		left <- reader.Exec(ctx, "SELECT sum(sipHash64(number, 4711)) FROM numbers(1000000000000) SETTINGS max_execution_time = 600")
	}()
	for number(t, writer, running) == 0 {
	}
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the client ended with %v", err)
	}
	for number(t, writer, running) != 0 { // ends with patience, long before the query's limit
	}
}
