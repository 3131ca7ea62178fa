package sandbox

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
)

// Tier is how a command is confined. Its zero value asks Open to choose the strongest that works.
type Tier int

// The tiers. A smaller positive number is a stronger one.
const (
	Off            Tier = -1 // plain execution, only when asked for by name
	TierAuto       Tier = 0
	TierNamespaces Tier = 1
	TierLandlock   Tier = 2
)

// String gives the name used in journals and on the command line.
func (t Tier) String() string {
	switch t {
	case Off:
		return "off"
	case TierAuto:
		return "auto"
	case TierNamespaces:
		return "namespaces"
	case TierLandlock:
		return "landlock"
	}
	return fmt.Sprintf("tier(%d)", int(t))
}

// DefaultUID is the host user and group that owns managed trees and runs tools when the server is root. It lies in the
// range 60706–61183 that neither systemd nor the distributions allocate.
const DefaultUID = 60960

// Config says what a run's processes may see. All paths are absolute and clean.
type Config struct {
	Tree    string // host directory of the managed tree; as root it belongs to UID
	Mount   string // where tools see the tree: the user's original directory, which need not exist
	Home    string // host directory that is the agent's HOME, writable, private to the run
	Tmp     string // host directory that is the agent's /tmp, writable, private to the run
	Scratch string // host directory for the overlays of calls, private to the run, on a file system that can be an upper (Tree's)

	// Alive is a file that is locked as long as a process of this sandbox lives that a tool does not control, whatever has
	// become of its parent: see AwaitEnd. It is made if it is not there. "": there is none.
	Alive string

	// ReadOnly are further host paths shown read-only at the same place, such as GOROOT or a module cache. One that cannot
	// be shown refuses Open. A socket below one of them can be connected to: do not name directories that hold any.
	ReadOnly []string

	// UID is the host user and group that tools run as when the caller is root; 0 means DefaultUID. An ordinary user's
	// tools run as that user, as do those of a root who has no other; see ToolUser.
	UID int

	Tier    Tier // TierAuto chooses
	MinTier Tier // the weakest tier to accept; TierAuto accepts TierNamespaces and TierLandlock
	Limits  Limits

	// Log receives what the zygote has to say; nil discards it.
	Log *slog.Logger
}

// Limits bounds the processes of a call. A zero field takes the default; a negative one lifts the limit.
// They are inherited by each process, except Processes, which the kernel counts over the run's user: in tier 1 over all
// calls of the run, in tier 2 over everything that user runs (Open adds what is there already).
type Limits struct {
	Processes    int64 // processes and threads at once; default 4,096 (a parallel Go build has hundreds)
	OpenFiles    int64 // descriptors per process; default 4,096
	FileSize     int64 // bytes of one file; default 4 GiB
	CPUSeconds   int64 // processor time of one process in seconds; default 3,600
	AddressSpace int64 // bytes of address space of one process; default none, since runtimes reserve far more than they use
}

func (l Limits) withDefaults() Limits {
	def := func(v *int64, d int64) {
		if *v == 0 {
			*v = d
		}
	}
	def(&l.Processes, 4096)
	def(&l.OpenFiles, 4096)
	def(&l.FileSize, 4<<30)
	def(&l.CPUSeconds, 3600)
	def(&l.AddressSpace, -1)
	return l
}

// withDefaults checks c and fills what was left out. Its errors are the caller's mistakes, never the machine's.
func (c Config) withDefaults() (Config, error) {
	for name, p := range map[string]string{"tree": c.Tree, "mount": c.Mount, "home": c.Home, "tmp": c.Tmp, "scratch": c.Scratch} {
		if err := checkPath(p); err != nil {
			return c, fmt.Errorf("check %s: %w", name, err)
		}
	}
	for _, p := range c.ReadOnly {
		if err := checkPath(p); err != nil {
			return c, fmt.Errorf("check read-only path: %w", err)
		}
	}
	if len(c.ReadOnly) > maxReadOnly {
		return c, fmt.Errorf("check read-only paths: %d given, at most %d can be shown", len(c.ReadOnly), maxReadOnly)
	}
	if reserved(c.Mount) {
		return c, fmt.Errorf("check mount %s: the sandbox shows its own directory there; the tree must lie elsewhere", c.Mount)
	}
	if c.Tier < Off || c.Tier > TierLandlock || c.MinTier < TierAuto || c.MinTier > TierLandlock {
		return c, fmt.Errorf("check tier: %v with minimum %v is none of auto, namespaces, landlock, off", c.Tier, c.MinTier)
	}
	if c.UID < 0 {
		return c, fmt.Errorf("check uid: %d is negative", c.UID)
	}
	c.UID = ToolUser(c.UID)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Limits = c.Limits.withDefaults()
	return c, nil
}

// maxReadOnly keeps the start frame's descriptors below the kernel's 253 per message, with room for our own binds.
const maxReadOnly = 192

// tiers lists what Open tries, strongest first; empty when Tier and MinTier contradict each other.
func (c Config) tiers() []Tier {
	if c.Tier == Off && c.MinTier == TierAuto {
		return []Tier{Off}
	}
	var ts []Tier
	for _, t := range []Tier{TierNamespaces, TierLandlock} {
		wanted := c.Tier == TierAuto || c.Tier == t
		if wanted && (c.MinTier == TierAuto || t <= c.MinTier) {
			ts = append(ts, t)
		}
	}
	return ts
}

func checkPath(p string) error {
	switch {
	case p == "":
		return errors.New("path is empty")
	case !filepath.IsAbs(p):
		return fmt.Errorf("path %q is not absolute", p)
	case filepath.Clean(p) != p:
		return fmt.Errorf("path %q is not clean; did you mean %q?", p, filepath.Clean(p))
	case strings.IndexByte(p, 0) >= 0:
		return fmt.Errorf("path %q holds a NUL byte", p)
	}
	return nil
}

// reserved tells whether the sandbox's own root needs p itself.
func reserved(p string) bool {
	switch p {
	case "/", "/tmp", "/home", "/usr", "/etc", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/var":
		return true
	}
	for _, d := range []string{"/proc", "/dev", "/sys", hidden} {
		if within(p, d) {
			return true
		}
	}
	return false
}

// hidden is where the zygote keeps the mounts that no call may see; each call covers it.
const hidden = "/.tacho"

// within tells whether p is dir or lies below it. Both are clean.
func within(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir) && p[len(dir)] == '/'
}
