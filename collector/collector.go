package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"tachograph/collector/dialect"
	"tachograph/collector/otlp"
	"tachograph/collector/seen"
	"tachograph/collector/spool"
)

// Config of a Collector. Zero values mean the defaults given.
type Config struct {
	Store    Store  // where rows go
	SpoolDir string // made if need be; one process at a time
	Project  string // of all that comes in; "default"

	Limits       otlp.Limits
	SpoolBytes   int64         // of requests not stored yet; 2 GiB
	SegmentBytes int64         // a segment is stored when it has so many; 16 MiB
	SegmentRows  int           // or so many records; 50,000
	Age          time.Duration // or is so old; 1 s
	LiveAge      time.Duration // or so old while it holds journal entries; 200 ms
	InFlight     int64         // bytes of decoded requests in memory; 256 MiB
	SeenKeys     int           // keys of spans and requests in memory; 4 million, about 160 MB
	Inserters    int           // inserts at once; 2

	Log *slog.Logger
	Now func() time.Time // time.Now

	// Probe is called at points where a crash is worth a test: see the constants. nil in production.
	Probe func(point string)
}

// Points of Config.Probe.
const (
	ProbeWriting  = "writing"  // a group is partly written
	ProbeDurable  = "durable"  // a group is durable, nobody was answered
	ProbeSealed   = "sealed"   // everybody was answered, the rows are not inserted
	ProbeInserted = "inserted" // the rows are there, the segment is not removed
)

func (c Config) withDefaults() (Config, error) {
	if c.Store == nil || c.SpoolDir == "" {
		return c, errors.New("open collector: Store and SpoolDir must be set")
	}
	c.Limits = c.Limits.WithDefaults()
	def(&c.Project, "default")
	def(&c.SpoolBytes, 2<<30)
	def(&c.SegmentBytes, 16<<20)
	def(&c.SegmentRows, 50_000)
	def(&c.Age, time.Second)
	def(&c.LiveAge, 200*time.Millisecond)
	def(&c.InFlight, 256<<20)
	def(&c.SeenKeys, 4_000_000)
	def(&c.Inserters, 2)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Probe == nil {
		c.Probe = func(string) {}
	}
	return c, nil
}

func def[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// window is how long what was stored is known again.
const window = 24 * time.Hour

// Collector takes requests until it is closed.
type Collector struct {
	config   Config
	spool    *spool.Spool
	seen     *seen.Set
	queue    queue
	backlog  *backlog
	inFlight atomic.Int64
	counts   counts

	closing   chan struct{} // closed: take nothing more
	committed chan struct{} // closed: the committer has ended
	stop      context.CancelFunc
	inserters sync.WaitGroup
	once      sync.Once
	closeErr  error
}

// Open takes the spool directory, reads what an earlier process left there, and starts to store it. It
// does not wait for the store. ctx bounds only the opening.
func Open(ctx context.Context, config Config) (*Collector, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	s, found, err := spool.Open(spool.Config{Dir: config.SpoolDir, MaxBytes: config.SpoolBytes, Now: config.Now,
		Writing: func() { config.Probe(ProbeWriting) }})
	if err != nil {
		return nil, err
	}
	keys, err := seen.Open(seen.Config{Dir: filepath.Join(config.SpoolDir, "seen"), MaxKeys: config.SeenKeys, Window: window, Now: config.Now})
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	c := &Collector{config: config, spool: s, seen: keys, closing: make(chan struct{}), committed: make(chan struct{})}
	c.queue.ready = make(chan struct{}, 1)
	c.backlog = newBacklog(config.Now)
	for _, seg := range found {
		if err := c.recall(ctx, seg); err != nil {
			return nil, errors.Join(err, s.Close(), keys.Close())
		}
		c.backlog.add(seg)
	}
	if len(found) > 0 {
		config.Log.Info("storing what an earlier process acknowledged", "segments", len(found), "bytes", s.Usage().Bytes)
	}
	var running context.Context
	running, c.stop = context.WithCancel(context.Background())
	go c.commit()
	for range config.Inserters {
		c.inserters.Go(func() { c.insertAll(running) })
	}
	return c, nil
}

// recall adds the keys of a segment to those that are known.
func (c *Collector) recall(ctx context.Context, seg *spool.Segment) error {
	_, err := seg.Read(func(r *spool.Record) error {
		e, err := dialect.Examine(otlp.Signal(r.Signal), r.Project, r.Body, nil, unbounded)
		if err != nil {
			return fmt.Errorf("recall segment %s: %w", seg.ID, err)
		}
		for _, k := range e.Keys {
			c.seen.Add(k)
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	return c.seen.Save()
}

var unbounded = otlp.Limits{Body: 1 << 62, Records: 1 << 62, Values: 1 << 62, Depth: 1 << 30, Objects: 1 << 62}

// Flush seals what was acknowledged and waits until all of it is stored.
func (c *Collector) Flush(ctx context.Context) error {
	p := &pending{flush: true, done: make(chan error, 1)}
	if err := c.wait(ctx, p); err != nil {
		return err
	}
	return c.backlog.drained(ctx)
}

// Close takes nothing more, makes what was taken durable, and gives the spool up. What is not stored
// then is stored by the next process that opens it: see Flush. Requests that still come get ErrClosed.
func (c *Collector) Close() error {
	c.once.Do(func() {
		close(c.closing)
		<-c.committed
		c.stop()
		c.inserters.Wait()
		c.closeErr = errors.Join(c.seen.Close(), c.spool.Close())
	})
	return c.closeErr
}
