package collector_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcgzip "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"tachograph/collector"
	"tachograph/collector/otlp"
)

const asJSON = "application/json"

// badIDs is a request of three spans, of which the second has no span id.
func badIDs() ptrace.Traces {
	td := ptrace.NewTraces()
	spans := td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans()
	for i := range 3 {
		sp := spans.AppendEmpty()
		sp.SetTraceID(pcommon.TraceID{1})
		sp.SetName(fmt.Sprint("span ", i))
		if i != 1 {
			sp.SetSpanID(pcommon.SpanID{byte(i + 1)})
		}
	}
	return td
}

// TestHTTPAnswers is the table of what senders over HTTP are told.
func TestHTTPAnswers(t *testing.T) {
	t.Parallel()
	l := collect(t, collector.Config{Store: &memory{}, Limits: otlp.Limits{Body: 1 << 20}})
	good := numbered(100, 3)
	partial, err := ptraceotlp.NewExportRequestFromTraces(badIDs()).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	partialJSON, err := ptraceotlp.NewExportRequestFromTraces(badIDs()).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, 64<<20)
	indented := `{
		"resourceSpans": [ { "resource": {"attributes": [{"key":"service.name","value":{"stringValue":"curl"}}]}, "unknownField": {"x": [1, 2]},
			"scopeSpans": [ { "spans": [ { "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "EEE19B7EC3C1B174", "name": "by hand", "kind": 2,
			"startTimeUnixNano": "1544712660000000000", "endTimeUnixNano": 1544712661000000000,
			"attributes": [ {"key": "n", "value": {"intValue": "5"}}, {"key": "m", "value": {"intValue": 6}} ] } ] } ] } ] }`
	for _, c := range []struct {
		name, method, path, kind, encoding string
		body                               []byte
		code                               int
		grpc                               codes.Code // of the status in the body
		says                               string
	}{
		{"protobuf", "POST", "/v1/traces", protobuf, "", good, 200, 0, ""},
		{"another name of protobuf", "POST", "/v1/traces", "application/protobuf", "", good, 200, 0, ""},
		{"gzip", "POST", "/v1/traces", protobuf, "gzip", gzipped(t, good), 200, 0, ""},
		{"zstd", "POST", "/v1/traces", protobuf, "zstd", zstded(t, good), 200, 0, ""},
		{"indented JSON", "POST", "/v1/traces", asJSON + "; charset=utf-8", "", []byte(indented), 200, 0, "{}"},
		{"JSON in gzip", "POST", "/v1/traces", asJSON, "gzip", gzipped(t, []byte(indented)), 200, 0, "{}"},
		{"nothing", "POST", "/v1/traces", protobuf, "", nil, 200, 0, ""},
		{"nothing in JSON", "POST", "/v1/logs", asJSON, "", []byte("{}"), 200, 0, "{}"},
		{"a span without id", "POST", "/v1/traces", protobuf, "", partial, 200, 0, "a span id must have 8 bytes"},
		{"a span without id in JSON", "POST", "/v1/traces", asJSON, "", partialJSON, 200, 0, `"rejectedSpans":"1"`},
		{"text", "POST", "/v1/traces", "text/plain", "", good, 415, codes.InvalidArgument, "application/x-protobuf"},
		{"no type", "POST", "/v1/traces", "", "", good, 415, codes.InvalidArgument, "application/json"},
		{"brotli", "POST", "/v1/traces", protobuf, "br", good, 415, codes.InvalidArgument, "gzip, zstd"},
		{"not protobuf", "POST", "/v1/traces", protobuf, "", []byte("hello"), 400, codes.InvalidArgument, "malformed"},
		{"not JSON", "POST", "/v1/traces", asJSON, "", []byte(`{"resourceSpans":[{]}`), 400, codes.InvalidArgument, "malformed"},
		{"a bad id in JSON", "POST", "/v1/traces", asJSON, "", []byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"xyz"}]}]}]}`), 200, 0, `"rejectedSpans":"1"`},
		{"a bad number in JSON", "POST", "/v1/traces", asJSON, "", []byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"xyz","startTimeUnixNano":"x"}]}]}]}`), 400, codes.InvalidArgument, "malformed"},
		{"not gzip", "POST", "/v1/traces", protobuf, "gzip", good, 400, codes.InvalidArgument, "gzip"},
		{"too large", "POST", "/v1/traces", protobuf, "", zeros[:1<<20+1], 413, codes.ResourceExhausted, "at most"},
		{"gzip bomb", "POST", "/v1/traces", protobuf, "gzip", gzipped(t, zeros), 413, codes.ResourceExhausted, "when decoded"},
		{"zstd bomb", "POST", "/v1/metrics", protobuf, "zstd", zstded(t, zeros), 413, codes.ResourceExhausted, "when decoded"},
		{"GET", "GET", "/v1/traces", "", "", nil, 405, 0, "POST"},
		{"OPTIONS", "OPTIONS", "/v1/logs", "", "", nil, 405, 0, "POST"},
		{"another path", "POST", "/v1/trace", protobuf, "", good, 404, 0, "/v1/traces, /v1/logs and /v1/metrics"},
		{"the root", "POST", "/", protobuf, "", good, 404, 0, "without a path"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := send(t, c.method, l.http+c.path, c.body, "Content-Type", c.kind, "Content-Encoding", c.encoding)
			if a.code != c.code || !strings.Contains(string(a.body), c.says) {
				t.Fatalf("%d %q, want %d and %q", a.code, a.body, c.code, c.says)
			}
			if a.header.Get("Retry-After") != "" {
				t.Error("it says when to come again, though that would change nothing")
			}
			if c.grpc != 0 {
				checkStatus(t, a, strings.HasPrefix(c.kind, "application/") && !strings.HasPrefix(c.kind, asJSON), c.grpc)
			}
			if c.code == 405 && a.header.Get("Allow") != "POST" {
				t.Errorf("Allow: %q", a.header.Get("Allow"))
			}
		})
	}
}

