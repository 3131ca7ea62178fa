// Package collector takes telemetry in, as OTLP over gRPC and HTTP, from our own runner and from
// everybody else's agents, and brings it into ClickHouse: each record that it acknowledged, once.
//
//	request ─ otlp (bounds, protobuf) ─ dialect.Examine ─┐ committer: one goroutine
//	                                                     ├ known already? (seen)
//	                                          answer  ◄──┤ spool: write, fsync
//	                                                     └ seal ─→ inserters: dialect.Writer ─→ store ─→ remove
//
// It must never answer before what it answers for is on the disk, never parse what it cannot bound, never
// read back what it stored (that is the store's), and never hold an agent up: when it can take no more it
// says so, in a way that makes senders wait and send again.
//
// # Invariants
//
//   - An acknowledged record is in a spool segment, or its rows are in ClickHouse.
//   - A segment is one insert under the segment's id; store.Insert makes each exactly once. Its rows are made
//     from the file, in the same way whether the process that wrote it lives or not.
//   - What a sender sends again within a day is acknowledged and not stored: spans are known by project, trace
//     and span id, requests of logs and metrics by their bytes. An acknowledgement of something known waits for
//     the group in which it was first written.
//   - Memory is bounded by Config: decoded requests in flight, one segment per inserter, the keys.
//
// Read first: collector.go (wiring), commit.go (the way to the answer), insert.go (the way to the rows);
// then http.go and grpc.go, which speak the protocol, and answer.go, the table of errors.
package collector
