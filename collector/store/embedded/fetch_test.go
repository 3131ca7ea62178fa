package embedded

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// lab is a cache with a small library and a stand-in for npm, which counts its calls and hands out the tarball.
type lab struct {
	*cache
	content []byte
	bin     string // the only directory on PATH besides the system's
}

const goodNPM = `#!/bin/sh
echo call >> %[1]s/calls
for a in "$@"; do case "$a" in --pack-destination=*) to=${a#*=};; --cache=*) cache=${a#*=};; esac; done
mkdir -p "$cache/_cacache/tmp" && cp %[1]s/package.tgz "$cache/_cacache/tmp/part"
cp %[1]s/package.tgz "$to/package.tgz"
`

func newLab(t *testing.T) *lab {
	t.Helper()
	content := bytes.Repeat([]byte("this is no library, but it has its length. "), 1000)
	tarball := pack(t, "package/libchdb.so", content)
	l := &lab{content: content, bin: t.TempDir()}
	whole, inner := sha512.Sum512(tarball), sha256.Sum256(content)
	l.cache = &cache{
		dir: filepath.Join(t.TempDir(), "cache"),
		lib: library{
			npm: "@chdb/lib-test", version: "1.0.0", tarballSize: int64(len(tarball)),
			integrity: "sha512-" + base64.StdEncoding.EncodeToString(whole[:]),
			member:    "package/libchdb.so", file: "libchdb.so", size: int64(len(content)), sha256: hex.EncodeToString(inner[:]),
		},
		env: func(name string) string {
			if name == "PATH" {
				return l.bin + ":/usr/bin:/bin"
			}
			return os.Getenv(name)
		},
		log:  slog.New(slog.DiscardHandler),
		free: func(string) (int64, error) { return 1e12, nil },
	}
	l.write(t, "package.tgz", tarball)
	l.npm(t, fmt.Sprintf(goodNPM, l.bin))
	return l
}

func (l *lab) write(t *testing.T, name string, text []byte) {
	t.Helper()
	// A process that is forked meanwhile would hold the script open for writing, and its execution be refused (ETXTBSY).
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(filepath.Join(l.bin, name), text, 0o700); err != nil {
		t.Fatal(err)
	}
}

func (l *lab) npm(t *testing.T, script string) { t.Helper(); l.write(t, "npm", []byte(script)) }

// calls is how often npm was started.
func (l *lab) calls() int {
	text, _ := os.ReadFile(filepath.Join(l.bin, "calls"))
	return strings.Count(string(text), "call")
}

func (l *lab) check(t *testing.T, calls int) {
	t.Helper()
	path, err := l.get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, l.content) {
		t.Errorf("the library has %d bytes (%v), want the %d of the package", len(got), err, len(l.content))
	}
	if l.calls() != calls {
		t.Errorf("npm was called %d times, want %d", l.calls(), calls)
	}
	if left, _ := filepath.Glob(filepath.Join(l.dir, "fetch-*")); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
}

