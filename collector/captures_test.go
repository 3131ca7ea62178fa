package collector_test

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"tachograph/collector"
	"tachograph/schemas/tables"
)

// pairs are attributes by key and value, each as one text, sorted: typed columns do not keep their order.
type pairs []string

// said is everything about a span, as it was sent or as it is stored.
type said struct {
	Trace, Span, Parent, State, Name, Status string
	Kind, Code                               int64
	Start, End                               uint64
	Flags                                    uint32
	Scope, ScopeVersion                      string
	Attributes, Resource, ScopeAttributes    pairs
	Events, Links                            []string
	Dropped                                  [3]uint32
}

// TestCapturesAreStoredWhole sends what real clients sent, and rebuilds every span and attribute of it from the rows.
func TestCapturesAreStoredWhole(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("testdata/captures/*/*traces.*")
	if err != nil || len(names) < 5 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		t.Run(filepath.Base(filepath.Dir(name)), func(t *testing.T) {
			t.Parallel()
			s, conn, _ := database(t)
			l := collect(t, collector.Config{Store: s})
			body, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			req := ptraceotlp.NewExportRequest()
			kind, read := protobuf, req.UnmarshalProto
			if strings.HasSuffix(name, ".json") {
				kind, read = "application/json", req.UnmarshalJSON
			}
			if err := read(body); err != nil {
				t.Fatal(err)
			}
			if a := l.post(t, "/v1/traces", body, "Content-Type", kind); a.code != 200 {
				t.Fatalf("%d %s", a.code, a.body)
			}
			l.flush(t)
			want, got := sentSpans(req.Traces()), storedSpans(t, conn)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("sent and not stored (-), stored and not sent (+):\n%s", diff)
			}
		})
	}
}

// TestAllKindsOfValuesAreStoredWhole does the same for what no capture has.
func TestAllKindsOfValuesAreStoredWhole(t *testing.T) {
	t.Parallel()
	s, conn, _ := database(t)
	l := collect(t, collector.Config{Store: s})
	td := oddTraces()
	body, err := ptraceotlp.NewExportRequestFromTraces(td).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	l.must(t, "/v1/traces", body)
	l.flush(t)
	if diff := cmp.Diff(sentSpans(td), storedSpans(t, conn)); diff != "" {
		t.Errorf("sent and not stored (-), stored and not sent (+):\n%s", diff)
	}
	if n := number(t, conn, "SELECT count() FROM content WHERE space = 'attribute'"); n == 0 {
		t.Error("long values are not in content")
	}
}

// oddTraces has every type of value, values that are too long for a column, numbers at the edge, attributes
// of typed columns with other types than these have, and an end before the start.
func oddTraces() ptrace.Traces {
	long := strings.Repeat("a long text, é. ", 1000)
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("service.name", "odd")
	rs.Resource().Attributes().PutStr("long", long)
	oddValues(rs.Resource().Attributes())
	ss := rs.ScopeSpans().AppendEmpty()
	ss.Scope().SetName("scope")
	ss.Scope().SetVersion("2")
	oddValues(ss.Scope().Attributes())
	for i := range 3 {
		sp := ss.Spans().AppendEmpty()
		sp.SetTraceID(pcommon.TraceID{15: byte(i + 1)})
		sp.SetSpanID(pcommon.SpanID{255, 1, 2, 3, 4, 5, 6, byte(i)})
		sp.SetStartTimestamp(1_790_000_000_000_000_123)
		sp.SetEndTimestamp(1_790_000_000_000_000_122)
		sp.SetName(long)
		sp.SetKind(ptrace.SpanKindConsumer)
		sp.TraceState().FromRaw("vendor=" + long)
		sp.SetFlags(0xffffffff)
		sp.SetDroppedAttributesCount(3)
		sp.Status().SetCode(ptrace.StatusCodeError)
		sp.Status().SetMessage(long)
		oddValues(sp.Attributes())
		sp.Attributes().PutStr("long", long)
		e := sp.Events().AppendEmpty()
		e.SetName("event")
		e.SetTimestamp(7)
		oddValues(e.Attributes())
		e.Attributes().PutStr("long", long)
		sp.Events().AppendEmpty()
		k := sp.Links().AppendEmpty()
		k.SetTraceID(pcommon.TraceID{1})
		k.SetSpanID(pcommon.SpanID{2})
		k.TraceState().FromRaw("x=y")
		k.SetFlags(1)
		oddValues(k.Attributes())
	}
	spans := ss.Spans()
	lifted := spans.At(0).Attributes() // as typed columns have them
	lifted.PutStr("gen_ai.operation.name", "chat")
	lifted.PutInt("gen_ai.usage.input_tokens", -1)
	lifted.PutInt("gen_ai.usage.output_tokens", math.MaxInt64)
	lifted.PutInt("gen_ai.usage.cache_write.input_tokens", 5)
	lifted.PutEmptySlice("gen_ai.response.finish_reasons").AppendEmpty().SetStr("stop")
	lifted.PutStr("tacho.run.id", "00000000-0000-0000-0000-000000000001")
	lifted.PutStr("gen_ai.tool.name", "")
	other := spans.At(1).Attributes() // as they do not
	other.PutInt("gen_ai.operation.name", 5)
	other.PutStr("gen_ai.usage.input_tokens", "77")
	other.PutDouble("gen_ai.usage.output_tokens", 78)
	other.PutStr("gen_ai.request.model", long)
	other.PutInt("gen_ai.usage.cache_write.input_tokens", 5)
	other.PutInt("gen_ai.usage.cache_creation.input_tokens", 6)
	other.PutStr("gen_ai.response.finish_reasons", `["stop"]`)
	other.PutStr("tacho.run.id", "another")
	return td
}

