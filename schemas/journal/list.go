package journal

import (
	"crypto/sha256"
	"slices"
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
type List struct {
	full []*listBlock // chunks of exactly listChunk references, never changed
	tail []Ref        // fewer than listChunk
	head Hash
}

type listBlock struct {
	refs   [listChunk]Ref
	before Hash // head of the list up to this block
	head   Hash // of the list up to and including it
	name   Hash // of the chunk that it is in a checkpoint
}

func newListBlock(before Hash, refs [listChunk]Ref, head Hash) *listBlock {
	b := &listBlock{refs: refs, before: before, head: head}
	b.name = Hash(sha256.Sum256(b.bytes()))
	return b
}

// bytes are the references one after another, then the head.
func (b *listBlock) bytes() []byte {
	out := make([]byte, 0, (listChunk+1)*HashSize)
	for _, r := range b.refs {
		out = append(out, r[:]...)
	}
	return append(out, b.head[:]...)
}

func (l List) Len() int   { return len(l.full)*listChunk + len(l.tail) }
func (l List) Head() Hash { return l.head }

// At is the reference with index i, 0 ≤ i < Len.
func (l List) At(i int) Ref {
	if block := i / listChunk; block < len(l.full) {
		return l.full[block].refs[i%listChunk]
	}
	return l.tail[i-len(l.full)*listChunk]
}

// Refs copies the references from index from to before to.
func (l List) Refs(from, to int) []Ref {
	refs := make([]Ref, 0, to-from)
	for i := from; i < to; i++ {
		refs = append(refs, l.At(i))
	}
	return refs
}

// Append returns the list with refs at its end.
func (l List) Append(refs ...Ref) List {
	next := List{slices.Clip(l.full), append(make([]Ref, 0, len(l.tail)+len(refs)), l.tail...), l.head}
	for _, r := range refs {
		next.head = chain(next.head, r)
		next.tail = append(next.tail, r)
		if len(next.tail) == listChunk {
			next.full = append(next.full, newListBlock(lastHead(next.full), [listChunk]Ref(next.tail), next.head))
			next.tail = next.tail[:0:0]
		}
	}
	return next
}

// Keep returns the list of the first n references, 0 ≤ n ≤ Len. The cost is that of one chunk.
func (l List) Keep(n int) List {
	if n == l.Len() {
		return l
	}
	blocks := n / listChunk
	kept := List{full: slices.Clip(l.full[:blocks]), head: lastHead(l.full[:blocks])}
	return kept.Append(l.Refs(blocks*listChunk, n)...)
}

// lastHead is the head of a list that ends with these blocks.
func lastHead(blocks []*listBlock) Hash {
	if len(blocks) == 0 {
		return Hash{}
	}
	return blocks[len(blocks)-1].head
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
