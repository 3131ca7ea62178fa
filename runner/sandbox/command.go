package sandbox

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"
)

// Command is one call.
type Command struct {
	// ID names the call: unique in the run, 1 to 128 of A–Z a–z 0–9 . _ -, not starting with a dot.
	ID   string
	Args []string // the program, found along PATH as a shell would, and its arguments
	Dir  string   // absolute, Mount or below it; empty means Mount
	Env  []string // KEY=value; HOME, PATH, TMPDIR and LANG are added where missing (and what git needs to do without
	// /etc/gitconfig, which may name credentials). Nothing is inherited

	// Stdin is read until the process ends or the reader does. Run does not wait for a Read that is under way when the
	// process ends, so the reader must be one that can be abandoned. Nil is an empty input.
	Stdin io.Reader
	// Stdout and Stderr receive what the process writes, as it writes it, each from a goroutine that Run waits for. An
	// error of the writer discards the rest and does not stop the process. Nil discards. The process always writes to a
	// pipe, so that it never holds a descriptor of the host's.
	Stdout, Stderr io.Writer

	// Overlay lets the call write the tree: in tier 1 to an overlay of its own (Result.Upper), else in place. Without it
	// the tree is read-only for this call (but not with Off, which confines nothing).
	Overlay bool

	// Timeout, when positive, ends the call: SIGTERM to the command's process group, then after Grace SIGKILL to all of it.
	Timeout time.Duration
	// Grace is what a timed-out call has for its end. Zero kills at once.
	Grace time.Duration
}

// Result is how a call ended.
type Result struct {
	Exit     int    // exit status; 128 + the signal's number if a signal ended the command
	Signal   string // name of that signal, such as "SIGKILL"; empty otherwise
	TimedOut bool   // Timeout passed before the command ended
	Killed   bool   // SIGKILL was sent to all of it: Grace passed, or the context was cancelled

	// Upper is the host directory that holds what the call changed, in overlayfs's format with user.overlay.* attributes:
	// a character device 0:0 is a deletion, user.overlay.opaque=y on a directory hides what was below. Tier 1 with Overlay
	// only; else empty, and the caller scans the tree. It belongs to the caller until Discard. The overlay is volatile, so
	// nothing in it is durable before the caller syncs it.
	Upper string

	Duration        time.Duration // from the fork of the call to the end of its last process
	UserCPU, SysCPU time.Duration // of all processes that were waited for
	MaxRSS          int64         // bytes, of the largest process; never below the zygote's own few MiB
}

// ErrClosed is returned by Run after Close, or after the zygote was lost. The caller opens a new Sandbox.
var ErrClosed = errors.New("sandbox is closed")

// StartError says that a call's command was not started: the program is not there, may not be executed, or the call could
// not be set up. Nothing of it ran. Err is the kernel's answer and matches fs.ErrNotExist and fs.ErrPermission.
type StartError struct {
	Program string
	Step    string // what was being done
	Err     error
}

func (e *StartError) Error() string {
	return fmt.Sprintf("start %s: %s: %v", e.Program, e.Step, e.Err)
}

func (e *StartError) Unwrap() error { return e.Err }

func (c Command) check(mount string) error {
	if err := checkID(c.ID); err != nil {
		return err
	}
	if len(c.Args) == 0 || c.Args[0] == "" {
		return fmt.Errorf("check call %s: no program named", c.ID)
	}
	for _, s := range append(append([]string{c.Dir}, c.Args...), c.Env...) {
		if strings.IndexByte(s, 0) >= 0 {
			return fmt.Errorf("check call %s: an argument, variable or path holds a NUL byte", c.ID)
		}
	}
	for _, e := range c.Env {
		if strings.IndexByte(e, '=') < 1 {
			return fmt.Errorf("check call %s: %q is not KEY=value", c.ID, e)
		}
	}
	if c.Dir != "" && (filepath.Clean(c.Dir) != c.Dir || !within(c.Dir, mount)) {
		return fmt.Errorf("check call %s: working directory %q is not %s or below it", c.ID, c.Dir, mount)
	}
	return nil
}

// checkID keeps an identifier a single plain path component, also inside overlayfs's option string.
func checkID(id string) error {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-'
	}
	if id == "" || len(id) > 128 || id[0] == '.' || strings.IndexFunc(id, func(r rune) bool { return !plain(r) }) >= 0 {
		return fmt.Errorf("check call id %q: want 1 to 128 of A-Z a-z 0-9 . _ -, not starting with a dot", id)
	}
	return nil
}

// defaultPath is where programs are sought when Env names no PATH.
const defaultPath = "/usr/local/go/bin:/usr/local/bin:/usr/local/sbin:/usr/bin:/bin:/usr/sbin:/sbin"

// environment adds what a process needs and c.Env lacks.
func (c Command) environment(home, tmp string) []string {
	env := append([]string(nil), c.Env...)
	for _, d := range []string{"PATH=" + defaultPath, "HOME=" + home, "TMPDIR=" + tmp, "LANG=C.UTF-8", "GIT_CONFIG_NOSYSTEM=1"} {
		if _, ok := lookup(env, d[:strings.IndexByte(d, '=')]); !ok {
			env = append(env, d)
		}
	}
	return env
}

// lookup finds key's value; the last one wins, as in execve's readers.
func lookup(env []string, key string) (string, bool) {
	for i := len(env) - 1; i >= 0; i-- {
		if k, v, _ := strings.Cut(env[i], "="); k == key {
			return v, true
		}
	}
	return "", false
}

// candidates are the paths that execve is tried on, in order: the name itself if it holds a slash, else each absolute
// directory of PATH. A relative one is left out, since the working directory belongs to the tool.
func candidates(name string, env []string) []string {
	if strings.Contains(name, "/") {
		return []string{name}
	}
	path, _ := lookup(env, "PATH")
	var out []string
	for _, dir := range filepath.SplitList(path) {
		if filepath.IsAbs(dir) {
			out = append(out, filepath.Join(dir, name))
		}
	}
	return out
}

// byteStrings and plainStrings carry strings that need not be UTF-8 through JSON.
func byteStrings(ss []string) [][]byte {
	out := make([][]byte, len(ss))
	for i, s := range ss {
		out[i] = []byte(s)
	}
	return out
}

func plainStrings(bs [][]byte) []string {
	out := make([]string, len(bs))
	for i, b := range bs {
		out[i] = string(b)
	}
	return out
}
