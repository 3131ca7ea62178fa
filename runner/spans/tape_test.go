package spans_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"tachograph/runner/spans"
	"tachograph/runner/state"
	"tachograph/schemas/journal"
)

// tape is a journal in memory, for what a store would never write and for what should not be
// measured with a store.
type tape struct {
	id      journal.RunID
	lines   [][]byte
	content map[journal.Ref][]byte
}

func (s *tape) ID() journal.RunID { return s.id }

func (s *tape) Entries(_ context.Context, from int64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for i := from; i < int64(len(s.lines)); i++ {
			if !yield(s.lines[i], nil) {
				return
			}
		}
	}
}

func (s *tape) Follow(ctx context.Context, from int64) iter.Seq2[[]byte, error] {
	return s.Entries(ctx, from)
}

func (s *tape) Content(_ context.Context, ref journal.Ref) ([]byte, error) {
	if b, ok := s.content[ref]; ok {
		return b, nil
	}
	return nil, errors.New("not found")
}

// add encodes an entry, whether or not it makes sense where it stands.
func (s *tape) add(agent string, body journal.Body) error {
	raw, err := journal.EncodeBody(body)
	if err != nil {
		return err
	}
	e := journal.Entry{Version: 1, Run: s.id, Seq: int64(len(s.lines)), Epoch: 1, Time: time.Unix(1_800_000_000, int64(len(s.lines))*1e6), Agent: agent, Kind: body.Kind(), Body: raw}
	if e.Seq > 0 {
		e.Prev = journal.HashEntry(s.lines[e.Seq-1])
	}
	line, err := journal.Encode(e)
	if err == nil {
		s.lines = append(s.lines, line)
	}
	return err
}

// record copies a run with all that its entries name.
func record(t testing.TB, run *state.Run) *tape {
	t.Helper()
	s := &tape{id: run.ID(), content: map[journal.Ref][]byte{}}
	for line, err := range run.Entries(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		s.lines = append(s.lines, line)
		e, err := journal.Decode(line)
		if err != nil {
			t.Fatal(err)
		}
		body, err := journal.DecodeBody(e.Kind, e.Body)
		if err != nil {
			t.Fatal(err)
		}
		for _, ref := range journal.Refs(body) {
			if s.content[ref], err = run.Content(t.Context(), ref); err != nil {
				t.Fatal(err)
			}
		}
	}
	return s
}

// census is an exporter that is handed in and counts.
type census struct {
	spans   map[string]sdktrace.ReadOnlySpan // nil: only count
	doubled []string
	count   int
}

func (c *census) ExportSpans(_ context.Context, list []sdktrace.ReadOnlySpan) error {
	c.count += len(list)
	if c.spans == nil {
		return nil
	}
	for _, s := range list {
		id := s.SpanContext().SpanID().String()
		if c.spans[id] != nil {
			c.doubled = append(c.doubled, id+" "+s.Name())
		}
		c.spans[id] = s
	}
	return nil
}

func (c *census) Shutdown(context.Context) error { return nil }

