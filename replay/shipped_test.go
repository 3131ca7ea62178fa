package replay_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"

	"tachograph/collector/store"
	"tachograph/collector/store/embedded/embeddedtest"
	"tachograph/runner/ship"
	"tachograph/runner/state"
	"tachograph/schemas/journal"
	"tachograph/schemas/record"
	"tachograph/schemas/tables"
)

// database opens a project of its own in the shared ClickHouse.
func database(t testing.TB) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), embeddedtest.Open(t).DSN(), store.Options{Project: t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// shipAll ships runs into ClickHouse with the real shipper, through an OTLP endpoint that makes the
// rows as the collector does, only without a spool.
func shipAll(t testing.TB, from *state.Store, into *store.Store, runs ...journal.RunID) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := receive(r, into); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			t.Error(err)
		}
	}))
	defer server.Close()
	s, err := ship.Open(ship.Config{State: from, Endpoint: server.URL, Dir: t.TempDir(), Final: true, Store: into})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	for _, run := range runs {
		if err := s.Ship(ctx, run, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

func receive(r *http.Request, into *store.Store) error {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	export := plogotlp.NewExportRequest()
	if err := export.UnmarshalProto(raw); err != nil {
		return err
	}
	batch := store.NewBatch(uuid.New(), time.Now())
	for _, group := range export.Logs().ResourceLogs().All() {
		for _, scope := range group.ScopeLogs().All() {
			for _, l := range scope.LogRecords().All() {
				if err := addRow(batch, into.Project(), l); err != nil {
					return err
				}
			}
		}
	}
	return into.Insert(r.Context(), batch)
}

func addRow(b *store.Batch, project string, l plog.LogRecord) error {
	body := l.Body().Bytes().AsRaw()
	text := func(key string) string { v, _ := l.Attributes().Get(key); return v.Str() }
	number := func(key string) int64 { v, _ := l.Attributes().Get(key); return v.Int() }
	id := func(key string) (id [16]byte) {
		if u, err := uuid.Parse(text(key)); err == nil {
			id = u
		}
		return id
	}
	var hash, name, root [32]byte
	hex.Decode(hash[:], []byte(text(record.KeyHash)))
	run, seq := id(record.KeyRun), number(record.KeySeq)
	switch l.EventName() {
	case record.Entry:
		e, err := journal.Decode(body)
		if err != nil {
			return err
		}
		b.Entry(&tables.Entry{Project: project, Run: run, Seq: seq, Epoch: e.Epoch, Hash: journal.HashEntry(body), Prev: e.Prev,
			Family: id(record.KeyFamily), Time: e.Time.UnixNano(), Agent: e.Agent, Kind: string(e.Kind), Line: body})
	case record.Content:
		hex.Decode(name[:], []byte(text(record.KeyName)))
		part, parts, size := uint32(number(record.KeyPart)), uint32(number(record.KeyParts)), uint64(number(record.KeySize))
		if n, _ := hex.Decode(root[:], []byte(text(record.KeyScope))); n == len(root) {
			b.Base(&tables.Base{Project: project, Root: root, Name: name, Part: part, Parts: parts, Size: size, Hash: hash, Bytes: body})
			return nil
		}
		b.Content(&tables.Content{Project: project, Family: id(record.KeyScope), Run: run, Seq: seq, Space: text(record.KeySpace),
			Name: name, Part: part, Parts: parts, Size: size, Hash: hash, Bytes: body})
	case record.Head:
		b.Head(&tables.Head{Project: project, Run: run, Size: seq, Hash: hash, Head: body})
	case record.Checkpoint:
		b.Checkpoint(&tables.Checkpoint{Project: project, Run: run, Seq: seq, Hash: hash, Record: body})
	case record.Family:
		b.Family(&tables.Family{Project: project, Family: id(record.KeyFamily), Salt: body})
	default:
		return fmt.Errorf("record %q", l.EventName())
	}
	return nil
}
