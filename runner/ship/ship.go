package ship

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"tachograph/runner/state"
	"tachograph/schemas/journal"
)

// Store is what the shipped records end up in, as the shipper asks it what has arrived. An entry counts once
// however often it was sent.
type Store interface {
	// RunState is the number of entries of the run, and the hash of the one with the highest seq (of
	// the highest epoch, if there are several); 0 if there is no such run.
	RunState(ctx context.Context, run journal.RunID) (count int64, tip journal.Hash, err error)
	// CountBefore is the number of entries of the run with a seq below before.
	CountBefore(ctx context.Context, run journal.RunID, before int64) (int64, error)
	// Lacks returns those of the names of a space and scope (see schemas/record) that the store has
	// not, or not all parts of. They are at most a thousand.
	Lacks(ctx context.Context, space, scope string, names [][32]byte) ([][32]byte, error)
	// HasSalt says whether the salt of a family is there, or was erased and must not come again.
	HasSalt(ctx context.Context, family journal.RunID) (bool, error)
	// Heads are the signed heads of the run.
	Heads(ctx context.Context, run journal.RunID) ([][]byte, error)
}

// Config is what a Shipper is opened with.
type Config struct {
	State    *state.Store
	Endpoint string            // http://host:port or grpc://host:port, with TLS https:// or grpcs://
	Token    string            // sent with each request as a bearer token; empty: none
	Resource map[string]string // attributes of the sender, besides service.name
	Dir      string            // where the cursors lie; made if missing

	// Target says where the records end up, so that cursors are not taken for those of another place. It
	// should stay the same when a port changes. "": the endpoint.
	Target string
	// Final: the endpoint is our own collector, whose acknowledgement is final.
	Final bool
	// Unstored says since when the receiver has had something that it acknowledged and has not stored, the zero time if
	// there is nothing of the kind. nil: nobody knows. What is missing from the store may be in there, however
	// long that takes on a machine that is busy, and sending it again would only add to it.
	Unstored func() time.Time
	// Store is asked what has arrived; may be nil, and then an acknowledgement has to do.
	Store Store

	Log *slog.Logger // nil: discarded

	Linger     time.Duration // how long a live entry may wait for others to be sent with; 0: 100 ms
	CheckEvery time.Duration // how often the store is asked while something is unconfirmed; 0: a minute
	Patience   time.Duration // how long a gap may stand before what is missing is sent again; 0: 15 s
	// After tells when a back-off is over; nil: time.After. Clock nil: time.Now.
	After func(time.Duration) <-chan time.Time
	Clock func() time.Time
}

func (c Config) withDefaults() Config {
	if c.Target == "" {
		c.Target = c.Endpoint
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Linger == 0 {
		c.Linger = 100 * time.Millisecond
	}
	if c.CheckEvery == 0 {
		c.CheckEvery = time.Minute
	}
	if c.Patience == 0 {
		c.Patience = 15 * time.Second
	}
	if c.After == nil {
		c.After = time.After
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	return c
}

// atWork is how many requests may be filled or under way at a time.
const atWork = 4

// Shipper follows runs and sends them. Its methods may be called concurrently. One Shipper may use a
// directory at a time.
type Shipper struct {
	cfg    Config
	out    endpoint
	ledger ledger
	slots  chan struct{}
	bases  bases

	following context.Context // ends when Close begins
	stop      context.CancelFunc
	working   context.Context // ends when Close has no more time
	abandon   context.CancelFunc

	mu     sync.Mutex
	closed bool
	runs   map[journal.RunID]*course // followed since Open
	wait   sync.WaitGroup
}

// Open makes a Shipper. It connects to nobody yet.
func Open(c Config) (*Shipper, error) {
	s := &Shipper{cfg: c.withDefaults(), slots: make(chan struct{}, atWork), runs: map[journal.RunID]*course{}}
	var err error
	if s.ledger, err = openLedger(c.Dir, s.cfg.Target); err == nil {
		s.out, err = openEndpoint(c.Endpoint, c.Token)
	}
	if err != nil {
		return nil, fmt.Errorf("open shipper: %w", err)
	}
	s.following, s.stop = context.WithCancel(context.Background())
	s.working, s.abandon = context.WithCancel(context.Background())
	return s, nil
}

// Progress says how far a run is.
type Progress struct {
	Run      journal.RunID
	Shipped  int64 // entries that are there for certain, with all that they name
	Total    int64 // entries of the run
	Stored   int64 // entries that the store itself was seen to have; 0 without one
	Rejected int64 // records that the receiver took and threw away
	Err      error // why it does not go on, for now; nil if it does
}

// course is what is known of a run that is followed.
type course struct {
	mu      sync.Mutex
	now     Progress
	changed chan struct{} // closed at the next change
	done    bool          // nobody follows it any more
	err     error         // why
	stuck   bool          // what is missing was sent again and again in vain
	urgent  int           // callers of Ship
	wake    func()        // ends the follower's waiting; nil: it does not wait
	poked   bool          // since it last waited
	afresh  bool          // what was in vain is tried again
}

func newCourse() *course { return &course{changed: make(chan struct{})} }

func (c *course) set(change func(*course)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(c)
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *course) isUrgent() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.urgent > 0
}

// poke has the follower look at once, and hurry (by = 1) or hurry no longer (−1).
func (c *course) poke(by int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.urgent += by
	c.poked = true
	if by > 0 {
		c.afresh, c.stuck = true, false
	}
	if c.wake != nil {
		c.wake()
	}
}

// sleep says that the follower is going to wait, and how to end that. It must not if poked.
func (c *course) sleep(wake func()) (poked bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	poked, c.poked = c.poked, false
	if !poked {
		c.wake = wake
	}
	return poked
}

// takeAfresh says whether somebody asked since the last time.
func (c *course) takeAfresh() (asked bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	asked, c.afresh = c.afresh, false
	return asked
}

func (c *course) awake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wake = nil
}

