//go:build amd64 || arm64

package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

// callScript is a script with what must be closed once it has been forked.
type callScript struct {
	*script
	rules   *ruleset
	status  *os.File
	net     int    // tier 1: the call's network namespace; else negative
	scratch string // tier 1: the directories of the call's overlay, once they are its own
}

func (s *callScript) close() {
	s.release()
	s.status.Close()
	if s.rules != nil {
		s.rules.close()
	}
	if s.net >= 0 {
		unix.Close(s.net)
	}
}

// newCallScript writes the script of a call, and gives the pipe its reports come through.
func (z *zygote) newCallScript(rq request, stdio [3]int) (*callScript, *os.File, error) {
	reports, status, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	s := &callScript{script: newScript(z.cloneFlags(), int(status.Fd())), status: status, net: -1}
	fail := func(err error) (*callScript, *os.File, error) {
		s.close()
		s.dropScratch()
		reports.Close()
		return nil, nil, err
	}
	if z.layout.Tier != Off {
		if s.rules, err = z.newCallRules(rq.Overlay); err != nil {
			return fail(refuse(featureLandlock, "make ruleset", err))
		}
	}
	if z.layout.Tier == TierNamespaces {
		if err := z.namespaceOps(s, rq); err != nil {
			return fail(err)
		}
	} else {
		s.add(&s.init, op{feature: featureProcesses, name: "become subreaper", nr: unix.SYS_PRCTL, args: [6]uintptr{unix.PR_SET_CHILD_SUBREAPER, 1}})
		s.add(&s.init, op{feature: featureProcesses, name: "follow the zygote", nr: unix.SYS_PRCTL, args: [6]uintptr{unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL)}})
	}
	z.privilegeOps(s)
	z.commandOps(s, rq, stdio)
	for _, r := range [][2]uintptr{{0, helperAlive - 1}, {helperAlive + 1, s.script.status - 1}, {s.script.status + 1, maxFD}} {
		s.add(&s.after, op{feature: featureCloseRange, name: "close descriptors", nr: unix.SYS_CLOSE_RANGE, args: [6]uintptr{r[0], r[1]}, may: unix.EINVAL}) // an empty range
	}
	return s, reports, nil
}

const maxFD = 1<<32 - 1

func (z *zygote) cloneFlags() uintptr {
	if z.layout.Tier != TierNamespaces {
		return 0
	}
	return unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC
}

// newCallRules makes the ruleset with the rules that can be made before the fork.
func (z *zygote) newCallRules(write bool) (*ruleset, error) {
	rs, err := newRuleset(z.abi)
	if err != nil {
		return nil, err
	}
	grants := z.grants
	if z.tree >= 0 {
		access := uint64(accessShow)
		if write {
			access = accessAll
		}
		grants = append(grants[:len(grants):len(grants)], grant{z.tree, access})
	}
	for _, g := range grants {
		if err := rs.allow(g.fd, g.access); err != nil {
			rs.close()
			return nil, err
		}
	}
	return rs, nil
}

// dropScratch removes the overlay directories of a call that did not run.
func (s *callScript) dropScratch() {
	if s.scratch != "" {
		dropScratch(s.scratch)
	}
}

// placeScratch names overlay directories after the call. The upper's mode becomes that of the tree's root as calls see it.
func (z *zygote) placeScratch(s *callScript, id string) error {
	st, err := os.Stat(hiddenTree)
	if err != nil {
		return refuse(featurePaths, "look at the tree", err)
	}
	spare, err := z.scratch.take()
	if err != nil {
		return err
	}
	dir := filepath.Join(hiddenScratch, id)
	if _, err = os.Lstat(dir); err == nil {
		err = unix.EEXIST // rename would replace an empty directory
	} else if err = os.Rename(spare, dir); err == nil {
		err = os.Chmod(filepath.Join(dir, upperName), st.Mode().Perm())
	}
	if err != nil {
		dropScratch(spare)
		return refuse(featurePaths, "make overlay directories", err)
	}
	s.scratch = dir
	return nil
}

func (s *script) add(ops *[]op, o op) { *ops = append(*ops, o) }

