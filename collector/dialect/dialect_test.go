package dialect

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"tachograph/collector/otlp"
	"tachograph/schemas/attr"
	"tachograph/schemas/journal"
	"tachograph/schemas/record"
	"tachograph/schemas/tables"
)

// TestLiftsAgree: the switch says what the list of tables says, and each typed column can be reached.
func TestLiftsAgree(t *testing.T) {
	t.Parallel()
	for bit, l := range tables.Lifts() {
		if got := liftOf(l.Key); int(got) != bit {
			t.Errorf("%s is lifted to %d, tables says %d", l.Key, got, bit)
		}
		var s tables.Span
		reached := bit == tables.LiftRunID || bit == tables.LiftFinishReasons ||
			l.Type == tables.TypeString && s.TextColumn(int8(bit)) != nil || l.Type == tables.TypeInt && s.NumberColumn(int8(bit)) != nil
		if !reached {
			t.Errorf("%s has no column of type %c", l.Key, l.Type)
		}
	}
	if len(tables.Lifts()) > 64 {
		t.Error("more lifts than bits")
	}
}

// kept is Rows that keeps copies.
type kept struct {
	spans       []tables.Span
	open        []tables.OpenSpan
	logs        []tables.Log
	metrics     []tables.Metric
	entries     []tables.Entry
	content     []tables.Content
	bases       []tables.Base
	families    []tables.Family
	heads       []tables.Head
	checkpoints []tables.Checkpoint
}

func (k *kept) Span(r *tables.Span) {
	c := *r
	c.Attributes, c.FinishReasons, c.Cut = slices.Clone(r.Attributes), slices.Clone(r.FinishReasons), slices.Clone(r.Cut)
	k.spans = append(k.spans, c)
}
func (k *kept) OpenSpan(r *tables.OpenSpan)     { k.open = append(k.open, *r) }
func (k *kept) Log(r *tables.Log)               { k.logs = append(k.logs, *r) }
func (k *kept) Metric(r *tables.Metric)         { k.metrics = append(k.metrics, *r) }
func (k *kept) Entry(r *tables.Entry)           { k.entries = append(k.entries, *r) }
func (k *kept) Content(r *tables.Content)       { k.content = append(k.content, *r) }
func (k *kept) Base(r *tables.Base)             { k.bases = append(k.bases, *r) }
func (k *kept) Family(r *tables.Family)         { k.families = append(k.families, *r) }
func (k *kept) Head(r *tables.Head)             { k.heads = append(k.heads, *r) }
func (k *kept) Checkpoint(r *tables.Checkpoint) { k.checkpoints = append(k.checkpoints, *r) }

