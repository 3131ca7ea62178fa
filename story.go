package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"tachograph/runner"
	"tachograph/schemas/chat"
	"tachograph/schemas/journal"
	"tachograph/schemas/verdict"
)

// story tells a run to a person, entry by entry: what the agent said, why it did what it did, what
// came of it. It shows what the journal holds and nothing else. Text that a model, a tool or a file
// wrote is made harmless first: no control character reaches the terminal.
type story struct {
	out    io.Writer
	paint  paint
	width  int
	read   func(ctx context.Context, ref journal.Ref) ([]byte, error)
	full   bool // whole outputs, not their beginnings
	step   int64
	intent string
	calls  map[int64]*journal.CallProposed
}

// resultLines is how many lines of a call's result are shown unless all are asked for.
const resultLines = 6

func newStory(out io.Writer, colour bool, width int, read func(context.Context, journal.Ref) ([]byte, error)) *story {
	if width <= 0 {
		width = 120
	}
	return &story{out: out, paint: paint(colour), width: width, read: read, calls: map[int64]*journal.CallProposed{}}
}

// tell writes what an entry says. Entries that say nothing to a person write nothing.
func (s *story) tell(ctx context.Context, e journal.Entry, body journal.Body) {
	switch b := body.(type) {
	case *journal.RunStarted:
		s.event(e, s.paint.strong("run "+e.Run.String()), b.Model+" · sandbox "+b.Sandbox)
		if b.Parent != nil {
			s.forked(ctx, e, b)
		}
		s.block("goal", s.text(ctx, b.Goal), 12)
	case *journal.RunEnded:
		s.event(e, s.outcome(b.Outcome), s.text(ctx, b.Reason))
	case *journal.ModelAsked:
		s.asked(e, b)
	case *journal.ModelAnswered:
		s.answered(ctx, e, b)
	case *journal.Intent:
		s.intent = s.text(ctx, b.Text)
	case *journal.CallProposed:
		s.calls[e.Seq] = b
	case *journal.CallDecided:
		s.decided(ctx, e, b)
	case *journal.CallHeld:
		s.event(e, s.paint.warn(fmt.Sprintf("call %d held", b.Call)), "why: "+b.Why)
	case *journal.CallApproved:
		s.event(e, s.paint.good(fmt.Sprintf("call %d approved", b.Call)), "by "+s.text(ctx, b.By))
	case *journal.CallRefused:
		s.event(e, s.paint.bad(fmt.Sprintf("call %d refused", b.Call)), "by "+s.text(ctx, b.By)+" "+s.text(ctx, b.Reason))
	case *journal.CallExpired:
		s.event(e, s.paint.bad(fmt.Sprintf("call %d expired", b.Call)), "nobody answered in time")
	case *journal.CallStarted:
		s.started(ctx, e, b)
	case *journal.CallEnded:
		s.ended(ctx, e, b)
	default:
		s.other(ctx, e, body)
	}
}

// forked tells where a fork begins and what was changed for it.
func (s *story) forked(ctx context.Context, e journal.Entry, b *journal.RunStarted) {
	from := fmt.Sprintf("from run %s at %d, state %s", b.Parent.Run, b.Parent.Seq, b.Parent.State.Short())
	if by := s.text(ctx, b.By); by != "" {
		from += " by " + by
	}
	s.event(e, "forked", from)
	for _, given := range b.Results {
		s.event(e, s.paint.warn(fmt.Sprintf("result of call %d given by the fork", given.Call)), "the files stay as they were")
		s.quoteMessage(ctx, given.Message)
	}
	if !b.Message.IsZero() {
		s.event(e, s.paint.warn("message given by the fork"), "")
		s.quoteMessage(ctx, b.Message)
	}
}

// quoteMessage shows the content of a message.
func (s *story) quoteMessage(ctx context.Context, ref journal.Ref) {
	raw, err := s.read(ctx, ref)
	if err != nil {
		return
	}
	if m, err := chat.Parse(raw); err == nil && m.Content != nil {
		s.quote(*m.Content)
	}
}

