package journal_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"tachograph/schemas/journal"
)

// The golden journal is a run in which every kind happens: its lines, the state hash and the tree
// root after each, and its head, signed with the key of the tests. Whoever writes a second
// implementation has it right when these come out.
func TestGoldenJournal(t *testing.T) {
	t.Parallel()
	checkGolden(t, "journal-v1", nil, story(t))
}

// The golden fork begins in the middle of the golden journal, with results given in place of two that
// the parent recorded, and one for a call that it never started.
func TestGoldenFork(t *testing.T) {
	t.Parallel()
	at, fork := forkStory(t)
	checkGolden(t, "fork-v1", at, fork)
}

func checkGolden(t *testing.T, name string, parent *journal.State, written *recorder) {
	t.Helper()
	stored := readGolden(t, name+".jsonl", append(bytes.Join(written.lines, []byte("\n")), '\n'))
	lines := bytes.Split(bytes.TrimSuffix(stored, []byte("\n")), []byte("\n"))

	s := journal.Start(parent)
	var tree journal.Frontier
	var table strings.Builder
	for _, line := range lines {
		e, _, err := s.Apply(line)
		if err != nil {
			t.Fatal(err)
		}
		tree.Add(journal.HashEntry(line))
		fmt.Fprintf(&table, "%d %s %s %s\n", e.Seq, journal.HashEntry(line), s.Hash(), tree.Root())
	}
	if diff := cmp.Diff(string(readGolden(t, name+".hashes", []byte(table.String()))), table.String()); diff != "" {
		t.Errorf("seq, entry, state, tree (-stored +computed):\n%s", diff)
	}

	head := journal.TreeHead{Run: s.Run, Domain: "tacho.test", Size: tree.Size(), Root: tree.Root(), State: s.Hash()}
	signed, err := journal.SignHead(head, workerKey(t, "tacho.test/worker").signer)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(readGolden(t, name+".head", signed)), string(signed)); diff != "" {
		t.Errorf("signed head (-stored +computed):\n%s", diff)
	}
	if diff := cmp.Diff(stored, append(bytes.Join(written.lines, []byte("\n")), '\n')); diff != "" {
		t.Errorf("the story is written otherwise now (-stored +written):\n%s", diff)
	}
}

func TestStoryHasEveryKind(t *testing.T) {
	t.Parallel()
	seen := map[journal.Kind]bool{}
	for _, line := range story(t).lines {
		e, err := journal.Decode(line)
		if err != nil {
			t.Fatal(err)
		}
		seen[e.Kind] = true
	}
	for _, body := range journal.Kinds() {
		if !seen[body.Kind()] {
			t.Errorf("the golden journal has no %s", body.Kind())
		}
	}
}

// The state hash is what its comment says: a second implementation, made from the specification
// and from what State shows, agrees after each entry.
func TestStateHashAsSpecified(t *testing.T) {
	t.Parallel()
	s := journal.Start(nil)
	for _, line := range story(t).lines {
		if _, _, err := s.Apply(line); err != nil {
			t.Fatal(err)
		}
		if want := specifiedHash(t, s); s.Hash() != want {
			t.Fatalf("state after %d hashes to %s, as specified to %s", s.Next-1, s.Hash(), want)
		}
	}
	at, fork := forkStory(t)
	s = journal.Start(at)
	for _, line := range fork.lines {
		if _, _, err := s.Apply(line); err != nil {
			t.Fatal(err)
		}
		if want := specifiedHash(t, s); s.Hash() != want {
			t.Fatalf("state of the fork after %d hashes to %s, as specified to %s", s.Next-1, s.Hash(), want)
		}
	}
}

// With many agents, changed in any order, the incremental tree is the tree over all agents.
func TestStateHashOfManyAgents(t *testing.T) {
	t.Parallel()
	r := newRecorder(t, runID(1), nil)
	r.add("/", start(r.run))
	for n := 1; n <= 37; n++ {
		path := fmt.Sprintf("/%d", n)
		r.add("/", &journal.AgentSpawned{Path: path, Goal: ref(path), Model: "script/x"})
		if n%5 == 0 { // else several leaves are due at once
			if want := specifiedHash(t, r.state); r.state.Hash() != want {
				t.Fatalf("%d agents: %s, as specified %s", n+1, r.state.Hash(), want)
			}
		}
		r.add(fmt.Sprintf("/%d", 1+(n*7)%n), &journal.Intent{Text: ref(path), Source: "derived"})
		r.add("/", &journal.TaskChanged{Task: int64(1 + n/2), Status: "open", Title: ref(path)})
	}
	if want := specifiedHash(t, r.state); r.state.Hash() != want {
		t.Errorf("%s, as specified %s", r.state.Hash(), want)
	}
}

