package dialect

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"tachograph/collector/otlp"
	"tachograph/schemas/attr"
	"tachograph/schemas/record"
)

// Key knows a record again: the first half of a SHA-256.
type Key = [16]byte

// Examined is what a request holds, before it is acknowledged.
type Examined struct {
	Records  int      // all spans, log records or data points
	Rejected []uint32 // numbers of those that are refused for good, rising
	Message  string   // why, of the first

	// Keys are those of spans, by Numbers. A log request or metrics request has one key, of the whole,
	// since their records have no identity; Numbers are then the records that go with it.
	//
	// Records of journals and hints have none: the tables collapse them by what they are, and a shipper that
	// found some missing in the store must be able to send them again.
	Keys    []Key
	Numbers []uint32

	// Live: it has journal entries or hints, which somebody may be watching.
	Live bool
}

// Whole says whether one key stands for all Numbers.
func (e *Examined) Whole() bool { return len(e.Keys) == 1 && len(e.Numbers) != 1 }

// Examine reads a request through. An error (otlp.ErrMalformed, otlp.ErrTooLarge) refuses all of it. Refused are the
// records that were found bad before.
func Examine(signal otlp.Signal, project string, body []byte, refused otlp.Refused, limits otlp.Limits) (Examined, error) {
	switch signal {
	case otlp.Traces:
		return examineTraces(project, body, refused, limits)
	case otlp.Logs:
		return examineLogs(project, body, refused, limits)
	case otlp.Metrics:
		return examineMetrics(project, body, limits)
	}
	return Examined{}, fmt.Errorf("no such signal: %d", signal)
}

func (e *Examined) reject(number uint32, format string, args ...any) {
	if len(e.Rejected) == 0 {
		e.Message = fmt.Sprintf(format, args...)
	}
	e.Rejected = append(e.Rejected, number)
}

func examineTraces(project string, body []byte, refused otlp.Refused, limits otlp.Limits) (Examined, error) {
	var e Examined
	key := append([]byte("span\n"), project...)
	key = append(key, '\n')
	prefix := len(key)
	err := otlp.ReadTraces(body, limits, func(_ *otlp.Resource, _ *otlp.Scope, s *otlp.Span) error {
		number := uint32(e.Records)
		e.Records++
		if why := cmp.Or(refused[number], s.BadID); why != "" {
			e.reject(number, "span %d (%.80q): %s", number, s.Name, why)
			return nil
		}
		key = append(append(key[:prefix], s.Trace...), s.ID...)
		sum := sha256.Sum256(key)
		e.Keys, e.Numbers = append(e.Keys, Key(sum[:16])), append(e.Numbers, number)
		return nil
	})
	return e, err
}

func examineLogs(project string, body []byte, refused otlp.Refused, limits otlp.Limits) (Examined, error) {
	var e Examined
	err := otlp.ReadLogs(body, limits, func(_ *otlp.Resource, _ *otlp.Scope, l *otlp.Log) error {
		number := uint32(e.Records)
		e.Records++
		if why := refused[number]; why != "" {
			e.reject(number, "log record %d: %s", number, why)
			return nil
		}
		if record.Is(l.Event) {
			if _, err := readOurs(l, true); err != nil {
				e.reject(number, "record %d (%s): %v", number, l.Event, err)
			}
			e.Live = true
			return nil
		}
		if why := badContext(l); why != "" {
			e.reject(number, "log record %d: %s", number, why)
			return nil
		}
		if isHint(l.Event) {
			e.Live = true
			return nil
		}
		e.Numbers = append(e.Numbers, number)
		return nil
	})
	if len(e.Numbers) > 0 {
		e.Keys = []Key{wholeKey("logs", project, body)}
	}
	return e, err
}

// badContext says what is wrong with the span that a log record belongs to; most belong to none.
func badContext(l *otlp.Log) string {
	if len(l.Trace) != 0 && len(l.Trace) != 16 {
		return "a trace id must have 16 bytes or none"
	}
	if len(l.Span) != 0 && len(l.Span) != 8 {
		return "a span id must have 8 bytes or none"
	}
	if isHint(l.Event) && (len(l.Trace) == 0 || len(l.Span) == 0) {
		return "an open span (" + attr.EventSpanStart + ", " + attr.EventSpanAlive + ") must have a trace id and a span id"
	}
	return ""
}

func examineMetrics(project string, body []byte, limits otlp.Limits) (Examined, error) {
	all, err := otlp.ReadMetrics(body, limits)
	if err != nil {
		return Examined{}, err
	}
	e := Examined{Records: all.DataPointCount()}
	for number := range e.Records {
		e.Numbers = append(e.Numbers, uint32(number))
	}
	if e.Records > 0 {
		e.Keys = []Key{wholeKey("metrics", project, body)}
	}
	return e, nil
}

// wholeKey knows a request again that is sent with the same bytes, as SDKs and collectors do.
func wholeKey(signal, project string, body []byte) Key {
	h := sha256.New()
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(project))))
	h.Write([]byte(signal + "\n" + project))
	h.Write(body)
	return Key(h.Sum(nil)[:16])
}
