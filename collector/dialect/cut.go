package dialect

import (
	"crypto/sha256"
	"unicode/utf8"

	"tachograph/schemas/record"
	"tachograph/schemas/tables"
)

// contentKey names a content of a family.
type contentKey struct {
	family [16]byte
	name   [32]byte
}

// scope is whose content it is that a record's long values become.
type scope struct {
	project      string
	conversation string
	trace        [16]byte
}

// families remembers the last family, which a hash has to be computed for.
type families struct {
	of     scope
	known  bool
	family [16]byte
}

func (f *families) get(s scope) [16]byte {
	if !f.known || f.of != s {
		f.of, f.known = s, true
		f.family = tables.ConversationFamily(s.project, s.conversation, s.trace)
		f.of.conversation = string([]byte(s.conversation)) // s points into a request
	}
	return f.family
}

// cutText is the beginning of a long text that a column shows.
func cutText(s string) string {
	if len(s) <= tables.MaxValue {
		return s
	}
	end := tables.MaxValue
	for i := 0; i < utf8.UTFMax && end > 0 && !utf8.RuneStart(s[end]); i++ {
		end--
	}
	return s[:end]
}

// shorten cuts a long text, says so, and keeps the whole as content.
func (w *Writer) shorten(cuts *[]tables.Cut, of scope, place, key, text string) string {
	if len(text) <= tables.MaxValue {
		return text
	}
	*cuts = append(*cuts, tables.Cut{Place: place, Key: key, Size: uint64(len(text)), Body: w.keep(of, text)})
	return cutText(text)
}

// keep stores a whole value, once in a segment, and returns its name.
func (w *Writer) keep(of scope, text string) [32]byte {
	body := bytesOf(text)
	key := contentKey{family: w.families.get(of), name: sha256.Sum256(body)}
	if w.whole[key] {
		return key.name
	}
	w.whole[key] = true
	parts := (len(body) + record.MaxPart - 1) / record.MaxPart
	row := tables.Content{Project: of.project, Family: key.family, Run: of.trace, Space: tables.SpaceAttribute, Name: key.name,
		Parts: uint32(parts), Size: uint64(len(body))}
	for part := range parts {
		row.Part, row.Bytes = uint32(part), body[part*record.MaxPart:min((part+1)*record.MaxPart, len(body))]
		row.Hash = key.name
		if parts > 1 {
			row.Hash = sha256.Sum256(row.Bytes)
		}
		w.rows.Content(&row)
	}
	return key.name
}
