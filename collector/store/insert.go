package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"tachograph/collector/store/exact"
)

// Insert brings a segment into ClickHouse: the rows of every table exactly once, however often it is called with a batch of
// that id and those rows, by this process or the next, and whatever fails in between. Nil means that all of them are there,
// those of the journal's tables on the disk. After an error some may be there; call it again, later.
//
// The table runs follows. An error there is no error of the segment: it is logged, and mended with the next entries.
func (s *Store) Insert(ctx context.Context, b *Batch) error {
	if s.readOnly {
		return errors.New("insert: the store was opened to be read only")
	}
	var blocks []exact.Block
	var progress []*exact.Progress
	for _, t := range b.inOrder() {
		p := b.progress[t.table]
		if p == nil {
			p = &exact.Progress{Tried: !b.Fresh}
			b.progress[t.table] = p
		}
		send := func(ctx context.Context, token string) error {
			return s.sender.send(ctx, t.table, token, t.rows, b.input(t))
		}
		blocks, progress = append(blocks, exact.Block{Table: t.table, Send: send}), append(progress, p)
	}
	if err := s.inserter.Insert(ctx, b.seg, blocks, progress); err != nil {
		return err
	}
	if err := s.follow(ctx, b); err != nil {
		s.log.Warn("the list of runs lags behind the entries; it is mended with the next ones", "error", err)
	}
	return nil
}

// Life identifies this life of the engine: a value that it forgets when it ends. See 0004_life.sql.
func (s *Store) Life(ctx context.Context) (string, error) {
	id, err := s.readLife(ctx)
	if err == nil && id == uuid.Nil {
		if err = s.conn.Exec(ctx, "INSERT INTO life SELECT 1, generateUUIDv4()"); err == nil {
			id, err = s.readLife(ctx) // not ours, if somebody was faster
		}
	}
	if err == nil && id == uuid.Nil {
		err = errors.New("the engine does not keep the row of its table life")
	}
	return id.String(), err
}

func (s *Store) readLife(ctx context.Context) (id uuid.UUID, err error) {
	err = s.conn.QueryRow(ctx, "SELECT joinGet('life', 'id', toUInt8(1))").Scan(&id)
	return id, err
}

// Present says whether rows of a segment stand in a table.
func (s *Store) Present(ctx context.Context, table string, segment [16]byte) (bool, error) {
	var found uint8
	err := s.conn.QueryRow(with(ctx, "table", table, "seg", uuid.UUID(segment).String()),
		"SELECT count() > 0 FROM (SELECT 1 FROM {table:Identifier} WHERE seg = {seg:UUID} LIMIT 1)").Scan(&found)
	if err != nil {
		return false, fmt.Errorf("look for segment: %w", err)
	}
	return found == 1, nil
}
