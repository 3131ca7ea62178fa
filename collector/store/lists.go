package store

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"tachograph/schemas/journal"
)

// Page bounds a list: at most Limit rows (0: all), those that began before the row (Before, BeforeRun); the zero time
// is the beginning of the list.
type Page struct {
	Limit     int
	Before    time.Time
	BeforeRun [16]byte
}

func (p Page) parameters() []string {
	limit, before := p.Limit, int64(0)
	if limit <= 0 || limit > math.MaxUint32 {
		limit = math.MaxUint32
	}
	if !p.Before.IsZero() {
		before = p.Before.UnixNano()
	}
	return []string{"limit", fmt.Sprint(limit), "before", fmt.Sprint(before), "before_run", uuid.UUID(p.BeforeRun).String()}
}

// stretch bounds the ids of a list.
type stretch struct{ first, last [16]byte }

// all ids, and one alone.
var all = stretch{last: [16]byte(uuid.Max)}

func one(id [16]byte) stretch { return stretch{id, id} }

func (i stretch) parameters() []string {
	return []string{"first", uuid.UUID(i.first).String(), "last", uuid.UUID(i.last).String()}
}

// Run is a run of ours as a list shows it.
type Run struct {
	ID        journal.RunID
	Family    journal.RunID
	Parent    journal.RunID // zero: not a fork
	ParentSeq int64
	Status    string // running, paused, ended
	Why       string // of a pause; the outcome
	Goal      journal.Ref
	GoalText  string // at most maxGoal bytes; empty if it was erased, or has not come
	Model     string
	Started   time.Time
	Last      time.Time // of the newest entry
	Entries   int64
	Tip       journal.Hash
	Agents    int64
	Held      int64 // calls that wait for a person
	Usage     journal.Usage
	Limits    journal.Limits
}

// maxGoal bounds, in bytes, what a list shows of a goal.
const maxGoal = 4 << 10

// Runs are our own runs, newest first.
func (s *Store) Runs(ctx context.Context, page Page) ([]Run, error) { return s.RunsBut(ctx, page, nil) }

// RunsBut are those that skip does not want, whose goals are then not read. What it is asked about has none.
func (s *Store) RunsBut(ctx context.Context, page Page, skip func(Run) bool) ([]Run, error) {
	runs, err := s.listRuns(ctx, page, all, skip)
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	return runs, nil
}

// Run is one of them; ErrNotFound if nothing of it has arrived.
func (s *Store) Run(ctx context.Context, id journal.RunID) (Run, error) {
	runs, err := s.listRuns(ctx, Page{Limit: 1}, one(id), nil)
	if err == nil && len(runs) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Run{}, fmt.Errorf("run %s: %w", id, err)
	}
	return runs[0], nil
}

func (s *Store) listRuns(ctx context.Context, page Page, ids stretch, skip func(Run) bool) ([]Run, error) {
	ask := with(ctx, append(append(page.parameters(), ids.parameters()...), "project", s.project)...)
	runs, err := list(ask, s, question("runs"), scanRun)
	if err != nil {
		return nil, err
	}
	if skip != nil {
		runs = slices.DeleteFunc(runs, skip)
	}
	return runs, s.fillGoals(ctx, runs)
}

func scanRun(r driver.Rows) (Run, error) {
	var run Run
	var id, family, parent uuid.UUID
	var goal, tip string
	var started, last int64
	u, l := &run.Usage, &run.Limits
	err := r.Scan(&id, &family, &parent, &run.ParentSeq, &run.Status, &run.Why, &goal, &run.Model, &started, &last, &run.Entries, &tip,
		&run.Agents, &run.Held, &u.Steps, &u.Calls, &u.Tokens.Input, &u.Tokens.Cached, &u.Tokens.Output, &u.Tokens.Reasoning, &u.Estimated,
		&u.CostNUSD, &u.Unpriced, &u.ActiveUS, &l.Steps, &l.Tokens, &l.CostNUSD, &l.Seconds)
	run.ID, run.Family, run.Parent = journal.RunID(id), journal.RunID(family), journal.RunID(parent)
	run.Goal, run.Tip = hash(goal), hash(tip)
	run.Started, run.Last = time.Unix(0, started).UTC(), time.Unix(0, last).UTC()
	return run, err
}

// fillGoals reads the goals of a list, all in a few questions.
func (s *Store) fillGoals(ctx context.Context, runs []Run) error {
	for len(runs) > 0 {
		some := runs[:min(len(runs), maxNames)]
		runs = runs[len(some):]
		names, families := make([][32]byte, len(some)), "["
		for i, r := range some {
			names[i] = r.Goal
			if i > 0 {
				families += ","
			}
			families += "'" + r.Family.String() + "'"
		}
		type key struct {
			family uuid.UUID
			name   [32]byte
		}
		texts := map[key]string{}
		_, err := list(with(ctx, "project", s.project, "families", families+"]", "names", namesParameter(names), "size", fmt.Sprint(maxGoal)), s, question("goals"),
			func(r driver.Rows) (none struct{}, err error) {
				var family uuid.UUID
				var name, text string
				err = r.Scan(&family, &name, &text)
				texts[key{family, hash(name)}] = text
				return none, err
			})
		if err != nil {
			return fmt.Errorf("read goals: %w", err)
		}
		for i := range some {
			some[i].GoalText = texts[key{uuid.UUID(some[i].Family), some[i].Goal}]
		}
	}
	return nil
}
