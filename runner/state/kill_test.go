package state_test

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"

	"tachograph/runner/state"
	"tachograph/schemas/journal"
)

// A process is killed with SIGKILL at each named point of its way to the disk, and the next one
// finds what was acknowledged.
func TestKilledAtPoint(t *testing.T) {
	t.Parallel()
	for _, point := range []string{
		"create .part",    // before a large file
		"write .part",     // in the middle of one
		"sync .part",      // written, not durable
		"rename .part",    // durable, without its name
		"renamed .part",   // has its name
		"sync files",      // before its folder is durable
		"synced files",    // before the batch that refers to it
		"write .log",      // batch applied, not written
		"sync .log",       // batch written, not durable
		"synced .log",     // durable, not acknowledged
		"create .sst",     // while tables are written
		"removeall files", // a family's salt and rows are gone, its files are not
		"remove .log",     // while old logs are scrubbed
	} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			k := &killing{t: t, dir: t.TempDir(), book: newLedger()}
			seed := testSeed(t)
			for _, nth := range []int64{1, 2, 9} {
				k.child(childJob{Dir: k.dir, Seed: seed + uint64(nth)*1000, Runs: 2, Point: point, Nth: nth, Erase: true}, 200)
				k.check()
			}
			if k.reached == 0 {
				t.Error("no child came to this point")
			}
		})
	}
}

// The same at 60 random moments, each child going on where the one before it was killed.
func TestKilledAtRandom(t *testing.T) {
	t.Parallel()
	seed := testSeed(t)
	rng := rand.New(rand.NewPCG(seed, 2))
	k := &killing{t: t, dir: t.TempDir(), book: newLedger()}
	kills := 60
	if testing.Short() {
		kills = 6
	}
	for n := range kills {
		k.child(childJob{Dir: k.dir, Seed: seed + uint64(n)*1000, Runs: 3}, 1+rng.IntN(60))
		if n%4 == 3 {
			k.check()
		}
	}
	k.check()
	t.Logf("%d kills, %d entries acknowledged, none lost", kills, k.acked)
}

// killing is one directory and the children that were killed over it.
type killing struct {
	t       *testing.T
	dir     string
	book    *ledger
	acked   int
	reached int
	erased  map[journal.RunID]bool
}

// child runs one and kills it when it reached its point, or after it acknowledged that many
// appends.
func (k *killing) child(job childJob, appends int) {
	k.t.Helper()
	text, err := json.Marshal(job)
	if err != nil {
		k.t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		k.t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	cmd.ExtraFiles, cmd.Stderr = []*os.File{w}, os.Stderr
	if err := cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	w.Close()
	err = listen(r, func(l childLine) {
		switch {
		case l.Error != "":
			k.t.Errorf("child: %s", l.Error)
		case l.Erased:
			if k.erased == nil {
				k.erased = map[journal.RunID]bool{}
			}
			k.erased[l.Run] = true
		case l.Reached:
			k.reached++
			cmd.Process.Kill()
		default:
			k.book.acknowledge(l.Run, l.Written, l.Objects...)
			k.acked += len(l.Written)
			if appends--; appends == 0 {
				cmd.Process.Kill()
			}
		}
	})
	if err != nil {
		k.t.Error(err)
	}
	cmd.Process.Kill()
	cmd.Wait() // its status is that it was killed
}

func (k *killing) check() {
	k.t.Helper()
	s, err := state.Open(k.dir, state.Options{Reserve: -1, CheckpointEvery: 30})
	if err != nil {
		k.t.Fatal(err)
	}
	defer s.Close()
	if err := k.book.holds(k.t.Context(), s); err != nil {
		k.t.Fatal(err)
	}
	for id := range k.erased {
		if err := gone(k.t.Context(), s, id); err != nil {
			k.t.Fatal(err)
		}
	}
}
