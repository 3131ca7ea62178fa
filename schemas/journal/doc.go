// Package journal specifies what a run writes down and what it means: entries and their hashes,
// the Merkle tree and its signed heads, content names, directory objects, and the fold that makes
// a state of the entries. It is pure: no files, no clock, no randomness. Everything that must be
// the same on every machine and in every year is here, so that a second implementation can be
// written from this comment and the comments it points to.
//
// # Entry
//
// A journal is a sequence of entries, one line of UTF-8 JSON each, without white space:
//
//	{"v":1,"run":"<uuid>","seq":0,"epoch":1,"time":"2026-11-23T18:24:00.000000000Z",
//	 "agent":"/","kind":"run.started","body":{…},"prev":""}
//
// The fields always stand in this order (the line is broken here for reading only). v is 1; run is
// a UUIDv7 in lower case; seq counts from 0 without gaps, one sequence for all agents of the run;
// epoch is the revision of the writer's lease, from 1, and never falls; time is UTC with nine
// decimals; agent is "/" or a path of numbers; kind is 1 to 64 of a–z 0–9 . _ -, the first a letter;
// body is the struct of the kind (kinds.go), its fields in the order declared there, fields tagged
// omitzero left out when zero, those with omitempty when they have no elements; prev is the hash of
// the entry before, "" for seq 0.
//
// In every body, also that of a note or of a kind not known: integers lie within ±(2^53−1), and
// there are no other numbers; a string escapes only what JSON demands, and U+2028 and U+2029, each in
// its shortest way (\" \\ \b \f \n \r \t, else \u and four lower-case digits); no object has a key
// twice; nothing is nested deeper than 64. A list that must stand is [] when empty, never null.
//
// There is one spelling: a line that would be encoded differently is refused. The bytes are made
// once, and stored, shipped and exported unchanged.
//
// # Hashes
//
// A hash is SHA-256, written "sha256:" and 64 lower-case hex digits; none is written "".
//
//	entry      SHA-256(0x00 ‖ line)                                   RFC 6962 leaf      HashEntry
//	tree       RFC 6962 §2.1 over the entries' leaves                                    Frontier
//	content    SHA-256(salt of the family, 32 bytes ‖ bytes)          Ref                Salt.Name
//	object     SHA-256(bytes): a file ≤ 1 MiB, a chunk, a chunk list, a directory        NameObject
//	list       SHA-256("tacho-list-v1\n" ‖ head before ‖ reference)   a chain            List
//	state      SHA-256(stateLine as JSON)                                                State.Hash
//
// Content is whatever a person, a model, a tool or a file wrote, however small; an entry holds only
// its name. Refs finds the names in a body by the types of its fields, never by looking at text.
//
// # State
//
// [Start] makes the state before entry 0, [State.Apply] folds one entry. Bodies that embed [Commit]
// name the hash of the state before them, and the fold stops if it is another. A kind that is not
// known stops the fold too ([ErrUnknownKind]); a kind that begins with "note." is kept and hashed
// and changes nothing.
//
// # What to read
//
// entry.go, canonical.go: the spelling. kinds.go: every kind. fold.go, fold_run.go, fold_turn.go, fold_call.go: what each does.
// head.go: signed heads. directory.go: trees of files. checkpoint.go, checkpoint_load.go: the cache of a state, and its format. list.go: message lists.
//
// The package must never read a clock, a file or a global, must never re-encode what is stored, and
// must never change what an existing kind or fold version means: add a new one beside it.
package journal