// namespaceOps furnish the call's own namespaces: network, overlay, shared memory, proc.
func (z *zygote) namespaceOps(s *callScript, rq request) error {
	var err error
	if s.net, err = z.nets.take(); err != nil {
		return err
	}
	add := func(feature, name string, nr uintptr, args ...uintptr) *op {
		o := op{feature: feature, name: name, nr: nr}
		copy(o.args[:], args)
		s.add(&s.init, o)
		return &s.init[len(s.init)-1]
	}
	add(featureNetwork, "enter network namespace", unix.SYS_SETNS, uintptr(s.net), unix.CLONE_NEWNET)
	if rq.Overlay {
		if err := z.placeScratch(s, rq.ID); err != nil {
			return err
		}
		z.overlayOps(s, rq.ID, add)
	}
	shm, tmpfs := s.text("/dev/shm"), s.text("tmpfs")
	add(featureMounts, "mount /dev/shm", unix.SYS_MOUNT, tmpfs, shm, tmpfs, unix.MS_NOSUID|unix.MS_NODEV, s.text("size=64m,mode=1777"))
	z.allowOps(s, "/dev/shm", add)
	// Covered, not taken off: an unmount waits for the whole machine (a grace period of RCU), and without capabilities
	// nobody can lift the cover.
	add(featureMounts, "hide "+hidden, unix.SYS_MOUNT, s.text(emptyDir), s.text(hidden), 0, unix.MS_BIND)
	procOps(s, z.masks, add)
	return nil
}

type adder func(feature, name string, nr uintptr, args ...uintptr) *op

const atFDCWD = ^uintptr(99) // AT_FDCWD, -100

// noLinks refuses symbolic links on the way: a mount point below /tmp lies where earlier calls could write.
const noLinks = unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS

func (s *callScript) openOp(add adder, path string, save *int32) {
	how := place(s.script, unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: noLinks})
	add(featurePaths, "open "+path, unix.SYS_OPENAT2, atFDCWD, s.text(path), number(how), unsafe.Sizeof(*how)).save = save
}

// overlayOps mount the call's overlay where calls see the tree. It is volatile: without that, its unmount syncs the whole
// file system that Scratch lies on, at every call. That costs three more inodes a call, and a delta that is lost with the
// machine, which is no loss: a call whose end was not journalled is dropped and run again.
func (z *zygote) overlayOps(s *callScript, id string, add adder) {
	point := place(s.script, int32(0))
	s.openOp(add, z.layout.Mount, point)
	dup := add(featureOverlay, "name mount point", unix.SYS_DUP3, 0, uintptr(z.spareFD), unix.O_CLOEXEC)
	dup.from, dup.fromArg = point, 0
	dir := filepath.Join(hiddenScratch, id)
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s/%s,workdir=%s/%s,userxattr,volatile", hiddenTree, dir, upperName, dir, workName)
	overlay := s.text("overlay")
	add(featureOverlay, "mount overlay", unix.SYS_MOUNT, overlay, s.text(fmt.Sprintf("/proc/self/fd/%d", z.spareFD)), overlay,
		unix.MS_NOSUID|unix.MS_NODEV, s.text(options))
	z.allowOps(s, z.layout.Mount, add)
}

// allowOps grant everything below a path that exists only in the call.
func (z *zygote) allowOps(s *callScript, path string, add adder) {
	rule := place(s.script, *beneath(-1, s.rules.handled))
	s.openOp(add, path, &rule.Parent_fd)
	add(featureLandlock, "allow "+path, unix.SYS_LANDLOCK_ADD_RULE, uintptr(s.rules.fd), unix.LANDLOCK_RULE_PATH_BENEATH, number(rule))
}

// procMasks are the files to mask that this kernel has.
func procMasks() []string {
	var out []string
	for _, name := range []string{"kcore", "keys", "key-users", "timer_list", "sched_debug", "latency_stats", "config.gz",
		"kallsyms", "sysrq-trigger", "kmsg", "kpagecount", "kpageflags", "kpagecgroup"} {
		if _, err := os.Lstat("/proc/" + name); err == nil {
			out = append(out, "/proc/"+name)
		}
	}
	return out
}

