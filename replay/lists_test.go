package replay_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"tachograph/collector/store"
	"tachograph/collector/store/embedded/embeddedtest"
	"tachograph/replay"
	"tachograph/runner/state"
	"tachograph/schemas/journal"
)

// shippedList is a run of 400 steps in ClickHouse, whose newest checkpoint holds a list of two full blocks; and the
// messages and the state at its end, as the local store has them.
type shippedList struct {
	db   *store.Store
	run  journal.RunID
	last int64
	want []journal.Ref
	hash journal.Hash
}

func shipList(t *testing.T) shippedList {
	t.Helper()
	l := shippedList{db: database(t)}
	local := openStore(t, t.TempDir())
	run, entries := longRun(t, local, 400)
	l.run, l.last = run, entries-1
	shipAll(t, local, l.db, run)
	j, err := local.Journal(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	s, err := j.Whole(t.Context(), l.last)
	if err != nil {
		t.Fatal(err)
	}
	list := s.Agent("/").List
	if l.want, err = list.Refs(0, list.Len()); err != nil || len(l.want) < 600 {
		t.Fatalf("%d messages, %v", len(l.want), err)
	}
	l.hash = s.Hash()
	return l
}

// alter changes the blocks of lists in ClickHouse, which are known by their length.
func (l shippedList) alter(t *testing.T, change string) {
	t.Helper()
	ctx := clickhouse.Context(t.Context(), clickhouse.WithParameters(clickhouse.Parameters{"project": l.db.Project()}))
	err := embeddedtest.Connect(t, embeddedtest.Open(t).DSN()).Exec(ctx, fmt.Sprintf(`ALTER TABLE content %s WHERE project = {project:String} AND space = 'chunk' AND length(bytes) = %d
		SETTINGS mutations_sync = 2`, change, 257*journal.HashSize))
	if err != nil {
		t.Fatal(err)
	}
}

// A state from ClickHouse is made without the blocks of its lists. When they are gone, or are not what they were, the state
// is still the right one, its messages are told from the entries, and whoever proves or verifies hears of it.
func TestClickHouseListLost(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ change, says string }{
		"replaced": {"UPDATE bytes = concat(char(bitXor(ascii(bytes), 1)), substring(bytes, 2))", "another hash"},
		"removed":  {"DELETE", "not found"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := shipList(t)
			l.check(t, "")
			l.alter(t, c.change)
			l.check(t, c.says)
		})
	}
}

// check rebuilds the end of the run and reads its messages. says is in the error of one who reads the lists of the newest
// checkpoint; none if they are there.
func (l shippedList) check(t *testing.T, says string) {
	t.Helper()
	ctx, src := t.Context(), replay.ClickHouse(l.db)
	s, err := replay.At(ctx, src, l.run, l.last)
	if err != nil || s.Hash() != l.hash {
		t.Fatalf("state %v, %v", s, err)
	}
	whole := len(l.want)
	got, err := replay.Messages(ctx, src, s, "/", 0, whole)
	if err != nil || !slices.Equal(got, l.want) {
		t.Errorf("other messages, %v", err)
	}
	if got, err = s.Agent("/").List.Refs(whole-10, whole); err != nil || !slices.Equal(got, l.want[whole-10:]) {
		t.Errorf("other messages at the end, %v", err)
	}
	_, err = s.Agent("/").List.Refs(0, 1)
	proof, proofErr := replay.Prove(ctx, src, l.run, l.last, replay.ProveOptions{Verify: true, Out: filepath.Join(t.TempDir(), "out")})
	report, reportErr := replay.Verify(ctx, src, l.run, replay.Options{})
	if proofErr != nil || reportErr != nil {
		t.Fatal(proofErr, reportErr)
	}
	if says == "" {
		if err != nil || !proof.Holds() || report.Verdict != replay.Unsigned {
			t.Errorf("%v; proof %+v; report %+v", err, proof, report)
		}
		return
	}
	if err == nil || !strings.Contains(err.Error(), says) {
		t.Errorf("the first message was read: %v", err)
	}
	if proof.Holds() || !strings.Contains(proof.Unread, says) || proof.State != l.hash || proof.Refolded != l.hash {
		t.Errorf("proof: %+v", proof)
	}
	if report.Verdict != replay.Broken || !strings.Contains(report.Findings[0].What, says) || !isCheckpoint(t, src, l.run, report.Findings[0].Seq) {
		t.Errorf("report: %+v", report)
	}
}

func isCheckpoint(t *testing.T, src replay.Source, run journal.RunID, seq int64) bool {
	t.Helper()
	for line, err := range src.Entries(t.Context(), run, seq) {
		if err != nil {
			t.Fatal(err)
		}
		e, err := journal.Decode(line)
		if err != nil {
			t.Fatal(err)
		}
		return e.Kind == journal.KindCheckpoint
	}
	return false
}

// A run is forked and fetched where only ClickHouse has it, with all its messages.
func TestClickHouseListFetched(t *testing.T) {
	t.Parallel()
	l := shipList(t)
	here := openStore(t, t.TempDir())
	if err := replay.Fetch(t.Context(), replay.ClickHouse(l.db), here, l.run, nil); err != nil {
		t.Fatal(err)
	}
	fork, err := here.Create(t.Context(), runID(201), state.CreateOptions{Parent: &state.ForkPoint{Run: l.run, Seq: l.last}})
	if err != nil {
		t.Fatal(err)
	}
	list := fork.State().Agent("/").List
	if got, err := list.Refs(0, list.Len()); err != nil || !slices.Equal(got, l.want) {
		t.Errorf("the fork has other messages, %v", err)
	}
}
