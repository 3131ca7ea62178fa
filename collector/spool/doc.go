// Package spool keeps requests on the disk from the moment they are acknowledged until their rows are
// in ClickHouse. It is a write-ahead log cut into segments: a segment is one insert, its id the key by
// which the store knows whether that insert was made.
//
// It must never answer before bytes are durable, never lose what it answered for, and never pass over
// damage in silence. It does not know what a request means. One process owns a directory.
//
// # Directory
//
//	LOCK               held by the process that owns the spool
//	<uuid>.segment     requests whose rows are not known to be stored
//	damaged/<uuid>.segment   a segment in whose middle bytes were damaged, kept for a person
//
// # Segment
//
// Numbers in headers are little-endian, crc is CRC-32C.
//
//	header   "tacho-spool-1\n\x00\x00" | id 16 | created 8 (Unix ms) | zero 20 | crc 4 (of the 60 before)
//	group*   marker 8 | length 4 | records 4 | crc 4 (of the payload) | crc 4 (of id and the 20 before) | payload
//	record   signal 1 | project: uvarint n, n bytes | received: uvarint (Unix ms)
//	         | dropped: uvarint n, then n × uvarint (distance from the one before) | body: uvarint n, n bytes
//
// A payload is the records of a group, one after the other. A group without records ends a segment
// that was sealed. Dropped are the positions, counted over the request, of spans, log records or data points that
// are not to be stored: they were rejected, or known already. So whoever reads the segment, now or
// after a crash, makes the same rows of it.
//
// # Durability
//
// A group is what was written at once, and is acknowledged as a whole after fsync of the file (and, for a
// segment's first group, of the directory). The next group is written only after that. Hence, after a crash:
// a group that is not whole is a torn tail, never acknowledged, if nothing valid follows it; if a valid
// group follows, acknowledged bytes were damaged. Then the rest is still stored, and the file is moved to
// damaged/ and reported instead of removed.
//
// After a write or fsync that failed, the segment's end is what was durable before, the file is cut there, and
// nothing is ever written to it again: after a failed fsync the kernel may have dropped the pages.
//
// Read first: spool.go (writing), then segment.go (the way back).
package spool
