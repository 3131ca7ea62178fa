package journal

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
)

// listChunk is the number of references in one persistent chunk of a list.
const listChunk = 256

// List is an agent's message list: references in order, and a hash chain over them,
//
//	head(0)   = 32 zero bytes
//	head(n+1) = SHA-256("tacho-list-v1\n" ‖ head(n) ‖ reference(n))
//
// A List is persistent: the methods return a new one and share all full chunks with the old, so
// keeping the list as it was at a snapshot costs nothing.
//
// The full blocks of a list from a checkpoint may not be here: they are read when a method needs
// their references, and proved. The chain is followed from the list's head, which the state's hash
// covers, to the block that is needed; so what stands near the end costs the same however long the
// list. A method returns an error if a block is missing or is not the one that the head commits to.
type List struct {
	full   []*listBlock // blocks of exactly listChunk references, never changed
	tail   []Ref        // fewer than listChunk
	before Hash         // head of the list without tail
	head   Hash
}

// listBlock is a block by its name in a checkpoint.
type listBlock struct {
	name  Hash
	read  ChunkReader // for one that is not here
	links atomic.Pointer[links]
}

// links are a block's part of the chain.
type links struct {
	before Hash // head of the list up to this block
	refs   [listChunk]Ref
	after  Hash // head of the list up to and including it, computed from the others
}

const blockBytes = (1 + listChunk) * HashSize

// bytes are the head before the block, then its references.
func (l *links) bytes() []byte {
	out := append(make([]byte, 0, blockBytes), l.before[:]...)
	for _, r := range l.refs {
		out = append(out, r[:]...)
	}
	return out
}

func readLinks(b []byte) (*links, error) {
	if len(b) != blockBytes {
		return nil, fmt.Errorf("%d bytes are no block of a list", len(b))
	}
	l := &links{before: Hash(b[:HashSize])}
	for i := range l.refs {
		copy(l.refs[i][:], b[(1+i)*HashSize:])
	}
	l.after = chain(l.before, l.refs[:]...)
	return l, nil
}

func newListBlock(before Hash, refs [listChunk]Ref, after Hash) *listBlock {
	l := &links{before, refs, after}
	b := &listBlock{name: sha256.Sum256(l.bytes())}
	b.links.Store(l)
	return b
}

func (l List) Len() int   { return len(l.full)*listChunk + len(l.tail) }
func (l List) Head() Hash { return l.head }

// Refs copies the references from index from to before to, 0 ≤ from ≤ to ≤ Len.
func (l List) Refs(from, to int) ([]Ref, error) {
	if from == to {
		return nil, nil
	}
	if err := l.open(from / listChunk); err != nil {
		return nil, err
	}
	refs := make([]Ref, 0, to-from)
	for from < to {
		block, at := l.tail, from-len(l.full)*listChunk
		if i := from / listChunk; i < len(l.full) {
			block, at = l.full[i].links.Load().refs[:], from%listChunk
		}
		n := min(len(block)-at, to-from)
		refs, from = append(refs, block[at:at+n]...), from+n
	}
	return refs, nil
}

// Append returns the list with refs at its end.
func (l List) Append(refs ...Ref) List {
	next := List{slices.Clip(l.full), append(make([]Ref, 0, len(l.tail)+len(refs)), l.tail...), l.before, l.head}
	for _, r := range refs {
		next.head = chain(next.head, r)
		next.tail = append(next.tail, r)
		if len(next.tail) == listChunk {
			next.full = append(next.full, newListBlock(next.before, [listChunk]Ref(next.tail), next.head))
			next.tail, next.before = next.tail[:0:0], next.head
		}
	}
	return next
}

// Keep returns the list of the first n references, 0 ≤ n ≤ Len. The cost is that of one chunk, once those from there on are here.
func (l List) Keep(n int) (List, error) {
	switch n {
	case l.Len():
		return l, nil
	case 0:
		return List{}, nil
	}
	blocks := n / listChunk
	kept := List{full: slices.Clip(l.full[:blocks])}
	if blocks == len(l.full) {
		kept.before = l.before
	} else if err := l.open(blocks); err != nil {
		return List{}, err
	} else {
		kept.before = l.full[blocks].links.Load().before
	}
	kept.head = kept.before
	tail, err := l.Refs(blocks*listChunk, n)
	return kept.Append(tail...), err
}

