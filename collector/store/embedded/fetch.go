package embedded

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// spaceNeeded is what fetching takes at its peak: npm's cache, the tarball, and what is in it.
const spaceNeeded = 1_100_000_000

// cache is where a library lies, shared by every clone and every process of a user.
//
//	lock                                 held while something is fetched
//	<package>-<version>/libchdb.so       the library, mode 0500
//	<package>-<version>/verified         "SHA256 SIZE MTIME\n" of it when it was hashed, MTIME in nanoseconds
//	fetch-*/                             a fetch that is running, or one that was killed
type cache struct {
	dir      string
	lib      library
	env      func(string) string
	log      *slog.Logger
	progress func(done, total int64)
	free     func(dir string) (int64, error) // bytes that may be written in dir
}

func (c *cache) home() string {
	return filepath.Join(c.dir, strings.NewReplacer("@", "", "/", "-").Replace(c.lib.npm)+"-"+c.lib.version)
}
func (c *cache) file() string     { return filepath.Join(c.home(), c.lib.file) }
func (c *cache) verified() string { return filepath.Join(c.home(), "verified") }

// get returns the path of the library, fetched if it is not there. A file that was hashed before and has kept size and
// time of change since is taken as it is; any other is hashed, and replaced if it is not the pinned one.
func (c *cache) get(ctx context.Context) (string, error) {
	if c.known() {
		return c.file(), nil
	}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return "", &Unavailable{"make the cache of the ClickHouse library", err, "set XDG_CACHE_HOME to a directory that can be written"}
	}
	lock, err := waitLock(ctx, filepath.Join(c.dir, "lock"), func() {
		c.log.Info("waiting for another process that fetches the ClickHouse library", "cache", c.dir)
	})
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if c.known() {
		return c.file(), nil
	}
	if err := c.verify(); err == nil {
		return c.file(), nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		c.log.Warn("the cached ClickHouse library is damaged and is fetched again", "file", c.file(), "error", err)
	}
	if err := c.fetch(ctx); err != nil {
		return "", err
	}
	return c.file(), nil
}

// known says whether the library is the one that was hashed.
func (c *cache) known() bool {
	mark, err := c.mark()
	if err != nil {
		return false
	}
	text, err := os.ReadFile(c.verified())
	return err == nil && string(text) == mark
}

// mark is what the file verified holds for the library as it lies there now, provided that it is the pinned one.
func (c *cache) mark() (string, error) {
	info, err := os.Stat(c.file())
	if err != nil {
		return "", err
	}
	if info.Size() != c.lib.size {
		return "", fmt.Errorf("%d bytes, want %d", info.Size(), c.lib.size)
	}
	return fmt.Sprintf("%s %d %d\n", c.lib.sha256, info.Size(), info.ModTime().UnixNano()), nil
}

// verify hashes the cached library and remembers that it is the pinned one.
func (c *cache) verify() error {
	mark, err := c.mark()
	if err != nil {
		return err
	}
	f, err := os.Open(c.file())
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != c.lib.sha256 {
		return fmt.Errorf("SHA-256 %s, want %s", got, c.lib.sha256)
	}
	return os.WriteFile(c.verified(), []byte(mark), 0o600)
}

// forget makes the next get hash the library, whatever it looks like. It says whether that may help.
func (c *cache) forget() bool { return os.Remove(c.verified()) == nil }