// procOps show the call's own processes, and mask what proc tells about the machine. Nothing in proc can be written:
// Landlock grants reading only, and the process has no privilege that would let it.
func procOps(s *callScript, masks []string, add adder) {
	proc := s.text("proc")
	add(featureProc, "mount proc", unix.SYS_MOUNT, proc, s.text("/proc"), proc, unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, s.text("hidepid=invisible"))
	null := s.text("/dev/null")
	for _, p := range masks {
		add(featureProc, "mask "+p, unix.SYS_MOUNT, null, s.text(p), 0, unix.MS_BIND)
	}
	adj := place(s.script, int32(0))
	add(featureProc, "open oom_score_adj", unix.SYS_OPENAT, atFDCWD, s.text("/proc/self/oom_score_adj"), unix.O_WRONLY|unix.O_CLOEXEC).save = adj
	write := add(featureProc, "offer itself to the OOM killer", unix.SYS_WRITE, 0, s.text("1000"), 4)
	write.from, write.fromArg = adj, 0
}

// privilegeOps take from the init, and so from the command, every way to gain or regain a privilege.
func (z *zygote) privilegeOps(s *callScript) {
	prctl := func(name string, a ...uintptr) *op {
		o := op{feature: featureSeccomp, name: name, nr: unix.SYS_PRCTL}
		copy(o.args[:], a)
		s.add(&s.init, o)
		return &s.init[len(s.init)-1]
	}
	if z.layout.Tier == Off {
		return
	}
	prctl("set no_new_privs", unix.PR_SET_NO_NEW_PRIVS, 1)
	if z.layout.Tier == TierNamespaces {
		prctl("lock securebits", unix.PR_SET_SECUREBITS, lockedSecurebits)
		for c := uintptr(0); c < 64; c++ {
			prctl("drop bounding capability", unix.PR_CAPBSET_DROP, c).may = unix.EINVAL // beyond the last one
		}
		prctl("clear ambient capabilities", unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL)
	}
	header := place(s.script, unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3})
	none := place(s.script, [2]unix.CapUserData{})
	s.add(&s.init, op{feature: featureSeccomp, name: "drop capabilities", nr: unix.SYS_CAPSET, args: [6]uintptr{number(header), number(none)}})
	prctl("close itself to tracing", unix.PR_SET_DUMPABLE, 0)
}

// lockedSecurebits: uid 0 means nothing, changing uid changes no capability, and none of it can be unset.
const lockedSecurebits = 0x2f

// commandOps make the forked child the command.
func (z *zygote) commandOps(s *callScript, rq request, stdio [3]int) {
	add := func(feature, name string, nr uintptr, args ...uintptr) *op {
		o := op{feature: feature, name: name, nr: nr}
		copy(o.args[:], args)
		s.add(&s.cmd, o)
		return &s.cmd[len(s.cmd)-1]
	}
	add(featureProcesses, "make session", unix.SYS_SETSID)
	if s.linger {
		add(featureProcesses, "follow the init", unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL))
	}
	for i, fd := range stdio {
		add(featureProcesses, "place descriptor", unix.SYS_DUP3, uintptr(fd), uintptr(i), 0)
	}
	add(featureProcesses, "set umask", unix.SYS_UMASK, 0o022)
	if z.layout.Tier != Off {
		for _, l := range z.layout.Limits.resources() {
			add(featureProcesses, "limit "+l.name, unix.SYS_PRLIMIT64, 0, l.resource, number(place(s.script, unix.Rlimit{Cur: l.value, Max: l.value})))
		}
	}
	defaults := number(place(s.script, [4]uint64{})) // struct sigaction with SIG_DFL
	for sig := uintptr(1); sig <= 64; sig++ {
		add(featureProcesses, "reset signal", unix.SYS_RT_SIGACTION, sig, defaults, 0, 8).may = unix.EINVAL // KILL and STOP
	}
	add(featurePaths, "change directory", unix.SYS_CHDIR, s.text(string(rq.Dir)))
	if s.rules != nil {
		add(featureLandlock, "enforce Landlock", unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(s.rules.fd), 0)
		add(featureSeccomp, "install filter", unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, number(z.filter))
	}
	add(featureCloseRange, "mark descriptors", unix.SYS_CLOSE_RANGE, 3, maxFD, unix.CLOSE_RANGE_CLOEXEC)
	add(featureProcesses, "unblock signals", unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, number(place(s.script, uint64(0))), 0, 8)
	s.cmdExec = len(s.cmd)
	env := plainStrings(rq.Env)
	argv, envp := s.texts(plainStrings(rq.Args)), s.texts(env)
	if len(rq.Args) == 0 {
		s.dryRun = true
		return
	}
	for _, path := range candidates(string(rq.Args[0]), env) {
		add(featureProgram, "execute", unix.SYS_EXECVE, s.text(path), argv, envp)
	}
}
