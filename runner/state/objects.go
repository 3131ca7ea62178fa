package state

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"tachograph/schemas/journal"
)

// Objects keeps the files, chunks and directories of a run's workspace. Runs of one family share
// theirs; the tree as it was before any run stands once for all families that began with it.
// Methods may be called concurrently.
type Objects struct{ family *family }

// pendingObject is a large object on its way: its bytes are in the file temp, which becomes
// durable before a row says that the object is there.
type pendingObject struct {
	scope scopeID
	temp  string
	cell  []byte
}

// syncers is how many files are made durable at the same time: the disk merges what overlaps.
const syncers = 8

// Has says whether the object is there.
func (o *Objects) Has(ctx context.Context, name journal.Object) (bool, error) {
	if err := o.ready(ctx); err != nil {
		return false, fmt.Errorf("look for object %s: %w", name.Short(), err)
	}
	_, _, found, err := o.family.find(name)
	if err != nil {
		return false, fmt.Errorf("look for object %s: %w", name.Short(), err)
	}
	return found, nil
}

// Put keeps b under its name, which the caller has computed (journal.NameObject). It is durable no
// later than the next Append of a run of the family that begins after Put returned, or SealBase.
func (o *Objects) Put(ctx context.Context, name journal.Object, b []byte) error {
	o.family.use.RLock()
	defer o.family.use.RUnlock()
	if err := o.ready(ctx); err != nil {
		return fmt.Errorf("put object %s: %w", name.Short(), err)
	}
	if err := o.family.putObject(name, b); err != nil {
		return fmt.Errorf("put object %s: %w", name.Short(), err)
	}
	return nil
}

// Get returns the bytes of an object, checked against its name. ErrNotFound if it is not there.
func (o *Objects) Get(ctx context.Context, name journal.Object) ([]byte, error) {
	if err := o.ready(ctx); err != nil {
		return nil, fmt.Errorf("get object %s: %w", name.Short(), err)
	}
	b, err := o.family.getObject(name)
	if err == nil && journal.NameObject(b) != name {
		err = errors.New("its bytes have another hash: the store is damaged")
	}
	if err != nil {
		return nil, fmt.Errorf("get object %s: %w", name.Short(), err)
	}
	return b, nil
}

// SealBase says that what was put so far is the tree root as it was before any run, and makes it
// durable. If another family began with the same tree, its objects are used and these are given
// back, all but those that the other did not keep (a secret that only this one captured).
func (o *Objects) SealBase(ctx context.Context, root journal.Object) error {
	o.family.use.RLock()
	defer o.family.use.RUnlock()
	if err := o.ready(ctx); err != nil {
		return fmt.Errorf("seal base tree: %w", err)
	}
	if err := o.family.sealBase(root); err != nil {
		return fmt.Errorf("seal base tree %s: %w", root.Short(), err)
	}
	return nil
}

func (o *Objects) ready(ctx context.Context) error {
	if err := o.family.alive(); err != nil {
		return err
	}
	return ctx.Err()
}

// scopes are where the family's objects may stand.
func (f *family) scopes() [2]scopeID {
	f.mu.Lock()
	defer f.mu.Unlock()
	return [2]scopeID{f.own(), f.rec.Base}
}

// find returns the cell of an object and its scope.
func (f *family) find(name journal.Object) (scopeID, []byte, bool, error) {
	f.mu.Lock()
	p, ok := f.pending[name]
	f.mu.Unlock()
	if ok {
		return p.scope, p.cell, true, nil
	}
	for _, scope := range f.scopes() {
		cell, err := f.store.rows.get(hashKey(rowObject, scope, name))
		if !errors.Is(err, ErrNotFound) {
			return scope, cell, err == nil, err
		}
	}
	return scopeID{}, nil, false, nil
}

func (f *family) putObject(name journal.Object, b []byte) error {
	_, _, found, err := f.find(name)
	if found || err != nil {
		return err
	}
	f.mu.Lock()
	scope := f.own()
	if f.rec.Root.IsZero() {
		scope = f.rec.Base
	}
	f.mu.Unlock()
	p := f.store.packer.pack(b)
	if p.file == nil {
		batch := f.store.rows.db.NewBatch()
		batch.Set(hashKey(rowObject, scope, name), p.cell, nil)
		return f.store.rows.commit(batch, false)
	}
	temp, err := f.store.files.write(scope, p.file)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.pending[name]; ok {
		f.store.files.used.Add(-int64(len(p.file)))
		return f.store.fs.Remove(temp)
	}
	f.pending[name] = pendingObject{scope, temp, p.cell}
	return nil
}

