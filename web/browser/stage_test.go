//go:build linux

package browser

import (
	"bufio"
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tachograph/web/api"
	"tachograph/web/browser/chrome"
)

// patience bounds every wait of these tests; nothing is expected to need it.
const patience = 3 * time.Minute

//go:embed testdata
var testdata embed.FS

// stage is what the tests share, two or more of them at a time: `tacho up`, built from this tree and started as a user would, with
// its embedded ClickHouse; runs to look at; and a browser.
type stage struct {
	dir     string
	program string // tacho, built from this tree
	cmd     *exec.Cmd
	errs    bytes.Buffer
	done    chan error
	browser *chrome.Browser
	model   *model

	mu    sync.Mutex
	pages []*chrome.Page // that no test looks at

	HTTP     string `json:"http"`
	OTLPHTTP string `json:"otlp_http"`

	failed, hostile string // runs that have ended
	turn, mistake   int64  // of failed: the entries of the turn and the call that empty its files
	fork            string // of failed, before its mistake: it ended well
	foreign         string // a trace of somebody else's agent
}

var shared struct {
	once  sync.Once
	stage *stage
	err   error
}

func TestMain(m *testing.M) {
	status := m.Run()
	if s := shared.stage; s != nil {
		if err := s.close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = 1
		}
	}
	os.Exit(status)
}

// onStage is the stage, set up by the first test that asks for it. Without a Chromium tests are
// skipped, unless TACHO_TEST_BROWSER=must.
func onStage(t *testing.T) *stage {
	t.Helper()
	shared.once.Do(func() { shared.stage, shared.err = setUp() })
	if errors.Is(shared.err, chrome.ErrMissing) && os.Getenv("TACHO_TEST_BROWSER") != "must" {
		t.Skip(shared.err)
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.stage
}

func setUp() (*stage, error) {
	path, err := chrome.Find()
	if err != nil {
		return nil, err
	}
	s := &stage{done: make(chan error, 1), model: newModel()}
	if err := s.open(path); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *stage) open(chromium string) (err error) {
	// Not t.TempDir: tools run as a user of their own, who must be able to pass through.
	if s.dir, err = os.MkdirTemp("", "tacho-browser-"); err != nil {
		return err
	}
	if err := os.Chmod(s.dir, 0o755); err != nil {
		return err
	}
	if err := s.files(); err != nil {
		return err
	}
	if err := s.build(); err != nil {
		return err
	}
	if err := s.up("127.0.0.1:0"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if s.browser, err = chrome.Start(ctx, chromium); err != nil {
		return err
	}
	return s.runs(ctx)
}

// files writes out the directories that the agents work on.
func (s *stage) files() error {
	err := fs.WalkDir(testdata, "testdata", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(s.dir, strings.TrimPrefix(name, "testdata"))
		if d.IsDir() {
			return os.MkdirAll(to, 0o755)
		}
		text, err := testdata.ReadFile(name)
		if err != nil {
			return err
		}
		return os.WriteFile(to, text, 0o644)
	})
	if err != nil {
		return err
	}
	for name, text := range map[string]string{ // that Git or an editor would change, or nobody should have in a repository
		"ledger/cases/windows.csv": "rent,900.00,sale\r\nrent,1.00,refund\r\n", "ledger/cases/windows.want": "rent 899.00\n",
		"hostile/evil.html": hostile, "hostile/invoice\u202egnp.exe": "x", "secret/.env": "SERVER=example.org\n",
	} {
		to := filepath.Join(s.dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, []byte(text), 0o644)); err != nil {
			return err
		}
	}
	return nil
}

// hostile is what a file of the hostile run holds.
const hostile = "<script>document.title='owned'</script> \u202egnp.exe \x1b[31mred\n"

// build builds the program.
func (s *stage) build() error {
	s.program = filepath.Join(s.dir, "tacho")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", s.program, "tachograph")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build tacho: %w\n%s", err, out)
	}
	return nil
}

// kill ends tacho as a crash does.
func (s *stage) kill() error {
	if err := s.cmd.Process.Kill(); err != nil {
		return err
	}
	<-s.done
	return nil
}

