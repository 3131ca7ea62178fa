package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"tachograph/schemas/tables"
)

// Migration brings a database to the tables of this program.
//
// What was applied is written down in the table migrations: number, name, checksum of the file. Every statement can be
// applied twice (IF NOT EXISTS), so that a process that dies in the middle of a file harms nobody: the next one does
// the file again. That alone makes two processes at once safe; the lock is for changes that move data one day.
//
// The lock needs nothing but what every server has: a table of one's own, named migration_lock_<uuid>, whose comment says until
// when it is valid, by the clock of the server. Whoever sees no other valid lock after making its own holds the
// lock. If there are others, the one with the greatest name removes its own and begins again later; the least stays and
// waits. (Two cannot both hold: of two the one that looked later had made its table before it looked, and so had
// the other.) A holder says every few seconds that it lives; the lock of a dead one expires.
const (
	lockPrefix = "migration_lock_"
	lockValid  = 20 * time.Second
	lockRenew  = 4 * time.Second
	lockLook   = 100 * time.Millisecond
)

// Codes of ClickHouse's errors.
const (
	codeUnknownFunction = 46
	codeUnknownTable    = 60
	codeUnknownDatabase = 81
	codeUnknownSetting  = 115
)

// migrate makes the database and applies what is missing.
func (s *Store) migrate(ctx context.Context) error {
	missing, err := s.missing(ctx)
	if Code(err) == codeUnknownDatabase {
		if err := s.createDatabase(ctx); err != nil {
			return err
		}
		missing, err = s.missing(ctx)
	}
	if err != nil || len(missing) == 0 {
		return err
	}
	unlock, err := s.lock(ctx)
	if err != nil {
		return fmt.Errorf("lock the database for its migration: %w", err)
	}
	defer unlock()
	if missing, err = s.missing(ctx); err != nil {
		return err
	}
	for _, m := range missing {
		if err := s.apply(ctx, m); err != nil {
			return fmt.Errorf("migrate the database to %s: %w", m.Name, err)
		}
		s.log.Info("migrated the database", "to", m.Name)
	}
	return nil
}

// checkVersion is migrate for a user who may only read: what is missing is an error.
func (s *Store) checkVersion(ctx context.Context) error {
	missing, err := s.missing(ctx)
	if err == nil && len(missing) > 0 {
		err = fmt.Errorf("its tables are older than this tacho (%s is missing): open it once with a user who may write", missing[0].Name)
	}
	return err
}

// missing are the migrations that the database does not have. ErrNewer if it has some that this program does not know.
func (s *Store) missing(ctx context.Context) ([]tables.Migration, error) {
	all, err := tables.Migrations()
	if err != nil {
		return nil, err
	}
	type done struct {
		number         uint32
		name, checksum string
	}
	applied, err := list(ctx, s, "SELECT number, name, checksum FROM migrations ORDER BY number, applied LIMIT 1 BY number", func(r driver.Rows) (d done, err error) {
		return d, r.Scan(&d.number, &d.name, &d.checksum)
	})
	if err != nil && Code(err) != codeUnknownTable {
		return nil, fmt.Errorf("read which migrations the database has: %w", err)
	}
	have := map[int]done{}
	for _, d := range applied {
		if int(d.number) > len(all) {
			return nil, fmt.Errorf("%w: it has the migration %s, the last one here is %s; update tacho, or use another database", ErrNewer, d.name, all[len(all)-1].Name)
		}
		have[int(d.number)] = d
	}
	var missing []tables.Migration
	for _, m := range all {
		d, ok := have[m.Number]
		switch {
		case !ok:
			missing = append(missing, m)
		case d.checksum != m.Checksum:
			return nil, fmt.Errorf("the database was made by another %s (as %s, checksum %.12s, here %.12s): use a tacho of the kind that made it, or another database", m.Name, d.name, d.checksum, m.Checksum)
		}
	}
	return missing, nil
}

