package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"tachograph/replay"
	"tachograph/runner/ship"
)

func (c *cli) shipCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "ship RUN --ship ENDPOINT",
		Short: "Ship a run's journal to a collector, now and to its end",
		Long: "Sends what of the journal is not there yet, and everything that it names, as OTLP log records, and returns when all of it was\n" +
			"acknowledged. With --clickhouse it also asks that ClickHouse whether everything has arrived, and sends again what has not:\n" +
			"give it where other collectors stand between.\n\n" +
			"A data directory with a living owner (`tacho up`) ships by itself: `tacho ls` shows how far it is.",
		Args: arguments(1, 1, "one RUN"),
		Example: "  tacho ship last --ship grpc://127.0.0.1:4317\n" +
			"  TACHO_SHIP_TOKEN=tacho_… tacho ship last --ship grpcs://tacho.example.org:4317    # `tacho token add NAME --role sender` there\n" +
			"  SSL_CERT_FILE=ca.pem …                                                           # where the certificate's root is your own",
		RunE: func(cmd *cobra.Command, args []string) error { return c.ship(cmd.Context(), args[0]) },
	}
}

func (c *cli) ship(ctx context.Context, name string) (err error) {
	p, err := c.reach(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	run, err := p.find(ctx, name)
	if err != nil {
		return err
	}
	if p.client != nil {
		return c.awaitShipped(ctx, p, run)
	}
	if c.shipTo == "" {
		return usage(errors.New("ship: name the collector with --ship grpc://HOST:4317, or start `tacho up`, which ships by itself"))
	}
	to := c.outlet(p.far)
	out, err := to.open(ctx, p, c.env)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	progress := c.progressLine("shipping entries")
	if err := out.ship.Ship(ctx, run.ID, func(now ship.Progress) { progress(now.Shipped, now.Total, 0) }); err != nil {
		return err
	}
	shipped, total := out.ship.Shipped(run.ID)
	return c.tellShipped(run, shipped, total)
}

// awaitShipped is for a run that the living owner ships.
func (c *cli) awaitShipped(ctx context.Context, p *place, run replay.Run) error {
	shipped, total, err := p.client.Ship(ctx, run.ID)
	if err != nil {
		return err
	}
	return c.tellShipped(run, shipped, total)
}

func (c *cli) tellShipped(run replay.Run, shipped, total int64) error {
	if c.json {
		return c.printJSON(map[string]any{"run": run.ID, "shipped": shipped, "total": total})
	}
	c.say("Run %s: %d of %d entries are shipped.", run.ID, shipped, total)
	if shipped < total {
		return fmt.Errorf("run %s goes on: ship it again for the rest", run.ID)
	}
	return nil
}
