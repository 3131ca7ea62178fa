package store_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"tachograph/collector/store"
	"tachograph/collector/store/embedded/embeddedtest"
	"tachograph/schemas/journal"
	"tachograph/schemas/journal/journaltest"
	"tachograph/schemas/record"
	"tachograph/schemas/tables"
)

// runID makes ids of runs that differ by n.
func runID(n byte) journal.RunID {
	id := journal.RunID(uuid.MustParse("01970000-0000-7000-8000-000000000000"))
	id[15] = n
	return id
}

// entryRow is a line as the collector takes it apart.
func entryRow(t testing.TB, project string, family journal.RunID, line []byte) *tables.Entry {
	t.Helper()
	e, err := journal.Decode(line)
	if err != nil {
		t.Fatal(err)
	}
	return &tables.Entry{Project: project, Run: e.Run, Seq: e.Seq, Epoch: e.Epoch, Hash: journal.HashEntry(line), Prev: e.Prev, Family: family,
		Time: e.Time.UnixNano(), Agent: e.Agent, Kind: string(e.Kind), Line: line}
}

// story is a random run of n entries or more.
func story(t testing.TB, seed uint64, run journal.RunID, n int) *journaltest.Recorder {
	t.Helper()
	r, err := journaltest.Random(seed, run, n)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// ingest inserts rows as one fresh segment.
func ingest(t testing.TB, s *store.Store, fill func(b *store.Batch)) {
	t.Helper()
	b := store.NewBatch(uuid.New(), time.Now())
	b.Fresh = true
	fill(b)
	if err := s.Insert(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

// read collects the entries of a run from seq on.
func read(t testing.TB, s *store.Store, run journal.RunID, from int64) (lines [][]byte, err error) {
	t.Helper()
	for line, err := range s.Entries(t.Context(), run, from) {
		if err != nil {
			return lines, err
		}
		lines = append(lines, slices.Clone(line))
	}
	return lines, nil
}

func TestEntriesComeBackOnceInOrder(t *testing.T) {
	t.Parallel()
	s := open(t, embeddedtest.Database(t), store.Options{})
	r := story(t, 1, runID(1), 300)
	other := story(t, 2, runID(2), 50)
	// Parts of it twice, in segments out of order.
	for _, part := range [][]int{{100, 200}, {0, 150}, {150, len(r.Lines)}, {20, 30}} {
		ingest(t, s, func(b *store.Batch) {
			for _, line := range r.Lines[part[0]:part[1]] {
				b.Entry(entryRow(t, "default", runID(1), line))
			}
		})
	}
	ingest(t, s, func(b *store.Batch) {
		for _, line := range other.Lines {
			b.Entry(entryRow(t, "default", runID(2), line))
			b.Entry(entryRow(t, "elsewhere", runID(3), line))
		}
	})
	for _, from := range []int64{0, 1, 149, int64(len(r.Lines)) - 1, int64(len(r.Lines))} {
		got, err := read(t, s, runID(1), from)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(texts(r.Lines[from:]), texts(got)); diff != "" {
			t.Errorf("from %d:\n%s", from, diff)
		}
	}
	count, tip, err := s.RunState(t.Context(), runID(1))
	if err != nil || count != int64(len(r.Lines)) || tip != r.State.Tip {
		t.Errorf("run state %d, %s (%v), want %d, %s", count, tip, err, len(r.Lines), r.State.Tip)
	}
	if n, err := s.CountBefore(t.Context(), runID(1), 7); err != nil || n != 7 {
		t.Errorf("%d entries before 7 (%v)", n, err)
	}
	if count, _, err := s.RunState(t.Context(), runID(9)); err != nil || count != 0 {
		t.Errorf("a run that is not there has %d entries (%v)", count, err)
	}
	if _, err := read(t, s, runID(9), 0); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("entries of a run that is not there: %v", err)
	}
}

func texts(lines [][]byte) []string {
	found := make([]string, len(lines))
	for i, l := range lines {
		found[i] = string(l)
	}
	return found
}

// TestGapIsNamed holds that a reader never takes a journal with a hole for a whole one.
func TestGapIsNamed(t *testing.T) {
	t.Parallel()
	s := open(t, embeddedtest.Database(t), store.Options{})
	r := story(t, 3, runID(1), 40)
	ingest(t, s, func(b *store.Batch) {
		for i, line := range r.Lines {
			if i != 20 {
				b.Entry(entryRow(t, "default", runID(1), line))
			}
		}
	})
	got, err := read(t, s, runID(1), 0)
	if len(got) != 20 || !errors.Is(err, store.ErrNotFound) {
		t.Errorf("%d entries, then %v", len(got), err)
	}
	if count, _, err := s.RunState(t.Context(), runID(1)); err != nil || count != int64(len(r.Lines))-1 {
		t.Errorf("%d entries (%v)", count, err)
	}
}

// rivalLines are those of two workers that wrote the same seqs from 5 on: the one that lost its lease wrote further.
func rivalLines(t *testing.T, run journal.RunID) (lost, won [][]byte) {
	t.Helper()
	add := func(lines [][]byte, seq, epoch int64, text string) [][]byte {
		prev := journal.Hash{}
		if len(lines) > 0 {
			prev = journal.HashEntry(lines[len(lines)-1])
		}
		line, err := journal.Encode(journal.Entry{Version: 1, Run: run, Seq: seq, Epoch: epoch, Time: time.Unix(1_790_000_000, seq), Agent: "/", Kind: "note.test",
			Body: []byte(fmt.Sprintf(`{"text":"%s"}`, text)), Prev: prev})
		if err != nil {
			t.Fatal(err)
		}
		return append(slices.Clip(lines), line)
	}
	for seq := range int64(5) {
		lost = add(lost, seq, 1, "shared")
	}
	won = lost
	for seq := int64(5); seq < 12; seq++ {
		lost = add(lost, seq, 1, "lost")
	}
	for seq := int64(5); seq < 9; seq++ {
		won = add(won, seq, 2, "won")
	}
	return lost, won
}

func ingestLines(t *testing.T, s *store.Store, run journal.RunID, lines ...[]byte) {
	t.Helper()
	ingest(t, s, func(b *store.Batch) {
		for _, line := range lines {
			b.Entry(entryRow(t, "default", run, line))
		}
	})
}

// TestHighestEpochCounts has two workers write the same seqs: the one that lost its lease wrote further.
func TestHighestEpochCounts(t *testing.T) {
	t.Parallel()
	s := open(t, embeddedtest.Database(t), store.Options{})
	run := runID(1)
	lost, won := rivalLines(t, run)
	ingestLines(t, s, run, slices.Concat(lost, won)...)
	for _, from := range []int64{0, 3, 5, 8} {
		got, err := read(t, s, run, from)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(texts(won[from:]), texts(got)); diff != "" {
			t.Errorf("from %d:\n%s", from, diff)
		}
	}
	count, tip, err := s.RunState(t.Context(), run)
	if err != nil || count != 9 || tip != journal.HashEntry(won[8]) {
		t.Errorf("run state %d, %s (%v)", count, tip, err)
	}
}

// TestTakenOver: what a worker that had lost its lease wrote is here and was read to its end, which is remembered, when the
// entries of the one that took over arrive. From then on those count, but for a range beyond them all: there the end that is
// remembered is believed for a while, and no longer once anybody has asked how far the run has come.
func TestTakenOver(t *testing.T) {
	t.Parallel()
	dsn := embeddedtest.Database(t)
	run := runID(1)
	lost, won := rivalLines(t, run)
	remembers := open(t, dsn, store.Options{Remember: time.Hour})
	forgets := open(t, dsn, store.Options{Remember: time.Nanosecond})
	ingestLines(t, remembers, run, lost...)
	check := func(what string, s *store.Store, from, to int64, want [][]byte) {
		t.Helper()
		var got [][]byte
		for line, err := range s.EntriesTo(t.Context(), run, from, to) {
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			got = append(got, line)
		}
		if diff := cmp.Diff(texts(want), texts(got)); diff != "" {
			t.Errorf("%s, %d to %d:\n%s", what, from, to, diff)
		}
	}
	for _, s := range []*store.Store{remembers, forgets} {
		check("before", s, 0, journal.MaxInt, lost)
	}
	ingestLines(t, remembers, run, won[5:]...)
	check("remembered", remembers, 3, 8, won[3:])
	check("remembered", remembers, 0, 11, won)
	check("remembered", remembers, 9, 11, lost[9:12]) // none of these links to an entry that counts
	check("forgotten", forgets, 9, 11, nil)
	check("forgotten", forgets, 0, 11, won)
	check("asked again", remembers, 0, journal.MaxInt, won)
	check("asked again", remembers, 9, 11, nil)
	check("asked again", remembers, 8, 11, won[8:])
}

// content makes rows of a piece in parts of at most max bytes.
func content(family journal.RunID, seq int64, space string, name [32]byte, bytes []byte, most int) (rows []*tables.Content) {
	parts := max(1, (len(bytes)+most-1)/most)
	for i := range parts {
		part := bytes[i*most : min(len(bytes), (i+1)*most)]
		rows = append(rows, &tables.Content{Project: "default", Family: family, Run: family, Seq: seq, Space: space, Name: name, Part: uint32(i), Parts: uint32(parts),
			Size: uint64(len(bytes)), Hash: sha256.Sum256(part), Bytes: part})
	}
	return rows
}

// started is the first entry of a run whose base tree has the root.
func started(t testing.TB, run journal.RunID, base journal.Object) []byte {
	t.Helper()
	r := journaltest.NewRecorder(run, nil)
	body := journal.RunStarted{Spec: journal.Ref{1}, Goal: journal.Ref{2}, Model: "script/x", Family: run, Base: base, Root: base, Policy: journal.Ref{3}, Sandbox: "1"}
	if err := r.Append("/", &body); err != nil {
		t.Fatal(err)
	}
	return r.Lines[0]
}

func TestContentComesBackWhole(t *testing.T) {
	t.Parallel()
	s := open(t, embeddedtest.Database(t), store.Options{})
	family, root := runID(1), journal.Object{1}
	long := make([]byte, 10_000)
	for i := range long {
		long[i] = byte(i * i >> 3)
	}
	names := [][32]byte{{1}, {2}, {3}, {4}, {5}, {6}}
	ingest(t, s, func(b *store.Batch) {
		b.Entry(entryRow(t, "default", family, started(t, family, root)))
		b.Family(&tables.Family{Project: "default", Family: family, Salt: make([]byte, 32)})
		for _, rows := range [][]*tables.Content{
			content(family, 0, record.SpaceContent, names[0], []byte("goal"), 1000),
			content(family, 3, record.SpaceContent, names[1], long, 999),
			content(family, 3, record.SpaceContent, names[2], nil, 999),
			content(family, 5, record.SpaceContent, names[3], long, 4000)[:2], // one part has not come
			content(family, 5, record.SpaceChunk, names[0], []byte("chunk"), 1000),
			content(family, 5, record.SpaceObject, names[0], []byte("own"), 1000),
			content(runID(2), 5, record.SpaceContent, names[4], []byte("of another family"), 1000),
		} {
			for _, row := range append(rows, rows...) { // all twice
				b.Content(row)
			}
		}
		for i := range uint32(2) {
			b.Base(&tables.Base{Project: "default", Root: root, Name: names[5], Part: i, Parts: 2, Size: 6, Bytes: []byte("abc")})
		}
		b.Base(&tables.Base{Project: "default", Root: root, Name: root, Parts: 1, Bytes: []byte("root")})
		b.Base(&tables.Base{Project: "default", Root: journal.Object{7}, Name: names[1], Parts: 1, Bytes: []byte("another tree's")})
	})
	ctx := t.Context()
	type read func() ([]byte, error)
	for what, c := range map[string]struct {
		read read
		want string
		err  error
	}{
		"one part":      {func() ([]byte, error) { return s.Content(ctx, family, names[0]) }, "goal", nil},
		"many parts":    {func() ([]byte, error) { return s.Content(ctx, family, names[1]) }, string(long), nil},
		"nothing":       {func() ([]byte, error) { return s.Content(ctx, family, names[2]) }, "", nil},
		"part missing":  {func() ([]byte, error) { return s.Content(ctx, family, names[3]) }, "", store.ErrNotFound},
		"other family":  {func() ([]byte, error) { return s.Content(ctx, family, names[4]) }, "", store.ErrNotFound},
		"chunk":         {func() ([]byte, error) { return s.Chunk(ctx, family, names[0]) }, "chunk", nil},
		"own object":    {func() ([]byte, error) { return s.Object(ctx, family, names[0]) }, "own", nil},
		"base object":   {func() ([]byte, error) { return s.Object(ctx, family, names[5]) }, "abcabc", nil},
		"other base":    {func() ([]byte, error) { return s.Object(ctx, family, names[1]) }, "", store.ErrNotFound},
		"unknown chunk": {func() ([]byte, error) { return s.Chunk(ctx, family, journal.Hash{9}) }, "", store.ErrNotFound},
		"unknown run":   {func() ([]byte, error) { return s.Content(ctx, runID(8), names[0]) }, "", store.ErrNotFound},
	} {
		got, err := c.read()
		if !errors.Is(err, c.err) || string(got) != c.want {
			t.Errorf("%s: %.20q, %v", what, got, err)
		}
	}
	lacks(t, s, family, root, names)
}

func lacks(t *testing.T, s *store.Store, family journal.RunID, root journal.Object, names [][32]byte) {
	t.Helper()
	got, err := s.Lacks(t.Context(), record.SpaceContent, family.String(), names)
	if diff := cmp.Diff([][32]byte{{4}, {5}, {6}}, got); diff != "" || err != nil {
		t.Errorf("lacks of content (%v):\n%s", err, diff)
	}
	got, err = s.Lacks(t.Context(), record.SpaceObject, journal.Hash(root).String()[len("sha256:"):], names)
	if diff := cmp.Diff([][32]byte{{2}, {3}, {4}, {5}}, got); diff != "" || err != nil {
		t.Errorf("lacks of the base tree (%v):\n%s", err, diff)
	}
	for root, want := range map[journal.Object]bool{root: true, {7}: false} {
		if has, err := s.HasBase(t.Context(), root); err != nil || has != want {
			t.Errorf("has base %s: %v (%v)", root.Short(), has, err)
		}
	}
}

func TestHeadsAndCheckpoints(t *testing.T) {
	t.Parallel()
	s := open(t, embeddedtest.Database(t), store.Options{})
	run := runID(1)
	ingest(t, s, func(b *store.Batch) {
		b.Entry(entryRow(t, "default", run, started(t, run, journal.Object{})))
		for _, size := range []int64{20, 10, 20, 30} {
			text := fmt.Appendf(nil, "head %d", size)
			b.Head(&tables.Head{Project: "default", Run: run, Size: size, Hash: sha256.Sum256(text), Head: text})
			b.Checkpoint(&tables.Checkpoint{Project: "default", Run: run, Seq: size, Hash: sha256.Sum256(text), Record: text})
		}
	})
	heads, err := s.Heads(t.Context(), run)
	if diff := cmp.Diff([]string{"head 10", "head 20", "head 30"}, texts(heads)); diff != "" || err != nil {
		t.Errorf("heads (%v):\n%s", err, diff)
	}
	for seq, want := range map[int64]int64{10: 10, 29: 20, 1000: 30} {
		at, text, err := s.Checkpoint(t.Context(), run, seq)
		if err != nil || at != want || string(text) != fmt.Sprintf("head %d", want) {
			t.Errorf("checkpoint at or before %d: %d, %q (%v)", seq, at, text, err)
		}
	}
	if _, _, err := s.Checkpoint(t.Context(), run, 9); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("checkpoint before the first: %v", err)
	}
	if _, err := s.Heads(t.Context(), runID(2)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("heads of a run that is not there: %v", err)
	}
}
