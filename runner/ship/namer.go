package ship

import (
	"context"
	"encoding/hex"
	"errors"
	"time"

	"tachograph/runner/state"
	"tachograph/schemas/journal"
	"tachograph/schemas/record"
)

// name is what a piece is called within its space and scope.
type name = [journal.HashSize]byte

// piece is something that an entry or a checkpoint names.
type piece struct {
	space string
	scope string
	name  name
	seq   int64
	at    time.Time
	read  func(context.Context) ([]byte, error) // state.ErrNotFound: it was never stored
}

// namer finds what entries need, in the order in which it has to be there. It hands each piece to
// visit, and remembers the newest so as not to name them again.
type namer struct {
	journal *state.Journal
	scope   string         // of the family
	base    journal.Object // tree before any run of the family
	root    journal.Object // newest tree that was named
	known   *recent
	chunks  map[journal.Hash]bool // of the newest checkpoint
	visit   func(context.Context, piece) error
}

func newNamer(j *state.Journal, visit func(context.Context, piece) error) *namer {
	return &namer{journal: j, scope: j.Family().String(), known: newRecent(recentNames), visit: visit}
}

// startAfter takes what entries 0 … next−1 named for known: the trees by their roots.
func (n *namer) startAfter(ctx context.Context, next int64) error {
	n.base, n.root, n.chunks = journal.Object{}, journal.Object{}, nil
	if next == 0 {
		return nil
	}
	s, err := n.journal.At(ctx, next-1)
	if err != nil {
		return err
	}
	n.base, n.root = s.Base, s.Root
	return nil
}

// entry visits what an entry names. The base tree is not among it: see [namer.tree].
func (n *namer) entry(ctx context.Context, e journal.Entry, body journal.Body) error {
	for _, ref := range journal.Refs(body) {
		p := piece{record.SpaceContent, n.scope, name(ref), e.Seq, e.Time,
			func(ctx context.Context) ([]byte, error) { return n.journal.Content(ctx, ref) }}
		if err := n.once(ctx, p); err != nil {
			return err
		}
	}
	for _, root := range journal.Objects(body) {
		if err := n.changes(ctx, root, e.Seq, e.Time); err != nil {
			return err
		}
	}
	return nil
}

// once visits a piece unless it was visited lately.
func (n *namer) once(ctx context.Context, p piece) error {
	key := recentKey{p.space[0], p.name}
	if n.known.has(key) {
		return nil
	}
	if err := n.visit(ctx, p); err != nil {
		return err
	}
	n.known.add(key)
	return nil
}

// changes visits the objects of a tree that neither the base tree nor the newest one has.
func (n *namer) changes(ctx context.Context, root journal.Object, seq int64, at time.Time) error {
	if root == n.root || root == n.base {
		n.root = root
		return nil
	}
	var old []journal.Object
	for _, o := range []journal.Object{n.root, n.base} {
		if !o.IsZero() {
			old = append(old, o)
		}
	}
	known := func(o journal.Object) bool { return n.known.has(recentKey{record.SpaceObject[0], name(o)}) }
	objects, err := journal.NewObjects(root, old, known, n.reader(ctx))
	if err != nil {
		return err
	}
	for _, o := range objects {
		if err := n.once(ctx, n.object(o.Name, n.scope, seq, at)); err != nil {
			return err
		}
	}
	n.root = root
	return nil
}

// tree lists the objects of a whole tree, root last.
func (n *namer) tree(ctx context.Context, root journal.Object) ([]journal.TreeObject, error) {
	return journal.NewObjects(root, nil, nil, n.reader(ctx))
}

func (n *namer) object(o journal.Object, scope string, seq int64, at time.Time) piece {
	return piece{record.SpaceObject, scope, name(o), seq, at,
		func(ctx context.Context) ([]byte, error) { return n.journal.Object(ctx, o) }}
}

func (n *namer) reader(ctx context.Context) journal.TreeReader {
	return func(names []journal.Object) ([][]byte, error) {
		texts := make([][]byte, len(names))
		for i, o := range names {
			b, err := n.journal.Object(ctx, o)
			if err != nil && !errors.Is(err, state.ErrNotFound) {
				return nil, err
			}
			texts[i] = b
		}
		return texts, nil
	}
}

// checkpoint visits the chunks of a checkpoint that the one before it has not.
func (n *namer) checkpoint(ctx context.Context, seq int64, at time.Time, text []byte) error {
	names, err := n.chunksOf(ctx, text)
	if err != nil {
		return err
	}
	chunks := make(map[journal.Hash]bool, len(names))
	for _, c := range names {
		chunks[c] = true
		if n.chunks[c] {
			continue
		}
		p := piece{record.SpaceChunk, n.scope, name(c), seq, at,
			func(ctx context.Context) ([]byte, error) {
				texts, err := n.journal.Chunks(ctx, []journal.Hash{c})
				if err != nil {
					return nil, err
				}
				return texts[0], nil
			}}
		if err := n.visit(ctx, p); err != nil {
			return err
		}
	}
	n.chunks = chunks
	return nil
}

// leftOut says whether a checkpoint is not shipped because it, or a chunk of it, is not here in a form that can be read.
func leftOut(err error) bool {
	return errors.Is(err, state.ErrNotFound) || errors.Is(err, journal.ErrCheckpoint)
}

func (n *namer) chunksOf(ctx context.Context, text []byte) ([]journal.Hash, error) {
	return journal.CheckpointChunks(text, func(names []journal.Hash) ([][]byte, error) { return n.journal.Chunks(ctx, names) })
}

// startChunks takes the chunks of the checkpoint at seq for known.
func (n *namer) startChunks(ctx context.Context, seq int64) {
	n.chunks = nil
	at, text, err := n.journal.Checkpoint(ctx, seq)
	if err != nil || at != seq {
		return // they are sent again
	}
	names, err := n.chunksOf(ctx, text)
	if err != nil {
		return
	}
	n.chunks = make(map[journal.Hash]bool, len(names))
	for _, c := range names {
		n.chunks[c] = true
	}
}

// hexName is how a record spells an object's or a root's name.
func hexName(o journal.Object) string { return hex.EncodeToString(o[:]) }

// recentNames bounds what a run remembers of the names it has sent: about 4 MiB.
const recentNames = 16 << 10

type recentKey struct {
	space byte
	name  name
}

// recent remembers the newest keys: at least most of them, at most twice as many.
type recent struct {
	most       int
	newer, old map[recentKey]struct{}
}

func newRecent(most int) *recent { return &recent{most: most, newer: map[recentKey]struct{}{}} }

func (r *recent) has(k recentKey) bool {
	if _, ok := r.newer[k]; ok {
		return true
	}
	_, ok := r.old[k]
	if ok {
		r.add(k)
	}
	return ok
}

func (r *recent) add(k recentKey) {
	if len(r.newer) >= r.most {
		r.old, r.newer = r.newer, make(map[recentKey]struct{}, r.most)
	}
	r.newer[k] = struct{}{}
}
