// Package exact inserts the blocks of a segment into ClickHouse so that each stands there once: after errors,
// after time-outs, after kill -9 of the engine or of this process, at any moment. It is the recipe alone; it
// never makes a block, and never sleeps: whoever calls it decides when to try again.
//
// # What the engine gives
//
// One block in one INSERT into one partition becomes one part, which is there as a whole or not at all.
// A table with non_replicated_deduplication_window drops an insert whose insert_deduplication_token it
// has seen, whatever its rows are. So the same token may be sent again and again, as long as
// nothing goes wrong in between. What goes wrong (measured, see the tests):
//
//   - An engine that is killed can keep a token without its rows: the insert that is sent again is
//     answered with success, and the rows are nowhere.
//   - An insert of an earlier try may still be running in an engine that lives, though its client has
//     gone: under another token its rows would come twice.
//
// # The recipe
//
//	token = segment / life / n
//
// A life is the time from a start of the engine to its end: each has an identity of its own (see
// [Engine]). Within a life the token stays, so that tries of it, running ones too, exclude one another. In
// a new life nothing of an older one runs any more: what stands in the table then is all there is, and
// what does not is inserted under the token of the new life, which no older one can have burnt.
//
//  1. A segment that may have been tried before: ask whether it is there. If so, it is done.
//  2. Insert under the token of the life that is known.
//  3. Ask for the life. If it is another one, nobody knows in which of the two the insert ran: from 1.
//  4. If the segment had been tried before, its token may be burnt: ask whether it is there now. If not,
//     n + 1, and from 2. (n begins at 0 in every process; a burnt token is found again.)
//
// Every step may fail or be the last one of this process. Nothing but the segment's id and its rows
// need be remembered, and whether the segment is new.
//
// Limits: "the engine" is one server. Several behind one address have several lives, of which each answer
// gives another: use the address of one, or replicated tables, whose tokens and rows are kept together by
// Keeper. The window of tokens must hold the segments of a table that are under way at one time; they are
// one or two. A row that is deleted while its segment is still tried comes back.
package exact

import (
	"context"
	"fmt"
	"sync"

	"github.com/google/uuid"
)

// Engine is what the recipe needs to know.
type Engine interface {
	// Life identifies the present life of the engine. It is never empty, the same for every
	// process that asks, from the first question until the engine ends, and never used again.
	Life(ctx context.Context) (string, error)
	// Present says whether rows of the segment stand in the table.
	Present(ctx context.Context, table string, segment [16]byte) (bool, error)
}

// Block is what a segment has for one table. Send inserts it under the token, in one INSERT, and returns nil
// once the engine has acknowledged it. It may be called several times, and must send the same rows each time.
type Block struct {
	Table string
	Send  func(ctx context.Context, token string) error
}

// Progress is what is known of a block. The zero value is of one that nobody ever tried; one that an earlier
// process may have tried has Tried set. It is kept between tries of the same process.
type Progress struct {
	Tried bool
	Done  bool
	burnt int
}

// Inserter inserts. Safe for use by several goroutines, not with one segment at a time.
type Inserter struct {
	engine Engine

	mu   sync.Mutex
	life string // as it was known last; empty: not known
}

// New makes an Inserter.
func New(engine Engine) *Inserter { return &Inserter{engine: engine} }

// maxRounds bounds the lives that one call sees through, and the burnt tokens that it passes by.
const maxRounds = 16

// Insert brings all blocks of a segment into their tables, in order. After an error nothing is known but what
// progress says, and the same call may be made again at any time; progress[i] is that of blocks[i].
func (x *Inserter) Insert(ctx context.Context, segment [16]byte, blocks []Block, progress []*Progress) error {
	life, err := x.known(ctx)
	if err != nil {
		return err
	}
	for range maxRounds {
		again, sent, err := x.send(ctx, segment, life, blocks, progress)
		if err != nil {
			x.forget()
			return err
		}
		if !sent {
			return nil
		}
		now, err := x.ask(ctx)
		if err != nil {
			return err
		}
		if now != life {
			life = now
			continue
		}
		open, err := x.settle(ctx, segment, blocks, progress, again)
		if err != nil || !open {
			return err
		}
	}
	return fmt.Errorf("insert segment %s: the engine was restarted, or swallowed it, %d times in a row; try again later", uuid.UUID(segment), maxRounds)
}

// send tries every block that is not known to be there. again says which of them had been tried before.
func (x *Inserter) send(ctx context.Context, segment [16]byte, life string, blocks []Block, progress []*Progress) (again []bool, sent bool, err error) {
	again = make([]bool, len(blocks))
	for i, b := range blocks {
		p := progress[i]
		if p.Done {
			continue
		}
		if again[i] = p.Tried; p.Tried {
			if p.Done, err = x.engine.Present(ctx, b.Table, segment); err != nil {
				return again, sent, fmt.Errorf("look for segment %s in %s: %w", uuid.UUID(segment), b.Table, err)
			}
			if p.Done {
				continue
			}
		}
		p.Tried, sent = true, true
		if err := b.Send(ctx, token(segment, life, p.burnt)); err != nil {
			return again, sent, fmt.Errorf("insert segment %s into %s: %w", uuid.UUID(segment), b.Table, err)
		}
	}
	return again, sent, nil
}

// settle decides, of blocks that were acknowledged within one life, which are there. open: not all.
func (x *Inserter) settle(ctx context.Context, segment [16]byte, blocks []Block, progress []*Progress, again []bool) (open bool, err error) {
	for i, b := range blocks {
		p := progress[i]
		switch {
		case p.Done:
		case !again[i]:
			p.Done = true
		default:
			if p.Done, err = x.engine.Present(ctx, b.Table, segment); err != nil {
				return true, fmt.Errorf("look for segment %s in %s: %w", uuid.UUID(segment), b.Table, err)
			}
			if !p.Done {
				p.burnt++
				open = true
			}
		}
	}
	return open, nil
}

func token(segment [16]byte, life string, n int) string {
	return fmt.Sprintf("%s/%s/%d", uuid.UUID(segment), life, n)
}

// known is the life as it was known last. It may be over: Insert finds out.
func (x *Inserter) known(ctx context.Context) (string, error) {
	x.mu.Lock()
	life := x.life
	x.mu.Unlock()
	if life != "" {
		return life, nil
	}
	return x.ask(ctx)
}

func (x *Inserter) ask(ctx context.Context) (string, error) {
	life, err := x.engine.Life(ctx)
	if err != nil {
		x.forget()
		return "", fmt.Errorf("ask the engine for its life: %w", err)
	}
	x.mu.Lock()
	x.life = life
	x.mu.Unlock()
	return life, nil
}

func (x *Inserter) forget() {
	x.mu.Lock()
	x.life = ""
	x.mu.Unlock()
}
