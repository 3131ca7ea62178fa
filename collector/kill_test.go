package collector_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"tachograph/collector"
	"tachograph/collector/store"
	"tachograph/collector/store/embedded"
	"tachograph/collector/store/embedded/embeddedtest"
)

// The environment of a collector that is a process of its own.
const (
	childSpool = "TACHO_TEST_COLLECTOR_SPOOL" // its spool; this process is that child
	childDSN   = "TACHO_TEST_COLLECTOR_DSN"
	childPoint = "TACHO_TEST_COLLECTOR_POINT" // it kills itself when it comes here
	childTurn  = "TACHO_TEST_COLLECTOR_TURN"  // for the so-manieth time
)

// childSpoolBytes is small enough to become full while ClickHouse is away.
const childSpoolBytes = 256 << 10

// kills is how many processes a test kills. The long run, about an hour of a busy machine:
//
//	TACHO_TEST_KILLS=1000 go test -count=1 -timeout 3h -run 'TestKilled|TestEngineKilledUnderLoad' -v ./collector
func kills(t *testing.T, short int) int {
	const name = "TACHO_TEST_KILLS"
	text := os.Getenv(name)
	if text == "" {
		return short
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(name+":", err)
	}
	return n
}

// runChild collects until its standard input ends.
func runChild() {
	if err := childMain(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func childMain() error {
	ctx := context.Background()
	s, err := openStore(ctx, os.Getenv(childDSN))
	if err != nil {
		return err
	}
	turn, err := strconv.ParseInt(os.Getenv(childTurn), 10, 64)
	if err != nil {
		return err
	}
	var turns atomic.Int64
	c, err := collector.Open(ctx, collector.Config{Store: s, SpoolDir: os.Getenv(childSpool), SpoolBytes: childSpoolBytes, SegmentRows: 500,
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Probe: func(point string) {
			if point == os.Getenv(childPoint) && turns.Add(1) == turn {
				if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
					panic(err)
				}
				select {} // the signal is on its way
			}
		}})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := c.HTTPServer(nil)
	go func() { _ = server.Serve(listener) }()
	fmt.Println("http://" + listener.Addr().String())
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	_ = server.Close()
	if err := c.Flush(ctx); err != nil {
		return err
	}
	return c.Close()
}

// openStore opens a store whose engine may be starting again.
func openStore(ctx context.Context, dsn string) (*store.Store, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		s, err := store.Open(ctx, dsn, store.Options{})
		if err == nil || ctx.Err() != nil {
			return s, err
		}
		<-time.After(50 * time.Millisecond)
	}
}

// child is such a process.
type child struct {
	cmd   *exec.Cmd
	url   string
	stdin io.WriteCloser
	errs  bytes.Buffer
}

func startChild(t *testing.T, spool, dsn, point string, turn int) *child {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: exec.Command(self)}
	c.cmd.Env = append(os.Environ(), childSpool+"="+spool, childDSN+"="+dsn, childPoint+"="+point, childTurn+"="+strconv.Itoa(turn))
	c.cmd.Stderr = &c.errs
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		if !c.killed(t) || point == "" {
			t.Fatalf("the collector did not start: %v\n%s", err, c.errs.String())
		}
		return c // it was killed while it stored what it had found
	}
	c.url = line[:len(line)-1]
	return c
}

