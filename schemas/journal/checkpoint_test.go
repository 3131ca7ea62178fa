package journal_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tachograph/schemas/journal"
)

// chunks is a store of chunks, as a runner has one.
type chunks map[journal.Hash][]byte

// save writes a checkpoint and returns its record and the chunks that were new.
func (c chunks) save(t testing.TB, s *journal.State) (record []byte, added []journal.Chunk) {
	t.Helper()
	record, added, err := s.SaveCheckpoint(func(name journal.Hash) bool { return c[name] != nil })
	if err != nil {
		t.Fatal(err)
	}
	for _, chunk := range added {
		c[chunk.Name] = chunk.Bytes
	}
	return record, added
}

func (c chunks) read(names []journal.Hash) (texts [][]byte, err error) {
	for _, name := range names {
		b := c[name]
		if b == nil {
			return nil, fmt.Errorf("no chunk %s", name)
		}
		texts = append(texts, b)
	}
	return texts, nil
}

func (c chunks) load(t testing.TB, record []byte) *journal.State {
	t.Helper()
	s, err := journal.LoadCheckpoint(record, c.read)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A state from a checkpoint is the state, and goes on as it would have gone on, from everywhere.
func TestCheckpointRoundTrip(t *testing.T) {
	t.Parallel()
	told := story(t)
	store := chunks{}
	s := journal.Start(nil)
	for i, line := range told.lines {
		if _, _, err := s.Apply(line); err != nil {
			t.Fatal(err)
		}
		record, _ := store.save(t, s)
		loaded := store.load(t, record)
		if loaded.Hash() != s.Hash() || imprint(loaded) != imprint(s) {
			t.Fatalf("the checkpoint after entry %d loads as another state", i)
		}
		for _, next := range told.lines[i+1:] {
			if _, _, err := loaded.Apply(next); err != nil {
				t.Fatalf("from the checkpoint after entry %d: %v", i, err)
			}
		}
		if loaded.Hash() != told.state.Hash() || imprint(loaded) != imprint(told.state) {
			t.Fatalf("from the checkpoint after entry %d the run comes to another end", i)
		}
	}
}

// A fork of a state from a checkpoint is the fork of the state; so is its rollback.
func TestCheckpointOfFork(t *testing.T) {
	t.Parallel()
	told := story(t)
	store := chunks{}
	record, _ := store.save(t, told.state)
	var ends []string
	for _, parent := range []*journal.State{told.state, store.load(t, record)} {
		fork := newRecorder(t, runID(2), parent)
		fork.add("/", forkOf(parent))
		fork.add("/", &journal.Snapshot{Why: "asked", Root: fork.state.Root})
		record, _ := store.save(t, fork.state)
		fork.state = store.load(t, record)
		fork.turn("/", "other way", 0)
		fork.add("/", &journal.RolledBack{To: 1, Root: fork.state.Root, Message: ref("undone"), Reason: ref("r")})
		ends = append(ends, imprint(fork.state))
	}
	if ends[0] != ends[1] {
		t.Error("the fork of a state from a checkpoint comes to another end")
	}
}

// What did not change is not written again: not a list's full blocks, not the agents and tasks
// that stood still, not those that a snapshot remembers.
func TestCheckpointWritesWhatChanged(t *testing.T) {
	t.Parallel()
	r := newRecorder(t, runID(1), nil)
	r.add("/", start(r.run))
	for n := 1; n <= 20; n++ {
		r.add("/", &journal.AgentSpawned{Path: fmt.Sprintf("/%d", n), Goal: ref("g"), Model: "m"})
		r.add("/", &journal.TaskChanged{Task: int64(n), Status: "open", Title: ref(fmt.Sprint(n))})
	}
	words := make([]string, 1000)
	for i := range words {
		words[i] = fmt.Sprint("message ", i)
	}
	asked := r.add("/", r.ask("/", words...))
	r.add("/", answer(asked, "a", 0))

	store := chunks{}
	if _, added := store.save(t, r.state); len(added) != 21+20+3 {
		t.Errorf("%d chunks at first, want 21 agents, 20 tasks and 3 full blocks", len(added))
	}
	if _, added := store.save(t, r.state); len(added) != 0 {
		t.Errorf("%d chunks for the same state", len(added))
	}
	r.add("/", &journal.Snapshot{Why: "asked", Root: r.state.Root})
	if _, added := store.save(t, r.state); len(added) != 0 {
		t.Errorf("%d chunks for a snapshot", len(added))
	}
	r.add("/7", &journal.Intent{Text: ref("look"), Source: "derived"})
	r.add("/", &journal.TaskChanged{Task: 3, Status: "done"})
	if _, added := store.save(t, r.state); len(added) != 2 {
		t.Errorf("%d chunks for an agent and a task", len(added))
	}
	r.turn("/", "one more", 0)
	_, added := store.save(t, r.state)
	if size := len(added[0].Bytes); len(added) != 1 || size > 256*80 {
		t.Errorf("%d chunks, the first of %d bytes, for a turn after 1,000 messages", len(added), size)
	}
}

// longList records a run whose one agent has a list of two full blocks and a tail.
func longList(t testing.TB) *recorder {
	r := newRecorder(t, runID(1), nil)
	r.add("/", start(r.run))
	r.add("/", &journal.TaskChanged{Task: 1, Status: "open"})
	words := make([]string, 600)
	for i := range words {
		words[i] = fmt.Sprint("message ", i)
	}
	r.add("/", r.ask("/", words...))
	return r
}

// all loads a checkpoint and reads its lists.
func all(record []byte, read journal.ChunkReader) (*journal.State, error) {
	s, err := journal.LoadCheckpoint(record, read)
	if err == nil {
		err = s.ReadLists()
	}
	return s, err
}

// A checkpoint that is damaged is refused; where its record is, the state's hash tells.
func TestCheckpointDamaged(t *testing.T) {
	t.Parallel()
	store := chunks{}
	record, _ := store.save(t, longList(t).state)
	for name := range store {
		damaged := maps.Clone(store)
		damaged[name] = append(slices.Clone(store[name]), ' ')
		if _, err := all(record, damaged.read); err == nil || !strings.Contains(err.Error(), "another hash") {
			t.Errorf("chunk %s damaged: %v", name, err)
		}
		delete(damaged, name)
		if _, err := all(record, damaged.read); err == nil || !strings.Contains(err.Error(), "no chunk") {
			t.Errorf("chunk %s missing: %v", name, err)
		}
	}
	few := func(names []journal.Hash) ([][]byte, error) { return nil, nil }
	if _, err := journal.LoadCheckpoint(record, few); err == nil {
		t.Error("a checkpoint was loaded without chunks")
	}
	for _, other := range []string{`"fold":2`, `"v":1`} {
		key, _, _ := strings.Cut(other, ":")
		text := regexp.MustCompile(key+`:\d`).ReplaceAllString(string(record), other)
		if _, err := journal.LoadCheckpoint([]byte(text), store.read); err == nil || text == string(record) {
			t.Errorf("a checkpoint with %s was loaded", other)
		}
	}
	for _, text := range []string{"", "null", "{}", "[]", string(record[:len(record)/2])} {
		if _, err := journal.LoadCheckpoint([]byte(text), store.read); err == nil {
			t.Errorf("%.20q was loaded", text)
		}
	}
}

// savedAgent is an agent's chunk, as the comment of the format has it.
type savedAgent struct {
	Agent  map[string]any
	Blocks []byte
	Before journal.Hash
	Tail   []byte
}

// Chunks that have the right names but do not make the list that the state's hash covers: what is wrong at the end of the
// list is found at once, what is wrong before it when messages are asked for.
func TestCheckpointForgedList(t *testing.T) {
	t.Parallel()
	r := longList(t)
	honest := chunks{}
	record, _ := honest.save(t, r.state)
	var rec struct{ Agents []journal.Hash }
	var agent savedAgent
	if err := json.Unmarshal(record, &rec); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(honest[rec.Agents[0]], &agent); err != nil || len(agent.Blocks) != 2*journal.HashSize {
		t.Fatalf("%d bytes of names of blocks, %v", len(agent.Blocks), err)
	}
	first, second := agent.Blocks[:journal.HashSize], agent.Blocks[journal.HashSize:]
	other := func(change func(block []byte) []byte) func(*savedAgent) []byte {
		return func(a *savedAgent) []byte {
			block := change(slices.Clone(honest[journal.Hash(first)]))
			name := journal.NameObject(block)
			a.Blocks = slices.Concat(name[:], second)
			return block
		}
	}
	for _, c := range []struct {
		what  string
		forge func(*savedAgent) (block []byte)
		late  bool // found when messages are asked for
	}{
		{"a reference in a block", other(func(b []byte) []byte { b[40] ^= 1; return b }), true},
		{"the head before a block", other(func(b []byte) []byte { b[0] ^= 1; return b }), true},
		{"a longer block", other(func(b []byte) []byte { return append(b, b[:journal.HashSize]...) }), true},
		{"blocks swapped", func(a *savedAgent) []byte { a.Blocks = slices.Concat(second, first); return nil }, true},
		{"a block twice", func(a *savedAgent) []byte { a.Blocks = slices.Concat(second, second); return nil }, true},
		{"a block less", func(a *savedAgent) []byte { a.Blocks = second; return nil }, false},
		{"a block less, and the length", func(a *savedAgent) []byte { a.Blocks, a.Agent["length"] = second, 600-256; return nil }, true},
		{"half a name", func(a *savedAgent) []byte { a.Blocks = a.Blocks[:50]; return nil }, false},
		{"a reference in the tail", func(a *savedAgent) []byte { a.Tail[0] ^= 1; return nil }, false},
		{"the head before the tail", func(a *savedAgent) []byte { a.Before[0] ^= 1; return nil }, false},
		{"the tail of a block's length", func(a *savedAgent) []byte { a.Tail = make([]byte, 256*journal.HashSize); return nil }, false},
		{"the length", func(a *savedAgent) []byte { a.Agent["length"] = 599; return nil }, false},
	} {
		forgery := agent
		forgery.Agent, forgery.Tail = maps.Clone(agent.Agent), slices.Clone(agent.Tail)
		forged := maps.Clone(honest)
		if block := c.forge(&forgery); block != nil {
			forged[journal.Hash(journal.NameObject(block))] = block
		}
		text := encode(t, forgery)
		name := journal.Hash(journal.NameObject(text))
		forged[name] = text
		swapped := []byte(strings.Replace(string(record), rec.Agents[0].String(), name.String(), 1))

		s, err := journal.LoadCheckpoint(swapped, forged.read)
		if (err == nil) != c.late {
			t.Errorf("%s: load: %v", c.what, err)
		}
		if err != nil {
			continue
		}
		if err := s.ReadLists(); err == nil {
			t.Errorf("%s: all lists were read", c.what)
		}
		list := s.Agent("/").List
		if _, err := list.Refs(0, 1); err == nil {
			t.Errorf("%s: the first message was read", c.what)
		}
		if _, err := list.Keep(100); err == nil {
			t.Errorf("%s: the first messages were kept", c.what)
		}
	}
}

// Loading a checkpoint asks for agents and tasks alone. The messages at the end are there without asking, others are asked
// for once, from theirs to the end; the list goes on without them.
func TestCheckpointReadsLate(t *testing.T) {
	t.Parallel()
	r := longList(t)
	store := chunks{}
	record, _ := store.save(t, r.state)
	var asked []int
	s, err := journal.LoadCheckpoint(record, func(names []journal.Hash) ([][]byte, error) {
		asked = append(asked, len(names))
		return store.read(names)
	})
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, want ...int) {
		t.Helper()
		if !slices.Equal(asked, want) {
			t.Fatalf("%s: chunks were asked for in groups of %v, want %v", what, asked, want)
		}
	}
	check("load", 2)
	list := s.Agent("/").List
	longer := list.Append(ref("more"))
	if s.Hash() != r.state.Hash() || longer.Len() != 601 {
		t.Fatal("another state")
	}
	for _, part := range []struct {
		from, to int
		want     []int
	}{{512, 601, []int{2}}, {600, 601, []int{2}}, {7, 7, []int{2}}, {256, 300, []int{2, 1}}, {0, 601, []int{2, 1, 1}}, {3, 400, []int{2, 1, 1}}} {
		refs, err := longer.Refs(part.from, part.to)
		want := r.state.Agent("/").List.Append(ref("more"))
		if due, _ := want.Refs(part.from, part.to); err != nil || !slices.Equal(refs, due) {
			t.Fatalf("messages %d to %d are others (%v)", part.from, part.to, err)
		}
		check(fmt.Sprint("messages ", part.from), part.want...)
	}
	if imprint(s) != imprint(r.state) {
		t.Fatal("another state once its messages were read")
	}
}

