package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"tachograph/collector/store/embedded/embeddedtest"
)

// BenchmarkIngest sends the same load to our collector and to the OpenTelemetry Collector, in turn, into the same ClickHouse,
// and reports what each spent of CPU until every span was stored there. A round is one database and one fresh process for
// each contender; run several (-benchtime 3x): the figures are medians over the rounds.
//
//	collector       our collector alone, as tacho up has it, without vectors: columns as the peer's, and more
//	tacho           the real `tacho up`, which makes vectors of the intents beside it: all enrichment on
//	peer            OpenTelemetry Collector, clickhouseexporter, tuned; answers before anything is on the disk
//	peer-disk       the same with its queue on the disk
//
// Stored, not acknowledged. A contender ends a round with OPTIMIZE FINAL, so that merging counts whoever left more of it.
func BenchmarkIngest(b *testing.B) {
	spans := 160_000
	if n, err := strconv.Atoi(os.Getenv("TACHO_BENCH_SPANS")); err == nil {
		spans = n
	}
	spans -= spans % (loadConnections * loadRequest)
	before := children()
	engine := embeddedtest.Start(b)
	var enginePID int
	for pid := range children() {
		if !before[pid] {
			enginePID = pid
		}
	}
	b.Logf("%d spans a round, load at the start: %s", spans, loadAverage())
	results := map[string][]cost{}
	for round := 0; b.Loop(); round++ {
		load := encodeLoad(spans, uint64(round+1), "agent.intent")
		withIntents := encodeLoad(spans, uint64(round+1), "tacho.intent.text")
		for _, c := range contenders {
			bytes := load
			if c.intents {
				bytes = withIntents
			}
			r := race{b: b, dsn: inDatabase(b, engine.DSN()), engine: enginePID, spans: spans, load: bytes}
			got := r.run(c)
			b.Logf("round %d, %-9s %s", round, c.name, got.of(spans))
			results[c.name] = append(results[c.name], got)
		}
	}
	for _, c := range contenders {
		m := median(results[c.name])
		b.Logf("median,  %-9s %s", c.name, m.of(spans))
		b.ReportMetric(float64(spans)/m.own, c.name+"-spans/cpu-s")
	}
	ratio := func(of func(cost) float64, ours, theirs string) float64 {
		return of(median(results[theirs])) / of(median(results[ours]))
	}
	own := func(c cost) float64 { return c.own }
	together := func(c cost) float64 { return c.own + c.engine }
	b.ReportMetric(ratio(own, "collector", "peer"), "x-equal")
	b.ReportMetric(ratio(own, "collector", "peer-disk"), "x-equal-disk")
	b.ReportMetric(ratio(own, "tacho", "peer"), "x-enriched")
	b.ReportMetric(ratio(together, "collector", "peer"), "x-together")
	b.ReportMetric(ratio(func(c cost) float64 { return c.bytes }, "collector", "peer"), "x-bytes")
}

// contender is one way into ClickHouse.
type contender struct {
	name    string
	table   string
	intents bool
	start   func(r *race) (p *process, grpc string)
}

var contenders = []contender{
	{"collector", "spans", false, startOurs},
	{"peer", "otel_traces", false, startPeer("clickhouse-memory.yaml")},
	{"tacho", "spans", true, startTacho},
	{"peer-disk", "otel_traces", false, startPeer("clickhouse-disk.yaml")},
}

func startOurs(r *race) (*process, string) {
	address := free(r.b)
	cmd := exec.Command(os.Args[0])
	cmd.Dir = r.b.TempDir()
	cmd.Env = append(os.Environ(), asOurs+"="+r.dsn, "PEER_GRPC="+address)
	p := start(r.b, cmd)
	p.says("Everything is ready")
	return p, address
}

func startTacho(r *race) (*process, string) {
	u := newMachine(r.b, nil).up(r.dsn)
	return u.process, u.OTLPGRPC
}

func startPeer(config string) func(r *race) (*process, string) {
	return func(r *race) (*process, string) {
		u, err := url.Parse(r.dsn)
		if err != nil {
			r.b.Fatal(err)
		}
		password, _ := u.User.Password()
		address, database := free(r.b), strings.TrimPrefix(u.Path, "/")
		return peer(r.b, config, "PEER_GRPC="+address, "PEER_CLICKHOUSE=http://"+u.Host, "PEER_DATABASE="+database, "PEER_USER="+u.User.Username(),
			"PEER_PASSWORD="+password, "PEER_DIR="+filepath.Join(r.b.TempDir(), "queue")), address
	}
}

// race is one contender's turn.
type race struct {
	b      *testing.B
	dsn    string
	engine int
	spans  int
	load   [loadConnections][][]byte
}

// cost of a race: seconds of CPU and of the clock, bytes on the disk.
type cost struct {
	own, engine   float64 // until all was stored
	merged        float64 // of the engine, until the parts were one
	later         float64 // of the contender, until the vectors were there too; 0: it makes none
	acked, stored float64 // clock
	bytes         float64 // a span, merged
}

func (c cost) of(spans int) string {
	n := float64(spans)
	return fmt.Sprintf("%6.0f spans/cpu-s (with vectors %6.0f), engine %6.0f, merged %6.0f, together %6.0f; acknowledged after %4.1f s, stored after %4.1f s, %5.1f B/span",
		n/c.own, n/max(c.later, c.own), n/c.engine, n/c.merged, n/(c.own+c.engine), c.acked, c.stored, c.bytes)
}

