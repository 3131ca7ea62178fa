package dialect

import (
	"fmt"
	"time"

	"tachograph/collector/otlp"
	"tachograph/schemas/tables"
)

// Rows takes rows; it copies what it keeps. store.Batch is one.
type Rows interface {
	Span(*tables.Span)
	OpenSpan(*tables.OpenSpan)
	Log(*tables.Log)
	Metric(*tables.Metric)
	Entry(*tables.Entry)
	Content(*tables.Content)
	Base(*tables.Base)
	Family(*tables.Family)
	Head(*tables.Head)
	Checkpoint(*tables.Checkpoint)
}

// Writer makes the rows of one segment.
type Writer struct {
	rows    Rows
	project string
	dropped []uint32 // what is left of the request's list
	at      uint32   // number of the next record

	span     tables.Span
	log      tables.Log
	shared   shared
	values   values
	lifts    []int8
	whole    map[contentKey]bool // contents of this segment
	families families
}

// NewWriter returns a writer of rows into one block.
func NewWriter(rows Rows) *Writer {
	return &Writer{rows: rows, whole: map[contentKey]bool{}}
}

// Request makes rows of a request that Examine accepted, but for the dropped records. The rows' strings
// point into body until Rows has copied them.
func (w *Writer) Request(signal otlp.Signal, project string, received time.Time, body []byte, dropped []uint32) error {
	w.project, w.dropped, w.at = project, dropped, 0
	w.shared = shared{}
	var err error
	switch signal {
	case otlp.Traces:
		err = otlp.ReadTraces(body, unbounded, w.writeSpan)
	case otlp.Logs:
		err = otlp.ReadLogs(body, unbounded, func(r *otlp.Resource, s *otlp.Scope, l *otlp.Log) error {
			return w.writeLog(received, r, s, l)
		})
	case otlp.Metrics:
		err = w.writeMetrics(body)
	default:
		err = fmt.Errorf("no such signal: %d", signal)
	}
	if err != nil {
		return fmt.Errorf("rows of a request of %s that was accepted: %w", signal, err)
	}
	return nil
}

// skip counts a record and says whether it is dropped.
func (w *Writer) skip() bool {
	at := w.at
	w.at++
	if len(w.dropped) > 0 && w.dropped[0] == at {
		w.dropped = w.dropped[1:]
		return true
	}
	return false
}

// unbounded reads what was within limits when it was accepted.
var unbounded = otlp.Limits{Body: 1 << 62, Records: 1 << 62, Values: 1 << 62, Depth: 1 << 30, Objects: 1 << 62}
