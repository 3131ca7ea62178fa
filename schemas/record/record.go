// Package record specifies how a journal travels as OTLP log records: what a runner ships, what the
// collector takes apart, and what ordinary OpenTelemetry Collectors between them pass on unaltered.
// It is words and their checks only; nothing here sends, stores or folds.
//
// A record's LogRecord.EventName says what it is, its body is bytes (AnyValue.bytes_value), the
// attributes below say what they are for. The time of the record is the time of what it carries. All
// numbers are OTLP ints, all hashes and ids lower-case hex strings without a prefix (ids of runs in
// their UUID form).
//
//	EventName         body                                             attributes besides Hash and Run
//	tacho.entry       one line of a journal, without line feed         Seq, Epoch, Family
//	tacho.content     a part of a named piece of bytes                 Space, Name, Scope, Seq, Part, Parts, Size
//	tacho.head        a signed head (C2SP tlog-checkpoint)             Seq: entries under it
//	tacho.family      the 32 bytes of a family's salt                  Family
//	tacho.checkpoint  the record that journal.LoadCheckpoint reads     Seq: the newest entry folded into it
//
// Hash is the SHA-256 of the body, compared on arrival: a record whose body has another is rejected.
//
// Bytes are cut into parts of at most [MaxPart], numbered from 0; Parts is how many there are and
// Size how many bytes in all. A piece of nothing is one empty part. Name is
//
//	Space     Name                                      Scope
//	content   the journal.Ref, salted                   the family's id
//	object    the journal.Object                        the family's id, or the root of the base tree it is part of
//	chunk     the journal.Hash of a checkpoint's chunk  the family's id
//
// Seq of a content record is that of the first entry that needed it, so that what one run needs is
// one range; a sender that remembers no more sends the same piece again with the seq of a later one.
// Scope of an object is a UUID for a family, 64 hex digits for a base tree; a base tree
// stands once for all runs that began with it.
//
// Order: the family's salt, then for each entry the content and objects that it names, then the
// entry, then heads and checkpoints over it. A receiver that has an entry therefore has all that it
// names. Any record may arrive again, and must then change nothing.
package record

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// Event names.
const (
	Entry      = "tacho.entry"
	Content    = "tacho.content"
	Head       = "tacho.head"
	Family     = "tacho.family"
	Checkpoint = "tacho.checkpoint"
)

// Attribute keys.
const (
	KeyRun    = "tacho.run.id"
	KeyFamily = "tacho.run.family"
	KeySeq    = "tacho.entry.seq"
	KeyEpoch  = "tacho.entry.epoch"
	KeyHash   = "tacho.record.hash"
	KeySpace  = "tacho.content.space"
	KeyName   = "tacho.content.name"
	KeyScope  = "tacho.content.scope"
	KeyPart   = "tacho.content.part"
	KeyParts  = "tacho.content.parts"
	KeySize   = "tacho.content.size"
)

// Spaces of content.
const (
	SpaceContent = "content"
	SpaceObject  = "object"
	SpaceChunk   = "chunk"
)

// Limits. A request with MaxRequest bytes of records stays under the 4 MiB that gRPC servers accept
// by default, and a record under 1 MiB.
const (
	MaxPart    = 960 << 10
	MaxRequest = 3 << 20
	MaxParts   = 1 << 20
)

// HashOf is the value of KeyHash for a body.
func HashOf(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// CheckBody compares a body with the hash that came with it. A receiver that gets an error rejects
// the record and says so: sending it again changes nothing.
func CheckBody(body []byte, hash string) error {
	if got := HashOf(body); got != hash {
		return fmt.Errorf("body has hash %s, its record says %.64q", got, hash)
	}
	return nil
}

// Is says whether an event name is one of ours.
func Is(event string) bool {
	switch event {
	case Entry, Content, Head, Family, Checkpoint:
		return true
	}
	return false
}