// up starts the program, so that its pages are at that address, with more flags.
func (s *stage) up(at string, flags ...string) error {
	s.cmd = exec.Command(s.program, append([]string{"up", "--json", "--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0", "--http", at}, flags...)...)
	s.cmd.Dir = s.dir
	s.cmd.Env = append(os.Environ(), "TACHO_DATA="+filepath.Join(s.dir, "data"), "OPENAI_BASE_URL="+s.model.server.URL+"/v1", "OPENAI_API_KEY=none")
	s.cmd.Stderr = &s.errs
	// Ctrl-C is for the tests alone; but if they die (-timeout), it must not stay.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGINT}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	started := make(chan error)
	go func() { // ends with close
		runtime.LockOSThread() // the parent whose death counts is a thread
		defer runtime.UnlockOSThread()
		err := s.cmd.Start()
		started <- err
		if err == nil {
			s.done <- s.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	if err := json.NewDecoder(out).Decode(s); err != nil {
		return fmt.Errorf("tacho up does not say where it is: %w\n%s", err, &s.errs)
	}
	return nil
}

func (s *stage) close() error {
	var failed []error
	if s.browser != nil {
		failed = append(failed, s.browser.Close())
	}
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Signal(os.Interrupt)
		if err := <-s.done; err != nil {
			failed = append(failed, fmt.Errorf("tacho up ends with %w\n%s", err, &s.errs))
		}
	}
	s.model.close()
	if s.dir != "" {
		_ = filepath.WalkDir(s.dir, func(path string, d os.DirEntry, err error) error {
			if d != nil && d.IsDir() {
				_ = os.Chmod(path, 0o700) // trees of runs are read-only
			}
			return nil
		})
		failed = append(failed, os.RemoveAll(s.dir))
	}
	return errors.Join(failed...)
}

// runs makes those that most tests look at.
func (s *stage) runs(ctx context.Context) (err error) {
	if s.failed, err = s.start(ctx, s.ledger()); err != nil {
		return err
	}
	s.hostile, err = s.start(ctx, map[string]any{"model": "script/" + filepath.Join(s.dir, "hostile.yaml"), "directory": filepath.Join(s.dir, "hostile"),
		"prompt": "<script>document.title='owned'</script><img src=x onerror=document.title=1> \u202egnp.exe", "max_steps": 10})
	if err != nil {
		return err
	}
	if err := errors.Join(s.rest(ctx, s.failed, api.StatusFailed), s.rest(ctx, s.hostile, api.StatusDone)); err != nil {
		return err
	}
	if err := s.findMistake(ctx); err != nil {
		return err
	}
	var forked api.Forked
	err = s.post(ctx, "/api/runs/"+s.failed+"/fork", map[string]any{"seq": s.turn - 1, "resume": true, "by": "a tester", "set": map[string]any{"turn": repaired}}, &forked)
	if err != nil {
		return err
	}
	s.fork = forked.RunId
	if err := s.rest(ctx, s.fork, api.StatusDone); err != nil {
		return err
	}
	return s.capture(ctx)
}

// findMistake finds the turn in which the failed run empties its files, and its call.
func (s *stage) findMistake(ctx context.Context) error {
	var story api.Transcript
	if err := s.get(ctx, "/api/runs/"+s.failed+"/transcript?limit=200", &story); err != nil {
		return err
	}
	for _, item := range story.Items {
		if item.Turn != nil {
			s.turn = item.Seq
		}
		if item.Call != nil && strings.Contains(item.Call.Args.Text, "tr -d") {
			s.mistake = item.Seq
			return nil
		}
	}
	return errors.New("the failed run made no mistake")
}

// remedy is what the mistake should have been.
const remedy = `sed -i '1a { sub(/\\r$/, "") }' totals.awk`

// repaired is that turn without the mistake.
var repaired = map[string]any{"content": "What is left comes from Windows. The script can drop the carriage return itself.",
	"calls": []any{map[string]any{"tool": "bash", "arguments": map[string]any{"intent": "Drop a carriage return at a line's end.", "command": remedy}}}}

func (s *stage) ledger() map[string]any {
	return map[string]any{
		"model": "script/" + filepath.Join(s.dir, "ledger.yaml"), "directory": filepath.Join(s.dir, "ledger"), "max_steps": 40,
		"prompt": "The totals of some months are wrong. check.sh holds the cases: make all of them pass without changing them, and keep the change small.",
		"check":  "sh check.sh | grep -q 'all totals are right'", "budget": map[string]any{"tokens": 50_000, "cost_usd": "0.50", "seconds": 3600},
		"prices": map[string]any{"input": "0.6", "output": "2.5"},
	}
}

// start starts a run.
func (s *stage) start(ctx context.Context, spec map[string]any) (string, error) {
	var agent api.Agent
	err := s.post(ctx, "/v1/agents", spec, &agent)
	return agent.RunId, err
}

func (s *stage) post(ctx context.Context, path string, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.HTTP+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	return answered(request, into)
}

func (s *stage) get(ctx context.Context, path string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.HTTP+path, nil)
	if err != nil {
		return err
	}
	return answered(request, into)
}

func answered(request *http.Request, into any) error {
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s %s", request.Method, request.URL, response.Status, text)
	}
	return json.Unmarshal(text, into)
}

// rest waits until a run has come to that status: at each thing that the server's stream of it tells.
func (s *stage) rest(ctx context.Context, run string, want api.Status) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.HTTP+"/api/live?run="+run, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 16<<20)
	var r api.Run
	for lines.Scan() {
		name, ok := strings.CutPrefix(lines.Text(), "event: ")
		if !ok || name == "piece" || name == "entry" {
			continue
		}
		if err := s.get(ctx, "/api/runs/"+run, &r); err != nil {
			return err
		}
		if r.Summary.Status == want {
			return nil
		}
	}
	return errors.Join(fmt.Errorf("run %s came to %s (%v), want %s", run, r.Summary.Status, r.Summary.Why, want), lines.Err())
}
