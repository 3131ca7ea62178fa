package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"tachograph/runner/workspace"
	"tachograph/schemas/journal"
)

// Proof is a rebuilt state beside what was recorded about it.
type Proof struct {
	Run        journal.RunID  `json:"run"`
	Seq        int64          `json:"seq"`
	Entries    int64          `json:"entries"` // of the run in all
	State      journal.Hash   `json:"state"`   // rebuilt
	Recorded   journal.Hash   `json:"recorded"`
	RecordedAt int64          `json:"recorded_at"` // entry that commits to this state, −1 if none does
	Refolded   journal.Hash   `json:"refolded,omitzero"`
	Unread     string         `json:"unread,omitempty"` // why messages of the rebuilt state cannot be read; they can still be folded from the entries
	Root       journal.Object `json:"root"`
	Files      *FilesProof    `json:"files,omitempty"`
	Agents     []AgentView    `json:"agents"`
	Usage      journal.Usage  `json:"usage"`
}

// FilesProof is what is on disk after the files were written out and read again.
type FilesProof struct {
	Root        journal.Object `json:"root"`
	Files       int64          `json:"files"`
	Bytes       int64          `json:"bytes"`
	Differences []string       `json:"differences"`
}

// AgentView is an agent in a proof.
type AgentView struct {
	Path     string `json:"path"`
	Status   string `json:"status"`
	Step     int64  `json:"step"`
	Messages int    `json:"messages"`
}

// Holds says whether everything that was compared is equal.
func (p *Proof) Holds() bool {
	return (p.RecordedAt < 0 || p.State == p.Recorded) && (p.Refolded.IsZero() || p.State == p.Refolded) &&
		p.Unread == "" && (p.Files == nil || p.Files.Root == p.Root && len(p.Files.Differences) == 0)
}

// ProveOptions say what to do besides rebuilding the state.
type ProveOptions struct {
	Out    string // write the files there: a directory that does not exist yet or is empty
	Verify bool   // fold again without the cache, write the files (to a temporary directory if Out is empty), hash them from disk
}

// Prove rebuilds a state and compares it with what the run recorded.
func Prove(ctx context.Context, src Source, run journal.RunID, seq int64, o ProveOptions) (*Proof, error) {
	s, err := At(ctx, src, run, seq)
	if err != nil {
		return nil, err
	}
	all, err := FindRun(ctx, src, run.String())
	if err != nil {
		return nil, err
	}
	p := &Proof{Run: run, Seq: seq, Entries: all.Entries, State: s.Hash(), Root: s.Root, Usage: s.Usage}
	for _, a := range s.Agents() {
		p.Agents = append(p.Agents, AgentView{a.Path, a.Status, a.Step, a.List.Len()})
	}
	if p.Recorded, p.RecordedAt, err = commitmentAfter(ctx, src, s, run); err != nil {
		return nil, err
	}
	if o.Verify {
		again, _, _, err := FoldFromStart(ctx, src, run, seq)
		if err != nil {
			return nil, err
		}
		p.Refolded = again.Hash()
		if err := s.ReadLists(); ctx.Err() != nil {
			return nil, ctx.Err()
		} else if err != nil {
			p.Unread = err.Error()
		}
	}
	if o.Verify || o.Out != "" {
		p.Files, err = proveFiles(ctx, src, run, s.Root, o)
	}
	return p, err
}

// proveFiles writes the tree out and reads it back.
func proveFiles(ctx context.Context, src Source, run journal.RunID, root journal.Object, o ProveOptions) (*FilesProof, error) {
	dir := o.Out
	if dir == "" {
		temporary, err := os.MkdirTemp("", "tacho-replay-")
		if err != nil {
			return nil, fmt.Errorf("make temporary directory: %w", err)
		}
		defer workspace.RemoveAll(temporary)
		dir = temporary
	}
	if err := checkOut(dir); err != nil {
		return nil, fmt.Errorf("write the files to %s: %w", dir, err)
	}
	objects := Objects(src, run)
	if _, err := workspace.Materialise(ctx, objects, root, dir, workspace.Options{UID: -1}); err != nil {
		return nil, fmt.Errorf("write the files to %s: %w", dir, errors.Unwrap(err)) // it names a hash and dir again
	}
	if !o.Verify {
		return nil, nil
	}
	report, err := workspace.Verify(ctx, objects, root, dir, workspace.Options{UID: -1})
	if err != nil {
		return nil, fmt.Errorf("compare files: %w", err)
	}
	proof := &FilesProof{Root: report.Root, Files: report.Files, Bytes: report.Bytes, Differences: []string{}}
	for _, d := range report.Differences {
		proof.Differences = append(proof.Differences, fmt.Sprintf("%s %q", d.Kind, d.Path))
	}
	return proof, nil
}

