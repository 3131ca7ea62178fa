// Package replay rebuilds and proves what a journal says: the state at any entry, the files at any
// entry, the whole chain of hashes. It reads from a [Source] and runs nothing: looking at a run
// never changes it, starts no tool and asks no model.
//
// Read first: source.go (what can be read from), rebuild.go (one state), verify.go (everything).
package replay

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"tachograph/runner/state"
	"tachograph/schemas/journal"
)

// Source is where a journal can be read from: the local store, the process that owns it, and later
// ClickHouse. Whoever reads trusts none of it: all bytes are checked against hashes.
//
// A method returns an error that matches ErrNotFound if the run, or the named bytes, are not there,
// and ErrErased if a person's request removed them.
type Source interface {
	// Runs lists the runs, newest first.
	Runs(ctx context.Context) ([]Run, error)
	// Run is one of them, read without the others.
	Run(ctx context.Context, run journal.RunID) (Run, error)
	// Entries yields the stored lines of a run from seq on, in order, until the newest.
	Entries(ctx context.Context, run journal.RunID, from int64) iter.Seq2[[]byte, error]
	// Heads are the signed heads of a run, oldest first.
	Heads(ctx context.Context, run journal.RunID) ([][]byte, error)
	// Salt makes the content names of the run's family.
	Salt(ctx context.Context, run journal.RunID) (journal.Salt, error)
	// Content reads what an entry of the run's family names.
	Content(ctx context.Context, run journal.RunID, ref journal.Ref) ([]byte, error)
	// Object reads a file, a chunk, a chunk list or a directory object of the run's family.
	Object(ctx context.Context, run journal.RunID, name journal.Object) ([]byte, error)
	// Checkpoint is the newest cached state at or before seq; ErrNotFound if there is none.
	Checkpoint(ctx context.Context, run journal.RunID, seq int64) (Checkpoint, error)
	// Chunks reads pieces of a checkpoint, in the order of their names.
	Chunks(ctx context.Context, run journal.RunID, names []journal.Hash) ([][]byte, error)
}

// Checkpoint is a cached state: the record that journal.LoadCheckpoint reads, and the seq of the
// newest entry that is folded into it.
type Checkpoint struct {
	Seq    int64  `json:"seq"`
	Record []byte `json:"record"`
}

// Sources of runs.
const (
	SourceTacho = "tacho" // it has a journal
	SourceOTLP  = "otlp"  // a trace of somebody else's agent: spans, and no journal
)

// Run is a run as a list shows it. One of source otlp has no entries, and its status is a reading of its spans: it
// is over when its root span has arrived.
type Run struct {
	ID      journal.RunID `json:"id"`
	Source  string        `json:"source"`
	Service string        `json:"service,omitempty"` // of source otlp
	Spans   int64         `json:"spans,omitempty"`   // of source otlp
	Family  journal.RunID `json:"family"`
	Parent  *Origin       `json:"parent,omitempty"`
	Status  string        `json:"status"` // running, paused, ended
	Why     string        `json:"why"`    // of a pause, or the outcome
	Goal    string        `json:"goal"`
	Model   string        `json:"model"`
	Started string        `json:"started"` // RFC 3339
	Last    string        `json:"last"`    // time of the newest entry
	Entries int64         `json:"entries"`
	Shipped *int64        `json:"shipped,omitempty"` // of them, in ClickHouse; nil: not known
	Tip     journal.Hash  `json:"tip"`
	Agents  int64         `json:"agents"`
	Held    int64         `json:"held"` // calls that wait for a person
	// Imported: it was recorded elsewhere, and this is a copy of as much as there was then. Nobody adds to it.
	Imported bool           `json:"imported,omitempty"`
	Usage    journal.Usage  `json:"usage"`
	Limits   journal.Limits `json:"limits"`
}

// Origin is where a fork began.
type Origin struct {
	Run journal.RunID `json:"run"`
	Seq int64         `json:"seq"`
}

// Errors of a Source.
var (
	// ErrNotFound: there is no such run, or it never named these bytes. Callers say so and exit 1.
	ErrNotFound = state.ErrNotFound
	// ErrErased: the bytes were removed on request (tacho rm). Proofs stay valid; callers go on.
	ErrErased = state.ErrErased
)

// FindRun finds a run by its id or by a beginning of it that no other run has. "last" is the newest.
func FindRun(ctx context.Context, src Source, name string) (Run, error) {
	runs, err := src.Runs(ctx)
	if err != nil {
		return Run{}, err
	}
	if len(runs) == 0 {
		return Run{}, fmt.Errorf("find run %s: there are no runs yet: start one with `tacho run SPEC`: %w", name, ErrNotFound)
	}
	if name == "last" { // the newest that has a journal: what is asked for next needs one
		if i := slices.IndexFunc(runs, func(r Run) bool { return r.Source != SourceOTLP }); i >= 0 {
			return runs[i], nil
		}
		return runs[0], nil
	}
	var found []Run
	for _, r := range runs {
		if id := r.ID.String(); len(name) >= 4 && len(id) >= len(name) && (id[:len(name)] == name || id[len(id)-len(name):] == name) {
			found = append(found, r)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return Run{}, fmt.Errorf("find run %.60s: %w: `tacho ls` lists the runs (an id, at least four characters of its beginning or end, or `last`)", name, ErrNotFound)
	}
	return Run{}, fmt.Errorf("find run %s: %d runs have such an id: give more of it", name, len(found))
}
