//go:build !linux

package embedded

import "syscall"

// dieWithParent is known to Linux only. Elsewhere a server whose helper was killed lives on, and holds
// child.lock, until somebody ends it.
func dieWithParent() *syscall.SysProcAttr { return nil }