// An entry that needs messages that are not here has them read; where they cannot be, it is refused without a trace.
func TestCheckpointCompacted(t *testing.T) {
	t.Parallel()
	r := longList(t)
	store := chunks{}
	record, _ := store.save(t, r.state)
	loaded, lost := store.load(t, record), store.load(t, record)
	list, err := r.state.Agent("/").List.Compact(2, 300, ref("[dropped]"))
	if err != nil {
		t.Fatal(err)
	}
	asked := r.state.Next - 1
	r.add("/", answer(asked, "a", 0))
	r.add("/", &journal.ContextCompacted{Kept: 2, New: []journal.Ref{ref("[dropped]")}, Tail: 300, Head: list.Head(), Length: int64(list.Len())})
	lines := r.lines[len(r.lines)-2:]
	for _, line := range lines {
		if _, _, err := loaded.Apply(line); err != nil {
			t.Fatal(err)
		}
	}
	if loaded.Hash() != r.state.Hash() || imprint(loaded) != imprint(r.state) {
		t.Error("another state after the compaction")
	}
	if _, _, err := lost.Apply(lines[0]); err != nil {
		t.Fatal(err)
	}
	clear(store)
	before := lost.Hash()
	if _, _, err := lost.Apply(lines[1]); err == nil || !strings.Contains(err.Error(), "no chunk") || lost.Hash() != before {
		t.Errorf("compaction without the messages: %v", err)
	}
}

