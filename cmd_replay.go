package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"tachograph/inference/script"
	"tachograph/replay"
	"tachograph/runner"
	"tachograph/schemas/journal"
	"tachograph/web/owner"
)

// replayFlags are what `tacho replay` is asked to do.
type replayFlags struct {
	seq    string
	out    string
	verify bool
	fork   bool
	resume bool
	set    []string
}

func (c *cli) replayCommand() *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use:   "replay RUN --seq N",
		Short: "Rebuild the state of a run at any entry; prove it; fork from it",
		Long: "Rebuilds what an agent knew, and the files it had, after entry N.\n\n" +
			"  tacho replay RUN --seq N                    show that state\n" +
			"  tacho replay RUN --seq N --out DIR          write its files to DIR\n" +
			"  tacho replay RUN --seq N --verify           prove state and files by their hashes\n" +
			"  tacho replay RUN --seq N --fork             a new run that goes on from there, paused\n" +
			"  … --set turn=FILE                           the fork's next model turn (YAML as in a script, or a chat message)\n" +
			"  … --set call.N.result=TEXT                  what the model is told of call N (any number that `tacho show` prints for it)\n" +
			"  … --set message=TEXT                        a message of the user\n" +
			"  … --set spec.KEY=VALUE                      another spec: spec.model=…, spec.max_steps=…\n" +
			"  … --resume                                  and run it\n\n" +
			"N is an entry's number as `tacho show` prints it; /@14 is the last entry of step 14 of the root agent.\n" +
			"TEXT may be @FILE. With a call's result and no --seq, the fork begins where the model would have been told it.\n" +
			"The files of a fork are those after entry N, whatever is set: another result does not undo what the call did to them\n" +
			"(for the files as they were before the call, fork at an entry before it started).",
		Args: arguments(1, 1, "one RUN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.resume || len(f.set) > 0 {
				f.fork = true
			}
			if f.fork && (f.out != "" || f.verify) {
				return usage(fmt.Errorf("--fork goes with neither --out nor --verify"))
			}
			return c.replay(cmd.Context(), args[0], f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.seq, "seq", "", "entry to go back to: a number, or AGENT@STEP (default: the newest)")
	flags.StringVar(&f.out, "out", "", "write the files of that moment to this new directory")
	flags.BoolVar(&f.verify, "verify", false, "prove the rebuilt state and files")
	flags.BoolVar(&f.fork, "fork", false, "make a run that begins there")
	flags.StringArrayVar(&f.set, "set", nil, "what the fork does differently: call.N.result=TEXT, turn=FILE, message=TEXT, spec.KEY=VALUE")
	flags.BoolVar(&f.resume, "resume", false, "run the fork at once")
	return cmd
}

func (c *cli) replay(ctx context.Context, name string, f replayFlags) error {
	change, err := parseChange(f.set)
	if err != nil {
		return usage(err)
	}
	p, err := c.reach(ctx)
	if err != nil {
		return err
	}
	run, seq, err := c.locate(ctx, p, name, f.seq)
	if err == nil && len(change.Results) > 0 {
		seq, err = settleResults(ctx, p, run, &change, seq, f.seq != "")
	}
	if err != nil {
		p.Close()
		return err
	}
	change.By = c.person()
	if f.fork {
		return c.fork(ctx, p, run, seq, change, f.resume)
	}
	defer p.Close()
	proof, err := replay.Prove(ctx, p, run.ID, seq, replay.ProveOptions{Out: f.out, Verify: f.verify})
	if err != nil {
		return err
	}
	return c.printProof(ctx, p, proof, f)
}

// locate finds the run and the seq that the arguments name.
func (c *cli) locate(ctx context.Context, p *place, name, at string) (replay.Run, int64, error) {
	run, err := p.find(ctx, name)
	if err != nil {
		return run, 0, err
	}
	seq, err := replay.ParseSeq(ctx, p, run, at)
	return run, seq, err
}

