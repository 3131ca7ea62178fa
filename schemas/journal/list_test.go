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
	if refs, err := l.Refs(0, l.Len()); err != nil || !slices.Equal(refs, want) {
		t.Fatalf("%s: the references of the list of %d are others (%v)", what, l.Len(), err)
	}
}

func keep(t *testing.T, l journal.List, n int) journal.List {
	t.Helper()
	kept, err := l.Keep(n)
	if err != nil {
		t.Fatal(err)
	}
	return kept
}

func compact(t *testing.T, l journal.List, kept, tail int) journal.List {
	t.Helper()
	compacted, err := l.Compact(kept, tail, ref("[dropped]"))
	if err != nil {
		t.Fatal(err)
	}
	return compacted
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
			next = pair{keep(t, from.list, kept), slices.Clone(from.refs[:kept])}
		case 1: // a compaction
			kept := random.IntN(length + 1)
			tail := random.IntN(length - kept + 1)
			next.list = compact(t, from.list, kept, tail)
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
		checkList(t, fmt.Sprintf("keep %d", n), keep(t, whole, n), refs[:n])
		checkList(t, fmt.Sprintf("append %d", n), journal.List{}.Append(refs[:n]...), refs[:n])
		checkList(t, fmt.Sprintf("keep %d and append", n), keep(t, whole, n).Append(refs[n:]...), refs)
		for _, to := range []int{n, min(n+300, len(refs))} {
			if some, err := whole.Refs(n, to); err != nil || !slices.Equal(some, refs[n:to]) {
				t.Errorf("references %d to %d are others (%v)", n, to, err)
			}
		}
	}
}
