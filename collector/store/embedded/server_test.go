package embedded_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tachograph/collector/store/embedded"
	"tachograph/collector/store/embedded/embeddedtest"
)

// fakeServer stands for a `clickhouse` binary, which the machines that test this do not have. It notes its arguments and runs
// the library with the configuration it was given; what a real server makes of that is not tested here.
const fakeServer = `#!/bin/bash
echo "$@" >> %[1]s/calls
[ "$1" = server ] || exit 1
config=${2#--config-file=}
port=$(sed -n 's:.*<http_port>\(.*\)</http_port>.*:\1:p' "$config")
data=$(sed -n 's:.*<path>\(.*\)</path>.*:\1:p' "$config")
exec 4<&3                          # child.lock
mkfifo %[1]s/lifeline.$$ && exec 3<>%[1]s/lifeline.$$
exec -a tacho-clickhouse %[2]s library %[3]s --path="$data" "$2" --listen_host=127.0.0.1 --http_port="$port"
`

// TestServerOnPath holds that a `clickhouse` binary is preferred, run as a server with our configuration, and
// supervised like the library.
func TestServerOnPath(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/bin/bash"); err != nil {
		t.Skip("the stand-in for a server needs bash: ", err)
	}
	embeddedtest.Open(t)
	bin, dir := t.TempDir(), t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf(fakeServer, bin, self, cachedLibrary(t))
	// A process that is forked meanwhile would hold the script open for writing, and its execution be refused (ETXTBSY).
	syscall.ForkLock.RLock()
	err = os.WriteFile(filepath.Join(bin, "clickhouse"), []byte(script), 0o700)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	env := func(name string) string {
		if name == "PATH" {
			return bin
		}
		return os.Getenv(name)
	}
	e := open(t, embedded.Config{Dir: dir, Env: env})
	conn := embeddedtest.Connect(t, e.DSN())
	exec1(t, conn, "CREATE TABLE t (id UInt64) ENGINE = MergeTree ORDER BY id")
	exec1(t, conn, "INSERT INTO t SELECT number FROM numbers(10)")
	e.Kill()
	if err := e.Wait(patient(t)); err != nil {
		t.Fatal(err)
	}
	if n := number(t, conn, "SELECT count() FROM tacho.t"); n != 10 {
		t.Errorf("%d rows, want 10", n)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	calls, err := os.ReadFile(filepath.Join(bin, "calls"))
	if err != nil {
		t.Fatal(err)
	}
	call := "server --config-file=" + filepath.Join(dir, "config.xml")
	if diff := cmp.Diff([]string{call, call}, strings.Split(strings.TrimSpace(string(calls)), "\n")); diff != "" {
		t.Errorf("calls of clickhouse:\n%s", diff)
	}
	config, err := os.ReadFile(filepath.Join(dir, "config.xml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"<max_server_memory_usage>1500000000<", "<max_connections>64<", "<listen_host>127.0.0.1<", "<users_config>" + dir + "/users.xml<"} {
		if !strings.Contains(string(config), line) {
			t.Errorf("the configuration has no %s", line)
		}
	}
	if strings.Contains(string(config), "tcp_port") {
		t.Error("the configuration opens the native port")
	}
}

// cachedLibrary is the library that the shared engine runs.
func cachedLibrary(t *testing.T) string {
	t.Helper()
	user, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(user, "tacho", "clickhouse", "*", "libchdb.*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("look for the library: %v, %v", found, err)
	}
	return found[0]
}
