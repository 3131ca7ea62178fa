// Package ship sends journals to ClickHouse: it follows the runs of a store and sends their entries,
// and everything that these name, as the OTLP log records that schemas/record specifies.
//
// A [Shipper] reads what is durable already, at its own pace, and sends it to one endpoint. It may lag,
// for ever if nobody receives; it never holds an agent up, and it must never write to the store. It must never say
// of an entry that it is shipped before the receiver said so of it and of all that it names.
//
// # Order
//
//	salt of the family
//	tree as it was before the run   files, then directories, root last; once per target
//	for each entry                  content it names, objects of the trees it names that are new, the entry
//	heads, chunks and checkpoints   those over the entries that were sent
//
// A run's requests follow one another, so a receiver that has an entry has all that it names. The
// objects of a tree are found by comparing it with the one before (journal.NewObjects): what did not
// change is not read. What was named lately is remembered and not sent again; what a process does not remember
// is, and changes nothing.
//
// # Acknowledgement
//
// The success of a request to our own collector is final ([Config.Final]). Behind any other endpoint a
// record may still be lost, so nothing counts as shipped before the [Store] has it: each minute, and
// when asked to ([Shipper.Ship]), the store's number of entries and its newest one are compared with the journal. From the first
// gap everything is sent again; of what lies before it, the salt, content, objects, chunks and heads that the
// store lacks. With a final endpoint the two are compared once when a run is first followed: a store that was emptied meanwhile
// is filled again. Where records were rejected (OTLP's partial success) the run is compared as behind a
// foreign endpoint; without a store to ask, its count stays where it was.
//
// # Cursor
//
//	DIR/<target>/<run>.cursor   one line:
//	tacho-ship-1 <run> <next> <hash of the entry before next> <heads> <checkpoint> open|ended
//	DIR/<target>/<root>.base    tacho-base-1, then a line for each object of that tree that was not stored
//
// target is 16 hex digits of the SHA-256 of [Config.Target]. Everything before the entry next is
// shipped, signed heads over at most heads entries, and checkpoints up to the entry of that seq (−1: none). A
// file that is missing, damaged, or of another journal means that nothing was. It is replaced
// by rename, not synced, and written after the receiver's success: a process that dies between the two
// sends the same bytes again.
//
// # Bounds
//
// A request holds at most record.MaxRequest bytes, a record less than 1 MiB. At most four requests are
// being filled or are under way at a time, whatever the number of runs; so memory is bounded by them and by the largest piece of
// content. A receiver that does not answer, or says when to come again (Retry-After, RetryInfo), is
// waited for; a request that it refuses as such is cut in two, and a record that is refused alone is logged and counted
// as not shipped.
//
// Runs with state_persistence: false, runs of erased families and runs that were imported are not
// shipped.
//
// Read first: follower.go (the loop), namer.go (what an entry needs), reconcile.go (what was lost),
// endpoint.go (one request).
package ship
