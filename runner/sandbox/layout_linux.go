//go:build amd64 || arm64

package sandbox

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// systemPaths are what programs need of the host to start at all. Only /usr must exist.
func systemPaths() []string {
	return []string{
		"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store",
		"/etc/alternatives", "/etc/ca-certificates", "/etc/crypto-policies", "/etc/ld.so.cache", "/etc/ld.so.conf",
		"/etc/ld.so.conf.d", "/etc/localtime", "/etc/mime.types", "/etc/pki/tls/certs", "/etc/pki/ca-trust",
		"/etc/protocols", "/etc/services", "/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/timezone",
	}
}

func devicePaths() []string {
	return []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}
}

// hostFacts are files that tier 2 lets processes read beside systemPaths: tier 1 has its own. Not /proc itself, which
// would list the host's processes and their arguments.
func hostFacts() []string {
	return []string{
		"/etc/passwd", "/etc/group", "/etc/hosts", "/etc/nsswitch.conf", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat",
		"/proc/loadavg", "/proc/uptime", "/proc/version", "/proc/filesystems", "/proc/sys/kernel", "/proc/sys/vm",
		"/proc/sys/fs", "/sys/devices/system/cpu",
	}
}

// layoutBuilder collects binds with a descriptor each.
type layoutBuilder struct {
	layout
	fds []int
}

// newLayout says what a zygote is to show, with descriptors of all of it. The caller closes them.
func newLayout(c Config, t Tier, v view) (layout, []int, error) {
	b := &layoutBuilder{layout: layout{Tier: t, Mount: v.mount, Home: v.home, Tmp: v.tmp, InnerUID: innerUID, Limits: c.Limits}}
	var err error
	switch t {
	case TierNamespaces:
		err = b.namespaces(c, v)
	case TierLandlock:
		err = b.landlock(c)
	}
	if err != nil {
		closeAll(b.fds)
		return layout{}, nil, err
	}
	return b.layout, b.fds, nil
}

func (b *layoutBuilder) namespaces(c Config, v view) error {
	if err := b.system(c); err != nil {
		return err
	}
	return errors.Join(
		b.add(c.Home, v.home, useWrite),
		b.add(c.Tmp, v.tmp, useWrite),
		b.add(c.Tree, v.mount, useTree),
		b.add(c.Tree, hiddenTree, useTree),
		b.add(c.Scratch, hiddenScratch, useHidden),
	)
}

func (b *layoutBuilder) landlock(c Config) error {
	uid := c.UID
	if uid < 0 {
		uid = os.Getuid()
	}
	if b.Limits.Processes > 0 {
		b.Limits.Processes += countThreads(uid)
	}
	if err := b.system(c); err != nil {
		return err
	}
	for _, p := range hostFacts() {
		if err := b.addIfThere(p, useRead); err != nil {
			return err
		}
	}
	return errors.Join(
		b.add(c.Home, c.Home, useWrite),
		b.add(c.Tmp, c.Tmp, useWrite),
		b.add(c.Tree, c.Tree, useTree),
	)
}

// system adds what every process needs, and what the caller wants shown besides.
func (b *layoutBuilder) system(c Config) error {
	for _, p := range systemPaths() {
		if target, err := os.Readlink(p); err == nil && len(p) > 1 && isTop(p) {
			b.Links = append(b.Links, link{Name: p, Target: target})
			continue
		}
		if err := b.addIfThere(p, useShow); err != nil {
			return err
		}
	}
	for _, p := range devicePaths() {
		if err := b.add(p, p, useDevice); err != nil {
			return err
		}
	}
	for _, p := range c.ReadOnly {
		if within(p, c.Mount) {
			return refuse(featurePaths, "show "+p, fmt.Errorf("it lies inside %s, where the managed tree is shown", c.Mount))
		}
		if err := b.add(p, p, useShow); err != nil {
			return err
		}
	}
	return nil
}

// isTop tells whether p stands in the root directory, where links such as /bin are made anew.
func isTop(p string) bool {
	for i := 1; i < len(p); i++ {
		if p[i] == '/' {
			return false
		}
	}
	return true
}

func (b *layoutBuilder) addIfThere(path string, u use) error {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return b.add(path, path, u)
}

// add opens source. Where this process may make detached mounts the zygote gets one, since it cannot reach everything
// that we can (a 0700 home, as root); else it opens the path itself and compares.
func (b *layoutBuilder) add(source, target string, u use) error {
	fd, detached, err := -1, false, error(nil)
	if b.Tier == TierNamespaces {
		fd, detached = detachedMount(source, u)
	}
	if !detached {
		if fd, err = unix.Open(source, unix.O_PATH|unix.O_CLOEXEC, 0); err != nil {
			return refuse(featurePaths, "open "+source, err)
		}
	}
	b.Binds = append(b.Binds, bind{Source: source, Target: target, Use: u, Detached: detached})
	b.fds = append(b.fds, fd)
	return nil
}

// detachedMount makes one if this process is allowed to. A refusal is no error: there is the other way.
func detachedMount(source string, u use) (int, bool) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return -1, false
	}
	attr := unix.MountAttr{Attr_set: u.attributes(), Propagation: unix.MS_PRIVATE}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &attr); err != nil {
		unix.Close(fd)
		return -1, false
	}
	return fd, true
}