// ParseSeq reads an entry's number, or AGENT@STEP for the last entry of that step; "" is the newest.
func ParseSeq(ctx context.Context, src Source, run Run, text string) (int64, error) {
	if text == "" {
		return run.Entries - 1, nil
	}
	agent, step, isStep := strings.Cut(text, "@")
	if isStep {
		n, err := strconv.ParseInt(step, 10, 64)
		if err != nil || !journal.ValidAgent(agent) {
			return 0, fmt.Errorf("entry %.40q: write a number, or AGENT@STEP as in /@14", text)
		}
		return lastOfStep(ctx, src, run, agent, n)
	}
	seq, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("entry %.40q: write a number, or AGENT@STEP as in /@14", text)
	}
	if seq < 0 || seq >= run.Entries {
		return 0, noEntry(run, seq)
	}
	return seq, nil
}

// checkOut refuses a directory that cannot be filled, before anything is read for it.
func checkOut(dir string) error {
	there, err := os.ReadDir(dir)
	switch parent := filepath.Dir(dir); {
	case errors.Is(err, os.ErrNotExist):
		if info, err := os.Stat(parent); err != nil || !info.IsDir() {
			return fmt.Errorf("there is no directory %s to make it in", parent)
		}
		return nil
	case err != nil:
		return errors.New("it is no directory that can be read: name a new one")
	case len(there) > 0:
		return errors.New("it is not empty: name a new directory, or an empty one")
	}
	return nil
}

// absent says that something is not there, in words of its own; it matches ErrNotFound.
type absent string

func (e absent) Error() string        { return string(e) }
func (e absent) Is(target error) bool { return target == ErrNotFound }

func noEntry(run Run, seq int64) error {
	return absent(fmt.Sprintf("entry %d: run %s has entries 0 to %d; `tacho show %s` prints them", seq, run.ID, run.Entries-1, run.ID))
}

// lastOfStep is the entry before the agent's next question to the model, or its last one.
func lastOfStep(ctx context.Context, src Source, run Run, agent string, step int64) (int64, error) {
	last, in := int64(-1), false
	for line, err := range src.Entries(ctx, run.ID, 0) {
		if err != nil {
			return 0, err
		}
		e, err := journal.Decode(line)
		if err != nil {
			return 0, err
		}
		if e.Agent != agent {
			continue
		}
		if e.Kind == journal.KindModelAsked {
			var asked journal.ModelAsked
			if err := json.Unmarshal(e.Body, &asked); err != nil {
				return 0, err
			}
			in = asked.Step == step
		}
		if in && stepKind(e.Kind) {
			last = e.Seq
		}
	}
	if last < 0 {
		return 0, absent(fmt.Sprintf("step %d of agent %s: run %s has no such step; `tacho show %s` prints those that there are", step, agent, run.ID, run.ID))
	}
	return last, nil
}

// stepKind says whether a kind belongs to a turn of the agent, and not to the run around it.
func stepKind(k journal.Kind) bool {
	return k == journal.KindIntent || strings.HasPrefix(string(k), "model.") || strings.HasPrefix(string(k), "call.")
}

// Directory is the user's directory that a run was started on.
func Directory(ctx context.Context, src Source, s *journal.State) (string, error) {
	text, err := src.Content(ctx, s.Run, s.Spec)
	if err != nil {
		return "", fmt.Errorf("read spec of run %s: %w", s.Run, err)
	}
	var spec struct {
		Directory string `json:"directory"`
	}
	if err := json.Unmarshal(text, &spec); err != nil {
		return "", fmt.Errorf("read spec of run %s: %w", s.Run, err)
	}
	return spec.Directory, nil
}
