package collector_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"tachograph/collector"
	"tachograph/collector/store"
	"tachograph/collector/store/embedded"
)

// The environment of a collector that is a process of its own.
const (
	childSpool = "TACHO_TEST_COLLECTOR_SPOOL" // its spool; this process is that child
	childDSN   = "TACHO_TEST_COLLECTOR_DSN"
	childPoint = "TACHO_TEST_COLLECTOR_POINT" // it kills itself when it comes here
	childTurn  = "TACHO_TEST_COLLECTOR_TURN"  // for the so-manieth time
)

// kills is how often the collector is killed in a test: set TACHO_KILLS=1000 for the long run.
func kills(t *testing.T, short int) int {
	text := os.Getenv("TACHO_KILLS")
	if text == "" {
		return short
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal("TACHO_KILLS:", err)
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
	c, err := collector.Open(ctx, collector.Config{Store: s, SpoolDir: os.Getenv(childSpool), SegmentRows: 500,
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
	server := c.HTTPServer()
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
		_ = c.cmd.Wait()
		if point == "" {
			t.Fatalf("the collector did not start: %v\n%s", err, c.errs.String())
		}
		return c // it was killed while it stored what it had found
	}
	c.url = line[:len(line)-1]
	return c
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
	mu    sync.Mutex
	next  int
	again [][2]int
	acked int
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

func (s *sender) done(first, n int, acked bool) (total int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if acked {
		s.acked += n
	} else {
		s.again = append(s.again, [2]int{first, n})
	}
	return s.acked
}

// run sends from several connections until the receiver is gone or enough was acknowledged; at enough it
// calls then, once, and goes on until the receiver is gone if that kills it.
func (s *sender) run(url string, enough int, then func()) {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	var once sync.Once
	var workers sync.WaitGroup
	var stop atomic.Bool
	for range 4 {
		workers.Go(func() {
			for !stop.Load() {
				first, n := s.take(1 + rand.IntN(40))
				resp, err := client.Post(url+"/v1/traces", protobuf, bytes.NewReader(numbered(first, n)))
				acked := err == nil && resp.StatusCode == http.StatusOK
				if err == nil {
					_, readErr := io.Copy(io.Discard, resp.Body)
					acked = acked && readErr == nil
					_ = resp.Body.Close()
				}
				total := s.done(first, n, acked)
				if err != nil {
					return
				}
				if total >= enough {
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

// TestKilled kills the collector at named points, at random moments, and the engine, and both. What was
// acknowledged must be in ClickHouse, each span once, and nothing else.
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
	spool := t.TempDir()
	var s sender
	points := []string{collector.ProbeWriting, collector.ProbeDurable, collector.ProbeSealed, collector.ProbeInserted, ""}
	for round := range kills(t, 15) {
		point := points[round%len(points)]
		c := startChild(t, spool, e.DSN(), point, 1+rand.IntN(6))
		if c.url == "" {
			continue
		}
		s.mu.Lock()
		enough := s.acked + rand.IntN(400)
		s.mu.Unlock()
		engineToo := round%4 == 3
		s.run(c.url, enough, func() {
			if engineToo {
				e.Kill()
			}
			if point == "" {
				_ = c.cmd.Process.Kill()
			}
		})
		if point != "" { // it may not have come to the point yet
			_ = c.cmd.Process.Kill()
		}
		_ = c.cmd.Wait()
	}
	finish(t, &s, spool, e.DSN())
}

// finish sends what was not acknowledged, lets the last collector store everything, and counts.
func finish(t *testing.T, s *sender, spool, dsn string) {
	t.Helper()
	c := startChild(t, spool, dsn, "", 1)
	for len(s.again) > 0 {
		first, n := s.take(0)
		a := send(t, http.MethodPost, c.url+"/v1/traces", numbered(first, n), "Content-Type", protobuf)
		s.done(first, n, a.code == http.StatusOK)
	}
	if err := c.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Wait(); err != nil {
		t.Fatalf("the last collector: %v\n%s", err, c.errs.String())
	}
	count(t, dsn, s.acked)
	t.Logf("%d spans acknowledged and stored", s.acked)
}

// count compares what is stored with numbers from 1 to n.
func count(t *testing.T, dsn string, n int) {
	t.Helper()
	o, err := clickhouse.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := clickhouse.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for query, want := range map[string]int{
		"SELECT count() FROM spans":                                               n,
		"SELECT uniqExact(span_id) FROM spans":                                    n,
		"SELECT max(span_id) FROM spans":                                          n,
		"SELECT sum(c) FROM (SELECT tool, count() AS c FROM spans GROUP BY tool)": n,
	} {
		if got := number(t, conn, query); got != int64(want) {
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
		s.run(l.http, s.acked+4000, e.Kill)
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
