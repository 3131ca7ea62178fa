package state

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"tachograph/schemas/journal"
)

// StatusCreated is the status of a run that has no entry yet; the others are those of the journal.
const StatusCreated = "created"

// RunInfo is the summary of a run: a row of its own, changed in the same batch as the entries, so
// that listing runs reads nothing else.
type RunInfo struct {
	ID       journal.RunID  `json:"id"`
	Family   journal.RunID  `json:"family"`
	Parent   *ForkPoint     `json:"parent,omitzero"`
	Volatile bool           `json:"volatile,omitzero"`
	Imported bool           `json:"imported,omitzero"` // recorded elsewhere: it may be read and forked, not written
	Status   string         `json:"status"`            // created, running, paused, ended
	Why      string         `json:"why"`               // of a pause; the outcome, once ended
	Goal     journal.Ref    `json:"goal"`
	Model    string         `json:"model"`
	Started  time.Time      `json:"started"` // time of the first entry
	Last     time.Time      `json:"last"`    // time of the newest entry
	Entries  int64          `json:"entries"`
	Bytes    int64          `json:"bytes"` // of the entries
	Agents   int64          `json:"agents"`
	Live     int64          `json:"live"` // agents that can still act
	Held     int64          `json:"held"` // calls that wait for a person
	Usage    journal.Usage  `json:"usage"`
	Limits   journal.Limits `json:"limits"`
	Root     journal.Object `json:"root"` // of the workspace
	Tip      journal.Hash   `json:"tip"`  // hash of the newest entry
}

// of brings the summary up to the state and to now, the time of its newest entry.
func (i RunInfo) of(s *journal.State, now time.Time, bytes int64) RunInfo {
	i.Status, i.Why, i.Goal, i.Model, i.Last = s.Status, s.Why, s.Goal, s.Model, now
	if i.Started.IsZero() {
		i.Started = now
	}
	i.Entries, i.Bytes = s.Next, i.Bytes+bytes
	agents := s.Agents()
	i.Agents, i.Live, i.Held = int64(len(agents)), 0, 0
	for _, a := range agents {
		for _, c := range a.Calls {
			if c.Phase == journal.CallIsHeld {
				i.Held++
			}
		}
		if a.Live() {
			i.Live++
		}
	}
	i.Usage, i.Limits, i.Root, i.Tip = s.Usage, s.Limits, s.Root, s.Tip
	return i
}

func (i RunInfo) row() ([]byte, error) {
	text, err := json.Marshal(i)
	if err != nil {
		return nil, fmt.Errorf("write summary of run %s: %w", i.ID, err)
	}
	return text, nil
}

func decodeInfo(row []byte) (i RunInfo, err error) {
	if err := json.Unmarshal(row, &i); err != nil {
		return i, fmt.Errorf("read summary of a run: %w", err)
	}
	if i.ID.IsZero() || i.Family.IsZero() || i.Entries < 0 {
		return i, fmt.Errorf("read summary of a run: id, family or number of entries missing")
	}
	return i, nil
}

// listed are the summaries of the last list, each with the row that it was read from: most have not changed when there
// is the next.
type listed map[journal.RunID]listedRun

type listedRun struct {
	row  []byte
	info RunInfo
}

// read reads a row, if it is not the one that was read last.
func (l listed) read(id journal.RunID, row []byte) (listedRun, error) {
	if run := l[id]; bytes.Equal(run.row, row) {
		return run, nil
	}
	info, err := decodeInfo(row)
	return listedRun{bytes.Clone(row), info}, err // a row may be an iterator's
}

func (s *Store) lastListed() listed {
	if l := s.listed.Load(); l != nil {
		return *l
	}
	return nil
}

// Runs lists all runs, oldest id first. What is shown of a run that is being written may lack the
// newest moment.
func (s *Store) Runs(ctx context.Context) ([]RunInfo, error) {
	last := s.lastListed()
	now := make(listed, len(last))
	infos := make([]RunInfo, 0, len(last))
	lower := []byte{rowRun}
	err := s.rows.scan(lower, after(lower), func(key, value []byte) error {
		var id journal.RunID
		copy(id[:], key[len(lower):])
		run, err := last.read(id, value)
		if err != nil {
			return err
		}
		now[id] = run
		infos = append(infos, run.info)
		return ctx.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	s.listed.Store(&now)
	return infos, nil
}

// Info is the summary of one run.
func (s *Store) Info(id journal.RunID) (RunInfo, error) {
	row, err := s.rows.get(idKey(rowRun, id))
	if err != nil {
		return RunInfo{}, fmt.Errorf("run %s: %w", id, err)
	}
	run, err := s.lastListed().read(id, row)
	return run.info, err
}

// members lists the runs of a family, oldest id first.
func (s *Store) members(ctx context.Context, family journal.RunID) ([]RunInfo, error) {
	all, err := s.Runs(ctx)
	if err != nil {
		return nil, err
	}
	var members []RunInfo
	for _, info := range all {
		if info.Family == family {
			members = append(members, info)
		}
	}
	return members, nil
}
