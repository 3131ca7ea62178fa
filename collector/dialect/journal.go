package dialect

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"

	"tachograph/collector/otlp"
	"tachograph/schemas/attr"
	"tachograph/schemas/journal"
	"tachograph/schemas/record"
	"tachograph/schemas/tables"
)

// ours is a record of a journal, taken apart and checked. Which fields are set depends on event.
type ours struct {
	event  string
	body   []byte
	hash   [32]byte // SHA-256 of the body
	run    [16]byte
	family [16]byte
	seq    int64
	entry  journal.Entry

	space       string
	name, root  [32]byte
	inBase      bool
	part, parts uint32
	size        uint64
}

// readOurs takes a record apart that record.Is ours. hashed says whether the body's hash is to be compared:
// not again for what was accepted before. An error means that the record is refused for good.
func readOurs(l *otlp.Log, hashed bool) (ours, error) {
	o := ours{event: l.Event, body: bytesOf(l.Body.Text)}
	if l.Body.Type != otlp.Bytes {
		return o, errors.New("its body is not bytes")
	}
	hash := findText(l.Attributes, record.KeyHash)
	if err := readHex(o.hash[:], hash); err != nil {
		return o, fmt.Errorf("%s: %w", record.KeyHash, err)
	}
	if hashed {
		if err := record.CheckBody(o.body, hash); err != nil {
			return o, err
		}
	}
	run, err := readID(l, record.KeyRun)
	if err != nil {
		return o, err
	}
	o.run = run
	switch l.Event {
	case record.Entry:
		return o, o.readEntry(l)
	case record.Content:
		return o, o.readContent(l)
	case record.Head, record.Checkpoint:
		o.seq, err = readInt(l, record.KeySeq, math.MaxInt64)
		return o, err
	case record.Family:
		if o.family, err = readID(l, record.KeyFamily); err == nil && len(o.body) != len(journal.Salt{}) {
			err = fmt.Errorf("a salt of %d bytes", len(o.body))
		}
		return o, err
	}
	return o, fmt.Errorf("no such record: %.40q", l.Event)
}

func (o *ours) readEntry(l *otlp.Log) error {
	var err error
	if o.entry, err = journal.Decode(o.body); err != nil {
		return err
	}
	if o.family, err = readID(l, record.KeyFamily); err != nil {
		return err
	}
	epoch, err := readInt(l, record.KeyEpoch, journal.MaxInt)
	if err != nil {
		return err
	}
	if o.seq, err = readInt(l, record.KeySeq, journal.MaxInt); err != nil {
		return err
	}
	if o.entry.Run != journal.RunID(o.run) || o.entry.Seq != o.seq || o.entry.Epoch != epoch {
		return fmt.Errorf("its attributes say run %s, seq %d, epoch %d, its line %s, %d, %d",
			journal.RunID(o.run), o.seq, epoch, o.entry.Run, o.entry.Seq, o.entry.Epoch)
	}
	return nil
}

func (o *ours) readContent(l *otlp.Log) error {
	o.space = findText(l.Attributes, record.KeySpace)
	if err := readHex(o.name[:], findText(l.Attributes, record.KeyName)); err != nil {
		return fmt.Errorf("%s: %w", record.KeyName, err)
	}
	if err := o.readScope(findText(l.Attributes, record.KeyScope)); err != nil {
		return fmt.Errorf("%s: %w", record.KeyScope, err)
	}
	seq, err1 := readInt(l, record.KeySeq, journal.MaxInt)
	part, err2 := readInt(l, record.KeyPart, record.MaxParts-1)
	parts, err3 := readInt(l, record.KeyParts, record.MaxParts)
	size, err4 := readInt(l, record.KeySize, math.MaxInt64)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return err
	}
	o.seq, o.part, o.parts, o.size = seq, uint32(part), uint32(parts), uint64(size)
	switch {
	case part >= parts:
		return fmt.Errorf("part %d of %d", part, parts)
	case len(o.body) > record.MaxPart:
		return fmt.Errorf("a part of %d bytes, at most %d are allowed", len(o.body), record.MaxPart)
	case parts == 1 && int64(len(o.body)) != size, int64(len(o.body)) > size:
		return fmt.Errorf("%d bytes of %d in part %d of %d", len(o.body), size, part, parts)
	case o.space == record.SpaceObject && parts == 1 && o.hash != o.name:
		return errors.New("an object whose name is not the hash of its bytes")
	}
	return nil
}

