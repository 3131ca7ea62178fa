//go:build amd64 || arm64

package sandbox

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Without a pid namespace a call's processes are found by descent: its init is a subreaper, so whatever detaches itself
// becomes the init's child, and Landlock's signal scope keeps the command from killing the init. The init stays until
// nothing is below it.

// sweepLimit bounds a sweep. A process that forks faster than it is looked for could outlive it; it is counted.
const sweepLimit = 2 * time.Second

// sweep kills everything below init and gives the number of processes that are still there.
func sweep(init int) int {
	deadline := time.Now().Add(sweepLimit)
	for {
		left := killBelow(init)
		if left == 0 || time.Now().After(deadline) {
			return left
		}
		time.Sleep(200 * time.Microsecond) // for the killed to die and the init to reap them
	}
}

// sweepUntil kills everything below init until the call has ended. The command may not have been forked yet, so once is
// not enough.
func sweepUntil(ended <-chan struct{}, init int) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		killBelow(init)
		select {
		case <-ended:
			return
		case <-tick.C:
		}
	}
}

// killBelow kills the tree below pid, parents first, so that none is left to replace its children.
func killBelow(pid int) int {
	children := childrenOf(pid)
	n := len(children)
	for _, c := range children {
		_ = unix.Kill(c, unix.SIGSTOP)
		n += killBelow(c)
		_ = unix.Kill(c, unix.SIGKILL)
	}
	return n
}

// childrenOf lists the children of all threads of pid, the unreaped dead among them.
func childrenOf(pid int) []int {
	dir := fmt.Sprintf("/proc/%d/task", pid)
	tasks, err := os.ReadDir(dir)
	if err != nil {
		return nil // it is gone
	}
	var out []int
	for _, t := range tasks {
		b, err := os.ReadFile(dir + "/" + t.Name() + "/children")
		if err != nil {
			continue
		}
		for _, f := range strings.Fields(string(b)) {
			if n, err := strconv.Atoi(f); err == nil {
				out = append(out, n)
			}
		}
	}
	return out
}

// checkSweep finds out whether proc lists children at all.
func checkSweep() error {
	if _, err := os.Stat(fmt.Sprintf("/proc/%d/task/%d/children", os.Getpid(), os.Getpid())); errors.Is(err, os.ErrNotExist) {
		return refuse(featureChildren, "list child processes", err)
	}
	return nil
}
