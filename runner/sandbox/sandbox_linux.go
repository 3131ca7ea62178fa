//go:build amd64 || arm64

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// innerHome is HOME in tier 1, or one with a number behind it where Mount needs that place.
const innerHome = "/home/agent"

// Sandbox is one run's place for tool processes. Its methods may be called concurrently.
type Sandbox struct {
	config Config
	tier   Tier
	view   view
	helper *helper

	mu     sync.Mutex
	closed bool
	runs   sync.WaitGroup
}

// view is where processes see the run's directories.
type view struct{ mount, home, tmp string }

func newView(c Config, t Tier) view {
	if t != TierNamespaces {
		return view{mount: c.Tree, home: c.Home, tmp: c.Tmp}
	}
	home := innerHome
	for n := 1; within(home, c.Mount) || within(c.Mount, home); n++ {
		home = fmt.Sprintf("%s-%d", innerHome, n)
	}
	return view{mount: c.Mount, home: home, tmp: "/tmp"}
}

// Open starts the run's helper process in the strongest tier that c accepts and this machine gives. It has played a whole
// call, without a command, when it returns. *Unavailable says that no tier can be had; any other error is a mistake in c.
// As root it gives Home, Tmp and Scratch themselves, not what is in them, to c.UID; Tree must belong to it already.
func Open(ctx context.Context, c Config) (*Sandbox, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("open sandbox: %w", err)
	}
	if err := prepareDirectories(c); err != nil {
		return nil, fmt.Errorf("open sandbox: %w", err)
	}
	var u Unavailable
	for _, t := range c.tiers() {
		h, v, err := openTier(ctx, c, t)
		if err == nil {
			return &Sandbox{config: c, tier: t, view: v, helper: h}, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("open sandbox: %w", context.Cause(ctx))
		}
		r := refuse(featureProtocol, "start helper", err)
		u.Refused = append(u.Refused, Refusal{Tier: t, Feature: r.Feature, Step: r.Step, Cause: r.cause().Error(), Remedy: remedy(r.Feature, r.cause())})
		c.Log.Info("sandbox tier refused", "tier", t.String(), "feature", r.Feature, "step", r.Step, "cause", r.cause())
	}
	return nil, &u
}

func openTier(ctx context.Context, c Config, t Tier) (*helper, view, error) {
	v := newView(c, t)
	l, fds, err := newLayout(c, t, v)
	if err != nil {
		return nil, v, err
	}
	defer closeAll(fds)
	h, err := startHelper(ctx, c, l, fds)
	return h, v, err
}

// prepareDirectories checks that the run's directories are there, and as root hands them over.
func prepareDirectories(c Config) error {
	for _, d := range []string{c.Tree, c.Home, c.Tmp, c.Scratch} {
		st, err := os.Stat(d)
		if err != nil {
			return fmt.Errorf("look at directory: %w", err)
		}
		if !st.IsDir() {
			return fmt.Errorf("look at directory %s: it is none", d)
		}
		if c.UID >= 0 && d != c.Tree && c.Tier != Off {
			if err := os.Chown(d, c.UID, c.UID); err != nil {
				return fmt.Errorf("give directory to the user of tools: %w", err)
			}
		}
	}
	if err := removeSpares(c.Scratch); err != nil {
		return fmt.Errorf("remove what an earlier start left: %w", err)
	}
	return nil
}

// Tier is the tier that Open chose.
func (s *Sandbox) Tier() Tier { return s.tier }

// LandlockABI is the version of Landlock that calls are confined with; 0 with Off.
func (s *Sandbox) LandlockABI() int { return s.helper.abi }

// Home is the agent's HOME as processes see it.
func (s *Sandbox) Home() string { return s.view.home }

// Path translates a path at Mount or below to what processes see: itself in tier 1, else the same place in Tree. Other
// paths are given back as they are.
func (s *Sandbox) Path(p string) string {
	if s.view.mount == s.config.Mount || !within(p, s.config.Mount) {
		return p
	}
	return s.view.mount + p[len(s.config.Mount):]
}

// Run runs one command to the end of all its processes. An error means that it did not run (*StartError, ErrClosed, a
// mistake in c), or that ctx ended it, in which case the Result tells how far it came. A command's own failure is a
// Result. When Run returns nothing of the call is running; where that cannot be had (tier 2, a process that forks faster
// than it is found) the error says so.
func (s *Sandbox) Run(ctx context.Context, c Command) (Result, error) {
	if err := c.check(s.config.Mount); err != nil {
		return Result{}, err
	}
	if err := ctx.Err(); err != nil {
		return Result{}, context.Cause(ctx)
	}
	if !s.enter() {
		return Result{}, ErrClosed
	}
	defer s.runs.Done()
	pipes, err := newStdio(c, s.owner())
	if err != nil {
		return Result{}, fmt.Errorf("open pipes of call %s: %w", c.ID, err)
	}
	reply, err := s.helper.begin(s.request(c), pipes.descriptors())
	pipes.closeChild()
	if err != nil {
		pipes.closeParent()
		return Result{}, fmt.Errorf("begin call %s: %w", c.ID, err)
	}
	pipes.pump(c)
	out := s.await(ctx, c, reply)
	pipes.finish(out.err != nil || out.ended.Left > 0)
	return s.result(ctx, c, out)
}

