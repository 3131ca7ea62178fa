package replay_test

import (
	"context"
	"encoding/hex"
	"errors"
	"iter"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tachograph/collector/store/embedded/embeddedtest"
	"tachograph/replay"
	"tachograph/runner/state"
	"tachograph/runner/workspace"
	"tachograph/schemas/journal"
)

// TestClickHouseEverySeq ships a random run with real files, and rebuilds it at every entry from ClickHouse
// alone: the local store is closed.
func TestClickHouseEverySeq(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	db := database(t)
	dir := t.TempDir()
	local := openStore(t, dir)
	l := newLab(t, local, runID(1), seed)
	l.play(700)
	if err := l.run.SignHead(t.Context()); err != nil {
		t.Fatal(err)
	}
	shipAll(t, local, db, l.run.ID())
	want, err := replay.Local(local).Runs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keys, err := local.Verifiers()
	if err != nil {
		t.Fatal(err)
	}
	if err := local.Close(); err != nil {
		t.Fatal(err)
	}
	src := replay.ClickHouse(db)
	checkEverySeq(t, src, l)
	got, err := src.Runs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("list (-local +ClickHouse):\n%s", diff)
	}
	report, err := replay.Verify(t.Context(), src, l.run.ID(), replay.Options{Keys: keys})
	if err != nil || report.Verdict != replay.Verified || report.Entries != int64(len(l.hashes)) {
		t.Errorf("verify: %v %+v", err, report)
	}
	proof, err := replay.Prove(t.Context(), src, l.run.ID(), 350, replay.ProveOptions{Verify: true, Out: filepath.Join(t.TempDir(), "out")})
	if err != nil || !proof.Holds() {
		t.Errorf("prove: %v %+v", err, proof)
	}
}

// TestClickHouseAbsent: what is not there, and what was erased, is told as by the local store.
func TestClickHouseAbsent(t *testing.T) {
	t.Parallel()
	db := database(t)
	src := replay.ClickHouse(db)
	ctx := t.Context()
	for name, ask := range map[string]func() error{
		"entries":    func() error { return firstError(src, runID(5)) },
		"heads":      func() error { _, err := src.Heads(ctx, runID(5)); return err },
		"salt":       func() error { _, err := src.Salt(ctx, runID(5)); return err },
		"content":    func() error { _, err := src.Content(ctx, runID(5), journal.Ref{1}); return err },
		"object":     func() error { _, err := src.Object(ctx, runID(5), journal.Object{1}); return err },
		"checkpoint": func() error { _, err := src.Checkpoint(ctx, runID(5), 7); return err },
		"state":      func() error { _, err := replay.At(ctx, src, runID(5), 7); return err },
	} {
		if err := ask(); !errors.Is(err, replay.ErrNotFound) {
			t.Errorf("%s: %v, want %v", name, err, replay.ErrNotFound)
		}
	}
	local := openStore(t, t.TempDir())
	l := newLab(t, local, runID(1), 1)
	l.play(30)
	shipAll(t, local, db, l.run.ID())
	if _, err := src.Content(ctx, l.run.ID(), journal.Ref{1}); !errors.Is(err, replay.ErrNotFound) {
		t.Errorf("content: %v", err)
	}
	if err := db.DeleteFamily(ctx, l.run.ID()); err != nil {
		t.Fatal(err)
	}
	erased := replay.ClickHouse(db)
	if _, err := erased.Salt(ctx, l.run.ID()); !errors.Is(err, replay.ErrErased) {
		t.Errorf("salt: %v, want %v", err, replay.ErrErased)
	}
	if err := replay.Fetch(ctx, erased, openStore(t, t.TempDir()), l.run.ID(), nil); !errors.Is(err, replay.ErrErased) && !errors.Is(err, replay.ErrNotFound) {
		t.Errorf("fetch: %v", err)
	}
}

func firstError(src replay.Source, run journal.RunID) error {
	for _, err := range src.Entries(context.Background(), run, 0) {
		return err
	}
	return nil
}

