package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"tachograph/runner"
	"tachograph/runner/workspace"
	"tachograph/schemas/journal"
)

func (c *cli) runCommand() *cobra.Command {
	var directory, sandbox string
	var detach bool
	cmd := &cobra.Command{
		Use:   "run SPEC",
		Short: "Run an agent as a spec says, and watch it",
		Long: "Runs the agent that SPEC (YAML or JSON; - is the standard input) describes, in a copy of its directory.\n" +
			"Ctrl-C pauses the run and leaves; `tacho resume` goes on. The result stays in the copy until `tacho apply`.\n\n" +
			"A spec in short:\n\n" +
			"  model: kimi/kimi-k2.6          # or openai/NAME, script/FILE\n" +
			"  prompt: Make the tests pass.\n" +
			"  directory: .                   # relative to the spec\n" +
			"  tools: [filesystem, bash]\n" +
			"  check: go test ./...           # must succeed before the run counts as done\n" +
			"  max_steps: 200\n" +
			"  rollback_on_failure: true",
		Args: arguments(1, 1, "one SPEC"),
		RunE: func(cmd *cobra.Command, args []string) error {
			spec, err := c.readSpec(args[0], directory)
			if err != nil {
				return usage(err)
			}
			switch sandbox {
			case "":
			case "off":
				spec.Sandbox.Disabled = true
			default:
				return usage(fmt.Errorf("--sandbox=%s: the only value is off", sandbox))
			}
			return c.run(cmd.Context(), spec, detach)
		},
	}
	cmd.Flags().StringVar(&directory, "dir", "", "the agent's directory, in place of the spec's")
	cmd.Flags().StringVar(&sandbox, "sandbox", "", "off: run tools without any sandbox, as yourself; it stands in the journal")
	cmd.Flags().BoolVar(&detach, "detach", false, "only start it; an owner (tacho up, or another tacho run) must be there to run it")
	return cmd
}

func (c *cli) readSpec(file, directory string) (runner.Spec, error) {
	var text []byte
	var err error
	if file == "-" {
		text, err = io.ReadAll(io.LimitReader(c.in, 16<<20))
		file = "stdin.yaml"
	} else {
		text, err = os.ReadFile(file)
	}
	if err != nil {
		return runner.Spec{}, fmt.Errorf("read spec: %w", err)
	}
	spec, err := runner.ParseSpec(text, file)
	if err == nil && directory != "" {
		spec.Directory, err = filepath.Abs(directory)
	}
	return spec, err
}

// run starts a run, here or with the living owner, and tells its story until it comes to rest.
func (c *cli) run(ctx context.Context, spec runner.Spec, detach bool) error {
	p, err := c.reach(ctx)
	if err != nil {
		return err
	}
	if p.client != nil {
		defer p.Close()
		id, err := p.client.Start(ctx, spec)
		if err != nil {
			return err
		}
		if detach {
			c.say("%s", id)
			return nil
		}
		return c.follow(ctx, p, id)
	}
	if detach {
		p.Close()
		return usage(fmt.Errorf("run: --detach needs a process that owns %s: there is none", c.data))
	}
	return c.workOn(ctx, p, func(ctx context.Context, w *workshop) (journal.RunID, error) {
		return w.runner.Start(ctx, spec, c.copyProgress())
	})
}

// workOn owns the place, has begin start or resume a run, and tells its story.
func (c *cli) workOn(ctx context.Context, p *place, begin func(context.Context, *workshop) (journal.RunID, error)) (err error) {
	w, err := c.own(ctx, p, c.outlet(p.far), func(runner.Live) {})
	if err != nil {
		p.Close()
		return err
	}
	defer func() {
		if closed := w.Close(); err == nil {
			err = closed
		}
	}()
	// What had not ended goes on, unasked, for as long as this process owns the directory.
	taken, err := w.runner.TakeUpAll(ctx)
	if err != nil {
		w.log.Warn("some runs could not be taken up", "error", err)
	}
	id, err := begin(ctx, w)
	if err != nil {
		return err
	}
	for _, other := range taken {
		if other != id {
			c.say("Run %s had not ended and goes on beside this one: `tacho tail %s`.", other, other)
		}
	}
	ctx, leave := c.pauseOnInterrupt(ctx, w, id)
	defer leave()
	told := make(chan error, 1)
	var wait sync.WaitGroup
	tellCtx, stopTelling := context.WithCancel(ctx)
	defer stopTelling()
	wait.Go(func() { told <- c.tell(tellCtx, w.place, id, 0, true) })
	outcome, err := w.runner.Wait(ctx, id)
	if err == nil && outcome.Status == journal.StatusEnded {
		err = <-told // the story ends with the run
	}
	stopTelling()
	wait.Wait()
	if err != nil {
		return err
	}
	return c.conclude(outcome)
}

// pauseOnInterrupt pauses the run at the first Ctrl-C and leaves at the second. The context that it
// returns ends when the run is paused or the second one came.
func (c *cli) pauseOnInterrupt(ctx context.Context, w *workshop, id journal.RunID) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	interrupts := make(chan os.Signal, 2)
	signal.Notify(interrupts, os.Interrupt, syscall.SIGHUP)
	done := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		for first := true; ; first = false {
			select {
			case <-interrupts:
			case <-done:
				return
			}
			if !first {
				cancel()
				return
			}
			if err := w.runner.Pause(ctx, id, c.person()); err != nil {
				c.say("\n%v", err) // it is paused already, or over
			}
			c.say("\nPausing run %s. Once more Ctrl-C leaves at once; nothing that was recorded is lost.", id)
			w.runner.LeaveWhenPaused(id)
		}
	})
	return ctx, func() {
		signal.Stop(interrupts)
		close(done)
		cancel()
		wait.Wait()
	}
}

// conclude says how the run stands and what can be done next.
func (c *cli) conclude(o runner.Outcome) error {
	if c.json {
		text, err := json.Marshal(map[string]string{"run": o.Run.String(), "status": o.Status, "why": o.Why, "reason": o.Reason})
		if err != nil {
			return err
		}
		fmt.Fprintln(c.out, string(text))
	}
	id := o.Run.String()
	switch {
	case o.Err != nil:
		return fmt.Errorf("run %s was interrupted: %w\nNothing that was recorded is lost: `tacho resume %s` goes on", id, o.Err, id)
	case o.Status == journal.StatusPaused:
		c.say("\nRun %s is paused (%s). `tacho resume %s` goes on.", id, o.Why, id)
		return nil
	case o.Status != journal.StatusEnded:
		c.say("\nRun %s was left. `tacho resume %s` goes on.", id, id)
		return nil
	case o.Why == "done":
		c.say("\nThe run is done. `tacho diff %s` shows what it changed, `tacho apply %s` brings it to your directory.", id, id)
		return nil
	}
	c.say("\nThe run ended: %s. `tacho show %s` tells it all, `tacho replay %s --seq N` goes back to any entry.", o.Why, id, id)
	return &exit{exitRunFailed, nil}
}

// copyProgress shows how far the copy of a large directory is.
func (c *cli) copyProgress() func(workspace.Progress) {
	line := c.progressLine("copying")
	return func(p workspace.Progress) { line(p.Entries, p.Total, 0) }
}
