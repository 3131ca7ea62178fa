package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"tachograph/replay"
	"tachograph/runner/gate"
	"tachograph/runner/state"
	"tachograph/runner/workspace"
)

//go:embed .demo/script.yaml .demo/turn.yaml .demo/spec.yaml
var demoFiles embed.FS

// The demo's module: its older release is what the agent works on, the newer one's tests judge. The
// sums are those of go.sum, so what is fetched is what was tried.
const (
	demoModule  = "github.com/mitchellh/go-wordwrap"
	demoOlder   = "v1.0.0"
	demoNewer   = "v1.0.1"
	demoOldSum  = "h1:6GlHJ/LTGMrIJbwgdqdl2eEH8o+Exx/0m8ir9Gns0u4="
	demoNewSum  = "h1:TLuKupo69TCn6TQSyGxwI1EblZZEsQ0vMlAFQflz0v0="
	demoTests   = "wordwrap_test.go"
	demoMistake = "/@6" // the last entry before it
)

func (c *cli) demoCommand() *cobra.Command {
	var leave bool
	var o receive
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See it all: a run that goes wrong, rewound, proven, forked and made right",
		Long: "A scripted model (only its words are written down; files, tools, tests and sandbox are real) mends a bug in a small\n" +
			"Go module. It destroys files on the way and fails. Its journal is shipped to ClickHouse; then the runner's directory is\n" +
			"moved away, and another process, with an empty directory, rebuilds the moment before the mistake from ClickHouse alone,\n" +
			"and proves it. From there a fork goes on with one changed turn. Needs Go and npm, and the first time the network: 8 kB\n" +
			"for the module, 180 MB for ClickHouse, which all later starts share. It stays up afterwards, as `tacho up` does.",
		Args: arguments(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c.receive = o
			return c.demo(cmd.Context(), leave)
		},
	}
	cmd.Flags().BoolVar(&leave, "exit", false, "end when the demo is over; status 0 only if every part of it was verified")
	c.receiveFlags(cmd, &o, "127.0.0.1:0", "127.0.0.1:0") // others may have the usual ports: the demo must not fail for that
	return cmd
}

func (c *cli) demo(ctx context.Context, leave bool) (err error) {
	ctx, cancel := signal.NotifyContext(ctx, os.Interrupt)
	defer cancel()
	d := c.newDemo()
	if err := d.prepare(ctx); err != nil {
		return err
	}
	if d.station, err = c.openStation(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.station.Close()) }()
	for _, part := range []func(context.Context) error{d.fail, d.ship, d.rebuild, d.fork, d.prove} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	d.farewell()
	if leave {
		return nil
	}
	d.say("")
	return c.upWith(ctx, d.station)
}

func (c *cli) newDemo() *demo {
	colour, _ := c.colour()
	return &demo{cli: c, dir: filepath.Join(c.data, "demo"), paint: paint(colour)}
}

// demo is one pass through the story. Each part is a command that a user could type, in a process
// of its own: what one leaves behind is all that the next one has.
type demo struct {
	*cli
	dir         string
	paint       paint
	station     *station // takes in what the commands ship
	run, forked string
}

func (d *demo) title(n int, text string) {
	d.say("\n%s", d.paint.strong(fmt.Sprintf("%d. %s", n, text)))
}

// prepare refuses before anything is fetched if tools cannot be confined here.
func (d *demo) prepare(ctx context.Context) error {
	if err := gate.CheckSandbox(ctx, gate.SandboxOptions{}); err != nil {
		return err
	}
	if err := d.bringBack(); err != nil {
		return err
	}
	d.say("An agent is asked to mend a bug in %s %s. The tests of %s are the judge.", demoModule, demoOlder, demoNewer)
	older, err := fetchModule(ctx, demoOlder, demoOldSum)
	if err != nil {
		return err
	}
	newer, err := fetchModule(ctx, demoNewer, demoNewSum)
	if err != nil {
		return err
	}
	tree := filepath.Join(d.dir, "go-wordwrap")
	if err := workspace.RemoveAll(d.dir); err != nil {
		return fmt.Errorf("clear the last demo: %w", err)
	}
	if err := copyWritable(older, tree); err != nil {
		return err
	}
	if err := copyFile(filepath.Join(newer, demoTests), filepath.Join(tree, demoTests)); err != nil {
		return err
	}
	for _, name := range []string{"script.yaml", "turn.yaml", "spec.yaml"} {
		text, err := demoFiles.ReadFile(".demo/" + name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(d.dir, name), text, 0o644); err != nil {
			return fmt.Errorf("write the demo's files: %w", err)
		}
	}
	return nil
}