// checkStatus reads the google.rpc.Status of an answer, in the request's encoding.
func checkStatus(t *testing.T, a answer, inProtobuf bool, want codes.Code) {
	t.Helper()
	var s spb.Status
	kind, read := asJSON, protojson.Unmarshal
	if inProtobuf {
		kind, read = protobuf, proto.Unmarshal
	}
	if got := a.header.Get("Content-Type"); got != kind {
		t.Errorf("the status is %s, want %s", got, kind)
	}
	if err := read(a.body, &s); err != nil {
		t.Fatalf("%v in %q", err, a.body)
	}
	if codes.Code(s.Code) != want || s.Message == "" {
		t.Errorf("status %v %q, want %v", codes.Code(s.Code), s.Message, want)
	}
}

// TestPartialSuccessNamesTheSpan reads the answer as clients do, and counts what is stored.
func TestPartialSuccessNamesTheSpan(t *testing.T) {
	t.Parallel()
	m := &memory{}
	l := collect(t, collector.Config{Store: m})
	body, err := ptraceotlp.NewExportRequestFromTraces(badIDs()).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	var resp coltrace.ExportTraceServiceResponse
	if err := proto.Unmarshal(l.must(t, "/v1/traces", body).body, &resp); err != nil {
		t.Fatal(err)
	}
	if p := resp.GetPartialSuccess(); p.GetRejectedSpans() != 1 || !strings.Contains(p.GetErrorMessage(), `"span 1"`) {
		t.Errorf("partial success %v", p)
	}
	text, err := ptraceotlp.NewExportRequestFromTraces(badIDs()).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	var again coltrace.ExportTraceServiceResponse
	if err := protojson.Unmarshal(l.post(t, "/v1/traces", text, "Content-Type", asJSON).body, &again); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(&resp, &again) {
		t.Errorf("in protobuf %v, in JSON %v", &resp, &again)
	}
	l.flush(t)
	if n := m.count("spans"); n != 2 {
		t.Errorf("%d spans stored, want the 2 good ones, once", n)
	}
}

