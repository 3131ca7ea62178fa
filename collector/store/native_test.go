package store_test

import (
	"os"
	"testing"
	"time"

	"github.com/google/uuid"

	"tachograph/collector/store"
	"tachograph/collector/store/embedded/embeddedtest"
)

// TestNativeProtocol writes and reads over the native protocol of a server. The embedded engine does not offer it (a client
// that hangs up would abort it), so this needs the address of a database of one's own on a server, clickhouse://user:password@host:port/database,
// which it fills with rows of a project of a random name.
func TestNativeProtocol(t *testing.T) {
	t.Parallel()
	server := os.Getenv("TACHO_TEST_CLICKHOUSE")
	if server == "" {
		t.Skip("TACHO_TEST_CLICKHOUSE names no server with the native protocol")
	}
	project := "it's\tone " + uuid.NewString()
	s := open(t, server, store.Options{Project: project})
	r := story(t, 1, runID(1), 60)
	b := store.NewBatch(uuid.New(), time.Now())
	for _, line := range r.Lines {
		b.Entry(entryRow(t, project, runID(1), line))
	}
	span := oddSpan()
	span.Project = project
	b.Span(&span)
	for range 3 {
		if err := s.Insert(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		again := store.NewBatch(b.Segment(), time.Now()) // as the next process finds it
		again.Span(&span)
		if err := s.Insert(t.Context(), again); err != nil {
			t.Fatal(err)
		}
	}
	if n := embeddedtest.Number(t, embeddedtest.Connect(t, server), "SELECT count() FROM spans WHERE seg = '"+uuid.UUID(b.Segment()).String()+"'"); n != 1 {
		t.Errorf("%d spans", n)
	}
	if lines, err := read(t, s, runID(1), 0); err != nil || len(lines) != len(r.Lines) {
		t.Errorf("%d entries (%v)", len(lines), err)
	}
	if runs, err := s.Runs(t.Context(), store.Page{}); err != nil || len(runs) != 1 {
		t.Errorf("%d runs (%v)", len(runs), err)
	}
}
