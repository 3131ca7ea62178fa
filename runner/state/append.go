package state

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"tachograph/schemas/journal"
)

// Draft is an entry before it has a place in the journal. The commitment of a body that carries
// one (journal.Committed) is filled in by Append.
type Draft struct {
	Agent string
	Body  journal.Body
}

// Written says where a draft now stands.
type Written struct {
	Seq  int64
	Hash journal.Hash
	Time time.Time
	Kind journal.Kind
}

// Append writes the drafts as entries, in this order, all or none, and returns when they and all
// that they name are durable. Content that they name must have been staged or named before. An
// entry that does not fit the state is refused, and nothing changed. ErrFull (a *FullError) if new
// work may not begin; ErrBroken if the disk failed.
//
// A checkpoint that is due is written with them, as an entry before them, unless they begin with
// `recovered`.
func (r *Run) Append(ctx context.Context, drafts ...Draft) ([]Written, error) {
	if len(drafts) == 0 {
		return nil, nil
	}
	written, err := r.append(ctx, drafts, func(*journal.State) []Draft { return drafts })
	if err != nil {
		return nil, fmt.Errorf("append to run %s: %w", r.id, err)
	}
	return written, nil
}

// AppendNext is Append for drafts that name one another: drafts gets the seq that its first draft will
// have. It may be called more than once and must give the same drafts but for that.
func (r *Run) AppendNext(ctx context.Context, drafts func(next int64) []Draft) ([]Written, error) {
	known := drafts(0)
	written, err := r.append(ctx, known, func(s *journal.State) []Draft {
		next := s.Next
		if r.checkpointDue() && !takesOver(known) {
			next++
		}
		return drafts(next)
	})
	if err != nil {
		return nil, fmt.Errorf("append to run %s: %w", r.id, err)
	}
	return written, nil
}

// Snapshot appends a snapshot of the state and the workspace as they are, with a checkpoint, and
// signs a head over it. leftOut is as the entry's field.
func (r *Run) Snapshot(ctx context.Context, why string, leftOut int64) (Written, error) {
	written, err := r.append(ctx, nil, func(s *journal.State) []Draft {
		return []Draft{{Agent: "/", Body: &journal.Snapshot{Why: why, Root: s.Root, LeftOut: leftOut}}}
	})
	if err == nil {
		err = r.SignHead(ctx)
	}
	if err != nil {
		return Written{}, fmt.Errorf("snapshot run %s: %w", r.id, err)
	}
	return written[0], nil
}

// append writes what draft makes of the state. known are those of the drafts that name content.
func (r *Run) append(ctx context.Context, known []Draft, draft func(*journal.State) []Draft) ([]Written, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(known, func(d Draft) bool { return d.Body == nil }) {
		return nil, errors.New("draft without a body")
	}
	if err := r.store.quota.admit(known); err != nil {
		return nil, err
	}
	w, err := r.prepare(known, draft)
	if err != nil {
		return nil, err
	}
	if !r.volatile {
		if err := r.store.rows.wait(w.batch); err != nil {
			r.fail(err)
			return nil, err
		}
	}
	r.tail.advance(w.next, w.ended)
	if r.grown.CompareAndSwap(false, true) {
		r.store.grew(r)
	}
	for _, c := range w.caches {
		r.saveCheckpoint(c)
	}
	return w.written, nil
}

// prepare makes durable what stands in files, and then applies the batch that refers to it.
func (r *Run) prepare(known []Draft, draft func(*journal.State) []Draft) (*writer, error) {
	r.family.use.RLock()
	defer r.family.use.RUnlock()
	if err := r.family.alive(); err != nil {
		return nil, err
	}
	if err := r.family.flush(); err != nil {
		return nil, err
	}
	if err := r.writeLarge(known); err != nil {
		return nil, err
	}
	return r.apply(draft)
}