func (r *race) run(c contender) (got cost) {
	r.b.Helper()
	p, address := c.start(r)
	conn := embeddedtest.Connect(r.b, embeddedtest.InDatabase(r.b, r.dsn, "system"))
	table := strings.TrimPrefix(must(url.Parse(r.dsn)).Path, "/") + "." + c.table
	own, engine, began := cpuOf(r.b, p.cmd.Process.Pid), cpuOf(r.b, r.engine), time.Now()
	r.send(address)
	got.acked = time.Since(began).Seconds()
	await(r.b, conn, "SELECT count() FROM "+table, r.spans, p)
	got.stored = time.Since(began).Seconds()
	got.own, got.engine = cpuOf(r.b, p.cmd.Process.Pid)-own, cpuOf(r.b, r.engine)-engine
	if c.intents {
		await(r.b, conn, "SELECT count() FROM "+strings.TrimSuffix(table, "spans")+"intents", r.spans, p)
		got.later = cpuOf(r.b, p.cmd.Process.Pid) - own
	}
	if err := conn.Exec(context.Background(), "OPTIMIZE TABLE "+table+" FINAL"); err != nil {
		r.b.Fatal(err)
	}
	got.merged = cpuOf(r.b, r.engine) - engine
	database, name, _ := strings.Cut(table, ".")
	got.bytes = float64(embeddedtest.Number(r.b, conn, "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = '"+database+"' AND table = '"+name+"'")) / float64(r.spans)
	if n := embeddedtest.Number(r.b, conn, "SELECT count() FROM "+table); n != int64(r.spans) {
		r.b.Errorf("%s stored %d spans of %d", c.name, n, r.spans)
	}
	p.stop()
	if err := conn.Exec(context.Background(), "DROP DATABASE "+database+" SYNC"); err != nil {
		r.b.Fatal(err)
	}
	return got
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// send exports the load over all connections, one request at a time on each, and again what is refused for now.
func (r *race) send(address string) {
	var senders sync.WaitGroup
	for _, requests := range r.load {
		conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(encoded{})))
		if err != nil {
			r.b.Fatal(err)
		}
		defer conn.Close()
		senders.Go(func() {
			for _, request := range requests {
				if err := export(conn, request); err != nil {
					r.b.Error(err)
					return
				}
			}
		})
	}
	senders.Wait()
}

// export sends one request until it is taken. What the receiver asks to wait is not needed here: a fixed time will do.
func export(conn *grpc.ClientConn, request []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		var answer []byte
		err := conn.Invoke(ctx, "/opentelemetry.proto.collector.trace.v1.TraceService/Export", request, &answer)
		switch {
		case err == nil:
			return takenWhole(answer)
		case status.Code(err) != codes.Unavailable && status.Code(err) != codes.ResourceExhausted:
			return fmt.Errorf("export: %w", err)
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("export: %w", err)
		}
	}
}

// takenWhole reads an answer: a partial success must have rejected nothing.
func takenWhole(answer []byte) error {
	response := ptraceotlp.NewExportResponse()
	if err := response.UnmarshalProto(answer); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if n := response.PartialSuccess().RejectedSpans(); n > 0 {
		return fmt.Errorf("the receiver rejected %d spans: %s", n, response.PartialSuccess().ErrorMessage())
	}
	return nil
}

// encoded hands bytes to gRPC as they are.
type encoded struct{}

func (encoded) Name() string { return "proto" }

func (encoded) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (encoded) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

// await asks until there are n rows.
func await(b *testing.B, conn driver.Conn, query string, n int, p *process) {
	b.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(4 * patience); ; {
		var got uint64
		if err := conn.QueryRow(context.Background(), query).Scan(&got); err != nil {
			b.Fatal(query, err)
		}
		if got >= uint64(n) {
			return
		}
		select {
		case <-tick.C:
		case <-p.ended:
			b.Fatalf("it ended (%v)\n%s", p.err, p.stderr)
		case <-end:
			b.Fatalf("%d rows of %d: %s\n%s", got, n, query, p.stderr)
		}
	}
}

// median of each figure for itself.
func median(costs []cost) (m cost) {
	for _, of := range []func(*cost) *float64{
		func(c *cost) *float64 { return &c.own }, func(c *cost) *float64 { return &c.engine }, func(c *cost) *float64 { return &c.merged },
		func(c *cost) *float64 { return &c.later }, func(c *cost) *float64 { return &c.acked }, func(c *cost) *float64 { return &c.stored },
		func(c *cost) *float64 { return &c.bytes },
	} {
		var all []float64
		for i := range costs {
			all = append(all, *of(&costs[i]))
		}
		slices.Sort(all)
		*of(&m) = all[len(all)/2]
	}
	return m
}

// cpuOf is the user and system time of a process and its threads, ended ones too, in seconds.
func cpuOf(b *testing.B, pid int) float64 {
	b.Helper()
	const ticks = 100 // a second: USER_HZ, on every architecture
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:])) // the name before may hold spaces
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	if err1 != nil || err2 != nil {
		b.Fatalf("/proc/%d/stat: %s", pid, stat)
	}
	return float64(user+system) / ticks
}

// children are the processes that this one has started.
func children() map[int]bool {
	found := map[int]bool{}
	tasks, _ := filepath.Glob("/proc/self/task/*/children")
	for _, file := range tasks {
		text, _ := os.ReadFile(file) // a thread may have ended
		for field := range strings.FieldsSeq(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil {
				found[pid] = true
			}
		}
	}
	return found
}

func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text))
}
