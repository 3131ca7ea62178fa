package state

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/mod/sumdb/note"

	"tachograph/schemas/journal"
)

// layoutVersion of the rows and files; see the package comment.
const layoutVersion = "1"

// Store is the state of all runs of one directory. Its methods may be called concurrently.
type Store struct {
	dir    string
	o      Options
	log    *slog.Logger
	fs     vfs.FS
	lock   io.Closer
	rows   *rows
	files  *files
	packer *packer
	signer note.Signer
	key    note.Verifier
	quota  quota

	loadMu sync.Mutex // held while a run is made, opened or removed, so that an id has one Run

	mu       sync.Mutex
	runs     map[journal.RunID]weak.Pointer[Run]
	families map[journal.RunID]weak.Pointer[family]
	tails    map[journal.RunID]*tail
	grown    map[journal.RunID]*Run // got entries since their last head

	baseMu sync.Mutex // sealing and dropping of base trees

	listed atomic.Pointer[listed]

	stop chan struct{}
	done chan struct{} // closed when the goroutine that signs heads has ended
}

// Open takes the directory, made if missing with mode 0700, and mends what a crash left: removals
// are finished, runs that never got an entry and volatile runs are removed, files that no row refers to are
// deleted. A directory that another process owns is refused with a *LockedError.
//
// There is no read-only way: a process that may read may own the directory while nobody else does.
func Open(dir string, o Options) (*Store, error) {
	o = o.withDefaults()
	s := &Store{dir: dir, o: o, log: o.Log, fs: o.FS,
		runs: map[journal.RunID]weak.Pointer[Run]{}, families: map[journal.RunID]weak.Pointer[family]{},
		tails: map[journal.RunID]*tail{}, grown: map[journal.RunID]*Run{},
		stop: make(chan struct{}), done: make(chan struct{})}
	s.quota.init(s)
	err := s.open()
	if err == nil {
		err = s.mend()
	}
	if err != nil {
		close(s.done)
		return nil, fmt.Errorf("open state: %w", errors.Join(err, s.release()))
	}
	go s.signHeads()
	return s, nil
}

func (s *Store) open() (err error) {
	if err := makeDir(s.fs, s.dir); err != nil {
		return err
	}
	if s.lock, err = own(s.fs, s.dir, s.o.Clock()); err != nil {
		return err
	}
	if err := s.openKey(); err != nil {
		return err
	}
	if s.packer, err = newPacker(); err != nil {
		return err
	}
	s.files = &files{fs: s.fs, dir: s.path("files")}
	if err := makeDir(s.fs, s.files.dir); err != nil {
		return err
	}
	if s.rows, err = openRows(s.path("db"), s.o); err != nil {
		return err
	}
	return s.checkVersion()
}

func (s *Store) path(name string) string { return s.fs.PathJoin(s.dir, name) }

func (s *Store) checkVersion() error {
	found, err := s.rows.get([]byte{rowVersion})
	if errors.Is(err, ErrNotFound) {
		b := s.rows.db.NewBatch()
		b.Set([]byte{rowVersion}, []byte(layoutVersion), nil)
		return s.rows.commit(b, true)
	}
	if err == nil && string(found) != layoutVersion {
		err = fmt.Errorf("its layout is version %.20q, this tacho knows %q: use the one that wrote it", found, layoutVersion)
	}
	return err
}

// mend finishes what a crash interrupted.
func (s *Store) mend() error {
	if err := s.finishRemovals(); err != nil {
		return err
	}
	infos, err := s.Runs(context.Background())
	if err != nil {
		return err
	}
	for _, info := range infos {
		switch {
		case info.Volatile && info.ID == info.Family:
			err = s.Remove(context.Background(), info.Family, RemoveOptions{})
		case info.Entries == 0 && info.ID == info.Family:
			err = s.Remove(context.Background(), info.Family, RemoveOptions{})
		case info.Entries == 0:
			err = s.RemoveRun(context.Background(), info.ID)
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	return s.files.sweep(s.hasCell)
}

// hasCell says whether a row refers to the file of that name.
func (s *Store) hasCell(scope scopeID, name [journal.HashSize]byte) (bool, error) {
	for _, letter := range []byte{rowContent, rowObject} {
		if has, err := s.rows.has(hashKey(letter, scope, name)); has || err != nil {
			return has, err
		}
	}
	return false, nil
}

// Close signs the heads that are due, waits for readers and writers, and gives the directory back.
func (s *Store) Close() error {
	s.mu.Lock()
	select {
	case <-s.stop:
		s.mu.Unlock()
		return nil
	default:
		close(s.stop)
	}
	s.mu.Unlock()
	<-s.done
	if err := s.release(); err != nil {
		return fmt.Errorf("close state: %w", err)
	}
	return nil
}

func (s *Store) release() error {
	var errs []error
	s.mu.Lock()
	for _, t := range s.tails {
		t.fail(ErrClosed)
	}
	s.mu.Unlock()
	if s.rows != nil {
		errs = append(errs, s.rows.close())
	}
	if s.packer != nil {
		s.packer.close()
	}
	if s.lock != nil {
		errs = append(errs, disown(s.fs, s.dir, s.lock))
	}
	return errors.Join(errs...)
}

// signHeads signs a head of each run that grew, every Options.HeadEvery and when the store closes.
func (s *Store) signHeads() {
	defer close(s.done)
	ticker := time.NewTicker(s.o.HeadEvery)
	defer ticker.Stop()
	for stopped := false; !stopped; {
		select {
		case <-ticker.C:
		case <-s.stop:
			stopped = true
		}
		s.mu.Lock()
		due := make([]*Run, 0, len(s.grown))
		for _, r := range s.grown {
			due = append(due, r)
		}
		s.mu.Unlock()
		for _, r := range due {
			if err := r.SignHead(context.Background()); err != nil && !errors.Is(err, ErrErased) {
				s.log.Error("sign head", "run", r.id, "error", err)
			}
		}
	}
}

// grew puts a run on the list of those that get a head.
func (s *Store) grew(r *Run) {
	s.mu.Lock()
	s.grown[r.id] = r
	s.mu.Unlock()
}

func (s *Store) signed(r *Run) {
	s.mu.Lock()
	delete(s.grown, r.id)
	s.mu.Unlock()
}

// makeDir makes a directory that only its owner may enter, durably.
func makeDir(fs vfs.FS, dir string) error {
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make directory %s: %w", dir, err)
	}
	parent, err := fs.OpenDir(fs.PathDir(dir))
	if err == nil {
		err = errors.Join(parent.Sync(), parent.Close())
	}
	if err != nil {
		return fmt.Errorf("make directory %s durable: %w", dir, err)
	}
	return nil
}
