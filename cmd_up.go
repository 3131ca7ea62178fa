package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/spf13/cobra"

	"tachograph/collector/store"
	"tachograph/web/owner"
)

func (c *cli) upCommand() *cobra.Command {
	var o receive
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run agents, take telemetry in, and keep both in ClickHouse, until Ctrl-C",
		Long: "Owns the data directory: takes up every run that has not ended, runs those that `tacho run` starts, ships their journals,\n" +
			"and receives the OpenTelemetry of other people's agents (OTLP over gRPC and HTTP). All of it goes into the ClickHouse of\n" +
			"--clickhouse, or into an embedded one, which is fetched once (180 MB, with npm).\n\n" +
			"Agents of others need only OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318.\n\n" +
			"From other machines it is reached at other addresses, with --tls-cert and --tls-key and tokens: `tacho token --help`.",
		Args: arguments(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c.receive = o
			return c.up(cmd.Context())
		},
	}
	c.receiveFlags(cmd, &o, "127.0.0.1:4317", "127.0.0.1:4318")
	return cmd
}

// receiveFlags are those of a command that takes telemetry in, at these addresses if nothing else is said.
func (c *cli) receiveFlags(cmd *cobra.Command, o *receive, grpcAddr, httpAddr string) {
	flags := cmd.Flags()
	flags.StringVar(&o.otlpGRPC, "otlp-grpc", orDefault(c.env("TACHO_OTLP_GRPC"), grpcAddr), "where OTLP/gRPC is taken; port 0: a free one (TACHO_OTLP_GRPC)")
	flags.StringVar(&o.otlpHTTP, "otlp-http", orDefault(c.env("TACHO_OTLP_HTTP"), httpAddr), "where OTLP/HTTP is taken (TACHO_OTLP_HTTP)")
	flags.StringVar(&o.http, "http", orDefault(c.env("TACHO_HTTP"), "127.0.0.1:7080"), "pages, API, health and metrics (TACHO_HTTP)")
	flags.StringVar(&o.tlsCert, "tls-cert", c.env("TACHO_TLS_CERT"), "certificate (PEM) of addresses that are not 127.0.0.1: who asks there needs a token (TACHO_TLS_CERT)")
	flags.StringVar(&o.tlsKey, "tls-key", c.env("TACHO_TLS_KEY"), "its key (PEM) (TACHO_TLS_KEY)")
	flags.StringVar(&o.pyroscope, "pyroscope", c.env("TACHO_PYROSCOPE"), "a Pyroscope server that this process's CPU profiles go to (TACHO_PYROSCOPE)")
}

func (c *cli) up(ctx context.Context) (err error) {
	ctx, cancel := signal.NotifyContext(ctx, os.Interrupt)
	defer cancel()
	if client, err := owner.Dial(ctx, c.data); err == nil { // said before ClickHouse is started for nothing
		defer client.Close()
		return c.ownedAlready(client)
	}
	s, err := c.openStation(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return c.upWith(ctx, s)
}

func (c *cli) ownedAlready(client *owner.Client) error {
	return fmt.Errorf("process %d owns %s already: other commands reach it; or choose another directory with --data", client.File.PID, c.data)
}

// upWith owns the data directory, runs its agents and ships to the station, until ctx ends.
func (c *cli) upWith(ctx context.Context, s *station) (err error) {
	p, err := c.reachData(ctx)
	if err != nil {
		return err
	}
	if p.client != nil {
		defer p.Close()
		return c.ownedAlready(p.client)
	}
	p.join(s.runs())
	t, err := c.openTracing(ctx, s)
	if err != nil {
		return errors.Join(err, p.Close())
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	var live relay
	w, err := c.own(ctx, p, s.outlet(t.tracer), live.watch)
	if err != nil {
		return errors.Join(err, p.Close())
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	front, err := c.openFront(ctx, s, w)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, front.Close()) }()
	live.to.Store(front)
	taken, err := w.runner.TakeUpAll(ctx)
	if err != nil {
		p.log.Warn("some runs could not be taken up", "error", err)
	}
	c.welcome(s, front, len(taken))
	<-ctx.Done()
	c.say("\nClosing. What has not ended goes on at the next start.")
	return nil
}

// addresses are what `up` prints for programs.
type addresses struct {
	HTTP     string `json:"http"`
	OTLPGRPC string `json:"otlp_grpc"`
	OTLPHTTP string `json:"otlp_http"`
	// ClickHouse is its DSN for --clickhouse on this machine, password and all; of the embedded one, that of the user who
	// only reads.
	ClickHouse string `json:"clickhouse"`
	// Grafana is the DSN of the embedded one's user for dashboards, who only reads, and less at a time.
	Grafana string `json:"grafana,omitempty"`
	Taken   int    `json:"taken_up"`
}

func (c *cli) welcome(s *station, f *front, taken int) {
	a := addresses{HTTP: f.address, OTLPGRPC: s.grpcAddr, OTLPHTTP: s.httpAddr, ClickHouse: s.readerDSN(), Taken: taken}
	if s.engine != nil {
		a.Grafana = s.engine.GrafanaDSN()
	}
	if c.json {
		if err := c.printJSON(a); err != nil {
			c.log().Warn("print addresses", "error", err)
		}
		return
	}
	c.say("tacho is up on %s: %s", c.data, a.HTTP)
	c.say("  OTLP/gRPC   %s", a.OTLPGRPC)
	c.say("  OTLP/HTTP   %s      for agents of others: OTEL_EXPORTER_OTLP_ENDPOINT=%s", a.OTLPHTTP, a.OTLPHTTP)
	c.say("  ClickHouse  %s      `tacho up --json` prints it with its password", store.Redacted(a.ClickHouse))
	if !s.store.Ready() {
		c.say("              it does not answer yet. Runs go on, telemetry is taken and waits in %s; lists of runs need it.\n"+
			"              Is the address right? %s/readyz says when it is there", filepath.Join(c.data, "spool"), a.HTTP)
	}
	c.say("  health      %s/readyz, %s/metrics", a.HTTP, a.HTTP)
	if s.gate != nil {
		if tokens, err := s.gate.Tokens.List(); err != nil {
			c.say("  tokens      nobody is let in from other machines: %v", err)
		} else if len(tokens) == 0 {
			c.say("  tokens      nobody has one, so nobody is let in from other machines: `tacho token add NAME --role ROLE`")
		}
	}
	if taken > 0 {
		c.say("%s had not ended and goes on: `tacho ls --status running`.", count(int64(taken), "run"))
	}
	c.say("`tacho run SPEC` starts a run here; Ctrl-C ends.")
}