// apply makes the batch of an append and queues it for the disk. It holds the run's lock, and does
// not wait for the disk under it: appends of other agents follow at once and share the fsync.
func (r *Run) apply(draft func(*journal.State) []Draft) (*writer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone != nil {
		return nil, r.gone
	}
	if r.info.Imported {
		return nil, ErrImported
	}
	w := newWriter(r, draft(r.live))
	if err := w.addAll(); err != nil {
		return nil, errors.Join(err, w.batch.Close())
	}
	if err := r.store.rows.apply(w.batch, !r.volatile); err != nil {
		r.gone = err // the state may be ahead of the rows
		r.tail.fail(err)
		return nil, err
	}
	if r.volatile {
		if err := w.batch.Close(); err != nil {
			return nil, err
		}
	}
	w.publish()
	return w, nil
}

func (r *Run) fail(err error) {
	r.mu.Lock()
	r.gone = err
	r.mu.Unlock()
	r.tail.fail(err)
}

// writer is one append on its way.
type writer struct {
	run    *Run
	drafts []Draft
	due    bool           // a checkpoint comes first
	state  *journal.State // live, or a copy of it when more than one entry may have to be undone
	batch  *pebble.Batch
	now    time.Time

	written []Written
	hashes  []journal.Hash
	named   []journal.Ref
	caches  []cached
	entries int // since the last checkpoint, after this append
	since   int64
	bytes   int64 // of this append
	next    int64
	ended   bool
}

func newWriter(r *Run, drafts []Draft) *writer {
	w := &writer{run: r, drafts: drafts, state: r.live, batch: r.store.rows.db.NewBatch(), now: r.now(),
		entries: r.entries, since: r.bytes}
	w.due = r.checkpointDue() && !takesOver(drafts)
	if w.due || len(drafts) > 1 {
		w.state = r.live.Clone()
	}
	return w
}

// now never goes back within a run.
func (r *Run) now() time.Time {
	now := r.store.o.Clock().UTC()
	if now.Before(r.last) {
		return r.last
	}
	return now
}

// checkpointDue says whether the next append begins with a checkpoint. A fork gets one after its
// first entry: reading it then does not go through its parents.
func (r *Run) checkpointDue() bool {
	if r.live.Status == journal.StatusEnded || r.info.Entries == 0 {
		return false
	}
	first := r.parent != nil && r.info.Entries == 1
	return first || r.entries+1 >= r.store.o.CheckpointEvery || r.bytes >= r.store.o.CheckpointBytes
}

// takesOver says whether the drafts are those of a new owner, whose first entry is `recovered`: not
// even a checkpoint comes before it.
func takesOver(drafts []Draft) bool {
	if len(drafts) == 0 {
		return false
	}
	_, ok := drafts[0].Body.(*journal.Recovered)
	return ok
}

func (w *writer) addAll() error {
	if w.due {
		if err := w.add(Draft{Agent: "/", Body: &journal.Checkpoint{Root: w.state.Root}}); err != nil {
			return err
		}
		w.written = nil
	}
	for _, d := range w.drafts {
		if err := w.add(d); err != nil {
			return err
		}
	}
	w.next = w.state.Next
	if w.ended {
		if err := w.signLast(); err != nil {
			return err
		}
	}
	info := w.run.info.of(w.state, w.now, w.bytes)
	row, err := info.row()
	if err != nil {
		return err
	}
	return w.batch.Set(idKey(rowRun, w.run.id), row, nil)
}