// readScope reads whose content it is: a family's, or, of objects only, a base tree's.
func (o *ours) readScope(text string) error {
	switch o.space {
	case record.SpaceObject:
		if len(text) == 2*len(o.root) {
			o.inBase = true
			return readHex(o.root[:], text)
		}
	case record.SpaceContent, record.SpaceChunk:
	default:
		return fmt.Errorf("no such space: %.40q", o.space)
	}
	family, err := journal.ParseRunID(text)
	o.family = family
	return err
}

func readHex(to []byte, text string) error {
	if len(text) != 2*len(to) {
		return fmt.Errorf("%.80q is not %d hex digits", text, 2*len(to))
	}
	for i := range len(text) {
		if c := text[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return fmt.Errorf("%.80q is not lower-case hex", text)
		}
	}
	_, err := hex.Decode(to, []byte(text))
	return err
}

func readID(l *otlp.Log, key string) ([16]byte, error) {
	id, err := journal.ParseRunID(findText(l.Attributes, key))
	if err != nil {
		return id, fmt.Errorf("%s: %w", key, err)
	}
	return id, nil
}

func readInt(l *otlp.Log, key string, most int64) (int64, error) {
	v, ok := find(l.Attributes, key)
	if !ok || v.Type != otlp.Int || v.Int() < 0 || v.Int() > most {
		return 0, fmt.Errorf("%s must be an int from 0 to %d", key, most)
	}
	return v.Int(), nil
}

// writeOurs makes the row of a record of a journal.
func (w *Writer) writeOurs(l *otlp.Log) error {
	o, err := readOurs(l, false)
	if err != nil {
		return err
	}
	switch o.event {
	case record.Entry:
		w.rows.Entry(&tables.Entry{Project: w.project, Run: o.run, Seq: o.seq, Epoch: o.entry.Epoch, Hash: journal.HashEntry(o.body),
			Prev: o.entry.Prev, Family: o.family, Time: o.entry.Time.UnixNano(), Agent: o.entry.Agent, Kind: string(o.entry.Kind), Line: o.body})
	case record.Content:
		if o.inBase {
			w.rows.Base(&tables.Base{Project: w.project, Root: o.root, Name: o.name, Part: o.part, Parts: o.parts, Size: o.size, Hash: o.hash, Bytes: o.body})
			return nil
		}
		w.rows.Content(&tables.Content{Project: w.project, Family: o.family, Run: o.run, Seq: o.seq, Space: o.space, Name: o.name,
			Part: o.part, Parts: o.parts, Size: o.size, Hash: o.hash, Bytes: o.body})
	case record.Head:
		w.rows.Head(&tables.Head{Project: w.project, Run: o.run, Size: o.seq, Hash: o.hash, Head: o.body})
	case record.Checkpoint:
		w.rows.Checkpoint(&tables.Checkpoint{Project: w.project, Run: o.run, Seq: o.seq, Hash: o.hash, Record: o.body})
	case record.Family:
		w.rows.Family(&tables.Family{Project: w.project, Family: o.family, Version: tables.FamilySalt, Salt: o.body})
	}
	return nil
}

// isHint says whether a log record shows a span that is still open.
func isHint(event string) bool { return event == attr.EventSpanStart || event == attr.EventSpanAlive }

// kinds are the spellings of attr.SpanKind.
var kinds = map[string]uint8{"internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}

// writeHint makes the row of an open span.
func (w *Writer) writeHint(r *otlp.Resource, l *otlp.Log) {
	text := func(key string) string { return cutText(findText(l.Attributes, key)) }
	row := tables.OpenSpan{Project: w.project, SpanID: spanID(l.Span), Start: int64(l.Time), Alive: int64(l.Time),
		Name: text(attr.SpanName), Kind: kinds[text(attr.SpanKind)], Service: cutText(findText(r.Attributes, attr.ServiceName)),
		Operation: text(attr.GenAIOperationName), AgentPath: text(attr.AgentPath), Tool: text(attr.GenAIToolName)}
	copy(row.TraceID[:], l.Trace)
	if row.Name == "" && l.Body.Type == otlp.String {
		row.Name = cutText(l.Body.Text)
	}
	if start, ok := find(l.Attributes, attr.SpanStart); ok && start.Type == otlp.Int {
		row.Start = start.Int()
	}
	if parent, err := strconv.ParseUint(text(attr.SpanParent), 16, 64); err == nil {
		row.ParentSpanID = parent
	}
	w.rows.OpenSpan(&row)
}
