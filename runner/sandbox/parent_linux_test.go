//go:build amd64 || arm64

package sandbox_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"tachograph/runner/sandbox"
)

// A parent is this test binary as a process of its own, which a test can kill, or take a kernel feature from, without
// losing itself. Its orders come in the environment, its report is JSON on standard output.
const envParent = "PARENT"

// orders is what a parent is told.
type orders struct {
	Config sandbox.Config
	Fifo   string // hold: where the command says that it is up
	Script string // look: what to run, in bash; "": write a file and read it

	Call  uintptr // rob: the system call that answers Errno from now on
	Arg   uint32  // rob: only where argument 0 has one of these bits; 0: always
	Errno syscall.Errno
}

// findings is what a robbed parent saw.
type findings struct {
	Tier     sandbox.Tier
	Refused  []sandbox.Refusal
	Error    string
	Output   string // of a command
	Children string // processes of this one that are left
}

func runParent(what string) {
	var o orders
	if err := json.Unmarshal([]byte(os.Getenv(envParent)), &o); err != nil {
		leave(1, err)
	}
	switch what {
	case "hold":
		hold(o)
	case "rob":
		if err := rob(o); err != nil {
			leave(1, err)
		}
		look(o)
	case "look":
		look(o)
	case "forbid namespaces":
		if err := os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0); err != nil {
			leave(1, err)
		}
		look(o)
	}
	leave(1, "unknown order")
}

// hold runs a call that does not end.
func hold(o orders) {
	s, err := sandbox.Open(context.Background(), o.Config)
	if err != nil {
		leave(1, err)
	}
	script := fmt.Sprintf("exec 9>%s; echo up >&9; setsid bash -c 'sleep 3600 & sleep 3600' & wait", o.Fifo)
	_, err = s.Run(context.Background(), sandbox.Command{ID: "a", Args: []string{"bash", "-c", script}})
	leave(1, fmt.Sprint("the call ended: ", err))
}

// rob installs a filter under which a system call fails, for this process and all that it starts.
func rob(o orders) error {
	code := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(o.Call), Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 16},
		{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: o.Arg, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(o.Errno)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	if o.Arg == 0 {
		code[3] = unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JA, K: 0}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	_, _, e := syscall.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	if e != 0 {
		return e
	}
	return nil
}

// look opens a sandbox, runs something if that worked, and reports.
func look(o orders) {
	var f findings
	s, err := sandbox.Open(context.Background(), o.Config)
	var u *sandbox.Unavailable
	switch {
	case err == nil:
		f.Tier = s.Tier()
		var out lockedBuffer
		script := cmp.Or(o.Script, "echo hello > f; cat f")
		if _, err := s.Run(context.Background(), sandbox.Command{ID: "a", Args: []string{"bash", "-c", script}, Stdout: &out, Stderr: &out, Overlay: true}); err != nil {
			f.Error = err.Error()
		}
		f.Output = strings.TrimSpace(out.String())
		if err := s.Close(); err != nil {
			f.Error += err.Error()
		}
	case errors.As(err, &u):
		f.Refused = u.Refused
		f.Error = err.Error()
	default:
		f.Error = err.Error()
	}
	tasks, _ := filepath.Glob("/proc/self/task/*/children")
	for _, t := range tasks {
		b, _ := os.ReadFile(t)
		f.Children += strings.TrimSpace(string(b))
	}
	b, err := json.Marshal(f)
	if err != nil {
		leave(1, err)
	}
	leave(0, string(b))
}

// parent prepares a parent process.
func parent(t *testing.T, what string, o orders) *exec.Cmd {
	t.Helper()
	o.Config.Log = nil
	b, err := json.Marshal(o)
	must(t, err)
	cmd := exec.Command("/proc/self/exe", "parent", what)
	cmd.Env = []string{envParent + "=" + string(b), "PATH=/usr/bin:/bin"}
	cmd.Stderr = t.Output()
	return cmd
}

func findingsOf(t *testing.T, cmd *exec.Cmd) findings {
	t.Helper()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var f findings
	if err := json.Unmarshal(bytes.TrimSpace(out), &f); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if f.Children != "" {
		t.Errorf("processes are left: %s", f.Children)
	}
	return f
}

