package traces_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tachograph/schemas/tables"
	"tachograph/web/api"
	"tachograph/web/traces"
)

func asked(attributes ...tables.Attr) tables.Span {
	var s tables.Span
	s.Reset()
	s.SpanID, s.Operation, s.Attributes = 7, "chat", attributes
	return s
}

func record(event, body string) tables.Log { return tables.Log{Event: "gen_ai." + event, Body: body} }

// tell is the one turn of a span with records.
func tell(t *testing.T, teller traces.Teller, s tables.Span) *api.Turn {
	t.Helper()
	items := teller.Tell([]tables.Span{s}, 0)
	if len(items) != 1 || items[0].Turn == nil {
		t.Fatalf("%+v", items)
	}
	return items[0].Turn
}

// TestRecordsAreTold tells a conversation that came as log records, and believes a span that says something itself.
func TestRecordsAreTold(t *testing.T) {
	t.Parallel()
	of := map[uint64]tables.SpanLogs{7: {Before: 3, Logs: []tables.Log{
		record("assistant.message", `{"tool_calls":[{"id":"c1","function":{"name":"ls","arguments":"{}"}}]}`),
		record("tool.message", `{"id":"c1","content":"a\u202eb"}`),
		record("choice", `{"index":0,"finish_reason":"stop","message":{"content":"one"}}`),
		record("choice", `{"index":1,"finish_reason":"length","message":{"content":"two"}}`)}}}
	turn := tell(t, traces.Teller{Logs: of}, asked())
	if turn.Message == nil || turn.Message.Text != "one\n\ntwo" || turn.Finish == nil || *turn.Finish != "stop" {
		t.Errorf("it says %+v", turn)
	}
	if len(turn.Heard) != 1 || *turn.Heard[0].Tool != "ls" || turn.Heard[0].Text.Text != "a\u202eb" || turn.HeardBefore == nil || *turn.HeardBefore != 3 {
		t.Errorf("it heard %+v", turn.Heard)
	}
	turn = tell(t, traces.Teller{Logs: of}, asked(tables.Attr{Key: "gen_ai.input.messages", Value: `[{"role":"user","content":"asked by the span"}]`},
		tables.Attr{Key: "gen_ai.output.messages", Value: `[{"role":"assistant","content":"said by the span"}]`}))
	if turn.Message.Text != "said by the span" || len(turn.Heard) != 1 || turn.Heard[0].Text.Text != "asked by the span" || turn.HeardBefore != nil {
		t.Errorf("beside what the span says: %+v", turn)
	}
}

// TestLongRecords: of a body whose whole is not read the beginning is shown, as that; of a whole one each part can be read; and
// records that were not read at all are counted.
func TestLongRecords(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("word ", 1000)
	body, err := json.Marshal(map[string]any{"message": map[string]string{"content": text}})
	if err != nil {
		t.Fatal(err)
	}
	long := record("choice", string(body[:2048]))
	long.Cut = []tables.Cut{{Place: "body", Size: uint64(len(body)), Body: [32]byte{1}}}
	logs := map[uint64]tables.SpanLogs{7: {Logs: []tables.Log{long}}}
	beginning := tell(t, traces.Teller{Logs: logs}, asked()).Message
	if beginning == nil || !beginning.Cut || beginning.Size != int64(len(body)) || beginning.Part != nil || beginning.Ref == nil || !strings.HasPrefix(beginning.Text, `{"message"`) {
		t.Errorf("the beginning is shown as %+v", beginning)
	}
	whole := tell(t, traces.Teller{Logs: logs, Whole: map[[32]byte][]byte{{1}: body}}, asked()).Message
	if whole == nil || whole.Size != int64(len(text)) || whole.Part == nil {
		t.Fatalf("the whole is shown as %+v", whole)
	}
	part, err := traces.Part(body, *whole.Part)
	if diff := cmp.Diff(text, part); diff != "" || err != nil {
		t.Errorf("part %s (%v) (want -, got +):\n%s", *whole.Part, err, diff)
	}
	plain := long
	plain.Body = text[:2048]
	logs[7].Logs[0] = plain
	if whole := tell(t, traces.Teller{Logs: logs, Whole: map[[32]byte][]byte{{1}: []byte(text)}}, asked()).Message; whole == nil || whole.Part != nil || whole.Ref == nil {
		t.Errorf("a body that is the text is shown as %+v", whole)
	}
	if turn := tell(t, traces.Teller{Logs: map[uint64]tables.SpanLogs{7: {Unread: 30_000}}}, asked()); turn.Unread == nil || *turn.Unread != 30_000 {
		t.Errorf("records that were not read: %+v", turn)
	}
}
