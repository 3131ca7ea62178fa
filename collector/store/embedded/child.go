package embedded

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

const (
	// predecessorLimit is how long an engine whose parent was killed may take to end: much longer than its helper lets
	// it, for a machine that is busy.
	predecessorLimit = time.Minute
)

// program is what a child runs.
type program struct {
	mode string // modeLibrary or modeServer
	file string
}

// arguments are those of ClickHouse itself.
func (p program) arguments(dir string, port int) []string {
	config := "--config-file=" + filepath.Join(dir, "config.xml")
	if p.mode == modeServer {
		return []string{"server", config}
	}
	// The local server takes these from its command line only.
	return []string{"--path=" + filepath.Join(dir, "data"), config, "--listen_host=127.0.0.1", "--http_port=" + strconv.Itoa(port), "--log-level=" + logLevel}
}

// child is one start of the engine.
type child struct {
	cmd      *exec.Cmd
	lifeline *os.File // write end; closed to end the child
	said     lastLines
	since    time.Time
	done     chan struct{} // closed when the process is gone
	err      error         // how it ended; read after done
}

// spawn starts a child. lock is the locked child.lock: it passes to the child, and the caller closes its copy.
func spawn(dir string, p program, port int, env func(string) string, lock *os.File) (*child, error) {
	self, err := ownBinary()
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	c := &child{lifeline: w, since: time.Now(), done: make(chan struct{})}
	c.cmd = &exec.Cmd{
		Path: self, Args: append([]string{helperName, p.mode, p.file}, p.arguments(dir, port)...),
		Dir: dir, Env: childEnvironment(dir, env), Stdout: &c.said, Stderr: &c.said,
		ExtraFiles: []*os.File{r, lock}, // lifelineFD, childLockFD
		// Not the group of the terminal: Ctrl-C is for the parent, which still has rows to write then.
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
		WaitDelay:   time.Second, // for a server that outlives its helper with our pipe in its hands
	}
	if err := c.cmd.Start(); err != nil {
		w.Close()
		return nil, fmt.Errorf("start ClickHouse: %w", err)
	}
	go func() {
		c.err = c.cmd.Wait()
		close(c.done)
	}()
	return c, nil
}

// ownBinary is the program that runs, even if another was put in its place since.
func ownBinary() (string, error) {
	if runtime.GOOS == "linux" {
		return "/proc/self/exe", nil
	}
	return os.Executable()
}

// childEnvironment holds nothing of ours but what the engine needs: whoever may read the engine's
// environment, through a query or a dump, finds no key of a model provider there.
func childEnvironment(dir string, env func(string) string) []string {
	vars := []string{helperMark + "=1", "HOME=" + dir, "PATH=/usr/local/bin:/usr/bin:/bin"}
	for _, name := range []string{"TZ", "LANG", "LC_ALL", "LD_LIBRARY_PATH"} {
		if v := env(name); v != "" {
			vars = append(vars, name+"="+v)
		}
	}
	return vars
}

// end lets the child go and waits until it is gone.
func (c *child) end() {
	c.lifeline.Close()
	select {
	case <-c.done:
	case <-time.After(killAfter + time.Second):
		_ = c.cmd.Process.Kill()
		<-c.done
	}
}

// noLibrary says whether the child ended because the library could not be loaded.
func (c *child) noLibrary() bool {
	var exit *exec.ExitError
	return errors.As(c.err, &exit) && exit.ExitCode() == statusNoLibrary
}

// failure is why a child that is gone ended.
func (c *child) failure() error {
	err := c.err
	if err == nil {
		err = errors.New("it ended by itself")
	}
	if said := c.said.String(); said != "" {
		return fmt.Errorf("%w: %s", err, said)
	}
	return err
}
