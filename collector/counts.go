package collector

import (
	"sync"
	"sync/atomic"
	"time"
)

// counts are what Metrics shows.
type counts struct {
	requests, accepted, rejected, known, refused, groups, segments, stored atomic.Int64

	mu       sync.Mutex
	failures int64
	lastErr  string
	lastAt   time.Time
}

func (c *counts) failed(err error, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failures, c.lastErr, c.lastAt = c.failures+1, err.Error(), at
}

// Metrics are counts since the start, and what is now.
type Metrics struct {
	Requests int64 `json:"requests"`
	Accepted int64 `json:"accepted"` // spans, log records and data points acknowledged
	Rejected int64 `json:"rejected"` // refused for good, one by one
	Known    int64 `json:"known"`    // acknowledged, and known from before
	Refused  int64 `json:"refused"`  // requests told to come again
	Groups   int64 `json:"groups"`   // written and synced
	Segments int64 `json:"segments"` // stored
	Stored   int64 `json:"stored"`   // rows

	InsertFailures int64     `json:"insert_failures"` // attempts; each is made again
	LastFailure    string    `json:"last_failure,omitempty"`
	LastFailureAt  time.Time `json:"last_failure_at,omitzero"`

	InFlightBytes int64     `json:"in_flight_bytes"`
	SpoolBytes    int64     `json:"spool_bytes"`
	SpoolMaxBytes int64     `json:"spool_max_bytes"`
	SpoolSegments int       `json:"spool_segments"`   // sealed and not stored
	Failing       int       `json:"failing"`          // of them, those that failed already
	Oldest        time.Time `json:"oldest,omitzero"`  // of the spooled segments, sealed and not stored
	DamagedKept   int64     `json:"damaged_segments"` // kept aside for a person
	SeenKeys      int       `json:"seen_keys"`
	SeenSince     time.Time `json:"seen_since"`       // what is sent again is known if it came after this
	SeenForgotten int64     `json:"seen_cut_windows"` // times that the bound on memory made the day shorter
}

// Metrics is a snapshot.
func (c *Collector) Metrics() Metrics {
	use, known := c.spool.Usage(), c.seen.Stats()
	m := Metrics{Requests: c.counts.requests.Load(), Accepted: c.counts.accepted.Load(), Rejected: c.counts.rejected.Load(),
		Known: c.counts.known.Load(), Refused: c.counts.refused.Load(), Groups: c.counts.groups.Load(),
		Segments: c.counts.segments.Load(), Stored: c.counts.stored.Load(), InFlightBytes: c.inFlight.Load(),
		SpoolBytes: use.Bytes, SpoolMaxBytes: use.MaxBytes, DamagedKept: use.Damaged,
		SeenKeys: known.Keys, SeenSince: known.Since, SeenForgotten: known.Early}
	m.SpoolSegments, m.Oldest, m.Failing = c.backlog.state()
	c.counts.mu.Lock()
	m.InsertFailures, m.LastFailure, m.LastFailureAt = c.counts.failures, c.counts.lastErr, c.counts.lastAt
	c.counts.mu.Unlock()
	return m
}

// Health says whether requests are taken, and whether they reach the store.
type Health struct {
	Ready   bool   `json:"ready"`   // requests are taken
	Storing bool   `json:"storing"` // rows reach the store; else they wait in the spool
	Reason  string `json:"reason,omitempty"`
}

// Health is a snapshot.
func (c *Collector) Health() Health {
	h := Health{Ready: true, Storing: true}
	select {
	case <-c.closing:
		return Health{Reason: ErrClosed.Error()}
	default:
	}
	m := c.Metrics()
	if m.Failing > 0 {
		h.Storing, h.Reason = false, "the store does not take rows: "+m.LastFailure
	}
	if m.SpoolMaxBytes-m.SpoolBytes < m.SpoolMaxBytes/100 {
		h.Ready, h.Reason = false, "the spool is full; "+h.Reason
	}
	return h
}
