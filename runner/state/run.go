package state

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"tachograph/schemas/journal"
)

// Run is one run that this process may write. There is one Run for an id in a Store, so one order
// of entries. Its methods may be called concurrently.
type Run struct {
	*Journal
	family   *family
	volatile bool
	staging  staging
	grown    atomic.Bool // is on the store's list of those that get a head

	mu       sync.Mutex // the writer: what follows is the state after the newest applied entry
	live     *journal.State
	frontier *journal.Frontier
	info     RunInfo
	last     time.Time // of the newest entry
	epoch    int64
	entries  int   // since the last checkpoint
	bytes    int64 // of them
	gone     error // set when the run was removed or a write failed

	cacheMu sync.Mutex
	chunks  map[journal.Hash]bool // chunks of the newest checkpoint

	headMu sync.Mutex
	headAt atomic.Int64 // size of the newest signed head
}

// CreateOptions of a run. The zero value makes the root of a new family.
type CreateOptions struct {
	Parent   *ForkPoint // makes a fork, in the family of the parent
	Volatile bool       // see the package comment; a fork is what its family is

	imported bool          // see Import
	salt     *journal.Salt // of an imported family
}

// ForkPoint is an entry of a run, from whose state a fork begins.
type ForkPoint struct {
	Run journal.RunID `json:"run"`
	Seq int64         `json:"seq"`
}

// Create makes a run without entries; its first must be run.started. A run that has none when the
// store is next opened is removed.
func (s *Store) Create(ctx context.Context, id journal.RunID, o CreateOptions) (*Run, error) {
	s.loadMu.Lock()
	defer s.loadMu.Unlock()
	r, err := s.create(ctx, id, o)
	if err != nil {
		return nil, fmt.Errorf("create run %s: %w", id, err)
	}
	return r, nil
}

func (s *Store) create(ctx context.Context, id journal.RunID, o CreateOptions) (*Run, error) {
	if has, err := s.rows.has(idKey(rowRun, id)); has || err != nil {
		return nil, errors.Join(err, errors.New("it exists already"))
	}
	if id.IsZero() {
		return nil, errors.New("id missing")
	}
	live := journal.Start(nil)
	batch := s.rows.db.NewBatch()
	var f *family
	var err error
	if o.Parent == nil {
		f, err = s.newFamily(batch, id, o)
	} else {
		f, live, err = s.parentOf(ctx, *o.Parent)
	}
	if err != nil {
		return nil, err
	}
	info := RunInfo{ID: id, Family: f.id, Parent: o.Parent, Volatile: f.rec.Volatile, Imported: o.imported, Status: StatusCreated}
	row, err := info.row()
	if err != nil {
		return nil, err
	}
	batch.Set(idKey(rowRun, id), row, nil)
	batch.Set(idKey(rowLease, id), binary.BigEndian.AppendUint64(nil, 1), nil)
	if err := s.rows.commit(batch, !info.Volatile); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &tail{}
	s.tails[id] = t
	s.families[f.id] = weak.Make(f)
	r := newRun(&Journal{store: s, id: id, familyID: f.id, parent: o.Parent, tail: t}, f)
	r.live, r.frontier, r.info, r.epoch = live, &journal.Frontier{}, info, 1
	s.runs[id] = weak.Make(r)
	return r, nil
}

func (s *Store) parentOf(ctx context.Context, p ForkPoint) (*family, *journal.State, error) {
	parent, err := s.Journal(ctx, p.Run)
	if err != nil {
		return nil, nil, err
	}
	at, err := parent.Whole(ctx, p.Seq)
	if err != nil {
		return nil, nil, err
	}
	f, err := s.family(parent.familyID)
	if err != nil {
		return nil, nil, err
	}
	return f, journal.Start(at), nil
}

func newRun(j *Journal, f *family) *Run {
	return &Run{Journal: j, family: f, volatile: f.rec.Volatile,
		staging: staging{items: map[journal.Ref]*staged{}}, chunks: map[journal.Hash]bool{}}
}

// Run opens a run for writing, and folds its entries. ErrNotFound if there is none, ErrErased if
// only its proofs are left: [Store.Journal] reads those, and runs whose fold fails.
func (s *Store) Run(ctx context.Context, id journal.RunID) (*Run, error) {
	s.loadMu.Lock()
	defer s.loadMu.Unlock()
	if r := s.openRun(id); r != nil {
		return r, r.err()
	}
	j, err := s.Journal(ctx, id)
	if err != nil {
		return nil, err
	}
	f, err := s.family(j.familyID)
	if err != nil {
		return nil, fmt.Errorf("open run %s: %w", id, err)
	}
	r := newRun(j, f)
	if err := r.load(ctx); err != nil {
		return nil, fmt.Errorf("open run %s: %w", id, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs[id] = weak.Make(r)
	return r, nil
}

func (s *Store) openRun(id journal.RunID) *Run {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.runs[id].Value()
}

// load folds the entries that are there.
func (r *Run) load(ctx context.Context) (err error) {
	if r.info, err = r.store.Info(r.id); err != nil {
		return err
	}
	lease, err := r.store.rows.get(idKey(rowLease, r.id))
	if err != nil || len(lease) != 8 {
		return errors.Join(err, errors.New("row of its lease is missing or damaged"))
	}
	r.epoch, r.last = int64(binary.BigEndian.Uint64(lease)), r.info.Last
	next, _ := r.tail.at()
	f, err := r.foldTo(ctx, next-1, true)
	if err != nil {
		return err
	}
	r.live, r.frontier, r.entries, r.bytes = f.state, f.frontier, f.entries, f.bytes
	for name := range f.chunks {
		r.chunks[name] = true
	}
	if r.live.Next != r.info.Entries {
		return fmt.Errorf("its summary counts %d entries, %d are there: the store is damaged", r.info.Entries, r.live.Next)
	}
	signed, err := r.newestHead()
	r.headAt.Store(signed)
	return err
}

func (r *Run) err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.gone
}

// Objects are those of the run's workspace.
func (r *Run) Objects() *Objects { return &Objects{r.family} }

// View shows the state after the newest entry, which may not be durable yet; see the package
// comment. f must not keep or change it, and must not call the run's methods other than Stage.
func (r *Run) View(f func(*journal.State)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(r.live)
}

// State is a copy of the state after the newest entry, returned when that is durable, or when the
// run failed and never will be.
func (r *Run) State() *journal.State {
	r.mu.Lock()
	s := r.live.Clone()
	r.mu.Unlock()
	// The error means that no newer entry will become durable: who asks learns it at the next Append.
	_ = r.tail.wait(context.Background(), s.Next)
	return s
}

// Epoch is the revision of the lease under which entries are written.
func (r *Run) Epoch() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.epoch
}

// Take takes the lease for a new owner: the epoch rises, durably, and entries from now on carry it.
// A process that takes up a run of one that died does so before it appends `recovered`.
func (r *Run) Take(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("take run %s: %w", r.id, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone != nil {
		return fmt.Errorf("take run %s: %w", r.id, r.gone)
	}
	if r.info.Imported {
		return fmt.Errorf("take run %s: %w", r.id, ErrImported)
	}
	batch := r.store.rows.db.NewBatch()
	batch.Set(idKey(rowLease, r.id), binary.BigEndian.AppendUint64(nil, uint64(r.epoch+1)), nil)
	if err := r.store.rows.commit(batch, !r.volatile); err != nil {
		return fmt.Errorf("take run %s: %w", r.id, err)
	}
	r.epoch++
	return nil
}