func (s *Store) apply(ctx context.Context, m tables.Migration) error {
	for _, statement := range m.Statements {
		if err := s.conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	const note = "CREATE TABLE IF NOT EXISTS migrations (number UInt32, name String, checksum String, applied DateTime64(3, 'UTC')) ENGINE = MergeTree ORDER BY number SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"
	if err := s.conn.Exec(ctx, note); err != nil {
		return err
	}
	return s.conn.Exec(with(ctx, "number", fmt.Sprint(m.Number), "name", m.Name, "checksum", m.Checksum),
		"INSERT INTO migrations SELECT {number:UInt32}, {name:String}, {checksum:String}, now64(3)")
}

// createDatabase makes the database of the address, through a connection that names none.
func (s *Store) createDatabase(ctx context.Context) error {
	options := *s.options
	options.Auth.Database = "default"
	conn, err := clickhouse.Open(&options)
	if err != nil {
		return err
	}
	err = conn.Exec(with(ctx, "name", s.options.Auth.Database), "CREATE DATABASE IF NOT EXISTS {name:Identifier}")
	if err != nil {
		err = fmt.Errorf("create database %s: %w", s.options.Auth.Database, err)
	}
	return errors.Join(err, conn.Close())
}

// lock waits for the lock and gives a function that ends it.
func (s *Store) lock(ctx context.Context) (unlock func(), err error) {
	for {
		name := lockPrefix + strings.ReplaceAll(uuid.NewString(), "-", "_")
		if err := s.sayLock(ctx, "CREATE TABLE "+name+" (none UInt8) ENGINE = Null COMMENT "); err != nil {
			return nil, err
		}
		held, err := s.waitForLock(ctx, name)
		if held {
			return s.keepLock(ctx, name), nil
		}
		s.dropLock(ctx, name)
		if err != nil {
			return nil, err
		}
		if err := pause(ctx, 2*lockLook); err != nil {
			return nil, err
		}
	}
}

// sayLock says until when the lock is valid. The statement ends before the comment: a number, by the server's clock.
func (s *Store) sayLock(ctx context.Context, statement string) error {
	var now int64
	if err := s.conn.QueryRow(ctx, "SELECT toUnixTimestamp64Milli(now64(3))").Scan(&now); err != nil {
		return err
	}
	return s.conn.Exec(ctx, fmt.Sprintf("%s'%d'", statement, now+lockValid.Milliseconds()))
}

// waitForLock returns true once there is no other valid lock, false if another one goes first.
func (s *Store) waitForLock(ctx context.Context, name string) (bool, error) {
	for said := time.Now(); ; {
		others, err := s.otherLocks(ctx, name)
		if err != nil || len(others) == 0 {
			return err == nil, err
		}
		for _, other := range others {
			if other < name {
				return false, nil
			}
		}
		if err := pause(ctx, lockLook); err != nil {
			return false, err
		}
		if time.Since(said) > lockRenew {
			if err := s.sayLock(ctx, "ALTER TABLE "+name+" MODIFY COMMENT "); err != nil {
				return false, err
			}
			said = time.Now()
		}
	}
}

// otherLocks are the valid locks of others. Those that have expired are removed.
func (s *Store) otherLocks(ctx context.Context, own string) (valid []string, err error) {
	type lock struct {
		name    string
		expired uint8
	}
	locks, err := list(with(ctx, "prefix", lockPrefix, "own", own), s, question("locks"), func(r driver.Rows) (l lock, err error) {
		return l, r.Scan(&l.name, &l.expired)
	})
	for _, l := range locks {
		if l.expired == 0 {
			valid = append(valid, l.name)
			continue
		}
		s.dropLock(ctx, l.name)
	}
	return valid, err
}

// keepLock renews the lock until it is ended.
func (s *Store) keepLock(ctx context.Context, name string) (unlock func()) {
	renew, stop := context.WithCancel(ctx)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for pause(renew, lockRenew) == nil {
			if err := s.sayLock(renew, "ALTER TABLE "+name+" MODIFY COMMENT "); err != nil && renew.Err() == nil {
				s.log.Warn("renew the lock of the database's migration", "error", err)
			}
		}
	}()
	return func() {
		stop()
		<-stopped
		s.dropLock(ctx, name)
	}
}

// dropLock removes a lock; one that stays behind expires.
func (s *Store) dropLock(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := s.conn.Exec(ctx, "DROP TABLE IF EXISTS "+name+" SYNC"); err != nil {
		s.log.Warn("remove the lock of the database's migration; it expires by itself", "error", err)
	}
}

// pause waits, or returns the error of a context that ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
