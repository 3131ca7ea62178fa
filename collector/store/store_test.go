package store_test

import (
	"testing"
	"time"

	"tachograph/collector/store"
	"tachograph/collector/store/embedded/embeddedtest"
)

func TestMain(m *testing.M) { embeddedtest.Main(m) }

// patience is for an engine on a busy machine.
const patience = time.Minute

// open opens a store that is closed when the test ends.
func open(t testing.TB, dsn string, o store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), dsn, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error("close:", err)
		}
	})
	return s
}