// owner is who must own what a command opens again; -1 if that is this process's user anyway.
func (s *Sandbox) owner() int {
	if s.tier == Off {
		return -1
	}
	return s.config.UID
}

func (s *Sandbox) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.runs.Add(1)
	}
	return !s.closed
}

func (s *Sandbox) request(c Command) request {
	dir := c.Dir
	if dir == "" {
		dir = s.config.Mount
	}
	return request{
		ID: c.ID, Dir: []byte(s.Path(dir)), Overlay: c.Overlay,
		Args: byteStrings(c.Args), Env: byteStrings(c.environment(s.view.home, s.view.tmp)),
	}
}

// outcome is a call's end with what we did to bring it about.
type outcome struct {
	ended            ended
	err              error // the helper was lost
	timedOut, killed bool
}

// await waits for the call's end and hastens it when its time is over or nobody wants it any more.
func (s *Sandbox) await(ctx context.Context, c Command, reply <-chan ended) outcome {
	var o outcome
	cancelled, timer := ctx.Done(), stopped()
	defer timer.Stop()
	if c.Timeout > 0 {
		timer.Reset(c.Timeout)
	}
	for {
		select {
		case e, ok := <-reply:
			if o.ended = e; !ok {
				o.err = s.helper.lost()
			}
			return o
		case <-cancelled:
			cancelled = nil
			o.killed = true
			s.helper.signal(c.ID, unix.SIGKILL)
		case <-timer.C:
			if o.timedOut || c.Grace <= 0 {
				o.timedOut, o.killed = true, true
				s.helper.signal(c.ID, unix.SIGKILL)
				continue
			}
			o.timedOut = true
			s.helper.signal(c.ID, unix.SIGTERM)
			timer.Reset(c.Grace)
		}
	}
}

func stopped() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

func (s *Sandbox) result(ctx context.Context, c Command, o outcome) (Result, error) {
	overlay := c.Overlay && s.tier == TierNamespaces
	e := o.ended
	if o.err != nil {
		return Result{Killed: true}, fmt.Errorf("run call %s: %w", c.ID, o.err)
	}
	if e.Refused != nil {
		if err := ctx.Err(); err != nil {
			return Result{Killed: true}, context.Cause(ctx)
		}
		return Result{}, &StartError{Program: c.Args[0], Step: e.Refused.Step, Err: e.Refused.cause()}
	}
	r := Result{
		TimedOut: o.timedOut, Killed: o.killed, Duration: time.Duration(e.DurationNS),
		UserCPU: time.Duration(e.UserNS), SysCPU: time.Duration(e.SystemNS), MaxRSS: e.MaxRSS,
	}
	r.Exit, r.Signal = exitOf(unix.WaitStatus(e.Status))
	if overlay {
		r.Upper = filepath.Join(s.config.Scratch, c.ID, upperName)
	}
	var err error
	if o.killed && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if e.Left > 0 {
		err = errors.Join(err, fmt.Errorf("end call %s: %d processes could not be killed within %v", c.ID, e.Left, sweepLimit))
	}
	return r, err
}

func exitOf(w unix.WaitStatus) (int, string) {
	if w.Signaled() {
		return 128 + int(w.Signal()), unix.SignalName(w.Signal())
	}
	return w.ExitStatus(), ""
}

// Discard removes what the call id left in Scratch. It may be called after Close; a call that left nothing is no error.
func (s *Sandbox) Discard(id string) error {
	if err := checkID(id); err != nil {
		return err
	}
	if err := removeScratch(filepath.Join(s.config.Scratch, id)); err != nil {
		return fmt.Errorf("discard call %s: %w", id, err)
	}
	return nil
}

// Close ends every process inside and waits for them, for each Run, and for the helper. Calling it again does nothing.
func (s *Sandbox) Close() error {
	s.mu.Lock()
	again := s.closed
	s.closed = true
	s.mu.Unlock()
	if again {
		return nil
	}
	err := s.helper.close()
	s.runs.Wait()
	if rmErr := removeSpares(s.config.Scratch); rmErr != nil && !errors.Is(rmErr, os.ErrNotExist) {
		err = errors.Join(err, fmt.Errorf("remove what was kept ready: %w", rmErr))
	}
	return err
}
