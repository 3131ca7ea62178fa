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
// fields passed over) and returns it as protobuf. A scan before bounds what pdata builds.
func FromJSON(signal Signal, body []byte, limits Limits) ([]byte, error) {
	if err := scanJSON(body, limits.WithDefaults()); err != nil {
		return nil, err
	}
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
		return nil, fmt.Errorf("read JSON: no such signal: %d", signal)
	}
	if err := message.UnmarshalJSON(body); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
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