// fetch has npm deliver the package, and puts the library in it in place of what is there.
func (c *cache) fetch(ctx context.Context) error {
	// The lock is ours, so whatever fetches were begun here are dead; npm leaves its partial files.
	stale, _ := filepath.Glob(filepath.Join(c.dir, "fetch-*"))
	for _, dir := range stale {
		os.RemoveAll(dir)
	}
	if err := c.checkSpace(); err != nil {
		return err
	}
	work, err := os.MkdirTemp(c.dir, "fetch-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	c.log.Info("fetching ClickHouse once, for all projects of this user", "package", c.lib.npm+"@"+c.lib.version, "bytes", c.lib.tarballSize, "cache", c.dir)
	tarball, err := c.npmPack(ctx, work)
	if err != nil {
		return err
	}
	unpacked := filepath.Join(work, c.lib.file)
	if err := c.unpack(ctx, tarball, unpacked); err != nil {
		return c.fetchFailed(err)
	}
	if err := os.MkdirAll(c.home(), 0o700); err != nil {
		return err
	}
	os.Remove(c.verified())
	if err := os.Rename(unpacked, c.file()); err != nil {
		return err
	}
	if err := syncDir(c.home()); err != nil {
		return err
	}
	mark, err := c.mark()
	if err != nil {
		return err
	}
	return os.WriteFile(c.verified(), []byte(mark), 0o600)
}

func (c *cache) checkSpace() error {
	free, err := c.free(c.dir)
	if err != nil {
		return fmt.Errorf("ask for the free space in %s: %w", c.dir, err)
	}
	if free < spaceNeeded {
		return c.noSpace(fmt.Errorf("%.1f GB are free in %s", float64(free)/1e9, c.dir))
	}
	return nil
}

func (c *cache) noSpace(cause error) error {
	return &Unavailable{"fetch the ClickHouse library", cause,
		fmt.Sprintf("free %.1f GB there (%.1f GB stay in use), or choose another place with XDG_CACHE_HOME; or %s",
			spaceNeeded/1e9, float64(c.lib.size)/1e9, withoutLibrary)}
}

// fetchFailed tells a full disk, which the user can mend, from other errors.
func (c *cache) fetchFailed(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return c.noSpace(err)
	}
	return err
}

// unpack writes the library in tarball to path, durably, and leaves nothing there unless tarball and library are the pinned ones.
func (c *cache) unpack(ctx context.Context, tarball, path string) (err error) {
	f, err := os.Open(tarball)
	if err != nil {
		return err
	}
	defer f.Close()
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o500)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, out.Close()); err != nil {
			os.Remove(path)
		}
	}()
	whole, inner := sha512.New(), sha256.New()
	source := io.TeeReader(untilDone{ctx, f}, whole)
	unpackErr := c.extract(source, io.MultiWriter(out, inner))
	if errors.Is(unpackErr, syscall.ENOSPC) || ctx.Err() != nil {
		return unpackErr
	}
	if _, err := io.Copy(io.Discard, source); err != nil {
		return err
	}
	// Whether the tarball is the right one comes first: a wrong one explains all other errors.
	if got := "sha512-" + base64.StdEncoding.EncodeToString(whole.Sum(nil)); got != c.lib.integrity {
		return fmt.Errorf("verify %s@%s: npm delivered other bytes than the pinned ones: integrity %s, want %s; ask who runs the registry that npm is set to", c.lib.npm, c.lib.version, got, c.lib.integrity)
	}
	if unpackErr != nil {
		return fmt.Errorf("unpack %s: %w", c.lib.npm, unpackErr)
	}
	if got := hex.EncodeToString(inner.Sum(nil)); got != c.lib.sha256 {
		return fmt.Errorf("verify %s: SHA-256 %s, want %s", c.lib.member, got, c.lib.sha256)
	}
	return out.Sync()
}

// extract copies the library out of the tarball, and never more than its pinned size.
func (c *cache) extract(tarball io.Reader, to io.Writer) error {
	unzipped, err := gzip.NewReader(tarball)
	if err != nil {
		return err
	}
	members := tar.NewReader(unzipped)
	for {
		header, err := members.Next()
		if err == io.EOF {
			return fmt.Errorf("there is no %s in it", c.lib.member)
		}
		if err != nil {
			return err
		}
		if header.Name != c.lib.member {
			continue
		}
		n, err := io.Copy(to, io.LimitReader(members, c.lib.size+1))
		if err == nil && n != c.lib.size {
			err = fmt.Errorf("%s has not the pinned %d bytes", c.lib.member, c.lib.size)
		}
		return err
	}
}

// untilDone is a reader that ends with its context.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}