// TestBadIDsInJSON: an id that is not hexadecimal costs its span or log record, and no other.
func TestBadIDsInJSON(t *testing.T) {
	t.Parallel()
	const trace, good, other = `"traceId":"5b8efff798038103d269b633813fc60c"`, `"spanId":"eee19b7ec3c1b174"`, `"spanId":"eee19b7ec3c1b175"`
	spans := func(all ...string) string {
		return `{"resourceSpans":[{"resource":{"attributes":[{"key":"traceId","value":{"stringValue":"no id"}}]},"scopeSpans":[{"spans":[` + strings.Join(all, ",") + `]}]}]}`
	}
	logs := func(all ...string) string {
		return `{"resourceLogs":[{"scopeLogs":[{"logRecords":[` + strings.Join(all, ",") + `]}]}]}`
	}
	for _, c := range []struct {
		name, path, body string
		rejected         string // count; "" if the request is refused whole
		says             string
		stored           int
	}{
		{"span id", "/v1/traces", spans(`{`+trace+`,"spanId":"zzzzzzzzzzzzzzzz","name":"bad"}`, `{`+trace+`,`+good+`}`), "1", `span 0 ("bad"): spanId "zzzzzzzzzzzzzzzz" is not 16 hexadecimal digits`, 1},
		{"trace id", "/v1/traces", spans(`{`+trace+`,`+good+`}`, `{"traceId" : "no" , `+other+`}`), "1", `span 1 (""): traceId "no" is not 32`, 1},
		{"parent", "/v1/traces", spans(`{"parentSpanId":"no",`+trace+`,`+good+`}`, `{`+trace+`,`+other+`}`), "1", `parentSpanId "no"`, 1},
		{"odd number of digits", "/v1/traces", spans(`{`+trace+`,"spanId":"abc"}`, `{`+trace+`,`+other+`}`), "1", `spanId "abc"`, 1},
		{"too long", "/v1/traces", spans(`{`+trace+`,"spanId":"eee19b7ec3c1b174ee"}`, `{`+trace+`,`+other+`}`), "1", "16 hexadecimal digits", 1},
		{"of a link", "/v1/traces", spans(`{`+trace+`,`+good+`,"links":[{`+trace+`,"spanId":"no"}]}`, `{`+trace+`,`+other+`}`), "1", `spanId "no"`, 1},
		{"escaped", "/v1/traces", spans(`{`+trace+`,"spanId":"\u0065\"\\"}`, `{`+trace+`,`+other+`}`), "1", "span 0", 1},
		{"two in one, and another", "/v1/traces", spans(`{"traceId":"no","spanId":"no"}`, `{`+trace+`,`+good+`}`, `{`+trace+`,"spanId":"-"}`), "2", `span 0 (""): traceId`, 1},
		{"all", "/v1/traces", spans(`{"traceId":"no"}`), "1", "traceId", 0},
		{"in two resources", "/v1/traces", `{"resourceSpans":[{"scopeSpans":[{"spans":[{` + trace + `,` + good + `}]}]},{"scope_spans":[{"spans":[]},{"spans":[{` + trace + `,"span_id":"no"}]}]}]}`, "1", "span 1", 1},
		{"an attribute of that name", "/v1/traces", spans(`{` + trace + `,` + good + `,"attributes":[{"key":"spanId","value":{"stringValue":"no"}}]}`), "0", "{}", 1},
		{"and a bad number", "/v1/traces", spans(`{` + trace + `,"spanId":"no","kind":"x"}`), "", "malformed", 0},
		{"and no JSON", "/v1/traces", `{"resourceSpans":[{"scopeSpans":[{"spans":[{"spanId":"no"]}]}]}`, "", "malformed", 0},
		{"of a log record", "/v1/logs", logs(`{`+trace+`,"spanId":"no"}`, `{"body":{"stringValue":"fine"}}`), "1", `log record 0: spanId "no"`, 1},
		{"of an exemplar", "/v1/metrics", `{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m","gauge":{"dataPoints":[{"asInt":"1","exemplars":[{"spanId":"no"}]}]}}]}]}]}`, "", "malformed", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := &memory{}
			l := collect(t, collector.Config{Store: m})
			a := l.post(t, c.path, []byte(c.body), "Content-Type", asJSON)
			var got struct {
				PartialSuccess map[string]string
				Message        string
			}
			if err := json.Unmarshal(a.body, &got); err != nil {
				t.Fatalf("%v: %d %s", err, a.code, a.body)
			}
			count := got.PartialSuccess["rejectedSpans"] + got.PartialSuccess["rejectedLogRecords"]
			says := got.PartialSuccess["errorMessage"] + got.Message
			if c.rejected == "0" {
				count, says = "0", string(a.body)
			}
			if (a.code == 200) != (c.rejected != "") || count != c.rejected || !strings.Contains(says, c.says) {
				t.Errorf("%d %s; want %q rejected and %q", a.code, a.body, c.rejected, c.says)
			}
			l.flush(t)
			if n := m.count("spans") + m.count("logs") + m.count("metrics"); n != c.stored {
				t.Errorf("%d rows stored, want %d", n, c.stored)
			}
		})
	}
}

