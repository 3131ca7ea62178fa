package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"tachograph/collector/store/embedded/embeddedtest"
)

// The run whose journal goes through the hop: it writes files, a large one among them that needs several records, and takes
// its time, so that it is shipped while the hop is killed.
const (
	hopSpec = `
model: script/model.yaml
prompt: Count, and keep what you have counted.
directory: work
snapshot_interval: 1
`
	hopModel = `
turns:
  - say: First something large.
    calls:
      - {tool: bash, intent: Fill a file that does not fit into one record., args: {command: "head -c 3000000 /dev/urandom > large.bin"}}
  - repeat: 40
    turns:
      - say: Round ${n}.
        calls:
          - {tool: bash, intent: Append., args: {command: "sleep 0.1; echo round ${n} >> log.txt; mkdir -p d${n}; date +%N > d${n}/at"}}
          - {tool: write_file, intent: "Note it, as “précis” ✓.", args: {path: "note-${n}.txt", content: "note ${n}\n"}}
  - say: Done.
`
)

// journalTables are those whose rows make up a shipped journal, with what tells one piece from another: a piece that was
// sent again stands there again until the engine merges, or under the seq of a later entry.
var journalTables = []struct{ table, pieces string }{
	{"entries", "seq, epoch, hash, prev, family, time, agent, kind, line"},
	{"content", "family, space, name, part, parts, size, hash, bytes"},
	{"bases", "root, name, part, parts, size, hash, bytes"},
	{"families", "family, version, salt"},
	{"heads", "run, size, hash, head"},
	{"checkpoints", "run, seq, hash, record"},
}

// TestForeignHop: between the runner and our collector stands an OpenTelemetry Collector that acknowledges what it then
// loses: it samples, is killed, overflows, and refuses. The shipper finds out by asking ClickHouse, and sends again. In
// the end everything is there, byte for byte as if there had been no hop, and another machine proves the run from there alone.
func TestForeignHop(t *testing.T) {
	engine := embeddedtest.Open(t)
	throughHop, direct := inDatabase(t, engine.DSN()), inDatabase(t, engine.DSN())
	far := newMachine(t, nil).up(throughHop)
	h := &hop{t: t, grpc: free(t), http: free(t), nobody: free(t), to: far}

	h.start("losing.yaml")
	m := newMachine(t, map[string]string{"spec.yaml": hopSpec, "model.yaml": hopModel, "work/log.txt": ""})
	entries, log := m.runThrough(h, readerOf(t, engine.ReaderDSN(), throughHop))
	t.Logf("the run has %d entries", len(entries))
	id := runOf(t, entries[0])
	conn := embeddedtest.Connect(t, throughHop)
	there := embeddedtest.Number(t, conn, "SELECT uniqExact(seq) FROM entries")
	if there == int64(len(entries)) {
		t.Fatal("nothing was lost: this proves nothing")
	}
	t.Logf("a hop that samples and was killed twice let %d entries through; the shipper said %q", there, warnings(log))

	// Now somebody insists that it be shipped, while the hop is first worse and then mended.
	ship := m.command("ship", id, "--json", "--ship", "grpc://"+h.grpc, "--clickhouse", readerOf(t, engine.ReaderDSN(), throughHop))
	var shippedText bytes.Buffer
	ship.Stdout = &shippedText
	h.restart("refusing.yaml")
	shipping := start(t, ship)
	shipping.says("data refused due to high memory usage") // as the hop answered
	h.restart("overflowing.yaml")
	h.says("sending queue is full")
	h.restart("passing.yaml")
	<-shipping.ended
	if shipping.err != nil {
		t.Fatalf("tacho ship through a hop that was mended: %v\n%s\n%s", shipping.err, shipping.stderr, h.stderr)
	}
	var shipped struct{ Shipped, Total int }
	if err := json.Unmarshal(shippedText.Bytes(), &shipped); err != nil || shipped.Shipped != len(entries) || shipped.Total != len(entries) {
		t.Errorf("tacho ship says %s (%v), want %d entries", &shippedText, err, len(entries))
	}
	sent := embeddedtest.Connect(t, throughHop)
	if again := embeddedtest.Number(t, sent, "SELECT count() - uniqExact(seq) FROM entries"); again == 0 {
		t.Log("no entry had come twice")
	}

	// The same journal, past the hop.
	beside := newMachine(t, nil).up(direct)
	m.tacho(0, "ship", id, "--ship", "grpc://"+beside.OTLPGRPC, "--clickhouse", readerOf(t, engine.ReaderDSN(), direct))
	other := embeddedtest.Connect(t, direct)
	for _, of := range journalTables {
		got, want := pieces(t, conn, of.table, of.pieces), pieces(t, other, of.table, of.pieces)
		t.Logf("%s: %d pieces", of.table, len(want))
		if len(want) == 0 || !slices.Equal(got, want) {
			t.Errorf("%s: %d pieces came through the hop, %d past it, or they differ", of.table, len(got), len(want))
		}
	}
	lines := texts(t, conn, "SELECT line FROM entries ORDER BY seq LIMIT 1 BY seq, hash")
	if len(lines) != len(entries) {
		t.Fatalf("%d entries in ClickHouse, the run has %d", len(lines), len(entries))
	}
	for seq, line := range lines {
		if line != string(entries[seq]) {
			t.Errorf("entry %d was\n%s\nand is\n%s", seq, entries[seq], line)
		}
	}
	m.proveElsewhere(readerOf(t, engine.ReaderDSN(), throughHop), id, len(entries))
	beside.stop()
	far.stop()
}

