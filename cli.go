package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"runtime/debug"
	"strconv"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"tachograph/runner/gate"
)

// cli is one invocation: its streams, its environment and the flags that every command has.
type cli struct {
	in       io.Reader
	out, err io.Writer
	env      func(string) string

	data string // data directory
	json bool   // output for programs

	quota  byteSize // of the journals in the data directory; 0: only the disk bounds them
	prices string   // file of a list of prices; empty: only what is free is priced

	clickhouse string // DSN; empty: the embedded one, where a command needs any
	project    string // whose rows are written and read in ClickHouse
	shipTo     string // OTLP endpoint of somebody else's collector
	receive    receive
}

// receive is what a command is told that takes telemetry in.
type receive struct {
	otlpGRPC  string // host:port that the collector listens on
	otlpHTTP  string
	http      string // host:port of pages, API, health and metrics
	tlsCert   string // file of the certificate of addresses that are not loopback; empty: there are none
	tlsKey    string
	pyroscope string // address of a Pyroscope server; empty: nothing is profiled
}

// execute runs the command line and returns the exit status.
func execute(ctx context.Context, args []string, in io.Reader, out, errs io.Writer, env func(string) string) int {
	c := &cli{in: in, out: out, err: errs, env: env}
	root := c.command()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	return c.report(root.ExecuteContext(ctx))
}

func (c *cli) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "tacho",
		Short: "The flight recorder, black box and brake for AI agents",
		Long: "tacho runs AI agents that work for hours or days, and records every step so exactly that the state\n" +
			"at any step can be rebuilt and proven. Start with `tacho demo`.",
		SilenceErrors: true, SilenceUsage: true,
		Version:           version(),
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	quota := c.quota.Set(orDefault(c.env("TACHO_QUOTA"), "0"))
	root.PersistentPreRunE = func(*cobra.Command, []string) (err error) {
		if quota != nil {
			return usage(fmt.Errorf("TACHO_QUOTA: %w", quota))
		}
		c.data, err = filepath.Abs(c.data) // the sandbox and other processes know no working directory of ours
		return err
	}
	root.PersistentFlags().Var(&c.quota, "quota", "most that the journals may take, as 500MB or 20GiB; near it, runs pause (TACHO_QUOTA)")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(err) })
	flags := root.PersistentFlags()
	flags.StringVar(&c.data, "data", orDefault(c.env("TACHO_DATA"), defaultData(c.env)), "data directory (TACHO_DATA)")
	flags.StringVar(&c.prices, "prices", c.env("TACHO_PRICES"), "list of models' prices, for specs without; read by the process that runs the agents (TACHO_PRICES)")
	flags.StringVar(&c.clickhouse, "clickhouse", c.env("TACHO_CLICKHOUSE"), "a ClickHouse, as clickhouse://USER:PASSWORD@HOST:9000/tacho: runs are found there too (TACHO_CLICKHOUSE)")
	flags.Lookup("clickhouse").DefValue = "" // help must not show a password of the environment
	flags.StringVar(&c.project, "project", orDefault(c.env("TACHO_PROJECT"), "default"), "whose runs are written to ClickHouse and read from it (TACHO_PROJECT)")
	flags.StringVar(&c.shipTo, "ship", c.env("TACHO_SHIP"), "OTLP `ENDPOINT` that journals are shipped to, as grpc://HOST:4317, or grpcs:// with a token in TACHO_SHIP_TOKEN (TACHO_SHIP)")
	flags.BoolVar(&c.json, "json", c.env("TACHO_JSON") != "", "write JSON for programs (TACHO_JSON)")
	for _, group := range []struct {
		title    string
		commands []*cobra.Command
	}{
		{"Begin:", []*cobra.Command{c.demoCommand(), c.upCommand(), c.runCommand(), c.tokenCommand(), c.doctorCommand()}},
		{"Look:", []*cobra.Command{c.lsCommand(), c.showCommand(), c.tailCommand(), c.diffCommand()}},
		{"Steer:", []*cobra.Command{c.pauseCommand(), c.resumeCommand(), c.stopCommand(), c.approveCommand(), c.denyCommand(), c.applyCommand(), c.rmCommand()}},
		{"Go back and prove:", []*cobra.Command{c.replayCommand(), c.verifyCommand(), c.shipCommand()}},
	} {
		root.AddGroup(&cobra.Group{ID: group.title, Title: group.title})
		for _, command := range group.commands {
			command.GroupID = group.title
			root.AddCommand(command)
		}
	}
	return root
}

// version is that of the module, with the revision it was built from where Go recorded one.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	revision := ""
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			revision = " " + s.Value[:12]
		}
	}
	return info.Main.Version + revision
}

// defaultData is the user's data directory by the XDG base directory specification; root's is the
// system's by the Filesystem Hierarchy Standard, unless that root is an ordinary user outside its namespace.
func defaultData(env func(string) string) string {
	if dir := env("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "tacho")
	}
	if gate.ToolUser() >= 0 {
		return "/var/lib/tacho" // root's home is closed to the user that tools run as
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return filepath.Join(os.TempDir(), "tacho-"+strconv.Itoa(os.Getuid()))
	}
	return filepath.Join(home, ".local", "share", "tacho")
}

func orDefault(value, otherwise string) string {
	if value != "" {
		return value
	}
	return otherwise
}

// person is who steers a run, for the record.
func (c *cli) person() string {
	name := "uid " + strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		name += "@" + host
	}
	return name
}

// colour says whether out is a terminal that wants colour, and how wide it is (0: not a terminal).
func (c *cli) colour() (colour bool, width int) {
	f, ok := c.out.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return false, 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width < 20 {
		width = 80
	}
	return c.env("NO_COLOR") == "" && c.env("TERM") != "dumb", width
}

// log writes warnings to the errors' stream; TACHO_LOG=debug or info makes it say more.
func (c *cli) log() *slog.Logger {
	level := slog.LevelWarn
	if err := level.UnmarshalText([]byte(c.env("TACHO_LOG"))); err != nil {
		level = slog.LevelWarn
	}
	return slog.New(slog.NewTextHandler(c.err, &slog.HandlerOptions{Level: level}))
}

// say writes a line for people; with --json it goes to the errors' stream, so that output stays JSON.
func (c *cli) say(format string, args ...any) {
	to := c.out
	if c.json {
		to = c.err
	}
	fmt.Fprintf(to, format+"\n", args...)
}
