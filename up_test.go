//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tachograph/collector/store/embedded"
	"tachograph/replay"
)

// upped is a living `tacho up` on the data directory of a test.
type upped struct {
	*killed
	cmd  *exec.Cmd
	errs bytes.Buffer
	addresses
	done chan error
}

// up starts `tacho up` and returns when it says where it is.
func (k *killed) up(flags ...string) *upped {
	k.t.Helper()
	u := &upped{killed: k, done: make(chan error, 1)}
	u.cmd = k.command(append([]string{"up", "--json", "--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0", "--http", "127.0.0.1:0"}, flags...)...)
	u.cmd.Stderr = &u.errs
	out, err := u.cmd.StdoutPipe()
	if err != nil {
		k.t.Fatal(err)
	}
	if err := u.cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { u.cmd.Process.Kill() }) // if the test fails before it is brought down
	err = json.NewDecoder(out).Decode(&u.addresses)
	go func() {
		_, _ = io.Copy(io.Discard, out)
		u.done <- u.cmd.Wait()
	}()
	if err != nil {
		u.cmd.Process.Kill()
		<-u.done
		k.t.Fatalf("tacho up does not say where it is: %v\n%s", err, &u.errs)
	}
	return u
}

// down ends it as Ctrl-C does.
func (u *upped) down() {
	u.t.Helper()
	u.cmd.Process.Signal(os.Interrupt)
	if err := <-u.done; err != nil {
		u.t.Errorf("tacho up ends with %v\n%s", err, &u.errs)
	}
}

// tacho runs a command and returns what it prints; it fails the test unless the status is want.
func (k *killed) tacho(want int, args ...string) string {
	k.t.Helper()
	var errs bytes.Buffer
	cmd := k.command(args...)
	cmd.Stderr = &errs
	out, err := cmd.Output()
	status := 0
	var ee *exec.ExitError
	if errors.As(err, &ee) {
		status = ee.ExitCode()
	} else if err != nil {
		k.t.Fatal(err)
	}
	if status != want {
		k.t.Fatalf("tacho %s ends with %d, want %d\n%s%s", strings.Join(args, " "), status, want, out, &errs)
	}
	return string(out) + errs.String()
}

func (k *killed) runs(args ...string) (runs []replay.Run) {
	k.t.Helper()
	if err := json.Unmarshal([]byte(k.tacho(exitDone, append([]string{"ls", "--json"}, args...)...)), &runs); err != nil {
		k.t.Fatal(err)
	}
	return runs
}

// workerKey is the verifier key that an auditor is given.
func (k *killed) workerKey() string {
	k.t.Helper()
	return filepath.Join(k.dir, "data", "store", "keys", "worker.pub")
}

const foreignTrace = `{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop-agent"}}]},
"scopeSpans":[{"scope":{"name":"curl"},"spans":[
{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"invoke_agent shop","kind":1,
 "startTimeUnixNano":"%d","endTimeUnixNano":"%d","attributes":[{"key":"gen_ai.operation.name","value":{"stringValue":"invoke_agent"}}]},
{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b175","parentSpanId":"eee19b7ec3c1b174","name":"chat m","kind":3,
 "startTimeUnixNano":"%d","endTimeUnixNano":"%d","attributes":[{"key":"gen_ai.operation.name","value":{"stringValue":"chat"}},
 {"key":"gen_ai.request.model","value":{"stringValue":"m"}},{"key":"gen_ai.usage.input_tokens","value":{"intValue":"120"}}]}]}]}]}`

