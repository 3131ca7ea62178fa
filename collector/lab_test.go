package collector_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"tachograph/collector"
	"tachograph/collector/store"
	"tachograph/collector/store/embedded/embeddedtest"
	"tachograph/schemas/access"
)

func TestMain(m *testing.M) {
	if os.Getenv(childSpool) != "" {
		runChild()
		return
	}
	embeddedtest.Main(m)
}

// patience is for everything that happens sooner or later on a busy machine.
const patience = time.Minute

// database makes a store in a database of the test's own, and a connection past it.
func database(t testing.TB) (*store.Store, driver.Conn, string) {
	t.Helper()
	dsn := embeddedtest.Database(t)
	s, err := store.Open(t.Context(), dsn, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, embeddedtest.Connect(t, dsn), dsn
}

// lab is a collector with both servers on loopback.
type lab struct {
	*collector.Collector
	http string // base URL
	grpc string // address
}

// collect starts a collector that is closed when the test ends.
func collect(t testing.TB, config collector.Config) *lab {
	t.Helper()
	if config.SpoolDir == "" {
		config.SpoolDir = t.TempDir()
	}
	config.Log = slog.New(slog.NewTextHandler(testLog{t}, nil))
	c, err := collector.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error("close:", err)
		}
	})
	httpAddr, grpcAddr := open(t, c, nil)
	return &lab{Collector: c, http: "http://" + httpAddr, grpc: grpcAddr}
}

// open has a collector answer on two ports, to whom the gate lets in.
func open(t testing.TB, c *collector.Collector, gate *access.Gate) (httpAddr, grpcAddr string) {
	t.Helper()
	web := httptest.NewUnstartedServer(c.Handler(gate))
	if gate != nil {
		web.Listener = tls.NewListener(web.Listener, gate.TLS("h2", "http/1.1")) // not StartTLS, which has a certificate of its own
	}
	web.Start()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := c.GRPCServer(gate)
	var served sync.WaitGroup
	served.Go(func() {
		if err := g.Serve(listener); err != nil {
			t.Error("serve gRPC:", err)
		}
	})
	t.Cleanup(func() {
		web.Close()
		g.Stop()
		served.Wait()
	})
	return web.Listener.Addr().String(), listener.Addr().String()
}

// flush waits until all that was acknowledged is stored, as long as it takes while some more is.
func (l *lab) flush(t testing.TB) {
	t.Helper()
	for {
		before := l.Metrics().Segments
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		err := l.Flush(ctx)
		cancel()
		if err == nil {
			return
		}
		if m := l.Metrics(); m.Segments == before {
			t.Fatalf("flush: %v; %+v", err, m)
		}
	}
}

// answer is what came back over HTTP.
type answer struct {
	code   int
	header http.Header
	body   []byte
}

// post sends a request over HTTP. Headers come in pairs.
func (l *lab) post(t testing.TB, path string, body []byte, headers ...string) answer {
	t.Helper()
	return send(t, http.MethodPost, l.http+path, body, headers...)
}

func send(t testing.TB, method, to string, body []byte, headers ...string) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, to, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" { // http.Client takes it from nowhere else
			req.Host = headers[i+1]
			continue
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{code: resp.StatusCode, header: resp.Header, body: got}
}

const protobuf = "application/x-protobuf"

// must posts protobuf and expects success.
func (l *lab) must(t testing.TB, path string, body []byte) answer {
	t.Helper()
	a := l.post(t, path, body, "Content-Type", protobuf)
	if a.code != http.StatusOK {
		t.Fatalf("POST %s: %d %q", path, a.code, a.body)
	}
	return a
}

// dial connects to the gRPC server.
func (l *lab) dial(t testing.TB, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+l.grpc, append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return conn
}

// memory is a store that keeps counts. It fails, or blocks, when told to.
type memory struct {
	mu      sync.Mutex
	fail    error
	rows    map[string]int
	inserts int
	blocked chan struct{} // not nil: inserts wait until it is closed
}

func (m *memory) Insert(ctx context.Context, b *store.Batch) error {
	m.mu.Lock()
	blocked, fail := m.blocked, m.fail
	m.mu.Unlock()
	if blocked != nil {
		select {
		case <-blocked:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if fail != nil {
		return fail
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rows == nil {
		m.rows = map[string]int{}
	}
	for _, table := range []string{"spans", "logs", "metrics", "entries", "content", "bases", "families", "heads", "checkpoints", "open_spans"} {
		m.rows[table] += b.RowsOf(table)
	}
	m.inserts++
	return nil
}

func (m *memory) set(fail error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = fail
}

func (m *memory) count(table string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rows[table]
}

// testLog writes a log into the test's.
type testLog struct{ t testing.TB }

func (l testLog) Write(b []byte) (int, error) {
	if l.t.Context().Err() == nil { // a test that has ended takes no more
		l.t.Log(strings.TrimSpace(string(b)))
	}
	return len(b), nil
}
