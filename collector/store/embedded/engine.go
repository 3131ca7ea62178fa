package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Config says where an engine lives.
type Config struct {
	// Dir holds what the engine stores and all that belongs to it. One process at a time.
	Dir string
	// Cache is where the library lies; "" is tacho/clickhouse in the user's cache directory.
	Cache string
	// Log hears of starts, restarts and fetches; nil is nowhere.
	Log *slog.Logger
	// Progress hears how many bytes of the library have arrived; nil is nobody. It is called by one
	// goroutine at a time, before Open returns.
	Progress func(done, total int64)
	// Env looks up environment variables; nil is os.Getenv. npm and clickhouse are looked for on its PATH.
	Env func(string) string
}

func (c Config) withDefaults() (Config, error) {
	if c.Env == nil {
		c.Env = os.Getenv
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Env(helperMark) != "" || os.Getenv(helperMark) != "" {
		return c, errors.New("open ClickHouse: this process was started as an engine, but its main did not call embedded.RunIfHelper first")
	}
	if c.Cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return c, &Unavailable{"find the cache of the ClickHouse library", err, "set XDG_CACHE_HOME or HOME"}
		}
		c.Cache = filepath.Join(user, "tacho", "clickhouse")
	}
	var err error
	if c.Dir, err = filepath.Abs(c.Dir); err != nil {
		return c, err
	}
	c.Cache, err = filepath.Abs(c.Cache)
	return c, err
}

// Engine is a ClickHouse server that runs as a child of this process, and is started again whenever it ends.
// Its methods may be called from any goroutine.
type Engine struct {
	dir     string
	env     func(string) string
	log     *slog.Logger
	program program
	access  access
	port    *reservedPort
	lock    *os.File

	life   context.Context // ends with Close
	stop   context.CancelFunc
	ended  chan struct{} // closed when the supervisor is done
	starts atomic.Uint64

	mu    sync.Mutex
	child *child        // the newest
	up    chan struct{} // closed while child answers
}

// Open starts an engine in c.Dir and returns when it answers. It fetches the library if there is none, which may take
// minutes; ctx ends that, and the wait, but not the engine. The error is an *InUseError if another process owns the
// directory, and one of which IsUnavailable is true if this machine lacks something.
func Open(ctx context.Context, c Config) (*Engine, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := makeDirs(c.Dir); err != nil {
		return nil, fmt.Errorf("open ClickHouse: %w", err)
	}
	lock, err := own(c.Dir)
	if err != nil {
		return nil, err
	}
	e := &Engine{dir: c.Dir, env: c.Env, log: c.Log, lock: lock, ended: make(chan struct{}), up: make(chan struct{})}
	e.life, e.stop = context.WithCancel(context.Background())
	if err := e.open(ctx, c); err != nil {
		e.stop()
		e.release()
		return nil, err
	}
	go e.supervise()
	return e, nil
}

func makeDirs(dir string) error {
	for _, d := range []string{dir, filepath.Join(dir, "data"), filepath.Join(dir, "tmp"), filepath.Join(dir, "log")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return err
		}
	}
	return os.Chmod(dir, 0o700)
}

// open does all of Open that can fail once the directory is ours.
func (e *Engine) open(ctx context.Context, c Config) error {
	// An engine whose parent was killed may still be ending, with the port that we want.
	predecessor, err := e.lockChild(ctx)
	if err != nil {
		return err
	}
	predecessor.Close()
	if e.access, err = loadAccess(e.dir); err != nil {
		return err
	}
	if e.port, err = reservePort(e.access.Port); err != nil {
		return err
	}
	e.access.Port = e.port.port
	if err := e.access.save(e.dir); err != nil {
		return err
	}
	if server, err := lookPath("clickhouse", c.Env); err == nil {
		e.program = program{modeServer, server}
		return e.start(ctx)
	}
	lib, err := thisPlatform().library()
	if err != nil {
		return err
	}
	return e.startLibrary(ctx, &cache{dir: c.Cache, lib: lib, env: c.Env, log: c.Log, progress: c.Progress, free: freeBytes})
}

// startLibrary starts the engine from the cache. A library that cannot be loaded may have been damaged behind the
// mark that says it was verified: it is looked at once more.
func (e *Engine) startLibrary(ctx context.Context, c *cache) error {
	for again := true; ; again = false {
		file, err := c.get(ctx)
		if err != nil {
			return err
		}
		e.program = program{modeLibrary, file}
		err = e.start(ctx)
		if !errors.Is(err, errNoLibrary) {
			return err
		}
		if !again || !c.forget() {
			return &Unavailable{"load the ClickHouse library", err, "install what it says is missing; or " + withoutLibrary}
		}
	}
}

func freeBytes(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * int64(s.Bsize), nil
}

// release gives back what an engine without a child still holds.
func (e *Engine) release() error {
	var err error
	if e.port != nil {
		err = e.port.Close()
	}
	return errors.Join(err, e.lock.Close())
}

// DSN is the writer's address for clickhouse-go, over HTTP: http://tacho:PASSWORD@127.0.0.1:PORT/tacho.
// It stays valid as long as the engine's directory, unless another program has taken the port while no tacho ran.
func (e *Engine) DSN() string { return e.access.dsn("tacho", e.access.Writer) }

// ReaderDSN is the address of a user who can only read.
func (e *Engine) ReaderDSN() string { return e.access.dsn("reader", e.access.Reader) }

// GrafanaDSN is the address of the user for dashboards, who can only read, and less at a time.
func (e *Engine) GrafanaDSN() string { return e.access.dsn("grafana", e.access.Grafana) }

// Starts is how often an engine was started in this directory, over all processes. It grows before a new engine can
// answer. So whatever was in flight while Starts stayed equal, read before and after, was answered by one engine.
func (e *Engine) Starts() uint64 { return e.starts.Load() }

// Kill sends SIGKILL to the child and waits until it is gone, for tests of what happens then: the engine is started
// again, and Wait waits for that.
func (e *Engine) Kill() {
	e.mu.Lock()
	c := e.child
	e.mu.Unlock()
	_ = c.cmd.Process.Kill()
	<-c.done
	e.down(c)
}

// Close ends the engine and waits until it is gone. It may be called more than once.
func (e *Engine) Close() error {
	e.stop()
	<-e.ended
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.lock == nil {
		return nil
	}
	err := e.release()
	e.lock = nil
	return err
}