// Compact returns the list of the first kept references, then refs, then the last tail references; kept + tail ≤ Len.
func (l List) Compact(kept, tail int, refs ...Ref) (List, error) {
	last, err := l.Refs(l.Len()-tail, l.Len())
	if err != nil {
		return List{}, err
	}
	list, err := l.Keep(kept)
	return list.Append(refs...).Append(last...), err
}

// ends compares the end of a list from a checkpoint with what is due. It reads nothing.
func (l List) ends(head Hash, length int64) error {
	switch {
	case l.head != head || int64(l.Len()) != length:
		return fmt.Errorf("list %s of %d where %s of %d is due", l.head, l.Len(), head, length)
	case len(l.tail) >= listChunk:
		return fmt.Errorf("%d references where less than %d are due", len(l.tail), listChunk)
	case len(l.full) == 0:
		return l.open(0)
	}
	return nil
}

// open makes the blocks from the index on be here, and proves them: each ends with the head that the
// one after it begins with, the last with the one that the list's head was computed from.
func (l List) open(from int) error {
	from = min(from, len(l.full))
	if err := readBlocks(l.full[from:]); err != nil {
		return fmt.Errorf("messages of list %s: %w", l.head, err)
	}
	due := l.before
	for i := len(l.full) - 1; i >= from; i-- {
		links := l.full[i].links.Load()
		if links.after != due {
			return fmt.Errorf("messages of list %s: chunk %s is not its block %d: it ends with the head %s where %s is due",
				l.head, l.full[i].name, i, links.after, due)
		}
		due = links.before
	}
	if from == 0 && !due.IsZero() {
		return fmt.Errorf("messages of list %s: there are others before the first", l.head)
	}
	return nil
}

// readBlocks reads those of the blocks that are not here, all at once: they come from one checkpoint and have one
// reader. Two callers may do that at a time: they come to the same.
func readBlocks(blocks []*listBlock) error {
	var lacks []*listBlock
	var names []Hash
	asked := map[*listBlock]bool{}
	for _, b := range blocks {
		if b.links.Load() == nil && !asked[b] {
			asked[b] = true
			lacks, names = append(lacks, b), append(names, b.name)
		}
	}
	if len(lacks) == 0 {
		return nil
	}
	texts, err := lacks[0].read.named(names)
	if err != nil {
		return err
	}
	for i, b := range lacks {
		links, err := readLinks(texts[i])
		if err != nil {
			return fmt.Errorf("chunk %s: %w", b.name, err)
		}
		b.links.Store(links)
	}
	return nil
}

// ChunkReader reads chunks of a checkpoint: the bytes of each name, in the order of the names, or an
// error if one is not there. It need not compare them with the names. It may be called concurrently.
type ChunkReader func(names []Hash) ([][]byte, error)

// named reads chunks and compares them with their names.
func (read ChunkReader) named(names []Hash) ([][]byte, error) {
	if len(names) == 0 {
		return nil, nil
	}
	texts, err := read(names)
	if err != nil {
		return nil, err
	}
	if len(texts) != len(names) {
		return nil, errors.New("other chunks were read than were asked for")
	}
	for i, text := range texts {
		if Hash(sha256.Sum256(text)) != names[i] {
			return nil, fmt.Errorf("chunk %s: its bytes have another hash", names[i])
		}
	}
	return texts, nil
}

// chain is the head after the references, where head was the one before them.
func chain(head Hash, refs ...Ref) Hash {
	const domain = "tacho-list-v1\n"
	var link [len(domain) + 2*HashSize]byte
	copy(link[:], domain)
	for _, r := range refs {
		copy(link[len(domain):], head[:])
		copy(link[len(domain)+HashSize:], r[:])
		head = sha256.Sum256(link[:])
	}
	return head
}