// specifiedHash is State.Hash from the comments of stateLine, agentLine and Task alone.
func specifiedHash(t testing.TB, s *journal.State) journal.Hash {
	t.Helper()
	var agents, tasks [][]byte
	for _, a := range s.Agents() {
		agents = append(agents, encode(t, ordered(
			"path", a.Path, "status", a.Status, "model", a.Model, "goal", a.Goal, "task", a.Task, "step", a.Step,
			"head", a.List.Head(), "length", a.List.Len(), "intent", a.Intent, "asked", a.Asked, "attempt", a.Attempt,
			"answer", a.Answer, "finish", a.Finish, "want", a.Want, "calls", append([]journal.Call{}, a.Calls...),
			"notes", append([]journal.Ref{}, a.Notes...), "turn", a.Turn, "session", a.Session)))
	}
	for _, task := range s.Tasks() {
		tasks = append(tasks, encode(t, task))
	}
	marks := []pairs{}
	for _, m := range s.Marks {
		marks = append(marks, ordered("seq", m.Seq, "state", m.State, "used", m.Used))
	}
	return sha256.Sum256(encode(t, ordered("fold", journal.FoldVersion, "run", s.Run, "family", s.Family, "parent", s.Parent,
		"status", s.Status, "why", s.Why, "stop", s.Stop, "hold", s.Hold, "spec", s.Spec, "goal", s.Goal, "model", s.Model,
		"policy", s.Policy, "sandbox", s.Sandbox, "base", s.Base, "root", s.Root, "left_out", s.LeftOut, "limits", s.Limits,
		"usage", s.Usage, "mail", append([]journal.Mail{}, s.Mail...), "undone", s.Undone, "marks", marks,
		"agents", treeHash(t, agents), "tasks", treeHash(t, tasks))))
}

// pairs is a JSON object whose keys stand in order.
type pairs []any

func ordered(keysAndValues ...any) pairs { return keysAndValues }

func (p pairs) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i := 0; i < len(p); i += 2 {
		value, err := plainJSON(p[i+1])
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(fmt.Appendf(b, "%q:", p[i]), value...)
	}
	return append(b, '}'), nil
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	b, err := plainJSON(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// plainJSON escapes only what JSON demands, as a journal does.
func plainJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// treeHash is RFC 6962 as golang.org/x/mod computes it; the zero hash for no leaves.
func treeHash(t testing.TB, leaves [][]byte) journal.Hash {
	t.Helper()
	if len(leaves) == 0 {
		return journal.Hash{}
	}
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hashes := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			hashes[i] = stored[index]
		}
		return hashes, nil
	})
	for i, leaf := range leaves {
		hashes, err := tlog.StoredHashes(int64(i), leaf, reader)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, hashes...)
	}
	root, err := tlog.TreeHash(int64(len(leaves)), reader)
	if err != nil {
		t.Fatal(err)
	}
	return journal.Hash(root)
}

// The right edge alone gives the root of a tree of every size, and can be taken up again at any.
func TestFrontierAgainstTlog(t *testing.T) {
	t.Parallel()
	var tree journal.Frontier
	if !tree.Root().IsZero() {
		t.Errorf("root of nothing is %s", tree.Root())
	}
	var leaves [][]byte
	for n := int64(1); n <= 130; n++ {
		leaf := fmt.Appendf(nil, "entry %d", n)
		leaves = append(leaves, leaf)
		resumed, err := journal.ResumeFrontier(tree.Size(), tree.Nodes())
		if err != nil {
			t.Fatal(err)
		}
		tree.Add(journal.HashEntry(leaf))
		resumed.Add(journal.HashEntry(leaf))
		if want := treeHash(t, leaves); tree.Size() != n || tree.Root() != want || resumed.Root() != want {
			t.Fatalf("root of %d is %s, resumed %s, want %s", tree.Size(), tree.Root(), resumed.Root(), want)
		}
	}
	if _, err := journal.ResumeFrontier(130, tree.Nodes()[1:]); err == nil {
		t.Error("a frontier of 130 with one node too few was resumed")
	}
	if _, err := journal.ResumeFrontier(-1, nil); err == nil {
		t.Error("a frontier of −1 was resumed")
	}
}

// A frontier that was resumed shares no memory with the one it came from.
func TestFrontierResumedApart(t *testing.T) {
	t.Parallel()
	var tree journal.Frontier
	for n := range 5 {
		tree.Add(hash(fmt.Sprint(n)))
	}
	resumed, err := journal.ResumeFrontier(tree.Size(), tree.Nodes())
	if err != nil {
		t.Fatal(err)
	}
	before := tree.Root()
	resumed.Add(hash("other"))
	if tree.Root() != before {
		t.Error("the first tree changed with the second")
	}
}

// key is a worker's key.
type key struct {
	signer   note.Signer
	verifier note.Verifier
}
