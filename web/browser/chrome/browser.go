package chrome

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// ErrMissing means that there is no Chromium here: a test skips, unless it must not.
var ErrMissing = errors.New("no Chromium is installed: on Debian, apt-get install chromium; or name one in TACHO_CHROMIUM")

// names are what the programs are called, the one that Debian has first.
var names = []string{"chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome"}

// Find is the path of a Chromium: that of TACHO_CHROMIUM, or the first on PATH.
func Find() (string, error) {
	if path := os.Getenv("TACHO_CHROMIUM"); path != "" {
		return exec.LookPath(path)
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", ErrMissing
}

// flags make each start the same: no first-run pages, no traffic of its own, the same colours, and
// timers that run although nobody sees the window.
var flags = []string{
	"--headless=new", "--remote-debugging-pipe", "--no-first-run", "--no-default-browser-check", "--disable-gpu", "--hide-scrollbars",
	"--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update", "--disable-default-apps",
	"--disable-extensions", "--disable-sync", "--disable-domain-reliability", "--metrics-recording-only", "--mute-audio",
	"--password-store=basic", "--use-mock-keychain", "--force-color-profile=srgb", "--font-render-hinting=none", "--lang=en-GB",
	"--disable-background-timer-throttling", "--disable-renderer-backgrounding", "--disable-backgrounding-occluded-windows",
	"--disable-features=Translate,OptimizationHints,MediaRouter,DialMediaRouteProvider",
}

// Browser is a Chromium of ours. Close it.
type Browser struct {
	pipe    *pipe
	cmd     *exec.Cmd
	profile string
	errs    tail
	reading sync.WaitGroup

	tracing sync.Mutex
	traced  []Event
	done    chan struct{} // the trace is complete
}

// Start starts the Chromium at path with a profile of its own, which Close removes.
func Start(ctx context.Context, path string) (_ *Browser, err error) {
	b := &Browser{}
	if b.profile, err = os.MkdirTemp("", "tacho-chromium-"); err != nil {
		return nil, err
	}
	if err := b.start(path); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", path, err), os.RemoveAll(b.profile))
	}
	var version struct{ Product string }
	if err := b.pipe.call(ctx, "", "Browser.getVersion", nil, &version); err != nil {
		err = fmt.Errorf("start %s: %w\n%s", path, err, b.errs.String())
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func (b *Browser) start(path string) error {
	commandsRead, commandsWrite, err := os.Pipe()
	if err != nil {
		return err
	}
	answersRead, answersWrite, err := os.Pipe()
	if err != nil {
		return err
	}
	args := append([]string{"--user-data-dir=" + b.profile}, flags...)
	if os.Getuid() == 0 {
		args = append(args, "--no-sandbox") // Chromium refuses to be root with its sandbox
	}
	b.cmd = exec.Command(path, append(args, "about:blank")...)
	b.cmd.ExtraFiles = []*os.File{commandsRead, answersWrite} // descriptors 3 and 4, as the flag wants them
	b.cmd.Stderr = &b.errs
	b.cmd.WaitDelay = 5 * time.Second
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	b.cmd.Env = append(os.Environ(), "HOME="+b.profile)
	if err := b.cmd.Start(); err != nil {
		return err
	}
	commandsRead.Close()
	answersWrite.Close()
	b.pipe = newPipe(commandsWrite)
	b.pipe.listen("", b.event)
	b.reading.Go(func() {
		b.pipe.read(answersRead)
		answersRead.Close()
	})
	return nil
}

func (b *Browser) event(method string, params json.RawMessage) {
	switch method {
	case "Tracing.dataCollected":
		b.collect(params)
	case "Tracing.tracingComplete":
		b.tracing.Lock()
		defer b.tracing.Unlock()
		if b.done != nil {
			close(b.done)
			b.done = nil
		}
	}
}

// patience bounds how long an end may take before it is a kill.
const patience = 10 * time.Second

// Close ends the browser and all its processes, and removes its profile.
func (b *Browser) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_ = b.pipe.call(ctx, "", "Browser.close", nil, nil)
	b.pipe.to.Close()
	timer := time.AfterFunc(patience, func() { _ = syscall.Kill(-b.cmd.Process.Pid, syscall.SIGKILL) })
	_ = b.cmd.Wait() // how it ends says nothing about the tests
	timer.Stop()
	_ = syscall.Kill(-b.cmd.Process.Pid, syscall.SIGKILL) // helpers of it that stayed: the group is ours
	b.reading.Wait()
	return removeAll(b.profile)
}

// removeAll tries again: a helper that was killed just now may still write.
func removeAll(dir string) (err error) {
	for range 20 {
		if err = os.RemoveAll(dir); err == nil {
			return nil
		}
	}
	return err
}

// tail keeps the end of what a process writes, for the error that a start that fails gives.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if most := 8 << 10; len(t.text) > most {
		t.text = bytes.Clone(t.text[len(t.text)-most:])
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}