// TestParentKilled kills a parent with SIGKILL and sees that everything inside dies, the last of which holds a pipe open,
// and that whoever comes next can wait for that.
func TestParentKilled(t *testing.T) {
	t.Parallel()
	eachTier(t, func(t *testing.T, c sandbox.Config) {
		fifo := filepath.Join(c.Tmp, "fifo")
		must(t, unix.Mkfifo(fifo, 0o666), os.Chmod(fifo, 0o666))
		give(t, fifo)
		inside := "/tmp/fifo"
		if c.Tier == sandbox.TierLandlock {
			inside = fifo
		}
		c.Alive = filepath.Join(t.TempDir(), "alive")
		must(t, sandbox.AwaitEnd(t.Context(), c.Alive)) // nobody was ever here
		cmd := parent(t, "hold", orders{Config: c, Fifo: inside})
		must(t, cmd.Start())
		defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
		r, err := os.OpenFile(fifo, os.O_RDONLY, 0) // waits for the writer
		must(t, err)
		defer r.Close()
		up := make([]byte, 3)
		if _, err := io.ReadFull(r, up); err != nil || string(up) != "up\n" {
			t.Fatalf("got %q, %v", up, err)
		}
		over, cancel := context.WithCancel(t.Context())
		cancel()
		if err := sandbox.AwaitEnd(over, c.Alive); !errors.Is(err, context.Canceled) {
			t.Errorf("while a call runs, waiting for the end gives %v", err)
		}
		must(t, cmd.Process.Signal(unix.SIGKILL))
		must(t, sandbox.AwaitEnd(t.Context(), c.Alive))
		if _, err := io.ReadAll(r); err != nil { // ends when nobody holds it any more
			t.Error(err)
		}
	})
}

// TestMissingFeature takes one kernel feature away at a time. What a tier lacks it names with a remedy, and Open goes on
// to the next one; nothing stays behind.
func TestMissingFeature(t *testing.T) {
	t.Parallel()
	const neither = sandbox.TierAuto
	for _, tc := range []struct {
		name    string
		o       orders
		want    sandbox.Tier
		feature string
	}{
		{"user namespaces", orders{Call: unix.SYS_CLONE, Arg: unix.CLONE_NEWUSER, Errno: unix.EPERM}, sandbox.TierLandlock, "user namespaces"},
		{"user namespaces, none left", orders{Call: unix.SYS_CLONE, Arg: unix.CLONE_NEWUSER, Errno: unix.ENOSPC}, sandbox.TierLandlock, "user namespaces"},
		{"mount", orders{Call: unix.SYS_MOUNT, Errno: unix.EACCES}, sandbox.TierLandlock, "mounts in a user namespace"},
		{"pivot_root", orders{Call: unix.SYS_PIVOT_ROOT, Errno: unix.EPERM}, sandbox.TierLandlock, "mounts in a user namespace"},
		{"open_tree", orders{Call: unix.SYS_OPEN_TREE, Errno: unix.ENOSYS}, sandbox.TierLandlock, "mounts in a user namespace"},
		{"move_mount", orders{Call: unix.SYS_MOVE_MOUNT, Errno: unix.ENOSYS}, sandbox.TierLandlock, "mounts in a user namespace"},
		{"mount_setattr", orders{Call: unix.SYS_MOUNT_SETATTR, Errno: unix.ENOSYS}, sandbox.TierLandlock, "mounts in a user namespace"},
		{"openat2", orders{Call: unix.SYS_OPENAT2, Errno: unix.ENOSYS}, sandbox.TierLandlock, "the run's directories"},
		{"loopback", orders{Call: unix.SYS_SOCKET, Arg: unix.AF_INET, Errno: unix.EAFNOSUPPORT}, sandbox.TierLandlock, "network namespaces"},
		{"Landlock, old kernel", orders{Call: unix.SYS_LANDLOCK_CREATE_RULESET, Errno: unix.ENOSYS}, neither, "Landlock"},
		{"Landlock, not enabled", orders{Call: unix.SYS_LANDLOCK_CREATE_RULESET, Errno: unix.EOPNOTSUPP}, neither, "Landlock"},
		{"landlock_add_rule", orders{Call: unix.SYS_LANDLOCK_ADD_RULE, Errno: unix.EINVAL}, neither, "Landlock"},
		{"landlock_restrict_self", orders{Call: unix.SYS_LANDLOCK_RESTRICT_SELF, Errno: unix.EPERM}, neither, "Landlock"},
		{"seccomp", orders{Call: unix.SYS_SECCOMP, Errno: unix.ENOSYS}, neither, "system-call filters"},
		{"close_range", orders{Call: unix.SYS_CLOSE_RANGE, Errno: unix.ENOSYS}, neither, "closing all descriptors at once"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tc.o.Config = newConfig(t)
			f := findingsOf(t, parent(t, "rob", tc.o))
			t.Log(f.Error)
			if f.Tier != tc.want {
				t.Errorf("got tier %v, want %v", f.Tier, tc.want)
			}
			if tc.want == sandbox.TierLandlock && f.Output != "hello" {
				t.Errorf("tier 2 said %q", f.Output)
			}
			tc.o.Config = newConfig(t) // now without the way out
			tc.o.Config.MinTier = sandbox.TierNamespaces
			f = findingsOf(t, parent(t, "rob", tc.o))
			if f.Tier != sandbox.TierAuto || len(f.Refused) != 1 || f.Refused[0].Feature != tc.feature || f.Refused[0].Remedy == "" {
				t.Errorf("got %+v, want a refusal for %s", f, tc.feature)
			}
		})
	}
}

