package spans

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"tachograph/schemas/attr"
	"tachograph/schemas/journal"
)

// environment reads variables. Those below are read here, not by the SDK, so that a caller decides
// what they are; the SDK's exporters look into the process's own where one of them is empty.
//
//	OTEL_SDK_DISABLED                       true: nothing is done
//	OTEL_TRACES_EXPORTER                    otlp, console or none; if empty, otlp where an endpoint is set, else none
//	OTEL_LOGS_EXPORTER                      otlp: open spans are shown; otherwise they are not. If empty, as above
//	OTEL_TRACES_SAMPLER, …_SAMPLER_ARG      decided once a run: all of its spans or none
//	OTEL_SERVICE_NAME                       tacho
//	OTEL_RESOURCE_ATTRIBUTES                key=value,…
//	OTEL_BSP_SCHEDULE_DELAY                 how long spans wait for more of them, ms; 500
//	OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT, OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT   bytes
//	OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT   false, no, 0, no_content or event_only: no content on spans
//
// and those of the receivers: see [endpoint].
type environment func(string) string

// settings are what the environment says, but for the OTLP exporter's own.
type settings struct {
	exporter string // otlp, console or none
	hints    bool   // open spans are shown
	capture  bool
	limit    int // bytes of one value of content
	delay    time.Duration
	sampler  sdktrace.Sampler
}

const (
	exporterOTLP    = "otlp"
	exporterConsole = "console"
	exporterNone    = "none"
)

func (env environment) settings() (settings, error) {
	s := settings{exporter: env.exporter(signalTraces), hints: env.exporter(signalLogs) == exporterOTLP, capture: env.capture()}
	if !slices.Contains([]string{exporterOTLP, exporterConsole, exporterNone}, s.exporter) {
		return s, fmt.Errorf("read OTEL_TRACES_EXPORTER: %q is none of otlp, console, none", s.exporter)
	}
	delay, err := env.milliseconds("OTEL_BSP_SCHEDULE_DELAY", 500*time.Millisecond)
	if err != nil {
		return s, err
	}
	s.delay = delay
	if s.limit, err = env.valueLimit(); err != nil {
		return s, err
	}
	s.sampler, err = env.sampler()
	return s, err
}

// exporter is who takes a signal: otlp where nothing is said but a receiver is named.
func (env environment) exporter(signal string) string {
	named := env("OTEL_" + signal + "_EXPORTER")
	switch {
	case strings.EqualFold(env("OTEL_SDK_DISABLED"), "true"):
		return exporterNone
	case named != "":
		return named
	case (endpoint{env, signal}).get("ENDPOINT") != "":
		return exporterOTLP
	}
	return exporterNone
}

// capture says whether content may stand on spans. The conventions' default is no; ours is yes,
// because a recorder that does not show what happened is none.
func (env environment) capture() bool {
	switch strings.ToLower(env("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT")) {
	case "false", "no", "0", "no_content", "event_only":
		return false
	}
	return true
}

func (env environment) valueLimit() (int, error) {
	limit := maxText
	for _, name := range []string{"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT"} {
		n, err := env.integer(name, -1)
		if err != nil {
			return 0, err
		}
		if n >= 0 {
			limit = min(maxText, n)
		}
	}
	return limit, nil
}

func (env environment) integer(name string, otherwise int) (int, error) {
	text := env(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("read %s: %q is no number", name, text)
	}
	return n, nil
}

func (env environment) milliseconds(name string, otherwise time.Duration) (time.Duration, error) {
	n, err := env.integer(name, int(otherwise.Milliseconds()))
	if err == nil && n < 0 {
		err = fmt.Errorf("read %s: %d ms is less than none", name, n)
	}
	return time.Duration(n) * time.Millisecond, err
}

// sampler is asked about root spans only: a run is sampled whole or not at all, so parent based
// samplers are what they are based on.
func (env environment) sampler() (sdktrace.Sampler, error) {
	name := env("OTEL_TRACES_SAMPLER")
	switch strings.TrimPrefix(name, "parentbased_") {
	case "", "always_on":
		return sdktrace.AlwaysSample(), nil
	case "always_off":
		return sdktrace.NeverSample(), nil
	case "traceidratio":
		ratio, err := strconv.ParseFloat(cmp.Or(env("OTEL_TRACES_SAMPLER_ARG"), "1"), 64)
		if err != nil || !(ratio >= 0 && ratio <= 1) {
			return nil, fmt.Errorf("read OTEL_TRACES_SAMPLER_ARG: %q is no number from 0 to 1", env("OTEL_TRACES_SAMPLER_ARG"))
		}
		return sdktrace.TraceIDRatioBased(ratio), nil
	}
	return nil, fmt.Errorf("read OTEL_TRACES_SAMPLER: %q is none of always_on, always_off, traceidratio, and those with parentbased_", name)
}

// samples says whether a run's spans are sent.
func (s settings) samples(run journal.RunID) bool {
	result := s.sampler.ShouldSample(sdktrace.SamplingParameters{ParentContext: context.Background(), TraceID: TraceID(run),
		Name: nameAgent + "/", Kind: trace.SpanKindInternal})
	return result.Decision == sdktrace.RecordAndSample
}

// resource describes the sender. It holds nothing of the process, so that whoever goes on with a run
// sends the same.
func (env environment) resource(ctx context.Context) (*resource.Resource, error) {
	named := []attribute.KeyValue{attribute.String(attr.ServiceName, "tacho")}
	pairs, err := pairs(env("OTEL_RESOURCE_ATTRIBUTES"))
	if err != nil {
		return nil, fmt.Errorf("read OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	for _, p := range pairs {
		named = append(named, attribute.String(p[0], valid(p[1])))
	}
	if name := env("OTEL_SERVICE_NAME"); name != "" {
		named = append(named, attribute.String(attr.ServiceName, valid(name)))
	}
	r, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(named...))
	if err != nil {
		return nil, fmt.Errorf("describe this process to receivers: %w", err)
	}
	return r, nil
}

// pairs reads key=value,key=value with values in percent encoding. An error does not show a value,
// which may be a secret.
func pairs(text string) ([][2]string, error) {
	var out [][2]string
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		key, raw, ok := strings.Cut(item, "=")
		value, err := url.PathUnescape(strings.TrimSpace(raw))
		if key = strings.TrimSpace(key); !ok || key == "" || err != nil {
			return nil, errors.New("it is not a list of key=value with commas between and values in percent encoding")
		}
		out = append(out, [2]string{key, value})
	}
	return out, nil
}
