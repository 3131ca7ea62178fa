package tools

import (
	"bytes"
	"context"
	"fmt"
	"strings"
)

// editFile is the tool edit_file.
type editFile struct {
	Path  string `json:"path"`
	Edits []edit `json:"edits"`
}

type edit struct {
	Old        string `json:"old_text"`
	New        string `json:"new_text"`
	ReplaceAll bool   `json:"replace_all"`
	Expected   int    `json:"expected_count"`
}

func editTool() *tool {
	return &tool{
		name: "edit_file",
		about: "Replaces exact pieces of a text file. All edits are made or none; each sees what those before it made. " +
			"old_text must be copied exactly, white space included, without the line numbers that read_file shows.",
		params: []param{
			{name: "path", kind: text, required: true, min: 1, about: "File to change."},
			{name: "edits", kind: objects, required: true, about: "The replacements, in order.", items: []param{
				{name: "old_text", kind: text, required: true, min: 1, about: "Text to replace. It must be there exactly once, unless replace_all is set: give enough lines around it."},
				{name: "new_text", kind: text, required: true, about: "Text to put there; empty deletes."},
				{name: "replace_all", kind: boolean, about: "Replace every occurrence."},
				{name: "expected_count", kind: integer, min: 1, max: 1_000_000, about: "With replace_all: how many there are; any other number changes nothing."},
			}},
		},
		action: func() action { return &editFile{} },
	}
}

func (a *editFile) plan(s *Set, p *Plan) error {
	for i, e := range a.Edits {
		switch {
		case e.Old == e.New:
			return refuse("edits[%d]: old_text and new_text are the same", i)
		case e.Expected > 1 && !e.ReplaceAll:
			return refuse("edits[%d]: expected_count %d needs replace_all", i, e.Expected)
		}
	}
	rel, err := s.existing(a.Path)
	if err != nil {
		return err
	}
	a.Path = rel
	p.Effect, p.Targets.Write = EffectWrite, []string{spell(rel)}
	return nil
}

func (a *editFile) run(_ context.Context, s *Set, _ Plan, in Input) (Outcome, error) {
	s.write.Lock()
	defer s.write.Unlock()
	dir, base, err := s.parent(a.Path)
	if err != nil {
		return Outcome{}, err
	}
	defer dir.Close()
	old, err := stateOf(dir, base)
	if err != nil {
		return Outcome{}, told(a.Path, err)
	}
	content, err := s.whole(a.Path)
	if err != nil {
		return Outcome{}, err
	}
	t := editing{content: content, crlf: allCRLF(content)}
	for i, e := range a.Edits {
		if err := t.apply(e, s.env.Limits.File); err != nil {
			return Outcome{}, refuse("%s: edits[%d]: %v; nothing was changed", spell(a.Path), i, err)
		}
	}
	if bytes.Equal(content, t.content) {
		return Outcome{Text: spell(a.Path) + ": the edits undo each other; nothing was changed", Observed: EffectRead}, nil
	}
	if err := replace(dir, base, in.ID, t.content, old.mode); err != nil {
		return Outcome{}, told(a.Path, err)
	}
	return Outcome{Text: t.report(spell(a.Path), s.env.Limits), Touched: []string{a.Path}, Observed: EffectWrite}, nil
}

// allCRLF tells whether every line of content ends in CRLF, and there is one.
func allCRLF(content []byte) bool {
	n := bytes.Count(content, []byte("\r\n"))
	return n > 0 && n == bytes.Count(content, []byte("\n"))
}

// editing is a file while its edits are made.
type editing struct {
	content []byte
	crlf    bool // all lines ended in CRLF: edits are taken to mean that too
	count   int  // replacements
	changed []span
}

// span is a piece of the content that is new.
type span struct{ start, end int }

func (t *editing) apply(e edit, limit int64) error {
	old, fresh := []byte(e.Old), []byte(e.New)
	if t.crlf {
		old, fresh = toCRLF(old), toCRLF(fresh)
	}
	n := bytes.Count(t.content, old)
	switch {
	case n == 0:
		return refuse("old_text is not in the file%s", nearest(t.content, old))
	case n > 1 && !e.ReplaceAll:
		return refuse("old_text is there %d times, %s; add lines around it until it is unique, or set replace_all", n, whereabouts(t.content, old))
	case e.Expected > 0 && n != e.Expected:
		return refuse("old_text is there %d times, %s, and not %d times as expected_count says", n, whereabouts(t.content, old), e.Expected)
	case int64(len(t.content))+int64(n)*int64(len(fresh)-len(old)) > limit:
		return refuse("the file would become larger than %s", sizeOf(limit))
	}
	t.replaceAll(old, fresh, n)
	return nil
}