func (f *family) getObject(name journal.Object) ([]byte, error) {
	scope, cell, found, err := f.find(name)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, ErrNotFound
	}
	return f.store.packer.unpack(cell, func() ([]byte, error) {
		f.mu.Lock()
		p, pending := f.pending[name]
		f.mu.Unlock()
		if pending {
			if b, err := f.store.files.read(p.temp); err == nil {
				return b, nil
			}
			// It got its own name in this moment.
		}
		return f.store.files.read(f.store.files.path(scope, name))
	})
}

// flush makes large objects durable and then writes their rows. It waits for a flush that another
// call has begun, so that nobody commits to what is still on its way.
func (f *family) flush() error {
	f.flushMu.Lock()
	defer f.flushMu.Unlock()
	f.mu.Lock()
	todo := make(map[journal.Object]pendingObject, len(f.pending))
	for name, p := range f.pending {
		todo[name] = p
	}
	volatile := f.rec.Volatile
	f.mu.Unlock()
	if len(todo) == 0 {
		return nil
	}
	if err := f.publishAll(todo, !volatile); err != nil {
		return err
	}
	batch := f.store.rows.db.NewBatch()
	for name, p := range todo {
		batch.Set(hashKey(rowObject, p.scope, name), p.cell, nil)
	}
	if err := f.store.rows.commit(batch, false); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for name := range todo {
		delete(f.pending, name)
	}
	return nil
}

func (f *family) publishAll(todo map[journal.Object]pendingObject, sync bool) error {
	scopes := map[scopeID]bool{}
	work := newWorkers(syncers)
	for name, p := range todo {
		scopes[p.scope] = true
		work.do(func() error { return f.store.files.publish(p.temp, p.scope, name, sync) })
	}
	if err := work.wait(); err != nil || !sync {
		return err
	}
	for scope := range scopes {
		if err := f.store.files.syncScope(scope); err != nil {
			return err
		}
	}
	return nil
}

func (f *family) sealBase(root journal.Object) error {
	if root.IsZero() {
		return errors.New("no root given")
	}
	if err := f.flush(); err != nil {
		return err
	}
	s := f.store
	s.baseMu.Lock()
	defer s.baseMu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.rec.Root.IsZero() {
		return fmt.Errorf("it is sealed already, as %s", f.rec.Root.Short())
	}
	old := f.rec.Base
	batch := s.rows.db.NewBatch()
	f.rec.Root = root
	found, err := s.rows.get(baseKey(root))
	switch {
	case errors.Is(err, ErrNotFound):
		batch.Set(baseKey(root), old[:], nil)
	case err != nil:
		return err
	case len(found) != len(scopeID{}):
		return errors.New("row of the base tree is damaged")
	default:
		f.rec.Base = scopeID(found)
		if err := f.adopt(batch, old); err != nil {
			return err
		}
	}
	if err := f.put(batch); err != nil {
		return err
	}
	if err := s.rows.commit(batch, !f.rec.Volatile); err != nil {
		return err
	}
	if f.rec.Base != old {
		return s.files.removeScope(old)
	}
	return nil
}

// adopt gives back the objects in old, where they stand in the family's new base too; others
// become the family's own.
func (f *family) adopt(batch *pebble.Batch, old scopeID) error {
	s := f.store
	lower := idKey(rowObject, old)
	err := s.rows.scan(lower, after(lower), func(key, cell []byte) error {
		name, err := decodeHash(key)
		if err != nil {
			return err
		}
		has, err := s.rows.has(hashKey(rowObject, f.rec.Base, name))
		if has || err != nil {
			return err
		}
		batch.Set(hashKey(rowObject, f.own(), name), cell, nil)
		if kind, _, _, err := decodeCell(cell); err != nil || kind < cellFile {
			return err
		}
		return s.files.move(old, f.own(), name)
	})
	if err != nil {
		return err
	}
	batch.DeleteRange(lower, after(lower), nil)
	batch.Delete(baseUseKey(old, f.id), nil)
	batch.Set(baseUseKey(f.rec.Base, f.id), nil, nil)
	return nil
}

// workers run a bounded number of functions at a time and keep the first error.
type workers struct {
	slots chan struct{}
	group sync.WaitGroup
	mu    sync.Mutex
	err   error
}

func newWorkers(n int) *workers { return &workers{slots: make(chan struct{}, n)} }

func (w *workers) do(f func() error) {
	w.slots <- struct{}{}
	w.group.Go(func() {
		defer func() { <-w.slots }()
		if err := f(); err != nil {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.err = errors.Join(w.err, err)
		}
	})
}

func (w *workers) wait() error {
	w.group.Wait()
	return w.err
}
