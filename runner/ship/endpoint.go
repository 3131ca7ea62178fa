package ship

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip" // registers the compressor
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"tachograph/schemas/access"
)

// endpoint sends one request. Its methods may be called concurrently.
type endpoint interface {
	// send returns how many records were rejected and why, or a *refusal.
	send(ctx context.Context, r plogotlp.ExportRequest) (rejected int64, why string, err error)
	close() error
}

// refusal is a request that was not taken.
type refusal struct {
	err   error
	after time.Duration // when to come again; 0: not said
	fault bool          // it is the request that is wrong or too large: sent again as it is, it is refused again
	final bool          // even one record alone will never be taken
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// requestTime bounds one request, so that a receiver that hangs is asked again.
const requestTime = 30 * time.Second

// openEndpoint understands http://, https:// (OTLP/HTTP, protobuf; the path /v1/logs is added) and
// grpc://, grpcs:// (OTLP/gRPC). A token goes with each request. It connects to nobody yet.
func openEndpoint(address, token string) (endpoint, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("endpoint %q: want http://host:port or grpc://host:port (https, grpcs with TLS)", address)
	}
	headers := map[string]string{}
	if token != "" {
		if u.Scheme != "https" && u.Scheme != "grpcs" && !access.IsLoopback(u.Hostname()) {
			return nil, fmt.Errorf("endpoint %q: a token is sent over TLS only: want https:// or grpcs://", address)
		}
		headers["authorization"] = "Bearer " + token
	}
	switch u.Scheme {
	case "http", "https":
		target := *u
		target.Path = strings.TrimSuffix(u.Path, "/") + "/v1/logs"
		transport := http.DefaultTransport.(*http.Transport).Clone()
		if access.IsLoopback(u.Hostname()) {
			transport.Proxy = nil
		}
		return &httpEndpoint{target.String(), headers, !access.IsLoopback(u.Hostname()), &http.Client{Transport: transport}}, nil
	case "grpc", "grpcs":
		return openGRPC(u, headers)
	}
	return nil, fmt.Errorf("endpoint %q: scheme %q: want http, https, grpc or grpcs", address, u.Scheme)
}

type httpEndpoint struct {
	url     string
	headers map[string]string
	gzip    bool // not worth its time on loopback
	client  *http.Client
}

func (e *httpEndpoint) close() error {
	e.client.CloseIdleConnections()
	return nil
}

func (e *httpEndpoint) send(ctx context.Context, r plogotlp.ExportRequest) (int64, string, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	body, err := r.MarshalProto()
	if err == nil && e.gzip {
		body, err = zipped(body)
	}
	if err != nil {
		return 0, "", &refusal{err: fmt.Errorf("encode request: %w", err)}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return 0, "", &refusal{err: err}
	}
	for key, value := range e.headers {
		req.Header.Set(key, value)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	if e.gzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	resp, err := e.client.Do(req)
	if err != nil {
		return 0, "", &refusal{err: err}
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return 0, "", &refusal{err: err}
	}
	if resp.StatusCode != http.StatusOK {
		return 0, "", refusedHTTP(e.url, resp, answer)
	}
	decoded := plogotlp.NewExportResponse()
	if err := decoded.UnmarshalProto(answer); err != nil {
		return 0, "", &refusal{err: fmt.Errorf("%s answers 200, but not as OTLP does: %w", e.url, err)}
	}
	return decoded.PartialSuccess().RejectedLogRecords(), decoded.PartialSuccess().ErrorMessage(), nil
}

func zipped(b []byte) ([]byte, error) {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(b)
	return out.Bytes(), errors.Join(err, w.Close())
}

const tokenHint = "TACHO_SHIP_TOKEN is to hold a token of that receiver, which may send"

func refusedHTTP(target string, resp *http.Response, answer []byte) error {
	r := &refusal{err: fmt.Errorf("%s answers %s: %s", target, resp.Status, printable(answer))}
	switch resp.StatusCode {
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		r.fault, r.final = true, true
	case http.StatusRequestEntityTooLarge:
		r.fault, r.final = true, true
	case http.StatusUnauthorized, http.StatusForbidden:
		r.err = fmt.Errorf("%w (%s)", r.err, tokenHint)
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusUnsupportedMediaType:
		r.err = fmt.Errorf("%w (is this the address of an OTLP/HTTP receiver, without /v1/logs?)", r.err)
	}
	if text := resp.Header.Get("Retry-After"); text != "" {
		if seconds, err := strconv.Atoi(text); err == nil {
			r.after = time.Duration(seconds) * time.Second
		} else if at, err := http.ParseTime(text); err == nil {
			r.after = time.Until(at)
		}
	}
	return r
}

// printable is the beginning of an answer, which may be a status in protobuf.
func printable(b []byte) string {
	text := strings.Map(func(c rune) rune {
		if c < ' ' || c == 0xfffd {
			return -1
		}
		return c
	}, string(b[:min(len(b), 300)]))
	return strings.TrimSpace(text)
}

type grpcEndpoint struct {
	conn    *grpc.ClientConn
	client  plogotlp.GRPCClient
	headers metadata.MD
	address string
}

func openGRPC(u *url.URL, headers map[string]string) (endpoint, error) {
	secret := insecure.NewCredentials()
	if u.Scheme == "grpcs" {
		secret = credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12})
	}
	options := []grpc.DialOption{grpc.WithTransportCredentials(secret), grpc.WithDisableServiceConfig()}
	target := u.Host
	if access.IsLoopback(u.Hostname()) {
		target = "passthrough:///" + u.Host
		options = append(options, grpc.WithNoProxy())
	} else {
		options = append(options, grpc.WithDefaultCallOptions(grpc.UseCompressor("gzip")))
	}
	conn, err := grpc.NewClient(target, options...)
	if err != nil {
		return nil, fmt.Errorf("endpoint %s: %w", u.Redacted(), err)
	}
	return &grpcEndpoint{conn, plogotlp.NewGRPCClient(conn), metadata.New(headers), u.Redacted()}, nil
}

func (e *grpcEndpoint) close() error { return e.conn.Close() }

func (e *grpcEndpoint) send(ctx context.Context, r plogotlp.ExportRequest) (int64, string, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	resp, err := e.client.Export(metadata.NewOutgoingContext(ctx, e.headers), r)
	if err != nil {
		return 0, "", refusedGRPC(e.address, err)
	}
	return resp.PartialSuccess().RejectedLogRecords(), resp.PartialSuccess().ErrorMessage(), nil
}

func refusedGRPC(address string, err error) error {
	r := &refusal{err: fmt.Errorf("%s: %w", address, err)}
	s := status.Convert(err)
	retry := false
	for _, detail := range s.Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			retry, r.after = true, info.GetRetryDelay().AsDuration()
		}
	}
	switch s.Code() {
	case codes.InvalidArgument:
		r.fault, r.final = true, true
	case codes.Unauthenticated, codes.PermissionDenied:
		r.err = fmt.Errorf("%w (%s)", r.err, tokenHint)
	case codes.ResourceExhausted:
		// Without RetryInfo it is the size of the message (OTLP specification, "Failures").
		r.fault = !retry
	}
	return r
}