// TestUp: one process tree runs agents, ships them, takes in what others send, and another machine rebuilds,
// verifies and goes on from ClickHouse alone.
func TestUp(t *testing.T) {
	t.Parallel()
	k := newKilled(t, 2)
	u := k.up()
	u.ready()
	if text := k.tacho(exitFailed, "up", "--http", "127.0.0.1:0"); !strings.Contains(text, fmt.Sprint("process ", u.cmd.Process.Pid)) {
		t.Errorf("a second owner is refused with %q", text)
	}

	k.tacho(exitDone, "run", "spec.yaml")
	k.tacho(exitDone, "ship", "last")
	run := k.runs("--source", "tacho")[0]
	if run.Shipped == nil || *run.Shipped != run.Entries {
		t.Errorf("shipped %v of %d", run.Shipped, run.Entries)
	}

	u.send(t, foreignTrace)
	u.send(t, foreignTrace) // an impatient sender
	u.settle(t, func() bool { return len(k.runs("--source", "otlp")) == 1 })
	other := k.runs("--source", "otlp")[0]
	if other.Service != "shop-agent" || other.Spans != 2 || other.Usage.Tokens.Input != 120 || other.ID.String() != "5b8efff7-9803-8103-d269-b633813fc60c" {
		t.Errorf("the other's run: %+v", other)
	}
	if text := k.tacho(exitFailed, "show", other.ID.String()); !strings.Contains(text, "no journal") {
		t.Errorf("show of a trace says %q", text)
	}
	u.elsewhere(run)

	// Erased is erased everywhere: what people and tools said is gone from ClickHouse too, and the proofs hold without it.
	k.tacho(exitDone, "rm", run.ID.String(), "--yes")
	text := newKilled(t, 2).tacho(exitDone, "verify", run.ID.String(), "--key", k.workerKey(), "--clickhouse", u.ClickHouse)
	if !strings.Contains(text, "erased on request") {
		t.Errorf("verify of an erased run says\n%s", text)
	}
	u.down()
}

func (u *upped) ready() {
	u.t.Helper()
	for path, want := range map[string]string{"/healthz": `"ok":true`, "/readyz": `"name":"clickhouse","ok":true`, "/api/runs": `"runs":[]`, "/": "<title>", "/metrics": "tacho_collector_accepted"} {
		response, err := http.Get(u.HTTP + path)
		if err != nil {
			u.t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			u.t.Errorf("%s: %d %v\n%s", path, response.StatusCode, err, body)
		}
	}
}

// send sends a trace as curl would.
func (u *upped) send(t *testing.T, trace string) {
	t.Helper()
	const at = 1795600000000000000
	body := fmt.Sprintf(trace, at, at+5_000_000, at+1_000_000, at+2_000_000)
	response, err := http.Post(u.OTLPHTTP+"/v1/traces", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if text, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", response.Status, text)
	}
}

// settle waits until something that comes by itself is there.
func (u *upped) settle(t *testing.T, there func() bool) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(time.Minute); !there(); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("it did not come\n%s", &u.errs)
		}
	}
}

// elsewhere is a machine with an empty data directory and the address of ClickHouse.
func (u *upped) elsewhere(run replay.Run) {
	t := u.t
	t.Helper()
	far := newKilled(t, 2)
	id := run.ID.String()
	there := func(args ...string) []string { return append(args, "--clickhouse", u.ClickHouse) }
	var proof replay.Proof
	seq := fmt.Sprint(run.Entries / 2)
	if err := json.Unmarshal([]byte(far.tacho(exitDone, there("replay", id, "--seq", seq, "--verify", "--json")...)), &proof); err != nil {
		t.Fatal(err)
	}
	if proof.Files == nil || !proof.Holds() {
		t.Errorf("the proof from afar: %+v", proof)
	}
	far.tacho(exitDone, there("verify", id, "--key", u.workerKey())...)
	far.tacho(exitUnsigned, there("verify", id)...)
	far.tacho(exitDone, there("replay", id, "--seq", seq, "--fork", "--resume")...)
	fork := far.runs()[0]
	if fork.Parent == nil || fork.Parent.Run != run.ID || fork.Why != "done" {
		t.Errorf("the fork from afar: %+v", fork)
	}
	far.tacho(exitDone, "verify", fork.ID.String(), "--key", u.workerKey(), "--key", far.workerKey()) // now without ClickHouse
}