// TestNamespacesForbidden takes user namespaces away as an administrator does, by sysctl, in a user namespace whose limit
// is its own.
func TestNamespacesForbidden(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	host := os.Getuid()
	if host == 0 {
		host = sandbox.DefaultUID
		for _, d := range []string{c.Home, c.Tmp, c.Scratch} {
			give(t, d)
		}
	}
	cmd := parent(t, "forbid namespaces", orders{Config: c})
	gid := os.Getgid()
	if os.Getuid() == 0 {
		gid = host
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 1000, HostID: host, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 1000, HostID: gid, Size: 1}},
		AmbientCaps: []uintptr{unix.CAP_SYS_RESOURCE},
	}
	if os.Getuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 1000, Gid: 1000, NoSetGroups: true}
	}
	f := findingsOf(t, cmd)
	if f.Tier != sandbox.TierLandlock || f.Output != "hello" {
		t.Errorf("got %+v", f)
	}
}

// TestRootOfOneID is root of a user namespace in which there is no other user, as in a rootless container. Tools run as
// that user, with no capability left.
func TestRootOfOneID(t *testing.T) {
	t.Parallel()
	eachTier(t, func(t *testing.T, c sandbox.Config) {
		uid, gid := os.Getuid(), os.Getgid()
		if uid == 0 {
			uid, gid = sandbox.DefaultUID, sandbox.DefaultUID
			for _, d := range []string{c.Home, c.Tmp, c.Scratch} {
				give(t, d)
			}
		}
		cmd := parent(t, "look", orders{Config: c, Script: "echo hello > f; cat f; chmod 0 f; cat f 2>/dev/null || echo no privilege"})
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: gid, Size: 1}},
			Credential:  &syscall.Credential{Uid: 0, Gid: 0, NoSetGroups: true},
		}
		f := findingsOf(t, cmd)
		if f.Tier != c.Tier || f.Output != "hello\nno privilege" {
			t.Errorf("got %+v", f)
		}
	})
}

func TestOpenCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("not any more")
	cancel(why)
	if _, err := sandbox.Open(ctx, newConfig(t)); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}

func TestProbe(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r := sandbox.Probe(ctx)
	b, err := json.MarshalIndent(r, "", " ")
	must(t, err)
	t.Logf("%s", b)
	s, err := sandbox.Open(ctx, newConfig(t))
	if err != nil {
		if r.Tier != sandbox.TierAuto {
			t.Errorf("probe promises %v, open says %v", r.Tier, err)
		}
		return
	}
	defer s.Close()
	if s.Tier() != r.Tier || r.Reason == "" || r.Kernel == "" || len(r.Checks) == 0 {
		t.Errorf("probe says %+v, open chose %v", r, s.Tier())
	}
}
