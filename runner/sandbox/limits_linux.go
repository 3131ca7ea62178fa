//go:build amd64 || arm64

package sandbox

import (
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// resource is one limit as prlimit takes it.
type resource struct {
	name     string
	resource uintptr
	value    uint64
}

// resources lists what a command is limited to. Core files are never written: they would land in the tree.
func (l Limits) resources() []resource {
	rs := []resource{{"core file", unix.RLIMIT_CORE, 0}}
	for _, r := range []struct {
		name     string
		resource uintptr
		value    int64
	}{
		{"processes", unix.RLIMIT_NPROC, l.Processes},
		{"open files", unix.RLIMIT_NOFILE, l.OpenFiles},
		{"file size", unix.RLIMIT_FSIZE, l.FileSize},
		{"processor time", unix.RLIMIT_CPU, l.CPUSeconds},
		{"address space", unix.RLIMIT_AS, l.AddressSpace},
	} {
		if r.value > 0 {
			rs = append(rs, resource{r.name, r.resource, min(uint64(r.value), hardLimit(int(r.resource)))})
		}
	}
	return rs
}

// hardLimit is what this process could raise the limit to; asking for more would be refused.
func hardLimit(resource int) uint64 {
	var r unix.Rlimit
	if unix.Getrlimit(resource, &r) != nil {
		return ^uint64(0)
	}
	return r.Max
}

// countThreads counts the threads that run as uid on the machine: without a user namespace the kernel holds all of them
// against the limit of processes.
func countThreads(uid int) int64 {
	var n int64
	dirs, _ := os.ReadDir("/proc") // an unreadable proc only makes the limit tighter
	for _, d := range dirs {
		if _, err := strconv.Atoi(d.Name()); err != nil {
			continue
		}
		info, err := os.Stat("/proc/" + d.Name())
		if err != nil {
			continue
		}
		if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != uid {
			continue
		}
		n += threadsOf(d.Name())
	}
	return n
}

// threadsOf reads the thread count from /proc/PID/stat: the 18th word after the command's closing parenthesis.
func threadsOf(pid string) int64 {
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	words := strings.Fields(rest)
	if len(words) < 18 {
		return 0
	}
	n, _ := strconv.ParseInt(words[17], 10, 64)
	return n
}
