package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"tachograph/collector/store/embedded"
	"tachograph/collector/store/embedded/embeddedtest"
)

// TestKillUnderWriters kills the engine again and again while writers insert. They wait, go on under the same address, and
// find what was acknowledged.
func TestKillUnderWriters(t *testing.T) {
	t.Parallel()
	const writers, rows, kills = 4, 40, 5
	e := embeddedtest.Start(t)
	dsn := e.DSN()
	conn := embeddedtest.Connect(t, dsn)
	exec1(t, conn, "CREATE TABLE acknowledged (writer UInt64, row UInt64) ENGINE = MergeTree ORDER BY (writer, row)")

	progress := make(chan struct{}, writers*rows)
	ctx := patient(t)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for row := range rows {
				if err := insertUntilAcknowledged(ctx, e, conn, w, row); err != nil {
					t.Error(err)
					return
				}
				progress <- struct{}{}
			}
		})
	}
	for range kills {
		for range writers * rows / (kills + 1) {
			select {
			case <-progress:
			case <-ctx.Done():
				t.Fatal("the writers do not get on")
			}
		}
		before := e.Starts()
		e.Kill()
		if err := e.Wait(ctx); err != nil {
			t.Fatal(err)
		}
		if after := e.Starts(); after <= before {
			t.Errorf("start number %d after a kill, %d before it", after, before)
		}
	}
	wg.Wait()
	if n := number(t, conn, "SELECT uniqExact(writer, row) FROM tacho.acknowledged"); n != writers*rows {
		t.Errorf("%d rows, want the %d acknowledged ones", n, writers*rows)
	}
	if e.DSN() != dsn {
		t.Errorf("the address became %s, it was %s", e.DSN(), dsn)
	}
	if n := number(t, embeddedtest.Connect(t, e.ReaderDSN()), "SELECT toUInt64(1)"); n != 1 {
		t.Error(n)
	}
}

// insertUntilAcknowledged is what a store does while an engine is started again.
func insertUntilAcknowledged(ctx context.Context, e *embedded.Engine, conn clickhouse.Conn, writer, row int) error {
	query := fmt.Sprintf("INSERT INTO acknowledged VALUES (%d, %d)", writer, row)
	for {
		err := conn.Exec(ctx, query)
		if err == nil {
			return nil
		}
		var refused *clickhouse.Exception
		if errors.As(err, &refused) {
			return err // an engine that answers has no reason to refuse
		}
		if err := e.Wait(ctx); err != nil {
			return err
		}
	}
}

// TestCloseWhileStarting holds that Close does not wait for an engine that is being started again.
func TestCloseWhileStarting(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := open(t, embedded.Config{Dir: dir})
	e.Kill()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, embedded.Config{Dir: dir})
}

// TestCloseUnderLoad holds that Close ends running queries too, and that what was acknowledged before is there.
func TestCloseUnderLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := open(t, embedded.Config{Dir: dir})
	conn := embeddedtest.Connect(t, e.DSN())
	exec1(t, conn, "CREATE TABLE t (id UInt64) ENGINE = MergeTree ORDER BY id")
	exec1(t, conn, "INSERT INTO t SELECT number FROM numbers(100)")
	ended := make(chan error, 1)
	go func() {
		ended <- conn.Exec(context.Background(), "SELECT sum(sipHash64(number)) FROM numbers(1000000000000)")
	}()
	for number(t, conn, "SELECT count() FROM system.processes WHERE query LIKE '%sipHash64%' AND query NOT LIKE '%processes%'") == 0 {
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("the query came to an end")
	}
	again := open(t, embedded.Config{Dir: dir})
	if n := number(t, embeddedtest.Connect(t, again.DSN()), "SELECT count() FROM tacho.t"); n != 100 {
		t.Errorf("%d rows, want 100", n)
	}
}

// TestParentKilled holds that no engine outlives a tacho that was killed, and that the next one opens the directory.
func TestParentKilled(t *testing.T) {
	t.Parallel()
	embeddedtest.Open(t)
	dir := t.TempDir()
	parent, dsn := startParent(t, dir)
	conn := embeddedtest.Connect(t, dsn)
	exec1(t, conn, "CREATE TABLE t (id UInt64) ENGINE = MergeTree ORDER BY id")
	exec1(t, conn, "INSERT INTO t SELECT number FROM numbers(100)")
	if err := parent.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // which says that it was killed
	// Open waits for the lock that the orphan holds as long as it lives.
	e := open(t, embedded.Config{Dir: dir})
	if n := number(t, embeddedtest.Connect(t, e.DSN()), "SELECT count() FROM tacho.t"); n != 100 {
		t.Errorf("%d rows, want 100", n)
	}
	if e.DSN() != dsn {
		t.Errorf("the address became %s, it was %s", e.DSN(), dsn)
	}
	if e.Starts() != 2 {
		t.Errorf("start number %d, want 2", e.Starts())
	}
}

func TestSecondProcess(t *testing.T) {
	t.Parallel()
	embeddedtest.Open(t)
	dir := t.TempDir()
	parent, dsn := startParent(t, dir)
	_, err := embedded.Open(patient(t), embedded.Config{Dir: dir})
	var inUse *embedded.InUseError
	if !errors.As(err, &inUse) || inUse.PID != parent.Process.Pid || !strings.Contains(err.Error(), fmt.Sprint(parent.Process.Pid)) {
		t.Errorf("open a directory that process %d owns: %v", parent.Process.Pid, err)
	}
	if embedded.IsUnavailable(err) {
		t.Error("that is no lack of the machine")
	}
	if n := number(t, embeddedtest.Connect(t, dsn), "SELECT toUInt64(1)"); n != 1 {
		t.Error("the first engine was disturbed")
	}
}

func TestOpenTwiceInOneProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open(t, embedded.Config{Dir: dir})
	_, err := embedded.Open(patient(t), embedded.Config{Dir: dir})
	var inUse *embedded.InUseError
	if !errors.As(err, &inUse) || inUse.PID != os.Getpid() {
		t.Errorf("open again: %v", err)
	}
}