// add folds one draft and puts it into the batch. Folding is the last step that can fail, so that a
// single draft needs no copy of the state.
func (w *writer) add(d Draft) error {
	if c, ok := d.Body.(journal.Committed); ok {
		*c.Commitment() = journal.Commit{State: w.state.Hash(), Fold: journal.FoldVersion}
	}
	e, body, line, err := w.encode(d)
	if err != nil {
		return err
	}
	if err := w.name(body); err != nil {
		return fmt.Errorf("entry %d, %s: %w", e.Seq, e.Kind, err)
	}
	hash := journal.HashEntry(line)
	if err := w.state.Fold(e, body, hash); err != nil {
		return fmt.Errorf("entry %d, %s: %w", e.Seq, e.Kind, err)
	}
	w.batch.Set(seqKey(rowEntry, w.run.id, e.Seq), line, nil)
	w.hashes = append(w.hashes, hash)
	w.written = append(w.written, Written{e.Seq, hash, e.Time, e.Kind})
	w.entries, w.since, w.bytes = w.entries+1, w.since+int64(len(line)), w.bytes+int64(len(line))
	switch body.(type) {
	case *journal.RunEnded:
		w.ended = true
	case *journal.Checkpoint, *journal.Snapshot:
		w.cache()
	}
	return nil
}

// encode makes the line. The body that is folded is what a reader will read back, and not the
// caller's, which he may change, or which may not survive being written.
func (w *writer) encode(d Draft) (journal.Entry, journal.Body, []byte, error) {
	e := journal.Entry{Version: journal.Version, Run: w.run.id, Seq: w.state.Next, Epoch: w.run.epoch, Time: w.now,
		Agent: d.Agent, Kind: d.Body.Kind(), Prev: w.state.Tip}
	var err error
	if e.Body, err = journal.EncodeBody(d.Body); err != nil {
		return e, nil, nil, err
	}
	body, err := journal.DecodeBody(e.Kind, e.Body)
	if err != nil {
		return e, nil, nil, err
	}
	line, err := journal.Encode(e)
	return e, body, line, err
}

// name puts the staged content that a body names into the batch; the rest must be there already.
func (w *writer) name(body journal.Body) error {
	f := w.run.family
	for _, ref := range journal.Refs(body) {
		key := hashKey(rowContent, f.id, ref)
		if item := w.run.staging.get(ref); item != nil {
			// Invariant: a file is durable before a row refers to it.
			if item.file != nil && !w.run.staging.isWritten(item) {
				return fmt.Errorf("names content %s, whose file is not written yet", ref.Short())
			}
			w.batch.Set(key, item.cell, nil)
			w.named = append(w.named, ref)
			continue
		}
		has, err := w.run.store.rows.has(key)
		if err != nil {
			return err
		}
		if !has {
			return fmt.Errorf("names content %s, which was never staged", ref.Short())
		}
	}
	return nil
}

// cache remembers the state for a checkpoint, which is written once the entry is durable.
func (w *writer) cache() {
	w.caches = append(w.caches, cached{w.state.Clone(), w.frontier()})
	w.entries, w.since = 0, 0
}

// frontier is the tree up to and with what this append has so far.
func (w *writer) frontier() *journal.Frontier {
	frontier, err := journal.ResumeFrontier(w.run.frontier.Size(), w.run.frontier.Nodes())
	if err != nil {
		panic("state: copy own frontier: " + err.Error())
	}
	for _, h := range w.hashes {
		frontier.Add(h)
	}
	return frontier
}

// signLast signs the head over the whole run in the batch that ends it, so that no crash can leave
// an end that nobody signed.
func (w *writer) signLast() error {
	r := w.run
	tree := w.frontier()
	signed, err := journal.SignHead(journal.TreeHead{Run: r.id, Domain: r.store.o.Domain, Size: tree.Size(), Root: tree.Root(),
		State: w.state.Hash()}, r.store.signer)
	if err != nil {
		return err
	}
	return w.batch.Set(headKey(r.id, tree.Size(), r.store.key.KeyHash()), signed, nil)
}

// publish makes the run what the batch made of it.
func (w *writer) publish() {
	r := w.run
	for _, h := range w.hashes {
		r.frontier.Add(h)
	}
	r.live, r.last, r.entries, r.bytes = w.state, w.now, w.entries, w.since
	r.info = r.info.of(w.state, w.now, w.bytes)
	if w.ended {
		r.headAt.Store(w.next)
	}
	r.staging.drop(w.named)
}