// TestForeignPages: a web page of another origin can reach loopback, but may not send, whatever name it was given
// for our address. (package loopback has the whole table.)
func TestForeignPages(t *testing.T) {
	t.Parallel()
	m := &memory{}
	l := collect(t, collector.Config{Store: m})
	_, port, _ := strings.Cut(strings.TrimPrefix(l.http, "http://"), ":")
	for _, c := range []struct {
		headers []string
		want    int
	}{
		{[]string{"Origin", "http://evil.example"}, 403},
		{[]string{"Origin", "null"}, 403},
		{[]string{"Host", "evil.example:" + port}, 403},
		{[]string{"Host", "evil.example:" + port, "Origin", "http://evil.example:" + port}, 403}, // DNS rebinding: one origin, to the browser
		{[]string{"Sec-Fetch-Site", "cross-site"}, 403},
		{[]string{"Origin", l.http}, 200},
		{[]string{"Host", "localhost:" + port}, 200},
	} {
		if a := l.post(t, "/v1/traces", numbered(0, 1), append(c.headers, "Content-Type", protobuf)...); a.code != c.want {
			t.Errorf("%v: %d %s, want %d", c.headers, a.code, a.body, c.want)
		}
	}
	for authority, want := range map[string]codes.Code{"evil.example:4317": codes.PermissionDenied, "localhost:4317": codes.OK} {
		client := coltrace.NewTraceServiceClient(l.dial(t, grpc.WithAuthority(authority)))
		if _, err := client.Export(t.Context(), &coltrace.ExportTraceServiceRequest{}); status.Code(err) != want {
			t.Errorf(":authority %s: %v, want %v", authority, err, want)
		}
	}
	l.flush(t)
	if n := m.count("spans"); n != 1 {
		t.Errorf("%d spans stored, want 1", n)
	}
}

// TestGRPCAnswers is the table for gRPC.
func TestGRPCAnswers(t *testing.T) {
	t.Parallel()
	m := &memory{}
	l := collect(t, collector.Config{Store: m, Limits: otlp.Limits{Body: 1 << 20}})
	client := coltrace.NewTraceServiceClient(l.dial(t))
	request := func(body []byte) *coltrace.ExportTraceServiceRequest {
		var r coltrace.ExportTraceServiceRequest
		if err := proto.Unmarshal(body, &r); err != nil {
			t.Fatal(err)
		}
		return &r
	}
	partial, err := ptraceotlp.NewExportRequestFromTraces(badIDs()).MarshalProto()
	if err != nil {
		t.Fatal(err)
	}
	large := numbered(1000, 20_000)
	for _, c := range []struct {
		name     string
		body     []byte
		options  []grpc.CallOption
		code     codes.Code
		rejected int64
	}{
		{"spans", numbered(0, 5), nil, codes.OK, 0},
		{"gzip", numbered(10, 5), []grpc.CallOption{grpc.UseCompressor(grpcgzip.Name)}, codes.OK, 0},
		{"zstd", numbered(20, 5), []grpc.CallOption{grpc.UseCompressor("zstd")}, codes.OK, 0},
		{"nothing", nil, nil, codes.OK, 0},
		{"a span without id", partial, nil, codes.OK, 1},
		{"too large", large, nil, codes.ResourceExhausted, 0},
		{"too large when decoded", large, []grpc.CallOption{grpc.UseCompressor(grpcgzip.Name)}, codes.ResourceExhausted, 0},
		{"too large when decoded from zstd", large, []grpc.CallOption{grpc.UseCompressor("zstd")}, codes.ResourceExhausted, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			resp, err := client.Export(ctx, request(c.body), c.options...)
			if status.Code(err) != c.code || resp.GetPartialSuccess().GetRejectedSpans() != c.rejected {
				t.Errorf("%v %v, want %v and %d rejected", resp, err, c.code, c.rejected)
			}
			if info := retryInfo(err); info != nil {
				t.Errorf("it says when to come again: %v", info)
			}
		})
	}
	t.Run("not protobuf", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		err := l.dial(t).Invoke(ctx, "/opentelemetry.proto.collector.trace.v1.TraceService/Export", &spb.Status{Code: 1, Message: "hello"}, &spb.Status{})
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("%v, want InvalidArgument", err)
		}
	})
	l.flush(t)
	if n := m.count("spans"); n != 17 {
		t.Errorf("%d spans stored, want 17", n)
	}
}

func retryInfo(err error) *errdetails.RetryInfo {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			return info
		}
	}
	return nil
}