// TestClickHouseFollow sees entries that arrive later, and the end.
func TestClickHouseFollow(t *testing.T) {
	t.Parallel()
	db := database(t)
	local := openStore(t, t.TempDir())
	l := newLab(t, local, runID(1), 3)
	l.play(40)
	shipAll(t, local, db, l.run.ID())
	var got [][]byte
	for line, err := range replay.ClickHouse(db).Follow(t.Context(), l.run.ID(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, line); len(got) == 40 {
			l.append("/", &journal.Stopped{})
			l.append("/", l.story.End(l.run.State()))
			shipAll(t, local, db, l.run.ID())
		}
	}
	var want [][]byte
	for line, err := range l.run.Entries(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, line)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestFetch brings a fork and its parent into an empty store, where they are the same, byte for byte,
// verify under the keys of where they were recorded, can be forked and are not written.
func TestFetch(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	ctx := t.Context()
	db := database(t)
	local := openStore(t, t.TempDir())
	l := newLab(t, local, runID(1), seed)
	l.play(400)
	seq := int64(l.rng.IntN(400))
	at, err := l.run.At(ctx, seq)
	if err != nil {
		t.Fatal(err)
	}
	fork := &lab{t: t, store: local, rng: l.rng, story: l.story}
	if fork.run, err = local.Create(ctx, runID(2), state.CreateOptions{Parent: &state.ForkPoint{Run: l.run.ID(), Seq: seq}}); err != nil {
		t.Fatal(err)
	}
	if fork.tree, err = workspace.Open(ctx, filepath.Join(t.TempDir(), "tree"), fork.run.Objects(), at.Root, workspace.Options{UID: -1}); err == nil {
		_, err = fork.tree.Restore(ctx, at.Root, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	l.story.Stage, l.story.Root = fork.run.Stage, fork.change
	l.story.Take = func() error { return fork.run.Take(ctx) }
	fork.append("/", l.story.Fork(at))
	fork.play(150)
	for _, r := range []*state.Run{l.run, fork.run} {
		if err := r.SignHead(ctx); err != nil {
			t.Fatal(err)
		}
	}
	shipAll(t, local, db, l.run.ID(), fork.run.ID())

	there := openStore(t, t.TempDir())
	src := replay.ClickHouse(db)
	if err := replay.Fetch(ctx, src, there, fork.run.ID(), nil); err != nil {
		t.Fatal(err)
	}
	checkEverySeq(t, replay.Local(there), l)
	checkEverySeq(t, replay.Local(there), fork)
	keys, err := local.Verifiers()
	if err != nil {
		t.Fatal(err)
	}
	want, err := replay.Verify(ctx, replay.Local(local), fork.run.ID(), replay.Options{Keys: keys})
	if err != nil || len(want.Findings) > 0 || want.Covered != 150 {
		t.Fatalf("verify where it was recorded: %v %+v", err, want)
	}
	got, err := replay.Verify(ctx, replay.Local(there), fork.run.ID(), replay.Options{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(replay.Report{})); diff != "" {
		t.Errorf("verify (-recorded +fetched):\n%s", diff)
	}
	sameRuns(t, local, there)

	// It goes on with what has come since.
	fork.play(200)
	shipAll(t, local, db, fork.run.ID())
	if err := replay.Fetch(ctx, src, there, fork.run.ID(), nil); err != nil {
		t.Fatal(err)
	}
	sameRuns(t, local, there)
	imported, err := there.Run(ctx, fork.run.ID())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := imported.Append(ctx, state.Draft{Agent: "/", Body: &journal.Paused{Why: "asked"}}); !errors.Is(err, state.ErrImported) {
		t.Errorf("append to an imported run: %v", err)
	}
	next, err := there.Create(ctx, runID(3), state.CreateOptions{Parent: &state.ForkPoint{Run: fork.run.ID(), Seq: 100}})
	if err != nil {
		t.Fatal(err)
	}
	parent, err := imported.At(ctx, 100)
	if err != nil {
		t.Fatal(err)
	}
	l.story.Stage = next.Stage
	if _, err := next.Append(ctx, state.Draft{Agent: "/", Body: l.story.Fork(parent)}); err != nil {
		t.Errorf("fork of an imported run: %v", err)
	}
	// A run that a store recorded itself is left alone.
	if err := replay.Fetch(ctx, src, local, l.run.ID(), nil); err != nil {
		t.Error(err)
	}
}

// sameRuns: what was fetched into b is what a recorded, and says that it is a copy.
func sameRuns(t *testing.T, a, b *state.Store) {
	t.Helper()
	want, err := replay.Local(a).Runs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		want[i].Imported = true
	}
	got, err := replay.Local(b).Runs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("runs (-recorded +fetched):\n%s", diff)
	}
}

// spoiled is a Source in which some bytes are not what they were.
type spoiled struct {
	replay.Source
	entry   int64
	content journal.Ref
	object  journal.Object
	head    bool
	salt    bool
}

func (s spoiled) Entries(ctx context.Context, run journal.RunID, from int64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for line, err := range s.Source.Entries(ctx, run, from) {
			if err == nil && from == s.entry {
				line = []byte(strings.Replace(string(line), `"time":"2`, `"time":"3`, 1))
			}
			if from++; !yield(line, err) {
				return
			}
		}
	}
}

func (s spoiled) Content(ctx context.Context, run journal.RunID, ref journal.Ref) ([]byte, error) {
	b, err := s.Source.Content(ctx, run, ref)
	if err == nil && ref == s.content {
		b = flip(b, len(b)/2)
	}
	return b, err
}

func (s spoiled) Object(ctx context.Context, run journal.RunID, name journal.Object) ([]byte, error) {
	b, err := s.Source.Object(ctx, run, name)
	if err == nil && name == s.object {
		b = flip(b, len(b)/2)
	}
	return b, err
}

func (s spoiled) Heads(ctx context.Context, run journal.RunID) ([][]byte, error) {
	heads, err := s.Source.Heads(ctx, run)
	if s.head {
		heads = slices.Clone(heads)
		heads[0] = []byte(strings.Replace(string(heads[0]), "state sha256:", "state sha256:f", 1))
		i := strings.Index(string(heads[0]), "\n\n")
		heads[0] = append(heads[0][:i-1], heads[0][i:]...)
	}
	return heads, err
}

func (s spoiled) Salt(ctx context.Context, run journal.RunID) (journal.Salt, error) {
	salt, err := s.Source.Salt(ctx, run)
	if s.salt {
		salt[3] ^= 1
	}
	return salt, err
}

// TestFetchRefuses: whatever is changed on the way is refused, and what came before it stays a
// whole prefix that the true rest can be added to.
func TestFetchRefuses(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	local := openStore(t, t.TempDir())
	l := newLab(t, local, runID(1), uint64(time.Now().UnixNano()))
	l.play(300)
	if err := l.run.SignHead(ctx); err != nil {
		t.Fatal(err)
	}
	src := replay.Local(local)
	s, err := l.run.At(ctx, 299)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]spoiled{
		"entry":   {Source: src, entry: 290},
		"content": {Source: src, entry: -1, content: s.Goal},
		"object":  {Source: src, entry: -1, object: s.Root},
		"base":    {Source: src, entry: -1, object: s.Base},
		"head":    {Source: src, entry: -1, head: true},
		"salt":    {Source: src, entry: -1, salt: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			there := openStore(t, t.TempDir())
			err := replay.Fetch(ctx, bad, there, l.run.ID(), nil)
			if err == nil {
				t.Fatal("it was taken")
			}
			t.Log(err)
			if name == "salt" {
				return // an honest source then has another salt than what is here
			}
			if err := replay.Fetch(ctx, src, there, l.run.ID(), nil); err != nil {
				t.Fatal(err)
			}
			sameRuns(t, local, there)
			report, err := replay.Verify(ctx, replay.Local(there), l.run.ID(), replay.Options{})
			if err != nil || len(report.Findings) > 0 || report.Heads == 0 {
				t.Errorf("verify: %v %+v", err, report)
			}
		})
	}
}

