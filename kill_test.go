package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tachograph/schemas/journal"
)

// killSpec is a run whose result shows it if any effect was lost or happened twice: every call
// appends to a file, by both kinds of tools.
const killSpec = `
model: script/model.yaml
prompt: Count.
directory: work
snapshot_interval: 1
check: test "$(wc -l < log.txt)" = %d
`

// looseSpec is the same run where tools are killed too: then its files are not those of an undisturbed one.
const looseSpec = `
model: script/model.yaml
prompt: Count.
directory: work
snapshot_interval: 1
on_in_doubt: retry
`

const killModel = `
turns:
  - repeat: %d
    turns:
      - say: Round ${n}.
        calls:
          - {tool: bash, intent: Append., args: {command: "echo bash ${n} >> log.txt; mkdir -p d${n}; mv d${n} e${n}; date +%%N > /tmp/x"}}
          - {tool: read_file, intent: Look., args: {path: log.txt}}
          - {tool: write_file, intent: Note., args: {path: "note-${n}.txt", content: "note ${n}\n"}}
  - say: Done.
`

// killed is a run that this test starts, kills and takes up again.
type killed struct {
	t    *testing.T
	dir  string
	env  []string // of its processes, besides the test's own
	acks [][]byte // entries that were acknowledged: printed after they were durable
}

func newKilled(t *testing.T, rounds int) *killed {
	t.Helper()
	// t.TempDir lies below directories that tools, under a uid of their own, may not enter.
	dir, err := os.MkdirTemp("", "tacho-kill-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeAll(dir) })
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(filepath.Join(dir, "work"), 0o755)); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"spec.yaml": fmt.Sprintf(killSpec, rounds), "loose.yaml": looseSpec, "model.yaml": fmt.Sprintf(killModel, rounds), "work/log.txt": "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return &killed{t: t, dir: dir}
}

func removeAll(dir string) {
	filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			os.Chmod(path, 0o700)
		}
		return nil
	})
	os.RemoveAll(dir)
}

func (k *killed) command(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Dir = k.dir
	cmd.Env = append(os.Environ(), "TACHO_DATA="+filepath.Join(k.dir, "data"))
	cmd.Env = append(cmd.Env, k.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// until starts or resumes the run and kills it as soon as when says so of an entry that it
// acknowledged, or after so much time. It returns whether the run ended before that.
func (k *killed) until(when func(journal.Entry) bool, after time.Duration) (ended bool) {
	k.t.Helper()
	args := []string{"run", "spec.yaml", "--json"}
	if len(k.acks) > 0 {
		args = []string{"resume", "last", "--json"}
	}
	cmd := k.command(args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		k.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	if after > 0 {
		timer := time.AfterFunc(after, func() { cmd.Process.Kill() })
		defer timer.Stop()
	}
	seen := int64(0)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, journal.MaxEntry)
	for lines.Scan() {
		e, err := journal.Decode(lines.Bytes())
		if err != nil {
			continue // the outcome, after the last entry
		}
		k.acknowledge(e, bytes.Clone(lines.Bytes()))
		seen++
		if when != nil && when(e) {
			cmd.Process.Kill()
		}
	}
	err = cmd.Wait()
	var ee *exec.ExitError
	if errors.As(err, &ee) && !ee.Exited() {
		return k.endedWell()
	}
	if err != nil && strings.Contains(stderr.String(), "it has ended") {
		return true // the end was durable, and not yet printed
	}
	if err != nil {
		k.t.Fatalf("tacho %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return true
}

// endedWell says whether the newest entry that was acknowledged ends the run.
func (k *killed) endedWell() bool {
	if len(k.acks) == 0 {
		return false
	}
	e, err := journal.Decode(k.acks[len(k.acks)-1])
	return err == nil && e.Kind == journal.KindRunEnded
}

// acknowledge notes an entry, or compares it with what was acknowledged under its seq before.
func (k *killed) acknowledge(e journal.Entry, line []byte) {
	k.t.Helper()
	switch {
	case e.Seq < int64(len(k.acks)):
		if !bytes.Equal(k.acks[e.Seq], line) {
			k.t.Fatalf("entry %d was acknowledged as\n%s\nand is now\n%s", e.Seq, k.acks[e.Seq], line)
		}
	case e.Seq == int64(len(k.acks)):
		k.acks = append(k.acks, line)
	default:
		k.t.Fatalf("entry %d follows entry %d", e.Seq, len(k.acks)-1)
	}
}

// result proves the run and returns the root of its files.
func (k *killed) result() journal.Object {
	k.t.Helper()
	if out, err := k.command("verify", "last").CombinedOutput(); err != nil {
		k.t.Fatalf("verify: %v\n%s", err, out)
	}
	out, err := k.command("replay", "last", "--verify", "--json").Output()
	if err != nil {
		k.t.Fatalf("replay --verify: %v\n%s", err, out)
	}
	var proof struct{ Root journal.Object }
	if err := json.Unmarshal(out, &proof); err != nil {
		k.t.Fatal(err)
	}
	return proof.Root
}

// TestKillAtEachKind kills the process when an entry of each kind has just become durable.
func TestKillAtEachKind(t *testing.T) {
	t.Parallel()
	undisturbed := newKilled(t, 3)
	kinds := map[journal.Kind]int{}
	if !undisturbed.until(func(e journal.Entry) bool { kinds[e.Kind]++; return false }, 0) {
		t.Fatal("the undisturbed run did not end")
	}
	want := undisturbed.result()
	for kind, n := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			for _, nth := range []int{1, (n + 1) / 2} {
				k, seen := newKilled(t, 3), 0
				ended := k.until(func(e journal.Entry) bool {
					if e.Kind == kind {
						seen++
					}
					return seen == nth
				}, 0)
				for !ended {
					ended = k.until(nil, 0)
				}
				if got := k.result(); got != want {
					t.Errorf("killed at %s number %d: files %s, undisturbed %s", kind, nth, got, want)
				}
			}
		})
	}
}

// TestKillAtRandom kills the process 200 times at random moments, over runs that go on after each.
func TestKillAtRandom(t *testing.T) {
	t.Parallel()
	kills := 200
	if testing.Short() {
		kills = 20
	}
	const rounds, lanes = 25, 4 // side by side: a lane waits for moments more than it works
	undisturbed := newKilled(t, rounds)
	undisturbed.until(nil, 0)
	want := undisturbed.result()
	for lane := range lanes {
		t.Run(fmt.Sprint("lane ", lane), func(t *testing.T) {
			t.Parallel()
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			random := rand.New(rand.NewPCG(seed, 1))
			for left := kills / lanes; left > 0; {
				left = killedAtRandom(t, rounds, left, random, want)
			}
		})
	}
}

// killedAtRandom kills a run until it ends, or as often as it may, and returns how often is left; its files are then as wanted.
func killedAtRandom(t *testing.T, rounds, kills int, random *rand.Rand, want journal.Object) int {
	t.Helper()
	k := newKilled(t, rounds)
	for ended := false; !ended; {
		// Some kills hit the start of the process, some its recovery, most its work.
		after := 20*time.Millisecond + time.Duration(random.Int64N(int64(600*time.Millisecond)))
		if kills <= 0 {
			after = 0
		}
		if ended = k.until(nil, after); !ended {
			kills--
		}
	}
	if got := k.result(); got != want {
		t.Fatalf("files %s, undisturbed %s", got, want)
	}
	removeAll(k.dir)
	return kills
}