// Follow sends the run from now on, what of its past is not there yet included, until it has ended
// and all of it is shipped, or the Shipper is closed. It returns at once. A run that is followed already costs nothing.
func (s *Shipper) Follow(j *state.Journal) {
	if skip := s.skips(j); skip != nil {
		s.cfg.Log.Debug("run is not shipped", "run", j.ID(), "cause", skip)
		return
	}
	s.follow(j)
}

// FollowAll follows every run of the store.
func (s *Shipper) FollowAll(ctx context.Context) error {
	infos, err := s.cfg.State.Runs(ctx)
	if err != nil {
		return fmt.Errorf("ship runs: %w", err)
	}
	for _, info := range infos {
		j, err := s.cfg.State.Journal(ctx, info.ID)
		if errors.Is(err, state.ErrNotFound) {
			continue // removed meanwhile
		}
		if err != nil {
			return fmt.Errorf("ship runs: %w", err)
		}
		s.Follow(j)
	}
	return nil
}

// skips says why a run is not shipped.
func (s *Shipper) skips(j *state.Journal) error {
	info, err := s.cfg.State.Info(j.ID())
	switch {
	case err != nil:
		return err
	case info.Volatile:
		return errors.New("its spec says state_persistence: false")
	case info.Imported:
		return errors.New("it was imported: ship it from where it was recorded")
	}
	_, err = j.Salt(s.working)
	return err
}

func (s *Shipper) follow(j *state.Journal) *course {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.runs[j.ID()]; c != nil && !c.ended() {
		return c
	}
	c := newCourse()
	c.now = Progress{Run: j.ID(), Total: j.Len()}
	if s.closed {
		c.done, c.err = true, errClosing
		return c
	}
	s.runs[j.ID()] = c
	s.wait.Go(func() {
		err := newFollower(s, j, c).main()
		c.set(func(c *course) { c.done, c.err = true, err })
	})
	return c
}

func (c *course) ended() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.done
}

// Shipped says how many entries of a run are shipped, and how many there are.
func (s *Shipper) Shipped(run journal.RunID) (shipped, total int64) {
	if info, err := s.cfg.State.Info(run); err == nil {
		total = info.Entries
	}
	return s.shippedOf(run, total), total
}

// ShippedOfAll says of each run of the store how many entries are shipped.
func (s *Shipper) ShippedOfAll(ctx context.Context) (map[journal.RunID]int64, error) {
	infos, err := s.cfg.State.Runs(ctx)
	if err != nil {
		return nil, err
	}
	shipped := make(map[journal.RunID]int64, len(infos))
	for _, info := range infos {
		shipped[info.ID] = s.shippedOf(info.ID, info.Entries)
	}
	return shipped, nil
}

func (s *Shipper) shippedOf(run journal.RunID, total int64) int64 {
	s.mu.Lock()
	c := s.runs[run]
	s.mu.Unlock()
	if c != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.now.Shipped
	}
	at, err := s.ledger.read(run)
	if err != nil {
		return 0
	}
	return min(at.next, total)
}

// Ship returns when all entries that the run has now, and what they name, are shipped, and the store, if
// there is one, was seen to have them; or when ctx ends. see, which may be nil, is told how far it is.
func (s *Shipper) Ship(ctx context.Context, run journal.RunID, see func(Progress)) error {
	if err := s.ship(ctx, run, see); err != nil {
		return fmt.Errorf("ship run %s: %w", run, err)
	}
	return nil
}

func (s *Shipper) ship(ctx context.Context, run journal.RunID, see func(Progress)) error {
	j, err := s.cfg.State.Journal(ctx, run)
	if err != nil {
		return err
	}
	if skip := s.skips(j); skip != nil {
		return skip
	}
	due := j.Len()
	for {
		c := s.follow(j)
		c.poke(1)
		again, err := s.await(ctx, c, due, see)
		c.poke(-1)
		if !again {
			return err
		}
	}
}

// await watches a run until due entries are shipped. again means that its follower had just ended.
func (s *Shipper) await(ctx context.Context, c *course, due int64, see func(Progress)) (again bool, err error) {
	for {
		c.mu.Lock()
		now, changed, done, cause, stuck := c.now, c.changed, c.done, c.err, c.stuck
		c.mu.Unlock()
		if see != nil {
			see(now)
		}
		switch {
		case now.Shipped >= due && (s.cfg.Store == nil || now.Stored >= due):
			return false, nil
		case done && cause != nil:
			return false, cause
		case stuck && now.Rejected > 0:
			return false, fmt.Errorf("%d of %d entries are shipped; %d records were rejected: %w", now.Shipped, due, now.Rejected, now.Err)
		case stuck:
			return false, fmt.Errorf("%d of %d entries are shipped; what is missing was sent again and did not arrive", now.Shipped, due)
		case done:
			return true, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false, fmt.Errorf("%d of %d entries are shipped: %w", now.Shipped, due, errors.Join(now.Err, ctx.Err()))
		}
	}
}

// closeTime is how long Close may go on sending.
const closeTime = 5 * time.Second

// Close sends what is durable already, for at most five seconds or as long as ctx lives, and waits for
// the goroutines. What is left is sent by whoever follows the runs next.
func (s *Shipper) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, closeTime)
	defer cancel()
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	done := make(chan struct{})
	go func() { // ends with the followers, which are waited for
		s.wait.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		s.abandon()
		<-done
	}
	s.abandon()
	if err := s.out.close(); err != nil {
		return fmt.Errorf("close shipper: %w", err)
	}
	return nil
}
