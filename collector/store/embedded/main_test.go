package embedded_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"tachograph/collector/store/embedded"
	"tachograph/collector/store/embedded/embeddedtest"
)

// parentDir, in the environment of this test binary, makes it a program that opens an engine there and waits to be killed.
const parentDir = "TACHO_TEST_PARENT_DIR"

func TestMain(m *testing.M) {
	embedded.RunIfHelper()
	if dir := os.Getenv(parentDir); dir != "" {
		fmt.Fprintln(os.Stderr, "parent:", runParent(dir))
		os.Exit(1)
	}
	embeddedtest.Main(m)
}

// runParent prints the DSN of its engine and then lives until its stdin ends.
func runParent(dir string) error {
	e, err := embedded.Open(context.Background(), embedded.Config{Dir: dir})
	if err != nil {
		return err
	}
	fmt.Println(e.DSN())
	_, err = io.Copy(io.Discard, os.Stdin)
	return errors.Join(err, e.Close())
}

// startParent runs runParent in a process of its own and returns it with the DSN of its engine.
func startParent(t *testing.T, dir string) (*exec.Cmd, string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), parentDir+"="+dir)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal("the parent process opened no engine:", err)
	}
	return cmd, strings.TrimSpace(line)
}

// patient is a context for one wait: long enough for two busy cores.
func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func exec1(t testing.TB, conn driver.Conn, query string) {
	t.Helper()
	if err := conn.Exec(patient(t), query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// number asks for one UInt64.
func number(t testing.TB, conn driver.Conn, query string) (n uint64) {
	t.Helper()
	if err := conn.QueryRow(patient(t), query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

func passwordOf(t testing.TB, dsn string) string {
	t.Helper()
	address, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := address.User.Password()
	return password
}

// post sends a query by plain HTTP. change may alter the request, which names no user yet.
func post(t testing.TB, dsn, query string, change func(*http.Request)) (int, string) {
	t.Helper()
	address, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	address.User, address.Path = nil, "/"
	request, err := http.NewRequestWithContext(patient(t), http.MethodPost, address.String(), strings.NewReader(query))
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(request)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}