func toCRLF(b []byte) []byte {
	return bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
}

func (t *editing) replaceAll(old, fresh []byte, n int) {
	out := make([]byte, 0, len(t.content)+n*(len(fresh)-len(old)))
	rest, at := t.content, 0
	for {
		i := bytes.Index(rest, old)
		if i < 0 {
			break
		}
		out = append(append(out, rest[:i]...), fresh...)
		start := len(out) - len(fresh)
		t.shift(start, len(old), len(fresh))
		rest = rest[i+len(old):]
		at = len(out)
	}
	t.content = append(out[:at], rest...)
	t.count += n
}

// shift records that, at start, was bytes were replaced by is new ones, and moves the spans recorded before.
func (t *editing) shift(start, was, is int) {
	fresh := span{start, start + is}
	kept := t.changed[:0]
	for _, s := range t.changed {
		switch {
		case s.start >= start+was:
			kept = append(kept, span{s.start + is - was, s.end + is - was})
		case s.end <= start:
			kept = append(kept, s)
		default: // overlaps: one span from now on
			fresh.start = min(fresh.start, s.start)
			fresh.end = max(fresh.end, s.end+is-was)
		}
	}
	t.changed = append(kept, fresh)
}

const (
	reportedSpans = 8
	reportedLines = 24 // of one span
	aroundSpan    = 2  // lines before and after it
)

// report says what was done and shows the new lines with their numbers.
func (t *editing) report(name string, l Limits) string {
	var b strings.Builder
	fmt.Fprintf(&b, "edited %s: %s\n", name, plural(t.count, "replacement", "replacements"))
	written := 0
	for i, s := range t.changed {
		if i == reportedSpans || b.Len() > l.Show/4 {
			break
		}
		if i > 0 {
			b.WriteString("   …\n")
		}
		t.excerpt(&b, s, min(l.Line, 400))
		written++
	}
	var remarks []string
	if more := len(t.changed) - written; more > 0 {
		remarks = append(remarks, plural(more, "more changed place", "more changed places")+" not shown")
	}
	if t.crlf {
		remarks = append(remarks, "the file's lines end in CRLF; new lines do too")
	}
	return withRemarks(strings.TrimSuffix(b.String(), "\n"), remarks...)
}

func (t *editing) excerpt(b *strings.Builder, s span, width int) {
	from := s.start
	for n := 0; n <= aroundSpan && from > 0; n++ {
		from = bytes.LastIndexByte(t.content[:from-min(n, 1)], '\n') + 1
		if n == aroundSpan {
			break
		}
	}
	number := 1 + bytes.Count(t.content[:from], []byte("\n"))
	for shown, after := 0, 0; from < len(t.content); shown++ {
		end, next := len(t.content), len(t.content)
		if n := bytes.IndexByte(t.content[from:], '\n'); n >= 0 {
			end, next = from+n, from+n+1
		}
		if from > s.end || from == s.end && s.end > s.start {
			after++
		}
		if after > aroundSpan || shown == reportedLines {
			break
		}
		fmt.Fprintf(b, "%6d\t", number)
		line := bytes.TrimSuffix(t.content[from:end], []byte("\r"))
		clip(b, line, int64(len(line)), width)
		b.WriteByte('\n')
		from, number = next, number+1
	}
}

// whereabouts names the lines on which the first occurrences of old begin.
func whereabouts(content, old []byte) string {
	const named = 8
	var lines []string
	line, rest := 1, content
	for {
		i := bytes.Index(rest, old)
		if i < 0 {
			break
		}
		if len(lines) == named {
			lines = append(lines, "…")
			break
		}
		line += bytes.Count(rest[:i], []byte("\n"))
		lines = append(lines, fmt.Sprint(line))
		line += bytes.Count(rest[i:i+len(old)], []byte("\n"))
		rest = rest[i+len(old):]
	}
	return "on lines " + strings.Join(lines, ", ")
}