// other tells what happens to the run itself.
func (s *story) other(ctx context.Context, e journal.Entry, body journal.Body) {
	switch b := body.(type) {
	case *journal.ContextCompacted:
		s.event(e, "conversation shortened", fmt.Sprintf("to %d messages", b.Length))
	case *journal.Snapshot:
		s.event(e, "snapshot", fmt.Sprintf("%s · files %s · state %s", b.Why, b.Root.Short(), b.State.Short()))
	case *journal.RolledBack:
		s.event(e, s.paint.warn("rolled back"), fmt.Sprintf("to snapshot %d: %s", b.To, s.text(ctx, b.Reason)))
	case *journal.Paused:
		s.event(e, s.paint.warn("paused"), b.Why)
	case *journal.Resumed:
		s.event(e, "resumed", s.text(ctx, b.By))
	case *journal.Stopped:
		s.event(e, s.paint.warn("asked to stop"), s.text(ctx, b.By))
	case *journal.Recovered:
		s.recovered(e, b)
	case *journal.AlarmRaised:
		s.event(e, s.paint.bad("alarm "+b.Alarm), s.text(ctx, b.Reason))
	case *journal.AgentSpawned:
		s.event(e, "agent "+b.Path, s.text(ctx, b.Goal))
	case *journal.AgentEnded:
		s.event(e, "agent "+b.Path+" "+b.Outcome, s.text(ctx, b.Result))
	case *journal.TaskChanged:
		s.event(e, fmt.Sprintf("task %d %s", b.Task, b.Status), s.text(ctx, b.Title))
	case *journal.WorkspaceTouched:
		s.event(e, "files changed", fmt.Sprintf("%d by %s", b.Files, b.By))
	case *journal.WorkspaceMerged:
		s.event(e, "files merged", fmt.Sprintf("%d from run %s", b.Files, b.From))
	case *journal.PolicyChanged:
		s.event(e, "policy changed", "by "+s.text(ctx, b.By))
	case *journal.LimitChanged:
		s.event(e, "limits changed", fmt.Sprintf("%+v", b.Limits))
	case *journal.Note:
		if b.Name == runner.NoteSandbox {
			s.event(e, s.paint.warn("tools are confined otherwise"), "sandbox "+string(b.Raw))
		}
	}
}

// recovered says what a process found unfinished when it took the run up.
func (s *story) recovered(e journal.Entry, b *journal.Recovered) {
	var found []string
	for _, f := range []struct {
		n    int
		noun string
		what string
	}{{len(b.Rerun), "call", "to run again"}, {len(b.Doubt), "call", "that may have happened"}, {len(b.Lost), "question", "to ask again"}} {
		if f.n > 0 {
			found = append(found, count(int64(f.n), f.noun)+" "+f.what)
		}
	}
	what := "taken up by a new process"
	if len(found) > 0 {
		what = s.paint.warn(what)
	}
	s.event(e, what, strings.Join(found, ", "))
	for _, call := range b.Doubt {
		s.answerHint(e, call)
	}
}

// answerHint says how a held call is answered.
func (s *story) answerHint(e journal.Entry, call int64) {
	s.hint(fmt.Sprintf("tacho approve %s %d   or   tacho deny %s %d", e.Run, call, e.Run, call))
}

func (s *story) asked(e journal.Entry, b *journal.ModelAsked) {
	if b.Step != s.step {
		s.step = b.Step
		title := fmt.Sprintf(" step %d ", b.Step)
		if e.Agent != "/" {
			title = fmt.Sprintf(" %s step %d ", e.Agent, b.Step)
		}
		rule := strings.Repeat("─", max(4, min(s.width, 100)-len(title)-14))
		fmt.Fprintf(s.out, "%s %s\n", s.stamp(e), s.paint.faint("──"+title+rule))
	}
	if b.Attempt > 1 {
		s.event(e, "asked again", fmt.Sprintf("attempt %d", b.Attempt))
	}
}