// TestUpBeforeClickHouse: an ingest station whose ClickHouse is away takes telemetry, and stores it when it comes.
func TestUpBeforeClickHouse(t *testing.T) {
	t.Parallel()
	server, err := embedded.Open(t.Context(), embedded.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	engine, err := url.Parse(server.DSN())
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dsn := *engine
	dsn.Host, dsn.Path = listener.Addr().String(), "/tacho_late"
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	k := newKilled(t, 2)
	u := k.up("--clickhouse", dsn.String())
	u.send(t, foreignTrace)
	if ready := u.get("/readyz"); strings.Contains(ready, `"name":"clickhouse","ok":true`) {
		t.Errorf("ClickHouse is away, and readiness says %s", ready)
	}
	if listener, err = net.Listen("tcp", dsn.Host); err != nil {
		t.Fatal(err)
	}
	road := &http.Server{Handler: httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: engine.Host})}
	served := make(chan error, 1)
	go func() { served <- road.Serve(listener) }()
	u.settle(t, func() bool { return strings.Contains(u.get("/readyz"), `"name":"clickhouse","ok":true`) })
	u.settle(t, func() bool { return len(k.runs("--source", "otlp")) == 1 })
	u.down()
	road.Close()
	<-served
}

// get reads a page, whatever its status.
func (u *upped) get(path string) string {
	u.t.Helper()
	response, err := http.Get(u.HTTP + path)
	if err != nil {
		u.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		u.t.Fatal(err)
	}
	return string(body)
}

// TestKillEverything kills tacho, its engine, a sandbox or a tool at random moments, again and again. In the end
// every run has ended and is verified, here and from ClickHouse, which has the same entries. A short run kills 8 times;
// the long one:
//
//	TACHO_TEST_KILLS=200 go test -count=1 -timeout 3h -run TestKillEverything -v .
func TestKillEverything(t *testing.T) {
	t.Parallel()
	kills := 8
	if n, err := strconv.Atoi(os.Getenv("TACHO_TEST_KILLS")); err == nil {
		kills = n
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 2))
	k := newKilled(t, 12)
	u := k.up()
	victims := map[string]int{}
	for done := 0; done < kills; done++ {
		if live := k.runs("--source", "tacho", "--status", "running"); len(live) == 0 {
			k.tacho(exitDone, "run", "loose.yaml", "--detach")
		}
		time.Sleep(time.Duration(random.Int64N(int64(1500 * time.Millisecond)))) // the moment is what is random
		pid, what := u.victim(random)
		victims[what]++
		syscall.Kill(pid, syscall.SIGKILL)
		if pid == u.cmd.Process.Pid {
			<-u.done
			u = k.up()
		}
	}
	t.Logf("killed: %v", victims)
	for _, run := range k.runs("--source", "tacho") {
		id := run.ID.String()
		if run.Status == "paused" {
			k.tacho(exitDone, "resume", id)
		}
		k.tacho(exitDone, "tail", id) // to its end
		k.tacho(exitDone, "ship", id)
		k.tacho(exitDone, "verify", id)
	}
	far := newKilled(t, 2)
	here := k.runs("--source", "tacho")
	for i, run := range far.runs("--source", "tacho", "--clickhouse", u.ClickHouse) {
		if run.ID != here[i].ID || run.Entries != here[i].Entries || run.Tip != here[i].Tip || run.Status != "ended" {
			t.Errorf("ClickHouse has %+v,\nthe store %+v", run, here[i])
		}
		far.tacho(exitDone, "verify", run.ID.String(), "--key", u.workerKey(), "--clickhouse", u.ClickHouse)
	}
	u.down()
}

// victim chooses a process of the tree: tacho itself, its engine, or one of those under a sandbox.
func (u *upped) victim(random *rand.Rand) (pid int, what string) {
	root := u.cmd.Process.Pid
	if random.IntN(3) == 0 {
		return root, "tacho"
	}
	children := childrenOf(root)
	if len(children) == 0 {
		return root, "tacho"
	}
	pid, what = children[random.IntN(len(children))], "child"
	for random.IntN(2) == 0 {
		below := childrenOf(pid)
		if len(below) == 0 {
			break
		}
		pid, what = below[random.IntN(len(below))], "tool"
	}
	return pid, what
}

func childrenOf(pid int) (children []int) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, file := range tasks {
		text, _ := os.ReadFile(file) // it may have ended
		for _, field := range strings.Fields(string(text)) {
			if n, err := strconv.Atoi(field); err == nil {
				children = append(children, n)
			}
		}
	}
	return children
}
