package tools

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"regexp/syntax"
	"strings"
)

// searchFiles is the tool search_files.
type searchFiles struct {
	Pattern    string `json:"pattern"`
	Path       string `json:"path"`
	Glob       string `json:"glob"`
	Literal    bool   `json:"literal"`
	IgnoreCase bool   `json:"ignore_case"`
	Context    int    `json:"context"`
	Limit      int    `json:"limit"`
	Offset     int    `json:"offset"`

	glob    *glob
	matcher lineMatcher
}

const defaultMatches = 200

func searchTool() *tool {
	return &tool{
		name: "search_files",
		about: "Searches the lines of text files for a regular expression (RE2 syntax) and shows them as path:line:text, " +
			"context lines as path-line-text. Binary files are passed over.",
		params: []param{
			{name: "pattern", kind: text, required: true, min: 1, max: 10_000, about: "Regular expression that a line must match somewhere."},
			{name: "path", kind: text, about: "File or directory to search. Default: the workspace."},
			{name: "glob", kind: text, max: 1000, about: "Only files that match. " + globAbout},
			{name: "literal", kind: boolean, about: "Take pattern as plain text."},
			{name: "ignore_case", kind: boolean, about: "Upper and lower case are the same."},
			{name: "context", kind: integer, min: 0, max: 20, about: "Lines to show before and after each match. Default 0."},
			{name: "limit", kind: integer, min: 1, max: 10_000, about: "How many matching lines. Default 200."},
			{name: "offset", kind: integer, min: 0, max: maxInt, about: "Matching lines to pass over, to see the next part."},
		},
		action: func() action { return &searchFiles{} },
	}
}

func (a *searchFiles) plan(s *Set, p *Plan) (err error) {
	if a.Path == "" {
		a.Path = "."
	}
	orElse(&a.Limit, defaultMatches)
	if a.glob, err = compileGlob(a.Glob); err != nil {
		return err
	}
	if a.matcher, err = compileLines(a.Pattern, a.Literal, a.IgnoreCase); err != nil {
		return err
	}
	return s.planRead(p, &a.Path)
}

func (a *searchFiles) run(ctx context.Context, s *Set, _ Plan, _ Input) (Outcome, error) {
	return s.bounded(ctx, func(ctx context.Context) (Outcome, error) {
		sr := &search{ask: a, ctx: ctx, limits: s.env.Limits}
		w := walker{ctx: ctx, left: s.env.Limits.Entries, git: insideGit(a.Path), each: sr.visit}
		info, err := s.env.Root.Lstat(a.Path)
		if err != nil {
			return Outcome{}, told(a.Path, err)
		}
		if info.IsDir() {
			err = s.searchDir(&w, a.Path)
		} else {
			err = s.searchFile(sr, a.Path)
		}
		if err != nil {
			return Outcome{}, err
		}
		return Outcome{Text: sr.finish(&w), Observed: EffectRead}, nil
	})
}

func (s *Set) searchDir(w *walker, rel string) error {
	dir, err := s.openDir(rel)
	if err != nil {
		return err
	}
	defer dir.Close()
	return w.walk(dir, rel)
}

func (s *Set) searchFile(sr *search, rel string) error {
	dir, base, err := s.parent(rel)
	if err != nil {
		return err
	}
	defer dir.Close()
	info, err := dir.Lstat(base)
	if err != nil {
		return told(rel, err)
	}
	if err := regular(info); err != nil {
		return told(rel, err)
	}
	err = sr.visit(found{dir: dir, name: base, rel: rel, sub: path.Base(rel)})
	if err == errEnough {
		return nil
	}
	return err
}

// search gathers the lines of search_files.
type search struct {
	ask    *searchFiles
	ctx    context.Context
	limits Limits

	text    strings.Builder
	content []byte // of the file at hand; its memory is used again for the next one
	seen    int    // matching lines
	shown   int
	more    bool
	files   int // searched
	binary  int
	large   int
	unread  int
	cut     int
}

func (sr *search) visit(f found) error {
	if f.kind != 0 || !sr.ask.glob.match(f.sub, f.name) {
		return nil
	}
	file, info, err := openRegular(f.dir, f.name)
	if err != nil {
		sr.unread++
		return nil
	}
	defer file.Close()
	if info.Size() > sr.limits.File {
		sr.large++
		return nil
	}
	if err := sr.load(file, info.Size()); err != nil {
		sr.unread++
		return nil
	}
	if isBinary(sr.content) {
		sr.binary++
		return nil
	}
	sr.files++
	return sr.matches(f.rel)
}

