//go:build amd64 || arm64

package sandbox_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// attack is something that a process in the sandbox must not be able to do. It runs in a process of its own, this test
// binary started again, inside and, as a control that shows that it would work, outside.
type attack struct {
	name string
	do   func() error // nil: it succeeded

	// reach are errors that prove, outside, that the kernel got past its permission checks: the arguments of a dangerous
	// call are wrong on purpose. Without any the control must succeed.
	reach []error
	// root: only root could do it at all, so that the control runs as root only.
	root bool
	// asTool: the control runs as the tools' user (which needs root too).
	asTool bool
	// noControl says why there is no control.
	noControl string
	// killed: inside, the process dies of this signal instead of getting an error.
	killed string
	// tier2Open says why tier 2 does not stop this (the package comment tells users).
	tier2Open string
}

// Facts about the host that attacks are given by environment.
const (
	envVictim   = "ATTACK_VICTIM"   // process id
	envTCP      = "ATTACK_TCP"      // address of a listener
	envUDP      = "ATTACK_UDP"      // address of an echo
	envAbstract = "ATTACK_ABSTRACT" // name of an abstract socket
	envSocket   = "ATTACK_SOCKET"   // path of a socket
	envCanary   = "ATTACK_CANARY"   // file of mode 0600
	envOutside  = "ATTACK_OUTSIDE"  // directory of mode 0777
	envDirs     = "ATTACK_DIRS"     // HOME, GOCACHE, TMPDIR
	envShm      = "ATTACK_SHM"      // key of a System V segment
	envSetuid   = "ATTACK_SETUID"   // set-user-id root copy of this binary
)

func runAttack(name string) {
	runtime.LockOSThread()
	for _, a := range attacks() {
		if a.name == name {
			if err := a.do(); err != nil {
				var errno syscall.Errno
				errors.As(err, &errno)
				leave(10, fmt.Sprintf("%d %v", int(errno), err))
			}
			leave(0, "done")
		}
	}
	leave(11, "no such attack")
}

func raw(nr uintptr, args ...uintptr) error {
	var a [6]uintptr
	copy(a[:], args)
	if _, _, e := syscall.Syscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5]); e != 0 {
		return e
	}
	return nil
}

func victim() int {
	n, err := strconv.Atoi(os.Getenv(envVictim))
	if err != nil {
		panic(err)
	}
	return n
}

func socket(family, kind, proto int) func() error {
	return func() error {
		_, err := unix.Socket(family, kind, proto)
		return err
	}
}

func dial(network, env string) func() error {
	return func() error {
		c, err := net.DialTimeout(network, os.Getenv(env), 2*time.Second)
		if err != nil {
			return err
		}
		return c.Close()
	}
}

func write(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	f.Close()
	return os.Remove(path)
}

func openFor(flags int, paths ...string) func() error {
	return func() error {
		var err error
		for _, p := range paths {
			f, e := os.OpenFile(p, flags, 0)
			if e == nil {
				return f.Close()
			}
			err = e
		}
		return err
	}
}

const marker = "tacho-attack"

var noSuch = []error{unix.ENOENT}

// attacks is a function so that nothing of it is package state.
func attacks() []attack {
	return slices.Concat(mountAttacks(), processAttacks(), networkAttacks(), fileAttacks(), kernelAttacks())
}

