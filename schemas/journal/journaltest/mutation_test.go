package journaltest_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tachograph/schemas/journal"
	"tachograph/schemas/journal/journaltest"
)

// foldFile names, in a process that a mutation test starts, the journal to fold.
const foldFile = "TACHO_TEST_FOLD"

// TestFoldFile folds the journals that another process recorded, and compares the state after each
// entry with the one that was live there. A fork follows its parent.
func TestFoldFile(t *testing.T) {
	file := os.Getenv(foldFile)
	if file == "" {
		t.Skip("runs in the processes that TestMutations starts")
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := journal.Start(nil)
	var states []*journal.State // of the run that is no fork, after each entry
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 2*journal.MaxEntry)
	read := 0
	for lines.Scan() {
		want, line, _ := bytes.Cut(lines.Bytes(), []byte(" "))
		if bytes.Contains(line, []byte(`"seq":0,`)) {
			s, states = begin(t, line, states)
		}
		if _, _, err := s.Apply(line); err != nil {
			t.Fatalf("FOLD DIFFERS: %v", err)
		}
		if s.Hash().String() != string(want) {
			t.Fatalf("FOLD DIFFERS: entry %d folds to %s, live was %s", s.Next-1, s.Hash(), want)
		}
		if s.Parent == nil {
			states = append(states, s.Clone())
		}
		read++
	}
	if lines.Err() != nil || read < 100 {
		t.Fatalf("read %d entries: %v", read, lines.Err())
	}
}

// begin is the state before a first entry: a fork's is one of the states of the run before it.
func begin(t *testing.T, line []byte, states []*journal.State) (*journal.State, []*journal.State) {
	t.Helper()
	e, err := journal.Decode(line)
	if err != nil {
		t.Fatal(err)
	}
	body, err := journal.DecodeBody(e.Kind, e.Body)
	if err != nil {
		t.Fatal(err)
	}
	if parent := body.(*journal.RunStarted).Parent; parent != nil {
		return journal.Start(states[parent.Seq]), states
	}
	return journal.Start(nil), nil
}

// TestMutations changes the fold's code in one way at a time, and sees that a random run, recorded
// by the true fold, does not fold to the same states any more.
func TestMutations(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	// Several runs, so that each kind stands somewhere where it matters.
	recorded := record(t, seed, seed+1, seed+2, seed+3, seed+4)
	if out, err := fold(t, recorded, nil); err != nil {
		t.Fatalf("the true fold: %v\n%s", err, out)
	}
	for name, m := range map[string]struct{ file, old, new string }{
		"rollback forgets the sessions":     {"fold_run.go", "next = *old\n", "next = *old\n\t\t\tnext.Session = now.Session\n"},
		"rollback does not count":           {"fold_run.go", "s.Undone++", ""},
		"compaction loses its tail":         {"list.go", "Append(last...)", "Append(last[:0]...)"},
		"a list forgets its beginning":      {"list.go", "chain(next.head, r)", "chain(Hash{}, r)"},
		"tokens of the cache are not added": {"fold_turn.go", ".Cached", ".Reasoning"},
		"a call in doubt needs no person":   {"fold_run.go", `c.Phase, c.Why, c.Approved = CallIsHeld, "doubt", false`, "c.Phase = CallIsAllowed"},
		"a refused call is allowed":         {"fold_call.go", `c.Status = "refused"`, `c.Status = "expired"`},
		"mail is delivered and kept":        {"fold_run.go", "slices.Delete(slices.Clone(s.Mail), i, i+1)", "slices.Clone(s.Mail)"},
		"a snapshot forgets what it is":     {"fold_run.go", "maxMarks", "maxMarks-1"},
		"time passes while paused":          {"fold.go", "resumed := body.(*Resumed)", "resumed := body.(*Paused)"},
		"a fork forgets a given result":     {"fold_run.go", "ResultIsGiven, message", "ResultIsGiven, Ref{message[0]}"},
		"a given result leaves its call be": {"fold_run.go", "c.Phase, c.Status, c.Message = CallIsEnded, ResultIsGiven,", "c.Message ="},
		"a given result looks recorded":     {"fold_run.go", "CallIsEnded, ResultIsGiven,", "CallIsEnded, c.Status,"},
		"a given result keeps its approval": {"fold_run.go", "c.Why, c.Until, c.Approved =", "c.Why, c.Until, _ ="},
		"approval outlives a new decision":  {"fold_call.go", "c.Policy, c.Approved, c.Status", "c.Policy, _, c.Status"},
	} {
		t.Run(name, func(t *testing.T) {
			overlay := mutate(t, m.file, m.old, m.new)
			out, err := fold(t, recorded, overlay)
			if err == nil {
				t.Fatalf("nothing noticed the mutation\n%s", out)
			}
			if !bytes.Contains(out, []byte("FOLD DIFFERS")) {
				t.Fatalf("the mutation does not build, or failed otherwise: %v\n%s", err, out)
			}
		})
	}
}

func record(t *testing.T, seeds ...uint64) string {
	t.Helper()
	var text strings.Builder
	for i, seed := range seeds {
		r, err := journaltest.Random(seed, journal.RunID{1, 0x97, 6: 0x70, 8: 0x80, 15: byte(i + 1)}, 2000)
		if err != nil {
			t.Fatal(err)
		}
		write := func(r *journaltest.Recorder) {
			for i, line := range r.Lines {
				fmt.Fprintf(&text, "%s %s\n", r.Hashes[i], line)
			}
		}
		write(r)
		for n, at := range statesOf(t, r, 25) {
			fork, err := journaltest.RandomFork(seed+uint64(n), journal.RunID{1, 0x97, 6: 0x71, 8: 0x80, 14: byte(i + 1), 15: byte(n)}, at, 12)
			if err != nil {
				t.Fatal(err)
			}
			write(fork)
		}
	}
	file := filepath.Join(t.TempDir(), "journal")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// statesOf are so many of a run's states, spread over it, where a call of a newest answer waits to be told.
func statesOf(t *testing.T, r *journaltest.Recorder, n int) (states []*journal.State) {
	t.Helper()
	s := journal.Start(nil)
	for i, line := range r.Lines {
		if _, _, err := s.Apply(line); err != nil {
			t.Fatal(err)
		}
		calls := 0
		for _, a := range s.Agents() {
			calls += len(a.Calls)
		}
		if calls > 0 && i >= len(states)*len(r.Lines)/n {
			states = append(states, s.Clone())
		}
	}
	return states
}

// mutate writes a changed copy of a source file, and the overlay that puts it in its place.
func mutate(t *testing.T, file, old, new string) []string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", file))
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(source), old) {
		t.Fatalf("%s does not hold %q any more: choose another mutation", file, old)
	}
	dir := t.TempDir()
	changed := filepath.Join(dir, file)
	if err := os.WriteFile(changed, []byte(strings.ReplaceAll(string(source), old, new)), 0o600); err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {path: changed}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"-overlay", filepath.Join(dir, "overlay.json")}
}

func fold(t *testing.T, recorded string, overlay []string) ([]byte, error) {
	t.Helper()
	cmd := exec.Command("go", append(append([]string{"test"}, overlay...), "-count=1", "-vet=off", "-run", "^TestFoldFile$", ".")...)
	cmd.Env = append(os.Environ(), foldFile+"="+recorded)
	return cmd.CombinedOutput()
}