// killed waits for the end of the process and says whether a signal was that.
func (c *child) killed(t *testing.T) bool {
	t.Helper()
	err := c.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	status, ok := c.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// numbered is a request of spans whose ids are numbers from first + 1 on: no id may be zero.
func numbered(first, n int) []byte {
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("service.name", "numbers")
	spans := rs.ScopeSpans().AppendEmpty().Spans()
	for i := range n {
		sp := spans.AppendEmpty()
		sp.SetTraceID(pcommon.TraceID{0: 1, 15: byte((first + i) % 7)})
		sp.SetSpanID(pcommon.SpanID(binary.BigEndian.AppendUint64(nil, uint64(first+i+1))))
		sp.SetName("number")
		sp.SetStartTimestamp(1_790_000_000_000_000_000)
		sp.SetEndTimestamp(1_790_000_000_000_001_000)
		sp.Attributes().PutStr("gen_ai.tool.name", "count")
		sp.Attributes().PutInt("n", int64(first+i))
	}
	body, err := ptraceotlp.NewExportRequestFromTraces(td).MarshalProto()
	if err != nil {
		panic(err)
	}
	return body
}

// sender sends numbers, and what was not acknowledged again.
type sender struct {
	mu      sync.Mutex
	next    int
	again   [][2]int
	acked   int
	refused int // requests that were told to come again
}

func (s *sender) take(n int) (first, count int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := len(s.again); k > 0 {
		r := s.again[k-1]
		s.again = s.again[:k-1]
		return r[0], r[1]
	}
	first = s.next
	s.next += n
	return first, n
}

// done notes what became of a request: its status, or 0 if there was no answer.
func (s *sender) done(first, n, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch status {
	case http.StatusOK:
		s.acked += n
		return
	case http.StatusServiceUnavailable:
		s.refused++
	}
	s.again = append(s.again, [2]int{first, n})
}

// soFar is how many spans were acknowledged, and how many requests refused.
func (s *sender) soFar() (acked, refused int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acked, s.refused
}

// run sends from several connections until the receiver is gone or enough says so; then it calls then, once.
func (s *sender) run(url string, enough func(acked, refused int) bool, then func()) {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	var once sync.Once
	var workers sync.WaitGroup
	var stop atomic.Bool
	for range 4 {
		workers.Go(func() {
			for !stop.Load() {
				first, n := s.take(1 + rand.IntN(40))
				status, err := post(client, url, numbered(first, n))
				s.done(first, n, status)
				if err != nil {
					return
				}
				if enough(s.soFar()) {
					once.Do(func() {
						then()
						stop.Store(true)
					})
				}
			}
		})
	}
	workers.Wait()
}

// post returns the status of an answer that came whole, 0 if it did not.
func post(client *http.Client, url string, body []byte) (status int, err error) {
	resp, err := client.Post(url+"/v1/traces", protobuf, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0, err
	}
	return resp.StatusCode, nil
}

// more is enough when so many more spans are acknowledged than now.
func (s *sender) more(n int) func(acked, refused int) bool {
	before, _ := s.soFar()
	return func(acked, _ int) bool { return acked >= before+n }
}

// turnedAway is enough when a request is refused that was not before.
func (s *sender) turnedAway() func(acked, refused int) bool {
	_, before := s.soFar()
	return func(_, refused int) bool { return refused > before }
}

// road leads to an engine, connection by connection, and can be cut.
type road struct {
	net.Listener
	to string

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]bool
	ends  sync.WaitGroup
}

// newRoad makes a road to the engine of a DSN, and the DSN that goes along it.
func newRoad(t *testing.T, dsn string) (*road, string) {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &road{Listener: l, to: u.Host, conns: map[net.Conn]bool{}}
	u.Host = l.Addr().String()
	r.ends.Go(r.accept)
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		r.set(true)
		r.ends.Wait()
	})
	return r, u.String()
}

func (r *road) accept() {
	for {
		near, err := r.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", r.to)
		if err != nil || !r.open(near, far) {
			_ = near.Close()
			continue
		}
		for from, to := range map[net.Conn]net.Conn{near: far, far: near} {
			r.ends.Go(func() {
				_, _ = io.Copy(to, from)
				_, _ = near.Close(), far.Close()
			})
		}
	}
}

// open takes a connection, unless the road is cut.
func (r *road) open(near, far net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cut {
		_ = far.Close()
		return false
	}
	r.conns[near] = true
	return true
}

// set cuts the road, with all that is on it, or mends it.
func (r *road) set(cut bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = cut
	for c := range r.conns {
		_ = c.Close()
	}
	clear(r.conns)
}