// send exports a tape to the census.
func (c *census) send(t testing.TB, dir string, s *tape) {
	t.Helper()
	e, err := spans.Open(t.Context(), spans.Config{Env: vars(), Dir: dir, Exporter: c, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	e.Follow(s)
	closeExporter(t, e)
}

// FuzzJournal projects entries in any order, with any numbers and any content. There is nothing that
// an exporter may answer but spans: no id twice, and every parent once the run has ended.
func FuzzJournal(f *testing.F) {
	f.Add([]byte("\x00\x03\x04\x05\x06\x0b\x0c\x1e\x01"), `{"role":"user","content":"x"}`)
	f.Add([]byte("\x00\x0f\x03\x04\x17\x03\x03\x04\x05\x11\x01"), frameText)
	f.Add([]byte("\x00\x10\x16\x11\x17\x17\x10\x11\x18\x19\x1b\x01"), `{"v":1,"reasons":[{"id":"a"}],"read":["/x"]}`)
	f.Fuzz(func(t *testing.T, moves []byte, content string) {
		if len(moves) > 200 {
			return
		}
		ref := journal.Salt{}.Name([]byte(content))
		s := &tape{id: journal.RunID{1, 2, 3, 4, 5, 6, 0x70, 8, 0x80, 10}, content: map[journal.Ref][]byte{ref: []byte(content)}}
		for _, m := range moves {
			agent := []string{"/", "/1", "/1/1", "/2"}[int(m>>5)%4]
			// What cannot be encoded is no entry.
			_ = s.add(agent, senseless(int(m&31), int64(len(s.lines)), int64(m>>5), ref))
		}
		_ = s.add("/", &journal.RunEnded{Outcome: "done"})
		got := &census{spans: map[string]sdktrace.ReadOnlySpan{}}
		got.send(t, t.TempDir(), s)
		if len(got.doubled) > 0 {
			t.Errorf("ids twice: %v", got.doubled)
		}
		for _, made := range got.spans {
			if p := made.Parent().SpanID(); p.IsValid() && got.spans[p.String()] == nil {
				t.Errorf("%s has no parent", made.Name())
			}
		}
	})
}

// senseless is a body of the nth kind that names entries back from here.
func senseless(n int, seq, back int64, ref journal.Ref) journal.Body {
	at := max(seq-1-back, 0)
	bodies := []journal.Body{
		&journal.RunStarted{Spec: ref, Goal: ref, Model: "kimi/k"}, &journal.RunEnded{Outcome: "failed", Reason: ref},
		&journal.Intent{Text: ref}, &journal.ModelAsked{Step: back, Attempt: back, Model: "m", New: []journal.Ref{ref}, Frame: ref, At: back},
		&journal.ModelAnswered{Asked: at, Status: []string{"ok", "failed", "lost", "given"}[back%4], Message: ref, Error: ref, Calls: back},
		&journal.CallProposed{Tool: "bash", Args: ref, Intent: at, Targets: ref, Index: back},
		&journal.CallDecided{Call: at, Decision: "hold", Reasons: ref}, &journal.CallHeld{Call: at}, &journal.CallApproved{Call: at, By: ref},
		&journal.CallRefused{Call: at, By: ref}, &journal.CallExpired{Call: at}, &journal.CallStarted{Call: at, Attempt: back},
		&journal.CallEnded{Call: at, Status: []string{"ok", "error"}[back%2], Message: ref}, &journal.ContextCompacted{New: []journal.Ref{ref}},
		&journal.TaskChanged{Task: back}, &journal.AgentSpawned{Path: "/1", Goal: ref}, &journal.AgentSpawned{Path: "/1/1"},
		&journal.AgentEnded{Path: "/1", Result: ref}, &journal.AgentEnded{Path: "/1/1"}, &journal.MessageSent{To: "/1"}, &journal.MessageReceived{},
		&journal.WorkspaceTouched{}, &journal.Snapshot{Why: "asked"}, &journal.RolledBack{To: at, Reason: ref}, &journal.Paused{By: ref}, &journal.Resumed{},
		&journal.Stopped{}, &journal.Recovered{Doubt: []int64{at}, Rerun: []int64{at}}, &journal.AlarmRaised{Reason: ref}, &journal.LimitChanged{},
		&journal.Note{Name: "note.x", Raw: []byte(`{}`)}, &journal.AgentEnded{Path: "/2", Outcome: "done"},
	}
	return bodies[n%len(bodies)]
}

// FuzzCursor reads any file in place of a cursor: the run is sent whole, or, if the file says so,
// not at all.
func FuzzCursor(f *testing.F) {
	id := journal.RunID{1, 2, 3, 4, 5, 6, 0x70, 8, 0x80, 10}
	s := &tape{id: id}
	for _, b := range []journal.Body{&journal.RunStarted{Model: "kimi/k"}, &journal.ModelAsked{Step: 1, Attempt: 1, Model: "kimi/k"}, &journal.RunEnded{Outcome: "done"}} {
		if err := s.add("/", b); err != nil {
			f.Fatal(err)
		}
	}
	hash := journal.HashEntry(s.lines[1]).String()
	f.Add("tacho-spans-1 " + id.String() + " 2 " + hash + " open\n")
	f.Add("tacho-spans-1 " + id.String() + " 3 " + hash + " ended\n")
	f.Add("tacho-spans-1 " + id.String() + " 9223372036854775807 " + hash + " open\n")
	f.Add("tacho-spans-1 " + id.String() + " -1  open\n")
	f.Fuzz(func(t *testing.T, text string) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, id.String()+".cursor"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got := &census{}
		got.send(t, dir, s)
		ended := strings.HasPrefix(text, "tacho-spans-1 "+id.String()) && strings.HasSuffix(text, " ended\n")
		if got.count != 3 && !(got.count == 0 && ended) {
			t.Errorf("%d spans after cursor %q", got.count, text)
		}
	})
}

// longRun is a run of so many turns, each with a question, a plan and a call.
func longRun(b *testing.B, turns int) *tape {
	b.Helper()
	store, err := state.Open(b.TempDir(), state.Options{CheckpointEvery: 1 << 30, CheckpointBytes: 1 << 40})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	run := newRun(b, store)
	s := &script{}
	s.start()
	for i := range turns {
		s.turn("/", fmt.Sprint("turn ", i, strings.Repeat(" and so on", 50)), 1)
		s.call("/", 0)
	}
	s.end("done")
	s.playAll(b, run)
	return record(b, run)
}

// BenchmarkProject compares what a span exporter does with each entry to decoding it, which every
// reader of a journal must: catching up after a restart (entries are projected, nothing is sent),
// and making every span, up to an exporter that takes it. The three are interleaved.
func BenchmarkProject(b *testing.B) {
	s := longRun(b, 500)
	var decode, catchUp, export time.Duration
	spansMade := 0
	for b.Loop() {
		begin := time.Now()
		for _, line := range s.lines {
			e, err := journal.Decode(line)
			if err == nil {
				_, err = journal.DecodeBody(e.Kind, e.Body)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
		decode += time.Since(begin)

		dir := b.TempDir()
		n := len(s.lines) - 1
		cursor := fmt.Sprintf("tacho-spans-1 %s %d %s open\n", s.id, n, journal.HashEntry(s.lines[n-1]))
		if err := os.WriteFile(filepath.Join(dir, s.id.String()+".cursor"), []byte(cursor), 0o600); err != nil {
			b.Fatal(err)
		}
		begin = time.Now()
		(&census{}).send(b, dir, s)
		catchUp += time.Since(begin)

		begin, dir = time.Now(), b.TempDir()
		c := &census{}
		c.send(b, dir, s)
		export += time.Since(begin)
		spansMade = c.count
	}
	entries := float64(b.N * len(s.lines))
	b.ReportMetric(float64(decode.Nanoseconds())/entries, "decode-ns/entry")
	b.ReportMetric(float64(catchUp.Nanoseconds())/entries, "catchup-ns/entry")
	b.ReportMetric(float64(export.Nanoseconds())/entries, "export-ns/entry")
	b.ReportMetric(float64(catchUp)/float64(decode), "catchup/decode")
	b.ReportMetric(float64(export)/float64(decode), "export/decode")
	b.ReportMetric(float64(len(s.lines))/float64(spansMade), "entries/span")
}