func mountAttacks() []attack {
	return []attack{
		{name: "mount", root: true, reach: noSuch, do: func() error { return unix.Mount("none", "/no-such-place", "tmpfs", 0, "") }},
		{name: "umount", root: true, reach: noSuch, do: func() error { return unix.Unmount("/no-such-place", 0) }},
		{name: "fsopen", root: true, do: func() error { _, err := unix.Fsopen("tmpfs", 0); return err }},
		{name: "open_tree clone", root: true, do: func() error { _, err := unix.OpenTree(-1, "/", unix.OPEN_TREE_CLONE); return err }},
		{name: "move_mount", reach: []error{unix.EBADF, unix.ENOENT}, root: true, do: func() error { return unix.MoveMount(-1, "", -1, "", unix.MOVE_MOUNT_F_EMPTY_PATH) }},
		{name: "mount_setattr", root: true, reach: noSuch, do: func() error {
			return unix.MountSetattr(-1, "/no-such-place", 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOEXEC})
		}},
		{name: "pivot_root", root: true, reach: noSuch, do: func() error { return unix.PivotRoot("/no-such-place", "/no-such-place") }},
		{name: "chroot", root: true, do: func() error { return unix.Chroot("/") }},
		{name: "unshare network", root: true, do: func() error { return unix.Unshare(unix.CLONE_NEWNET) }},
		{name: "unshare user", reach: []error{unix.EINVAL}, do: func() error { return unix.Unshare(unix.CLONE_NEWUSER) }}, // EINVAL: we have threads
		{name: "clone user namespace", do: func() error {
			c := exec.Command("/bin/true")
			c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}
			return c.Run()
		}},
		{name: "clone3", reach: []error{unix.EINVAL}, do: func() error { return raw(unix.SYS_CLONE3) }},
		{name: "setns", reach: []error{unix.EBADF}, do: func() error { return unix.Setns(-1, 0) }},
	}
}

func processAttacks() []attack {
	return []attack{
		{name: "ptrace", root: true, do: func() error { return raw(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(victim())) }},
		{name: "process_vm_readv", reach: []error{unix.EFAULT}, do: func() error {
			var b byte
			iov := unix.Iovec{Base: &b, Len: 1}
			remote := unix.RemoteIovec{Base: 1, Len: 1}
			_, err := unix.ProcessVMReadv(victim(), []unix.Iovec{iov}, []unix.RemoteIovec{remote}, 0)
			return err
		}},
		{name: "signal a host process", do: func() error { return unix.Kill(victim(), 0) }},
		{name: "pidfd_getfd", reach: []error{unix.EBADF}, do: func() error { return raw(unix.SYS_PIDFD_GETFD, ^uintptr(0)) }},
		{name: "limit a host process", do: func() error { return unix.Prlimit(victim(), unix.RLIMIT_CPU, nil, &unix.Rlimit{}) }},
		{name: "slow a host process", do: func() error { return unix.Setpriority(unix.PRIO_PROCESS, victim(), 19) }},
		{name: "pin a host process", do: func() error {
			var s unix.CPUSet
			s.Set(0)
			return unix.SchedSetaffinity(victim(), &s)
		}},
		{name: "see host processes", do: func() error {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", victim()))
			if err == nil && !strings.Contains(string(b), marker) {
				err = unix.ESRCH
			}
			return err
		}},
		{name: "read a host process's environment", do: func() error {
			_, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", victim()))
			return err
		}},
		{name: "enter a host process's root", do: openFor(os.O_RDONLY, fmt.Sprintf("/proc/%s/root/etc", os.Getenv(envVictim)))},
		{name: "enter the parent's root", do: openFor(os.O_RDONLY, fmt.Sprintf("/proc/%d/root", os.Getppid()))},
		{name: "read the parent's executable", do: openFor(os.O_RDONLY, fmt.Sprintf("/proc/%d/exe", os.Getppid()))},
		{name: "write the parent's memory", do: openFor(os.O_RDWR, fmt.Sprintf("/proc/%d/mem", os.Getppid()))},
		{name: "set-user-id program", asTool: true, do: func() error {
			return exec.Command(os.Getenv(envSetuid), "attack", "be root").Run()
		}},
		{name: "be root", root: true, do: func() error {
			if os.Geteuid() != 0 {
				return unix.EPERM
			}
			return nil
		}},
		{name: "inherited descriptors", do: inheritedDescriptor},
		{name: "System V memory", do: func() error {
			key, err := strconv.Atoi(os.Getenv(envShm))
			if err != nil {
				return err
			}
			_, err = unix.SysvShmGet(key, 0, 0)
			return err
		}},
	}
}

// inheritedDescriptor succeeds if there is a descriptor that neither the standard three nor the Go runtime opened.
func inheritedDescriptor() error {
	for fd := 3; fd < 1024; fd++ {
		name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		own := strings.HasPrefix(name, "anon_inode:[event") || strings.HasPrefix(name, "/sys/fs/cgroup") || strings.HasPrefix(name, "anon_inode:[pidfd")
		if err == nil && !own {
			return nil
		}
	}
	return unix.EBADF
}