func (s *story) answered(ctx context.Context, e journal.Entry, b *journal.ModelAnswered) {
	switch b.Status {
	case "failed":
		s.event(e, s.paint.bad("the model gave no answer"), s.text(ctx, b.Error))
		return
	case "lost":
		return
	case "given":
		s.event(e, s.paint.warn("turn given by the fork"), "")
	}
	raw, err := s.read(ctx, b.Message)
	if err != nil {
		s.event(e, "answer", fmt.Sprintf("(%v)", err))
		return
	}
	m, err := chat.Parse(raw)
	if err != nil {
		return
	}
	if m.ReasoningContent != nil && *m.ReasoningContent != "" {
		s.block("thinks", *m.ReasoningContent, resultLines)
	}
	if m.Content != nil && *m.Content != "" {
		s.block("says", *m.Content, 40)
	}
}

func (s *story) decided(ctx context.Context, e journal.Entry, b *journal.CallDecided) {
	if b.Decision == "allow" {
		return
	}
	word := s.paint.warn("held")
	if b.Decision == "deny" {
		word = s.paint.bad("denied")
	}
	s.event(e, fmt.Sprintf("call %d %s", b.Call, word), s.callLine(ctx, b.Call)+" "+reasons(s.text(ctx, b.Reasons)))
	if b.Decision == "hold" {
		s.answerHint(e, b.Call)
	}
}

func (s *story) started(ctx context.Context, e journal.Entry, b *journal.CallStarted) {
	if s.intent != "" {
		s.block("why", s.intent, 2)
		s.intent = ""
	}
	fmt.Fprintf(s.out, "%s %s\n", s.stamp(e), s.callLine(ctx, b.Call))
}

func (s *story) ended(ctx context.Context, e journal.Entry, b *journal.CallEnded) {
	mark, took := s.paint.good("✓"), duration(b.MicroSec)
	if b.Status != "ok" {
		mark = s.paint.bad("✗ " + b.Status)
	}
	line := fmt.Sprintf("%s %s", mark, took)
	if b.Exit != 0 {
		line += fmt.Sprintf(" · exit %d", b.Exit)
	}
	if b.Files > 0 {
		line += fmt.Sprintf(" · %s changed, %s %s", count(b.Files, "file"), s.paint.good(fmt.Sprintf("+%d", b.Added)), s.paint.bad(fmt.Sprintf("−%d", b.Removed)))
	}
	fmt.Fprintf(s.out, "%s   %s\n", s.indent(), line)
	s.quoteMessage(ctx, b.Message)
	delete(s.calls, b.Call)
}

// callLine is a call in one line: its tool, and the argument that says most.
func (s *story) callLine(ctx context.Context, id int64) string {
	p := s.calls[id]
	if p == nil {
		return fmt.Sprintf("call %d", id)
	}
	var args map[string]any
	json.Unmarshal([]byte(s.text(ctx, p.Args)), &args)
	said := ""
	for _, key := range []string{"command", "pattern", "path", "from", "glob", "call"} {
		if v, ok := args[key].(string); ok {
			said = v
			break
		}
	}
	return s.paint.strong(p.Tool) + "  " + s.cut(oneLine(said), s.width-len(p.Tool)-16)
}

func (s *story) quote(text string) {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	most := resultLines
	if s.full {
		most = len(lines)
	}
	for i, line := range lines {
		if i == most && len(lines) > most+1 {
			fmt.Fprintf(s.out, "%s   %s\n", s.indent(), s.paint.faint(fmt.Sprintf("│ … %s more", count(int64(len(lines)-most), "line"))))
			return
		}
		fmt.Fprintf(s.out, "%s   %s\n", s.indent(), s.paint.faint("│ "+s.cut(harmless(line), s.width-16)))
	}
}

