package state

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"tachograph/schemas/journal"
)

// staging keeps content that no entry has named yet. It lives as long as the run is open here:
// what is never named is dropped with it.
type staging struct {
	mu    sync.Mutex
	items map[journal.Ref]*staged
}

// staged is one piece of content. Fields are set before it is shared, but for written.
type staged struct {
	packed
	written bool // its file is durable
}

// Stage names b and keeps it until an entry of the run names it: it becomes durable with that
// entry. The bytes may be changed after the call. Staged bytes that are never named are held in
// memory until the run is let go.
func (r *Run) Stage(b []byte) journal.Ref {
	ref := r.family.salt.Name(b)
	r.staging.mu.Lock()
	known := r.staging.items[ref] != nil
	r.staging.mu.Unlock()
	if known {
		return ref
	}
	p := r.store.packer.pack(b)
	if p.file != nil && p.cell[0] == cellFile {
		p.file = slices.Clone(p.file)
	}
	r.staging.mu.Lock()
	defer r.staging.mu.Unlock()
	if r.staging.items[ref] == nil {
		r.staging.items[ref] = &staged{packed: p}
	}
	return ref
}

func (s *staging) get(ref journal.Ref) *staged {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.items[ref]
}

func (s *staging) drop(refs []journal.Ref) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ref := range refs {
		delete(s.items, ref)
	}
}

// writeLarge makes durable the files of the staged content that the bodies name, before the batch
// that says so. Two that write the same one do no harm: each file is whole before it gets the name.
func (r *Run) writeLarge(drafts []Draft) error {
	var wrote []*staged
	for _, d := range drafts {
		for _, ref := range journal.Refs(d.Body) {
			item := r.staging.get(ref)
			if item == nil || item.file == nil || r.staging.isWritten(item) {
				continue
			}
			temp, err := r.store.files.write(r.family.own(), item.file)
			if err == nil {
				err = r.store.files.publish(temp, r.family.own(), ref, !r.volatile)
			}
			if err != nil {
				return err
			}
			wrote = append(wrote, item)
		}
	}
	if len(wrote) == 0 {
		return nil
	}
	if !r.volatile {
		if err := r.store.files.syncScope(r.family.own()); err != nil {
			return err
		}
	}
	r.staging.setWritten(wrote)
	return nil
}

func (s *staging) isWritten(item *staged) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return item.written
}

func (s *staging) setWritten(items []*staged) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, item := range items {
		item.written = true
	}
}

// Salt is what makes the family's content names. ErrErased if the family was removed.
func (j *Journal) Salt(ctx context.Context) (journal.Salt, error) {
	if err := ctx.Err(); err != nil {
		return journal.Salt{}, err
	}
	f, err := j.store.family(j.familyID)
	if err != nil {
		return journal.Salt{}, fmt.Errorf("read salt of run %s: %w", j.id, err)
	}
	return f.salt, nil
}

// Object returns a file, chunk, chunk list or directory object of the run's family, as Objects.Get.
func (j *Journal) Object(ctx context.Context, name journal.Object) ([]byte, error) {
	f, err := j.store.family(j.familyID)
	if err != nil {
		return nil, fmt.Errorf("get object %s of run %s: %w", name.Short(), j.id, err)
	}
	return (&Objects{f}).Get(ctx, name)
}

// Content returns the bytes that an entry of the family names. ErrNotFound if none does, ErrErased
// if the family was removed.
func (j *Journal) Content(ctx context.Context, ref journal.Ref) ([]byte, error) {
	b, err := j.content(ctx, ref)
	if err != nil {
		return nil, fmt.Errorf("read content %s of run %s: %w", ref.Short(), j.id, err)
	}
	return b, nil
}

func (j *Journal) content(ctx context.Context, ref journal.Ref) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := j.store.family(j.familyID)
	if err != nil {
		return nil, err
	}
	cell, err := j.store.rows.get(hashKey(rowContent, f.id, ref))
	if err != nil {
		return nil, err
	}
	b, err := j.store.packer.unpack(cell, func() ([]byte, error) {
		return j.store.files.read(j.store.files.path(f.own(), ref))
	})
	if err != nil {
		return nil, err
	}
	if f.salt.Name(b) != ref {
		return nil, errors.New("its bytes have another hash: the store is damaged")
	}
	return b, nil
}
