package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"tachograph/runner/gate"
	"tachograph/runner/state"
	"tachograph/web/owner"
)

// health is what `tacho doctor` finds.
type health struct {
	Version   string        `json:"version"`
	Data      string        `json:"data"`
	Owner     int           `json:"owner,omitempty"` // pid of the process that owns the directory
	Key       string        `json:"key,omitempty"`   // the worker's verifier key
	FreeBytes int64         `json:"free_bytes"`
	Fsync     *fsyncCost    `json:"fsync,omitempty"`
	Go        string        `json:"go,omitempty"`
	Sandbox   gate.Report   `json:"sandbox"`
	Models    []modelHealth `json:"models"`
	Problems  []string      `json:"problems"` // each with what mends it
	lacking   bool
}

type fsyncCost struct {
	MedianUS int64 `json:"median_us"`
	WorstUS  int64 `json:"worst_us"`
}

type modelHealth struct {
	Provider string `json:"provider"`
	Set      bool   `json:"set"`
	Variable string `json:"variable"`
}

// leastFree is the free space below which doctor warns, in bytes.
const leastFree = 2 << 30

func (c *cli) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Say what this machine has, and what is missing",
		Long: "Tries the sandbox, measures what an fsync costs where the data lies, and prints this worker's key (give it to\n" +
			"auditors: `tacho verify --key`). Exit status 3 if runs cannot work here, with what mends it.",
		Args: arguments(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, args []string) error { return c.doctor(cmd.Context()) },
	}
}

func (c *cli) doctor(ctx context.Context) error {
	h, err := c.examine(ctx)
	if err != nil {
		return err
	}
	if c.json {
		err = c.printJSON(h)
	} else {
		c.describeHealth(h)
	}
	if err == nil && h.lacking {
		return &exit{exitLacking, nil}
	}
	return err
}

func (c *cli) examine(ctx context.Context) (*health, error) {
	h := &health{Version: version(), Data: c.data, Problems: []string{}}
	if err := c.examineStore(ctx, h); err != nil {
		return nil, err
	}
	h.Sandbox = gate.Probe(ctx, c.data)
	for _, r := range h.Sandbox.Refused {
		if h.Sandbox.Tier != 0 && h.Sandbox.Tier <= r.Tier {
			continue // a stronger tier works: nobody misses this one
		}
		h.Problems = append(h.Problems, fmt.Sprintf("sandbox tier %v lacks %s (%s: %s): %s", r.Tier, r.Feature, r.Step, r.Cause, r.Remedy))
	}
	h.lacking = h.Sandbox.TierName == "none"
	if err := c.examineDisk(h); err != nil {
		return nil, err
	}
	if path, err := exec.LookPath("go"); err == nil {
		h.Go = path
	} else {
		h.Problems = append(h.Problems, "no Go command on PATH: `tacho demo` needs it; other runs do not")
	}
	for _, m := range [][2]string{{"kimi", "KIMI_API_KEY"}, {"openai", "OPENAI_API_KEY"}} {
		h.Models = append(h.Models, modelHealth{m[0], c.env(m[1]) != "", m[1]})
	}
	return h, nil
}

// examineDisk measures free space and the cost of the fsync that every step waits for.
func (c *cli) examineDisk(h *health) error {
	var err error
	if h.FreeBytes, err = freeBytes(c.data); err != nil {
		return fmt.Errorf("measure free space: %w", err)
	}
	if h.FreeBytes < leastFree {
		h.Problems = append(h.Problems, fmt.Sprintf("only %s are free in %s: free some space, or choose another directory with --data", byteCount(h.FreeBytes), c.data))
	}
	if h.Fsync, err = measureFsync(c.data); err != nil {
		return fmt.Errorf("measure fsync: %w", err)
	}
	if h.Fsync.MedianUS > 20_000 {
		h.Problems = append(h.Problems, fmt.Sprintf("an fsync costs %.1f ms in %s: each step waits for a few; choose a faster disk with --data", float64(h.Fsync.MedianUS)/1000, c.data))
	}
	return nil
}

// measureFsync appends 4 KiB and syncs, as a small step does.
func measureFsync(dir string) (*fsyncCost, error) {
	f, err := os.CreateTemp(dir, ".fsync-*")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	var took []int64
	block := make([]byte, 4096)
	for range 32 {
		began := time.Now()
		if _, err := f.Write(block); err != nil {
			return nil, err
		}
		if err := f.Sync(); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began).Microseconds())
	}
	slices.Sort(took)
	return &fsyncCost{took[len(took)/2], took[len(took)-1]}, nil
}

// examineStore reads the worker's key; the living owner has it in a file beside its socket.
func (c *cli) examineStore(ctx context.Context, h *health) error {
	client, err := owner.Dial(ctx, c.data)
	switch {
	case err == nil:
		h.Owner = client.File.PID
		client.Close()
	case !errors.Is(err, owner.ErrNoOwner):
		return err
	default:
		store, err := c.openStore(nil)
		if err != nil {
			return fmt.Errorf("open data directory: %w", err)
		}
		if err := store.Close(); err != nil {
			return err
		}
	}
	key, err := state.PublicKey(c.storeDir())
	if err != nil {
		return err
	}
	h.Key = key
	return nil
}

func (c *cli) describeHealth(h *health) {
	colour, _ := c.colour()
	p := paint(colour)
	row := func(name, format string, args ...any) {
		c.say("  %s %s", p.faint(fmt.Sprintf("%-18s", name)), fmt.Sprintf(format, args...))
	}
	c.say("%s", p.strong("tacho "+h.Version))
	row("data", "%s", h.Data)
	if h.Owner > 0 {
		row("owner", "process %d", h.Owner)
	} else {
		row("owner", "none at present")
	}
	row("free space", "%s", byteCount(h.FreeBytes))
	row("fsync", "%.2f ms (worst of 32: %.2f ms)", float64(h.Fsync.MedianUS)/1000, float64(h.Fsync.WorstUS)/1000)
	row("worker key", "%s", h.Key)
	row("go", "%s", orDefault(h.Go, "none"))
	for _, m := range h.Models {
		set := p.faint("not set: " + m.Variable)
		if m.Set {
			set = p.good(m.Variable + " is set")
		}
		row("model "+m.Provider, "%s", set)
	}
	c.say("\n%s", p.strong("sandbox"))
	row("kernel", "%s %s, root: %v", h.Sandbox.Kernel, h.Sandbox.Arch, h.Sandbox.Root)
	for _, check := range h.Sandbox.Checks {
		state := check.State
		switch state {
		case "ok":
			state = p.good("ok")
		case "missing":
			state = p.bad("missing")
		}
		c.say("  %-48s %s %s", check.Feature, state, p.faint(check.Detail))
	}
	row("tier", "%s", p.strong(h.Sandbox.TierName)+" "+p.faint(h.Sandbox.Reason))
	if len(h.Problems) == 0 {
		c.say("\n%s", p.good("Nothing is missing."))
		return
	}
	c.say("\n%s", p.strong("What is missing"))
	for _, problem := range h.Problems {
		c.say("  %s %s", p.warn("!"), problem)
	}
}
