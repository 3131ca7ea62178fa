package collector

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"tachograph/collector/otlp"
	"tachograph/collector/spool"
)

// retryAfter is when a sender that was refused shall come again.
const retryAfter = 2 * time.Second

// refusals is the one table from an error to what senders are told: OTLP specification, "Failures". Senders
// come again after 429, 502, 503 and 504, and after the gRPC codes of which RESOURCE_EXHAUSTED counts
// only with RetryInfo.
var refusals = []struct {
	err   error
	http  int
	grpc  codes.Code
	retry bool
}{
	{otlp.ErrMalformed, http.StatusBadRequest, codes.InvalidArgument, false},
	{otlp.ErrTooLarge, http.StatusRequestEntityTooLarge, codes.ResourceExhausted, false},
	{otlp.ErrMedia, http.StatusUnsupportedMediaType, codes.InvalidArgument, false},
	{spool.ErrFull, http.StatusServiceUnavailable, codes.Unavailable, true},
	{ErrDisk, http.StatusServiceUnavailable, codes.Unavailable, true},
	{ErrBusy, http.StatusTooManyRequests, codes.ResourceExhausted, true},
	{ErrClosed, http.StatusServiceUnavailable, codes.Unavailable, true},
	{context.DeadlineExceeded, http.StatusGatewayTimeout, codes.DeadlineExceeded, true},
	{context.Canceled, http.StatusServiceUnavailable, codes.Canceled, true},
}

// refusal is what is said of an error.
func refusal(err error) (httpCode int, s *spb.Status, retry bool) {
	httpCode, code := http.StatusInternalServerError, codes.Internal
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			httpCode, code, retry = r.http, r.grpc, r.retry
			break
		}
	}
	s = &spb.Status{Code: int32(code), Message: err.Error()}
	if retry {
		if info, err := anypb.New(&errdetails.RetryInfo{RetryDelay: durationpb.New(retryAfter)}); err == nil {
			s.Details = append(s.Details, info)
		}
	}
	return httpCode, s, retry
}

// grpcError is the same for gRPC.
func grpcError(err error) error {
	_, s, _ := refusal(err)
	return status.FromProto(s).Err()
}

// The responses of the three services have the same form:
//
//	response        1: partial success
//	partial success 1: rejected records, 2: message
//
// so that they are written here, and not with three types.

// success is an export response in protobuf.
func (r result) success() []byte {
	if r.rejected == 0 {
		return nil
	}
	inner := protowire.AppendTag(nil, 1, protowire.VarintType)
	inner = protowire.AppendVarint(inner, uint64(r.rejected))
	inner = protowire.AppendTag(inner, 2, protowire.BytesType)
	inner = protowire.AppendString(inner, r.message)
	return protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), inner)
}

// rejectedName is what JSON calls the count.
var rejectedName = map[otlp.Signal]string{
	otlp.Traces: "rejectedSpans", otlp.Logs: "rejectedLogRecords", otlp.Metrics: "rejectedDataPoints",
}

// successJSON is an export response in JSON, with 64-bit numbers as strings.
func (r result) successJSON(signal otlp.Signal) ([]byte, error) {
	if r.rejected == 0 {
		return []byte("{}"), nil
	}
	return json.Marshal(map[string]any{"partialSuccess": map[string]string{
		rejectedName[signal]: strconv.Itoa(r.rejected), "errorMessage": r.message}})
}

// statusJSON is a google.rpc.Status as protojson writes it.
func statusJSON(s *spb.Status, retry bool) ([]byte, error) {
	m := map[string]any{"code": s.Code, "message": s.Message}
	if retry {
		m["details"] = []any{map[string]string{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": strconv.Itoa(int(retryAfter/time.Second)) + "s"}}
	}
	return json.Marshal(m)
}

func statusProto(s *spb.Status) ([]byte, error) { return proto.Marshal(s) }
