//go:build amd64 || arm64

package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// innerUID is who tools are inside a user namespace: not 0, which programs take for a privilege.
const innerUID = 1000

// helper is the parent's side of a zygote.
type helper struct {
	cmd  *exec.Cmd
	conn *conn
	abi  int
	done chan struct{} // closed when the socket has ended and every reply was handed on

	mu    sync.Mutex
	calls map[string]chan ended
	err   error // why no further call can begin
}

// startHelper starts a zygote, hands it the layout and waits until it has rehearsed a call. On error nothing is left.
func startHelper(ctx context.Context, c Config, l layout, fds []int) (*helper, error) {
	if isHelper() {
		// Without this, a program that forgot RunIfHelper would start itself again without end.
		return nil, errors.New("start helper: this process is one already: its main, or the TestMain of its tests, must call RunIfHelper first")
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, refuse(featureProtocol, "make socket pair", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "zygote")
	ours, err := newConn(os.NewFile(uintptr(pair[0]), "zygote"))
	if err != nil {
		theirs.Close()
		return nil, refuse(featureProtocol, "open socket", err)
	}
	alive, err := lockAlive(c.Alive)
	if err != nil {
		theirs.Close()
		return nil, errors.Join(err, ours.close())
	}
	h := &helper{conn: ours, calls: make(map[string]chan ended), done: make(chan struct{})}
	stderr := &logWriter{log: c.Log}
	h.cmd = helperCommand(c, l.Tier, theirs, alive, stderr)
	err = h.cmd.Start()
	theirs.Close() // now, or the helper's death would not end the socket
	alive.Close()  // the lock is the helper's alone
	if err != nil {
		ours.close()
		return nil, startRefusal(l.Tier, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = h.cmd.Process.Kill() })
	err = h.greet(l, fds)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = ours.close()
		_ = h.cmd.Process.Kill()
		_ = h.cmd.Wait() // it was killed: its status tells nothing
		return nil, stderr.explain(err)
	}
	go h.read()
	return h, nil
}

func helperCommand(c Config, t Tier, socket, alive *os.File, stderr *logWriter) *exec.Cmd {
	cmd := &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{helperName}, Env: helperEnvironment(), Dir: "/",
		ExtraFiles: []*os.File{socket, alive}, Stderr: stderr, // a session of its own: no terminal's signals
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	switch t {
	case TierNamespaces:
		namespaces(cmd.SysProcAttr, c.UID)
	case TierLandlock:
		if c.UID >= 0 {
			cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(c.UID), Gid: uint32(c.UID)}
		}
	}
	return cmd
}

// namespaces puts the process into namespaces of its own with exactly the capabilities over them that it needs:
// mounting, raising loopback, dropping capabilities, and treating the tool user's files as overlayfs must.
//
// uid is that of the tools' user; −1: it is ours.
func namespaces(a *syscall.SysProcAttr, uid int) {
	hostUID, hostGID := os.Getuid(), os.Getgid()
	if uid >= 0 {
		hostUID, hostGID = uid, uid
		a.Credential = &syscall.Credential{Uid: innerUID, Gid: innerUID, NoSetGroups: true}
	}
	a.Cloneflags = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC |
		unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP
	a.UidMappings = []syscall.SysProcIDMap{{ContainerID: innerUID, HostID: hostUID, Size: 1}}
	a.GidMappings = []syscall.SysProcIDMap{{ContainerID: innerUID, HostID: hostGID, Size: 1}}
	a.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN, unix.CAP_SETPCAP, unix.CAP_DAC_OVERRIDE,
		unix.CAP_FOWNER, unix.CAP_CHOWN, unix.CAP_FSETID, unix.CAP_MKNOD}
}

// helperEnvironment is all that the helper inherits: how its own runtime behaves, for whoever has to debug it. A call is
// short, so four processors serve hundreds of them.
func helperEnvironment() []string {
	env := []string{"GOMAXPROCS=4"}
	for _, k := range []string{"GOGC", "GODEBUG", "GOTRACEBACK", "GOCOVERDIR"} {
		if v, ok := os.LookupEnv(k); ok {
			env = append(env, k+"="+v)
		}
	}
	return env
}

// startRefusal tells what a failed start lacked. The kernel gives one errno for clone, the identity maps and execve.
func startRefusal(t Tier, err error) *refused {
	if errors.Is(err, os.ErrPermission) && !errors.Is(err, unix.EPERM) || errors.Is(err, os.ErrNotExist) {
		return refuse(featurePaths, "execute this program again", err)
	}
	if t == TierNamespaces {
		return refuse(featureUserNS, "create user namespace", err)
	}
	return refuse(featureProcesses, "start helper", err)
}

