//go:build amd64 || arm64

package sandbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tachograph/runner/sandbox"
)

// attackTimeout is hard: an attack that hangs has failed, and so has the test.
const attackTimeout = 20 * time.Second

// arena is a host with something to attack.
type arena struct {
	env     []string
	binary  string // this test binary where the tools' user can execute it
	touched atomic.Int64
}

// TestAttacks runs every attack in both tiers and, as a control, outside.
func TestAttacks(t *testing.T) {
	t.Parallel()
	eachTier(t, func(t *testing.T, c sandbox.Config) {
		a := newArena(t, c)
		c.ReadOnly = []string{filepath.Dir(a.binary)}
		r := open(t, c)
		for _, at := range attacks() {
			t.Run(at.name, func(t *testing.T) { a.inside(t, r, at) })
		}
		if n := a.touched.Load(); n != 0 {
			t.Errorf("the host's listeners saw %d visitors from inside", n)
		}
		for _, at := range attacks() {
			t.Run("control: "+at.name, func(t *testing.T) { a.outside(t, c, at) })
		}
		if a.touched.Load() == 0 {
			t.Error("the listeners saw no visitors from outside either")
		}
	})
}

func newArena(t *testing.T, c sandbox.Config) *arena {
	t.Helper()
	base := filepath.Dir(c.Tree)
	a := &arena{binary: filepath.Join(base, "bin", "attacker")}
	outside := filepath.Join(base, "outside")
	for _, d := range []string{filepath.Dir(a.binary), outside} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	canary := filepath.Join(outside, "canary")
	must(t, os.Chmod(outside, 0o777), copyProgram(a.binary, 0o755), os.WriteFile(canary, []byte("secret"), 0o600),
		os.Symlink(canary, filepath.Join(c.Tree, "link")), os.Symlink(outside, filepath.Join(c.Tree, "linkdir")))
	give(t, c.Tree)
	give(t, canary) // worse than life: the tools' user owns it
	victim := exec.Command("/bin/bash", "-c", "exec -a "+marker+" sleep 1000")
	must(t, victim.Start())
	t.Cleanup(func() { _ = victim.Process.Kill(); _ = victim.Wait() })
	home, _ := os.UserHomeDir()
	cache, _ := os.UserCacheDir()
	a.env = []string{
		fmt.Sprintf("%s=%d", envVictim, victim.Process.Pid), envCanary + "=" + canary, envOutside + "=" + outside,
		envDirs + "=" + strings.Join([]string{home, cache, outside}, ":"), envShm + "=" + strconv.Itoa(segment(t)),
	}
	a.listen(t, base)
	if os.Getuid() == 0 {
		setuid := filepath.Join(filepath.Dir(a.binary), "setuid")
		must(t, copyProgram(setuid, 0o755), os.Chmod(setuid, 0o755|os.ModeSetuid))
		a.env = append(a.env, envSetuid+"="+setuid)
	}
	return a
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// copyProgram copies this test binary.
func copyProgram(to string, mode os.FileMode) error {
	in, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// segment makes a System V segment that anybody may use.
func segment(t *testing.T) int {
	t.Helper()
	key := os.Getpid()<<8 | int(time.Now().UnixNano()&0xff)
	id, err := unix.SysvShmGet(key, 4096, unix.IPC_CREAT|0o666)
	must(t, err)
	t.Cleanup(func() { _, _ = unix.SysvShmCtl(id, unix.IPC_RMID, nil) })
	return key
}

// listen opens one of each kind of socket and counts who comes.
func (a *arena) listen(t *testing.T, base string) {
	t.Helper()
	path := filepath.Join(base, "socket")
	abstract := fmt.Sprintf("@%s-%d-%d", marker, os.Getpid(), time.Now().UnixNano())
	for _, l := range []struct{ env, network, address string }{
		{envTCP, "tcp", "127.0.0.1:0"}, {envAbstract, "unix", abstract}, {envSocket, "unix", path},
	} {
		ln, err := net.Listen(l.network, l.address)
		must(t, err)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				a.touched.Add(1)
				conn.Close()
			}
		}()
		t.Cleanup(func() { ln.Close(); <-done })
		address := l.address
		if l.network == "tcp" {
			address = ln.Addr().String()
		}
		a.env = append(a.env, l.env+"="+address)
	}
	must(t, os.Chmod(path, 0o777))
	a.echo(t)
}

func (a *arena) echo(t *testing.T) {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 16)
		for {
			n, from, err := pc.ReadFrom(b)
			if err != nil {
				return
			}
			a.touched.Add(1)
			_, _ = pc.WriteTo(b[:n], from)
		}
	}()
	t.Cleanup(func() { pc.Close(); <-done })
	a.env = append(a.env, envUDP+"="+pc.LocalAddr().String())
}

func (a *arena) inside(t *testing.T, r *run, at attack) {
	if at.tier2Open != "" && r.Tier() == sandbox.TierLandlock {
		t.Skip("tier 2 leaves this open for files of the tools' own user: " + at.tier2Open)
	}
	var out lockedBuffer
	res, err := r.Run(t.Context(), sandbox.Command{
		ID: r.id(), Args: []string{a.binary, "attack", at.name}, Env: a.env, Stdout: &out, Stderr: &out,
		Overlay: true, Timeout: attackTimeout,
	})
	switch {
	case err != nil:
		t.Fatal(err)
	case at.killed != "" && res.Signal == at.killed:
	case at.killed == "" && res.Exit == 10:
		t.Logf("stopped: %s", bytes.TrimSpace([]byte(out.String())))
	default:
		t.Errorf("not stopped: %+v: %.600s", res, out.String())
	}
}

// outside shows that the attack works where nothing stops it.
func (a *arena) outside(t *testing.T, c sandbox.Config, at attack) {
	switch {
	case at.noControl != "":
		t.Skip("no control: " + at.noControl)
	case (at.root || at.asTool) && sandbox.ToolUser(0) < 0:
		t.Skip("the control needs root")
	}
	ctx, cancel := context.WithTimeout(t.Context(), attackTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, a.binary, "attack", at.name)
	cmd.Env, cmd.Dir = a.env, c.Tree
	if at.asTool {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: sandbox.DefaultUID, Gid: sandbox.DefaultUID}}
	}
	if at.name == "inherited descriptors" {
		cmd.ExtraFiles = []*os.File{os.Stdin}
	}
	out, err := cmd.CombinedOutput()
	if err == nil {
		return
	}
	var errno int
	_, _ = fmt.Sscan(string(out), &errno)
	for _, want := range at.reach {
		if want != nil && errno != 0 && errors.Is(syscall.Errno(errno), want) {
			return
		}
	}
	t.Errorf("the attack does not work outside either, so its failure inside proves nothing: %v: %s", err, bytes.TrimSpace(out))
}
