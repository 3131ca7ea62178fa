//go:build amd64 || arm64

package sandbox

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Landlock access rights (linux/landlock.h), by use.
const (
	accessRead      = unix.LANDLOCK_ACCESS_FS_READ_FILE
	accessReadWrite = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE
	accessShow      = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	accessAll       = ^uint64(0) // whatever the ruleset handles
)

// ABIs that the tiers demand. Rights are never left out for a kernel that lacks them: it is refused instead.
const (
	tier1ABI = 2 // 1 refuses every rename and link between directories; namespaces carry the rest
	tier2ABI = 6 // signals and abstract sockets scoped; 3 and 5 bring truncation and device ioctls
)

// landlockABI asks the kernel. 0 and the kernel's reason if it has no Landlock or it was not enabled at boot.
func landlockABI() (int, error) {
	v, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if e != 0 {
		return 0, e
	}
	return int(v), nil
}

// handledAccess is every file-system right that an ABI knows, all of them denied unless a rule grants them.
func handledAccess(abi int) uint64 {
	h := uint64(1<<13 - 1)
	if abi >= 2 {
		h |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if abi >= 3 {
		h |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if abi >= 5 {
		h |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	return h
}

// fileAccess are the rights that a rule on something other than a directory may grant.
const fileAccess = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_READ_FILE |
	unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV

// ruleset is a Landlock ruleset under construction. Its descriptor closes on exec.
type ruleset struct {
	fd      int
	handled uint64
}

func newRuleset(abi int) (*ruleset, error) {
	attr := unix.LandlockRulesetAttr{Handled_access_fs: handledAccess(abi)}
	size := unsafe.Sizeof(attr.Handled_access_fs)
	if abi >= tier2ABI {
		attr.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
		size = unsafe.Offsetof(attr.Scoped) + unsafe.Sizeof(attr.Scoped)
	}
	fd, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	if e != 0 {
		return nil, fmt.Errorf("create ruleset: %w", e)
	}
	return &ruleset{fd: int(fd), handled: attr.Handled_access_fs}, nil
}

// allow grants access to what fd (O_PATH) is, and below it if it is a directory.
func (r *ruleset) allow(fd int, access uint64) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		access &= fileAccess
	}
	rule := beneath(fd, access&r.handled)
	_, _, e := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(r.fd), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(rule)), 0, 0, 0)
	if e != 0 {
		return e
	}
	return nil
}

func (r *ruleset) close() { unix.Close(r.fd) }

func beneath(fd int, access uint64) *unix.LandlockPathBeneathAttr {
	return &unix.LandlockPathBeneathAttr{Allowed_access: access, Parent_fd: int32(fd)}
}