func oddValues(m pcommon.Map) {
	m.PutStr("empty", "")
	m.PutStr("", "a key of nothing")
	m.PutStr("control", "\x00\x01\u2028<&>")
	m.PutBool("bool", true)
	m.PutInt("least", math.MinInt64)
	m.PutDouble("nan", math.NaN())
	m.PutDouble("infinite", math.Inf(-1))
	m.PutDouble("tiny", math.SmallestNonzeroFloat64)
	m.PutDouble("whole", 3)
	m.PutEmpty("nothing")
	m.PutEmptyBytes("bytes").FromRaw([]byte{0, 254, 255})
	list := m.PutEmptySlice("list")
	list.AppendEmpty().SetInt(1)
	list.AppendEmpty().SetDouble(1)
	list.AppendEmpty().SetStr("\xff")
	list.AppendEmpty()
	list.AppendEmpty().SetEmptyMap().PutStr("$bytes", "not bytes")
	list.AppendEmpty().SetEmptyMap().PutEmptyBytes("inner").FromRaw([]byte{1})
	m.PutEmptyMap("map").PutEmptyMap("in").PutDouble("x", math.NaN())
}

// sentSpans says what was sent, from pdata's reading.
func sentSpans(td ptrace.Traces) map[string]said {
	all := map[string]said{}
	for _, rs := range td.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, sp := range ss.Spans().All() {
				s := said{Trace: uuid.UUID(sp.TraceID()).String(), Span: sp.SpanID().String(), Parent: sp.ParentSpanID().String(), State: sp.TraceState().AsRaw(),
					Name: sp.Name(), Kind: int64(sp.Kind()), Code: int64(sp.Status().Code()), Status: sp.Status().Message(), Start: uint64(sp.StartTimestamp()),
					End: uint64(sp.EndTimestamp()), Flags: sp.Flags(), Scope: ss.Scope().Name(), ScopeVersion: ss.Scope().Version(),
					Attributes: sentPairs(sp.Attributes()), Resource: sentPairs(rs.Resource().Attributes()), ScopeAttributes: sentPairs(ss.Scope().Attributes()),
					Dropped: [3]uint32{sp.DroppedAttributesCount(), sp.DroppedEventsCount(), sp.DroppedLinksCount()}}
				if s.Parent == "" {
					s.Parent = "0000000000000000"
				}
				for _, e := range sp.Events().All() {
					s.Events = append(s.Events, fmt.Sprint(uint64(e.Timestamp()), e.Name(), sentPairs(e.Attributes()), e.DroppedAttributesCount()))
				}
				for _, k := range sp.Links().All() {
					s.Links = append(s.Links, fmt.Sprint(uuid.UUID(k.TraceID()), k.SpanID().String(), k.TraceState().AsRaw(), k.Flags(), sentPairs(k.Attributes()), k.DroppedAttributesCount()))
				}
				all[s.Trace+"/"+s.Span] = s
			}
		}
	}
	return all
}

