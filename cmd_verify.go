package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"tachograph/replay"
	"tachograph/runner/state"
	"tachograph/schemas/journal"
)

func (c *cli) verifyCommand() *cobra.Command {
	var keys []string
	cmd := &cobra.Command{
		Use:   "verify RUN",
		Short: "Check a whole run: hashes, links, signatures, states, content, files",
		Long: "Checks every entry's bytes and links, what each does to the state, every recorded state hash, the Merkle tree, every\n" +
			"signed head, every checkpoint, all content and all files; it names the first entry that is wrong.\n\n" +
			"Exit status: 0 verified; 6 consistent, but no trusted key signed it; 4 something is wrong.\n" +
			"Trusted are the keys given with --key, or else the data directory's own and those in its keys directory.",
		Args: arguments(1, 1, "one RUN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.look(cmd.Context(), args[0], func(p *place, run replay.Run) error {
				return c.verify(cmd.Context(), p, run, keys)
			})
		},
	}
	cmd.Flags().StringArrayVar(&keys, "key", nil, "a verifier `KEY` as tacho doctor prints it, or a file of them; only these are trusted then")
	return cmd
}

func (c *cli) verify(ctx context.Context, p *place, run replay.Run, keys []string) error {
	trusted, err := c.trustedKeys(keys)
	if err != nil {
		return err
	}
	progress := c.progressLine("verifying entries")
	report, err := replay.Verify(ctx, p, run.ID, replay.Options{
		Keys:     trusted,
		Progress: func(done, _ int64) { progress(done, run.Entries, 0) },
		Summary:  func() (int64, journal.Hash, bool) { return run.Entries, run.Tip, true },
	})
	if err != nil {
		return err
	}
	return c.printReport(report)
}

// trustedKeys reads the keys that are given, or the data directory's.
func (c *cli) trustedKeys(given []string) (note.Verifiers, error) {
	if len(given) == 0 {
		return state.TrustedKeys(c.storeDir())
	}
	var verifiers []note.Verifier
	for _, key := range given {
		if text, err := os.ReadFile(key); err == nil {
			key = string(text)
		} else if !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("read key: %w", err)
		}
		for _, line := range strings.Fields(key) {
			v, err := note.NewVerifier(line)
			if err != nil {
				return nil, usage(fmt.Errorf("--key %.60s: %w; `tacho doctor` prints the key of this data directory", line, err))
			}
			verifiers = append(verifiers, v)
		}
	}
	return note.VerifierList(verifiers...), nil
}

func (c *cli) printReport(r *replay.Report) error {
	if c.json {
		if err := c.printJSON(r); err != nil {
			return err
		}
	} else {
		c.describeReport(r)
	}
	switch r.Verdict {
	case replay.Verified:
		return nil
	case replay.Unsigned:
		return &exit{exitUnsigned, nil}
	}
	return &exit{exitUnverified, nil}
}

func (c *cli) describeReport(r *replay.Report) {
	colour, _ := c.colour()
	paint := paint(colour)
	c.say("Run %s", r.Run)
	c.say("  %-24s bytes, links and effect on the state", count(r.Entries, "entry"))
	c.say("  %-24s equal to the fold of the entries before each", count(r.Commitments, "recorded state"))
	c.say("  %-24s equal to the Merkle tree at their size", count(r.Heads, "signed head"))
	c.say("  %-24s equal to the fold", count(r.Checkpoints, "checkpoint"))
	c.say("  %-24s content, and %s of files, %s read", count(r.Contents, "piece"), count(r.Objects, "object"), byteCount(r.Bytes))
	if r.Withheld > 0 {
		c.say("  %-24s looked like secrets: recorded by hash, bytes not kept", count(r.Withheld, "file"))
	}
	if r.Erased > 0 {
		c.say("  %-24s erased on request; the proofs hold without it", count(r.Erased, "piece"))
	}
	for _, s := range r.Signers {
		c.say("  signed by %s (trusted), over %d of %s", s, r.Covered, count(r.Entries, "entry"))
	}
	for _, s := range r.Unknown {
		c.say("  signed by %s (unknown key)", s)
	}
	if r.Covered > 0 && r.Covered < r.Entries {
		c.say("  %s after the newest head: linked, but not signed yet", count(r.Entries-r.Covered, "entry"))
	}
	if r.Parent != nil {
		c.say("  parent run %s: %s", r.Parent.Run, r.Parent.Verdict)
	}
	for _, f := range r.Findings {
		c.say("  %s %s", paint.bad("✗"), f.What)
	}
	switch r.Verdict {
	case replay.Verified:
		c.say("%s", paint.good("VERIFIED"))
	case replay.Unsigned:
		c.say("%s", paint.warn("CONSISTENT; SIGNER UNKNOWN"))
		c.say("  Give the worker's key with --key: `tacho doctor` prints it on the machine that ran this.")
	default:
		c.say("%s", paint.bad("FAILED"))
	}
}
