//go:build amd64 || arm64

package sandbox

import (
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// op is one system call of a script. Its arguments are addresses and numbers settled before the fork, but for one, which
// may be the result of an earlier op.
type op struct {
	feature string // what of the kernel it needs, for Unavailable
	name    string // what it does, for errors: "mount overlay"
	nr      uintptr
	args    [6]uintptr
	from    *int32        // when set, args[fromArg] is taken from here at run time
	fromArg int           // which argument
	save    *int32        // when set, the result goes here; it may lie in a structure that a later op points to
	may     syscall.Errno // an errno that is no failure: ENOENT of a file to mask, say
}

// script is all that a child does between fork and execve, and what its init does after.
//
// Invariant: nothing reachable from play, runInit or fork allocates, grows the stack, takes a lock or writes a pointer: the
// child is one thread of a Go program whose other threads, garbage collector included, stopped at an arbitrary place.
// Integers are written to memory that was allocated before, which copy-on-write makes the child's own.
type script struct {
	flags   uintptr // of clone, beside SIGCHLD
	init    []op    // played by the first process
	cmd     []op    // played by its child; from cmdExec on only execves, tried in turn
	after   []op    // played by the first process once the child exists
	status  uintptr // pipe that takes the records of the package comment
	linger  bool    // there is no pid namespace: stay after the command's end, for the zygote to sweep, until killed
	dryRun  bool    // the command's process exits instead of playing its execs: a rehearsal
	cmdExec int     // index in cmd of the first execve
	tried   uint32  // why the execves were refused: the last errno that is not "no such file"

	record    *record // what is being reported
	recordPtr uintptr
	usagePtr  uintptr // of record.usage
	maskPtr   uintptr // SIGCHLD and SIGTERM
	waitState *uint32
	statePtr  uintptr
	allPtr    uintptr // all signals
	oldMask   *uint64 // the forking thread's own
	oldPtr    uintptr

	arena []uint64       // what is left of the memory that addresses above and in ops point to
	pins  runtime.Pinner // keeps all of that memory alive and in place
}

// record is what a child writes to the status pipe, as it lies in memory (see the package comment). It is shorter than
// PIPE_BUF, so two processes' records do not mix.
type record struct {
	kind, a, b uint32
	_          uint32
	usage      unix.Rusage // of all children reaped so far; set in recordEnded only
}

const (
	recordInit  = 1
	recordCmd   = 2
	recordEnded = 3
	recordSize  = unsafe.Sizeof(record{})
)

func newScript(flags uintptr, status int) *script {
	s := &script{init: make([]op, 0, 128), cmd: make([]op, 0, 128), flags: flags, linger: flags&unix.CLONE_NEWPID == 0, status: uintptr(status)}
	s.record, s.waitState, s.oldMask = place(s, record{}), place(s, uint32(0)), place(s, uint64(0))
	s.recordPtr, s.usagePtr = number(s.record), number(&s.record.usage)
	s.statePtr, s.oldPtr = number(s.waitState), number(s.oldMask)
	s.maskPtr = number(place(s, uint64(1<<(unix.SIGCHLD-1)|1<<(unix.SIGTERM-1))))
	s.allPtr = number(place(s, ^uint64(0)))
	return s
}

// arenaWords is enough for an ordinary call; a longer argument list gets memory of its own.
const arenaWords = 2048

// alloc gives n bytes, aligned for any type, in memory that holds no Go pointers and does not move.
func (s *script) alloc(n uintptr) unsafe.Pointer {
	words := max(int(n+7)/8, 1)
	if len(s.arena) < words {
		s.arena = make([]uint64, max(words, arenaWords))
		s.pins.Pin(&s.arena[0])
	}
	p := unsafe.Pointer(&s.arena[0])
	s.arena = s.arena[words:]
	return p
}

// place puts v, which holds no Go pointers that need keeping alive, into s's memory.
func place[T any](s *script, v T) *T {
	p := (*T)(s.alloc(unsafe.Sizeof(v)))
	*p = v
	return p
}

// number is p's address as a system call takes it. p was placed.
func number[T any](p *T) uintptr { return uintptr(unsafe.Pointer(p)) }

// text places a NUL-terminated copy of v. v holds no NUL: what comes from outside was checked (Command.check).
func (s *script) text(v string) uintptr {
	p := s.alloc(uintptr(len(v)) + 1)
	copy(unsafe.Slice((*byte)(p), len(v)), v) // the memory is zero
	return uintptr(p)
}

// texts places a NULL-terminated array of strings, as execve takes it.
func (s *script) texts(vs []string) uintptr {
	p := s.alloc(uintptr(len(vs)+1) * unsafe.Sizeof(uintptr(0)))
	a := unsafe.Slice((*uintptr)(p), len(vs)+1)
	for i, v := range vs {
		a[i] = s.text(v)
	}
	return uintptr(p)
}

// start forks the script's first process and gives its process id as the zygote sees it.
func (s *script) start() (int, error) {
	runtime.LockOSThread() // the mask belongs to the thread
	defer runtime.UnlockOSThread()
	// A signal that reached the child would run the Go handler on a stack that is not ready for it.
	syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, s.allPtr, s.oldPtr, 8, 0, 0)
	pid, errno := s.fork()
	syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, s.oldPtr, 0, 8, 0, 0)
	runtime.KeepAlive(s)
	if errno != 0 {
		return 0, errno
	}
	return int(pid), nil
}

