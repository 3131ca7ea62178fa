//go:build amd64 || arm64

package sandbox

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// remedy names what an operator can do about a refusal. It looks at this machine's settings, since one errno has several
// causes.
func remedy(feature string, cause error) string {
	switch feature {
	case featureUserNS:
		return userNamespaceRemedy()
	case featureMounts, featureNetwork:
		if setting("kernel/apparmor_restrict_unprivileged_userns") == "1" {
			return "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile for tacho that grants userns"
		}
		return "in a container: --security-opt seccomp=unconfined --security-opt apparmor=unconfined; else ask what forbids mount in user namespaces (SELinux, AppArmor, a seccomp filter)"
	case featureProc:
		return "in a container: --security-opt systempaths=unconfined, which uncovers /proc"
	case featureOverlay:
		return "a kernel with CONFIG_OVERLAY_FS (modprobe overlay) and a data directory (--data) on ext4, xfs, btrfs or tmpfs that overlayfs can write to"
	case featureLandlock:
		return landlockRemedy(cause)
	case featureSeccomp:
		return "a kernel with CONFIG_SECCOMP_FILTER"
	case featurePaths:
		return "make every directory on the way searchable (chmod o+x) for the user who runs tools, or choose another place with --data"
	case featureChildren:
		return "a kernel with CONFIG_PROC_CHILDREN, or tier 1"
	case featureCloseRange:
		return "a kernel of 5.11 or newer; in a container: a seccomp profile that permits close_range"
	case featureProcesses:
		return "raise the limit of processes (ulimit -u)"
	}
	return "report this with the output of tacho doctor"
}

func userNamespaceRemedy() string {
	switch {
	case setting("kernel/unprivileged_userns_clone") == "0":
		return "sysctl -w kernel.unprivileged_userns_clone=1"
	case setting("user/max_user_namespaces") == "0":
		return "sysctl -w user.max_user_namespaces=15000"
	case setting("kernel/apparmor_restrict_unprivileged_userns") == "1":
		return "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile for tacho that grants userns"
	}
	return "a kernel with CONFIG_USER_NS; in a container: --security-opt seccomp=unconfined; else sysctl -w user.max_user_namespaces=15000"
}

func landlockRemedy(cause error) string {
	switch cause {
	case unix.ENOSYS:
		return "a kernel of 5.19 or newer (tier 2: 6.12) with CONFIG_SECURITY_LANDLOCK; in a container: a seccomp profile that permits landlock_*"
	case unix.EOPNOTSUPP:
		return "boot with landlock in the kernel's lsm= list"
	}
	return "a kernel of 5.19 or newer for tier 1, 6.12 or newer for tier 2"
}

// setting reads a sysctl; empty if there is none.
func setting(name string) string {
	b, err := os.ReadFile("/proc/sys/" + name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
