package state_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"

	"tachograph/runner/state"
	"tachograph/schemas/journal"
	"tachograph/schemas/journal/journaltest"
)

// ledger is what was acknowledged. It outlives the store that a power loss or a kill ends.
type ledger struct {
	mu      sync.Mutex
	entries map[journal.RunID]map[int64]journal.Hash
	objects map[journal.RunID][]journal.Object
}

func newLedger() *ledger {
	return &ledger{entries: map[journal.RunID]map[int64]journal.Hash{}, objects: map[journal.RunID][]journal.Object{}}
}

func (l *ledger) acknowledge(run journal.RunID, written []state.Written, objects ...journal.Object) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.entries[run] == nil {
		l.entries[run] = map[int64]journal.Hash{}
	}
	for _, w := range written {
		l.entries[run][w.Seq] = w.Hash
	}
	l.objects[run] = append(l.objects[run], objects...)
}

func (l *ledger) copy() *ledger {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := newLedger()
	for run, entries := range l.entries {
		c.entries[run] = maps.Clone(entries)
		c.objects[run] = append([]journal.Object(nil), l.objects[run]...)
	}
	return c
}

// holds says what of the ledger is not in the store, or what there does not hang together.
func (l *ledger) holds(ctx context.Context, s *state.Store) error {
	for id, entries := range l.entries {
		r, err := s.Run(ctx, id)
		if err != nil {
			return err
		}
		if err := verify(ctx, r.Journal, nil); err != nil {
			return fmt.Errorf("run %s: %w", id, err)
		}
		found, seen := map[int64]journal.Hash{}, map[string]bool{}
		for line, err := range r.Entries(ctx, 0) {
			if err != nil {
				return err
			}
			e, err := journal.Decode(line)
			if err != nil {
				return err
			}
			found[e.Seq] = journal.HashEntry(line)
			// Every intent of these tests has a text of its own.
			if e.Kind == journal.KindIntent && seen[string(e.Body)] {
				return fmt.Errorf("run %s: entry %d was applied twice", id, e.Seq)
			}
			seen[string(e.Body)] = true
		}
		for seq, hash := range entries {
			if found[seq] != hash {
				return fmt.Errorf("run %s: acknowledged entry %d is %q, not %s", id, seq, found[seq], hash)
			}
		}
		for _, o := range l.objects[id] {
			if _, err := r.Objects().Get(ctx, o); err != nil {
				return fmt.Errorf("run %s: %w", id, err)
			}
		}
	}
	return nil
}

// scribe appends to a run what fits whatever the others append: intents, messages and touched
// workspaces, with content and objects of all sizes.
type scribe struct {
	run    *state.Run
	rng    *rand.Rand
	number int64
	book   *ledger
	ack    func(journal.RunID, []state.Written, []journal.Object)
}

func newScribe(run *state.Run, seed uint64, book *ledger) *scribe {
	return &scribe{run: run, rng: rand.New(rand.NewPCG(seed, 7)), number: int64(seed << 20 >> 1), book: book}
}

func (c *scribe) bytes() []byte {
	c.number++
	size := c.rng.IntN(300) + 1
	switch c.rng.IntN(20) {
	case 0:
		size = 5_000 + c.rng.IntN(20_000)
	case 1:
		return noise(c.rng, 70_000+c.rng.IntN(50_000))
	}
	return journaltest.Text(c.rng, c.number, size)
}

// noise does not compress, so that it goes to a file.
func noise(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// write appends once and enters what was acknowledged.
func (c *scribe) write(ctx context.Context) error {
	var drafts []state.Draft
	var objects []journal.Object
	for range 1 + c.rng.IntN(3) {
		body := journal.Body(&journal.Intent{Text: c.run.Stage(c.bytes()), Source: "declared"})
		if c.rng.IntN(4) == 0 {
			b := c.bytes()
			name := journal.NameObject(b)
			if err := c.run.Objects().Put(ctx, name, b); err != nil {
				return err
			}
			objects = append(objects, name)
			body = &journal.WorkspaceTouched{By: "person", Root: name, Delta: c.run.Stage(c.bytes()), Files: 1}
		}
		drafts = append(drafts, state.Draft{Agent: "/", Body: body})
	}
	written, err := c.run.Append(ctx, drafts...)
	if err != nil {
		return err
	}
	if c.ack != nil {
		c.ack(c.run.ID(), written, objects)
	}
	c.book.acknowledge(c.run.ID(), written, objects...)
	return nil
}

// tale appends a random story beside the scribes; what no longer fits when it arrives is dropped,
// as a runner would look again.
type tale struct {
	run   *state.Run
	story *journaltest.Story
	book  *ledger
}

func newTale(run *state.Run, seed uint64, book *ledger) *tale {
	g := journaltest.New(seed)
	g.Stage = run.Stage
	return &tale{run, g, book}
}

func (w *tale) write(ctx context.Context) error {
	agent, body, err := w.story.Next(w.run.State())
	if err != nil || body.Kind() == journal.KindIntent {
		return err
	}
	written, err := w.run.Append(ctx, state.Draft{Agent: agent, Body: body})
	switch {
	case err == nil:
		w.book.acknowledge(w.run.ID(), written)
	case errors.Is(err, state.ErrBroken), errors.Is(err, state.ErrClosed):
		return err
	}
	return nil
}

// gone says what is left of a family whose removal had begun. A removal that died before its first
// batch leaves the family whole.
func gone(ctx context.Context, s *state.Store, family journal.RunID) error {
	r, err := s.Run(ctx, family)
	if errors.Is(err, state.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return verify(ctx, r.Journal, nil)
}
