//go:build amd64 || arm64

package sandbox

import (
	"maps"
	"slices"

	"golang.org/x/sys/unix"
)

// The filter is assembled here rather than by a library, because the kernel reads most arguments as 32-bit integers and
// ignores what stands above: a comparison of all 64 bits, which the libraries at hand make, lets
// ioctl(fd, 1<<32|TIOCSTI) pass (CVE-2019-10063). Every comparison below is of the low half.

// verdicts of a filter.
const (
	allowCall  = uint32(unix.SECCOMP_RET_ALLOW)
	denyCall   = uint32(unix.SECCOMP_RET_ERRNO) | uint32(unix.EPERM)
	absentCall = uint32(unix.SECCOMP_RET_ERRNO) | uint32(unix.ENOSYS)
	killCaller = uint32(unix.SECCOMP_RET_KILL_PROCESS)
)

// offsets in struct seccomp_data, little-endian (amd64 and arm64 are).
const (
	dataNumber = 0
	dataArch   = 4
	dataArgs   = 16
)

// lastKnown is the newest system call that this filter was written for (file_setattr, Linux 6.17). Newer ones are absent,
// as on an older kernel, until somebody has judged them.
const lastKnown = 469

// absent calls have substitutes that programs fall back on, and cannot be filtered: clone3 and io_uring pass their
// arguments in memory.
func absentCalls() []uint32 {
	return []uint32{unix.SYS_CLONE3, unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER}
}

// deniedCalls no tool needs: they change the machine, reach into other processes, or have been doors into the kernel.
func deniedCalls() []uint32 {
	return append([]uint32{
		// mounts and namespaces
		unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_MOVE_MOUNT, unix.SYS_FSOPEN, unix.SYS_FSCONFIG,
		unix.SYS_FSMOUNT, unix.SYS_FSPICK, unix.SYS_OPEN_TREE, unix.SYS_OPEN_TREE_ATTR, unix.SYS_MOUNT_SETATTR,
		unix.SYS_CHROOT, unix.SYS_SETNS, unix.SYS_UNSHARE, unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME,
		// other processes
		unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PROCESS_MADVISE,
		unix.SYS_PROCESS_MRELEASE, unix.SYS_KCMP, unix.SYS_PIDFD_GETFD, unix.SYS_MIGRATE_PAGES, unix.SYS_MOVE_PAGES,
		// kernel subsystems with a history
		unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_KEYCTL, unix.SYS_ADD_KEY,
		unix.SYS_REQUEST_KEY, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_FANOTIFY_INIT, unix.SYS_MEMFD_SECRET,
		unix.SYS_LOOKUP_DCOOKIE, unix.SYS_SYSLOG,
		// the machine
		unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE,
		unix.SYS_REBOOT, unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_ACCT, unix.SYS_QUOTACTL, unix.SYS_QUOTACTL_FD,
		unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME, unix.SYS_ADJTIMEX, unix.SYS_CLOCK_ADJTIME, unix.SYS_VHANGUP,
		unix.SYS_NFSSERVCTL,
	}, archDenied()...)
}

// tier2Denied are harmless in namespaces of one's own and reach the host without them. Landlock does not govern whom a
// path-named socket is connected to, and a session bus starts programs outside the sandbox on request: so no sockets.
func tier2Denied() []uint32 {
	return []uint32{
		unix.SYS_SOCKET, unix.SYS_CONNECT, unix.SYS_BIND, unix.SYS_LISTEN,
		unix.SYS_SHMGET, unix.SYS_SHMAT, unix.SYS_SHMCTL, unix.SYS_SEMGET, unix.SYS_SEMOP, unix.SYS_SEMTIMEDOP,
		unix.SYS_SEMCTL, unix.SYS_MSGGET, unix.SYS_MSGSND, unix.SYS_MSGRCV, unix.SYS_MSGCTL, unix.SYS_MQ_OPEN,
		unix.SYS_MQ_UNLINK,
	}
}

// check denies a call by the low half of one argument.
type check struct {
	arg    uint32
	mask   uint32   // applied first; 0 means all bits
	anyBit uint32   // when set: deny if any of these bits is set
	unless []uint32 // deny if the argument is none of these
	when   []uint32 // deny if the argument is one of these

	ifFirst uint32 // when set: only if argument 0 is this
}

// rule holds the checks of one system call; the call passes if each of them lets it.
type rule struct {
	nr     uint32
	checks []check
}

const namespaceFlags = unix.CLONE_NEWNS | unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

// rules that hold in both tiers.
func commonRules() []rule {
	devices := check{mask: unix.S_IFMT, when: []uint32{unix.S_IFCHR, unix.S_IFBLK}}
	onMode := func(arg uint32) []check { c := devices; c.arg = arg; return []check{c} }
	rs := []rule{
		{unix.SYS_CLONE, []check{{arg: 0, anyBit: namespaceFlags}}},
		{unix.SYS_MKNODAT, onMode(2)},
		// terminals: typing for the user, the console's paste buffer, line disciplines, console redirection
		{unix.SYS_IOCTL, []check{{arg: 1, when: []uint32{unix.TIOCSTI, tiocLinux, unix.TIOCSETD, unix.TIOCCONS}}}},
		// execution domains: Linux, with the old version or 32-bit names; the rest changes how memory is laid out
		{unix.SYS_PERSONALITY, []check{{arg: 0, unless: []uint32{0, 0x8, 0x20000, 0x20008, 0xffffffff}}}},
		{unix.SYS_SOCKETPAIR, []check{{arg: 0, unless: []uint32{unix.AF_UNIX}}}},
	}
	if archMknod != 0 {
		rs = append(rs, rule{archMknod, onMode(1)})
	}
	return rs
}

const tiocLinux = 0x541C

