package journal

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

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

// HashEntry is the hash of an entry: the RFC 6962 leaf hash of exactly the bytes written.
func HashEntry(line []byte) Hash { return Hash(tlog.RecordHash(line)) }

// Encode writes an entry as one line of JSON without a line feed. It fails on what [Decode]
// would refuse, so nothing unreadable is ever appended.
func Encode(e Entry) ([]byte, error) {
	if err := e.check(); err != nil {
		return nil, fmt.Errorf("encode entry %d: %w", e.Seq, err)
	}
	line := e.append(make([]byte, 0, 384+len(e.Body)))
	if len(line) > MaxEntry {
		return nil, fmt.Errorf("encode entry %d: %d bytes, over the limit of %d", e.Seq, len(line), MaxEntry)
	}
	return line, nil
}

// append writes the line. It is written by hand because it is the definition of the format: no
// library decides what is hashed.
func (e Entry) append(b []byte) []byte {
	b = strconv.AppendInt(append(b, `{"v":`...), int64(e.Version), 10)
	b = append(append(b, `,"run":"`...), e.Run.String()...)
	b = strconv.AppendInt(append(b, `","seq":`...), e.Seq, 10)
	b = strconv.AppendInt(append(b, `,"epoch":`...), e.Epoch, 10)
	b = e.Time.UTC().AppendFormat(append(b, `,"time":"`...), timeLayout)
	b = append(append(b, `","agent":"`...), e.Agent...)
	b = append(append(b, `","kind":"`...), e.Kind...)
	b = append(append(b, `","body":`...), e.Body...)
	b = append(append(b, `,"prev":"`...), hashText(e.Prev)...)
	return append(b, `"}`...)
}

// Decode reads one line. It accepts only the bytes that Encode would write for the same values:
// there is one spelling of an entry, so no reader can understand it differently.
// Whether the body is one of its kind is checked by [DecodeBody]. The entry keeps nothing of line.
func Decode(line []byte) (Entry, error) {
	if len(line) > MaxEntry {
		return Entry{}, fmt.Errorf("decode entry: %d bytes, over the limit of %d", len(line), MaxEntry)
	}
	e, err := parseEntry(line)
	if err != nil {
		return Entry{}, fmt.Errorf("decode entry: %w", err)
	}
	again, err := Encode(e)
	if err != nil {
		return Entry{}, fmt.Errorf("decode: %w", err)
	}
	if !bytes.Equal(again, line) {
		return Entry{}, fmt.Errorf("decode entry %d: %w", e.Seq, errSpelling)
	}
	return e, nil
}

// parseEntry takes a line apart, and is strict only where it must be to do so.
func parseEntry(line []byte) (Entry, error) {
	f := fields{rest: line}
	e := Entry{Version: int(f.integer(`{"v":`, ','))}
	if f.err == nil && e.Version != Version {
		return e, e.checkVersion()
	}
	run := f.text(`"run":"`)
	e.Seq = f.integer(`,"seq":`, ',')
	e.Epoch = f.integer(`"epoch":`, ',')
	at := f.text(`"time":"`)
	e.Agent = f.text(`,"agent":"`)
	e.Kind = Kind(f.text(`,"kind":"`))
	body, prev := f.tail(`,"body":`, `,"prev":"`, `"}`)
	e.Body = bytes.Clone(body)
	if f.err != nil {
		return e, f.err
	}
	var err error
	if e.Run, err = ParseRunID(run); err != nil {
		return e, err
	}
	if e.Time, err = time.Parse(timeLayout, at); err != nil {
		return e, fmt.Errorf("time %.60q: %w", at, err)
	}
	return e, e.Prev.UnmarshalText(prev)
}

// fields takes the fields of an entry from the left. After an error it gives nothing more.
type fields struct {
	rest []byte
	err  error
}

// until takes what lies between the literal before and the byte after it.
func (f *fields) until(before string, after byte) string {
	if f.err != nil {
		return ""
	}
	rest, ok := bytes.CutPrefix(f.rest, []byte(before))
	end := bytes.IndexByte(rest, after)
	if !ok || end < 0 {
		f.err = fmt.Errorf("%w: want %s at %.20q", errSpelling, before, f.rest)
		return ""
	}
	f.rest = rest[end+1:]
	return string(rest[:end])
}

func (f *fields) text(before string) string { return f.until(before, '"') }

func (f *fields) integer(before string, after byte) int64 {
	digits := f.until(before, after)
	if f.err != nil {
		return 0
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		f.err = fmt.Errorf("%w: %s%.24q is no integer", errSpelling, before, digits)
	}
	return n
}

// tail takes the last two fields from the right, as only there it is known where a body ends.
func (f *fields) tail(first, second, end string) (body, last []byte) {
	if f.err != nil {
		return nil, nil
	}
	rest, ok := bytes.CutPrefix(f.rest, []byte(first))
	rest, ended := bytes.CutSuffix(rest, []byte(end))
	at := bytes.LastIndex(rest, []byte(second))
	if !ok || !ended || at < 0 {
		f.err = fmt.Errorf("%w: want %s…%s…%s after the kind", errSpelling, first, second, end)
		return nil, nil
	}
	return rest[:at:at], rest[at+len(second):]
}

func (e Entry) check() error {
	switch {
	case e.Version != Version:
		return e.checkVersion()
	case e.Run.IsZero():
		return errors.New("run id missing")
	case e.Seq < 0 || e.Seq > MaxInt || e.Epoch < 1 || e.Epoch > MaxInt:
		return fmt.Errorf("seq %d or epoch %d out of range", e.Seq, e.Epoch)
	case (e.Seq == 0) != e.Prev.IsZero():
		return fmt.Errorf("prev %q does not fit seq %d", e.Prev, e.Seq)
	case !ValidAgent(e.Agent):
		return fmt.Errorf("agent %.40q is not a path like /, /2 or /2/1", e.Agent)
	case !ValidKind(e.Kind):
		return fmt.Errorf("kind %.60q is not lower-case letters, digits and . _ -", e.Kind)
	case e.Time.UTC().Year() < 0 || e.Time.UTC().Year() > 9999:
		return fmt.Errorf("time %s has no year of four digits", e.Time.UTC())
	case len(e.Body) == 0 || e.Body[0] != '{':
		return errors.New("body is not a JSON object")
	}
	if err := checkCanonical(e.Body); err != nil {
		return fmt.Errorf("body: %w", err)
	}
	return nil
}

func (e Entry) checkVersion() error {
	return fmt.Errorf("version %d: this tacho reads version %d; a newer one wrote this", e.Version, Version)
}

// ValidKind says whether k can be the kind of an entry, known or not: 1 to 64 of a–z 0–9 . _ -,
// the first a letter.
func ValidKind(k Kind) bool {
	if len(k) == 0 || len(k) > 64 || k[0] < 'a' || k[0] > 'z' {
		return false
	}
	for _, c := range []byte(k) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
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
