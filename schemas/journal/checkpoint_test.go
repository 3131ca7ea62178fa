package journal_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tachograph/schemas/journal"
)

// chunks is a store of chunks, as a runner has one.
type chunks map[journal.Hash][]byte

// save writes a checkpoint and returns its record and the chunks that were new.
func (c chunks) save(s *journal.State) (record []byte, added []journal.Chunk) {
	record, added = s.SaveCheckpoint(func(name journal.Hash) bool { return c[name] != nil })
	for _, chunk := range added {
		c[chunk.Name] = chunk.Bytes
	}
	return record, added
}

func (c chunks) get(name journal.Hash) ([]byte, error) {
	if b := c[name]; b != nil {
		return b, nil
	}
	return nil, fmt.Errorf("no chunk %s", name)
}

func (c chunks) load(t testing.TB, record []byte) *journal.State {
	t.Helper()
	s, err := journal.LoadCheckpoint(record, c.get)
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
		record, _ := store.save(s)
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
	record, _ := store.save(told.state)
	var ends []string
	for _, parent := range []*journal.State{told.state, store.load(t, record)} {
		fork := newRecorder(t, runID(2), parent)
		fork.add("/", forkOf(parent))
		fork.add("/", &journal.Snapshot{Why: "asked", Root: fork.state.Root})
		record, _ := store.save(fork.state)
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
	if _, added := store.save(r.state); len(added) != 21+20+3 {
		t.Errorf("%d chunks at first, want 21 agents, 20 tasks and 3 full blocks", len(added))
	}
	if _, added := store.save(r.state); len(added) != 0 {
		t.Errorf("%d chunks for the same state", len(added))
	}
	r.add("/", &journal.Snapshot{Why: "asked", Root: r.state.Root})
	if _, added := store.save(r.state); len(added) != 0 {
		t.Errorf("%d chunks for a snapshot", len(added))
	}
	r.add("/7", &journal.Intent{Text: ref("look"), Source: "derived"})
	r.add("/", &journal.TaskChanged{Task: 3, Status: "done"})
	if _, added := store.save(r.state); len(added) != 2 {
		t.Errorf("%d chunks for an agent and a task", len(added))
	}
	r.turn("/", "one more", 0)
	_, added := store.save(r.state)
	if size := len(added[0].Bytes); len(added) != 1 || size > 256*80 {
		t.Errorf("%d chunks, the first of %d bytes, for a turn after 1,000 messages", len(added), size)
	}
}

// A checkpoint that is damaged is refused; where its record is, the state's hash tells.
func TestCheckpointDamaged(t *testing.T) {
	t.Parallel()
	r := newRecorder(t, runID(1), nil)
	r.add("/", start(r.run))
	r.add("/", &journal.TaskChanged{Task: 1, Status: "open"})
	words := make([]string, 600)
	for i := range words {
		words[i] = fmt.Sprint("message ", i)
	}
	r.add("/", r.ask("/", words...))
	store := chunks{}
	record, _ := store.save(r.state)

	for name := range store {
		damaged := chunks{}
		for n, b := range store {
			damaged[n] = b
		}
		damaged[name] = append(slices.Clone(store[name]), ' ')
		if _, err := journal.LoadCheckpoint(record, damaged.get); err == nil || !strings.Contains(err.Error(), "another hash") {
			t.Errorf("chunk %s damaged: %v", name, err)
		}
		delete(damaged, name)
		if _, err := journal.LoadCheckpoint(record, damaged.get); err == nil || !strings.Contains(err.Error(), "no chunk") {
			t.Errorf("chunk %s missing: %v", name, err)
		}
	}
	if _, err := journal.LoadCheckpoint([]byte(strings.Replace(string(record), `"fold":1`, `"fold":2`, 1)), store.get); err == nil {
		t.Error("a checkpoint of another fold was loaded")
	}
	for _, text := range []string{"", "null", "{}", "[]", string(record[:len(record)/2])} {
		if _, err := journal.LoadCheckpoint([]byte(text), store.get); err == nil {
			t.Errorf("%.20q was loaded", text)
		}
	}
}

// Chunks that have the right names but do not make the list that the state's hash covers.
func TestCheckpointForgedList(t *testing.T) {
	t.Parallel()
	r := newRecorder(t, runID(1), nil)
	r.add("/", start(r.run))
	words := make([]string, 600)
	for i := range words {
		words[i] = fmt.Sprint("message ", i)
	}
	r.add("/", r.ask("/", words...))
	honest := chunks{}
	record, _ := honest.save(r.state)

	var rec struct{ Agents []journal.Hash }
	if err := json.Unmarshal(record, &rec); err != nil {
		t.Fatal(err)
	}
	agent := honest[rec.Agents[0]]
	var save struct{ Blocks []journal.Hash }
	if err := json.Unmarshal(agent, &save); err != nil || len(save.Blocks) != 2 {
		t.Fatalf("%d blocks, %v", len(save.Blocks), err)
	}
	forgedBlock := slices.Clone(honest[save.Blocks[0]])
	forgedBlock[0] ^= 1
	for name, forge := range map[string]func(agent string) (string, [][]byte){
		"a reference in a block": func(a string) (string, [][]byte) {
			return strings.Replace(a, save.Blocks[0].String(), journal.Hash(journal.NameObject(forgedBlock)).String(), 1), [][]byte{forgedBlock}
		},
		"blocks swapped": func(a string) (string, [][]byte) {
			return strings.NewReplacer(save.Blocks[0].String(), save.Blocks[1].String(), save.Blocks[1].String(), save.Blocks[0].String()).Replace(a), nil
		},
		"a reference in the tail": func(a string) (string, [][]byte) {
			return strings.Replace(a, ref(words[599]).String(), ref("other").String(), 1), nil
		},
		"a block twice": func(a string) (string, [][]byte) {
			return strings.Replace(a, save.Blocks[1].String(), save.Blocks[0].String(), 1), nil
		},
		"the tail of a block's length": func(a string) (string, [][]byte) {
			tail := strings.Repeat(`"`+ref("x").String()+`",`, 256)
			return strings.Replace(a, `"Tail":[`, `"Tail":[`+tail, 1), nil
		},
		"the length": func(a string) (string, [][]byte) { return strings.Replace(a, `"length":600`, `"length":599`, 1), nil },
	} {
		text, more := forge(string(agent))
		if text == string(agent) {
			t.Fatalf("%s: nothing was forged", name)
		}
		forged := chunks{}
		for n, b := range honest {
			forged[n] = b
		}
		for _, b := range append(more, []byte(text)) {
			forged[journal.Hash(journal.NameObject(b))] = b
		}
		swapped := strings.Replace(string(record), rec.Agents[0].String(), journal.Hash(journal.NameObject([]byte(text))).String(), 1)
		if s, err := journal.LoadCheckpoint([]byte(swapped), forged.get); err == nil && s.Hash() == r.state.Hash() {
			t.Errorf("%s: loaded, with the hash of the honest state", name)
		} else if err == nil {
			t.Errorf("%s: loaded", name)
		}
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
		record, _ := store.save(s)
		asked := map[journal.Hash]bool{}
		if _, err := journal.LoadCheckpoint(record, func(name journal.Hash) ([]byte, error) {
			asked[name] = true
			return store.get(name)
		}); err != nil {
			t.Fatal(err)
		}
		listed, err := journal.CheckpointChunks(record, func(names []journal.Hash) (texts [][]byte, err error) {
			for _, name := range names {
				texts = append(texts, store[name])
			}
			return texts, nil
		})
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
