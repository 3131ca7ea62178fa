package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tachograph/collector/store/embedded/embeddedtest"
)

// asPeer in the environment makes this test binary the OpenTelemetry Collector that main.go is.
const asPeer = "TACHO_TEST_AS_PEER"

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(asPeer) != "":
		main()
		return
	case os.Getenv(asOurs) != "":
		runOurs()
		return
	}
	embeddedtest.Main(m)
}

// patience is for everything that happens sooner or later on a busy machine.
const patience = 3 * time.Minute

// process is a process of the test's own: the peer, or tacho.
type process struct {
	t      testing.TB
	cmd    *exec.Cmd
	stderr *watched
	ended  chan struct{} // closed when it has ended, with err set
	err    error
}

// start starts a command and ends it with the test, if it has not ended before.
func start(t testing.TB, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, stderr: &watched{}, ended: make(chan struct{})}
	cmd.Stderr = p.stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a ^C at the terminal is the test's to handle
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(p.kill)
	return p
}

// kill is kill -9.
func (p *process) kill() {
	p.cmd.Process.Kill() // it may have ended
	<-p.ended
}

// stop asks it to end, and waits.
func (p *process) stop() {
	p.t.Helper()
	p.cmd.Process.Signal(os.Interrupt)
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatalf("%s does not end\n%s", p.cmd.Path, p.stderr)
	}
}

// says waits until it has written the text to stderr.
func (p *process) says(text string) {
	p.t.Helper()
	select {
	case <-p.stderr.has(text):
	case <-p.ended:
		p.t.Fatalf("it ended (%v) without saying %q:\n%s", p.err, text, p.stderr)
	case <-time.After(patience):
		p.t.Fatalf("it does not say %q:\n%s", text, p.stderr)
	}
}

// watched keeps what is written, and tells when a text came.
type watched struct {
	mu    sync.Mutex
	text  bytes.Buffer
	waits map[string]chan struct{}
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(p)
	for text, found := range w.waits {
		if bytes.Contains(w.text.Bytes(), []byte(text)) {
			close(found)
			delete(w.waits, text)
		}
	}
	return len(p), nil
}

func (w *watched) has(text string) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if bytes.Contains(w.text.Bytes(), []byte(text)) {
		there := make(chan struct{})
		close(there)
		return there
	}
	if w.waits[text] == nil {
		if w.waits == nil {
			w.waits = map[string]chan struct{}{}
		}
		w.waits[text] = make(chan struct{})
	}
	return w.waits[text]
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	const most = 20_000
	text := w.text.String()
	if len(text) > most {
		text = fmt.Sprintf("… %d bytes …\n%s", len(text)-most, text[len(text)-most:])
	}
	return text
}

// free is an address that nobody listens on. That it stays so is likely enough: it is not given again soon.
func free(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// peer starts the OpenTelemetry Collector with a configuration of testdata, and waits until it receives.
func peer(t testing.TB, config string, env ...string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0], "--config", "file:"+filepath.Join("testdata", config))
	cmd.Env = append(append(os.Environ(), asPeer+"=1"), env...)
	p := start(t, cmd)
	p.says("Everything is ready")
	return p
}

// built is tacho itself, built once for all tests; TACHO_BINARY names one that is there.
var built = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("TACHO_BINARY"); path != "" {
		return path, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "tacho-peer-test", "tacho")
	out, err := exec.Command("go", "build", "-C", "../..", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build tacho: %w\n%s", err, out)
	}
	return path, nil
})

// machine is a data directory and what tacho does with it.
type machine struct {
	t   testing.TB
	dir string
}

func newMachine(t testing.TB, files map[string]string) *machine {
	t.Helper()
	// Not t.TempDir: tools run as a user of their own and must be able to pass through.
	dir, err := os.MkdirTemp("", "tacho-peer-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeAll(t, dir) })
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return &machine{t: t, dir: dir}
}

// removeAll removes directories too that overlays have left without rights.
func removeAll(t testing.TB, dir string) {
	filepath.WalkDir(dir, func(path string, d os.DirEntry, _ error) error {
		if d != nil && d.IsDir() {
			os.Chmod(path, 0o700) // what fails is seen below
		}
		return nil
	})
	if err := os.RemoveAll(dir); err != nil {
		t.Error(err)
	}
}

func (m *machine) command(args ...string) *exec.Cmd {
	m.t.Helper()
	path, err := built()
	if err != nil {
		m.t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = m.dir
	cmd.Env = append(os.Environ(), "TACHO_DATA="+filepath.Join(m.dir, "data"))
	return cmd
}

// tacho runs a command that must end with the status, and returns what it prints.
func (m *machine) tacho(status int, args ...string) string {
	m.t.Helper()
	var out bytes.Buffer
	cmd := m.command(args...)
	cmd.Stdout = &out
	p := start(m.t, cmd)
	<-p.ended
	if got := cmd.ProcessState.ExitCode(); got != status {
		m.t.Fatalf("tacho %s ends with %d, want %d\n%s%s", strings.Join(args, " "), got, status, &out, p.stderr)
	}
	return out.String()
}

// lines hands on what is written, line by line. The line is the callee's to keep.
type lines struct {
	partial []byte
	each    func(line []byte)
}

func (l *lines) Write(p []byte) (int, error) {
	l.partial = append(l.partial, p...)
	for {
		line, rest, ok := bytes.Cut(l.partial, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		l.partial = rest
		l.each(bytes.Clone(line))
	}
}

// upped is a living `tacho up`: the far end, with our collector.
type upped struct {
	*process
	OTLPGRPC string `json:"otlp_grpc"` // host:port
	OTLPHTTP string `json:"otlp_http"` // URL
}

// up starts `tacho up` in front of a ClickHouse.
func (m *machine) up(dsn string) *upped {
	m.t.Helper()
	u, said := &upped{}, make(chan struct{})
	cmd := m.command("up", "--json", "--http", "127.0.0.1:0", "--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0", "--clickhouse", dsn)
	var text []byte
	cmd.Stdout = &lines{each: func(line []byte) {
		text = append(text, line...)
		if u.OTLPGRPC == "" && json.Unmarshal(text, u) == nil {
			close(said)
		}
	}}
	u.process = start(m.t, cmd)
	select {
	case <-said:
	case <-u.ended:
		m.t.Fatalf("tacho up ends with %v\n%s", u.err, u.stderr)
	case <-time.After(patience):
		m.t.Fatalf("tacho up does not say where it is\n%s", u.stderr)
	}
	return u
}