func pack(t *testing.T, name string, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for member, text := range map[string][]byte{"package/index.js": []byte("nothing"), name: content} {
		if err := w.WriteHeader(&tar.Header{Name: member, Mode: 0o755, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(text); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestFetchOnce(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	var last, total int64
	l.progress = func(done, of int64) { last, total = done, of }
	l.check(t, 1)
	l.check(t, 1)
	if last != l.lib.tarballSize || total != l.lib.tarballSize {
		t.Errorf("progress ended at %d of %d, want %d", last, total, l.lib.tarballSize)
	}
}

func TestFetchOnceForAll(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := l.get(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	l.check(t, 1)
}

// TestDamagedCache holds that a library that is not, or no longer, the pinned one is fetched again, and a good one is not.
func TestDamagedCache(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		damage func(l *lab) error
		calls  int
	}{
		"truncated":    {func(l *lab) error { return os.Truncate(l.file(), 100) }, 2},
		"gone":         {func(l *lab) error { return os.Remove(l.file()) }, 2},
		"other bytes":  {func(l *lab) error { return os.WriteFile(l.file(), bytes.ToUpper(l.content), 0o700) }, 2},
		"mark gone":    {func(l *lab) error { return os.Remove(l.verified()) }, 1},
		"mark damaged": {func(l *lab) error { return os.WriteFile(l.verified(), []byte("x"), 0o600) }, 1},
		"copied":       {func(l *lab) error { return os.Chtimes(l.file(), time.Time{}, time.Unix(1e9, 0)) }, 1},
		"killed fetch": {func(l *lab) error { return os.MkdirAll(filepath.Join(l.dir, "fetch-123", "npm"), 0o700) }, 1},
		"killed, no lib": {func(l *lab) error {
			return errors.Join(os.Remove(l.file()), os.MkdirAll(filepath.Join(l.dir, "fetch-1"), 0o700))
		}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.check(t, 1)
			if err := os.Chmod(l.file(), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := c.damage(l); err != nil {
				t.Fatal(err)
			}
			if name == "killed fetch" {
				os.RemoveAll(l.home()) // what was left over goes with the next fetch
				c.calls++
			}
			l.check(t, c.calls)
		})
	}
}

// TestCannotFetch holds what the user reads, and that it is told from a failure.
func TestCannotFetch(t *testing.T) {
	t.Parallel()
	npmError := func(code string) func(*testing.T, *lab) {
		return func(t *testing.T, l *lab) {
			l.npm(t, "#!/bin/sh\necho npm error code "+code+" >&2\necho npm error details >&2\nexit 1\n")
		}
	}
	for name, c := range map[string]struct {
		prepare func(t *testing.T, l *lab)
		says    []string
		lacking bool
	}{
		"no npm": {func(t *testing.T, l *lab) {
			l.env = func(string) string { return l.bin }
			os.Remove(filepath.Join(l.bin, "npm"))
		}, []string{"look for npm on PATH", "install Node.js", "--clickhouse DSN"}, true},
		"no network":   {npmError("ENOTFOUND"), []string{"ENOTFOUND", "check the network", "libchdb.so from a machine that has it"}, true},
		"proxy":        {npmError("ECONNREFUSED"), []string{"ECONNREFUSED", "proxy"}, true},
		"no package":   {npmError("E404"), []string{"E404", "registry that npm is set to"}, true},
		"something":    {npmError("EWEIRD"), []string{"EWEIRD", "npm error details", "npm pack @chdb/lib-test@1.0.0"}, true},
		"npm's space":  {npmError("ENOSPC"), []string{"ENOSPC", "free 1.1 GB"}, true},
		"little space": {func(_ *testing.T, l *lab) { l.free = func(string) (int64, error) { return 5e8, nil } }, []string{"0.5 GB are free", "free 1.1 GB", "XDG_CACHE_HOME"}, true},
		"no cache": {func(t *testing.T, l *lab) {
			l.dir = filepath.Join(l.bin, "npm", "below a file")
		}, []string{"make the cache", "XDG_CACHE_HOME"}, true},
		"other package": {func(t *testing.T, l *lab) {
			l.write(t, "package.tgz", pack(t, "package/libchdb.so", bytes.ToUpper(l.content)))
		}, []string{"other bytes than the pinned ones", "integrity sha512-"}, false},
		"no archive": {func(t *testing.T, l *lab) { l.write(t, "package.tgz", []byte("hello")) }, []string{"other bytes than the pinned ones"}, false},
		"no tarball": {func(t *testing.T, l *lab) { l.npm(t, "#!/bin/sh\nexit 0\n") }, []string{"0 tarballs"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			c.prepare(t, l)
			_, err := l.get(t.Context())
			if err == nil {
				t.Fatal("it was fetched")
			}
			for _, text := range c.says {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q does not say %q", err, text)
				}
			}
			if IsUnavailable(err) != c.lacking {
				t.Errorf("%q: lack of the machine: %v, want %v", err, !c.lacking, c.lacking)
			}
			if _, err := os.Stat(l.file()); err == nil {
				t.Error("a library is there all the same")
			}
			if left, _ := filepath.Glob(filepath.Join(l.dir, "fetch-*")); len(left) != 0 {
				t.Errorf("left over: %v", left)
			}
		})
	}
}

// TestOtherMember holds that a pinned package without the library in it, or with a longer one, is an error and no file.
func TestOtherMember(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*library){
		"another name": func(l *library) { l.member = "package/other.so" },
		"longer":       func(l *library) { l.size-- },
		"shorter":      func(l *library) { l.size++ },
		"other hash":   func(l *library) { l.sha256 = strings.Repeat("0", 64) },
	} {
		l := newLab(t)
		change(&l.lib)
		if _, err := l.get(t.Context()); err == nil {
			t.Errorf("%s: it was fetched", name)
		}
		if _, err := os.Stat(l.file()); err == nil {
			t.Errorf("%s: a library is there all the same", name)
		}
	}
}

// TestFetchIsCancelled holds that npm, and what it started, ends with the context.
func TestFetchIsCancelled(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	started := filepath.Join(l.bin, "started")
	if err := unix.Mkfifo(started, 0o600); err != nil {
		t.Fatal(err)
	}
	l.npm(t, "#!/bin/sh\necho call >> "+l.bin+"/calls\nsleep 1000 &\necho $! > "+started+"\nwait\n")
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := l.get(ctx)
		failed <- err
	}()
	text, err := os.ReadFile(started) // until npm runs
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) || IsUnavailable(err) {
		t.Errorf("get: %v", err)
	}
	var sleeper int
	if _, err := fmt.Sscan(string(text), &sleeper); err != nil {
		t.Fatal(err)
	}
	for !gone(sleeper) { // the signal was sent; init takes the body away
	}
	l.npm(t, fmt.Sprintf(goodNPM, l.bin))
	l.check(t, 2)
}

