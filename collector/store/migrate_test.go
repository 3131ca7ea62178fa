package store_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"tachograph/collector/store"
	"tachograph/collector/store/embedded/embeddedtest"
	"tachograph/schemas/tables"
)

func migrations(t *testing.T) []tables.Migration {
	t.Helper()
	all, err := tables.Migrations()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestMigrateTwiceAtOnce opens a new database from several processes' worth of stores at once, and once more.
func TestMigrateTwiceAtOnce(t *testing.T) {
	t.Parallel()
	dsn := embeddedtest.Database(t)
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			s, err := store.Open(t.Context(), dsn, store.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			s.Close()
		})
	}
	wait.Wait()
	open(t, dsn, store.Options{})
	conn := embeddedtest.Connect(t, dsn)
	if n := embeddedtest.Number(t, conn, "SELECT count() FROM migrations"); n != int64(len(migrations(t))) {
		t.Errorf("%d migrations are noted, want each of %d once", n, len(migrations(t)))
	}
	if n := embeddedtest.Number(t, conn, "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name LIKE 'migration_lock%'"); n != 0 {
		t.Errorf("%d locks stayed behind", n)
	}
}

// TestMigrateGoesOn lets one process die in the middle: with tables of the first file made and nothing noted, and with its lock.
func TestMigrateGoesOn(t *testing.T) {
	t.Parallel()
	dsn := embeddedtest.Database(t)
	name := dsn[strings.LastIndex(dsn, "/")+1:]
	admin := embeddedtest.Connect(t, embeddedtest.Open(t).DSN())
	for _, statement := range []string{
		"CREATE DATABASE " + name,
		"CREATE TABLE " + name + ".migration_lock_0 (none UInt8) ENGINE = Null COMMENT '1000'", // expired in 1970
	} {
		if err := admin.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := embeddedtest.Connect(t, dsn).Exec(t.Context(), migrations(t)[0].Statements[0]); err != nil {
		t.Fatal(err)
	}
	s := open(t, dsn, store.Options{})
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if n := embeddedtest.Number(t, embeddedtest.Connect(t, dsn), "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name LIKE 'migration_lock%'"); n != 0 {
		t.Errorf("the dead process's lock is still there")
	}
}

// TestLockIsWaitedFor holds a lock while a store is opened.
func TestLockIsWaitedFor(t *testing.T) {
	t.Parallel()
	dsn := embeddedtest.Database(t)
	name := dsn[strings.LastIndex(dsn, "/")+1:]
	admin := embeddedtest.Connect(t, embeddedtest.Open(t).DSN())
	exec := func(statement string) {
		t.Helper()
		if err := admin.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	exec("CREATE DATABASE " + name)
	exec("CREATE TABLE " + name + ".migration_lock_zzz (none UInt8) ENGINE = Null COMMENT '9000000000000'")
	opened := make(chan error, 1)
	go func() {
		s, err := store.Open(t.Context(), dsn, store.Options{})
		if err == nil {
			s.Close()
		}
		opened <- err
	}()
	// Until it shows that it waits, by a lock of its own.
	for embeddedtest.Number(t, admin, "SELECT count() FROM system.tables WHERE database = '"+name+"' AND name LIKE 'migration_lock%'") < 2 {
		select {
		case err := <-opened:
			t.Fatal("opened while the lock was held:", err)
		case <-time.After(5 * time.Millisecond):
		}
	}
	if n := embeddedtest.Number(t, admin, "SELECT count() FROM system.tables WHERE database = '"+name+"' AND name = 'spans'"); n != 0 {
		t.Error("migrated while the lock was held")
	}
	exec("DROP TABLE " + name + ".migration_lock_zzz SYNC")
	if err := <-opened; err != nil {
		t.Error(err)
	}
}

func TestOtherVersionsAreRefusedByName(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		statement string
		newer     bool
		words     []string
	}{
		"newer":   {"INSERT INTO migrations VALUES (999, '0999_of_the_future', 'x', now64(3))", true, []string{"0999_of_the_future", "update tacho"}},
		"changed": {"ALTER TABLE migrations UPDATE checksum = 'feedface' WHERE number = 2 SETTINGS mutations_sync = 2", false, []string{migrations(t)[1].Name, "feedface"}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dsn := embeddedtest.Database(t)
			open(t, dsn, store.Options{})
			if err := embeddedtest.Connect(t, dsn).Exec(t.Context(), c.statement); err != nil {
				t.Fatal(err)
			}
			for _, readOnly := range []bool{false, true} {
				s, err := store.Open(t.Context(), dsn, store.Options{ReadOnly: readOnly})
				if err == nil {
					s.Close()
					t.Fatal("opened")
				}
				if errors.Is(err, store.ErrNewer) != c.newer {
					t.Errorf("error %v", err)
				}
				for _, word := range c.words {
					if !strings.Contains(err.Error(), word) {
						t.Errorf("error %q does not say %q", err, word)
					}
				}
			}
		})
	}
}

// TestReaderNeedsNoRights opens a database as the user who may only read.
func TestReaderNeedsNoRights(t *testing.T) {
	t.Parallel()
	dsn := embeddedtest.Database(t)
	name := dsn[strings.LastIndex(dsn, "/")+1:]
	reader := embeddedtest.InDatabase(t, embeddedtest.Open(t).ReaderDSN(), name)
	if s, err := store.Open(t.Context(), reader, store.Options{ReadOnly: true}); err == nil {
		s.Close()
		t.Error("opened a database that is not there")
	}
	w := open(t, dsn, store.Options{})
	r := story(t, 1, runID(1), 20)
	ingest(t, w, func(b *store.Batch) {
		for _, line := range r.Lines {
			b.Entry(entryRow(t, "default", runID(1), line))
		}
	})
	s := open(t, reader, store.Options{ReadOnly: true})
	if lines, err := read(t, s, runID(1), 0); err != nil || len(lines) != len(r.Lines) {
		t.Errorf("%d entries (%v)", len(lines), err)
	}
	if err := s.Insert(t.Context(), store.NewBatch(uuid.New(), time.Now())); err == nil {
		t.Error("inserted through a store that is read only")
	}
}

// TestAddressIsNotShown holds that no error shows a password.
func TestAddressIsNotShown(t *testing.T) {
	t.Parallel()
	for _, dsn := range []string{"http://u:hunter2@127.0.0.1:1/x", "http://u:hunter2@%zz/x", "nonsense://u:hunter2@h", "clickhouse://u:hunter2@a:1,b:2/x", ""} {
		s, err := store.Open(t.Context(), dsn, store.Options{})
		if err == nil {
			s.Close()
			t.Errorf("opened %q", dsn)
			continue
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
	if shown := store.Redacted("http://u:hunter2@h:1/x?password=hunter2"); strings.Contains(shown, "hunter2") {
		t.Errorf("shows %s", shown)
	}
}
