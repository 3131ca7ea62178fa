package tools_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tachograph/runner/sandbox"
	"tachograph/runner/tools"
)

// localShell runs bash by os/exec, without confinement, where a test is about bash and not about the sandbox.
type localShell struct{ tree, home string }

func newLocalShell(t testing.TB) *localShell {
	return &localShell{tree: t.TempDir(), home: t.TempDir()}
}

func (l *localShell) Tier() sandbox.Tier { return sandbox.Off }

func (l *localShell) Path(p string) string {
	if p == mount || strings.HasPrefix(p, mount+"/") {
		return l.tree + p[len(mount):]
	}
	return p
}

func (l *localShell) Run(ctx context.Context, c sandbox.Command) (sandbox.Result, error) {
	if err := ctx.Err(); err != nil {
		return sandbox.Result{}, context.Cause(ctx)
	}
	within, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	cmd := exec.CommandContext(within, c.Args[0], c.Args[1:]...)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = l.Path(c.Dir), c.Stdin, c.Stdout, c.Stderr
	// In front, as the sandbox adds only what is missing.
	cmd.Env = append([]string{"HOME=" + l.home, "TMPDIR=/tmp", "PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"}, c.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = max(c.Grace, time.Second)
	err := cmd.Run()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what is left in the background, as a sandbox does
	}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return sandbox.Result{Killed: true}, context.Cause(ctx)
	case errors.As(err, &exit), err == nil, errors.Is(err, exec.ErrWaitDelay), errors.Is(err, context.DeadlineExceeded):
	default:
		return sandbox.Result{}, err
	}
	res := sandbox.Result{TimedOut: within.Err() != nil}
	if w := cmd.ProcessState.Sys().(syscall.WaitStatus); w.Signaled() {
		res.Signal, res.Exit = "SIG"+strings.ToUpper(w.Signal().String()), 128+int(w.Signal())
	} else {
		res.Exit = w.ExitStatus()
	}
	return res, nil
}

// shells are a bench in each kind of shell that this machine has.
func shells(t *testing.T, e tools.Env, test func(t *testing.T, b *bench)) {
	t.Run("local", func(t *testing.T) {
		t.Parallel()
		l := newLocalShell(t)
		e := e
		e.Shell = l
		test(t, newBenchIn(t, l.tree, e, []string{"bash"}))
	})
	for _, tier := range []sandbox.Tier{sandbox.TierNamespaces, sandbox.TierLandlock} {
		t.Run(tier.String(), func(t *testing.T) {
			t.Parallel()
			box, tree := openSandbox(t, tier)
			e := e
			e.Shell = box
			test(t, newBenchIn(t, tree, e, []string{"bash"}))
		})
	}
}

// openSandbox starts the real sandbox in directories of its own; it skips where the machine cannot.
func openSandbox(t testing.TB, tier sandbox.Tier) (*sandbox.Sandbox, string) {
	t.Helper()
	base := t.TempDir()
	must(t, os.Chmod(filepath.Dir(base), 0o755))
	c := sandbox.Config{Tier: tier, Mount: mount, Tree: filepath.Join(base, "tree"), Home: filepath.Join(base, "home"),
		Tmp: filepath.Join(base, "tmp"), Scratch: filepath.Join(base, "scratch")}
	for _, d := range []string{c.Tree, c.Home, c.Tmp, c.Scratch} {
		must(t, os.Mkdir(d, 0o755))
	}
	if os.Getuid() == 0 {
		must(t, os.Chown(c.Tree, sandbox.DefaultUID, sandbox.DefaultUID))
	}
	box, err := sandbox.Open(context.Background(), c)
	var lacks *sandbox.Unavailable
	if errors.As(err, &lacks) {
		t.Skipf("this machine has no %v: %v", tier, err)
	}
	must(t, err)
	t.Cleanup(func() {
		err := box.Close()
		calls, readErr := os.ReadDir(c.Scratch)
		err = errors.Join(err, readErr)
		for _, call := range calls { // an ordinary user cannot remove them otherwise
			err = errors.Join(err, box.Discard(call.Name()))
		}
		if err != nil {
			t.Error(err)
		}
	})
	return box, c.Tree
}