// A state whose blocks are not here is saved where they are stored without reading them; elsewhere they are read.
func TestCheckpointOfCheckpoint(t *testing.T) {
	t.Parallel()
	r := longList(t)
	store := chunks{}
	record, _ := store.save(t, r.state)
	blocks := func(names []journal.Hash) ([][]byte, error) {
		if len(names) != 2 { // those of the agent and the task
			return nil, errors.New("blocks were asked for")
		}
		return store.read(names)
	}
	s, err := journal.LoadCheckpoint(record, blocks)
	if err != nil {
		t.Fatal(err)
	}
	if again, added := store.save(t, s); string(again) != string(record) || len(added) != 0 {
		t.Errorf("%d chunks for the same state", len(added))
	}
	elsewhere := chunks{}
	if again, added := elsewhere.save(t, store.load(t, record)); string(again) != string(record) || len(added) != len(store) {
		t.Errorf("%d chunks of %d in another store", len(added), len(store))
	}
	if _, _, err := store.load(t, record).SaveCheckpoint(func(journal.Hash) bool { return false }); err != nil {
		t.Error(err)
	}
	lost, err := journal.LoadCheckpoint(record, blocks)
	if err == nil {
		for name := range store {
			delete(store, name)
		}
		_, _, err = lost.SaveCheckpoint(func(journal.Hash) bool { return false })
	}
	if err == nil {
		t.Error("a state was saved whose blocks cannot be read")
	}
}

// CheckpointChunks lists exactly what loading the checkpoint asks for.
func TestCheckpointChunks(t *testing.T) {
	t.Parallel()
	told := story(t)
	store := chunks{}
	s := journal.Start(nil)
	for i, line := range told.lines {
		if _, _, err := s.Apply(line); err != nil {
			t.Fatal(err)
		}
		record, _ := store.save(t, s)
		asked := map[journal.Hash]bool{}
		if _, err := all(record, func(names []journal.Hash) ([][]byte, error) {
			for _, name := range names {
				asked[name] = true
			}
			return store.read(names)
		}); err != nil {
			t.Fatal(err)
		}
		listed, err := journal.CheckpointChunks(record, store.read)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range listed {
			if !asked[name] {
				t.Fatalf("after entry %d: chunk %s is listed twice or not needed", i, name)
			}
			delete(asked, name)
		}
		if len(asked) > 0 {
			t.Fatalf("after entry %d: %d chunks are not listed", i, len(asked))
		}
	}
	if _, err := journal.CheckpointChunks([]byte("{"), nil); err == nil {
		t.Error("a damaged record was taken")
	}
}
