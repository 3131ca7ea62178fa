package otlp

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/protobuf/encoding/protowire"
)

// TestCapturesReadAsPdataReads compares every field of what real clients sent.
func TestCapturesReadAsPdataReads(t *testing.T) {
	t.Parallel()
	for name, body := range captures(t, "traces.pb") {
		comparePdataTraces(t, name, body)
	}
	for name, body := range captures(t, "traces.json") {
		converted, _, err := FromJSON(Traces, body, Limits{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		comparePdataTraces(t, name, converted)
	}
	for name, body := range captures(t, "logs.pb") {
		req := plogotlp.NewExportRequest()
		if err := req.UnmarshalProto(body); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := sayLogs(body, Limits{})
		if diff := cmp.Diff(sayPdataLogs(req.Logs()), got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
}

func comparePdataTraces(t *testing.T, name string, body []byte) {
	t.Helper()
	req := ptraceotlp.NewExportRequest()
	if err := req.UnmarshalProto(body); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	got, err := sayTraces(body, Limits{})
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
	if diff := cmp.Diff(sayPdataTraces(req.Traces()), got); diff != "" {
		t.Errorf("%s is read in another way than by pdata (- pdata, + ours):\n%s", name, diff)
	}
}

// TestEveryFieldIsRead sets what the captures do not have.
func TestEveryFieldIsRead(t *testing.T) {
	t.Parallel()
	body, err := ptraceotlp.NewExportRequestFromTraces(fullTraces()).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	comparePdataTraces(t, "full", body)
	// The same with the fields of each message reversed: a reader may not rely on their order.
	comparePdataTraces(t, "reversed", reverse(t, body, []int32{1, 2, 2}))
}

// reverse writes the fields of a message in opposite order, and of its messages down the path.
func reverse(t *testing.T, message []byte, path []int32) []byte {
	t.Helper()
	var pieces [][]byte
	c := fields(message, "reversed")
	for {
		before := c.rest
		if !c.next() {
			break
		}
		piece := before[:len(before)-len(c.rest)]
		if len(path) > 0 && c.num == path[0] {
			piece = protowire.AppendBytes(protowire.AppendTag(nil, protowire.Number(c.num), protowire.BytesType), reverse(t, c.data, path[1:]))
		}
		pieces = append(pieces, piece)
	}
	if c.err != nil {
		t.Fatal(c.err)
	}
	// Repeated fields keep their order among themselves only if there is one of each; the fixture sees to that.
	var out []byte
	for i := len(pieces) - 1; i >= 0; i-- {
		out = append(out, pieces[i]...)
	}
	return out
}

func fullTraces() ptrace.Traces {
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	rs.SetSchemaUrl("https://resource")
	rs.Resource().Attributes().PutStr("service.name", "s")
	rs.Resource().SetDroppedAttributesCount(7)
	ss := rs.ScopeSpans().AppendEmpty()
	ss.SetSchemaUrl("https://scope")
	ss.Scope().SetName("scope")
	ss.Scope().SetVersion("1")
	ss.Scope().SetDroppedAttributesCount(8)
	ss.Scope().Attributes().PutBool("b", true)
	sp := ss.Spans().AppendEmpty()
	sp.SetTraceID(pcommon.TraceID{1, 2})
	sp.SetSpanID(pcommon.SpanID{3})
	sp.SetParentSpanID(pcommon.SpanID{4})
	sp.TraceState().FromRaw("a=b")
	sp.SetFlags(0x301)
	sp.SetName("name")
	sp.SetKind(ptrace.SpanKindProducer)
	sp.SetStartTimestamp(1 << 62)
	sp.SetEndTimestamp(1<<62 + 5)
	sp.SetDroppedAttributesCount(1)
	sp.SetDroppedEventsCount(2)
	sp.SetDroppedLinksCount(3)
	sp.Status().SetCode(ptrace.StatusCodeError)
	sp.Status().SetMessage("broken")
	allValues(sp.Attributes())
	e := sp.Events().AppendEmpty()
	e.SetName("event")
	e.SetTimestamp(9)
	e.SetDroppedAttributesCount(4)
	allValues(e.Attributes())
	l := sp.Links().AppendEmpty()
	l.SetTraceID(pcommon.TraceID{9})
	l.SetSpanID(pcommon.SpanID{8})
	l.TraceState().FromRaw("c=d")
	l.SetFlags(5)
	l.SetDroppedAttributesCount(6)
	allValues(l.Attributes())
	return td
}

func allValues(m pcommon.Map) {
	m.PutStr("string", "text")
	m.PutStr("empty string", "")
	m.PutBool("true", true)
	m.PutBool("false", false)
	m.PutInt("negative", -5)
	m.PutDouble("double", -0.5)
	m.PutEmpty("nothing")
	m.PutEmptyBytes("bytes").FromRaw([]byte{0, 255})
	list := m.PutEmptySlice("list")
	list.AppendEmpty().SetInt(1)
	list.AppendEmpty().SetStr("two")
	list.AppendEmpty()
	inner := list.AppendEmpty().SetEmptyMap()
	inner.PutEmptySlice("nested")
	m.PutEmptyMap("map").PutInt("x", 1)
}

func TestLimits(t *testing.T) {
	t.Parallel()
	td := fullTraces()
	td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().AppendEmpty().SetName("second")
	body, err := ptraceotlp.NewExportRequestFromTraces(td).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	text, err := ptraceotlp.NewExportRequestFromTraces(td).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	for name, limits := range map[string]Limits{"records": {Records: 1}, "values": {Values: 20}, "depth": {Depth: 2}, "objects": {Objects: 10}} {
		_, inProto := sayTraces(body, limits)
		_, _, inJSON := FromJSON(Traces, text, limits)
		if got := name == "objects"; got != errors.Is(inJSON, ErrTooLarge) || got == errors.Is(inProto, ErrTooLarge) {
			t.Errorf("limit of %s: protobuf %v, JSON %v", name, inProto, inJSON)
		}
	}
	if _, err := sayTraces(body, Limits{}); err != nil {
		t.Errorf("within the default limits: %v", err)
	}
	deep := strings.Repeat(`{"a":`, 200) + "1" + strings.Repeat("}", 200)
	if _, _, err := FromJSON(Logs, []byte(deep), Limits{}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("JSON nested 200 deep: %v", err)
	}
}

func TestMetricsAreBounded(t *testing.T) {
	t.Parallel()
	for name, body := range captures(t, "metrics.pb") {
		got, err := ReadMetrics(body, Limits{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		points := got.DataPointCount()
		if _, err := ReadMetrics(body, Limits{Records: points}); err != nil {
			t.Errorf("%s: %d points are within a limit of as many: %v", name, points, err)
		}
		if _, err := ReadMetrics(body, Limits{Records: points - 1}); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %d points within a limit of one fewer: %v", name, points, err)
		}
	}
	m := pmetric.NewMetrics()
	p := m.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty().SetEmptyExponentialHistogram().DataPoints().AppendEmpty()
	p.Positive().BucketCounts().FromRaw(make([]uint64, 100_000))
	body, err := pmetricotlp.NewExportRequestFromMetrics(m).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ReadMetrics(body, Limits{Values: 1000}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("100,000 buckets of a byte each: %v", err)
	}
}

func TestBadBytesAreMalformed(t *testing.T) {
	t.Parallel()
	good, err := ptraceotlp.NewExportRequestFromTraces(fullTraces()).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string][]byte{
		"text":         []byte("hello"),
		"cut":          good[:len(good)-3],
		"wrong type":   protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1),
		"field zero":   {0, 0},
		"end of group": {0x0c},
	} {
		if _, err := sayTraces(body, Limits{}); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, want ErrMalformed", name, err)
		}
	}
	for _, text := range []string{"", "[]", "{", `{"resourceSpans":[{]}`, `{"resourceSpans":"x"}`} {
		if _, _, err := FromJSON(Traces, []byte(text), Limits{}); !errors.Is(err, ErrMalformed) {
			t.Errorf("JSON %q: %v, want ErrMalformed", text, err)
		}
	}
}

func TestExpand(t *testing.T) {
	t.Parallel()
	plain := []byte(strings.Repeat("spans and spans ", 10_000))
	packed := map[string][]byte{"": plain, "identity": plain, "gzip": gzipped(t, plain), "zstd": zstded(t, plain)}
	for encoding, body := range packed {
		taken := 0
		take := func(n int) error { taken += n; return nil }
		got, err := Expand(bytes.NewReader(body), encoding, len(body), 1<<20, take)
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%q: %d bytes, %v", encoding, len(got), err)
		}
		if taken < len(plain) || taken > 4*len(plain)+1<<20 {
			t.Errorf("%q: asked for %d bytes to hold %d", encoding, taken, len(plain))
		}
		if _, err := Expand(bytes.NewReader(body), encoding, 0, len(plain)-1, take); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%q over the limit: %v", encoding, err)
		}
		if got, err := Expand(bytes.NewReader(body), encoding, 0, len(plain), take); err != nil || len(got) != len(plain) {
			t.Errorf("%q of exactly the limit: %v", encoding, err)
		}
		full := errors.New("no memory")
		if _, err := Expand(bytes.NewReader(body), encoding, 0, 1<<20, func(n int) error {
			if n > 64<<10 {
				return full
			}
			return nil
		}); err != full {
			t.Errorf("%q where no memory is given: %v", encoding, err)
		}
		broken := errors.New("connection reset")
		if _, err := Expand(io.MultiReader(bytes.NewReader(body[:len(body)/2]), failing{broken}), encoding, 0, 1<<20, take); !errors.Is(err, broken) || errors.Is(err, ErrMalformed) {
			t.Errorf("%q from a connection that breaks: %v", encoding, err)
		}
	}
	for _, encoding := range []string{"gzip", "zstd"} {
		if _, err := Expand(strings.NewReader("not compressed at all"), encoding, 0, 1<<20, func(int) error { return nil }); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s that is none: %v", encoding, err)
		}
	}
	if _, err := Expand(strings.NewReader(""), "br", 0, 1<<20, func(int) error { return nil }); !errors.Is(err, ErrMedia) {
		t.Errorf("brotli: %v", err)
	}
}

// TestBombs: a small body that says it is a large one costs no more memory than the limit.
func TestBombs(t *testing.T) {
	t.Parallel()
	zeros := make([]byte, 64<<20)
	for encoding, body := range map[string][]byte{"gzip": gzipped(t, zeros), "zstd": zstded(t, zeros)} {
		const limit = 1 << 20
		taken := 0
		_, err := Expand(bytes.NewReader(body), encoding, len(body), limit, func(n int) error { taken += n; return nil })
		if !errors.Is(err, ErrTooLarge) || taken > limit+1 {
			t.Errorf("%s of %d bytes for 64 MiB: %v, %d bytes of memory for a limit of %d", encoding, len(body), err, taken, limit)
		}
	}
}

type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }

func gzipped(t *testing.T, b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstded(t *testing.T, b []byte) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(b, nil)
}