func sentPairs(m pcommon.Map) pairs {
	all := pairs{}
	for key, v := range m.All() {
		all = append(all, fmt.Sprintf("%q %s", key, sayValue(v)))
	}
	slices.Sort(all)
	return all
}

// sayValue spells a value so that two are equal only if type and value are.
func sayValue(v pcommon.Value) string {
	switch v.Type() {
	case pcommon.ValueTypeStr:
		return fmt.Sprintf("string %q", v.Str())
	case pcommon.ValueTypeBool:
		return fmt.Sprintf("bool %v", v.Bool())
	case pcommon.ValueTypeInt:
		return fmt.Sprintf("int %d", v.Int())
	case pcommon.ValueTypeDouble:
		return "double " + sayDouble(v.Double())
	case pcommon.ValueTypeBytes:
		return fmt.Sprintf("bytes %x", v.Bytes().AsRaw())
	case pcommon.ValueTypeSlice:
		text := "["
		for _, item := range v.Slice().All() {
			text += sayValue(item) + ", "
		}
		return text + "]"
	case pcommon.ValueTypeMap:
		var members []string
		for key, item := range v.Map().All() {
			members = append(members, fmt.Sprintf("%q %s", key, sayValue(item)))
		}
		slices.Sort(members)
		return "{" + strings.Join(members, ", ") + "}"
	}
	return "nothing"
}

func sayDouble(d float64) string {
	if math.IsNaN(d) {
		return "NaN"
	}
	return fmt.Sprintf("%x", math.Float64bits(d))
}

// sayJSON spells a value that a column has as JSON (schemas/tables/value.go).
func sayJSON(t *testing.T, v any) string {
	switch v := v.(type) {
	case nil:
		return "nothing"
	case bool:
		return fmt.Sprintf("bool %v", v)
	case string:
		return fmt.Sprintf("string %q", v)
	case json.Number:
		if !strings.ContainsAny(v.String(), ".e") {
			return "int " + v.String()
		}
		d, err := v.Float64()
		if err != nil {
			t.Fatal(err)
		}
		return "double " + sayDouble(d)
	case []any:
		text := "["
		for _, item := range v {
			text += sayJSON(t, item) + ", "
		}
		return text + "]"
	case map[string]any:
		if len(v) == 1 {
			for key, inner := range v {
				if special, ok := saySpecial(t, key, inner); ok {
					return special
				}
			}
		}
		return "{" + strings.Join(sayMembers(t, v), ", ") + "}"
	}
	t.Fatalf("%T in JSON", v)
	return ""
}

func sayMembers(t *testing.T, v map[string]any) pairs {
	members := pairs{}
	for key, item := range v {
		members = append(members, fmt.Sprintf("%q %s", key, sayJSON(t, item)))
	}
	slices.Sort(members)
	return members
}

// saySpecial reads the objects that stand for what JSON has no word for.
func saySpecial(t *testing.T, key string, v any) (string, bool) {
	switch key {
	case "$map":
		return "{" + strings.Join(sayMembers(t, v.(map[string]any)), ", ") + "}", true
	case "$double":
		d, err := strconv.ParseFloat(v.(string), 64)
		if err != nil {
			t.Fatal(err)
		}
		return "double " + sayDouble(d), true
	case "$bytes", "$string":
		b, err := base64.StdEncoding.DecodeString(v.(string))
		if err != nil {
			t.Fatal(err)
		}
		if key == "$bytes" {
			return fmt.Sprintf("bytes %x", b), true
		}
		return fmt.Sprintf("string %q", b), true
	}
	return "", false
}

// sayStored spells a value of a map column by its letter.
func sayStored(t *testing.T, text string, letter byte) string {
	switch letter {
	case tables.TypeString:
		return fmt.Sprintf("string %q", text)
	case tables.TypeBool:
		return "bool " + text
	case tables.TypeInt:
		return "int " + text
	case tables.TypeDouble:
		d, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		return "double " + sayDouble(d)
	case tables.TypeBytes:
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("bytes %x", b)
	case tables.TypeJSON:
		return sayJSON(t, parseJSON(t, text))
	case tables.TypeNone:
		return "nothing"
	}
	t.Fatalf("no such letter: %q", letter)
	return ""
}