// fetchModule finds a release in the module cache, or fetches it there through the Go command.
func fetchModule(ctx context.Context, version, sum string) (dir string, err error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", demoModule+"@"+version)
	cmd.Dir = os.TempDir()
	cmd.Env = append(os.Environ(), "GO111MODULE=on", "GOFLAGS=-mod=mod", "GOWORK=off")
	out, err := cmd.Output()
	var module struct{ Dir, Sum, Error string }
	if jsonErr := json.Unmarshal(out, &module); jsonErr != nil || module.Error != "" || err != nil {
		var ee *exec.ExitError
		if errors.As(err, &ee) && module.Error == "" {
			module.Error = strings.TrimSpace(string(ee.Stderr))
		}
		if errors.Is(err, exec.ErrNotFound) {
			return "", &exit{exitLacking, errors.New("the demo needs the Go command: install Go 1.26 or newer")}
		}
		return "", &exit{exitLacking, fmt.Errorf("fetch %s %s: %s: the demo needs the Go module proxy once", demoModule, version, module.Error)}
	}
	if module.Sum != sum {
		return "", fmt.Errorf("fetch %s %s: its sum is %s, but the demo was made with %s", demoModule, version, module.Sum, sum)
	}
	return module.Dir, nil
}

// copyWritable copies a directory of plain files; the module cache's own are read-only.
func copyWritable(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rest, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return os.MkdirAll(filepath.Join(to, rest), 0o755)
		}
		return copyFile(path, filepath.Join(to, rest))
	})
}

func copyFile(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("copy the demo's module: %w", err)
	}
	if err := os.WriteFile(to, text, 0o644); err != nil {
		return fmt.Errorf("copy the demo's module: %w", err)
	}
	return nil
}

// fail runs the agent; that it fails is the story.
func (d *demo) fail(ctx context.Context) error {
	d.title(1, "The agent works, makes a mistake, and fails")
	status, err := d.tacho(ctx, d.out, "run", filepath.Join(d.dir, "spec.yaml"))
	if err != nil {
		return err
	}
	if status != exitRunFailed {
		return fmt.Errorf("the demo's run should have failed with status %d, but ended with %d", exitRunFailed, status)
	}
	d.run, err = d.newest(ctx)
	if err != nil {
		return err
	}
	d.say("Its files, the tests among them, are empty. In most places the story ends here.")
	return nil
}

// ship waits until ClickHouse has all of the run.
func (d *demo) ship(ctx context.Context) error {
	d.title(2, "Its journal goes to ClickHouse, with all that it names")
	status, err := d.tacho(ctx, d.out, "ship", d.run)
	if err == nil && status != exitDone {
		err = fmt.Errorf("the journal could not be shipped (status %d)", status)
	}
	return err
}

// rebuild proves the moment before the mistake, in another process that has nothing but ClickHouse.
func (d *demo) rebuild(ctx context.Context) error {
	d.title(3, "Another process rebuilds the moment before the mistake from ClickHouse alone, and proves it")
	return d.elsewhere(func(key string) error {
		d.say("%s", d.paint.faint("The runner's directory is moved away; the process below has an empty one."))
		status, err := d.tacho(ctx, d.out, "replay", d.run, "--seq", demoMistake, "--verify")
		if err == nil && status != exitDone {
			err = &exit{exitUnverified, fmt.Errorf("the state before the mistake could not be proven (status %d)", status)}
		}
		return err
	})
}

// elsewhere has see run commands as a machine would that never saw the runs: the runner's directory is
// moved away meanwhile, and commands get an empty one. key is the verifier key of the worker, which
// an auditor gets from its operator, not from the store.
func (d *demo) elsewhere(see func(key string) error) (err error) {
	key, err := state.PublicKey(d.storeDir())
	if err != nil {
		return err
	}
	away, err := d.moveAway()
	if err != nil {
		return err
	}
	empty, err := os.MkdirTemp(d.dir, "elsewhere-")
	if err != nil {
		return errors.Join(err, away.back())
	}
	home := d.data
	d.data = empty
	defer func() {
		d.data = home
		err = errors.Join(err, os.RemoveAll(empty), away.back())
	}()
	return see(key)
}

// moved is what was moved away, and must come back.
type moved struct{ names [][2]string }

// moveAway moves what the runner has on this disk. A demo that died meanwhile is mended by the next: see
// bringBack.
func (d *demo) moveAway() (moved, error) {
	var m moved
	for _, name := range []string{"store", "runs"} {
		from, to := filepath.Join(d.data, name), filepath.Join(d.data, name+awaySuffix)
		if err := os.Rename(from, to); err != nil {
			return m, errors.Join(fmt.Errorf("move the runner's directory away: %w", err), m.back())
		}
		m.names = append(m.names, [2]string{from, to})
	}
	return m, nil
}

