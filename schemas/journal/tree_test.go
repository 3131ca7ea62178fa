package journal_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"tachograph/schemas/journal"
)

// forest keeps the objects of trees in memory.
type forest struct {
	t       *testing.T
	objects map[journal.Object][]byte
	read    map[journal.Object]int
}

// leaf is a file, or a large one of several chunks.
type leaf struct{ chunks []string }

// grow stores a tree of nested maps (string: a file's text) and returns its root.
func (f *forest) grow(tree map[string]any) journal.Object {
	f.t.Helper()
	var entries []journal.DirEntry
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		e := journal.DirEntry{Name: name, Mode: 0o644}
		switch v := tree[name].(type) {
		case string:
			e.Type, e.Size, e.Object = journal.TypeFile, int64(len(v)), f.put([]byte(v))
		case map[string]any:
			e.Type, e.Object = journal.TypeDir, f.grow(v)
		case leaf:
			var chunks []journal.Object
			for _, c := range v.chunks {
				chunks = append(chunks, f.put([]byte(c)))
			}
			e.Type, e.Size = journal.TypeChunks, int64(len(chunks))<<20
			list, err := journal.EncodeChunks(e.Size, chunks)
			if err != nil {
				f.t.Fatal(err)
			}
			e.Object = f.put(list)
		}
		entries = append(entries, e)
	}
	text, err := journal.EncodeDir(entries)
	if err != nil {
		f.t.Fatal(err)
	}
	return f.put(text)
}

func (f *forest) put(b []byte) journal.Object {
	name := journal.NameObject(b)
	f.objects[name] = b
	return name
}

func (f *forest) get(names []journal.Object) ([][]byte, error) {
	texts := make([][]byte, len(names))
	for i, n := range names {
		texts[i] = f.objects[n]
		f.read[n]++
	}
	return texts, nil
}

// reach is every object of a tree.
func (f *forest) reach(root journal.Object) map[journal.Object]bool {
	f.t.Helper()
	all, err := journal.NewObjects(root, nil, nil, f.get)
	if err != nil {
		f.t.Fatal(err)
	}
	set := map[journal.Object]bool{}
	for _, o := range all {
		if set[o.Name] {
			f.t.Errorf("%s is listed twice", o.Name.Short())
		}
		set[o.Name] = true
	}
	if all[len(all)-1].Name != root {
		f.t.Error("the root is not last")
	}
	return set
}

func newForest(t *testing.T) *forest {
	return &forest{t, map[journal.Object][]byte{}, map[journal.Object]int{}}
}

func TestNewObjects(t *testing.T) {
	t.Parallel()
	f := newForest(t)
	before := f.grow(map[string]any{"a": "one", "d": map[string]any{"x": "ten", "y": "eleven"}, "big": leaf{[]string{"p", "q"}}, "same": map[string]any{"z": "deep"}})
	after := f.grow(map[string]any{"a": "one", "d": map[string]any{"x": "TEN", "y": "eleven"}, "big": leaf{[]string{"p", "r"}}, "same": map[string]any{"z": "deep"}, "moved": map[string]any{"z": "deep"}})
	clear(f.read)
	found, err := journal.NewObjects(after, []journal.Object{before}, nil, f.get)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, o := range found {
		if text := f.objects[o.Name]; o.Type == journal.TypeFile {
			got[string(text)] = true
		}
	}
	// What has moved is new where it stands; what stands where it stood is not looked at.
	want := map[string]bool{"TEN": true, "p": true, "r": true, "deep": true}
	if !maps.Equal(got, want) || found[len(found)-1].Name != after {
		t.Errorf("new files and chunks %v, want %v", got, want)
	}
	if len(found) != len(want)+4 { // root, d, the chunk list, moved
		t.Errorf("%d objects, want %d", len(found), len(want)+4)
	}
	if same, err := journal.NewObjects(after, []journal.Object{before, after}, nil, f.get); err != nil || len(same) != 0 {
		t.Errorf("a tree against itself: %v, %v", same, err)
	}
	if known, err := journal.NewObjects(after, nil, func(o journal.Object) bool { return o == after }, f.get); err != nil || len(known) != 0 {
		t.Errorf("a known tree: %v, %v", known, err)
	}
	delete(f.objects, found[0].Name)
	if _, err := journal.NewObjects(after, nil, nil, f.get); err != nil {
		t.Errorf("a file that was never stored: %v", err)
	}
	f.objects[after] = []byte("no directory")
	if _, err := journal.NewObjects(after, nil, nil, f.get); err == nil {
		t.Error("a damaged directory was taken")
	}
}

// TestNewObjectsRandom: what is new and what was there make the whole tree, whatever changed.
func TestNewObjectsRandom(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(5, 6))
	f := newForest(t)
	var random func(depth int) map[string]any
	random = func(depth int) map[string]any {
		tree := map[string]any{}
		for range rng.IntN(6) {
			name := fmt.Sprint(rng.IntN(8))
			switch n := rng.IntN(8); {
			case n < 3 && depth > 0:
				tree[name] = random(depth - 1)
			case n == 3:
				tree[name] = leaf{[]string{fmt.Sprint(rng.IntN(9)), fmt.Sprint(rng.IntN(9))}}
			default:
				tree[name] = fmt.Sprint("file", rng.IntN(30))
			}
		}
		return tree
	}
	for range 300 {
		roots := []journal.Object{f.grow(random(3)), f.grow(random(3)), f.grow(random(3))}
		there := f.reach(roots[1])
		for o := range f.reach(roots[2]) {
			there[o] = true
		}
		found, err := journal.NewObjects(roots[0], roots[1:], nil, f.get)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range found {
			there[o.Name] = true
		}
		for o := range f.reach(roots[0]) {
			if !there[o] {
				t.Fatalf("object %s is neither new nor there", o.Short())
			}
		}
	}
}
