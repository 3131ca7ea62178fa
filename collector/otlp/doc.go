// Package otlp takes export requests of the OpenTelemetry protocol apart: from the bytes of an HTTP
// or gRPC request to spans, log records and metrics whose fields can be read. It never stores, sends
// or interprets anything, and it must never read what it cannot bound: every length, count and depth
// is checked before memory is taken for it.
//
// # One form inside
//
// What arrives as JSON is read by the official pdata packages and written again as protobuf, so that
// everything behind this package (the spool, the tables) sees protobuf only. Compressed bodies are
// expanded, up to the limit of the decoded size.
//
//	body ─ Expand (gzip, zstd) ─ Normalize (JSON → protobuf) ─┬ ReadTraces, ReadLogs   views, no copies
//	                                                          └ ReadMetrics            pdata
//
// Spans and log records are read by a cursor over the wire format instead of pdata's object tree.
// Decision of November 2026: an agent's span of 550 bytes and twelve attributes costs pdata 40
// allocations and about four times the time of the cursor, which alone is the whole budget
// of DESIGN.md §11 (three times the spans per CPU second of the OpenTelemetry Collector). What is
// understood must not differ: FuzzTraces and FuzzLogs compare every field with pdata's reading.
// The cursor also can reject one span with an id of the wrong length; pdata gives up the request.
//
// # Views
//
// The strings of a view point into the request's bytes. They are valid until the bytes are reused;
// whoever keeps one longer clones it. A view itself is reused for the next record.
//
// # Field order
//
// Protobuf allows fields in any order and messages in pieces: a resource may come after its spans,
// the last of several scalars counts, repeated fields add up, a later piece of a message is merged
// into the earlier one. The readers do what pdata does with all of these.
//
// Read first: wire.go (the cursor), then traces.go. Limits and errors: limits.go.
package otlp
