//go:build amd64 || arm64

package sandbox

import (
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// liveCall is a call between its fork and its last process's end.
type liveCall struct {
	pid    int            // of its init; 0 before the fork and after the end. Guarded by zygote.mu
	doom   bool           // killed before it was forked. Guarded by zygote.mu
	ended  chan struct{}  // closed when the command has ended
	sweeps sync.WaitGroup // tier 2: goroutines that kill below pid
}

// call runs one call from fork to reaping. It takes the descriptors over.
func (z *zygote) call(rq request, stdio [3]int, live *liveCall) ended {
	started := time.Now()
	e := ended{ID: rq.ID}
	if r := z.runCall(rq, stdio, live, &e); r != nil {
		e.Refused = r
	}
	e.DurationNS = int64(time.Since(started))
	return e
}

func (z *zygote) runCall(rq request, stdio [3]int, live *liveCall, e *ended) *refused {
	s, reports, err := z.newCallScript(rq, stdio)
	if err != nil {
		closeAll(stdio[:])
		close(live.ended)
		return refuse(featureMounts, "prepare call", err)
	}
	pid, err := z.forkCall(s, live)
	closeAll(stdio[:])
	s.close()
	if err != nil {
		reports.Close()
		close(live.ended)
		s.dropScratch()
		return refuse(featureProcesses, "fork", err)
	}
	r := s.readReports(reports, e)
	reports.Close()
	close(live.ended)
	z.disown(live)
	if s.linger {
		e.Left = sweep(pid)
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	if e.Status == statusUnknown {
		e.Status = reap(pid)
	} else {
		// The init has nothing left to do but to take its mounts down, which takes the kernel longer than all the rest.
		z.wg.Go(func() { reap(pid) })
	}
	if r != nil {
		s.dropScratch()
	}
	return r
}

// disown makes sure that no signal is sent to the call's process number any more, before that can be another process's.
func (z *zygote) disown(live *liveCall) {
	z.mu.Lock()
	live.pid = 0
	z.mu.Unlock()
	live.sweeps.Wait()
}

// forkCall starts the script unless the call was killed already.
func (z *zygote) forkCall(s *callScript, live *liveCall) (int, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if live.doom {
		return 0, unix.ECANCELED
	}
	pid, err := s.start()
	live.pid = pid
	return pid, err
}

// reap waits for a call's init, which nobody signals any more, and gives its wait status.
func reap(pid int) uint32 {
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(pid, &status, 0, nil)
		if err == nil {
			return uint32(status)
		}
		if err != unix.EINTR {
			return statusUnknown
		}
	}
}

// statusUnknown stands until the init reports; it is no wait status.
const statusUnknown = ^uint32(0)

func (z *zygote) signal(sc signalCall) {
	z.mu.Lock()
	defer z.mu.Unlock()
	live := z.calls[sc.ID]
	if live == nil {
		return
	}
	switch {
	case live.pid == 0:
		live.doom = sc.Signal == int(unix.SIGKILL) || live.doom
	case sc.Signal == int(unix.SIGTERM):
		_ = unix.Kill(live.pid, unix.SIGTERM)
	case z.layout.Tier == TierNamespaces:
		_ = unix.Kill(live.pid, unix.SIGKILL) // pid 1: the kernel ends the rest
	default:
		pid := live.pid
		live.sweeps.Go(func() { sweepUntil(live.ended, pid) })
	}
}

// readReports follows the child's records to the command's end, which it writes to e, and returns what was refused.
func (s *callScript) readReports(r io.Reader, e *ended) *refused {
	e.Status = statusUnknown
	var why *refused
	for {
		var rec record
		if _, err := io.ReadFull(r, unsafe.Slice((*byte)(unsafe.Pointer(&rec)), recordSize)); err != nil {
			return why // the init was killed, or has exited
		}
		switch rec.kind {
		case recordInit:
			return s.refusal(s.init, rec)
		case recordCmd:
			why = s.refusal(s.cmd, rec)
		case recordEnded:
			e.Status = rec.a
			e.UserNS, e.SystemNS, e.MaxRSS = rec.usage.Utime.Nano(), rec.usage.Stime.Nano(), rec.usage.Maxrss<<10
			return why
		}
	}
}

// refusal names the step that a record is about. The init's steps are numbered through its script, the fork of the
// command, and what follows that.
func (s *callScript) refusal(ops []op, rec record) *refused {
	i := int(rec.a)
	if i > len(ops) {
		ops, i = s.after, i-len(ops)-1
	}
	r := &refused{Feature: featureProcesses, Step: "fork command", Errno: int(rec.b)}
	if i < len(ops) {
		r.Feature, r.Step = ops[i].feature, ops[i].name
	}
	return r
}

// rehearse plays a whole call but for its command.
func (z *zygote) rehearse() *refused {
	var stdio [3]int
	for i := range stdio {
		fd, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			closeAll(stdio[:i])
			return refuse(featurePaths, "open /dev/null", err)
		}
		stdio[i] = fd
	}
	rq := request{ID: rehearsalID, Dir: []byte(z.layout.Mount), Overlay: true}
	e := z.call(rq, stdio, &liveCall{ended: make(chan struct{})})
	if z.layout.Tier == TierNamespaces {
		if err := removeScratch(filepath.Join(hiddenScratch, rehearsalID)); err != nil && e.Refused == nil {
			return refuse(featurePaths, "remove overlay directories", err)
		}
	}
	if e.Refused == nil && e.Status != 0 {
		return refuse(featureSeccomp, "rehearse a call", fmt.Errorf("its process ended with wait status %#x", e.Status))
	}
	return e.Refused
}
