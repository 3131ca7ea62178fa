package state_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tachograph/runner/state"
	"tachograph/schemas/journal"
)

// Over the mark new work is refused and told how much to free; what ends work is still written,
// and when something was removed those that waited go on.
func TestQuota(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(testSeed(t), 8))
	s := open(t, t.TempDir(), state.Options{Quota: 64 << 20, Reserve: -1})
	hog := &confidant{t: t, s: s, rng: rng}
	hog.begin(runID(1), noise(rng, 100))
	r := create(t, s, runID(2), state.CreateOptions{})
	w := tell(t, r, 2)
	w.start()
	for {
		if _, _, full := s.Full(); full {
			break
		}
		hog.tell(noise(rng, 1<<20))
	}
	work := state.Draft{Agent: "/", Body: &journal.AgentSpawned{Path: "/1", Goal: r.Stage([]byte("more")), Model: "m"}}
	_, err := r.Append(t.Context(), work)
	full := (*state.FullError)(nil)
	if !errors.Is(err, state.ErrFull) || !errors.As(err, &full) || full.Free <= 0 || full.Used != full.Mark+full.Free {
		t.Fatalf("new work in a full store: %v", err)
	}
	w.append("/", &journal.Paused{Why: "quota"})
	if _, err := r.Snapshot(t.Context(), "paused", 0); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Room(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("wait for room: %v", err)
	}
	waited := make(chan error)
	go func() { waited <- s.Room(t.Context()) }()
	if err := s.Remove(t.Context(), runID(1), state.RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
	if _, err := r.Append(t.Context(), work); err != nil {
		t.Fatal(err)
	}
}

// A disk that is nearly full counts as the quota does.
func TestReserve(t *testing.T) {
	t.Parallel()
	disk := vfs.NewMem()
	s := open(t, "data", state.Options{FS: disk, Reserve: 1 << 30})
	r := create(t, s, runID(1), state.CreateOptions{})
	w := tell(t, r, 2)
	disk.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 29, TotalBytes: 1 << 40})
	s.Full()
	_, err := r.Append(t.Context(), state.Draft{Agent: "/", Body: w.story.Start(r.ID())})
	full := (*state.FullError)(nil)
	if !errors.As(err, &full) || full.Free != 1<<29 {
		t.Fatalf("new work on a full disk: %v", err)
	}
	disk.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 31, TotalBytes: 1 << 40})
	if err := s.Room(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.start()
}

// TestSmallQuota: a run that writes less than is worth measuring, in less time, does not outrun its quota.
func TestSmallQuota(t *testing.T) {
	t.Parallel()
	stopped := time.Unix(1795600000, 0)
	s := open(t, t.TempDir(), state.Options{Quota: 60 << 10, Reserve: -1, Clock: func() time.Time { return stopped }})
	r := create(t, s, runID(1), state.CreateOptions{})
	rng := rand.New(rand.NewPCG(testSeed(t), 9))
	w := tell(t, r, 1)
	w.start()
	for n := range 60 {
		_, err := r.Append(t.Context(), state.Draft{Agent: "/", Body: &journal.AgentSpawned{Path: fmt.Sprint("/", n+1), Goal: r.Stage(noise(rng, 2<<10)), Model: "m"}})
		if errors.Is(err, state.ErrFull) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	used, mark, _ := s.Full()
	t.Errorf("%d bytes are used, and work still begins; the mark is %d", used, mark)
}
