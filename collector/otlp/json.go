package otlp

import (
	"fmt"

	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

// Signal is what a request carries.
type Signal uint8

const (
	Traces Signal = iota + 1
	Logs
	Metrics
)

func (s Signal) String() string {
	switch s {
	case Traces:
		return "traces"
	case Logs:
		return "logs"
	case Metrics:
		return "metrics"
	}
	return fmt.Sprintf("signal %d", uint8(s))
}

// FromJSON reads an export request in OTLP's JSON form (hex ids, numbers also as strings, unknown
// fields passed over) and returns it as protobuf. A scan before bounds what pdata builds. Spans and log records with an
// id that is none are in the result, without that id, and named in refused: they must not be stored.
func FromJSON(signal Signal, body []byte, limits Limits) (proto []byte, refused Refused, err error) {
	if err := scanJSON(body, limits.WithDefaults()); err != nil {
		return nil, nil, err
	}
	proto, err = transcode(signal, body)
	if err == nil {
		return proto, nil, nil
	}
	body, refused = withoutBadIDs(signal, body)
	if len(refused) > 0 {
		proto, err = transcode(signal, body)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return proto, refused, nil
}

// transcode is pdata's reading of JSON, written as protobuf.
func transcode(signal Signal, body []byte) ([]byte, error) {
	var message interface {
		UnmarshalJSON([]byte) error
		MarshalProto() ([]byte, error)
	}
	switch signal {
	case Traces:
		message = ptraceotlp.NewExportRequest()
	case Logs:
		message = plogotlp.NewExportRequest()
	case Metrics:
		message = pmetricotlp.NewExportRequest()
	default:
		return nil, fmt.Errorf("no such signal: %d", signal)
	}
	if err := message.UnmarshalJSON(body); err != nil {
		return nil, err
	}
	return message.MarshalProto()
}

// scanJSON counts objects and lists and their depth. It need not know whether the text is JSON:
// what it lets pass is bounded, and the reader finds out.
func scanJSON(body []byte, limits Limits) error {
	// A value's list or map is three levels of JSON; the rest is what OTLP nests round a value.
	deepest := 20 + 3*limits.Depth
	depth, objects, quoted := 0, 0, false
	first := byte(0)
	for i := 0; i < len(body); i++ {
		c := body[i]
		if quoted {
			if c == '\\' {
				i++
			} else if c == '"' {
				quoted = false
			}
			continue
		}
		if first == 0 && c > ' ' {
			first = c
		}
		switch c {
		case '"':
			quoted = true
		case '{', '[':
			depth, objects = depth+1, objects+1
			if depth > deepest {
				return tooLarge("JSON nested deeper than %d", deepest)
			}
			if objects > limits.Objects {
				return tooLarge("more than %d JSON objects and lists: send several requests, or protobuf", limits.Objects)
			}
		case '}', ']':
			depth--
		}
	}
	if first != '{' || depth != 0 || quoted {
		return malformed("not one whole JSON object")
	}
	return nil
}
