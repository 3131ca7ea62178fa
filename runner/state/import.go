package state

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"

	"tachograph/schemas/journal"
)

// ErrImported means that the run was recorded elsewhere: it can be read and forked here, and is written
// by nobody but an Import. Callers fork it.
var ErrImported = errors.New("run was imported: it can be read and forked, not written; fork it")

// Import writes a run that another store recorded, byte for byte. Nothing of what it is given is
// trusted: entries have to link and fold, content and objects to have the names by which entries call
// them, and everything that an entry names has to be there before it. So what is here is a prefix
// of the run at any time, also after a crash, and can be gone on with. Not for concurrent use.
type Import struct {
	run   *Run
	heads map[int64][]signedHead // by size, those that were not compared yet
}

type signedHead struct {
	journal.TreeHead
	text []byte
	key  uint32 // hash of the key that signed it, known or not
}

// ImportOptions say what run it is.
type ImportOptions struct {
	Family journal.RunID
	Parent *ForkPoint // of a fork; that entry of the parent must be here
	Salt   journal.Salt
	Heads  [][]byte // signed heads: the entries must have the trees and states that they name
}

// Import opens a run that was recorded elsewhere, and makes it if it is not here. A run that
// this store recorded itself is refused, and so is another salt.
func (s *Store) Import(ctx context.Context, id journal.RunID, o ImportOptions) (*Import, error) {
	i, err := s.openImport(ctx, id, o)
	if err != nil {
		return nil, fmt.Errorf("import run %s: %w", id, err)
	}
	return i, nil
}

func (s *Store) openImport(ctx context.Context, id journal.RunID, o ImportOptions) (*Import, error) {
	if id.IsZero() || o.Family.IsZero() || (o.Parent == nil) != (id == o.Family) {
		return nil, errors.New("its id, family and parent do not fit together")
	}
	info, err := s.Info(id)
	switch {
	case errors.Is(err, ErrNotFound):
		err = s.createImport(ctx, id, o)
	case err == nil && !info.Imported:
		err = errors.New("this store recorded it itself")
	case err == nil && info.Family != o.Family:
		err = fmt.Errorf("it is here as a run of family %s", info.Family)
	}
	if err != nil {
		return nil, err
	}
	run, err := s.Run(ctx, id)
	if err != nil {
		return nil, err
	}
	if run.family.salt != o.Salt {
		return nil, errors.New("its family is here with another salt")
	}
	i := &Import{run: run, heads: map[int64][]signedHead{}}
	return i, i.readHeads(o.Heads)
}

// createImport makes the row of a run without entries, which the next Open would remove.
func (s *Store) createImport(ctx context.Context, id journal.RunID, o ImportOptions) error {
	made := CreateOptions{Parent: o.Parent, imported: true}
	if o.Parent == nil {
		made.salt = &o.Salt
	}
	run, err := s.Create(ctx, id, made)
	if err == nil && run.Family() != o.Family {
		err = errors.Join(fmt.Errorf("its parent is of family %s, not %s", run.Family(), o.Family), s.RemoveRun(ctx, id))
	}
	return err
}

// readHeads keeps the heads until the entries that they are over have come. A signature by a key that this
// store trusts must be right.
func (i *Import) readHeads(texts [][]byte) error {
	trusted, err := i.run.store.Verifiers()
	if err != nil {
		return err
	}
	for _, text := range texts {
		h, n, err := journal.OpenHead(text, trusted)
		if err != nil {
			return err
		}
		by := append(slices.Clone(n.Sigs), n.UnverifiedSigs...)
		if h.Run != i.run.id || len(by) == 0 {
			return fmt.Errorf("signed head over %d entries of run %s by %d keys is none of this run", h.Size, h.Run, len(by))
		}
		i.heads[h.Size] = append(i.heads[h.Size], signedHead{h, text, keyOf(by)})
	}
	return nil
}

func keyOf(by []note.Signature) uint32 { return by[0].Hash }

// Len is the number of entries that are here; the next to append is that one.
func (i *Import) Len() int64 { return i.run.Len() }

// State is a copy of the state after them.
func (i *Import) State() *journal.State { return i.run.State() }

// Objects are those of the family. Those put before SealBase are of the tree before any run.
func (i *Import) Objects() *Objects { return i.run.Objects() }

// Sealed says whether the family's base tree is here.
func (i *Import) Sealed() bool {
	i.run.family.mu.Lock()
	defer i.run.family.mu.Unlock()
	return !i.run.family.rec.Root.IsZero()
}

// Lacks are those of the names whose content is neither here nor staged.
func (i *Import) Lacks(refs []journal.Ref) ([]journal.Ref, error) {
	var lacks []journal.Ref
	for _, ref := range refs {
		if i.run.staging.get(ref) != nil {
			continue
		}
		has, err := i.run.store.rows.has(hashKey(rowContent, i.run.familyID, ref))
		if err != nil {
			return nil, fmt.Errorf("look for content %s: %w", ref.Short(), err)
		}
		if !has {
			lacks = append(lacks, ref)
		}
	}
	return lacks, nil
}