// bash runs a script in the bench's session.
func (b *bench) bash(script string) tools.Outcome {
	b.Helper()
	out := b.do("bash", args{"command": script})
	b.session = out.Session
	return out
}

// says runs a script that must end well and write exactly this.
func (b *bench) says(want, script string) {
	b.Helper()
	out := b.bash(script)
	if out.Status != tools.StatusOK || !strings.HasPrefix(strings.TrimSpace(out.Text), strings.TrimSpace(want)) {
		b.Errorf("%s\nis %s: %s\nwant %s", script, out.Status, out.Text, want)
	}
}

func TestBash(t *testing.T) {
	t.Parallel()
	shells(t, tools.Env{Vars: []string{"GIVEN=from the runner", "TOKEN=secret"}}, func(t *testing.T, b *bench) {
		b.says("a\nb\nc", `echo a; echo b >&2; echo c`)
		b.says(mount, `pwd | sed "s#^$PWD\$#`+mount+`#"`)
		b.says("from the runner dumb", `echo $GIVEN $TERM`)
		b.says("[no output]", `true`)
		b.says("0", `wc -c`) // nothing to read
		b.says("one two", "cat <<'X'\none two\nX")

		out := b.bash(`echo out; exit 3`)
		if out.Status != tools.StatusError || out.Exit != 3 {
			t.Errorf("exit 3 is %+v", out)
		}
		contains(t, out.Text, "out\n[exit status 3]")
		out = b.bash("echo first\nif then")
		if out.Status != tools.StatusError {
			t.Errorf("a syntax error is %+v", out)
		}
		contains(t, out.Text, "line 2: syntax error")
		contains(t, b.bash("true\nnot-a-program").Text, "line 2: not-a-program: command not found", "exit status 127")
		if out := b.bash(`kill -9 $$`); out.Exit != 137 || out.Status != tools.StatusError {
			t.Errorf("kill -9 is %+v", out)
		}
	})
}

// TestBashSession checks that the working directory and exported variables survive whatever a command does.
func TestBashSession(t *testing.T) {
	t.Parallel()
	shells(t, tools.Env{Vars: []string{"GIVEN=1", "TOKEN=secret"}}, func(t *testing.T, b *bench) {
		for _, how := range []string{
			`%s`, `%s; exit 3`, `set -e; %s; false; echo not reached`, `set -u; %s; echo $none`, `trap 'echo bye' EXIT; %s; exit 4`,
			`trap 'exit 5' EXIT; %s`, `trap "%s" EXIT`, `set -x; %s`, `exec 3>&1 1>&- 2>&-; %s`, `set -e; trap 'false' ERR; %s; false`,
			`{ %s; } 2>/dev/null`, `f() { %s; exit 6; }; f`, `%s; sleep 100 & exit 0`, `IFS=/; set -f; %s`, `printf() { :; }; %s`,
			`set -o posix; %s`, `set -euo pipefail; shopt -s nullglob; %s; cd / && false`, `trap '' TERM INT HUP; %s`, `(trap 'echo sub' EXIT); %s`,
			`export BASH_ENV=/nonexistent SHELLOPTS POSIXLY_CORRECT=1 FUNCNEST=1; %s`, `trap - EXIT; %s`,
		} {
			b.session = nil
			name := "how_" + strings.ReplaceAll(how, "%s", "…")
			script := strings.ReplaceAll(how, "%s", `export MARK=kept; cd /usr`)
			out := b.bash(script)
			dir := "/usr"
			if strings.Contains(how, "cd / &&") {
				dir = "/"
			}
			check := b.bash(`echo "$MARK $PWD"`)
			if want := "kept " + dir; !strings.HasPrefix(check.Text, want+"\n") && check.Text != want {
				t.Errorf("%s: next call says %q, want %q; it said %q", name, check.Text, want, out.Text)
			}
			if bytes.Contains(b.session, []byte("secret")) {
				t.Errorf("%s: the session holds a variable of the runner: %q", name, b.session)
			}
		}
	})
}

