package sandbox

import "golang.org/x/sys/unix"

const (
	auditArch = unix.AUDIT_ARCH_AARCH64
	archMknod = 0 // only mknodat exists
)

// archDenied are calls that only this architecture has.
func archDenied() []uint32 { return nil }