func parseJSON(t *testing.T, text string) any {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %.200s", err, text)
	}
	return v
}

// whole undoes cuts: it maps place and key to the value before the cut.
type whole map[[2]string]string

func (w whole) of(place, key, shown string) string {
	if text, ok := w[[2]string{place, key}]; ok {
		return text
	}
	return shown
}

func (w whole) pairs(t *testing.T, place string, keys, values []string, letters string) pairs {
	all := pairs{}
	for i, key := range keys {
		letter := tables.TypeString
		if letters != "" {
			letter = letters[i]
		}
		all = append(all, fmt.Sprintf("%q %s", key, sayStored(t, w.of(place, key, values[i]), letter)))
	}
	slices.Sort(all)
	return all
}

func (w whole) object(t *testing.T, place, text string) pairs {
	if text == "" {
		return pairs{}
	}
	members := parseJSON(t, text).(map[string]any)
	for key, v := range members {
		if shown, ok := v.(string); ok {
			members[key] = w.of(place, key, shown)
		}
	}
	return sayMembers(t, members)
}

// row is a stored span.
type row struct {
	said
	id, parent             uint64
	kind, code             uint8
	duration               uint64
	start, early           int64
	resource, scope        string
	keys, values           []string
	letters                string
	lifted                 uint64
	finish                 []string
	eventTimes             []int64
	eventNames             []string
	eventKeys, eventValues [][]string
	eventLetters           []string
	eventDropped           []uint32
	linkTraces             []uuid.UUID
	linkSpans              []uint64
	linkStates             []string
	linkFlags              []uint32
	linkKeys, linkValues   [][]string
	linkLetters            []string
	linkDropped            []uint32
	places, cutKeys        []string
	cutSizes               []uint64
	cutBodies              []string
	typed                  map[string]any
}

