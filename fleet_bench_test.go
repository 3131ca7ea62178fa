package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"tachograph/collector/store/embedded/embeddedtest"
	"tachograph/replay"
	"tachograph/runner/state"
	"tachograph/schemas/journal"
)

// fleet is many runs of one process, shipped into an embedded ClickHouse as `tacho up` does it.
type fleet struct {
	b        *testing.B
	station  *station
	place    *place
	out      *sending
	appended atomic.Int64
}

func openFleet(b *testing.B) *fleet {
	b.Helper()
	f := &fleet{b: b}
	c := &cli{in: os.Stdin, out: os.Stderr, err: os.Stderr, env: os.Getenv, data: b.TempDir(), project: "default",
		receive: receive{otlpGRPC: "127.0.0.1:0", otlpHTTP: "127.0.0.1:0", http: "127.0.0.1:0"}}
	var err error
	if f.station, err = c.openStation(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.station.Close() })
	f.place = &place{data: c.data, log: c.log()}
	if f.place.store, err = state.Open(filepath.Join(c.data, "store"), state.Options{}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.place.store.Close() })
	if f.out, err = f.station.outlet(nil).open(b.Context(), f.place, func(string) string { return "" }); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.out.Close() })
	return f
}

func (f *fleet) append(run *state.Run, bodies ...journal.Body) {
	drafts := make([]state.Draft, len(bodies))
	for i, body := range bodies {
		drafts[i] = state.Draft{Agent: "/", Body: body}
	}
	if _, err := run.Append(context.Background(), drafts...); err != nil {
		f.b.Error(err)
	}
	f.appended.Add(int64(len(bodies)))
}

// begin makes a run and follows it.
func (f *fleet) begin() *state.Run {
	run, err := f.place.store.Create(f.b.Context(), journal.RunID(uuid.Must(uuid.NewV7())), state.CreateOptions{})
	if err != nil {
		f.b.Fatal(err)
	}
	stage := func(text string) journal.Ref { return run.Stage([]byte(text)) }
	tree := journal.NameObject([]byte("tree"))
	f.append(run, &journal.RunStarted{Spec: stage("{}"), Goal: stage("one of many"), Model: "a/model", Family: run.ID(), Base: tree, Root: tree, Policy: stage("permit;"), Sandbox: "1"})
	f.out.follow(run)
	return run
}

// work appends so many entries, each with 400 bytes of content of its own.
func (f *fleet) work(run *state.Run, n int) {
	bodies := make([]journal.Body, n)
	for i := range bodies {
		bodies[i] = &journal.Intent{Text: run.Stage([]byte(uuid.NewString() + strings.Repeat(" what it is for", 24))), Source: "declared"}
	}
	f.append(run, bodies...)
}

// shipped waits until all of the runs is. It looks again and again: whoever waits with Ship has a run hurry, which is not
// what is measured.
func (f *fleet) shipped(runs []*state.Run) {
	for _, run := range runs {
		for shipped, total := f.out.ship.Shipped(run.ID()); shipped < total; shipped, total = f.out.ship.Shipped(run.ID()) {
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// BenchmarkFleet has 300 runs at once write 700 entries a second between them, as agents do that make 100 calls a second, and says how
// long an entry takes to be read from ClickHouse.
func BenchmarkFleet(b *testing.B) {
	f := openFleet(b)
	const agents, every, lasts = 300, 3 * time.Second, 30 * time.Second
	runs := make([]*state.Run, agents)
	for i := range runs {
		runs[i] = f.begin()
	}
	conn := embeddedtest.Connect(b, f.station.dsn)
	stored := func() (n uint64) {
		if err := conn.QueryRow(b.Context(), "SELECT count() FROM entries").Scan(&n); err != nil {
			b.Fatal(err)
		}
		return n
	}
	for stored() < uint64(f.appended.Load()) {
		time.Sleep(20 * time.Millisecond)
	}
	for b.Loop() {
		end := time.Now().Add(lasts)
		var group sync.WaitGroup
		for i, run := range runs {
			group.Go(func() {
				time.Sleep(every * time.Duration(i) / agents) // agents do not keep step; these pauses are the load
				for time.Now().Before(end) {
					for _, n := range []int{1, 3, 3} { // asked; answered, why, proposed; decided, started, ended
						f.work(run, n)
					}
					time.Sleep(every)
				}
			})
		}
		type moment struct {
			at time.Time
			n  int64
		}
		var written []moment // when so many had been appended
		var lags []time.Duration
		for next := 0; time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			written = append(written, moment{time.Now(), f.appended.Load()})
			have, now := int64(stored()), time.Now()
			for next < len(written) && written[next].n <= have {
				next++
			}
			if next < len(written) {
				lags = append(lags, now.Sub(written[next].at))
			}
		}
		group.Wait()
		slices.Sort(lags)
		for _, p := range []int{50, 95, 100} {
			b.ReportMetric(float64(lags[min(len(lags)-1, len(lags)*p/100)].Milliseconds()), fmt.Sprintf("ms-lag-p%d", p))
		}
	}
}

// BenchmarkRunsList lists 2,000 runs as the page of runs does: those of this process and of ClickHouse, which has the same.
func BenchmarkRunsList(b *testing.B) {
	f := openFleet(b)
	f.place.Journal = replay.Local(f.place.store)
	f.place.join(f.station.journals())
	const many = 2000
	runs := make([]*state.Run, many)
	for i := range runs {
		runs[i] = f.begin()
	}
	f.shipped(runs)
	list := withShipped{f.place.Journal, f.out.ship}
	for b.Loop() {
		if found, err := list.Runs(b.Context()); err != nil || len(found) != many {
			b.Fatal(len(found), err)
		}
	}
}

// BenchmarkShortRuns writes runs of three entries and says how many a second are shipped.
func BenchmarkShortRuns(b *testing.B) {
	f := openFleet(b)
	const many = 2000
	for b.Loop() {
		begin := time.Now()
		runs := make([]*state.Run, many)
		for i := range runs {
			runs[i] = f.begin()
			f.work(runs[i], 1)
			f.append(runs[i], &journal.RunEnded{Outcome: "done", Reason: runs[i].Stage([]byte("all done")), Root: runs[i].State().Root})
		}
		written := time.Since(begin)
		f.shipped(runs)
		b.ReportMetric(many/written.Seconds(), "written/s")
		b.ReportMetric(many/time.Since(begin).Seconds(), "shipped/s")
	}
}