func networkAttacks() []attack {
	absent := []error{unix.EAFNOSUPPORT, unix.EPROTONOSUPPORT, unix.ESOCKTNOSUPPORT, nil}
	return []attack{
		{name: "connect to the host", do: dial("tcp", envTCP)},
		{name: "exchange datagrams with the host", do: func() error {
			c, err := net.Dial("udp", os.Getenv(envUDP))
			if err != nil {
				return err
			}
			defer c.Close()
			if err := c.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
				return err
			}
			if _, err := c.Write([]byte{1}); err != nil {
				return err
			}
			_, err = c.Read(make([]byte, 1))
			return err
		}},
		{name: "metadata service", noControl: "it answers in clouds only", do: func() error {
			c, err := net.DialTimeout("tcp", "169.254.169.254:80", 2*time.Second)
			if err != nil {
				return err
			}
			return c.Close()
		}},
		{name: "abstract socket", do: dial("unix", envAbstract)},
		{name: "socket in the file system", do: dial("unix", envSocket)},
		{name: "interfaces", noControl: "the host may have none but loopback", do: func() error {
			ifs, err := net.Interfaces()
			for _, i := range ifs {
				if i.Flags&net.FlagLoopback == 0 && i.Flags&net.FlagUp != 0 {
					return nil
				}
			}
			return errors.Join(unix.ENODEV, err)
		}},
		{name: "raw socket", root: true, reach: absent, do: socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)},
		{name: "packet socket", root: true, reach: absent, do: socket(unix.AF_PACKET, unix.SOCK_RAW, 0)},
		{name: "vsock", reach: absent, do: socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0)},
		{name: "alg socket", reach: absent, do: socket(unix.AF_ALG, unix.SOCK_SEQPACKET, 0)},
		{name: "xdp socket", root: true, reach: absent, do: socket(unix.AF_XDP, unix.SOCK_RAW, 0)},
		{name: "audit netlink", reach: absent, do: socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_AUDIT)},
		{name: "netfilter netlink", reach: absent, do: socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER)},
		{name: "generic netlink", reach: absent, do: socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_GENERIC)},
	}
}

func fileAttacks() []attack {
	return []attack{
		{name: "read shadow", root: true, do: openFor(os.O_RDONLY, "/etc/shadow")},
		{name: "read a private file", do: openFor(os.O_RDONLY, os.Getenv(envCanary))},
		{name: "truncate a private file", do: func() error { return unix.Truncate(os.Getenv(envCanary), 6) }}, // its own length
		{name: "follow a link out of the tree", do: openFor(os.O_RDONLY, "link")},
		{name: "follow a directory link out of the tree", do: func() error { return write("linkdir/" + marker) }},
		{name: "hard link from outside", do: func() error {
			if err := os.Link(os.Getenv(envCanary), "hard"); err != nil {
				return err
			}
			return os.Remove("hard")
		}},
		{name: "rename to outside", do: func() error {
			if err := os.WriteFile("moving", nil, 0o600); err != nil {
				return err
			}
			defer os.Remove("moving")
			to := filepath.Join(os.Getenv(envOutside), "moved")
			if err := os.Rename("moving", to); err != nil {
				return err
			}
			return os.Remove(to)
		}},
		{name: "write outside", do: func() error { return write(filepath.Join(os.Getenv(envOutside), marker)) }},
		{name: "write the user's directories", do: func() error {
			var err error
			for d := range strings.SplitSeq(os.Getenv(envDirs), ":") {
				if err = write(filepath.Join(d, marker)); err == nil {
					return nil
				}
			}
			return err
		}},
		{name: "change a mode outside", tier2Open: "Landlock does not govern modes", do: func() error { return os.Chmod(os.Getenv(envCanary), 0o600) }},
		{name: "write /usr", root: true, do: func() error { return write("/usr/" + marker) }},
		{name: "write /etc", root: true, do: func() error { return write("/etc/" + marker) }},
		{name: "write /", root: true, do: func() error { return write("/" + marker) }},
		{name: "core_pattern", root: true, do: openFor(os.O_WRONLY, "/proc/sys/kernel/core_pattern")},
		{name: "sysctl", root: true, do: openFor(os.O_WRONLY, "/proc/sys/vm/drop_caches")},
		{name: "sysrq", root: true, reach: noSuch, do: openFor(os.O_WRONLY, "/proc/sysrq-trigger")},
		{name: "devices", root: true, do: openFor(os.O_RDONLY, "/dev/kmsg", "/dev/mem", "/dev/vda", "/dev/sda", "/dev/nvme0n1")},
		{name: "make a character device", root: true, do: func() error { return mknod(unix.S_IFCHR) }},
		{name: "make a block device", root: true, do: func() error { return mknod(unix.S_IFBLK) }},
		{name: "open_by_handle_at", root: true, reach: []error{unix.EFAULT}, do: func() error { return raw(unix.SYS_OPEN_BY_HANDLE_AT, ^uintptr(99), 0, 0) }},
	}
}