// tier1Rules: the network namespace is empty, so addresses need no filter, families do: each is a module of kernel code.
// Of netlink only routing, which C libraries ask for the local addresses (protocol 0).
func tier1Rules() []rule {
	return []rule{{unix.SYS_SOCKET, []check{
		{arg: 0, unless: []uint32{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK}},
		{arg: 2, unless: []uint32{unix.NETLINK_ROUTE}, ifFirst: unix.AF_NETLINK},
	}}}
}

// tier2Rules keep a process from others of its user, whom the kernel would let it slow down or limit by number.
func tier2Rules() []rule {
	zero := []uint32{0}
	self := func(nr uint32) rule { return rule{nr, []check{{arg: 0, unless: zero}}} }
	return []rule{
		self(unix.SYS_PRLIMIT64), self(unix.SYS_SCHED_SETAFFINITY), self(unix.SYS_SCHED_SETSCHEDULER),
		self(unix.SYS_SCHED_SETPARAM), self(unix.SYS_SCHED_SETATTR),
		{unix.SYS_SETPRIORITY, []check{{arg: 0, unless: []uint32{unix.PRIO_PROCESS}}, {arg: 1, unless: zero}}},
		{unix.SYS_IOPRIO_SET, []check{{arg: 0, unless: []uint32{1}}, {arg: 1, unless: zero}}},
		// a datagram pair could be pointed at another socket by sendto
		{unix.SYS_SOCKETPAIR, []check{{arg: 1, mask: 0xf, unless: []uint32{unix.SOCK_STREAM, unix.SOCK_SEQPACKET}}}},
	}
}

// filter assembles the program for a tier: a search tree over the numbers it has an opinion on. The kernel runs a filter
// over every number when it is installed, which a list of them makes measurably slow.
func filter(t Tier) []unix.SockFilter {
	denied, rules := deniedCalls(), commonRules()
	if t == TierLandlock {
		denied, rules = append(denied, tier2Denied()...), append(rules, tier2Rules()...)
	} else {
		rules = append(rules, tier1Rules()...)
	}
	opinions := make(map[uint32]*assembler)
	about := func(nr uint32) *assembler {
		if opinions[nr] == nil {
			opinions[nr] = &assembler{}
		}
		return opinions[nr]
	}
	for _, r := range rules {
		for _, c := range r.checks {
			about(r.nr).check(c)
		}
	}
	for _, a := range opinions {
		a.ret(allowCall)
	}
	for _, nr := range denied {
		about(nr).ret(denyCall)
	}
	for _, nr := range absentCalls() {
		about(nr).ret(absentCall)
	}
	var a assembler
	a.load(dataArch)
	a.returnUnless(unix.BPF_JEQ, auditArch, killCaller)
	a.load(dataNumber)
	a.returnIf(unix.BPF_JGT, lastKnown, absentCall) // x32's numbers have bit 30 set
	a.tree(slices.Sorted(maps.Keys(opinions)), opinions)
	return a.code
}

// assembler writes classic BPF.
type assembler struct{ code []unix.SockFilter }

func (a *assembler) emit(code uint16, k uint32, jt, jf uint8) {
	a.code = append(a.code, unix.SockFilter{Code: code, Jt: jt, Jf: jf, K: k})
}

func (a *assembler) load(offset uint32) { a.emit(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offset, 0, 0) }
func (a *assembler) ret(verdict uint32) { a.emit(unix.BPF_RET|unix.BPF_K, verdict, 0, 0) }

func (a *assembler) returnIf(cond uint16, k, verdict uint32) {
	a.emit(unix.BPF_JMP|cond|unix.BPF_K, k, 0, 1)
	a.ret(verdict)
}

func (a *assembler) returnUnless(cond uint16, k, verdict uint32) {
	a.emit(unix.BPF_JMP|cond|unix.BPF_K, k, 1, 0)
	a.ret(verdict)
}

// tree finds the number in the accumulator among numbers, which are sorted, and goes on with what opinions say about it.
// Any other number is allowed.
func (a *assembler) tree(numbers []uint32, opinions map[uint32]*assembler) {
	if len(numbers) == 1 {
		code := opinions[numbers[0]].code
		a.returnUnless(unix.BPF_JEQ, numbers[0], allowCall)
		a.code = append(a.code, code...)
		return
	}
	var low, high assembler
	half := len(numbers) / 2
	low.tree(numbers[:half], opinions)
	high.tree(numbers[half:], opinions)
	a.emit(unix.BPF_JMP|unix.BPF_JGE|unix.BPF_K, numbers[half], 0, 1)
	a.emit(unix.BPF_JMP|unix.BPF_JA, uint32(len(low.code)), 0, 0) // conditional jumps reach 255 instructions only
	a.code = append(append(a.code, low.code...), high.code...)
}

func (a *assembler) check(c check) {
	if c.ifFirst != 0 {
		var body assembler
		first := c.ifFirst
		c.ifFirst = 0
		body.check(c)
		a.load(dataArgs)
		a.emit(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, first, 0, uint8(len(body.code)))
		a.code = append(a.code, body.code...)
		return
	}
	a.load(dataArgs + 8*c.arg)
	if c.mask != 0 {
		a.emit(unix.BPF_ALU|unix.BPF_AND|unix.BPF_K, c.mask, 0, 0)
	}
	if c.anyBit != 0 {
		a.returnIf(unix.BPF_JSET, c.anyBit, denyCall)
	}
	for _, v := range c.when {
		a.returnIf(unix.BPF_JEQ, v, denyCall)
	}
	for i, v := range c.unless { // a match jumps over the rest and the denial
		a.emit(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, v, uint8(len(c.unless)-i), 0)
	}
	if len(c.unless) > 0 {
		a.ret(denyCall)
	}
}