// storedSpans says what is stored.
func storedSpans(t *testing.T, conn driver.Conn) map[string]said {
	t.Helper()
	var texts, numbers []string
	for _, l := range tables.Lifts() {
		switch l.Type {
		case tables.TypeString:
			texts = append(texts, "toString("+l.Column+")")
		case tables.TypeInt:
			numbers = append(numbers, l.Column)
		}
	}
	rows, err := conn.Query(t.Context(), `SELECT toString(trace_id), span_id, parent_span_id, trace_state, name, status_message, kind, status_code,
		toUnixTimestamp64Nano(start), duration_ns, early_end_ns, flags, scope_name, scope_version, resource, scope_attributes,
		mapKeys(attributes), mapValues(attributes), attribute_types, lifted, finish_reasons, attributes_dropped, events_dropped, links_dropped,
		arrayMap(x -> toUnixTimestamp64Nano(x), events.time), events.name, arrayMap(x -> mapKeys(x), events.attributes), arrayMap(x -> mapValues(x), events.attributes), events.types, events.dropped,
		links.trace_id, links.span_id, links.state, links.flags, arrayMap(x -> mapKeys(x), links.attributes), arrayMap(x -> mapValues(x), links.attributes), links.types, links.dropped,
		cut.place, cut.key, cut.size, arrayMap(x -> lower(hex(x)), cut.body),
		[`+strings.Join(texts, ", ")+`], [`+strings.Join(numbers, ", ")+`] FROM spans`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all []row
	for rows.Next() {
		var r row
		var textValues []string
		var numberValues []int64
		if err := rows.Scan(&r.Trace, &r.id, &r.parent, &r.State, &r.Name, &r.Status, &r.kind, &r.code, &r.start, &r.duration, &r.early, &r.Flags, &r.Scope, &r.ScopeVersion,
			&r.resource, &r.scope, &r.keys, &r.values, &r.letters, &r.lifted, &r.finish, &r.Dropped[0], &r.Dropped[1], &r.Dropped[2],
			&r.eventTimes, &r.eventNames, &r.eventKeys, &r.eventValues, &r.eventLetters, &r.eventDropped,
			&r.linkTraces, &r.linkSpans, &r.linkStates, &r.linkFlags, &r.linkKeys, &r.linkValues, &r.linkLetters, &r.linkDropped,
			&r.places, &r.cutKeys, &r.cutSizes, &r.cutBodies, &textValues, &numberValues); err != nil {
			t.Fatal(err)
		}
		r.typed = map[string]any{}
		for _, l := range tables.Lifts() {
			switch l.Type {
			case tables.TypeString:
				r.typed[l.Key], textValues = fmt.Sprintf("string %q", textValues[0]), textValues[1:]
			case tables.TypeInt:
				r.typed[l.Key], numberValues = fmt.Sprintf("int %d", numberValues[0]), numberValues[1:]
			}
		}
		all = append(all, r)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	found := map[string]said{}
	for _, r := range all {
		s := r.say(t, conn)
		found[s.Trace+"/"+s.Span] = s
	}
	if len(found) != len(all) {
		t.Errorf("%d rows for %d spans", len(all), len(found))
	}
	return found
}

// say puts a row together again.
func (r *row) say(t *testing.T, conn driver.Conn) said {
	w := whole{}
	for i := range r.places {
		w[[2]string{r.places[i], r.cutKeys[i]}] = content(t, conn, r.cutBodies[i], r.cutSizes[i])
	}
	s := r.said
	s.Span, s.Parent = hexOf(r.id), hexOf(r.parent)
	s.Kind, s.Code = int64(r.kind), int64(r.code)
	s.Start, s.End = uint64(r.start), uint64(r.start)+r.duration
	if r.early != tables.Absent {
		s.End = uint64(r.early)
	}
	s.Name, s.State, s.Status = w.of("name", "", s.Name), w.of("state", "", s.State), w.of("status", "", s.Status)
	s.Attributes = w.pairs(t, "", r.keys, r.values, r.letters)
	for bit, l := range tables.Lifts() {
		if r.lifted&(1<<bit) == 0 {
			continue
		}
		value := fmt.Sprint(r.typed[l.Key])
		if l.Type == tables.TypeJSON {
			value = "["
			for _, reason := range r.finish {
				value += fmt.Sprintf("string %q, ", reason)
			}
			value += "]"
		}
		s.Attributes = append(s.Attributes, fmt.Sprintf("%q %s", l.Key, value))
	}
	slices.Sort(s.Attributes)
	s.Resource, s.ScopeAttributes = w.object(t, "resource", r.resource), w.object(t, "scope", r.scope)
	for i := range r.eventTimes {
		place := fmt.Sprint("event ", i)
		s.Events = append(s.Events, fmt.Sprint(uint64(r.eventTimes[i]), w.of(place, "", r.eventNames[i]), w.pairs(t, place, r.eventKeys[i], r.eventValues[i], r.eventLetters[i]), r.eventDropped[i]))
	}
	for i := range r.linkSpans {
		place := fmt.Sprint("link ", i)
		s.Links = append(s.Links, fmt.Sprint(r.linkTraces[i], hexOf(r.linkSpans[i]), r.linkStates[i], r.linkFlags[i], w.pairs(t, place, r.linkKeys[i], r.linkValues[i], r.linkLetters[i]), r.linkDropped[i]))
	}
	return s
}

func hexOf(id uint64) string { return fmt.Sprintf("%x", binary.BigEndian.AppendUint64(nil, id)) }

// content reads what was cut.
func content(t *testing.T, conn driver.Conn, name string, size uint64) string {
	t.Helper()
	var text string
	err := conn.QueryRow(t.Context(), "SELECT arrayStringConcat(groupArray(bytes)) FROM (SELECT part, bytes FROM content WHERE space = 'attribute' AND name = unhex(?) ORDER BY part LIMIT 1 BY part)", name).Scan(&text)
	if err != nil {
		t.Fatal(err)
	}
	if uint64(len(text)) != size {
		t.Errorf("content %s has %d bytes, the row says %d", name, len(text), size)
	}
	return text
}

// TestWhatCapturesSay checks facts that expected.md of a capture states about the model calls.
func TestWhatCapturesSay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name                                 string
		chats, withUsage                     int64
		input, output, cached, tools, agents int64
	}{
		{"vercel-ai-7-genai/01-traces.pb", 8, 7, 9450, 375, 4096, 5, 4},
		{"otel-js-openai/02-traces.pb", 7, 5, 6450, 250, 0, 0, 0},
		{"traceloop-openai/01-traces.pb", 6, 5, 6900, 280, 0, 3, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, conn, _ := database(t)
			l := collect(t, collector.Config{Store: s})
			body, err := os.ReadFile(filepath.Join("testdata/captures", c.name))
			if err != nil {
				t.Fatal(err)
			}
			l.must(t, "/v1/traces", body)
			l.must(t, "/v1/traces", body) // a sender that saw no answer
			l.flush(t)
			for query, want := range map[string]int64{
				"SELECT count() FROM spans WHERE operation = 'chat'":                                   c.chats,
				"SELECT count() FROM spans WHERE operation = 'chat' AND input_tokens >= 0":             c.withUsage,
				"SELECT sum(input_tokens) FROM spans WHERE operation = 'chat' AND input_tokens >= 0":   c.input,
				"SELECT sum(output_tokens) FROM spans WHERE operation = 'chat' AND output_tokens >= 0": c.output,
				"SELECT sum(cached_tokens) FROM spans WHERE operation = 'chat' AND cached_tokens >= 0": c.cached,
				"SELECT count() FROM spans WHERE operation = 'execute_tool' AND tool != ''":            c.tools,
				"SELECT uniqExact(agent) FROM spans WHERE operation = 'invoke_agent'":                  c.agents,
				"SELECT count() FROM spans WHERE source != 'otlp'":                                     0,
			} {
				if got := number(t, conn, query); got != want {
					t.Errorf("%s: %d, want %d", query, got, want)
				}
			}
			if m := l.Metrics(); m.Known == 0 {
				t.Error("the second request was not known again")
			}
		})
	}
}

