//go:build !linux || !(amd64 || arm64)

package sandbox

import (
	"context"
	"runtime"
)

// Sandbox exists on Linux only; Open never gives one here.
type Sandbox struct{}

func unavailable() *Unavailable {
	return &Unavailable{Refused: []Refusal{{
		Tier: TierNamespaces, Feature: featurePlatform, Step: "look at the platform",
		Cause: runtime.GOOS + "/" + runtime.GOARCH, Remedy: "run tacho in a Linux virtual machine or container",
	}}}
}

// RunIfHelper returns at once: there are no helper processes on this platform.
func RunIfHelper() {}

// Open returns *Unavailable.
func Open(_ context.Context, c Config) (*Sandbox, error) {
	if _, err := c.withDefaults(); err != nil {
		return nil, err
	}
	return nil, unavailable()
}

// Tier is never reached.
func (s *Sandbox) Tier() Tier { return TierAuto }

// LandlockABI is never reached.
func (s *Sandbox) LandlockABI() int { return 0 }

// Path is never reached.
func (s *Sandbox) Path(p string) string { return p }

// Home is never reached.
func (s *Sandbox) Home() string { return "" }

// Run is never reached.
func (s *Sandbox) Run(context.Context, Command) (Result, error) { return Result{}, ErrClosed }

// Discard is never reached.
func (s *Sandbox) Discard(string) error { return ErrClosed }

// Close is never reached.
func (s *Sandbox) Close() error { return nil }

func probe(context.Context, string) Report {
	return Report{Kernel: runtime.GOOS, Arch: runtime.GOARCH, Refused: unavailable().Refused}
}