// gone says whether a process has ended, be it that nobody has waited for it.
func gone(pid int) bool {
	if unix.Kill(pid, 0) != nil {
		return true
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return errors.Is(err, os.ErrNotExist)
	}
	return strings.Contains(string(stat), ") Z ")
}

// TestNoLibrary starts an engine from files that the loader refuses: first one that was damaged behind its mark, then the
// one that npm delivers instead, which is no library either.
func TestNoLibrary(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.check(t, 1)
	if err := os.Chmod(l.file(), 0o700); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(l.file())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(l.file(), bytes.ToUpper(l.content), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(l.file(), time.Time{}, before.ModTime()); err != nil {
		t.Fatal(err)
	}
	if !l.known() {
		t.Fatal("a cheap look sees the damage, which is to be one that it does not see")
	}
	e := &Engine{dir: t.TempDir(), env: os.Getenv, log: l.log, up: make(chan struct{})}
	if err := makeDirs(e.dir); err != nil {
		t.Fatal(err)
	}
	err = e.startLibrary(t.Context(), l.cache)
	if !IsUnavailable(err) || !strings.Contains(err.Error(), "load the ClickHouse library") {
		t.Errorf("start: %v", err)
	}
	l.check(t, 2)
}

func TestPlatforms(t *testing.T) {
	t.Parallel()
	root := func(files ...string) string {
		dir := t.TempDir()
		for _, f := range files {
			if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, f)), 0o700), os.WriteFile(filepath.Join(dir, f), nil, 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	const glibc, musl = "lib64/ld-linux-x86-64.so.2", "lib/ld-musl-x86_64.so.1"
	for name, c := range map[string]struct {
		platform
		says string // "" if there is a library
	}{
		"glibc":       {platform{"linux", "amd64", root(glibc)}, ""},
		"both":        {platform{"linux", "amd64", root(glibc, musl)}, ""},
		"elsewhere":   {platform{"linux", "amd64", root()}, ""},
		"musl":        {platform{"linux", "amd64", root(musl)}, "needs glibc"},
		"linux arm":   {platform{"linux", "arm64", root()}, "none is pinned for linux/arm64"},
		"mac":         {platform{"darwin", "arm64", root()}, "none is pinned for darwin/arm64"},
		"another one": {platform{"plan9", "386", root()}, "none is pinned for plan9/386"},
	} {
		lib, err := c.library()
		switch {
		case c.says == "" && (err != nil || lib.version != libraryVersion):
			t.Errorf("%s: %+v, %v", name, lib, err)
		case c.says != "" && (!IsUnavailable(err) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), withoutLibrary)):
			t.Errorf("%s: %v, want %q and a way out", name, err, c.says)
		}
	}
}