func mknod(kind uint32) error {
	path := filepath.Join(os.TempDir(), marker+".dev")
	if err := unix.Mknod(path, kind|0o600, int(unix.Mkdev(7, 250))); err != nil {
		return err
	}
	return os.Remove(path)
}

func kernelAttacks() []attack {
	terminal := []error{unix.ENOTTY}
	as := []attack{
		{name: "bpf", root: true, reach: []error{unix.EINVAL, unix.EFAULT}, do: func() error { return raw(unix.SYS_BPF, 9999, 0, 0) }},
		{name: "io_uring", reach: []error{unix.EFAULT, unix.EINVAL, unix.EPERM}, do: func() error { return raw(unix.SYS_IO_URING_SETUP, 1, 0) }},
		{name: "keyctl", do: func() error { _, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, true); return err }},
		{name: "add_key", reach: []error{unix.EFAULT}, do: func() error { return raw(unix.SYS_ADD_KEY) }},
		{name: "perf_event_open", reach: []error{unix.EFAULT}, do: func() error { return raw(unix.SYS_PERF_EVENT_OPEN) }},
		{name: "userfaultfd", root: true, do: func() error { return raw(unix.SYS_USERFAULTFD, 0) }},
		{name: "fanotify", root: true, do: func() error { _, err := unix.FanotifyInit(0, 0); return err }},
		{name: "kexec", root: true, reach: []error{unix.EINVAL, unix.ENOSYS}, do: func() error { return raw(unix.SYS_KEXEC_LOAD, 0, 0, 0, 0xffff) }},
		{name: "load a module", root: true, reach: []error{unix.EFAULT, unix.ENOEXEC, unix.ENOSYS}, do: func() error { return raw(unix.SYS_INIT_MODULE) }},
		{name: "reboot", root: true, reach: []error{unix.EINVAL}, do: func() error { return raw(unix.SYS_REBOOT, 1, 2, 3) }},
		{name: "swapon", root: true, reach: []error{unix.EFAULT, unix.EINVAL}, do: func() error { return raw(unix.SYS_SWAPON) }},
		{name: "acct", root: true, reach: []error{unix.ENOENT, unix.ENOSYS}, do: func() error { return unix.Acct("/no-such-place") }},
		{name: "set the clock", root: true, reach: []error{unix.EFAULT, unix.EINVAL}, do: func() error { return raw(unix.SYS_CLOCK_SETTIME, 0, 8) }},
		{name: "kernel log", root: true, do: func() error { return raw(unix.SYS_SYSLOG, 10, 0, 0) }},
		{name: "type for the user", reach: terminal, do: func() error { return ioctl(unix.TIOCSTI) }},
		{name: "type for the user, 64 bits", reach: terminal, do: func() error { return ioctl(1<<32 | unix.TIOCSTI) }},
		{name: "console selection", reach: terminal, do: func() error { return ioctl(0x541C) }},
		{name: "personality", do: func() error { return raw(unix.SYS_PERSONALITY, 0x0400000) }}, // READ_IMPLIES_EXEC
		{name: "a call of the future", noControl: "no kernel has it", do: func() error { return raw(4000) }},
	}
	return append(as, archAttacks()...)
}

func ioctl(request uintptr) error {
	var c byte
	return raw(unix.SYS_IOCTL, 0, request, uintptr(unsafe.Pointer(&c)))
}