const awaySuffix = ".moved-by-demo"

func (m moved) back() error {
	var failed []error
	for _, name := range m.names {
		failed = append(failed, os.Rename(name[1], name[0]))
	}
	return errors.Join(failed...)
}

// bringBack mends a data directory whose demo died while parts of it were moved away.
func (c *cli) bringBack() error {
	for _, name := range []string{"store", "runs"} {
		home, away := filepath.Join(c.data, name), filepath.Join(c.data, name+awaySuffix)
		if _, err := os.Lstat(away); err != nil {
			continue
		}
		if _, err := os.Lstat(home); err == nil {
			return fmt.Errorf("a demo that was interrupted left %s, but %s is there again: move one of them aside", away, home)
		}
		if err := os.Rename(away, home); err != nil {
			return fmt.Errorf("bring back what an interrupted demo moved away: %w", err)
		}
	}
	return nil
}

// fork goes on from there with one turn changed.
func (d *demo) fork(ctx context.Context) error {
	d.title(4, "From there a fork goes on, with one turn of the model changed")
	status, err := d.tacho(ctx, d.out, "replay", d.run, "--seq", demoMistake, "--fork",
		"--set", "turn="+filepath.Join(d.dir, "turn.yaml"), "--resume")
	if err != nil {
		return err
	}
	if status != exitDone {
		return &exit{exitRunFailed, fmt.Errorf("the fork should have ended well, but ended with status %d", status)}
	}
	d.forked, err = d.newest(ctx)
	return err
}

// prove verifies both runs from their first byte to their last, once more from ClickHouse alone.
func (d *demo) prove(ctx context.Context) error {
	d.title(5, "Everything that was recorded is checked: every hash, link, signature, state and file")
	if status, err := d.tacho(ctx, io.Discard, "ship", d.forked); err != nil || status != exitDone {
		return errors.Join(err, fmt.Errorf("the fork could not be shipped (status %d)", status))
	}
	return d.elsewhere(func(key string) error {
		for _, run := range []string{d.run, d.forked} {
			status, err := d.tacho(ctx, d.out, "verify", run, "--key", key)
			if err != nil {
				return err
			}
			if status != exitDone {
				return &exit{exitUnverified, fmt.Errorf("run %s could not be verified (status %d)", run, status)}
			}
		}
		return nil
	})
}

func (d *demo) farewell() {
	name := "tacho"
	if strings.HasPrefix(os.Args[0], os.TempDir()) {
		name = "go run ."
	}
	flag := ""
	if d.data != defaultData(d.env) {
		flag = " --data " + d.data
	}
	d.say("\n%s", d.paint.strong("Try next"))
	for _, line := range [][2]string{
		{"ls", "the runs"},
		{"show " + d.run, "the failed run, told from its journal"},
		{"diff " + d.run, "what the mistake left"},
		{"diff " + d.forked, "what the fork changed: the fix"},
		{"apply " + d.forked, "bring the fix to " + filepath.Join(d.dir, "go-wordwrap")},
		{"replay " + d.run + " --seq " + demoMistake + " --out DIR", "the files as they were before the mistake"},
		{"doctor", "what this machine can do"},
	} {
		d.say("  %s%s %-64s %s", name, flag, line[0], d.paint.faint(line[1]))
	}
}

// newest is the id of the run that was started last.
func (d *demo) newest(ctx context.Context) (string, error) {
	p, err := d.reach(ctx)
	if err != nil {
		return "", err
	}
	defer p.Close()
	run, err := replay.FindRun(ctx, p, "last")
	return run.ID.String(), err
}

// tacho runs this program again, as a user would, and shows the command.
func (d *demo) tacho(ctx context.Context, out io.Writer, args ...string) (int, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, fmt.Errorf("find this program: %w", err)
	}
	d.say("%s", d.paint.faint("$ tacho "+strings.Join(args, " ")))
	cmd := exec.CommandContext(ctx, self, append(args, "--data", d.data)...)
	cmd.Env = append(os.Environ(), "TACHO_SHIP=grpc://"+d.station.ownAddr, "TACHO_CLICKHOUSE="+d.station.dsn, "TACHO_PROJECT="+d.project,
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://"+d.station.ownAddr, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc")
	cmd.Stdout, cmd.Stderr = out, d.cli.err
	err = cmd.Run()
	var ee *exec.ExitError
	if errors.As(err, &ee) && ee.Exited() {
		return ee.ExitCode(), nil
	}
	if err != nil {
		return 0, fmt.Errorf("run tacho %s: %w", args[0], err)
	}
	return exitDone, nil
}