func TestBashExitStatus(t *testing.T) {
	t.Parallel()
	shells(t, tools.Env{}, func(t *testing.T, b *bench) {
		for script, want := range map[string]int{
			`exit 3`: 3, `false`: 1, `set -e; false`: 1, `trap 'exit 5' EXIT; exit 4`: 5, `trap 'true' EXIT; exit 4`: 4,
			`trap 'echo $?' EXIT; (exit 9)`: 9, `set -u; echo $none`: 127, `exec bash -c 'exit 7'`: 7, `kill -TERM $$`: 143,
			`trap 'exit 8' TERM; kill -TERM $$; sleep 1`: 8, `trap EXIT; exit 2`: 2, `trap 'exit 6' 0 INT; true`: 6,
		} {
			out := b.bash(script)
			if script == `set -u; echo $none` && out.Exit == 1 {
				continue // bash 5.1 and older
			}
			if out.Exit != want {
				t.Errorf("%s: exit %d, want %d: %s", script, out.Exit, want, out.Text)
			}
		}
	})
}

func TestBashVariables(t *testing.T) {
	t.Parallel()
	shells(t, tools.Env{Vars: []string{"GIVEN=1"}}, func(t *testing.T, b *bench) {
		b.says("", `export LINES2=$'a\nb\n' EMPTY= QUOTE=$'\'"$(touch /tmp/pwned)`+"`id`"+`\\' BYTES=$'\xff\xfe' CTRL=$'\x01\x7f'`)
		b.says(`$'a\nb\n'|''|\'\"\$\(touch\ /tmp/pwned\)\`+"`id\\`"+`\\|$'\377\376'|$'\001\177'`,
			`printf '%q|%q|%q|%q|%q' "$LINES2" "$EMPTY" "$QUOTE" "$BYTES" "$CTRL"`)
		b.says("no", `unset GIVEN LINES2; local=1; plain=2; test -e /tmp/pwned && echo yes || echo no`)
		b.says("unset unset unset", `echo ${GIVEN-unset} ${LINES2-unset} ${plain-unset}`)
		b.says("", `greet() { echo "hello $1"; }; export -f greet; export GIVEN=2; readonly FIXED=1; export FIXED`)
		b.says("hello you 2 1 changed", `FIXED=changed; echo $(greet you) $GIVEN 1 $FIXED`)
		b.says("hello there", `bash -c 'greet there'`)
		b.says("ok", `env -i 'ODD-NAME=odd' 'x;y=z' bash -c true; echo ok`)
		b.says("", `trap() { echo hijacked; }; exec() { echo hijacked; }; export -f trap exec`)
		b.says("fine", `echo fine`)
		b.says("", `export TACHO_PARTS=0 TACHO_PRELUDE=false TACHO_NONCE=x __tacho_x=1`)
		b.says("none none", `echo ${TACHO_PARTS-none} ${__tacho_x-none}`)
	})
}

func TestBashDirectory(t *testing.T) {
	t.Parallel()
	l := newLocalShell(t)
	b := newBenchIn(t, l.tree, tools.Env{Shell: l}, []string{"bash"})
	contains(t, b.bash("mkdir -p 'sub dir'/x && cd 'sub dir'/x").Text, "[working directory: "+mount+"/sub dir/x]")
	if !bytes.Contains(b.session, []byte(mount+"/sub dir/x")) {
		t.Errorf("the session names the directory as the host does: %q", b.session)
	}
	b.says(l.tree+"/sub dir", `cd ..; pwd`)
	b.says(l.tree+"/sub dir/x", `cd - `)
	b.says("", `cd ..; rm -r x`)
	b.says("", `mkdir y; cd y; mkdir $'new\nline'; cd new*`)
	b.says(`'new'$'\n''line'`, `printf '%q' "${PWD##*/}" | sed "s/^\\$'new.nline'/'new'\$'\\\\n''line'/"`)
	b.says("", `cd ../..; rm -r y`)
	b.says("", `mkdir gone; cd gone`)
	must(t, os.RemoveAll(filepath.Join(l.tree, "sub dir")))
	contains(t, b.bash(`pwd`).Text, "is gone; this runs in", l.tree)
	b.says(l.tree, `PWD=/nonsense; pwd -P`)
	b.says(l.tree, `pwd`)
}

func TestBashReset(t *testing.T) {
	t.Parallel()
	l := newLocalShell(t)
	b := newBenchIn(t, l.tree, tools.Env{Shell: brokenStart{l}}, []string{"bash"})
	b.session = []byte("tacho-session-1\x00/usr\x00LD_PRELOAD=/broken.so\x00")
	out := b.bash(`echo hi`)
	contains(t, out.Text, "could not start", "set back")
	if want := "tacho-session-1\x00/usr\x00"; string(out.Session) != want {
		t.Errorf("session is %q, want %q", out.Session, want)
	}
	b.session = []byte("nonsense")
	p := b.plan("bash", args{"command": "true"})
	if _, err := b.Run(t.Context(), p, tools.Input{ID: "x", Session: b.session}); err == nil {
		t.Error("a broken session was taken")
	}
}

// brokenStart is a shell in which bash ends before its first act.
type brokenStart struct{ *localShell }

func (brokenStart) Run(_ context.Context, c sandbox.Command) (sandbox.Result, error) {
	if _, err := c.Stderr.Write([]byte("cannot be preloaded")); err != nil {
		return sandbox.Result{}, err
	}
	return sandbox.Result{Exit: 127}, nil
}

func TestBashTimeout(t *testing.T) {
	t.Parallel()
	shells(t, tools.Env{}, func(t *testing.T, b *bench) {
		out := b.do("bash", args{"command": "echo before; export A=1; sleep 100", "timeout_seconds": 1})
		if out.Status != tools.StatusTimeout {
			t.Errorf("it is %+v", out)
		}
		contains(t, out.Text, "before\n", "time limit of 1s")
	})
}

func TestBashStopped(t *testing.T) {
	t.Parallel()
	shells(t, tools.Env{}, func(t *testing.T, b *bench) {
		b.bash("export A=1")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		p := b.plan("bash", args{"command": "echo ready; export A=2; sleep 100"})
		out := b.runPlan(ctx, p, func(stream string, chunk []byte) {
			if stream == "output" && bytes.Contains(chunk, []byte("ready")) {
				cancel()
			}
		})
		if out.Status != tools.StatusKilled || !bytes.Equal(out.Session, b.session) {
			t.Errorf("it is %+v", out)
		}
		contains(t, out.Text, "ready", "stopped")
	})
}

func TestBashLargeOutput(t *testing.T) {
	t.Parallel()
	output := func(context.Context, string) ([]byte, error) { return nil, os.ErrNotExist }
	shells(t, tools.Env{Output: output, Limits: tools.Limits{Keep: 4 << 20}}, func(t *testing.T, b *bench) {
		seq := b.bash("seq 1 100000")
		if len(seq.Output) != 588895 || len(seq.Text) > 33<<10 {
			t.Errorf("%d bytes of output, %d of text", len(seq.Output), len(seq.Text))
		}
		contains(t, seq.Text, "1\n2\n3\n", "\n99999\n100000", "not shown; read_output with call=")

		huge := b.bash("head -c 100000000 /dev/zero | tr '\\0' x; echo; echo the end")
		if n := len(huge.Output); n < 4<<20 || n > 4<<20+200<<10 {
			t.Errorf("%d bytes kept of 100 MB", n)
		}
		contains(t, huge.Text, "the end", "only the first 4,194,304 bytes of 100,000,009 bytes were kept, and the end")
		contains(t, string(huge.Output), "of output not kept]", "the end\n")
	})
}

func TestReadOutput(t *testing.T) {
	t.Parallel()
	var stored []byte
	output := func(_ context.Context, call string) ([]byte, error) {
		if call == "call-1" {
			return stored, nil
		}
		return nil, os.ErrNotExist
	}
	l := newLocalShell(t)
	b := newBenchIn(t, l.tree, tools.Env{Shell: l, Output: output}, []string{"bash"})
	out := b.bash(`for i in $(seq 1 20000); do printf 'line \e[1m%d\e[0m\n' $i; done`)
	stored = out.Output
	contains(t, out.Text, "line 1\n", "line 20000\n", `call="call-1"`)
	_, rest, _ := strings.Cut(out.Text, "offset=")
	first, _, _ := strings.Cut(rest, " ")
	text := b.ok("read_output", args{"call": "call-1", "offset": json.Number(strings.ReplaceAll(first, ",", "")), "limit": 2})
	contains(t, text, first+"\tline "+first+"\n", "offset=")
	contains(t, b.ok("read_output", args{"call": "call-1", "offset": -1, "line_numbers": false}), "line 20000\n")
	contains(t, b.ok("read_output", args{"call": "call-1", "byte_offset": 0}), `line \x1b[1m1`, "byte_offset=")
	contains(t, b.refused("read_output", args{"call": "call-9"}), "no stored output")
}

func TestBashBinaryOutput(t *testing.T) {
	t.Parallel()
	shells(t, tools.Env{}, func(t *testing.T, b *bench) {
		out := b.bash(`printf 'a\x00\xff\xfeb\n\x1b[31mred\x1b[0m \x1b]0;title\x07ok\rover\n10%%\r100%%\r\n'`)
		if want := "a\x00\xff\xfeb\n\x1b[31mred\x1b[0m \x1b]0;title\x07ok\rover\n10%\r100%\r\n"; string(out.Output) != want {
			t.Errorf("output is %q", out.Output)
		}
		if want := "a\\x00\\xff\\xfeb\nover\n100%\n"; out.Text != want {
			t.Errorf("text is %q, want %q", out.Text, want)
		}
	})
}

func TestBashLargeCommand(t *testing.T) {
	t.Parallel()
	shells(t, tools.Env{}, func(t *testing.T, b *bench) {
		data := strings.Repeat("0123456789abcde\n", 40<<10)
		b.says("655360", "wc -c <<'END'\n"+data+"END\n")
		contains(t, b.refused("bash", args{"command": strings.Repeat("x", 1<<20+1)}), "at most")
		contains(t, b.refused("bash", args{"command": " \n"}), "blank")
		contains(t, b.refused("bash", args{"command": "a\x00b"}), "NUL")
		contains(t, b.refused("bash", args{"command": "a", "timeout_seconds": 100000}), "from 1 to 1800")
	})
}

func TestBashLargeVariables(t *testing.T) {
	t.Parallel()
	l := newLocalShell(t)
	b := newBenchIn(t, l.tree, tools.Env{Shell: l, Limits: tools.Limits{Session: 10_000}}, []string{"bash"})
	out := b.bash(`export BIG=$(head -c 20000 /dev/zero | tr '\0' x) SMALL=1`)
	contains(t, out.Text, "too large to be kept for the next call: BIG")
	b.says("1 unset", `echo $SMALL ${BIG-unset}`)
}

func TestBashBackground(t *testing.T) {
	t.Parallel()
	shells(t, tools.Env{}, func(t *testing.T, b *bench) {
		out := b.bash(`sleep 1000 & (setsid sleep 1000 &) ; echo started`)
		if out.Status != tools.StatusOK {
			t.Errorf("it is %+v", out)
		}
		contains(t, out.Text, "started")
	})
}

func TestBashDelta(t *testing.T) {
	t.Parallel()
	box, tree := openSandbox(t, sandbox.TierNamespaces)
	b := newBenchIn(t, tree, tools.Env{Shell: box}, []string{"bash"})
	p := b.plan("bash", args{"command": "echo hi > made"})
	if p.Effect != tools.EffectWrite || p.Scope != tools.ScopeWorkspace || p.Targets.Command != "echo hi > made" {
		t.Errorf("plan is %+v", p)
	}
	out := b.runPlan(t.Context(), p, nil)
	if out.Upper == "" || out.Scan {
		t.Fatalf("no delta: %+v", out)
	}
	raw, err := os.ReadFile(filepath.Join(out.Upper, "made"))
	if err != nil || string(raw) != "hi\n" || !isNotExist(filepath.Join(tree, "made")) {
		t.Errorf("delta holds %q, %v", raw, err)
	}
	l := newLocalShell(t)
	off := newBenchIn(t, l.tree, tools.Env{Shell: l}, []string{"bash"})
	if p := off.plan("bash", args{"command": "true"}); p.Scope != tools.ScopeExternal {
		t.Errorf("without a sandbox the scope is %s", p.Scope)
	}
	if out := off.bash("true"); !out.Scan || out.Upper != "" {
		t.Errorf("without an overlay: %+v", out)
	}
}
