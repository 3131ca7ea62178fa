// Package store is the only one that speaks to ClickHouse: it makes the tables, writes rows, and answers questions that
// have a name. Whoever reads trusts nothing that it returns: bytes are checked against hashes where they are used.
//
// It must never build SQL out of values (they are parameters, always), never insert a row that could come twice where
// twice counts (package exact), and never read bodies for a list.
//
// An address is a DSN of clickhouse-go: http://user:password@host:port/database (https:// too) for the embedded engine and
// whatever stands behind a proxy, clickhouse://… or tcp://… for the native protocol of servers. It must name one
// server, not several behind one name (package exact says why).
//
// # Writing
//
// A [Batch] is a segment: rows of all tables, in columns. [Store.Insert] sends each table's rows as one block of
// the Native format in one INSERT, content before the entries that name it. After that it brings the table runs up to
// date with the entries (summary.go), which is derived, and can always be made again.
//
// # Reading
//
// The SQL of questions longer than two lines is in *.sql beside this file, run by the tests on the real engine. Rows that
// came twice are returned once, by LIMIT 1 BY on their key. No FINAL.
//
// Read first: batch.go, insert.go, then journal.go (what replay asks for), lists.go, traces.go and span_logs.go (other people's
// traces), migrate.go and erase.go.
package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"tachograph/schemas/journal"
)

// DefaultProject is the project of rows that name none.
const DefaultProject = "default"

// Options of Open.
type Options struct {
	Log      *slog.Logger
	Project  string // whose rows are read; DefaultProject if empty
	ReadOnly bool   // for users without the right to write: no migration, no Insert

	// MayBeAway: a server that does not answer is no error of Open. The tables are then brought up to date before the
	// first insert, and until then questions fail. What a server that does answer refuses is an error at once.
	MayBeAway bool

	// Remember is how long the end of a run is believed without being asked for again, by those who read entries before it;
	// a minute if 0.
	Remember time.Duration
}

// Store is an open ClickHouse. Safe for use by several goroutines.
type Store struct {
	conn     driver.Conn
	options  *clickhouse.Options
	lanes    lanes
	project  string
	readOnly bool
	log      *slog.Logger

	readyMu sync.Mutex
	ready   bool // the server was seen to be one of ours, with our tables

	runs     summaries // of runs that entries come in for
	rootsMu  sync.Mutex
	roots    map[journal.RunID]roots // of runs, read from their first entries
	ends     map[journal.RunID]end   // see endOf
	remember time.Duration
}

// Errors that callers branch on.
var (
	// ErrNotFound: there is no such run, or nothing of that name. Callers say so.
	ErrNotFound = errors.New("not found in ClickHouse")
	// ErrListBehind: what was inserted is stored, and the list of runs does not show it yet. Callers insert again, which
	// stores nothing twice.
	ErrListBehind = errors.New("the list of runs does not show the newest entries yet")
	// ErrErased: the family was erased on a person's request. Proofs stay valid; callers go on without its content.
	ErrErased = errors.New("erased")
	// ErrNewer: a newer tacho made this database. Callers tell the user to update.
	ErrNewer = errors.New("the database was made by a newer tacho")
	// ErrTooOld: the server cannot have our tables. Callers tell the user to update it.
	ErrTooOld = errors.New("the ClickHouse server is too old: tacho needs " + oldest + " or newer (tested with 26.7). " +
		"Update it, or leave --clickhouse out: tacho brings one along")
)

// settings of every query. async_insert would answer before rows are anywhere; a query without an end would outlive
// its client, since over HTTP the engine does not notice that nobody listens.
func settings() clickhouse.Settings {
	return clickhouse.Settings{"async_insert": 0, "max_execution_time": 60}
}

// oldest is the first version that is not refused: the oldest one that upstream still mends. It is not tested with.
const oldest = "25.3"

