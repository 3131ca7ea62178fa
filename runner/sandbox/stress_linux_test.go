//go:build amd64 || arm64

package sandbox_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"tachograph/runner/sandbox"
)

// TestManyCallsAtOnce forks from a zygote that collects garbage at every allocation, from many goroutines at once, and
// checks that each call got its own arguments, input, overlay and outcome.
func TestManyCallsAtOnce(t *testing.T) {
	t.Setenv("GOGC", "1")
	for _, tier := range []sandbox.Tier{sandbox.TierNamespaces, sandbox.TierLandlock} {
		t.Run(tier.String(), func(t *testing.T) {
			c := newConfig(t)
			c.Tier = tier
			writeTree(t, c, map[string]string{"shared": "s"})
			r := open(t, c)
			const workers, each = 16, 12
			var wg sync.WaitGroup
			for w := range workers {
				wg.Go(func() {
					for i := range each {
						stressCall(t, r, fmt.Sprintf("w%d-%d", w, i), (w*each+i)%100)
					}
				})
			}
			wg.Wait()
		})
	}
}

func stressCall(t *testing.T, r *run, id string, exit int) {
	var out bytes.Buffer
	padding := strings.Repeat("p", 4000)
	res, err := r.Run(t.Context(), sandbox.Command{
		ID: id, Args: []string{"bash", "-c", `read -r line; echo "$line" > $1; echo "$1 $line $(cat $1 shared)"; exit $2`, padding, id, fmt.Sprint(exit)},
		Stdin: strings.NewReader("in-" + id + "\n"), Stdout: &out, Overlay: true,
	})
	if want := fmt.Sprintf("%s in-%s in-%s\ns\n", id, id, id); err != nil || res.Exit != exit || out.String() != want {
		t.Errorf("call %s: exit %d, %v, output %q, want %q", id, res.Exit, err, out.String(), want)
		return
	}
	if res.Upper == "" {
		return
	}
	if d := names(t, res.Upper); len(d) != 1 || d[0] != id {
		t.Errorf("call %s: its upper holds %v", id, d)
	}
	if err := r.Discard(id); err != nil {
		t.Error(err)
	}
}

// TestInitCannotBeKilled: the first process of a call, and in tier 2 its zygote, are out of a command's reach.
func TestInitCannotBeKilled(t *testing.T) {
	t.Parallel()
	eachTier(t, func(t *testing.T, c sandbox.Config) {
		r := open(t, c)
		out, res := r.bash("kill -9 $PPID; kill -STOP $PPID; kill -TERM $PPID & sleep 0; read -r z < <(awk '/PPid/{print $2}' /proc/$PPID/status 2>/dev/null); [ -n \"$z\" ] && [ $z != 0 ] && kill -9 $z; echo alive; exit 6")
		if !strings.Contains(out, "alive") && res.Signal != "SIGTERM" { // TERM to the init is handed to the command itself
			t.Errorf("got %q, %+v", out, res)
		}
		if out, _ := r.bash("echo next"); out != "next" {
			t.Errorf("the next call said %q", out)
		}
	})
}

func TestLimits(t *testing.T) {
	t.Parallel()
	eachTier(t, func(t *testing.T, c sandbox.Config) {
		c.Limits = sandbox.Limits{Processes: 80, OpenFiles: 32, FileSize: 1 << 20, CPUSeconds: 1, AddressSpace: 256 << 20}
		r := open(t, c)
		for _, tc := range []struct{ name, script, want string }{
			{"fork bomb", "for i in $(seq 400); do sleep 3600 & done 2>&1 | grep -m1 -o 'retry\\|unavailable'", "retry"},
			{"file size", "trap '' XFSZ; head -c 2M /dev/zero > big 2>/dev/null; stat -c %s big", "1048576"},
			{"memory", "x=$(head -c 300M /dev/zero | tr '\\0' a) 2>&1 && echo ${#x}", ""},
			{"open files", "n=0; while eval \"exec {fd}</dev/null\" 2>/dev/null; do n=$((n+1)); [ $n -gt 100 ] && break; done; [ $n -lt 40 ] && echo stopped", "stopped"},
			{"processor time", "while :; do :; done", ""},
		} {
			out, res := r.bash(tc.script)
			switch tc.name {
			case "memory":
				if strings.Contains(out, "314572800") {
					t.Errorf("%s: not limited: %.200q", tc.name, out)
				}
			case "processor time":
				if res.Signal != "SIGKILL" && res.Signal != "SIGXCPU" {
					t.Errorf("%s: %+v", tc.name, res)
				}
			default:
				if !strings.Contains(out, tc.want) {
					t.Errorf("%s: got %.300q, want %q in it", tc.name, out, tc.want)
				}
			}
		}
	})
}

// TestCallsAreApart: what a call leaves in shared memory or in the process table, another does not see.
func TestCallsAreApart(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	c.Tier = sandbox.TierNamespaces
	r := open(t, c)
	r.bash("echo x > /dev/shm/left; echo y > /tmp/kept")
	if out, _ := r.bash("ls /dev/shm; cat /tmp/kept; ls -d /proc/[0-9]* | wc -l; ls -A /.tacho 2>&1 | wc -l; hostname; cat /etc/passwd | wc -l"); out != "y\n3\n0\nsandbox\n1" && out != "y\n2\n0\nsandbox\n1" {
		t.Errorf("got %q", out)
	}
	if _, err := os.Stat(filepath.Join(c.Tmp, "kept")); err != nil {
		t.Error(err)
	}
}
