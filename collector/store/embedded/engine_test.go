package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tachograph/collector/store/embedded"
	"tachograph/collector/store/embedded/embeddedtest"
)

// TestReopen holds that rows, addresses and the count of starts stay when the process ends.
func TestReopen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := open(t, embedded.Config{Dir: dir})
	conn := embeddedtest.Connect(t, first.DSN())
	exec1(t, conn, "CREATE TABLE t (id UInt64) ENGINE = MergeTree ORDER BY id")
	exec1(t, conn, "INSERT INTO t SELECT number FROM numbers(1000)")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Error("close again:", err)
	}
	if err := first.Wait(patient(t)); !errors.Is(err, embedded.ErrClosed) {
		t.Errorf("wait for a closed engine: %v", err)
	}
	if err := conn.Exec(patient(t), "SELECT 1"); err == nil {
		t.Error("a closed engine answers")
	}

	second := open(t, embedded.Config{Dir: dir})
	want := []string{first.DSN(), first.ReaderDSN(), first.GrafanaDSN()}
	if diff := cmp.Diff(want, []string{second.DSN(), second.ReaderDSN(), second.GrafanaDSN()}); diff != "" {
		t.Errorf("addresses changed:\n%s", diff)
	}
	if n := number(t, embeddedtest.Connect(t, second.DSN()), "SELECT count() FROM tacho.t"); n != 1000 {
		t.Errorf("%d rows, want 1000", n)
	}
	if first.Starts() != 1 || second.Starts() != 2 {
		t.Errorf("start numbers %d and %d, want 1 and 2", first.Starts(), second.Starts())
	}
}

// TestPortTaken holds that an engine does not fight for the port that it had.
func TestPortTaken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := open(t, embedded.Config{Dir: dir})
	address, err := url.Parse(e.DSN())
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	other, err := net.Listen("tcp4", address.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	again := open(t, embedded.Config{Dir: dir})
	if again.DSN() == e.DSN() {
		t.Fatal("the engine says it has a port that another program has")
	}
	if n := number(t, embeddedtest.Connect(t, again.DSN()), "SELECT toUInt64(42)"); n != 42 {
		t.Error(n)
	}
}

// TestCaps reads the limits back: ClickHouse ignores names that it does not know.
func TestCaps(t *testing.T) {
	t.Parallel()
	e := embeddedtest.Open(t)
	conn, password := embeddedtest.Connect(t, e.DSN()), passwordOf(t, e.DSN())
	for _, limit := range embedded.Caps() {
		name, want, _ := strings.Cut(limit, "=")
		var got string
		err := conn.QueryRow(patient(t), "SELECT value FROM system.server_settings WHERE name = $1", name).Scan(&got)
		if err != nil || got != want {
			t.Errorf("server setting %s is %q (%v), want %s", name, got, err, want)
		}
	}
	for query, want := range map[string]string{
		"SELECT value FROM system.merge_tree_settings WHERE name = 'merge_max_block_size'":                                      "4096",
		"SELECT value FROM system.merge_tree_settings WHERE name = 'number_of_free_entries_in_pool_to_execute_mutation'":        "2",
		"SELECT value FROM system.merge_tree_settings WHERE name = 'number_of_free_entries_in_pool_to_lower_max_size_of_merge'": "1",
		"SELECT value FROM system.server_settings WHERE name = 'logger.level'":                                                  "warning",
		"SELECT value FROM system.server_settings WHERE name = 'logger.size'":                                                   "10M",
		"SELECT value FROM system.server_settings WHERE name = 'logger.count'":                                                  "3",
		"SELECT getSetting('async_insert')":                                                                                     "false",
		"SELECT getSetting('max_memory_usage')":                                                                                 "800000000",
		"SELECT getSetting('max_execution_time')":                                                                               "60",
		"SELECT getSetting('max_threads')":                                                                                      "2",
		"SELECT getSetting('max_insert_threads')":                                                                               "1",
		"SELECT getSetting('max_bytes_before_external_sort')":                                                                   "300000000",
	} {
		// Not by clickhouse-go, which sends a limit of time of its own.
		status, got := post(t, e.DSN(), query, func(r *http.Request) { r.SetBasicAuth("tacho", password) })
		if status != http.StatusOK || strings.TrimSpace(got) != want {
			t.Errorf("%s: status %d: %s, want %s", query, status, got, want)
		}
	}
}

// TestFilesArePrivate holds that passwords, rows and logs are for their owner alone, and that the passwords are not in the
// engine's own files.
func TestFilesArePrivate(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a <b> & c") // a path that XML would choke on
	e := open(t, embedded.Config{Dir: dir})
	password := passwordOf(t, e.DSN())
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode of %s: %v %v", dir, info.Mode(), err)
	}
	for _, name := range []string{"access.json", "config.xml", "users.xml"} {
		path := filepath.Join(dir, name)
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode of %s: %v %v", name, info.Mode(), err)
		}
		text, err := os.ReadFile(path)
		if holds := strings.Contains(string(text), password); err != nil || holds != (name == "access.json") {
			t.Errorf("%s holds the password: %v (%v)", name, holds, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "log", "clickhouse.log")); err != nil {
		t.Error("no log:", err)
	}
}

// TestEnvironment holds that the engine, which answers questions about itself, knows none of our secrets.
func TestEnvironment(t *testing.T) {
	t.Setenv("SOME_PROVIDER_API_KEY", "sesame-4711")
	e := open(t, embedded.Config{Dir: t.TempDir()})
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", e.PID()))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("this system has no /proc")
	}
	if err != nil || len(environ) == 0 {
		t.Fatalf("read the engine's environment: %d bytes, %v", len(environ), err)
	}
	if strings.Contains(string(environ), "sesame") {
		t.Errorf("the engine knows our secrets: %q", environ)
	}
}

func TestOpenRefusesInAHelper(t *testing.T) {
	t.Parallel()
	env := func(name string) string {
		if name == "TACHO_CLICKHOUSE_HELPER" {
			return "1"
		}
		return os.Getenv(name)
	}
	_, err := embedded.Open(patient(t), embedded.Config{Dir: t.TempDir(), Env: env})
	if err == nil || !strings.Contains(err.Error(), "RunIfHelper") {
		t.Errorf("open in a helper: %v", err)
	}
}

func TestOpenEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	dir := t.TempDir()
	if _, err := embedded.Open(ctx, embedded.Config{Dir: dir}); !errors.Is(err, context.Canceled) {
		t.Errorf("open: %v", err)
	}
	open(t, embedded.Config{Dir: dir}) // nothing was left that holds the directory
}

// open is embedded.Open for a test that closes the engine at its end, if it did not before.
func open(t *testing.T, c embedded.Config) *embedded.Engine {
	t.Helper()
	embeddedtest.Open(t) // which says what it waits for, should the library have to be fetched
	e, err := embedded.Open(patient(t), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error("close:", err)
		}
	})
	return e
}
