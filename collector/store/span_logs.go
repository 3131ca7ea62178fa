package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"tachograph/schemas/genai"
	"tachograph/schemas/tables"
)

// Bounds of what is read of log records for one page of a transcript.
const (
	maxLogsRead  = 20_000  // by one question: of a span that has more, none is read
	maxLogsPage  = 200_000 // by all questions of the page
	maxLogsShown = 200     // of one span, the newest
)

// SpanLogs are the conversations of some spans of a trace, where they arrived as log records. Spans without any are not there.
func (s *Store) SpanLogs(ctx context.Context, trace [16]byte, spans []uint64) (map[uint64]tables.SpanLogs, error) {
	found := map[uint64]tables.SpanLogs{}
	counts, err := s.countLogs(ctx, trace, spans)
	for left := int64(maxLogsPage); err == nil && len(spans) > 0; {
		some, records := []uint64{}, int64(0)
		for len(spans) > 0 && records+min(counts[spans[0]], maxLogsRead) <= maxLogsRead {
			n := counts[spans[0]]
			switch {
			case n > min(maxLogsRead, left):
				found[spans[0]] = tables.SpanLogs{Unread: n}
			case n > 0:
				some, records, left = append(some, spans[0]), records+n, left-n
			}
			spans = spans[1:]
		}
		if len(some) > 0 {
			err = s.readLogs(ctx, trace, some, found)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read logs of trace %s: %w", uuid.UUID(trace), err)
	}
	return found, nil
}

func (s *Store) logsOf(ctx context.Context, trace [16]byte, spans []uint64) context.Context {
	events := "['" + strings.Join(genai.Events(), "','") + "']"
	return with(ctx, "project", s.project, "trace", uuid.UUID(trace).String(), "spans", numbersParameter(spans), "events", events,
		"spoke", genai.EventAssistant, "limit", fmt.Sprint(maxLogsShown))
}

func (s *Store) countLogs(ctx context.Context, trace [16]byte, spans []uint64) (map[uint64]int64, error) {
	counts := map[uint64]int64{}
	_, err := list(s.logsOf(ctx, trace, spans), s, question("span_log_counts"), func(r driver.Rows) (none struct{}, err error) {
		var span uint64
		var n int64
		err = r.Scan(&span, &n)
		counts[span] = n
		return none, err
	})
	return counts, err
}

// readLogs reads those of a few spans into found.
func (s *Store) readLogs(ctx context.Context, trace [16]byte, spans []uint64, found map[uint64]tables.SpanLogs) error {
	rows, err := list(s.logsOf(ctx, trace, spans), s, question("span_logs"), scanLog)
	if err != nil {
		return err
	}
	for len(rows) > 0 {
		n := slices.IndexFunc(rows, func(r logRow) bool { return r.SpanID != rows[0].SpanID })
		if n < 0 {
			n = len(rows)
		}
		found[rows[0].SpanID] = spanLogs(rows[:n])
		rows = rows[n:]
	}
	return nil
}

// spanLogs are the records of one span, given newest first, as they were sent. Those that a sender sent again after more than
// a day, or in another batch, came with another segment: of equal records there are as many as one segment has.
func spanLogs(rows []logRow) (of tables.SpanLogs) {
	shown := int64(0)
	came, kept := map[string]int{}, map[string]int{}
	for _, r := range rows {
		if r.Event != genai.EventAssistant {
			shown++
		}
		key := fmt.Sprintf("%d %q %q %q", r.Time, r.Event, r.Body, r.Attributes)
		inSegment := key + r.seg.String()
		if came[inSegment]++; came[inSegment] <= kept[key] {
			continue
		}
		kept[key]++
		of.Logs = append(of.Logs, r.Log)
	}
	of.Before = int64(rows[0].since) - shown
	slices.Reverse(of.Logs)
	return of
}

// logRow is a row of span_logs.sql.
type logRow struct {
	tables.Log
	seg   uuid.UUID
	since uint64 // how many there are since the model spoke last
}

func scanLog(r driver.Rows) (row logRow, err error) {
	var attributes pairs
	var places, keys, bodies []string
	var sizes []uint64
	err = r.Scan(&row.SpanID, &row.Time, &row.Event, &row.Body, &row.BodyType, &attributes.keys, &attributes.values, &attributes.types,
		&places, &keys, &sizes, &bodies, &row.seg, &row.since)
	row.Attributes, row.Cut = attributes.attrs(), cutsOf(places, keys, sizes, bodies)
	return row, err
}
