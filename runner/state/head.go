package state

import (
	"context"
	"fmt"

	"tachograph/schemas/journal"
)

// SignHead signs a head over all entries applied so far, once they are durable: a head is never
// given for what a crash could take back. Nothing happens if the newest head covers them already.
func (r *Run) SignHead(ctx context.Context) error {
	if err := r.signHead(ctx); err != nil {
		if r.err() == nil && r.grown.CompareAndSwap(false, true) {
			r.store.grew(r) // it is still due
		}
		return fmt.Errorf("sign head of run %s: %w", r.id, err)
	}
	return nil
}

func (r *Run) signHead(ctx context.Context) error {
	r.headMu.Lock()
	defer r.headMu.Unlock()
	// Before the size is read: an append that comes later puts the run on the list again.
	r.grown.Store(false)
	r.store.signed(r)
	r.mu.Lock()
	gone := r.gone
	head := journal.TreeHead{Run: r.id, Domain: r.store.o.Domain, Size: r.frontier.Size(), Root: r.frontier.Root()}
	if head.Size > r.headAt.Load() {
		head.State = r.live.Hash()
	}
	r.mu.Unlock()
	if gone != nil {
		return gone
	}
	if head.Size <= r.headAt.Load() {
		return nil
	}
	if err := r.tail.wait(ctx, head.Size); err != nil {
		return err
	}
	signed, err := journal.SignHead(head, r.store.signer)
	if err != nil {
		return err
	}
	batch := r.store.rows.db.NewBatch()
	batch.Set(headKey(r.id, head.Size, r.store.key.KeyHash()), signed, nil)
	if err := r.store.rows.commit(batch, !r.volatile); err != nil {
		return err
	}
	r.headAt.Store(max(head.Size, r.headAt.Load()))
	r.store.log.Debug("signed head", "run", r.id, "size", head.Size)
	return nil
}

// newestHead is the size that the newest signed head covers, 0 if there is none.
func (j *Journal) newestHead() (int64, error) {
	lower := idKey(rowHead, j.id)
	key, _, err := j.store.rows.last(lower, after(lower))
	if err != nil || key == nil {
		return 0, err
	}
	return decodeSeq(key)
}

// Heads returns the run's signed heads, smallest first; see journal.OpenHead.
func (j *Journal) Heads(ctx context.Context) ([][]byte, error) { return j.HeadsFrom(ctx, 0) }

// HeadsFrom returns those of the signed heads that cover at least size entries.
func (j *Journal) HeadsFrom(ctx context.Context, size int64) ([][]byte, error) {
	var heads [][]byte
	lower := idKey(rowHead, j.id)
	err := j.store.rows.scan(seqKey(rowHead, j.id, size), after(lower), func(_, signed []byte) error {
		heads = append(heads, append([]byte(nil), signed...))
		return ctx.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("read heads of run %s: %w", j.id, err)
	}
	return heads, nil
}