// take examines a request and makes the rows of what is accepted.
func take(t *testing.T, signal otlp.Signal, body []byte) (Examined, *kept) {
	t.Helper()
	e, err := Examine(signal, "p", body, nil, otlp.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	var rows kept
	if err := NewWriter(&rows).Request(signal, "p", time.UnixMilli(1), body, e.Rejected); err != nil {
		t.Fatal(err)
	}
	return e, &rows
}

func traces(t *testing.T, fill func(ptrace.SpanSlice)) []byte {
	t.Helper()
	td := ptrace.NewTraces()
	fill(td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans())
	body, err := ptraceotlp.NewExportRequestFromTraces(td).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func logs(t *testing.T, fill func(plog.LogRecordSlice)) []byte {
	t.Helper()
	ld := plog.NewLogs()
	fill(ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords())
	body, err := plogotlp.NewExportRequestFromLogs(ld).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// TestOldNamesAreRead: what an old name or another type says stands in the column, and the attribute stays as it came.
func TestOldNamesAreRead(t *testing.T) {
	t.Parallel()
	_, rows := take(t, otlp.Traces, traces(t, func(s ptrace.SpanSlice) {
		sp := s.AppendEmpty()
		sp.SetTraceID(pcommon.TraceID{1})
		sp.SetSpanID(pcommon.SpanID{1})
		sp.Attributes().PutStr("gen_ai.system", "openai")
		sp.Attributes().PutInt("gen_ai.usage.prompt_tokens", 7)
		sp.Attributes().PutStr("gen_ai.usage.output_tokens", "8")
		sp.Attributes().PutInt("gen_ai.usage.completion_tokens", 9)
		sp.Attributes().PutDouble(attr.GenAIUsageCacheRead, 3)
	}))
	s := rows.spans[0]
	if s.Provider != "openai" || s.InputTokens != 7 || s.OutputTokens != 8 || s.CachedTokens != 3 || s.ReasoningTokens != tables.Absent {
		t.Errorf("provider %q, tokens %d %d %d %d", s.Provider, s.InputTokens, s.OutputTokens, s.CachedTokens, s.ReasoningTokens)
	}
	if s.Lifted != 0 || len(s.Attributes) != 5 {
		t.Errorf("lifted %b, attributes %v", s.Lifted, s.Attributes)
	}
}

// TestKeysThatStandTwice are kept twice and lifted never.
func TestKeysThatStandTwice(t *testing.T) {
	t.Parallel()
	// pdata's maps may hold a key twice only if they are read so; the bytes are put together here.
	one := traces(t, func(s ptrace.SpanSlice) {
		sp := s.AppendEmpty()
		sp.SetTraceID(pcommon.TraceID{1})
		sp.SetSpanID(pcommon.SpanID{1})
		sp.Attributes().PutStr("gen_ai.tool.name", "first")
		sp.Attributes().PutStr("gen_ai.tool.namf", "other")
	})
	two := []byte(strings.ReplaceAll(string(one), "gen_ai.tool.namf", "gen_ai.tool.name"))
	_, rows := take(t, otlp.Traces, two)
	want := []tables.Attr{{Key: "gen_ai.tool.name", Value: "first", Type: 's'}, {Key: "gen_ai.tool.name", Value: "other", Type: 's'}}
	if diff := cmp.Diff(want, rows.spans[0].Attributes); diff != "" || rows.spans[0].Lifted != 0 {
		t.Errorf("lifted %b\n%s", rows.spans[0].Lifted, diff)
	}
}

// TestRunsOfOurs: a span is ours only if it says the run that its trace is.
func TestRunsOfOurs(t *testing.T) {
	t.Parallel()
	run := journal.RunID{1, 2, 3}
	_, rows := take(t, otlp.Traces, traces(t, func(s ptrace.SpanSlice) {
		for i, id := range []string{run.String(), "something else", ""} {
			sp := s.AppendEmpty()
			sp.SetTraceID(pcommon.TraceID(run))
			sp.SetSpanID(pcommon.SpanID{byte(i + 1)})
			if id != "" {
				sp.Attributes().PutStr(attr.RunID, id)
			}
		}
	}))
	var got []string
	for _, s := range rows.spans {
		got = append(got, fmt.Sprint(s.Source, " ", len(s.Attributes)))
	}
	if diff := cmp.Diff([]string{"tacho 0", "otlp 1", "otlp 0"}, got); diff != "" {
		t.Error(diff)
	}
}

// put makes a record of a journal, as the shipper does.
func put(all plog.LogRecordSlice, event string, body []byte, attrs map[string]any) plog.LogRecord {
	l := all.AppendEmpty()
	l.SetEventName(event)
	l.Body().SetEmptyBytes().FromRaw(body)
	l.Attributes().PutStr(record.KeyHash, record.HashOf(body))
	for key, v := range attrs {
		switch v := v.(type) {
		case string:
			l.Attributes().PutStr(key, v)
		case int:
			l.Attributes().PutInt(key, int64(v))
		}
	}
	return l
}

var (
	run    = journal.RunID{0x01, 0x97, 6: 0x70, 8: 0x80, 15: 1}
	family = journal.RunID{0x01, 0x97, 6: 0x70, 8: 0x80, 15: 2}
)

func entry(t *testing.T) []byte {
	t.Helper()
	line, err := journal.Encode(journal.Entry{Version: journal.Version, Run: run, Seq: 3, Epoch: 1, Time: time.Unix(1_790_000_000, 5).UTC(), Agent: "/",
		Kind: "note.test", Body: []byte(`{}`), Prev: journal.HashEntry([]byte("before"))})
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// TestJournalRecords: each kind becomes its row.
func TestJournalRecords(t *testing.T) {
	t.Parallel()
	line, object, salted := entry(t), []byte("the bytes of a file"), []byte("what somebody wrote")
	objectName, root := sha256.Sum256(object), sha256.Sum256([]byte("root"))
	ref := journal.Salt{7}.Name(salted)
	hexOf := func(h [32]byte) string { return hex.EncodeToString(h[:]) }
	body := logs(t, func(all plog.LogRecordSlice) {
		put(all, record.Family, make([]byte, 32), map[string]any{record.KeyRun: run.String(), record.KeyFamily: family.String()})
		put(all, record.Content, salted, map[string]any{record.KeyRun: run.String(), record.KeySpace: record.SpaceContent, record.KeyName: hexOf(ref),
			record.KeyScope: family.String(), record.KeySeq: 3, record.KeyPart: 0, record.KeyParts: 1, record.KeySize: len(salted)})
		put(all, record.Content, object, map[string]any{record.KeyRun: run.String(), record.KeySpace: record.SpaceObject, record.KeyName: hexOf(objectName),
			record.KeyScope: hexOf(root), record.KeySeq: 3, record.KeyPart: 0, record.KeyParts: 1, record.KeySize: len(object)})
		put(all, record.Content, nil, map[string]any{record.KeyRun: run.String(), record.KeySpace: record.SpaceChunk, record.KeyName: hexOf(root),
			record.KeyScope: family.String(), record.KeySeq: 3, record.KeyPart: 0, record.KeyParts: 1, record.KeySize: 0})
		put(all, record.Entry, line, map[string]any{record.KeyRun: run.String(), record.KeyFamily: family.String(), record.KeySeq: 3, record.KeyEpoch: 1})
		put(all, record.Head, []byte("a head"), map[string]any{record.KeyRun: run.String(), record.KeySeq: 4})
		put(all, record.Checkpoint, []byte("a checkpoint"), map[string]any{record.KeyRun: run.String(), record.KeySeq: 3})
	})
	e, got := take(t, otlp.Logs, body)
	if len(e.Rejected) != 0 || e.Records != 7 || !e.Live || len(e.Keys) != 0 {
		t.Fatalf("%+v", e)
	}
	want := &kept{
		families: []tables.Family{{Project: "p", Family: family, Salt: make([]byte, 32)}},
		content: []tables.Content{
			{Project: "p", Family: family, Run: run, Seq: 3, Space: "content", Name: ref, Parts: 1, Size: uint64(len(salted)), Hash: sha256.Sum256(salted), Bytes: salted},
			{Project: "p", Family: family, Run: run, Seq: 3, Space: "chunk", Name: root, Parts: 1, Hash: sha256.Sum256(nil), Bytes: []byte{}}},
		bases: []tables.Base{{Project: "p", Root: root, Name: objectName, Parts: 1, Size: uint64(len(object)), Hash: objectName, Bytes: object}},
		entries: []tables.Entry{{Project: "p", Run: run, Seq: 3, Epoch: 1, Hash: journal.HashEntry(line), Prev: journal.HashEntry([]byte("before")), Family: family,
			Time: 1_790_000_000_000_000_005, Agent: "/", Kind: "note.test", Line: line}},
		heads:       []tables.Head{{Project: "p", Run: run, Size: 4, Hash: sha256.Sum256([]byte("a head")), Head: []byte("a head")}},
		checkpoints: []tables.Checkpoint{{Project: "p", Run: run, Seq: 3, Hash: sha256.Sum256([]byte("a checkpoint")), Record: []byte("a checkpoint")}},
	}
	for i := range got.content {
		if got.content[i].Bytes == nil {
			got.content[i].Bytes = []byte{}
		}
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(kept{})); diff != "" {
		t.Error(diff)
	}
}

// TestJournalRecordsThatAreRefused: one wrong thing each; the record beside them is taken.
func TestJournalRecordsThatAreRefused(t *testing.T) {
	t.Parallel()
	line := entry(t)
	good := map[string]any{record.KeyRun: run.String(), record.KeyFamily: family.String(), record.KeySeq: 3, record.KeyEpoch: 1}
	object := []byte("an object")
	name := sha256.Sum256(object)
	content := map[string]any{record.KeyRun: run.String(), record.KeySpace: record.SpaceObject, record.KeyName: hex.EncodeToString(name[:]),
		record.KeyScope: family.String(), record.KeySeq: 3, record.KeyPart: 0, record.KeyParts: 1, record.KeySize: len(object)}
	with := func(base map[string]any, key string, v any) map[string]any {
		m := map[string]any{}
		for k, old := range base {
			m[k] = old
		}
		m[key] = v
		return m
	}
	for _, c := range []struct {
		name  string
		event string
		body  []byte
		attrs map[string]any
		says  string
	}{
		{"another hash", record.Entry, line, with(good, record.KeyHash, record.HashOf([]byte("x"))), "body has hash"},
		{"no hash", record.Entry, line, with(good, record.KeyHash, ""), "hex digits"},
		{"another run", record.Entry, line, with(good, record.KeyRun, family.String()), "its line"},
		{"another seq", record.Entry, line, with(good, record.KeySeq, 4), "its line"},
		{"another epoch", record.Entry, line, with(good, record.KeyEpoch, 2), "its line"},
		{"no entry", record.Entry, []byte("{}"), good, ""},
		{"seq as text", record.Entry, line, with(good, record.KeySeq, "3"), "must be an int"},
		{"run without dashes", record.Entry, line, with(good, record.KeyRun, "0197"), "run id"},
		{"part of parts", record.Content, object, with(content, record.KeyPart, 1), "part 1 of 1"},
		{"another size", record.Content, object, with(content, record.KeySize, 5), "bytes of 5"},
		{"another name", record.Content, object, with(content, record.KeyName, record.HashOf(nil)), "not the hash"},
		{"upper case", record.Content, object, with(content, record.KeyName, strings.ToUpper(hex.EncodeToString(name[:]))), "lower-case"},
		{"no such space", record.Content, object, with(content, record.KeySpace, "attribute"), "no such space"},
		{"content of a base", record.Content, object, with(with(content, record.KeySpace, record.SpaceContent), record.KeyScope, record.HashOf(nil)), "run id"},
		{"large", record.Content, make([]byte, record.MaxPart+1), with(with(content, record.KeySize, record.MaxPart+1), record.KeyName, record.HashOf(make([]byte, record.MaxPart+1))), "at most"},
		{"short salt", record.Family, []byte("salt"), map[string]any{record.KeyRun: run.String(), record.KeyFamily: family.String()}, "salt of 4 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e, rows := take(t, otlp.Logs, logs(t, func(all plog.LogRecordSlice) {
				put(all, record.Entry, line, good)
				put(all, c.event, c.body, c.attrs)
				put(all, record.Entry, line, good)
			}))
			if diff := cmp.Diff([]uint32{1}, e.Rejected); diff != "" || !strings.Contains(e.Message, c.says) || !strings.Contains(e.Message, "record 1") {
				t.Errorf("%q %s", e.Message, diff)
			}
			if len(rows.entries) != 2 || len(rows.content)+len(rows.families) != 0 {
				t.Errorf("rows %+v", rows)
			}
		})
	}
}

