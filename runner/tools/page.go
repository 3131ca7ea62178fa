package tools

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// pager shows part of a text by lines or by bytes. Both read_file and read_output are made of it.
type pager struct {
	Offset     *int64 `json:"offset"`
	Limit      *int64 `json:"limit"`
	ByteOffset *int64 `json:"byte_offset"`
	Numbers    *bool  `json:"line_numbers"`
}

const (
	defaultLines = 2000
	maxInt       = 1<<53 - 1 // of JSON numbers that every reader holds
	// countBytes is how far a page reads on only to say how many lines there are.
	countBytes = 64 << 20
)

func pagerParams() []param {
	return []param{
		{name: "offset", kind: integer, min: -maxInt, max: maxInt, about: "First line to show, from 1; negative counts from the end (-50: the last 50 lines). Default 1."},
		{name: "limit", kind: integer, min: 1, max: 1_000_000, about: "How many lines. Default 2000."},
		{name: "byte_offset", kind: integer, min: 0, max: maxInt, about: "Show bytes from here instead of lines: for lines that are too long to be shown whole."},
		{name: "line_numbers", kind: boolean, about: "Put its number and a tab before each line; they are not part of the text. Default true."},
	}
}

// source is something that can be paged.
type source interface {
	io.Reader
	io.ReaderAt
	io.Seeker
}

func (p pager) check() error {
	if p.ByteOffset != nil && (p.Offset != nil || p.Limit != nil) {
		return refuse(`arguments "byte_offset" and "offset" or "limit" exclude each other`)
	}
	if p.Offset != nil && *p.Offset == 0 {
		return refuse(`argument "offset" is 0; lines count from 1`)
	}
	return nil
}

// show gives the asked-for part of src, which is size bytes long; tool is named where more can be had.
func (p pager) show(ctx context.Context, src source, size int64, l Limits, tool string) (string, error) {
	if size == 0 {
		return "[it is empty]", nil
	}
	if p.ByteOffset != nil {
		return p.showBytes(src, size, l, tool)
	}
	return p.showLines(ctx, src, size, l, tool)
}

func (p pager) showBytes(src source, size int64, l Limits, tool string) (string, error) {
	from := *p.ByteOffset
	if from >= size {
		return "", refuse(`argument "byte_offset" is %d, but there are %s`, from, sizeOf(size))
	}
	buf := make([]byte, min(int64(l.Show), size-from))
	n, err := src.ReadAt(buf, from)
	if err != nil && err != io.EOF {
		return "", err
	}
	var b strings.Builder
	used := fitVisible(&b, buf[:n], l.Show)
	end := from + int64(used)
	note := fmt.Sprintf("bytes %d to %d of %d", from, end, size)
	if end < size {
		note += fmt.Sprintf("; %s with byte_offset=%d shows the next ones", tool, end)
	}
	return withRemarks(b.String(), note), nil
}

// fitVisible writes as much of b as fits into room bytes of text and returns how many bytes of b that were. It does not
// end within a character.
func fitVisible(w *strings.Builder, b []byte, room int) int {
	used := 0
	for used < len(b) && (used == 0 || utf8.FullRune(b[used:])) {
		_, n := utf8.DecodeRune(b[used:])
		cost := n
		if printable(b[used:used+n]) < n {
			cost = 4 * n
		}
		if w.Len()+cost > room {
			break
		}
		visible(w, b[used:used+n])
		used += n
	}
	return used
}

func (p pager) showLines(ctx context.Context, src source, size int64, l Limits, tool string) (string, error) {
	first, err := p.firstLine(ctx, src)
	if err != nil {
		return "", err
	}
	limit := int64(defaultLines)
	if p.Limit != nil {
		limit = *p.Limit
	}
	pg := page{first: first, limit: limit, numbers: p.Numbers == nil || *p.Numbers, room: l.Show, line: l.Line}
	if err := pg.read(ctx, src); err != nil {
		return "", err
	}
	if pg.shown == 0 {
		return "", refuse(`argument "offset" is %d, but there are %s`, first, plural(pg.total, "line", "lines"))
	}
	return withRemarks(pg.text.String(), pg.remarks(size, tool)...), nil
}

func (p pager) firstLine(ctx context.Context, src source) (int64, error) {
	if p.Offset == nil {
		return 1, nil
	}
	if *p.Offset > 0 {
		return *p.Offset, nil
	}
	total, err := countLines(ctx, src)
	if err != nil {
		return 0, err
	}
	_, err = src.Seek(0, io.SeekStart)
	return max(1, total+*p.Offset+1), err
}