// settleResults names the calls of a change by the entry that proposed them, as a fork does, and finds
// the entry at which the model has not been told their results yet, unless at is fixed.
func settleResults(ctx context.Context, p *place, run replay.Run, change *runner.Change, at int64, fixed bool) (int64, error) {
	settled := map[int64]string{}
	var first replay.Call
	for seq, text := range change.Results {
		call, err := replay.FindCall(ctx, p, run, seq)
		if err != nil {
			return 0, fmt.Errorf("--set call.%d.result: %w", seq, err)
		}
		if _, twice := settled[call.ID]; twice {
			return 0, usage(fmt.Errorf("--set call.%d.result: the result of that call is given twice", seq))
		}
		if len(settled) > 0 && !fixed && (call.Agent != first.Agent || call.Step != first.Step) {
			return 0, usage(fmt.Errorf("--set call.%d.result: the calls belong to different steps; give --seq, or fork one after the other", seq))
		}
		settled[call.ID], first = text, call
	}
	change.Results = settled
	if fixed {
		return at, nil
	}
	return replay.AfterCall(ctx, p, run, first)
}

func parseChange(sets []string) (runner.Change, error) {
	change := runner.Change{Spec: map[string]string{}, Results: map[int64]string{}}
	for _, set := range sets {
		key, value, ok := strings.Cut(set, "=")
		spec, isSpec := strings.CutPrefix(key, "spec.")
		call, isCall := strings.CutPrefix(key, "call.")
		switch {
		case !ok:
			return change, fmt.Errorf("--set %s: write KEY=VALUE", set)
		case key == "turn":
			turn, err := readTurn(value)
			if err != nil {
				return change, err
			}
			change.Turn = turn
		case key == "message":
			text, err := textOrFile(value)
			if err != nil {
				return change, fmt.Errorf("--set message: %w", err)
			}
			change.Message = text
		case isCall:
			if err := addResult(change.Results, call, value); err != nil {
				return change, fmt.Errorf("--set %s: %w", key, err)
			}
		case isSpec && spec == "model" || isSpec && spec == "policy" || isSpec && spec == "directory":
			if abs, err := absoluteField(spec, value); err == nil {
				value = abs
			}
			change.Spec[spec] = value
		case isSpec && spec != "":
			change.Spec[spec] = value
		default:
			return change, fmt.Errorf("--set %s: there is call.N.result=TEXT, turn=FILE, message=TEXT and spec.KEY=VALUE", set)
		}
	}
	return change, nil
}

// addResult takes N.result and its text.
func addResult(results map[int64]string, key, value string) error {
	digits, ok := strings.CutSuffix(key, ".result")
	n, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || n < 0 {
		return errors.New("write call.N.result=TEXT or call.N.result=@FILE, N the number of one of the call's entries")
	}
	if _, twice := results[n]; twice {
		return errors.New("it is given twice")
	}
	text, err := textOrFile(value)
	results[n] = text
	return err
}

// textOrFile is the text itself, or the text in the file named after an @.
func textOrFile(value string) (string, error) {
	file, ok := strings.CutPrefix(value, "@")
	if !ok {
		return value, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read the text: %w (after @ stands a file's name)", err)
	}
	return string(text), nil
}

// absoluteField gives a path in a spec's field its meaning here, in the caller's directory.
func absoluteField(field, value string) (string, error) {
	if field == "model" {
		file, ok := strings.CutPrefix(value, "script/")
		if !ok {
			return value, nil
		}
		abs, err := filepath.Abs(file)
		return "script/" + abs, err
	}
	return filepath.Abs(value)
}

// readTurn reads a model turn from a file: as a script writes turns, or as a chat message.
func readTurn(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read turn: %w", err)
	}
	if asJSON, err := yaml.YAMLToJSON(text); err == nil && strings.Contains(string(asJSON), `"role"`) {
		return asJSON, nil
	}
	message, err := script.ParseTurn(file, text)
	if err != nil {
		return nil, fmt.Errorf("read turn: %w", err)
	}
	return message, nil
}