// greet hands over the layout and takes the answer.
func (h *helper) greet(l layout, fds []int) error {
	if err := h.conn.send(kindStart, l, fds...); err != nil {
		return refuse(featureProtocol, "send layout", err)
	}
	kind, body, got, err := h.conn.receive()
	if err != nil {
		return refuse(featureProtocol, "wait for the helper", err)
	}
	closeAll(got)
	switch kind {
	case kindReady:
		var r ready
		if err := json.Unmarshal(body, &r); err != nil {
			return refuse(featureProtocol, "parse answer", err)
		}
		h.abi = r.ABI
		return nil
	case kindRefused:
		r := &refused{}
		if err := json.Unmarshal(body, r); err != nil {
			return refuse(featureProtocol, "parse answer", err)
		}
		return r
	}
	return refuse(featureProtocol, "wait for the helper", fmt.Errorf("frame %q instead of an answer", kind))
}

// read hands replies to those who wait for them, until the socket ends.
func (h *helper) read() {
	defer close(h.done)
	for {
		kind, body, fds, err := h.conn.receive()
		closeAll(fds)
		var e ended
		if err == nil && kind != kindEnded {
			err = fmt.Errorf("frame %q is not for a parent", kind)
		}
		if err == nil {
			err = json.Unmarshal(body, &e)
		}
		if err != nil {
			h.fail(err)
			return
		}
		h.mu.Lock()
		reply := h.calls[e.ID]
		delete(h.calls, e.ID)
		h.mu.Unlock()
		if reply != nil {
			reply <- e // has room for one
		}
	}
}

// fail lets everybody know that there will be no more replies.
func (h *helper) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.err = errors.Join(ErrClosed, fmt.Errorf("read from helper: %w", err))
	for id, reply := range h.calls {
		close(reply)
		delete(h.calls, id)
	}
}

func (h *helper) lost() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}

// begin sends a call. The channel gives its end, or is closed if the helper is lost.
func (h *helper) begin(rq request, fds []int) (<-chan ended, error) {
	reply := make(chan ended, 1)
	h.mu.Lock()
	err := h.err
	if _, taken := h.calls[rq.ID]; taken && err == nil {
		err = errors.New("another call with this id is running")
	}
	if err == nil {
		h.calls[rq.ID] = reply
	}
	h.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if err := h.conn.send(kindCall, rq, fds...); err != nil {
		h.mu.Lock()
		delete(h.calls, rq.ID)
		h.mu.Unlock()
		return nil, err
	}
	return reply, nil
}

// signal is for a call that may have ended meanwhile. An error means that the helper is gone, and the call with it.
func (h *helper) signal(id string, sig syscall.Signal) {
	_ = h.conn.send(kindSignal, signalCall{ID: id, Signal: int(sig)})
}

// closeGrace is what a helper without a pid namespace has for ending its calls before it is killed.
const closeGrace = 10 * time.Second

func (h *helper) close() error {
	h.shut()
	timer := time.AfterFunc(closeGrace, func() { _ = h.cmd.Process.Kill() })
	err := h.cmd.Wait()
	timer.Stop()
	<-h.done
	_ = h.conn.close()
	if err != nil {
		return fmt.Errorf("end helper: %w", err)
	}
	return nil
}

// shut ends our direction of the socket, at which the helper ends; its last replies still arrive.
func (h *helper) shut() { _ = h.conn.c.CloseWrite() }

// logWriter hands lines of the helper's standard error to the log and keeps the first few for an error message.
type logWriter struct {
	log  *slog.Logger
	mu   sync.Mutex
	head []byte
}

const logHead = 2 << 10

func (w *logWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.head = append(w.head, p[:min(len(p), logHead-len(w.head))]...)
	for line := range bytes.Lines(p) {
		w.log.Warn("sandbox helper", "line", string(bytes.TrimSpace(line)))
	}
	return len(p), nil
}

// explain adds what the helper wrote before it died to an error that only says that it did.
func (w *logWriter) explain(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var r *refused
	if len(w.head) == 0 || !errors.As(err, &r) || r.Feature != featureProtocol {
		return err
	}
	return &refused{Feature: r.Feature, Step: r.Step, Detail: r.cause().Error() + ": " + string(bytes.TrimSpace(w.head))}
}
