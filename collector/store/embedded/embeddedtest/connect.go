package embeddedtest

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
)

// answering is for an answer of an engine on a busy machine.
const answering = 2 * time.Minute

// Database is the address of a database of the test's own in the shared engine. It does not exist until a store is opened there.
func Database(t testing.TB) string {
	t.Helper()
	return InDatabase(t, Open(t).DSN(), "tacho_"+strings.ReplaceAll(uuid.NewString(), "-", "")[:12])
}

// InDatabase is an address with another database.
func InDatabase(t testing.TB, dsn, name string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

// Connect is a connection of clickhouse-go, past any store, to look at what that did. It is closed when the test ends.
func Connect(t testing.TB, dsn string) driver.Conn {
	t.Helper()
	options, err := clickhouse.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := clickhouse.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error("close the connection:", err)
		}
	})
	return conn
}

// Number asks for one number. It answers while a test is cleaned up, too.
func Number(t testing.TB, conn driver.Conn, query string) (n int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), answering)
	defer cancel()
	if err := conn.QueryRow(ctx, "SELECT toInt64(("+query+"))").Scan(&n); err != nil {
		t.Fatal(query, err)
	}
	return n
}