// release lets go of what the script pinned. The children have copies.
func (s *script) release() { s.pins.Unpin() }

//go:noinline
//go:norace
//go:nosplit
//go:nocheckptr
func (s *script) fork() (uintptr, syscall.Errno) {
	pid, _, e := syscall.RawSyscall6(unix.SYS_CLONE, s.flags|uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if e != 0 || pid != 0 {
		return pid, e
	}
	s.runInit()
	return 0, 0
}

// runInit is the life of a call's first process. It does not return.
//
//go:noinline
//go:norace
//go:nosplit
//go:nocheckptr
func (s *script) runInit() {
	s.play(s.init, recordInit, 0, len(s.init))
	pid, _, e := syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if e != 0 {
		s.fail(recordInit, uint32(len(s.init)), e)
	}
	if pid == 0 {
		s.runCommand()
	}
	s.play(s.after, recordInit, len(s.init)+1, len(s.after))
	for {
		sig, _, _ := syscall.RawSyscall6(unix.SYS_RT_SIGTIMEDWAIT, s.maskPtr, 0, 0, 8, 0, 0)
		switch syscall.Signal(sig) {
		case unix.SIGTERM:
			s.terminate(pid)
		case unix.SIGCHLD:
			s.reap(pid)
		}
	}
}

//go:noinline
//go:norace
//go:nosplit
//go:nocheckptr
func (s *script) runCommand() {
	s.play(s.cmd, recordCmd, 0, s.cmdExec)
	if s.dryRun {
		exit(0)
	}
	s.tried = uint32(unix.ENOENT)
	for i := range s.cmd {
		if i < s.cmdExec {
			continue
		}
		o := &s.cmd[i]
		_, _, e := syscall.RawSyscall(o.nr, o.args[0], o.args[1], o.args[2])
		if e != unix.ENOENT {
			s.tried = uint32(e)
		}
	}
	s.fail(recordCmd, uint32(s.cmdExec), syscall.Errno(s.tried))
}

// play runs ops[:n]. A refused op is reported under base + its index and ends the process.
//
//go:noinline
//go:norace
//go:nosplit
//go:nocheckptr
func (s *script) play(ops []op, kind uint32, base, n int) {
	for i := range ops {
		if i == n {
			return
		}
		o := &ops[i]
		a := o.args
		if o.from != nil {
			a[o.fromArg&7] = uintptr(*o.from)
		}
		r, _, e := syscall.RawSyscall6(o.nr, a[0], a[1], a[2], a[3], a[4], a[5])
		if e != 0 && e != o.may {
			s.fail(kind, uint32(base+i), e)
		}
		if o.save != nil {
			*o.save = int32(r)
		}
	}
}

// terminate hands SIGTERM to the command's process group, or to the command itself while it has none of its own yet.
//
//go:noinline
//go:norace
//go:nosplit
//go:nocheckptr
func (s *script) terminate(pid uintptr) {
	_, _, e := syscall.RawSyscall(unix.SYS_KILL, -pid, uintptr(unix.SIGTERM), 0)
	if e != 0 {
		syscall.RawSyscall(unix.SYS_KILL, pid, uintptr(unix.SIGTERM), 0)
	}
}

// reap collects every dead child. At the command's end it reports; as pid 1 of a namespace it has ended everything else
// there before, so that the report means that nothing is left, and exits.
//
//go:noinline
//go:norace
//go:nosplit
//go:nocheckptr
func (s *script) reap(command uintptr) {
	for {
		pid, _, e := syscall.RawSyscall6(unix.SYS_WAIT4, ^uintptr(0), s.statePtr, unix.WNOHANG, 0, 0, 0)
		if e != 0 || pid == 0 {
			return
		}
		if pid != command {
			continue
		}
		state := *s.waitState
		if !s.linger {
			s.endNamespace()
		}
		syscall.RawSyscall(unix.SYS_GETRUSAGE, rusageChildren, s.usagePtr, 0)
		s.report(recordEnded, state, 0)
		if !s.linger {
			exit(0)
		}
	}
}

const rusageChildren = ^uintptr(0) // RUSAGE_CHILDREN, -1

// endNamespace kills every process of this pid namespace but its pid 1, which this is, and waits for them.
//
//go:noinline
//go:norace
//go:nosplit
//go:nocheckptr
func (s *script) endNamespace() {
	syscall.RawSyscall(unix.SYS_KILL, ^uintptr(0), uintptr(unix.SIGKILL), 0)
	for {
		_, _, e := syscall.RawSyscall6(unix.SYS_WAIT4, ^uintptr(0), 0, 0, 0, 0, 0)
		if e != 0 && e != unix.EINTR {
			return
		}
	}
}

//go:noinline
//go:norace
//go:nosplit
//go:nocheckptr
func (s *script) fail(kind, index uint32, e syscall.Errno) {
	s.report(kind, index, uint32(e))
	exit(125)
}

//go:noinline
//go:norace
//go:nosplit
//go:nocheckptr
func (s *script) report(kind, a, b uint32) {
	s.record.kind, s.record.a, s.record.b = kind, a, b
	syscall.RawSyscall(unix.SYS_WRITE, s.status, s.recordPtr, recordSize)
}

//go:noinline
//go:norace
//go:nosplit
//go:nocheckptr
func exit(code uintptr) {
	for {
		syscall.RawSyscall(unix.SYS_EXIT_GROUP, code, 0, 0)
	}
}
