package state

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// formatVersion of the database; a store written by a newer Pebble is not opened by an older one,
// so it is raised on purpose and not with the dependency.
const formatVersion = pebble.FormatValueSeparation

// rows is the database. It turns what Pebble does on an error of the disk (panic, or end the
// process) into ErrBroken, and keeps Close from pulling it away under a reader.
type rows struct {
	db  *pebble.DB
	fs  *scrubFS
	log *slog.Logger

	applyMu sync.Mutex   // one Apply at a time, so that none starts after a failed one
	written atomic.Int64 // bytes of all batches
	broken  atomic.Pointer[error]

	mu     sync.Mutex
	users  int
	closed bool
	idle   chan struct{} // closed when the last user left after close
}

func openRows(dir string, o Options) (*rows, error) {
	r := &rows{fs: &scrubFS{FS: o.FS}, log: o.Log, idle: make(chan struct{})}
	po := &pebble.Options{
		FS:                 r.fs,
		CacheSize:          o.CacheBytes,
		MemTableSize:       8 << 20, // up to logsKept finished logs of this size stay for reuse
		FormatMajorVersion: formatVersion,
		Logger:             pebbleLog{o.Log},
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { o.Log.Error("store: background work failed, will be tried again", "error", err) },
			WriteStallBegin: func(info pebble.WriteStallBeginInfo) { o.Log.Warn("store: writes wait", "reason", info.Reason) },
		},
	}
	po.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionBalanced })
	for i := range po.Levels {
		// Entries and checkpoints are read by range: larger blocks compress them twice as well.
		po.Levels[i].BlockSize = 16 << 10
		po.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	db, err := pebble.Open(dir, po)
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", dir, err)
	}
	r.db = db
	return r, nil
}

// pebbleLog hands Pebble's words to slog. Pebble expects Fatalf not to return.
type pebbleLog struct{ log *slog.Logger }

func (l pebbleLog) Infof(format string, args ...any)  { l.log.Debug(fmt.Sprintf(format, args...)) }
func (l pebbleLog) Errorf(format string, args ...any) { l.log.Error(fmt.Sprintf(format, args...)) }
func (l pebbleLog) Fatalf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	l.log.Error("store: cannot go on", "error", text)
	panic(text)
}

// used is how many bytes its files take. Pebble counts the log that is being written with what it had when it was
// begun: nothing, if it is no old one that is used again.
func (r *rows) used() int64 {
	m := r.db.Metrics()
	return int64(m.DiskSpaceUsage() + max(m.WAL.Size, m.WAL.PhysicalSize) - m.WAL.PhysicalSize)
}

// enter keeps the database open until leave.
func (r *rows) enter() error {
	if err := r.brokenBy(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	r.users++
	return nil
}

func (r *rows) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.users--; r.closed && r.users == 0 {
		close(r.idle)
	}
}

// close waits for all users to leave. A broken database is left as it is: Pebble may hold locks for
// ever, and the process is to end.
func (r *rows) close() error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	r.closed = true
	if r.users == 0 {
		close(r.idle)
	}
	r.mu.Unlock()
	if err := r.brokenBy(); err != nil {
		return err
	}
	<-r.idle
	// So that the next start has no log to replay, and the directory holds everything once.
	return errors.Join(r.db.Flush(), r.db.Close())
}

func (r *rows) brokenBy() error {
	if cause := r.broken.Load(); cause != nil {
		return *cause
	}
	return nil
}

func (r *rows) breakBy(cause error) error {
	err := fmt.Errorf("%w: %w", ErrBroken, cause)
	r.broken.CompareAndSwap(nil, &err)
	return r.brokenBy()
}

// apply makes a batch visible and queues it for the disk; wait waits until it is there. Batches
// reach the disk in the order of their apply.
func (r *rows) apply(b *pebble.Batch, sync bool) (err error) {
	if err := r.enter(); err != nil {
		return err
	}
	defer r.leave()
	r.applyMu.Lock()
	defer r.applyMu.Unlock()
	if err := r.brokenBy(); err != nil {
		return err
	}
	defer func() {
		if p := recover(); p != nil {
			err = r.breakBy(fmt.Errorf("%v", p))
		}
	}()
	if sync {
		err = r.db.ApplyNoSyncWait(b, pebble.Sync)
	} else {
		err = r.db.Apply(b, pebble.NoSync)
	}
	if err != nil {
		return r.breakBy(err)
	}
	r.written.Add(int64(b.Len()))
	return nil
}

func (r *rows) wait(b *pebble.Batch) error {
	if err := b.SyncWait(); err != nil {
		return r.breakBy(err)
	}
	return b.Close()
}

// commit is apply and, if sync, wait.
func (r *rows) commit(b *pebble.Batch, sync bool) error {
	if b.Empty() {
		return b.Close()
	}
	if err := r.apply(b, sync); err != nil {
		return err
	}
	if sync {
		return r.wait(b)
	}
	return b.Close()
}

// get copies a value; ErrNotFound if there is none.
func (r *rows) get(key []byte) ([]byte, error) {
	if err := r.enter(); err != nil {
		return nil, err
	}
	defer r.leave()
	value, closer, err := r.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read row: %w", err)
	}
	defer closer.Close()
	return append([]byte{}, value...), nil
}

func (r *rows) has(key []byte) (bool, error) {
	if err := r.enter(); err != nil {
		return false, err
	}
	defer r.leave()
	_, closer, err := r.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read row: %w", err)
	}
	return true, closer.Close()
}

// errStop ends a scan early without an error.
var errStop = errors.New("stop")

// scan calls each with the rows from lower to before upper, in order, until it returns an error.
// Key and value are valid only during the call.
func (r *rows) scan(lower, upper []byte, each func(key, value []byte) error) error {
	if err := r.enter(); err != nil {
		return err
	}
	defer r.leave()
	it, err := r.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return fmt.Errorf("scan rows: %w", err)
	}
	err = r.walk(it, each)
	if closeErr := it.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("scan rows: %w", closeErr)
	}
	if errors.Is(err, errStop) {
		return nil
	}
	return err
}

func (r *rows) walk(it *pebble.Iterator, each func(key, value []byte) error) error {
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return fmt.Errorf("scan rows: %w", err)
		}
		if err := each(it.Key(), value); err != nil {
			return err
		}
	}
	return nil
}

// last copies the last row from lower to before upper; a nil key if there is none.
func (r *rows) last(lower, upper []byte) (key, value []byte, err error) {
	if err := r.enter(); err != nil {
		return nil, nil, err
	}
	defer r.leave()
	it, err := r.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, nil, fmt.Errorf("read last row: %w", err)
	}
	if it.Last() {
		var v []byte
		if v, err = it.ValueAndErr(); err == nil {
			key, value = append([]byte{}, it.Key()...), append([]byte{}, v...)
		}
	}
	if err := errors.Join(err, it.Close()); err != nil {
		return nil, nil, fmt.Errorf("read last row: %w", err)
	}
	return key, value, nil
}

// scrubFS lets go of old write-ahead logs. Pebble keeps finished ones to write over them, which is
// quicker; what was deleted from the store can still be read in their old part. While scrub is
// set, a log is made afresh instead and the old one is removed.
type scrubFS struct {
	vfs.FS
	scrub atomic.Bool
}

// Unwrap serves vfs.Root.
func (f *scrubFS) Unwrap() vfs.FS { return f.FS }

func (f *scrubFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if !f.scrub.Load() {
		return f.FS.ReuseForWrite(oldname, newname, category)
	}
	if err := f.FS.Remove(oldname); err != nil {
		return nil, err
	}
	return f.FS.Create(newname, category)
}