// TestFullSpoolRefusesForNow: a store that takes nothing fills the spool; senders are told to come again, and
// are taken when it is back.
func TestFullSpoolRefusesForNow(t *testing.T) {
	t.Parallel()
	m := &memory{fail: errors.New("connection refused")}
	l := collect(t, collector.Config{Store: m, SpoolBytes: 64 << 10})
	client := coltrace.NewTraceServiceClient(l.dial(t))
	n := 0
	var refused answer
	for ; n < 1000; n++ {
		if refused = l.post(t, "/v1/traces", numbered(100*n, 100), "Content-Type", protobuf); refused.code != 200 {
			break
		}
	}
	if refused.code != 503 || refused.header.Get("Retry-After") != "2" {
		t.Fatalf("after %d requests: %d, Retry-After %q", n, refused.code, refused.header.Get("Retry-After"))
	}
	checkStatus(t, refused, true, codes.Unavailable)
	if n == 0 {
		t.Fatal("the first request was refused")
	}
	var r coltrace.ExportTraceServiceRequest
	if err := proto.Unmarshal(numbered(100*n, 100), &r); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Export(t.Context(), &r); status.Code(err) != codes.Unavailable || retryInfo(err).GetRetryDelay().AsDuration() != 2*time.Second {
		t.Errorf("over gRPC: %v, %v", err, retryInfo(err))
	}
	var s map[string]any
	a := l.post(t, "/v1/logs", []byte(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"`+strings.Repeat("x", 64<<10)+`"}}]}]}]}`), "Content-Type", asJSON)
	if err := json.Unmarshal(a.body, &s); err != nil || a.code != 503 || s["details"] == nil {
		t.Errorf("JSON: %d %s", a.code, a.body)
	}
	m.set(nil)
	l.flush(t)
	l.must(t, "/v1/traces", numbered(100*n, 100))
	l.flush(t)
	if got := m.count("spans"); got != 100*(n+1) {
		t.Errorf("%d spans stored, want %d", got, 100*(n+1))
	}
	if h := l.Health(); !h.Ready || !h.Storing {
		t.Errorf("health %+v", h)
	}
}

// TestGivingUpAndClosing: a sender that does not wait gets its context's error; a closed collector says
// that it takes no more.
func TestGivingUpAndClosing(t *testing.T) {
	t.Parallel()
	c, err := collector.Open(t.Context(), collector.Config{Store: &memory{}, SpoolDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	handler := c.Handler(nil)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if a := serve(t.Context(), handler, numbered(0, 1)); a.code != 503 || a.header.Get("Retry-After") == "" {
		t.Errorf("a closed collector: %d", a.code)
	}
	if h := c.Health(); h.Ready {
		t.Errorf("a closed collector: %+v", h)
	}
	if err := c.Close(); err != nil {
		t.Error("closed twice:", err)
	}

	held, release := make(chan struct{}), make(chan struct{})
	c, err = collector.Open(t.Context(), collector.Config{Store: &memory{}, SpoolDir: t.TempDir(), Probe: func(point string) {
		if point == collector.ProbeWriting {
			close(held)
			<-release
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-held
		cancel()
	}()
	if a := serve(ctx, c.Handler(nil), numbered(0, 1)); a.code != 503 {
		t.Errorf("a sender that gave up: %d", a.code)
	}
	close(release)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

// serve calls a handler without a network.
func serve(ctx context.Context, h http.Handler, body []byte) answer {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://127.0.0.1/v1/traces", bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	r.Header.Set("Content-Type", protobuf)
	w := &written{header: http.Header{}}
	h.ServeHTTP(w, r)
	return answer{code: w.code, header: w.header, body: w.body.Bytes()}
}

type written struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (w *written) Header() http.Header         { return w.header }
func (w *written) WriteHeader(code int)        { w.code = code }
func (w *written) Write(b []byte) (int, error) { return w.body.Write(b) }

// TestMemoryInFlight: what is being read is bounded over all requests.
func TestMemoryInFlight(t *testing.T) {
	t.Parallel()
	l := collect(t, collector.Config{Store: &memory{}, InFlight: 32 << 10})
	if a := l.post(t, "/v1/traces", numbered(0, 1000), "Content-Type", protobuf); a.code != 429 || a.header.Get("Retry-After") == "" {
		t.Errorf("a request larger than all memory: %d", a.code)
	}
	if a := l.post(t, "/v1/traces", numbered(0, 100), "Content-Type", protobuf); a.code != 200 {
		t.Errorf("a small one after it: %d %s", a.code, a.body)
	}
	if m := l.Metrics(); m.InFlightBytes != 0 {
		t.Errorf("%d bytes are still counted", m.InFlightBytes)
	}
}

func gzipped(t testing.TB, b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := io.Copy(w, bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstded(t testing.TB, b []byte) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(b, nil)
}
