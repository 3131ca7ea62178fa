package store

import (
	"context"
	"errors"
	"fmt"

	"tachograph/collector/store/exact"
)

// Insert brings a segment into ClickHouse: the rows of every table exactly once, however often it is called with a batch of
// that id and those rows, by this process or the next, and whatever fails in between. Nil means that all of them are there,
// those of the journal's tables on the disk. After an error some may be there; call it again, later.
//
// The table runs follows: ErrListBehind says that only it does not show the rows yet. Call again then too.
func (s *Store) Insert(ctx context.Context, b *Batch) error {
	if s.readOnly {
		return errors.New("insert: the store was opened to be read only")
	}
	if err := s.makeReady(ctx); err != nil {
		return err
	}
	var blocks []exact.Block[*sending]
	var progress []*exact.Progress
	for _, t := range b.inOrder() {
		p := b.progress[t.table]
		if p == nil {
			p = &exact.Progress{Tried: !b.Fresh}
			b.progress[t.table] = p
		}
		blocks = append(blocks, exact.Block[*sending]{Table: t.table, Rows: &sending{t.table, t.rows, b.input(t)}})
		progress = append(progress, p)
	}
	err := s.lanes.with(ctx, func(l lane) error { return exact.Insert(ctx, l, b.seg, blocks, progress) })
	if err != nil {
		return err
	}
	if err := s.follow(ctx, b); err != nil {
		return fmt.Errorf("%w: %w", ErrListBehind, err)
	}
	return nil
}
