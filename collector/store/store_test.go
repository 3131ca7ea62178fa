package store_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"tachograph/collector/store"
	"tachograph/collector/store/embedded/embeddedtest"
)

func TestMain(m *testing.M) { embeddedtest.Main(m) }

// patience is for an engine on a busy machine.
const patience = time.Minute

var databases atomic.Int64

// database is the address of a database of the test's own, which does not exist yet.
func database(t testing.TB) string {
	t.Helper()
	return inDatabase(t, embeddedtest.Open(t).DSN(), fmt.Sprintf("tacho_%d_%s", databases.Add(1), strings.ReplaceAll(uuid.NewString()[:8], "-", "")))
}

func inDatabase(t testing.TB, dsn, name string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

// open opens a store that is closed when the test ends.
func open(t testing.TB, dsn string, o store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), dsn, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error("close:", err)
		}
	})
	return s
}

// connect is a connection past the store, to look at what it did.
func connect(t testing.TB, dsn string) driver.Conn {
	t.Helper()
	o, err := clickhouse.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := clickhouse.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// number asks for one number.
func number(t testing.TB, conn driver.Conn, query string) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var n int64
	if err := conn.QueryRow(ctx, "SELECT toInt64(("+query+"))").Scan(&n); err != nil {
		t.Fatal(query, err)
	}
	return n
}