// TestHints: the start of a span and its heartbeat become rows of open_spans.
func TestHints(t *testing.T) {
	t.Parallel()
	e, rows := take(t, otlp.Logs, logs(t, func(all plog.LogRecordSlice) {
		for i, event := range []string{attr.EventSpanStart, attr.EventSpanAlive, attr.EventSpanAlive} {
			l := all.AppendEmpty()
			l.SetEventName(event)
			l.SetTimestamp(pcommon.Timestamp(100 + i))
			if i < 2 {
				l.SetTraceID(pcommon.TraceID(run))
				l.SetSpanID(pcommon.SpanID{7: 5})
			}
			l.Attributes().PutStr(attr.SpanName, "execute_tool bash")
			l.Attributes().PutStr(attr.SpanKind, "client")
			l.Attributes().PutStr(attr.SpanParent, "00000000000000ff")
			l.Attributes().PutInt(attr.SpanStart, 90)
			l.Attributes().PutStr(attr.GenAIToolName, "bash")
			l.Attributes().PutStr(attr.AgentPath, "/2")
			l.Attributes().PutStr(attr.GenAIOperationName, "execute_tool")
		}
	}))
	if diff := cmp.Diff([]uint32{2}, e.Rejected); diff != "" || !e.Live {
		t.Errorf("%+v", e)
	}
	want := tables.OpenSpan{Project: "p", TraceID: run, SpanID: 5, ParentSpanID: 255, Start: 90, Alive: 100, Name: "execute_tool bash", Kind: 3,
		Operation: "execute_tool", AgentPath: "/2", Tool: "bash"}
	later := want
	later.Alive = 101
	if diff := cmp.Diff([]tables.OpenSpan{want, later}, rows.open); diff != "" {
		t.Error(diff)
	}
}