// block writes a labelled text, wrapped to the width.
func (s *story) block(label, text string, most int) {
	lines := wrap(harmless(strings.TrimSpace(text)), max(30, min(s.width, 110)-18))
	for i, line := range lines {
		if i == most && !s.full && len(lines) > most+1 {
			fmt.Fprintf(s.out, "%s          %s\n", s.indent(), s.paint.faint(fmt.Sprintf("… %s more", count(int64(len(lines)-most), "line"))))
			return
		}
		if i > 0 {
			label = ""
		}
		fmt.Fprintf(s.out, "%s %s %s\n", s.indent(), s.paint.faint(fmt.Sprintf("%-8s", label)), line)
	}
}

func (s *story) event(e journal.Entry, what, detail string) {
	line := what
	if detail = strings.TrimSpace(oneLine(detail)); detail != "" {
		line += s.paint.faint(" · ") + s.cut(detail, 4*s.width)
	}
	fmt.Fprintf(s.out, "%s %s\n", s.stamp(e), line)
}

func (s *story) hint(text string) {
	fmt.Fprintf(s.out, "%s %s\n", s.indent(), s.paint.faint("→ "+text))
}

// stamp is the entry's seq and time; indent is as wide.
func (s *story) stamp(e journal.Entry) string {
	return s.paint.faint(fmt.Sprintf("%5d %s", e.Seq, e.Time.Local().Format("15:04:05")))
}
func (s *story) indent() string { return strings.Repeat(" ", 14) }

func (s *story) outcome(outcome string) string {
	if outcome == "done" {
		return s.paint.good("done")
	}
	return s.paint.bad(outcome)
}

// text reads content that is text; what cannot be read is said in its place.
func (s *story) text(ctx context.Context, ref journal.Ref) string {
	if ref.IsZero() {
		return ""
	}
	b, err := s.read(ctx, ref)
	if err != nil {
		return "(" + err.Error() + ")"
	}
	return string(b)
}

func (s *story) cut(text string, most int) string {
	most = max(most, 20)
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most-1]) + "…"
}

// reasons are what policies say of a decision, in brackets; nothing where they say nothing.
func reasons(content string) string {
	v, err := verdict.Decode([]byte(content))
	if err != nil || len(v.Said()) == 0 {
		return ""
	}
	return "(" + strings.Join(v.Said(), "; ") + ")"
}

// duration is a wall time in microseconds, for people.
func duration(us int64) string {
	switch d := time.Duration(us) * time.Microsecond; {
	case d < time.Millisecond:
		return "<1 ms"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	default:
		return d.Round(time.Second).String()
	}
}

func oneLine(text string) string { return strings.Join(strings.Fields(harmless(text)), " ") }

// harmless replaces what could move the cursor, change colours, or reorder what is read.
func harmless(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case r == '\t':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r), r == utf8.RuneError:
			return '·'
		}
		return r
	}, text)
}

func wrap(text string, width int) []string {
	var lines []string
	for _, paragraph := range strings.Split(text, "\n") {
		line := ""
		for _, word := range strings.Fields(paragraph) {
			if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
				lines = append(lines, line)
				line = ""
			}
			if line != "" {
				line += " "
			}
			line += word
		}
		lines = append(lines, line)
	}
	return lines
}

func count(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if stem, ok := strings.CutSuffix(noun, "y"); ok {
		return fmt.Sprintf("%d %sies", n, stem)
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// paint colours text by its role, if it is on.
type paint bool

func (p paint) with(code, text string) string {
	if !p || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}
func (p paint) strong(text string) string { return p.with("1", text) }
func (p paint) faint(text string) string  { return p.with("2", text) }
func (p paint) good(text string) string   { return p.with("32", text) }
func (p paint) warn(text string) string   { return p.with("33", text) }
func (p paint) bad(text string) string    { return p.with("31", text) }
