package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// library is one build of libchdb as its npm package holds it. Everything here is pinned: what npm
// delivers is run only if it is, byte for byte, what was tested.
type library struct {
	npm         string // package name
	version     string
	tarballSize int64  // bytes
	integrity   string // npm's dist.integrity: "sha512-" and base64 of the tarball's hash
	member      string // path inside the tarball
	file        string // name in the cache
	size        int64  // bytes of the unpacked file
	sha256      string // of the unpacked file, hex
}

// libraryVersion is ClickHouse 26.7.2 as chdb publishes it. 26.5 lacks the listener.
const libraryVersion = "26.7.3-stable.1"

// libraries holds the builds by GOOS/GOARCH. To add one: `npm view PACKAGE@VERSION dist`, `npm pack`,
// and the tests of this package on a machine of that kind.
//
// Upstream also publishes lib-linux-arm64-gnu, lib-darwin-arm64 and lib-darwin-x64. None could be
// fetched where this was written (2026-11), so their checksums are not known here and they are refused
// rather than run unverified.
var libraries = map[string]library{
	"linux/amd64": {
		npm: "@chdb/lib-linux-x64-gnu", version: libraryVersion,
		tarballSize: 177_817_999,
		integrity:   "sha512-XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw==",
		member:      "package/libchdb.so", file: "libchdb.so",
		size:   566_330_096,
		sha256: "36ad4e999882821ef13cf2d0f52c93f48e6ee1b4498b35a201c23ce4b8d15bf5",
	},
}

// platform is the machine as far as it decides which library fits.
type platform struct {
	os, arch string
	root     string // where /lib and /lib64 are looked for; "/" but in tests
}

func thisPlatform() platform { return platform{runtime.GOOS, runtime.GOARCH, "/"} }

// library is the build for this platform, or an *Unavailable.
func (p platform) library() (library, error) {
	const what = "choose a ClickHouse library"
	lib, ok := libraries[p.os+"/"+p.arch]
	if !ok {
		return library{}, &Unavailable{what, fmt.Errorf("none is pinned for %s/%s", p.os, p.arch), withoutLibrary}
	}
	if p.os == "linux" && !p.hasGlibc() {
		cause := errors.New("the library needs glibc, and this system has none (musl, as in Alpine)")
		return library{}, &Unavailable{what, cause, "use a system or container image with glibc, such as Debian; or " + withoutLibrary}
	}
	return lib, nil
}

// hasGlibc looks for glibc's loader where the psABI puts it. Systems that keep it elsewhere (NixOS, Guix) have no musl
// loader either, and get the benefit of the doubt: the helper says what is missing.
func (p platform) hasGlibc() bool {
	for _, loader := range []string{"lib64/ld-linux-x86-64.so.2", "lib/ld-linux-aarch64.so.1"} {
		if _, err := os.Stat(filepath.Join(p.root, loader)); err == nil {
			return true
		}
	}
	musl, _ := filepath.Glob(filepath.Join(p.root, "lib/ld-musl-*.so.1"))
	return len(musl) == 0
}
