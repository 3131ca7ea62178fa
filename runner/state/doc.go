// Package state keeps the durable state of runs: their entries, checkpoints and signed heads, the
// content that entries name, and the objects of their workspaces. One process owns a directory.
// The package must never answer before what it promises is on the disk, never decode more than it
// must (an entry is stored and handed out as the bytes that were appended), and never act on what
// content says. Read schemas/journal first: what is kept here is specified there. Then run.go and
// append.go, the way in; journal.go, the way out.
//
// # Directory
//
//	LOCK, owner.json       held by the process that owns the directory; who that is
//	keys/worker.key        its Ed25519 signing key (golang.org/x/mod/sumdb/note), mode 0600
//	keys/*.pub             keys that are trusted to sign heads; worker.pub is its own
//	db/                    Pebble: the rows below
//	files/<scope>/<name>   content and objects too large for a row, named by 64 hex digits
//
// # Rows
//
// A key is one letter, then fixed-width binary fields; numbers are big-endian. Key bytes:
//
//	v                                   version of this layout, as text
//	f  family 16                        family: JSON, see familyRecord
//	s  family 16                        the family's salt, 32 bytes; deleted first, and alone, by Remove
//	x  family 16                        the family is being removed: JSON, see removal
//	r  run 16                           RunInfo as JSON, kept up to date with the entries
//	l  run 16                           epoch of the run's lease, 8 bytes
//	e  run 16 ‖ seq 8                   entry: the line as it was appended
//	k  run 16 ‖ seq 8                   checkpoint: the state after the entry seq, see below
//	h  run 16 ‖ size 8 ‖ key hash 4     signed head over the first size entries
//	c  family 16 ‖ hash 32              chunk of checkpoints
//	n  family 16 ‖ ref 32               content that an entry names: cell
//	o  scope 16 ‖ object 32             object of a workspace: cell
//	b  root 32                          scope of the base tree with that root
//	u  scope 16 ‖ family 16             the family uses that base scope; no value
//
// A scope is where objects stand: a family's own has the family's id; that of a base tree, which
// families share, has a random one. A cell is
//
//	byte 0       0: the bytes   1: zstd   2: in a file   3: in a file, zstd
//	uvarint      length of the bytes, unless byte 0 is 0
//	rest         the bytes or the zstd frame; nothing if they are in a file
//
// and a checkpoint is
//
//	byte 0       1
//	32 bytes     hash of the state that it holds
//	uvarint n    number of entries in the tree, seq + 1
//	uvarint m    number of nodes, then m × 32 bytes: the journal.Frontier
//	rest         the record of journal.SaveCheckpoint
//
// # Durability
//
// Invariant: Append returns after its entries, the content that they name and every object put
// before it are on the disk. Rows are one Pebble batch, and batches become durable in the order in
// which they were applied; files are synced, and their directory, before the batch that names them.
// So what is durable is always a prefix of what was appended, whole appends only. Appends of all
// runs and agents share an fsync.
//
// [Run.View] shows entries that are applied and not yet durable. That is safe for whoever acts only
// by appending: the own entry becomes durable after those seen. Everything that hands bytes to
// the outside (Entries, Follow, At, State, heads) waits for, or stops at, what is durable.
//
// After an error of the disk the store is broken: it answers nothing any more but ErrBroken. What was
// acknowledged is found by the process that opens the directory next.
//
// Checkpoints are a cache: they are written after the entry that announces them, without waiting,
// and a reader that finds none, or one that does not fit, folds from an earlier one.
//
// A volatile run (state_persistence: false) is written to the same rows without waiting for the
// disk, and is removed when the store is next opened, if its owner has not done so before.
package state
