package ship_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"

	"tachograph/runner/ship"
	"tachograph/runner/state"
	"tachograph/schemas/journal"
	"tachograph/schemas/record"
)

// TestShip follows runs while they are written, over both protocols, forks included. The receiver
// insists on the order; requests stay within their bounds.
func TestShip(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"http", "grpc"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			seed := seeded(t)
			store := openStore(t, t.TempDir())
			to := newReceiver()
			to.strict = true
			endpoint := to.serveHTTP(t)
			if protocol == "grpc" {
				endpoint = to.serveGRPC(t)
			}
			c := hasty(store, endpoint, t.TempDir())
			c.Final = true
			s := open(t, c)
			l := newLab(t, store, runID(1), source(t, seed), seed)
			s.Follow(l.run.Journal)
			l.play(300, false)
			to.await(t, func() bool { return int64(len(to.entries[l.run.ID()])) == l.run.Len() })
			l.play(320, true)
			if err := s.Ship(wait(t), l.run.ID(), nil); err != nil {
				t.Fatal(err)
			}
			to.holds(t, l.run.Journal)
			if shipped, total := s.Shipped(l.run.ID()); shipped != total || total != l.run.Len() {
				t.Errorf("%d of %d shipped, the run has %d", shipped, total, l.run.Len())
			}
			if to.again > 0 || to.biggest > 4<<20 {
				t.Errorf("%d records came again without need; the biggest request has %d bytes", to.again, to.biggest)
			}
			t.Logf("%d requests, %d records, biggest %d bytes", to.requests, to.records, to.biggest)
		})
	}
}

// TestFork ships a fork without its parent: with it comes all of the family that it needs.
func TestFork(t *testing.T) {
	t.Parallel()
	seed := seeded(t)
	store := openStore(t, t.TempDir())
	to := newReceiver()
	to.strict = true
	l := newLab(t, store, runID(1), source(t, seed), seed)
	l.play(150, false)
	seq := l.run.Len() / 2
	at, err := l.run.At(t.Context(), seq)
	if err != nil {
		t.Fatal(err)
	}
	fork, err := store.Create(t.Context(), runID(2), state.CreateOptions{Parent: &state.ForkPoint{Run: l.run.ID(), Seq: seq}})
	if err != nil {
		t.Fatal(err)
	}
	l.story.Stage = fork.Stage
	if _, err := fork.Append(t.Context(), state.Draft{Agent: "/", Body: l.story.Fork(at)}); err != nil {
		t.Fatal(err)
	}
	s := open(t, hasty(store, to.serveHTTP(t), t.TempDir()))
	if err := s.Ship(wait(t), fork.ID(), nil); err != nil {
		t.Fatal(err)
	}
	to.holds(t, fork.Journal)
	if len(to.entries[l.run.ID()]) > 0 {
		t.Error("entries of the parent were sent")
	}
	if err := s.Ship(wait(t), l.run.ID(), nil); err != nil {
		t.Fatal(err)
	}
	to.holds(t, l.run.Journal)
}

// TestBaseOnce: a tree that several runs began with is sent once, by whichever comes first, and
// again only where it is not.
func TestBaseOnce(t *testing.T) {
	t.Parallel()
	seed := seeded(t)
	store := openStore(t, t.TempDir())
	to := newReceiver()
	to.strict = true
	dir, cursors := source(t, seed), t.TempDir()
	var labs []*lab
	for i := range byte(5) {
		l := newLab(t, store, runID(i), dir, seed)
		l.play(20, true)
		labs = append(labs, l)
	}
	base := strings.TrimPrefix(baseOf(t, labs[0]).String(), "sha256:")
	var sent atomic.Int64
	to.decide = func(_ int, logs plog.Logs) answer {
		eachRecord(logs, func(l plog.LogRecord) {
			if text(l, record.KeyScope) == base {
				sent.Add(1)
			}
		})
		return answer{}
	}
	c := hasty(store, to.serveHTTP(t), cursors)
	c.Store, c.Final = to, true
	s := open(t, c)
	if err := s.FollowAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, l := range labs {
		if err := s.Ship(wait(t), l.run.ID(), nil); err != nil {
			t.Fatal(err)
		}
		to.holds(t, l.run.Journal)
	}
	objects := 0
	for key := range to.parts {
		if strings.HasPrefix(key, record.SpaceObject+"/"+base+"/") {
			objects += len(to.parts[key])
		}
	}
	if objects < 20 || sent.Load() != int64(objects) {
		t.Errorf("%d parts of the base tree were sent, it has %d", sent.Load(), objects)
	}
}