// Stage keeps content until an entry names it, as Run.Stage.
func (i *Import) Stage(b []byte) journal.Ref { return i.run.Stage(b) }

// Append writes the lines that come next, all or none, and returns when they are durable. A line that
// does not fit is refused with what is wrong with it.
func (i *Import) Append(ctx context.Context, lines ...[]byte) error {
	if len(lines) == 0 {
		return nil
	}
	if err := i.append(ctx, lines); err != nil {
		return fmt.Errorf("import run %s: %w", i.run.id, err)
	}
	return nil
}

func (i *Import) append(ctx context.Context, lines [][]byte) error {
	r := i.run
	drafts, err := decodeDrafts(lines)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = r.store.quota.admit(drafts)
	}
	if err != nil {
		return err
	}
	w, err := i.prepare(drafts, lines)
	if err != nil {
		return err
	}
	if err := r.store.rows.wait(w.batch); err != nil {
		r.fail(err)
		return err
	}
	r.tail.advance(w.next, w.ended)
	for _, c := range w.caches {
		r.saveCheckpoint(c)
	}
	return nil
}

// decodeDrafts finds what the lines name. They are not checked here.
func decodeDrafts(lines [][]byte) ([]Draft, error) {
	drafts := make([]Draft, len(lines))
	for n, line := range lines {
		e, err := journal.Decode(line)
		if err != nil {
			return nil, err
		}
		body, err := journal.DecodeBody(e.Kind, e.Body)
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", e.Seq, err)
		}
		drafts[n] = Draft{e.Agent, body}
	}
	return drafts, nil
}

func (i *Import) prepare(drafts []Draft, lines [][]byte) (*writer, error) {
	r := i.run
	r.family.use.RLock()
	defer r.family.use.RUnlock()
	if err := r.family.alive(); err != nil {
		return nil, err
	}
	if err := r.family.flush(); err != nil {
		return nil, err
	}
	if err := r.writeLarge(drafts); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone != nil {
		return nil, r.gone
	}
	w := &writer{run: r, state: r.live.Clone(), batch: r.store.rows.db.NewBatch(), entries: r.entries, since: r.bytes}
	if err := i.addAll(w, lines); err != nil {
		return nil, errors.Join(err, w.batch.Close())
	}
	if err := r.store.rows.apply(w.batch, true); err != nil {
		r.gone = err
		r.tail.fail(err)
		return nil, err
	}
	w.publish()
	return w, nil
}

func (i *Import) addAll(w *writer, lines [][]byte) error {
	for _, line := range lines {
		at, err := i.add(w, line)
		if err != nil {
			return err
		}
		if i.run.info.Started.IsZero() {
			i.run.info.Started = at
		}
		w.now = at
	}
	w.next = w.state.Next
	info := i.run.info.of(w.state, w.now, w.bytes)
	row, err := info.row()
	if err != nil {
		return err
	}
	return w.batch.Set(idKey(rowRun, i.run.id), row, nil)
}

// add folds one line and puts it into the batch.
func (i *Import) add(w *writer, line []byte) (at time.Time, err error) {
	e, body, err := w.state.Apply(line)
	if err != nil {
		return at, err
	}
	if e.Run != i.run.id || w.state.Family != i.run.familyID {
		return at, fmt.Errorf("entry %d is of run %s, family %s", e.Seq, e.Run, w.state.Family)
	}
	if err := w.name(body); err != nil {
		return at, fmt.Errorf("entry %d, %s: %w", e.Seq, e.Kind, err)
	}
	for _, root := range journal.Objects(body) {
		_, _, found, err := i.run.family.find(root)
		if err != nil {
			return at, err
		}
		if !found {
			return at, fmt.Errorf("entry %d, %s: names the tree %s, which was never put", e.Seq, e.Kind, root.Short())
		}
	}
	w.batch.Set(seqKey(rowEntry, i.run.id, e.Seq), line, nil)
	w.hashes = append(w.hashes, journal.HashEntry(line))
	w.entries, w.since, w.bytes = w.entries+1, w.since+int64(len(line)), w.bytes+int64(len(line))
	switch body.(type) {
	case *journal.RunEnded:
		w.ended = true
	case *journal.Checkpoint, *journal.Snapshot:
		w.cache()
	}
	return e.Time, i.compareHeads(w)
}

// compareHeads holds the signed heads over the entries so far against them.
func (i *Import) compareHeads(w *writer) error {
	due := i.heads[w.state.Next]
	if len(due) == 0 {
		return nil
	}
	tree := w.frontier()
	for _, h := range due {
		if h.Root != tree.Root() || h.State != w.state.Hash() {
			return fmt.Errorf("the entries up to %d are not those that were signed: their tree is %s and their state %s, the head says %s and %s",
				h.Size-1, tree.Root(), w.state.Hash(), h.Root, h.State)
		}
		w.batch.Set(headKey(i.run.id, h.Size, h.key), h.text, nil)
	}
	return nil
}