// TestKilled kills the collector at named points and at random moments, the engine, and both, also after ClickHouse
// was away until the spool was full. What was acknowledged must be in ClickHouse, each span once, and nothing else.
func TestKilled(t *testing.T) {
	e, err := embedded.Open(t.Context(), embedded.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	k := &killing{t: t, engine: e, spool: t.TempDir()}
	k.road, k.dsn = newRoad(t, e.DSN())
	for want := kills(t, 15); k.collectors < want; k.round() {
	}
	k.finish()
	t.Logf("killed: %d collectors (%s), %d engines; ClickHouse was away until the spool was full %d times; %d requests refused, %d spans acknowledged",
		k.collectors, k.where(), k.engines, k.away, k.refused, k.acked)
}

// killing is a test in which one spool and one engine outlive many collectors.
type killing struct {
	t      *testing.T
	engine *embedded.Engine
	road   *road
	spool  string
	dsn    string // along the road
	sender

	rounds                    int
	collectors, engines, away int            // killed; full spools
	points                    map[string]int // collectors killed at each; "": from outside, anywhere
}

// round lives through one collector.
func (k *killing) round() {
	points := []string{collector.ProbeWriting, collector.ProbeDurable, collector.ProbeSealed, collector.ProbeInserted, ""}
	point := points[k.rounds%len(points)]
	engineToo, away := k.rounds%4 == 3, k.rounds%7 == 6
	k.rounds++
	c := startChild(k.t, k.spool, k.dsn, point, 1+rand.IntN(6))
	if c.url != "" {
		enough := k.more(rand.IntN(400))
		if away {
			k.road.set(true)
			enough = k.turnedAway()
		}
		_, before := k.soFar()
		aim := point
		k.run(c.url, enough, func() {
			point = "" // it did not come there yet
			if engineToo {
				k.engine.Kill()
				k.engines++
			}
			if aim == "" {
				_ = c.cmd.Process.Kill()
			}
		})
		if _, refused := k.soFar(); away && refused > before {
			k.away++
		}
		k.road.set(false)
		_ = c.cmd.Process.Kill()
		if !c.killed(k.t) {
			k.t.Fatalf("the collector ended by itself: %v\n%s", c.cmd.ProcessState, c.errs.String())
		}
	}
	k.collectors++
	if k.points == nil {
		k.points = map[string]int{}
	}
	k.points[point]++
}

func (k *killing) where() string {
	var text []string
	for _, point := range slices.Sorted(maps.Keys(k.points)) {
		text = append(text, fmt.Sprintf("%s %d", cmp.Or(point, "anywhere"), k.points[point]))
	}
	return strings.Join(text, ", ")
}

// finish sends what was not acknowledged, lets the last collector store everything, and counts.
func (k *killing) finish() {
	t := k.t
	t.Helper()
	c := startChild(t, k.spool, k.dsn, "", 1)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for end := time.Now().Add(patience); len(k.again) > 0; { // the spool may be full for a while
		first, n := k.take(0)
		status, err := post(client, c.url, numbered(first, n))
		if err != nil || time.Now().After(end) {
			t.Fatalf("the last collector answers %d, %v", status, err)
		}
		k.done(first, n, status)
	}
	if err := c.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Wait(); err != nil {
		t.Fatalf("the last collector: %v\n%s", err, c.errs.String())
	}
	count(t, k.engine.DSN(), k.acked)
}

// count compares what is stored with numbers from 1 to n.
func count(t *testing.T, dsn string, n int) {
	t.Helper()
	conn := embeddedtest.Connect(t, dsn)
	for query, want := range map[string]int{
		"SELECT count() FROM spans":                                               n,
		"SELECT uniqExact(span_id) FROM spans":                                    n,
		"SELECT max(span_id) FROM spans":                                          n,
		"SELECT sum(c) FROM (SELECT tool, count() AS c FROM spans GROUP BY tool)": n,
	} {
		if got := embeddedtest.Number(t, conn, query); got != int64(want) {
			t.Errorf("%s: %d, want %d", query, got, want)
		}
	}
}

// TestEngineKilledUnderLoad kills ClickHouse again and again while one collector lives.
func TestEngineKilledUnderLoad(t *testing.T) {
	e, err := embedded.Open(t.Context(), embedded.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	st, err := store.Open(t.Context(), e.DSN(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	l := collect(t, collector.Config{Store: st, SegmentRows: 500})
	var s sender
	for range min(kills(t, 4), 50) {
		s.run(l.http, s.more(4000), func() {
			if err := e.Wait(t.Context()); err != nil { // a dead one could not be killed
				t.Error(err)
			}
			e.Kill()
		})
	}
	if len(s.again) > 0 {
		t.Errorf("%d requests were refused though only ClickHouse was away", len(s.again))
	}
	l.flush(t)
	count(t, e.DSN(), s.acked)
	if m := l.Metrics(); m.InsertFailures == 0 {
		t.Error("no insert failed: the engine was not killed under load")
	} else {
		t.Logf("%d spans, %d failed inserts in %d segments", s.acked, m.InsertFailures, m.Segments)
	}
}
