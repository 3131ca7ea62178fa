// Package sandbox runs a tool's process where it can change the managed tree and nothing else.
//
// It must never run a command with less protection than the tier it reported, never fall back from one tier to another
// after Open, never leave a process behind when Run or Close has returned, and never hand a tool a descriptor, an
// environment variable or a mount that its Config and Command do not name.
//
// Read first: Config and Command (config.go, command.go), then this page, then script_linux.go.
//
// # Tiers
//
// Tier 1 (TierNamespaces): user, mount, pid, network, ipc, uts and cgroup namespaces, a root directory made of read-only
// binds, no capabilities, Landlock (ABI 2 or newer), a system-call filter and resource limits. A call sees the managed
// tree at the user's original path through an overlay of its own, so that what it changed is the overlay's upper directory.
//
// Tier 2 (TierLandlock): no namespaces. Landlock (ABI 6 or newer, for the scoping of signals and abstract sockets), a
// stricter filter (no socket of any family, no System V or POSIX queues, no call that reaches another process) and resource
// limits. The tree is seen at its real path and written in place.
// What tier 2 leaves open, because Landlock does not govern it: names, sizes and modes of files outside can be seen (stat);
// a tool can change mode, times and attributes, never content, of files elsewhere that belong to the user it runs as (an
// ordinary user's own; as root those of other runs with the same Config.UID); host process numbers can be guessed. There is
// no network at all, not even loopback, and no socket between processes but socketpair's. If the zygote itself is killed
// (out of memory, not a killed parent) the command dies with it but a process that detached itself may not. A policy that
// cannot accept this sets MinTier to TierNamespaces.
//
// Off is plain execution, asked for by name, for machines that offer neither.
//
// No tier bounds the memory of a run as a whole: that needs a cgroup, which an ordinary user seldom has. A command is made
// the first choice of the kernel's out-of-memory killer instead, and Limits bounds each process.
//
// # The zygote
//
// Starting a Go binary costs more than all the mounts do, so a run starts this binary once more, the zygote, and each call
// is a fork of it:
//
//	tacho ── socketpair ── zygote (pid 1 of the run's namespaces; keeps capabilities over them, never runs foreign code)
//	                         ├─ init of call A (pid 1 of the call's pid namespace) ── command ── …
//	                         └─ init of call B ── command ── …
//
// The Go runtime cannot survive a fork, so the child between fork and execve runs no Go code that allocates, locks or grows
// a stack: it plays a script, a list of raw system calls that the zygote prepared before (script_linux.go). The init is
// such a child too and stays one: it plays its script, forks the command, forwards SIGTERM, reaps, reports and exits;
// the kernel then ends whatever is left in the namespace.
//
// The zygote ends when its socket does, so a killed parent takes everything with it: no timer, no parent-death signal
// (which follows the thread that forked, not the process).
//
// # Protocol
//
// A stream socket carries frames in both directions:
//
//	 0               4      5
//	+---------------+------+----------------------+
//	| length, u32 BE| kind | body, JSON, ≤ 8 MiB  |
//	+---------------+------+----------------------+
//
// Descriptors travel (SCM_RIGHTS) with the five bytes of the header. Parent to zygote: 's' start (the layout, with one
// descriptor per bind: a detached mount, or an O_PATH descriptor whose device and inode the zygote compares with what it
// opens itself), 'c' call (descriptors 0, 1 and 2 of the command), 'k' signal. Zygote to parent: 'r' ready, 'x' refused
// (before ready, then it exits), 'e' ended (one per call). Byte strings are base64, since arguments need not be UTF-8.
//
// The child reports to the zygote over a pipe, in records of native byte order:
//
//	 0      4      8      12     16                160
//	+------+------+------+------+-----------------+
//	| kind | a    | b    | 0    | struct rusage   |
//	+------+------+------+------+-----------------+
//
//	kind 1: a step of the init's script was refused; a is its index, b the errno
//	kind 2: a step of the command's script was refused; likewise
//	kind 3: the command ended, and in tier 1 everything else of the call; a is the wait status, rusage counts all that
//	        were reaped
package sandbox