// FuzzRows: whatever is accepted becomes as many rows as it has records.
func FuzzRows(f *testing.F) {
	td := ptrace.NewTraces()
	spans := td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans()
	sp := spans.AppendEmpty()
	sp.SetTraceID(pcommon.TraceID{1})
	sp.SetSpanID(pcommon.SpanID{1})
	sp.SetName(strings.Repeat("é", 2000))
	sp.Attributes().PutStr("gen_ai.operation.name", "chat")
	sp.Attributes().PutEmptySlice("gen_ai.response.finish_reasons").AppendEmpty().SetStr("stop")
	sp.Events().AppendEmpty().Attributes().PutEmptyMap("m").PutEmptyBytes("$bytes").FromRaw([]byte{1})
	sp.Links().AppendEmpty().Attributes().PutDouble("d", 1)
	body, err := ptraceotlp.NewExportRequestFromTraces(td).MarshalProto()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint8(otlp.Traces), body)
	f.Add(uint8(otlp.Logs), []byte("\n\x02\x12\x00"))
	f.Add(uint8(otlp.Metrics), []byte("\n\x02\x12\x00"))
	f.Fuzz(func(t *testing.T, signal uint8, body []byte) {
		e, err := Examine(otlp.Signal(signal), "p", body, nil, otlp.Limits{Records: 1000, Values: 10_000})
		if err != nil {
			return
		}
		var rows kept
		if err := NewWriter(&rows).Request(otlp.Signal(signal), "p", time.UnixMilli(1), body, e.Rejected); err != nil {
			t.Fatalf("accepted, and then: %v", err)
		}
		got := len(rows.spans) + len(rows.open) + len(rows.logs) + len(rows.metrics) + len(rows.entries) + len(rows.bases) + len(rows.families) + len(rows.heads) + len(rows.checkpoints)
		for _, c := range rows.content {
			if c.Space != tables.SpaceAttribute {
				got++
			}
		}
		if want := e.Records - len(e.Rejected); got != want {
			t.Fatalf("%d rows of %d records", got, want)
		}
	})
}