// page reads lines first … first+limit−1 into text.
type page struct {
	first, limit int64
	numbers      bool
	room, line   int

	text    strings.Builder
	shown   int64 // lines in text
	total   int64 // lines read; all there are if ended
	ended   bool
	cut     int64 // lines that were shown in part
	odd     int   // bytes shown as \xHH
	crlf    int64 // lines shown that ended in \r\n
	longest int64 // byte offset of the first line that was cut
}

func (pg *page) read(ctx context.Context, src io.Reader) error {
	r := bufio.NewReaderSize(src, 64<<10)
	var head []byte
	var at int64
	full := false
	for {
		if pg.total%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		wanted := !full && pg.total+1 >= pg.first
		var size int64
		var err error
		head, size, err = readLine(ctx, r, head[:0], pg.line+utf8.UTFMax, wanted)
		if err == io.EOF && size == 0 {
			pg.ended = true
			return nil
		}
		if err != nil && err != io.EOF {
			return err
		}
		pg.total++
		if wanted {
			full = !pg.add(head, size, at, err == nil)
		}
		at += size
		if full && at > countBytes {
			return nil
		}
	}
}

// readLine reads to the next newline and keeps the first keep bytes of it, newline included, if wanted.
func readLine(ctx context.Context, r *bufio.Reader, head []byte, keep int, wanted bool) ([]byte, int64, error) {
	var size int64
	for {
		piece, err := r.ReadSlice('\n')
		size += int64(len(piece))
		if wanted && len(head) < keep {
			head = append(head, piece[:min(len(piece), keep-len(head))]...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return head, size, err
		}
		if ctx.Err() != nil {
			return head, size, ctx.Err()
		}
	}
}

// add shows one line; head is its beginning, size its length with its newline, if it has one. It reports whether more may
// follow.
func (pg *page) add(head []byte, size, at int64, newline bool) bool {
	before := pg.text.Len()
	body, end := head, size
	if newline {
		end--
	}
	if int64(len(head)) == size && newline {
		body = body[:end]
		if bytes.HasSuffix(body, []byte("\r")) {
			body, end = body[:end-1], end-1
			pg.crlf++
		}
	}
	var line strings.Builder
	if pg.numbers {
		fmt.Fprintf(&line, "%6d\t", pg.first+pg.shown)
	}
	odd, cut := clip(&line, body, end, pg.line)
	line.WriteByte('\n')
	if before > 0 && before+line.Len() > pg.room {
		return false
	}
	pg.text.WriteString(line.String())
	pg.odd += odd
	if cut {
		if pg.cut == 0 {
			pg.longest = at
		}
		pg.cut++
	}
	pg.shown++
	return pg.shown < pg.limit
}

func (pg *page) remarks(size int64, tool string) []string {
	last := pg.first + pg.shown - 1
	var out []string
	switch {
	case pg.ended && pg.first == 1 && last == pg.total:
	case pg.ended:
		out = append(out, fmt.Sprintf("lines %d to %d of %d", pg.first, last, pg.total))
	default:
		out = append(out, fmt.Sprintf("lines %d to %d of more than %d, %s in all", pg.first, last, pg.total, sizeOf(size)))
	}
	if !pg.ended || last < pg.total {
		out[0] += fmt.Sprintf("; %s with offset=%d shows the next ones", tool, last+1)
	}
	if pg.cut > 0 {
		out = append(out, fmt.Sprintf("%s too long to be shown whole; %s with byte_offset=%d shows the first of them",
			plural(pg.cut, "line is", "lines are"), tool, pg.longest))
	}
	if pg.odd > 0 {
		out = append(out, sizeOf(int64(pg.odd))+` not printable UTF-8, shown as \xHH`)
	}
	if pg.crlf > 0 {
		out = append(out, "lines end in CRLF: "+grouped(pg.crlf)+" of the lines shown")
	}
	return out
}

// countLines counts as readLine does: a last line without a newline counts.
func countLines(ctx context.Context, r io.Reader) (int64, error) {
	buf := make([]byte, 64<<10)
	var lines int64
	last := byte('\n')
	for {
		n, err := r.Read(buf)
		if n > 0 {
			lines += int64(bytes.Count(buf[:n], []byte("\n")))
			last = buf[n-1]
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return 0, err
		}
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
	}
	if last != '\n' {
		lines++
	}
	return lines, nil
}
