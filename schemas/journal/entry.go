package journal

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/tlog"
)

// Version is the value of `v` in every entry written by this package.
const Version = 1

// MaxEntry bounds the encoded size of one entry, in bytes. Content is never part of an entry, so
// a larger one is an error of whoever wrote it. It leaves room in an OTLP record of 1 MiB.
const MaxEntry = 512 << 10

// MaxInt is the largest magnitude of an integer in an entry (2^53 − 1), so that every JSON
// reader sees the same number.
const MaxInt = 1<<53 - 1

const timeLayout = "2006-01-02T15:04:05.000000000Z"

// RunID is a UUIDv7. Its 16 bytes are also the id of the run's trace.
type RunID [16]byte

func (id RunID) IsZero() bool { return id == RunID{} }

func (id RunID) String() string {
	var b [36]byte
	hex.Encode(b[0:8], id[0:4])
	hex.Encode(b[9:13], id[4:6])
	hex.Encode(b[14:18], id[6:8])
	hex.Encode(b[19:23], id[8:10])
	hex.Encode(b[24:36], id[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b[:])
}

func (id RunID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

func (id *RunID) UnmarshalText(b []byte) error {
	parsed, err := ParseRunID(string(b))
	if err == nil {
		*id = parsed
	}
	return err
}

// ParseRunID reads the one spelling that String writes: 8-4-4-4-12 lower-case hex digits.
func ParseRunID(text string) (RunID, error) {
	var id RunID
	if len(text) != 36 {
		return id, fmt.Errorf("parse run id %.60q: want 36 characters as in 01970000-0000-7000-8000-000000000000", text)
	}
	digits := text[0:8] + text[9:13] + text[14:18] + text[19:23] + text[24:36]
	raw, err := hex.DecodeString(digits)
	if err != nil {
		return id, fmt.Errorf("parse run id %.60q: %w", text, err)
	}
	copy(id[:], raw)
	if id.String() != text {
		return RunID{}, fmt.Errorf("parse run id %.60q: not in its one spelling (lower-case, dashes at 8-4-4-4-12)", text)
	}
	return id, nil
}

// Entry is one line of a journal. Its bytes are made once, by [Encode], and never again.
type Entry struct {
	Version int             // 1
	Run     RunID           //
	Seq     int64           // counts from 0; the index in the Merkle tree
	Epoch   int64           // revision of the lease under which it was written, from 1
	Time    time.Time       // UTC, nanoseconds
	Agent   string          // path of the actor, "/" for the root
	Kind    Kind            //
	Body    json.RawMessage // a JSON object, the struct of the kind
	Prev    Hash            // hash of the entry before it; none for seq 0
}

// Hash is the hash of an entry: the RFC 6962 leaf hash of exactly the bytes written.
func HashEntry(line []byte) Hash { return Hash(tlog.RecordHash(line)) }

// wire fixes names and order of the fields. It is the definition of the format.
type wire struct {
	Version int             `json:"v"`
	Run     RunID           `json:"run"`
	Seq     int64           `json:"seq"`
	Epoch   int64           `json:"epoch"`
	Time    string          `json:"time"`
	Agent   string          `json:"agent"`
	Kind    Kind            `json:"kind"`
	Body    json.RawMessage `json:"body"`
	Prev    Hash            `json:"prev"`
}

// Encode writes an entry as one line of JSON without a line feed. It fails on what [Decode]
// would refuse, so nothing unreadable is ever appended.
func Encode(e Entry) ([]byte, error) {
	if err := e.check(); err != nil {
		return nil, fmt.Errorf("encode entry %d: %w", e.Seq, err)
	}
	line, err := marshal(wire{e.Version, e.Run, e.Seq, e.Epoch, e.Time.UTC().Format(timeLayout), e.Agent, e.Kind, e.Body, e.Prev})
	if err != nil {
		return nil, fmt.Errorf("encode entry %d: %w", e.Seq, err)
	}
	if len(line) > MaxEntry {
		return nil, fmt.Errorf("encode entry %d: %d bytes, over the limit of %d", e.Seq, len(line), MaxEntry)
	}
	return line, nil
}

// Decode reads one line. It accepts only the bytes that Encode would write for the same values:
// there is one spelling of an entry, so no reader can understand it differently.
// The body is checked by [DecodeBody], which needs to know the kind.
func Decode(line []byte) (Entry, error) {
	if len(line) > MaxEntry {
		return Entry{}, fmt.Errorf("decode entry: %d bytes, over the limit of %d", len(line), MaxEntry)
	}
	if !utf8.Valid(line) {
		return Entry{}, errors.New("decode entry: not UTF-8")
	}
	var w wire
	if err := json.Unmarshal(line, &w); err != nil {
		return Entry{}, fmt.Errorf("decode entry: %w", err)
	}
	at, err := time.Parse(timeLayout, w.Time)
	if err != nil {
		return Entry{}, fmt.Errorf("decode entry %d: %w", w.Seq, err)
	}
	e := Entry{w.Version, w.Run, w.Seq, w.Epoch, at, w.Agent, w.Kind, w.Body, w.Prev}
	again, err := Encode(e)
	if err != nil {
		return Entry{}, fmt.Errorf("decode: %w", err)
	}
	if !bytes.Equal(again, line) {
		return Entry{}, fmt.Errorf("decode entry %d: %w", w.Seq, errSpelling)
	}
	return e, nil
}

var errSpelling = errors.New("not in canonical form (field order, spacing, escapes or doubled fields differ)")

func (e Entry) check() error {
	switch {
	case e.Version != Version:
		return fmt.Errorf("version %d: this tacho reads version %d; a newer one wrote this", e.Version, Version)
	case e.Run.IsZero():
		return errors.New("run id missing")
	case e.Seq < 0 || e.Seq > MaxInt || e.Epoch < 1 || e.Epoch > MaxInt:
		return fmt.Errorf("seq %d or epoch %d out of range", e.Seq, e.Epoch)
	case (e.Seq == 0) != e.Prev.IsZero():
		return fmt.Errorf("prev %q does not fit seq %d", e.Prev, e.Seq)
	case !ValidAgent(e.Agent):
		return fmt.Errorf("agent %.40q is not a path like /, /2 or /2/1", e.Agent)
	case e.Kind == "":
		return errors.New("kind missing")
	case len(e.Body) < 2 || e.Body[0] != '{':
		return errors.New("body is not a JSON object")
	}
	return nil
}

// ValidAgent says whether path names an agent: "/" or numbers from 1 without leading zeros, each
// after a slash.
func ValidAgent(path string) bool {
	if path == "/" {
		return true
	}
	if len(path) == 0 || len(path) > 256 {
		return false
	}
	digits := 0
	for i := range len(path) {
		switch c := path[i]; {
		case c == '/' && (i == 0 || digits > 0):
			digits = 0
		case c >= '1' && c <= '9', c == '0' && digits > 0:
			if i == 0 {
				return false
			}
			digits++
		default:
			return false
		}
	}
	return digits > 0
}

// marshal is encoding/json without HTML escaping and without the final line feed.
func marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}
