package state_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tachograph/runner/state"
)

const (
	lossRounds = 40
	lossesEach = 26 // of them, the last is gone on from
)

// The power goes at 1,040 random moments while several goroutines write several runs: whatever was
// acknowledged is there, with its content and objects, once; the rest is a prefix.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	seed := testSeed(t)
	rounds := lossRounds
	if testing.Short() {
		rounds = 4
	}
	losses, entries := 0, int64(0)
	for round := range rounds {
		l := &losing{t: t, rng: rand.New(rand.NewPCG(seed, uint64(round))), fs: vfs.NewCrashableMem(), book: newLedger(),
			seed: seed + uint64(round)*1000}
		l.round()
		losses += l.losses
		for _, e := range l.book.entries {
			entries += int64(len(e))
		}
	}
	t.Logf("%d power losses, %d entries acknowledged, none lost", losses, entries)
}

type losing struct {
	t      *testing.T
	rng    *rand.Rand
	fs     *vfs.MemFS
	book   *ledger
	seed   uint64
	losses int
}

func (l *losing) options(fs vfs.FS) state.Options {
	return state.Options{FS: fs, Reserve: -1, CheckpointEvery: 30, CacheBytes: 1 << 20}
}

// round writes two runs with three goroutines each, and takes the power away again and again in the
// middle of it. Writers work by the piece, so that the journals do not outgrow the test.
func (l *losing) round() {
	s := open(l.t, "data", l.options(l.fs))
	work, done := make(chan struct{}), make(chan struct{}, 64)
	var writers sync.WaitGroup
	for n := range 2 {
		run := create(l.t, s, runID(n), state.CreateOptions{})
		w := tell(l.t, run, l.seed+uint64(n))
		written, err := run.Append(l.t.Context(), state.Draft{Agent: "/", Body: w.story.Start(run.ID())})
		if err != nil {
			l.t.Fatal(err)
		}
		l.book.acknowledge(run.ID(), written)
		for k := range 2 {
			c := newScribe(run, l.seed+uint64(10*n+k)+100, l.book)
			writers.Go(func() { l.write(work, done, c.write) })
		}
		writers.Go(func() { l.write(work, done, newTale(run, l.seed+uint64(n)+500, l.book).write) })
	}
	for range lossesEach {
		for begun := range 2 + l.rng.IntN(8) {
			work <- struct{}{}
			if begun%3 == 2 {
				<-done
			}
		}
		l.lose()
	}
	close(work)
	writers.Wait()
	if err := s.Close(); err != nil {
		l.t.Error(err)
	}
}

func (l *losing) write(work <-chan struct{}, done chan<- struct{}, write func(context.Context) error) {
	for range work {
		if err := write(context.Background()); err != nil {
			l.t.Error(err)
			return
		}
		select {
		case done <- struct{}{}:
		default:
		}
	}
}

// lose takes what the disk would hold if the power went now, and opens it.
func (l *losing) lose() {
	l.losses++
	promised := l.book.copy()
	disk := l.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: l.rng.IntN(101), RNG: l.rng})
	s, err := state.Open("data", l.options(disk))
	if err != nil {
		l.t.Fatalf("open after power loss: %v", err)
	}
	defer s.Close()
	if err := promised.holds(l.t.Context(), s); err != nil {
		l.t.Fatalf("after power loss %d: %v", l.losses, err)
	}
}