func baseOf(t *testing.T, l *lab) journal.Object {
	t.Helper()
	s, err := l.run.At(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return s.Base
}

// TestTrouble has the receiver cut connections, refuse, ask to come later and call requests too large, at random.
// Everything arrives in order all the same.
func TestTrouble(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"http", "grpc"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			seed := seeded(t)
			store := openStore(t, t.TempDir())
			to := newReceiver()
			to.strict = true
			rng := rand.New(rand.NewPCG(seed, 3)) // requests of one run follow one another
			to.decide = func(_ int, logs plog.Logs) answer {
				switch rng.IntN(6) {
				case 0:
					return answer{cut: true, lose: true}
				case 1:
					return answer{cut: true} // kept, but the sender does not learn it
				case 2:
					return answer{code: http.StatusServiceUnavailable, after: time.Second}
				case 3:
					if logs.LogRecordCount() > 3 {
						return answer{code: http.StatusRequestEntityTooLarge}
					}
				}
				return answer{}
			}
			endpoint := to.serveHTTP(t)
			if protocol == "grpc" {
				endpoint = to.serveGRPC(t)
			}
			l := newLab(t, store, runID(1), source(t, seed), seed)
			c := hasty(store, endpoint, t.TempDir())
			c.Final = true
			s := open(t, c)
			s.Follow(l.run.Journal)
			l.play(200, true)
			if err := s.Ship(wait(t), l.run.ID(), nil); err != nil {
				t.Fatal(err)
			}
			to.holds(t, l.run.Journal)
			t.Logf("%d requests, %d records, %d came again", to.requests, to.records, to.again)
		})
	}
}

// TestBackOff: a receiver's Retry-After is what is waited for, and pauses grow where it says nothing.
func TestBackOff(t *testing.T) {
	t.Parallel()
	seed := seeded(t)
	store := openStore(t, t.TempDir())
	l := newLab(t, store, runID(1), source(t, seed), seed)
	l.play(10, true)
	answers := []answer{{code: http.StatusTooManyRequests, after: 7 * time.Second}, {code: http.StatusServiceUnavailable}, {cut: true, lose: true}, {code: http.StatusForbidden}}
	to := newReceiver()
	to.decide = func(n int, _ plog.Logs) answer {
		if n < len(answers) {
			return answers[n]
		}
		return answer{}
	}
	var waited []time.Duration
	c := hasty(store, to.serveHTTP(t), t.TempDir())
	c.After = func(d time.Duration) <-chan time.Time {
		waited = append(waited, d)
		return time.After(time.Nanosecond)
	}
	if err := open(t, c).Ship(wait(t), l.run.ID(), nil); err != nil {
		t.Fatal(err)
	}
	want := []time.Duration{7 * time.Second, time.Second, 2 * time.Second, 4 * time.Second}
	if len(waited) != len(want) {
		t.Fatalf("waited %v, want %v", waited, want)
	}
	for i := range want {
		if waited[i] != want[i] {
			t.Errorf("waited %v, want %v", waited, want)
		}
	}
}