func (c *cli) fork(ctx context.Context, p *place, run replay.Run, seq int64, change runner.Change, resume bool) error {
	made := func(ctx context.Context, o owner.Operator) (journal.RunID, error) {
		fork, err := o.Fork(ctx, run.ID, seq, change)
		if err == nil && resume {
			c.say("Run %s forks from run %s after entry %d.", fork, run.ID, seq)
			err = o.Resume(ctx, fork, c.person())
		}
		return fork, err
	}
	if p.client != nil {
		defer p.Close()
		fork, err := made(ctx, p.client)
		if err == nil && resume {
			return c.follow(ctx, p, fork)
		}
		return c.forked(fork, err)
	}
	if resume {
		return c.workOn(ctx, p, func(ctx context.Context, w *workshop) (journal.RunID, error) {
			return made(ctx, w.operator())
		})
	}
	w, err := c.own(ctx, p, c.outlet(p.far), func(runner.Live) {})
	if err != nil {
		p.Close()
		return err
	}
	fork, err := made(ctx, w.operator())
	if closed := w.Close(); err == nil {
		err = closed
	}
	return c.forked(fork, err)
}

func (c *cli) forked(fork journal.RunID, err error) error {
	if err != nil {
		return err
	}
	if c.json {
		return c.printJSON(map[string]string{"run": fork.String()})
	}
	c.say("Run %s begins there, paused. `tacho resume %s` runs it.", fork, fork)
	return nil
}

func (c *cli) printProof(ctx context.Context, p *place, proof *replay.Proof, f replayFlags) error {
	failed := !proof.Holds()
	if c.json {
		if err := c.printJSON(proof); err != nil {
			return err
		}
	} else {
		c.describe(ctx, p, proof, f)
	}
	if failed {
		return &exit{exitUnverified, fmt.Errorf("verification failed: run %s at entry %d is not what was recorded", proof.Run, proof.Seq)}
	}
	return nil
}

func (c *cli) describe(ctx context.Context, p *place, proof *replay.Proof, f replayFlags) {
	colour, _ := c.colour()
	paint := paint(colour)
	yes := func(ok bool) string {
		if ok {
			return paint.good("equal")
		}
		return paint.bad("DIFFERENT")
	}
	c.say("Run %s after entry %d (%s of %s)", proof.Run, proof.Seq, count(proof.Seq+1, "entry"), count(proof.Entries, "entry"))
	c.say("  rebuilt state   %s", proof.State)
	if proof.RecordedAt >= 0 {
		c.say("  recorded state  %s   by entry %d: %s", proof.Recorded, proof.RecordedAt, yes(proof.State == proof.Recorded))
	} else {
		c.say("  recorded state  none: no entry commits to exactly this state (try the last entry of a step)")
	}
	if f.verify {
		c.say("  folded again    %s   from entry 0, without the cache: %s", proof.Refolded, yes(proof.State == proof.Refolded))
	}
	if proof.Unread != "" {
		c.say("  messages        %s: %s; `tacho verify %s` names the checkpoint, what the entries say is not lost", paint.bad("UNREADABLE"), proof.Unread, proof.Run)
	}
	c.say("  files           %s", proof.Root)
	if proof.Files != nil {
		c.say("  on disk         %s   %s, %s compared by content: %s", proof.Files.Root, count(proof.Files.Files, "file"),
			byteCount(proof.Files.Bytes), yes(proof.Files.Root == proof.Root))
		for _, d := range proof.Files.Differences {
			c.say("    %s", d)
		}
	}
	if f.out != "" {
		c.say("  written to      %s", f.out)
	}
	for _, a := range proof.Agents {
		c.say("  agent %-8s  step %d, %s, %s", a.Path, a.Step, count(int64(a.Messages), "message"), a.Status)
	}
	c.say("  used            %d steps, %d calls, %d tokens in, %d out", proof.Usage.Steps, proof.Usage.Calls, proof.Usage.Tokens.Input, proof.Usage.Tokens.Output)
}
