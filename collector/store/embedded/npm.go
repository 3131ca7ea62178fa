package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// progressEvery is how often the growing file is looked at: npm itself says nothing while it downloads.
const progressEvery = 250 * time.Millisecond

// npmPack has the npm client download the package into the directory work, with npm's cache in there too, and
// returns the tarball's path. npm decides where packages come from: its settings are the user's.
func (c *cache) npmPack(ctx context.Context, work string) (string, error) {
	const what = "fetch the ClickHouse library"
	npm, err := lookPath("npm", c.env)
	if err != nil {
		return "", &Unavailable{what, err, "install Node.js with npm, which delivers it; or " + c.copyRemedy() + "; or " + withoutLibrary}
	}
	var said lastLines
	cmd := exec.CommandContext(ctx, npm, "pack", c.lib.npm+"@"+c.lib.version,
		"--ignore-scripts", "--no-update-notifier", "--no-audit", "--no-fund", "--loglevel=error",
		"--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=10000",
		"--cache="+filepath.Join(work, "npm"), "--pack-destination="+work)
	cmd.Dir, cmd.Stdout, cmd.Stderr = work, &said, &said
	// npm gets the whole environment: it holds the user's proxy, registry and the tokens their .npmrc names.
	cmd.Env = append(os.Environ(), "PATH="+c.env("PATH"))
	// npm is a script that starts node: end both, and do not wait for whoever else holds the output open.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = killAfter

	done := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		c.watch(work, done)
	}()
	err = cmd.Run()
	close(done)
	<-watched
	if ctx.Err() != nil {
		return "", fmt.Errorf("%s: %w", what, ctx.Err())
	}
	if err != nil {
		return "", c.npmFailed(what, err, said.String())
	}
	tarballs, _ := filepath.Glob(filepath.Join(work, "*.tgz"))
	if len(tarballs) != 1 {
		return "", fmt.Errorf("%s: npm left %d tarballs: %s", what, len(tarballs), said.String())
	}
	c.report(c.lib.tarballSize)
	return tarballs[0], nil
}

// watch reports the size of npm's cache until done: the download grows there before it becomes the tarball.
func (c *cache) watch(work string, done <-chan struct{}) {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for last := int64(-1); ; {
		if now := min(sizeOf(filepath.Join(work, "npm", "_cacache")), c.lib.tarballSize); now > last {
			c.report(now)
			last = now
		}
		select {
		case <-done:
			return
		case <-tick.C:
		}
	}
}

func (c *cache) report(done int64) {
	if c.progress != nil {
		c.progress(done, c.lib.tarballSize)
	}
}

// sizeOf is the size of all files under dir. Files that vanish meanwhile do not count.
func sizeOf(dir string) (size int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			size += info.Size()
		}
		return nil
	})
	return size
}

// npmFailed says what a failure of npm means to the user. npm prints a line `npm error code CODE`.
func (c *cache) npmFailed(what string, err error, said string) error {
	cause := fmt.Errorf("npm pack: %w: %s", err, said)
	code := ""
	for line := range strings.Lines(said) {
		if _, after, ok := strings.Cut(line, "error code "); ok {
			code = strings.TrimSpace(after)
			break
		}
	}
	switch code {
	case "ENOSPC", "EDQUOT":
		return c.noSpace(cause)
	case "ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH", "ERR_SOCKET_TIMEOUT", "FETCH_ERROR":
		return &Unavailable{what, cause, "check the network and npm's proxy and registry settings (`npm ping`) and try again; or " + c.copyRemedy() + "; or " + withoutLibrary}
	case "E401", "E403", "E404", "ETARGET", "ENOVERSIONS":
		return &Unavailable{what, cause, "the registry that npm is set to (`npm config get registry`) does not hand out this package: use another one, or " + c.copyRemedy() + "; or " + withoutLibrary}
	}
	return &Unavailable{what, cause, "see what `npm pack " + c.lib.npm + "@" + c.lib.version + "` says; or " + c.copyRemedy() + "; or " + withoutLibrary}
}

func (c *cache) copyRemedy() string {
	return "copy " + c.file() + " from a machine that has it"
}

// lookPath is exec.LookPath in the PATH of env. Relative directories do not count.
func lookPath(name string, env func(string) string) (string, error) {
	for _, dir := range filepath.SplitList(env("PATH")) {
		if !filepath.IsAbs(dir) {
			continue
		}
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("look for %s on PATH: %w", name, errNotOnPath)
}

var errNotOnPath = errors.New("not found")