// hop is the OpenTelemetry Collector in the middle, which keeps its address when it is started again.
type hop struct {
	*process
	t      *testing.T
	grpc   string
	http   string
	nobody string // an address where nobody listens
	to     *upped
}

func (h *hop) start(config string) {
	h.t.Helper()
	h.process = peer(h.t, config, "PEER_GRPC="+h.grpc, "PEER_HTTP="+h.http, "PEER_NOBODY="+h.nobody,
		"PEER_TO="+h.to.OTLPGRPC, "PEER_TO_HTTP="+strings.TrimPrefix(h.to.OTLPHTTP, "http://"))
}

// restart kills it with all that it holds.
func (h *hop) restart(config string) {
	h.t.Helper()
	h.kill()
	h.start(config)
}

// runThrough runs the spec, ships it through the hop meanwhile, and kills the hop twice. It returns the entries as they
// were acknowledged, and what the run logged.
func (m *machine) runThrough(h *hop, dsn string) (entries [][]byte, log string) {
	m.t.Helper()
	var reached [2]chan struct{}
	for i := range reached {
		reached[i] = make(chan struct{})
	}
	cmd := m.command("run", "spec.yaml", "--json", "--ship", "grpc://"+h.grpc, "--clickhouse", dsn)
	cmd.Stdout = &lines{each: func(line []byte) {
		var entry struct{ Prev *string }
		if json.Unmarshal(line, &entry) != nil || entry.Prev == nil {
			return // the outcome, after the last entry
		}
		entries = append(entries, line)
		switch len(entries) {
		case 100:
			close(reached[0])
		case 250:
			close(reached[1])
		}
	}}
	p := start(m.t, cmd)
	for _, there := range reached {
		select {
		case <-there:
			h.restart("losing.yaml")
		case <-p.ended:
			m.t.Fatalf("tacho run ended too early (%v), after %d entries\n%s", p.err, len(entries), p.stderr)
		}
	}
	<-p.ended
	if p.err != nil {
		m.t.Fatalf("tacho run: %v\n%s", p.err, p.stderr)
	}
	return entries, p.stderr.String()
}

// proveElsewhere takes the runner's machine away, and proves the run from ClickHouse on another one, which has only its public key.
func (m *machine) proveElsewhere(dsn, id string, entries int) {
	m.t.Helper()
	key, err := os.ReadFile(filepath.Join(m.dir, "data", "store", "keys", "worker.pub"))
	if err != nil {
		m.t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(m.dir, "data"), filepath.Join(m.dir, "gone")); err != nil {
		m.t.Fatal(err)
	}
	elsewhere := newMachine(m.t, map[string]string{"worker.pub": string(key)})
	elsewhere.tacho(0, "verify", id, "--key", "worker.pub", "--clickhouse", dsn)
	for _, seq := range []int{0, entries / 3, entries - 1} {
		elsewhere.tacho(0, "replay", id, "--seq", fmt.Sprint(seq), "--verify", "--clickhouse", dsn)
	}
}

func runOf(t *testing.T, entry []byte) string {
	t.Helper()
	var e struct{ Run string }
	if err := json.Unmarshal(entry, &e); err != nil {
		t.Fatal(err)
	}
	return e.Run
}

// warnings are the lines of a log that warn.
func warnings(log string) (lines []string) {
	for line := range strings.Lines(log) {
		if strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// inDatabase is the DSN of a database that nobody else uses.
func inDatabase(t testing.TB, dsn string) string {
	t.Helper()
	return embeddedtest.InDatabase(t, dsn, "tacho_peer_"+strings.ReplaceAll(uuid.NewString()[:13], "-", "_"))
}

// readerOf is the address of a database for the user who only reads.
func readerOf(t testing.TB, reader, of string) string {
	t.Helper()
	u, err := url.Parse(of)
	if err != nil {
		t.Fatal(err)
	}
	return embeddedtest.InDatabase(t, reader, strings.TrimPrefix(u.Path, "/"))
}

// texts asks for a column of texts.
func texts(t testing.TB, conn driver.Conn, query string) (found []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	rows, err := conn.Query(ctx, query)
	if err != nil {
		t.Fatal(query, err)
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		found = append(found, text)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(query, err)
	}
	return found
}

// pieces are the different pieces of a table, each as a hash over all that it says.
func pieces(t testing.TB, conn driver.Conn, table, columns string) []string {
	t.Helper()
	found := texts(t, conn, "SELECT DISTINCT SHA256(toString(tuple("+columns+"))) AS h FROM "+table+" ORDER BY h")
	for i := range found {
		found[i] = hex.EncodeToString([]byte(found[i]))
	}
	return found
}