// Open connects, and brings the tables up to date unless it is to be read only. Close it.
func Open(ctx context.Context, dsn string, o Options) (*Store, error) {
	options, err := parse(dsn)
	if err != nil {
		return nil, err
	}
	s := &Store{options: options, project: o.Project, readOnly: o.ReadOnly, log: o.Log, roots: map[journal.RunID]roots{}, ends: map[journal.RunID]end{},
		remember: cmp.Or(o.Remember, time.Minute)}
	if s.project == "" {
		s.project = DefaultProject
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.conn, err = clickhouse.Open(options); err != nil {
		return nil, fmt.Errorf("open ClickHouse at %s: %w", Redacted(dsn), err)
	}
	s.lanes.options = options
	err = s.makeReady(ctx)
	if err != nil && !(o.MayBeAway && away(err)) {
		return nil, errors.Join(fmt.Errorf("open ClickHouse at %s: %w", Redacted(dsn), err), s.Close())
	}
	return s, nil
}

// Ready says whether the server was seen, and has our tables.
func (s *Store) Ready() bool {
	s.readyMu.Lock()
	defer s.readyMu.Unlock()
	return s.ready
}

// makeReady looks at the server, once, and makes what it lacks.
func (s *Store) makeReady(ctx context.Context) error {
	s.readyMu.Lock()
	defer s.readyMu.Unlock()
	if s.ready {
		return nil
	}
	err := s.migrateOrCheck(ctx)
	if err == nil {
		err = s.checkServer(ctx)
	}
	switch Code(err) {
	case codeUnknownFunction, codeUnknownSetting: // of the driver's first words, or of our connections
		err = fmt.Errorf("%w: %w", ErrTooOld, err)
	}
	s.ready = err == nil
	return err
}

func (s *Store) migrateOrCheck(ctx context.Context) error {
	if s.readOnly {
		return s.checkVersion(ctx)
	}
	return s.migrate(ctx)
}

// checkServer refuses a server that is too old to be trusted with our tables though it took them.
func (s *Store) checkServer(ctx context.Context) error {
	var enough uint8
	var version string
	err := s.conn.QueryRow(ctx, "SELECT version(), toUInt8(arrayMap(x -> toUInt32OrZero(x), arraySlice(splitByChar('.', version()), 1, 2)) >= arrayMap(x -> toUInt32(x), splitByChar('.', '"+oldest+"')))").Scan(&version, &enough)
	if err == nil && enough == 0 {
		err = fmt.Errorf("%w: it is %s", ErrTooOld, version)
	}
	return err
}

// away says whether an error means that nobody answered, who may do so later.
func away(err error) bool {
	var network *net.OpError
	return Code(err) == 0 && (errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded))
}

// parse reads a DSN and sets what every connection has.
func parse(dsn string) (*clickhouse.Options, error) {
	options, err := clickhouse.ParseDSN(dsn)
	if err != nil {
		// The error of a DSN that cannot be read may quote it, password and all.
		return nil, fmt.Errorf("read the ClickHouse address: want http://user:password@host:port/database or clickhouse://…")
	}
	if len(options.Addr) != 1 {
		return nil, fmt.Errorf("read the ClickHouse address: it names %d servers; give one (exactly-once is kept by each for itself)", len(options.Addr))
	}
	if options.Auth.Database == "" {
		options.Auth.Database = "tacho"
	}
	if options.Settings == nil {
		options.Settings = clickhouse.Settings{}
	}
	for name, value := range settings() {
		options.Settings[name] = value
	}
	options.MaxOpenConns, options.MaxIdleConns = 8, 4
	options.ReadTimeout = 5 * time.Minute
	if options.DialTimeout == 0 {
		options.DialTimeout = 30 * time.Second // a busy machine answers late, and that is no failure
	}
	return options, nil
}

// Redacted is a DSN that can be shown: without its password.
func Redacted(dsn string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		return "(address)"
	}
	u.RawQuery = ""
	return u.Redacted()
}

// Close ends all connections.
func (s *Store) Close() error {
	s.lanes.close()
	return s.conn.Close()
}

// Ping asks whether the engine answers.
func (s *Store) Ping(ctx context.Context) error {
	err := s.makeReady(ctx)
	if err == nil {
		err = s.conn.Ping(ctx)
	}
	if err != nil {
		return fmt.Errorf("ping ClickHouse: %w", err)
	}
	return nil
}

// Project is the one whose rows are read.
func (s *Store) Project() string { return s.project }

// Writes says whether the store was opened to be written.
func (s *Store) Writes() bool { return !s.readOnly }

// Code is the number of ClickHouse's error in err, 0 if there is none.
func Code(err error) int {
	var native *clickhouse.Exception
	if errors.As(err, &native) {
		return int(native.Code)
	}
	var raw *Exception
	if errors.As(err, &raw) {
		return raw.Code
	}
	if err != nil { // clickhouse-go's HTTP errors are text
		if _, rest, ok := strings.Cut(err.Error(), "Code: "); ok {
			var code int
			if _, err := fmt.Sscanf(rest, "%d", &code); err == nil {
				return code
			}
		}
	}
	return 0
}

// Permanent says whether an insert that failed so will fail again however often it is tried: the rows
// themselves are refused, not the moment. It is an error in this program; callers put the segment aside and say so.
func Permanent(err error) bool {
	switch Code(err) {
	case 6, 7, 10, 16, 20, 27, 33, 41, 43, 44, 50, 53, 62, 70, 117, 131, 349: // of parsing and of types
		return true
	}
	return false
}

// Exception is an error that the engine answered over raw HTTP.
type Exception struct {
	Code    int
	Message string
}

func (e *Exception) Error() string { return e.Message }