// load reads a file of about this size into content, with lines that end in a newline alone.
func (sr *search) load(f *os.File, size int64) error {
	if need := int(size) + 1; cap(sr.content) < need {
		sr.content = make([]byte, 0, max(need, 64<<10))
	}
	buf := sr.content[:cap(sr.content)]
	n := 0
	for n < len(buf) {
		m, err := f.Read(buf[n:])
		n += m
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if sr.content = buf[:n]; bytes.Contains(sr.content, []byte("\r\n")) {
		sr.content = bytes.ReplaceAll(sr.content, []byte("\r\n"), []byte("\n"))
	}
	return nil
}

// hit is a matching line: its bytes content[start:end], without the newline.
type hit struct {
	number     int64
	start, end int
}

func (sr *search) matches(rel string) error {
	var group hits
	at, number := 0, int64(1)
	for at < len(sr.content) {
		if err := sr.ctx.Err(); err != nil {
			return err
		}
		start, end, ok := sr.ask.matcher.next(sr.content, at)
		if !ok {
			break
		}
		number += int64(bytes.Count(sr.content[at:start], []byte("\n")))
		if sr.seen++; sr.seen > sr.ask.Offset {
			if sr.shown+len(group) == sr.ask.Limit {
				sr.more = true
				break
			}
			group = append(group, hit{number, start, end})
		}
		at, number = end+1, number+1
	}
	sr.write(rel, group)
	if sr.more {
		return errEnough
	}
	return nil
}

type hits []hit

// write shows the hits of one file with their context, as far as there is room.
func (sr *search) write(rel string, group hits) {
	name := spell(rel)
	last := int64(0) // number of the last line written
	pos := 0         // where the line after it begins
	for i, h := range group {
		from, number := back(sr.content, h, sr.ask.Context, last, pos)
		var b strings.Builder
		if sr.ask.Context > 0 && sr.text.Len() > 0 && (last == 0 || number > last+1) {
			b.WriteString("--\n")
		}
		for ; number < h.number; number++ {
			from = sr.line(&b, name, '-', number, from)
		}
		from = sr.line(&b, name, ':', h.number, h.start)
		last = h.number
		stop := last + int64(sr.ask.Context)
		if i+1 < len(group) {
			stop = min(stop, group[i+1].number-1)
		}
		for ; last < stop && from < len(sr.content); last++ {
			from = sr.line(&b, name, '-', last+1, from)
		}
		pos = from
		if sr.shown > 0 && sr.text.Len()+b.Len() > sr.limits.Show {
			sr.more = true
			return
		}
		sr.text.WriteString(b.String())
		sr.shown++
	}
}

// back goes up to n lines back from h, not before pos, where the line after number last begins.
func back(content []byte, h hit, n int, last int64, pos int) (from int, number int64) {
	from, number = h.start, h.number
	for ; n > 0 && from > pos && number > last+1; n-- {
		from = bytes.LastIndexByte(content[:from-1], '\n') + 1
		number--
	}
	return from, number
}

// line writes the line that begins at from and returns where the next one begins.
func (sr *search) line(b *strings.Builder, name string, mark byte, number int64, from int) int {
	end, next := len(sr.content), len(sr.content)
	if n := bytes.IndexByte(sr.content[from:], '\n'); n >= 0 {
		end, next = from+n, from+n+1
	}
	body := sr.content[from:end]
	fmt.Fprintf(b, "%s%c%d%c", name, mark, number, mark)
	if _, cut := clip(b, body, int64(len(body)), sr.limits.Line); cut {
		sr.cut++
	}
	b.WriteByte('\n')
	return next
}

func (sr *search) finish(w *walker) string {
	var remarks []string
	switch {
	case sr.more:
		remarks = append(remarks, fmt.Sprintf("there are more matches; search_files with offset=%d shows the next ones", sr.ask.Offset+sr.shown))
	case sr.shown == 0 && sr.seen > 0:
		remarks = append(remarks, "there are only "+plural(sr.seen, "match", "matches"))
	case sr.shown == 0:
		remarks = append(remarks, "no match in "+plural(sr.files, "file", "files"))
	}
	if sr.cut > 0 {
		remarks = append(remarks, plural(sr.cut, "line is", "lines are")+" too long to be shown whole")
	}
	if n := sr.binary; n > 0 {
		remarks = append(remarks, plural(n, "binary file", "binary files")+" not searched")
	}
	if n := sr.large; n > 0 {
		remarks = append(remarks, fmt.Sprintf("%s larger than %s not searched", plural(n, "file", "files"), sizeOf(sr.limits.File)))
	}
	if n := sr.unread; n > 0 {
		remarks = append(remarks, plural(n, "file", "files")+" could not be read")
	}
	return withRemarks(sr.text.String(), append(remarks, w.remarks()...)...)
}

// lineMatcher finds lines that match an expression, as grep does: the expression sees one line at a time. Matching the
// whole text and then the line found is many times faster than line by line and finds the same: a match within a line is
// one within the text too, since ^ and $ are about lines, so the leftmost match of the text from a line's beginning on
// lies in that line or in one before the first that matches.
type lineMatcher struct {
	re *regexp.Regexp
	// anchored: the expression has \A or \z, which mean something else in a text than in a line.
	anchored bool
}

func compileLines(pattern string, literal, ignoreCase bool) (lineMatcher, error) {
	if strings.ContainsAny(pattern, "\n\x00") {
		return lineMatcher{}, refuse(`argument "pattern" holds a newline or NUL; lines are searched one at a time`)
	}
	if literal {
		pattern = regexp.QuoteMeta(pattern)
	}
	flags := "m"
	if ignoreCase {
		flags = "mi"
	}
	expr := "(?" + flags + ":" + pattern + ")"
	parsed, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return lineMatcher{}, refuse(`argument "pattern" is no regular expression (RE2): %v; with literal it is taken as plain text`, err)
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		return lineMatcher{}, refuse(`argument "pattern" is no regular expression (RE2): %v`, err)
	}
	return lineMatcher{re, anchored(parsed)}, nil
}

func anchored(re *syntax.Regexp) bool {
	if re.Op == syntax.OpBeginText || re.Op == syntax.OpEndText {
		return true
	}
	for _, sub := range re.Sub {
		if anchored(sub) {
			return true
		}
	}
	return false
}

// next finds the first line at or after at, where a line begins, that matches.
func (m lineMatcher) next(content []byte, at int) (start, end int, ok bool) {
	for at < len(content) {
		start = at
		if !m.anchored {
			loc := m.re.FindIndex(content[at:])
			if loc == nil {
				return 0, 0, false
			}
			start = at + bytes.LastIndexByte(content[at:at+loc[0]], '\n') + 1
		}
		end = len(content)
		if n := bytes.IndexByte(content[start:], '\n'); n >= 0 {
			end = start + n
		}
		if start < len(content) && m.re.Match(content[start:end]) {
			return start, end, true
		}
		at = end + 1
	}
	return 0, 0, false
}
