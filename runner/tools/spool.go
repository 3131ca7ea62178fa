package tools

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
)

// spool takes a command's output in: all of it up to Limits.Keep, in memory at first and then in a file without a name,
// and the end of what comes after that. A full disk loses output, not the call.
type spool struct {
	watch func(stream string, chunk []byte)
	dir   string
	keep  int64

	memory []byte
	file   *os.File
	kept   int64  // bytes in memory or file
	tail   []byte // the last bytes beyond keep; twice tailRoom at most
	size   int64  // bytes written in all
	lost   error  // why less than keep bytes were kept
}

const (
	memoryRoom = 1 << 20
	tailRoom   = 64 << 10
)

func newSpool(e Env, watch func(string, []byte)) *spool {
	return &spool{watch: watch, dir: e.Spool, keep: e.Limits.Keep}
}

// Write never fails, so that a command is never told to stop writing.
func (s *spool) Write(p []byte) (int, error) {
	if s.watch != nil {
		s.watch("output", p)
	}
	s.size += int64(len(p))
	n := len(p)
	if room := s.keep - s.kept; s.lost == nil && room > 0 {
		take := p[:min(int64(len(p)), room)]
		if err := s.store(take); err == nil {
			s.kept += int64(len(take))
			p = p[len(take):]
		} else {
			s.lost = err
		}
	}
	s.tail = append(s.tail, p...)
	if len(s.tail) > 2*tailRoom {
		s.tail = append(s.tail[:0], s.tail[len(s.tail)-tailRoom:]...)
	}
	return n, nil
}

func (s *spool) store(p []byte) error {
	if s.file == nil && len(s.memory)+len(p) <= memoryRoom {
		s.memory = append(s.memory, p...)
		return nil
	}
	if s.file == nil {
		if err := s.openFile(); err != nil {
			return err
		}
	}
	// At s.kept, so that what a failed write left is not taken for output.
	_, err := s.file.WriteAt(p, s.kept)
	return err
}

func (s *spool) openFile() error {
	f, err := os.CreateTemp(s.dir, "tacho-output-")
	if err != nil {
		return err
	}
	if err := os.Remove(f.Name()); err != nil {
		return fmt.Errorf("%w (and close: %v)", err, f.Close())
	}
	if _, err := f.WriteAt(s.memory, 0); err != nil {
		f.Close()
		return err
	}
	s.file, s.memory = f, nil
	return nil
}

func (s *spool) close() {
	if s.file != nil {
		s.file.Close() // it has no name and holds nothing that is needed any more
	}
}

// content is all that was kept. Where something is missing, a line in brackets says how much.
func (s *spool) content() ([]byte, error) {
	gap := s.size - s.kept - int64(len(s.tail))
	end := s.tail
	if gap > 0 {
		end = fmt.Appendf(nil, "\n[%s of output not kept]\n%s", sizeOf(gap), s.tail)
	}
	if s.file == nil {
		return append(s.memory, end...), nil
	}
	out := make([]byte, s.kept, s.kept+int64(len(end)))
	if _, err := io.ReadFull(io.NewSectionReader(s.file, 0, s.kept), out); err != nil {
		return nil, fmt.Errorf("read spooled output: %w", err)
	}
	return append(out, end...), nil
}

// summary gives the text for the model, the whole output if the text is not exactly that, and remarks on what is missing.
func (s *spool) summary(e Env, id string) (text string, whole []byte, remarks []string, err error) {
	content, err := s.content()
	if err != nil {
		return "", nil, nil, err
	}
	if s.lost != nil {
		remarks = append(remarks, fmt.Sprintf("output could not be kept whole: %v", s.lost))
	} else if int64(len(s.tail)) > 0 && s.size > s.kept+int64(len(s.tail)) {
		remarks = append(remarks, fmt.Sprintf("only the first %s of %s were kept, and the end", sizeOf(s.kept), sizeOf(s.size)))
	}
	if len(content) <= 4*e.Limits.Show {
		var b strings.Builder
		visible(&b, plain(content))
		if b.Len() <= e.Limits.Show {
			if text = b.String(); text == string(content) {
				content = nil
			}
			return text, content, remarks, nil
		}
	}
	x := extract{content: content, line: e.Limits.Line}
	text = x.headAndTail(e.Limits.Show, hintFor(e, id))
	return text, content, remarks, nil
}

// hintFor says how the rest can be seen, given the number of its first line.
func hintFor(e Env, id string) func(line int64) string {
	return func(line int64) string {
		if e.Output == nil {
			return ""
		}
		return fmt.Sprintf(`; read_output with call=%q and offset=%d shows it`, id, line)
	}
}

// extract shows the beginning and the end of an output that is too long.
type extract struct {
	content []byte
	line    int // bytes of a line shown
}

// headAndTail gives two fifths of the room to the beginning and the rest to the end, where errors stand.
func (x extract) headAndTail(room int, hint func(line int64) string) string {
	var head strings.Builder
	at, lines := 0, int64(0)
	for at < len(x.content) {
		next := len(x.content)
		if n := bytes.IndexByte(x.content[at:], '\n'); n >= 0 {
			next = at + n + 1
		}
		line := x.show(x.content[at:next])
		if head.Len()+len(line) > room*2/5 {
			break
		}
		head.WriteString(line)
		at, lines = next, lines+1
	}
	from, tail := x.tail(at, room*3/5)
	if from > at {
		hidden := x.content[at:from]
		fmt.Fprintf(&head, "[… %s (%s) not shown%s]\n", plural(int64(bytes.Count(hidden, []byte("\n"))), "line", "lines"),
			sizeOf(int64(len(hidden))), hint(lines+1))
	}
	return head.String() + tail
}

// tail shows the last whole lines after at that fit, and where they begin.
func (x extract) tail(at, room int) (from int, text string) {
	var shown []string
	from = len(x.content)
	for from > at {
		start := at + bytes.LastIndexByte(x.content[at:from-1], '\n') + 1
		line := x.show(x.content[start:from])
		if room -= len(line); room < 0 {
			break
		}
		shown = append(shown, line)
		from = start
	}
	var b strings.Builder
	for i := len(shown) - 1; i >= 0; i-- {
		b.WriteString(shown[i])
	}
	return from, b.String()
}

// show makes one line, with its newline, presentable.
func (x extract) show(line []byte) string {
	body, newline := bytes.CutSuffix(line, []byte("\n"))
	total := int64(len(body))
	if len(body) > 8*x.line {
		body = body[:8*x.line] // plain need not see more than can be shown
	}
	flat := plain(body)
	if int64(len(body)) == total {
		total = int64(len(flat))
	}
	var b strings.Builder
	clip(&b, flat, total, x.line)
	if newline {
		b.WriteByte('\n')
	}
	return b.String()
}