// TestLoss: behind a foreign endpoint acknowledged batches are lost, of entries, of content, of base
// tree and heads. Comparing with the store mends all of it, and nothing counts as shipped before.
func TestLoss(t *testing.T) {
	t.Parallel()
	for range 3 {
		seed := seeded(t)
		store := openStore(t, t.TempDir())
		to := newReceiver()
		rng := rand.New(rand.NewPCG(seed, 3))
		to.decide = func(int, plog.Logs) answer { return answer{lose: rng.IntN(3) == 0} }
		l := newLab(t, store, runID(1), source(t, seed), seed)
		c := hasty(store, to.serveHTTP(t), t.TempDir())
		c.Store = to
		s := open(t, c)
		s.Follow(l.run.Journal)
		l.play(250, true)
		err := s.Ship(wait(t), l.run.ID(), func(p ship.Progress) {
			if p.Shipped > p.Total || p.Stored > p.Total {
				t.Errorf("progress %+v", p)
			}
		})
		// It may give up after some attempts in vain; the next one goes on.
		for tries := 0; err != nil && tries < 20; tries++ {
			t.Log(err)
			err = s.Ship(wait(t), l.run.ID(), nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		to.holds(t, l.run.Journal)
		t.Logf("%d requests, %d records, %d came again", to.requests, to.records, to.again)
	}
}

// TestFirstRequestLost: the request that is lost is the first one, with the salt and the tree as it was before the run; the
// entries arrive.
func TestFirstRequestLost(t *testing.T) {
	t.Parallel()
	seed := seeded(t)
	store := openStore(t, t.TempDir())
	to := newReceiver()
	to.decide = func(n int, _ plog.Logs) answer { return answer{lose: n == 0} }
	l := newLab(t, store, runID(1), source(t, seed), seed)
	l.play(40, true)
	c := hasty(store, to.serveHTTP(t), t.TempDir())
	c.Store = to
	if err := open(t, c).Ship(wait(t), l.run.ID(), nil); err != nil {
		t.Fatal(err)
	}
	to.holds(t, l.run.Journal)
}

// TestRejected: records that the receiver throws away are not shipped, until they are.
func TestRejected(t *testing.T) {
	t.Parallel()
	seed := seeded(t)
	store := openStore(t, t.TempDir())
	to := newReceiver()
	var pleased atomic.Bool
	to.decide = func(int, plog.Logs) answer {
		return answer{rejects: func(l plog.LogRecord) bool {
			return !pleased.Load() && l.EventName() == record.Content && number(l, record.KeySeq) >= 12
		}}
	}
	l := newLab(t, store, runID(1), source(t, seed), seed)
	l.play(40, true)
	endpoint, cursors := to.serveHTTP(t), t.TempDir()
	c := hasty(store, endpoint, cursors)
	c.Final = true
	alone := open(t, c)
	if err := alone.Ship(wait(t), l.run.ID(), nil); err == nil || !strings.Contains(err.Error(), "rejected") {
		t.Fatalf("ship: %v", err)
	}
	if shipped, total := alone.Shipped(l.run.ID()); shipped != 0 || total != l.run.Len() {
		t.Errorf("%d of %d count as shipped", shipped, total)
	}
	if err := alone.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.Store = to
	s := open(t, c)
	if err := s.Ship(wait(t), l.run.ID(), nil); err == nil || !strings.Contains(err.Error(), "rejected") {
		t.Fatalf("ship: %v", err)
	}
	pleased.Store(true)
	if err := s.Ship(wait(t), l.run.ID(), nil); err != nil {
		t.Fatal(err)
	}
	to.holds(t, l.run.Journal)
}

// TestRefusedRecord: a record that alone is refused as wrong is given up, and the rest goes on.
func TestRefusedRecord(t *testing.T) {
	t.Parallel()
	seed := seeded(t)
	store := openStore(t, t.TempDir())
	to := newReceiver()
	to.decide = func(_ int, logs plog.Logs) (a answer) {
		eachRecord(logs, func(l plog.LogRecord) {
			if l.EventName() == record.Entry && number(l, record.KeySeq) == 5 {
				a.code = http.StatusBadRequest
			}
		})
		return a
	}
	l := newLab(t, store, runID(1), source(t, seed), seed)
	l.play(30, true)
	s := open(t, hasty(store, to.serveHTTP(t), t.TempDir()))
	if err := s.Ship(wait(t), l.run.ID(), nil); err == nil || !strings.Contains(err.Error(), "1 records were rejected") {
		t.Fatalf("ship: %v", err)
	}
	if n := int64(len(to.entries[l.run.ID()])); n != l.run.Len()-1 {
		t.Errorf("%d entries are there, want all %d but one", n, l.run.Len())
	}
}

// TestEmptiedStore: a store that lost everything is filled again, base trees too, though cursors
// say that all is shipped.
func TestEmptiedStore(t *testing.T) {
	t.Parallel()
	seed := seeded(t)
	store := openStore(t, t.TempDir())
	to := newReceiver()
	l := newLab(t, store, runID(1), source(t, seed), seed)
	l.play(100, true)
	c := hasty(store, to.serveHTTP(t), t.TempDir())
	c.Store, c.Final = to, true
	for range 2 {
		s := open(t, c)
		if err := s.FollowAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		to.await(t, func() bool { return int64(len(to.entries[l.run.ID()])) == l.run.Len() })
		if err := s.Ship(wait(t), l.run.ID(), nil); err != nil {
			t.Fatal(err)
		}
		to.holds(t, l.run.Journal)
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		to.empty()
	}
}

// slow is a store in which what its receiver acknowledged shows only after it was asked often: more often than a
// shipper sends again in vain before it gives up.
type slow struct {
	*receiver
	asked atomic.Int64
}

const slowness = 5

func (s *slow) RunState(ctx context.Context, run journal.RunID) (int64, journal.Hash, error) {
	if s.asked.Add(1) <= slowness {
		return 0, journal.Hash{}, nil
	}
	return s.receiver.RunState(ctx, run)
}

func (s *slow) CountBefore(ctx context.Context, run journal.RunID, before int64) (int64, error) {
	if s.asked.Load() <= slowness {
		return 0, nil
	}
	return s.receiver.CountBefore(ctx, run, before)
}

func (s *slow) unstored() time.Time {
	if s.asked.Load() <= slowness {
		return time.Unix(1, 0)
	}
	return time.Time{}
}

// TestSlowStore: what the receiver itself has not stored yet is not lost, however long that takes. It is waited for, and
// nothing is sent again.
func TestSlowStore(t *testing.T) {
	t.Parallel()
	seed := seeded(t)
	store := openStore(t, t.TempDir())
	to := newReceiver()
	l := newLab(t, store, runID(1), source(t, seed), seed)
	l.play(100, true)
	c := hasty(store, to.serveHTTP(t), t.TempDir())
	behind := &slow{receiver: to}
	c.Store, c.Final, c.Unstored = behind, true, behind.unstored
	s := open(t, c)
	if err := s.FollowAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Ship(wait(t), l.run.ID(), nil); err != nil {
		t.Fatal(err)
	}
	if asked := behind.asked.Load(); asked <= slowness {
		t.Errorf("Ship returned after %d questions, while the store was behind", asked)
	}
	to.holds(t, l.run.Journal)
	if to.again > 0 {
		t.Errorf("%d records were sent again", to.again)
	}
}

// TestAgainAfterRestart: a shipper that is opened again sends nothing twice but the salt and newest head.
func TestAgainAfterRestart(t *testing.T) {
	t.Parallel()
	seed := seeded(t)
	store := openStore(t, t.TempDir())
	to := newReceiver()
	to.strict = true
	l := newLab(t, store, runID(1), source(t, seed), seed)
	c := hasty(store, to.serveHTTP(t), t.TempDir())
	c.Final = true
	for n := int64(50); n <= 300; n += 50 {
		s := open(t, c)
		l.play(n, false)
		if err := s.Ship(wait(t), l.run.ID(), nil); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	to.holds(t, l.run.Journal)
	if to.again*5 > to.records {
		t.Errorf("%d of %d records came again", to.again, to.records)
	}
}

// TestNotShipped: runs that do not persist, erased ones, and ones that are not there.
func TestNotShipped(t *testing.T) {
	t.Parallel()
	seed := seeded(t)
	store := openStore(t, t.TempDir())
	to := newReceiver()
	s := open(t, hasty(store, to.serveHTTP(t), t.TempDir()))
	volatile, err := store.Create(t.Context(), runID(9), state.CreateOptions{Volatile: true})
	if err != nil {
		t.Fatal(err)
	}
	l := newLab(t, store, runID(1), source(t, seed), seed)
	l.play(20, true)
	if err := store.Remove(t.Context(), l.run.ID(), state.RemoveOptions{KeepProof: true}); err != nil {
		t.Fatal(err)
	}
	if err := s.FollowAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[journal.RunID]string{volatile.ID(): "state_persistence", l.run.ID(): state.ErrErased.Error(), runID(77): "not found"} {
		if err := s.Ship(wait(t), id, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ship %s: %v, want %q", id, err, want)
		}
	}
	if to.requests > 0 {
		t.Errorf("%d requests were made", to.requests)
	}
}

// TestClose: a receiver that never answers holds Close up no longer than it has to.
func TestClose(t *testing.T) {
	t.Parallel()
	seed := seeded(t)
	store := openStore(t, t.TempDir())
	release := make(chan struct{})
	to := newReceiver()
	asked := make(chan struct{}, 100)
	to.decide = func(int, plog.Logs) answer {
		asked <- struct{}{}
		<-release
		return answer{cut: true}
	}
	endpoint := to.serveHTTP(t)
	t.Cleanup(func() { close(release) }) // before the server closes
	l := newLab(t, store, runID(1), source(t, seed), seed)
	l.play(20, true)
	s, err := ship.Open(hasty(store, endpoint, t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	s.Follow(l.run.Journal)
	<-asked
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if shipped, _ := s.Shipped(l.run.ID()); shipped != 0 {
		t.Errorf("%d entries count as shipped", shipped)
	}
	if err := s.Ship(wait(t), l.run.ID(), nil); err == nil {
		t.Error("a closed shipper ships")
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	for _, endpoint := range []string{"", "127.0.0.1:4318", "ftp://x", "http://", "grpc:/x"} {
		if s, err := ship.Open(ship.Config{Endpoint: endpoint, Dir: t.TempDir()}); err == nil {
			t.Errorf("endpoint %q was taken", endpoint)
			err = errors.Join(err, s.Close(t.Context()))
			t.Log(err)
		}
	}
}
