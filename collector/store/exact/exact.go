// Package exact inserts the blocks of a segment into ClickHouse so that each stands there once: after errors,
// after time-outs, after kill -9 of the engine or of this process, at any moment. It is the recipe alone; it
// never makes a block, and never sleeps: whoever calls it decides when to try again.
//
// # What the engine gives
//
// One block in one INSERT into one partition becomes one part, which is there as a whole or not at all.
// A table with non_replicated_deduplication_window drops an insert whose insert_deduplication_token it
// has seen, whatever its rows are. So the same token may be sent again and again, as long as
// nothing goes wrong in between. What goes wrong (measured; exact_test.go has it as a model):
//
//   - An engine that is killed, and perhaps one that fails in the middle, can keep a token without its rows: the
//     insert that is sent again is answered with success, and the rows are nowhere.
//   - An insert of an earlier try may still be running in an engine that lives, though its client has
//     gone: under another token its rows would come twice.
//
// # The recipe
//
//	token = segment / life / n
//
// A life is the time from a start of the engine to its end; each has an identity of its own. A connection
// ([Conn]) belongs to one life and fails with it, so that a token with the name of a life is never inserted in another.
// Within a life the token stays: tries of it, running ones too, exclude one another. In a new
// life nothing of an older one runs any more: what stands in the table then is all there is, and what does
// not is inserted under the token of the new life, which no older one can have burnt.
//
// Over one connection:
//
//  1. If the segment may have been tried before, ask whether it is there. If so, it is done.
//  2. Insert under the token of the connection's life.
//  3. If the segment had been tried before, its token may be burnt: ask whether it is there now. If not, n + 1,
//     and from 2. (n begins at 0 in every process; a burnt token is found again.)
//
// Every step may fail or be the last one of this process. Nothing but the segment's id and its rows
// need be remembered, and whether the segment is new.
//
// Rejected: to insert under the life that was known last and ask afterwards whether it was still that one. A try
// under the old life's name that is still running in the new life, its client gone, then comes beside the new
// life's. The model found that.
//
// Limits: a connection must lead to the engine itself, not to something that keeps connections of its own to several
// of them, or over a restart. The window of tokens must hold the segments of a table that are under way at one
// time; they are a handful. Rows that are deleted while their segment is still tried come back.
package exact

import (
	"context"
	"fmt"

	"github.com/google/uuid"
)

// Conn is a connection to one life of the engine. After an error it is not used any more.
type Conn[B any] interface {
	// Life identifies the life: the same for all connections to it, in every process, and for no other.
	Life() string
	// Present says whether rows of the segment stand in the table.
	Present(ctx context.Context, table string, segment [16]byte) (bool, error)
	// Insert inserts the rows in one INSERT of one block, and returns nil once the engine has acknowledged them. It fails if
	// the life is over, and never connects anew.
	Insert(ctx context.Context, rows B, token string) error
}

// Block is what a segment has for one table. The rows of a segment are the same each time.
type Block[B any] struct {
	Table string
	Rows  B
}

// Progress is what is known of a block. The zero value is of one that nobody ever tried; one that an earlier
// process may have tried has Tried set. It is kept between tries of the same process.
type Progress struct {
	Tried bool
	Done  bool
}

// maxBurnt bounds the burnt tokens that one call passes by.
const maxBurnt = 64

// Insert brings all blocks of a segment into their tables, in order. After an error nothing is known but what
// progress says, and the call may be made again, over another connection, at any time; progress[i] is that of
// blocks[i]. One segment must not be inserted by two goroutines at a time.
func Insert[B any](ctx context.Context, conn Conn[B], segment [16]byte, blocks []Block[B], progress []*Progress) error {
	for i, b := range blocks {
		if progress[i].Done {
			continue
		}
		if err := insert(ctx, conn, segment, b, progress[i]); err != nil {
			return fmt.Errorf("insert segment %s into %s: %w", uuid.UUID(segment), b.Table, err)
		}
	}
	return nil
}

func insert[B any](ctx context.Context, conn Conn[B], segment [16]byte, b Block[B], p *Progress) (err error) {
	if !p.Tried {
		p.Tried = true
		if err := conn.Insert(ctx, b.Rows, token(segment, conn.Life(), 0)); err != nil {
			return err
		}
		p.Done = true
		return nil
	}
	for n := range maxBurnt {
		if p.Done, err = conn.Present(ctx, b.Table, segment); err != nil || p.Done {
			return err
		}
		if err := conn.Insert(ctx, b.Rows, token(segment, conn.Life(), n)); err != nil {
			return err
		}
	}
	if p.Done, err = conn.Present(ctx, b.Table, segment); err != nil || p.Done {
		return err
	}
	return fmt.Errorf("the engine acknowledged it %d times and does not have it; restart the engine", maxBurnt)
}

func token(segment [16]byte, life string, n int) string {
	return fmt.Sprintf("%s/%s/%d", uuid.UUID(segment), life, n)
}
