package replay

import (
	"cmp"
	"context"
	"slices"
	"time"

	"tachograph/collector/store"
	"tachograph/schemas/journal"
)

// TraceQuiet is how long a trace without a root goes on for after the last of its spans arrived: some roots never do.
const TraceQuiet = 15 * time.Minute

// addTraces puts the traces of other people's agents among runs, newest first.
func (d *Database) addTraces(ctx context.Context, runs []Run) ([]Run, error) {
	found, err := d.store.Traces(ctx, recent(), store.Page{})
	if err != nil {
		return nil, translated(err)
	}
	for _, t := range found {
		runs = append(runs, shownTrace(t))
	}
	slices.SortStableFunc(runs, func(a, b Run) int { return cmp.Compare(b.Started, a.Started) })
	return runs, nil
}

func (d *Database) traceRun(ctx context.Context, run journal.RunID) (Run, error) {
	trace, err := d.store.Trace(ctx, run, recent())
	if err != nil {
		return Run{}, translated(err)
	}
	return shownTrace(trace), nil
}

func recent() store.TraceFilter { return store.TraceFilter{Recent: time.Now().Add(-TraceQuiet)} }

func shownTrace(t store.Trace) Run {
	run := Run{ID: journal.RunID(t.ID), Source: SourceOTLP, Family: journal.RunID(t.ID), Status: journal.StatusRunning, Goal: t.Name, Model: t.Model,
		Service: t.Service, Spans: t.Spans, Started: t.Started.UTC().Format(time.RFC3339Nano), Last: t.Ended.UTC().Format(time.RFC3339Nano),
		Agents: t.Agents, Usage: journal.Usage{Steps: t.Answers, Calls: t.Calls, CostNUSD: t.CostNUSD, Unpriced: t.Unpriced,
			Tokens: journal.Tokens{Input: t.Input, Cached: t.Cached, Output: t.Output}}}
	if t.Status != store.TraceRunning {
		run.Status, run.Why = journal.StatusEnded, t.Status
	}
	return run
}
