package collector

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip" // senders may compress with it
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"
	"google.golang.org/protobuf/proto"

	"tachograph/collector/otlp"
	"tachograph/schemas/access"
)

// services of OTLP/gRPC. Each has the method Export.
var services = map[string]otlp.Signal{
	"opentelemetry.proto.collector.trace.v1.TraceService":     otlp.Traces,
	"opentelemetry.proto.collector.logs.v1.LogsService":       otlp.Logs,
	"opentelemetry.proto.collector.metrics.v1.MetricsService": otlp.Metrics,
}

// GRPCServer is a server that speaks OTLP/gRPC: the caller calls Serve and, before Close, Stop or GracefulStop.
// Requests reach the handlers as bytes: the generated types would be read only to be thrown away.
func (c *Collector) GRPCServer(gate *access.Gate) *grpc.Server {
	secret := insecure.NewCredentials()
	if gate != nil {
		secret = credentials.NewTLS(gate.TLS("h2"))
	}
	s := grpc.NewServer(
		grpc.Creds(secret),
		grpc.ForceServerCodecV2(codec{}),
		grpc.MaxRecvMsgSize(c.config.Limits.Body),
		grpc.MaxConcurrentStreams(64),
		grpc.InTapHandle(func(ctx context.Context, info *tap.Info) (context.Context, error) {
			if err := admit(gate, info.Header); err != nil {
				return ctx, err
			}
			if c.inFlight.Load() > c.config.InFlight {
				return ctx, grpcError(fmt.Errorf("%w: %d MiB of requests are in memory", ErrBusy, c.config.InFlight>>20))
			}
			return ctx, nil
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
	)
	for name, signal := range services {
		s.RegisterService(c.service(name, signal), c)
	}
	return s
}

// admit is the rule of all ports, before a body is read. Without TLS no browser of today gets as far as here; with it,
// none can send "application/grpc" to another site without asking first.
func admit(gate *access.Gate, header metadata.MD) error {
	err := gate.Host(strings.Join(header.Get(":authority"), ","))
	if err == nil {
		_, err = gate.Authorized(strings.Join(header.Get("authorization"), ","), access.Send)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, access.ErrToken):
		return status.Error(codes.Unauthenticated, err.Error())
	}
	return status.Error(codes.PermissionDenied, err.Error())
}

func (c *Collector) service(name string, signal otlp.Signal) *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: name,
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{
			MethodName: "Export",
			Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
				return c.export(ctx, signal, decode)
			},
		}},
	}
}

func (c *Collector) export(ctx context.Context, signal otlp.Signal, decode func(any) error) (any, error) {
	c.counts.requests.Add(1)
	var body raw
	if err := decode(&body); err != nil {
		return nil, err
	}
	held := int64(len(body))
	defer c.inFlight.Add(-held)
	if c.inFlight.Add(held) > c.config.InFlight {
		return nil, grpcError(fmt.Errorf("%w: %d MiB of requests are in memory", ErrBusy, c.config.InFlight>>20))
	}
	res, err := c.accept(ctx, signal, body, nil)
	if err != nil {
		return nil, grpcError(err)
	}
	answer := raw(res.success())
	return &answer, nil
}

// raw is an encoded message.
type raw []byte

// codec hands messages through as they are; those of other services, such as health, are generated types.
type codec struct{}

func (codec) Name() string { return "proto" }

func (codec) Marshal(v any) (mem.BufferSlice, error) {
	switch m := v.(type) {
	case *raw:
		return mem.BufferSlice{mem.SliceBuffer(*m)}, nil
	case proto.Message:
		b, err := proto.Marshal(m)
		return mem.BufferSlice{mem.SliceBuffer(b)}, err
	}
	return nil, fmt.Errorf("encode %T: no message", v)
}

func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	switch m := v.(type) {
	case *raw:
		*m = data.Materialize() // a copy: the buffers are used again when this returns
		return nil
	case proto.Message:
		return proto.Unmarshal(data.Materialize(), m)
	}
	return fmt.Errorf("decode %T: no message", v)
}