// TestClickHouseOneByte changes one byte of one piece of content in the database, and has verify name it.
func TestClickHouseOneByte(t *testing.T) {
	t.Parallel()
	db := database(t)
	local := openStore(t, t.TempDir())
	l := newLab(t, local, runID(1), uint64(time.Now().UnixNano()))
	l.play(100)
	shipAll(t, local, db, l.run.ID())
	s, err := l.run.At(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	report, err := replay.Verify(t.Context(), replay.ClickHouse(db), l.run.ID(), replay.Options{})
	if err != nil || len(report.Findings) > 0 {
		t.Fatalf("before: %v %+v", err, report)
	}
	ref := s.Goal
	changeByte(t, db.Project(), hex.EncodeToString(ref[:]))
	report, err = replay.Verify(t.Context(), replay.ClickHouse(db), l.run.ID(), replay.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if report.Verdict != replay.Broken || len(report.Findings) != 1 || !strings.Contains(report.Findings[0].What, ref.String()) || report.Findings[0].Seq != 0 {
		t.Errorf("after: %s %+v", report.Verdict, report.Findings)
	}
}

// BenchmarkClickHouseAt rebuilds a state at a random entry of a long run from ClickHouse, as a process
// that did not see the run before, and interleaved with it from the local store. It reports what both took, and the CPU that
// the engine and this process used for the former: on a busy machine that is what can be compared.
func BenchmarkClickHouseAt(b *testing.B) {
	db := database(b)
	local, err := state.Open(b.TempDir(), state.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { local.Close() })
	run, entries := longRun(b, local, 8000)
	shipAll(b, local, db, run)
	conn := embeddedtest.Connect(b, embeddedtest.Open(b).DSN())
	rng := rand.New(rand.NewPCG(1, 2))
	for _, part := range []struct {
		name     string
		from, to int64
	}{{"first tenth", 1, entries / 10}, {"anywhere", 1, entries}, {"last tenth", entries - entries/10, entries}} {
		b.Run(strings.ReplaceAll(part.name, " ", "-"), func(b *testing.B) {
			var here, there, own time.Duration
			engine := engineCPU(b, conn)
			for b.Loop() {
				seq := part.from + rng.Int64N(part.to-part.from)
				here += timed(b, replay.Local(local), run, seq)
				used := ownCPU(b)
				there += timed(b, replay.ClickHouse(db), run, seq)
				own += ownCPU(b) - used
			}
			engine = engineCPU(b, conn) - engine
			for name, d := range map[string]time.Duration{"local-ms/op": here, "clickhouse-ms/op": there, "own-cpu-ms/op": own, "engine-cpu-ms/op": engine} {
				b.ReportMetric(float64(d.Microseconds())/1e3/float64(b.N), name)
			}
		})
	}
}

func timed(b *testing.B, src replay.Source, run journal.RunID, seq int64) time.Duration {
	b.Helper()
	start := time.Now()
	if _, err := replay.At(b.Context(), src, run, seq); err != nil {
		b.Fatal(err)
	}
	return time.Since(start)
}

// engineCPU is what queries have used of the engine so far.
func engineCPU(b *testing.B, conn driver.Conn) time.Duration {
	b.Helper()
	var us uint64
	if err := conn.QueryRow(b.Context(), "SELECT sum(value) FROM system.events WHERE event = 'OSCPUVirtualTimeMicroseconds'").Scan(&us); err != nil {
		b.Fatal(err)
	}
	return time.Duration(us) * time.Microsecond
}

// ownCPU is what this process has used so far.
func ownCPU(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
