package spans_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	collectlogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	collect "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// receiver is an OTLP endpoint on loopback. It keeps the first of each span, and notes where a span
// came again with other bytes.
type receiver struct {
	collect.UnimplementedTraceServiceServer
	hints hintReceiver

	mu       sync.Mutex
	spans    map[string]*trace.Span // by trace and span id
	order    []string
	resource *common.KeyValueList
	doubled  []string // ids of spans that came again, different
	again    int      // spans that came again, equal
	requests int
	changed  chan struct{}
	headers  http.Header
	biggest  int // bytes of a request

	// answer decides on a request before it is kept: an HTTP status, 200 to take it. Nil: 200.
	answer func(r *http.Request, request, spans int) int
}

func newReceiver() *receiver {
	return &receiver{spans: map[string]*trace.Span{}, changed: make(chan struct{}), hints: hintReceiver{changed: make(chan struct{})}}
}

// serveHTTP starts the receiver and returns its address.
func (r *receiver) serveHTTP(t testing.TB) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(r.handle))
	t.Cleanup(server.Close)
	return server.URL
}

func (r *receiver) handle(w http.ResponseWriter, req *http.Request) {
	body := io.Reader(req.Body)
	if req.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = unzipped
	}
	if req.URL.Path == "/v1/logs" {
		r.hints.handle(w, req, body)
		return
	}
	raw, err := io.ReadAll(body)
	var export collect.ExportTraceServiceRequest
	if err == nil && strings.HasSuffix(req.Header.Get("Content-Type"), "json") {
		// OTLP's JSON has ids in hex, which protojson takes for base64: other ids, but as distinct.
		err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(raw, &export)
	} else if err == nil {
		err = proto.Unmarshal(raw, &export)
	}
	if err != nil || req.URL.Path != "/v1/traces" {
		http.Error(w, fmt.Sprint(req.URL.Path, err), http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	r.headers, r.biggest = req.Header, max(r.biggest, len(raw))
	r.mu.Unlock()
	if code := r.take(req, &export); code != http.StatusOK {
		http.Error(w, "not now", code)
	}
}

func (r *receiver) take(req *http.Request, export *collect.ExportTraceServiceRequest) int {
	count := 0
	for _, rs := range export.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			count += len(ss.Spans)
		}
	}
	r.mu.Lock()
	request, answer := r.requests, r.answer
	r.requests++
	r.mu.Unlock()
	if answer != nil {
		if code := answer(req, request, count); code != http.StatusOK {
			return code
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rs := range export.ResourceSpans {
		r.resource = &common.KeyValueList{Values: rs.Resource.GetAttributes()}
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				r.keep(s)
			}
		}
	}
	close(r.changed)
	r.changed = make(chan struct{})
	return http.StatusOK
}

func (r *receiver) keep(s *trace.Span) {
	id := fmt.Sprintf("%x/%x", s.TraceId, s.SpanId)
	first := r.spans[id]
	switch {
	case first == nil:
		r.spans[id] = s
		r.order = append(r.order, id)
	case bytes.Equal(wire(first), wire(s)):
		r.again++
	default:
		r.doubled = append(r.doubled, id)
	}
}

// wire is the span as bytes, to compare.
func wire(s *trace.Span) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(s)
	if err != nil {
		panic(err)
	}
	return b
}

// Export implements the gRPC service.
func (r *receiver) Export(_ context.Context, req *collect.ExportTraceServiceRequest) (*collect.ExportTraceServiceResponse, error) {
	if code := r.take(nil, req); code != http.StatusOK {
		return nil, status.Error(codes.Unavailable, "not now")
	}
	return &collect.ExportTraceServiceResponse{}, nil
}

func (r *receiver) serveGRPC(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	collect.RegisterTraceServiceServer(server, r)
	collectlogs.RegisterLogsServiceServer(server, &r.hints)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

// patience ends a test that would wait for ever; nothing depends on its length.
const patience = time.Minute

// await waits until the receiver has what it should have.
func (r *receiver) await(t testing.TB, enough func(spans map[string]*trace.Span) bool) {
	t.Helper()
	for {
		r.mu.Lock()
		ok, changed := enough(r.spans), r.changed
		r.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-time.After(patience):
			t.Fatal("the spans did not arrive")
		}
	}
}

// hasRoots says that the root spans of n runs are there: they close last.
func hasRoots(n int) func(map[string]*trace.Span) bool {
	return func(spans map[string]*trace.Span) bool {
		roots := 0
		for _, s := range spans {
			if len(s.ParentSpanId) == 0 {
				roots++
			}
		}
		return roots >= n
	}
}

// all returns the spans by id, each as bytes.
func (r *receiver) all() map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string]string{}
	for id, s := range r.spans {
		out[id] = string(wire(s))
	}
	return out
}

// check fails if a span came twice with different content, or a parent is missing.
func (r *receiver) check(t testing.TB) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.doubled) > 0 {
		t.Errorf("spans came again with other content: %v", r.doubled)
	}
	for id, s := range r.spans {
		parent := fmt.Sprintf("%x/%x", s.TraceId, s.ParentSpanId)
		if len(s.ParentSpanId) > 0 && r.spans[parent] == nil {
			t.Errorf("span %s (%s) has no parent %s", id, s.Name, parent)
		}
	}
}

// attributes are a span's or event's, as text.
func attributes(list []*common.KeyValue) map[string]string {
	out := map[string]string{}
	for _, kv := range list {
		out[kv.Key] = text(kv.Value)
	}
	return out
}

func text(v *common.AnyValue) string {
	switch v := v.Value.(type) {
	case *common.AnyValue_StringValue:
		return v.StringValue
	case *common.AnyValue_IntValue:
		return fmt.Sprint(v.IntValue)
	case *common.AnyValue_BoolValue:
		return fmt.Sprint(v.BoolValue)
	case *common.AnyValue_DoubleValue:
		return fmt.Sprint(v.DoubleValue)
	case *common.AnyValue_ArrayValue:
		var items []string
		for _, item := range v.ArrayValue.Values {
			items = append(items, text(item))
		}
		return strings.Join(items, " | ")
	}
	return fmt.Sprint(v)
}
