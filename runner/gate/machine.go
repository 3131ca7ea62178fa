package gate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"tachograph/runner/sandbox"
)

// RunIfHelper never returns in a process that a sandbox started as its helper. main calls it first.
func RunIfHelper() { sandbox.RunIfHelper() }

// Report says what a machine offers to confine tools.
type Report = sandbox.Report

// Probe says what this machine offers to confine tools, trying it below dir ("" is the temporary
// directory). It leaves nothing behind.
func Probe(ctx context.Context, dir string) Report { return sandbox.ProbeAt(ctx, dir) }

// ToolUser is the host user that owns working trees and runs tools, −1 if that is who we are.
func ToolUser() int { return sandbox.ToolUser(0) }

// IsUnavailable says whether err means that this machine cannot confine tools.
func IsUnavailable(err error) bool {
	var u *sandbox.Unavailable
	return errors.As(err, &u)
}

// SandboxOptions is what a run asks of its sandbox.
type SandboxOptions struct {
	Off      bool              // no sandbox at all: tools run as this user, with network
	MinTier  int               // the weakest tier to accept; 0: any
	ReadOnly []string          // more host paths that tools may read, absolute
	Env      map[string]string // more environment for tools
}

// CheckSandbox starts and ends a sandbox in a temporary directory, so that a machine that cannot
// confine tools is known before anything is copied. The error says what is missing and what mends it.
func CheckSandbox(ctx context.Context, o SandboxOptions) error {
	_, err := SandboxTier(ctx, o)
	return err
}

// SandboxTier is CheckSandbox, and gives the tier as run.started spells it.
func SandboxTier(ctx context.Context, o SandboxOptions) (tier string, err error) {
	dir, err := os.MkdirTemp("", "tacho-check-")
	if err != nil {
		return "", fmt.Errorf("check sandbox: %w", err)
	}
	defer os.RemoveAll(dir)
	c := Config{Sandbox: o, Mount: filepath.Join(dir, "tree")}
	for name, path := range map[string]*string{"home": &c.Home, "tmp": &c.Tmp, "scratch": &c.Scratch} {
		*path = filepath.Join(dir, name)
		if err := os.Mkdir(*path, 0o700); err != nil {
			return "", fmt.Errorf("check sandbox: %w", err)
		}
	}
	if err := os.Mkdir(c.Mount, 0o700); err != nil {
		return "", fmt.Errorf("check sandbox: %w", err)
	}
	if uid := ToolUser(); uid > 0 {
		if err := errors.Join(os.Chmod(dir, 0o755), os.Chown(c.Mount, uid, uid)); err != nil {
			return "", fmt.Errorf("check sandbox: %w", err)
		}
	}
	box, err := openBox(ctx, c, c.Mount)
	if err != nil {
		return "", err
	}
	return box.tier(), box.close()
}

// box is the run's sandbox. One that was lost (its helper was killed) is opened again, with the tier
// it had: a run never changes its tier silently.
type box struct {
	config sandbox.Config

	mu     sync.Mutex
	now    *sandbox.Sandbox
	closed bool
}

// AwaitEnd returns when no process of an earlier gate with this Config.Alive is left, whose own process may have
// been killed a moment ago. The error of a context that ends before says that some still live.
func AwaitEnd(ctx context.Context, alive string) error { return sandbox.AwaitEnd(ctx, alive) }

func openBox(ctx context.Context, c Config, tree string) (*box, error) {
	config := sandbox.Config{Tree: tree, Mount: c.Mount, Home: c.Home, Tmp: c.Tmp, Scratch: c.Scratch,
		Alive: c.Alive, ReadOnly: c.Sandbox.ReadOnly, MinTier: sandbox.Tier(c.Sandbox.MinTier), Log: c.Log}
	if c.Sandbox.Off {
		config.Tier, config.MinTier = sandbox.Off, sandbox.TierAuto
	}
	s, err := sandbox.Open(ctx, config)
	if err != nil {
		return nil, err
	}
	config.Tier, config.MinTier = s.Tier(), sandbox.TierAuto
	return &box{config: config, now: s}, nil
}

func (b *box) get() *sandbox.Sandbox {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

// Run implements tools.Shell. Only a permit reaches it: see [Gate.run].
func (b *box) Run(ctx context.Context, c sandbox.Command) (sandbox.Result, error) {
	s := b.get()
	result, err := s.Run(ctx, c)
	// A helper that has just died is found out by whoever writes to it first.
	lost := errors.Is(err, sandbox.ErrClosed) || errors.Is(err, syscall.EPIPE)
	if lost && ctx.Err() == nil {
		err = errors.Join(err, b.reopen(context.WithoutCancel(ctx), s))
	}
	return result, err
}

// reopen replaces a sandbox that was lost. That one is closed before: what it clears away would be the new one's.
func (b *box) reopen(ctx context.Context, lost *sandbox.Sandbox) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || b.now != lost {
		return nil
	}
	ended := lost.Close() // says how it was lost
	s, err := sandbox.Open(ctx, b.config)
	if err != nil {
		return errors.Join(ended, fmt.Errorf("open the lost sandbox again: %w", err))
	}
	b.now = s
	return ended
}

func (b *box) close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return b.now.Close()
}

// Tier and Path implement tools.Shell.
func (b *box) Tier() sandbox.Tier { return b.get().Tier() }

func (b *box) Path(p string) string { return b.get().Path(p) }

// tier is the tier as run.started spells it.
func (b *box) tier() string {
	if t := b.Tier(); t != sandbox.Off {
		return fmt.Sprint(int(t))
	}
	return "off"
}

// environment is KEY=value in order, so that equal options make equal environments.
func environment(vars map[string]string) []string {
	var list []string
	for k, v := range vars {
		list = append(list, k+"="+v)
	}
	slices.Sort(list)
	return list
}
