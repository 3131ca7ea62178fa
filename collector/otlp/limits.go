package otlp

import (
	"errors"
	"fmt"
)

// Limits bound what one request may contain. The zero value of a field means its default.
type Limits struct {
	Body    int // bytes of a request, decoded; default 64 MiB
	Records int // spans, log records or data points; default 200,000
	Values  int // attributes, list items and other messages inside them; default 8 million
	Depth   int // nesting of lists and maps inside one value; default 32
	Objects int // objects and lists of a JSON request; default 2 million
}

// WithDefaults fills in what is not set.
func (l Limits) WithDefaults() Limits {
	set := func(v *int, to int) {
		if *v <= 0 {
			*v = to
		}
	}
	set(&l.Body, 64<<20)
	set(&l.Records, 200_000)
	set(&l.Values, 8_000_000)
	set(&l.Depth, 32)
	set(&l.Objects, 2_000_000)
	return l
}

// Reasons why a request is refused for good: sending the same again changes nothing. The receiver
// answers each with a status of its own, see the table in collector/answer.go.
var (
	// ErrMalformed: the bytes are no request. HTTP 400, gRPC INVALID_ARGUMENT.
	ErrMalformed = errors.New("malformed request")
	// ErrTooLarge: a limit is passed. HTTP 413, gRPC RESOURCE_EXHAUSTED without RetryInfo.
	ErrTooLarge = errors.New("request too large")
	// ErrMedia: content type or encoding are none of ours. HTTP 415.
	ErrMedia = errors.New("unsupported media type")
)

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

func tooLarge(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrTooLarge, fmt.Sprintf(format, args...))
}