// TestLogsAndMetricsOfACapture counts what otel-js sent besides spans, sent twice.
func TestLogsAndMetricsOfACapture(t *testing.T) {
	t.Parallel()
	s, conn, _ := database(t)
	l := collect(t, collector.Config{Store: s})
	for path, name := range map[string]string{"/v1/logs": "01-logs.pb", "/v1/metrics": "03-metrics.pb"} {
		body, err := os.ReadFile(filepath.Join("testdata/captures/otel-js-openai", name))
		if err != nil {
			t.Fatal(err)
		}
		l.must(t, path, body)
		l.must(t, path, body)
	}
	l.flush(t)
	for query, want := range map[string]int64{
		"SELECT count() FROM logs": 24,
		"SELECT count() FROM logs WHERE event = 'gen_ai.client.inference.operation.details'":                                                      2,
		"SELECT count() FROM logs WHERE event LIKE 'gen_ai.%.message' OR event = 'gen_ai.choice'":                                                 22,
		"SELECT count() FROM logs WHERE event_name = ''":                                                                                          22,
		"SELECT count() FROM logs WHERE body_type = 'j'":                                                                                          22,
		"SELECT count() > 0 FROM metrics WHERE name = 'gen_ai.client.token.usage' AND kind = 'histogram' AND length(counts) = length(bounds) + 1": 1,
	} {
		if got := number(t, conn, query); got != want {
			t.Errorf("%s: %d, want %d", query, got, want)
		}
	}
	var stored []string
	rows, err := conn.Query(t.Context(), "SELECT mapKeys(attributes), mapValues(attributes), attribute_types, body, body_type FROM logs")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var keys, values []string
		var letters, body, letter string
		if err := rows.Scan(&keys, &values, &letters, &body, &letter); err != nil {
			t.Fatal(err)
		}
		stored = append(stored, fmt.Sprint(whole{}.pairs(t, "", keys, values, letters), sayStored(t, body, letter[0])))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	body, err := os.ReadFile("testdata/captures/otel-js-openai/01-logs.pb")
	if err != nil {
		t.Fatal(err)
	}
	req := plogotlp.NewExportRequest()
	if err := req.UnmarshalProto(body); err != nil {
		t.Fatal(err)
	}
	var sent []string
	for _, rl := range req.Logs().ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, record := range sl.LogRecords().All() {
				sent = append(sent, fmt.Sprint(sentPairs(record.Attributes()), sayValue(record.Body())))
			}
		}
	}
	slices.Sort(sent)
	slices.Sort(stored)
	if diff := cmp.Diff(sent, stored); diff != "" {
		t.Errorf("sent and not stored (-), stored and not sent (+):\n%s", diff)
	}
}
