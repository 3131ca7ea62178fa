package journal_test

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"tachograph/schemas/journal"
)

// naiveHead is the head of a list by its definition.
func naiveHead(refs []journal.Ref) (head journal.Hash) {
	for _, r := range refs {
		link := append([]byte("tacho-list-v1\n"), head[:]...)
		head = sha256.Sum256(append(link, r[:]...))
	}
	return head
}

func checkList(t *testing.T, what string, l journal.List, want []journal.Ref) {
	t.Helper()
	if l.Len() != len(want) || l.Head() != naiveHead(want) {
		t.Fatalf("%s: list %s of %d, want %s of %d", what, l.Head(), l.Len(), naiveHead(want), len(want))
	}
	if !slices.Equal(l.Refs(0, l.Len()), want) {
		t.Fatalf("%s: the references of the list of %d are others", what, l.Len())
	}
}

// Lists that are appended to, cut, compacted and branched at random are what slices would be, and
// no list changes when another that shares its chunks goes another way.
func TestListAgainstSlices(t *testing.T) {
	t.Parallel()
	type pair struct {
		list journal.List
		refs []journal.Ref
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	lists := []pair{{}}
	for n := range 300 {
		from := lists[random.IntN(len(lists))]
		var next pair
		switch length := from.list.Len(); random.IntN(3) {
		case 0:
			kept := random.IntN(length + 1)
			next = pair{from.list.Keep(kept), slices.Clone(from.refs[:kept])}
		case 1: // a compaction
			kept := random.IntN(length + 1)
			tail := random.IntN(length - kept + 1)
			next.list = from.list.Keep(kept).Append(ref("[dropped]")).Append(from.list.Refs(length-tail, length)...)
			next.refs = slices.Concat(from.refs[:kept], []journal.Ref{ref("[dropped]")}, from.refs[length-tail:])
		default:
			var more []journal.Ref
			for i := range random.IntN(600) {
				more = append(more, ref(fmt.Sprint(n, i)))
			}
			next = pair{from.list.Append(more...), slices.Concat(from.refs, more)}
		}
		checkList(t, fmt.Sprintf("list %d", n), next.list, next.refs)
		lists = append(lists, next)
	}
	for i, p := range lists {
		checkList(t, fmt.Sprintf("list %d at the end", i), p.list, p.refs)
	}
}

// Lengths around a chunk are where a list could go wrong.
func TestListAroundChunks(t *testing.T) {
	t.Parallel()
	var refs []journal.Ref
	for i := range 1025 {
		refs = append(refs, ref(fmt.Sprint(i)))
	}
	whole := journal.List{}.Append(refs...)
	for _, n := range []int{0, 1, 255, 256, 257, 511, 512, 513, 1024, 1025} {
		checkList(t, fmt.Sprintf("keep %d", n), whole.Keep(n), refs[:n])
		checkList(t, fmt.Sprintf("append %d", n), journal.List{}.Append(refs[:n]...), refs[:n])
		checkList(t, fmt.Sprintf("keep %d and append", n), whole.Keep(n).Append(refs[n:]...), refs)
		if n < len(refs) && whole.At(n) != refs[n] {
			t.Errorf("reference %d is another", n)
		}
	}
}
