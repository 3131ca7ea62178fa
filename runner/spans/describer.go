package spans

import (
	"context"
	"fmt"
	"strings"

	"go.opentelemetry.io/otel/attribute"

	"tachograph/runner/spans/genai"
	"tachograph/schemas/attr"
	"tachograph/schemas/journal"
)

// Limits of what one span shows, in bytes but for maxItems; see the package comment.
const (
	maxText  = 192 << 10 // one value of content
	maxShort = 4 << 10   // a sentence or a name
	maxEvent = 512       // a text of an event
	maxList  = 64 << 10  // the items of a list together
	maxItems = 256       // items of a list
)

// reader is how content is read.
type reader interface {
	Content(ctx context.Context, ref journal.Ref) ([]byte, error)
}

// describer turns one closed span into attributes. It reads the content that the span names.
type describer struct {
	ctx     context.Context
	from    reader
	frames  *frames
	capture bool // content may be shown
	limit   int  // of one value of content, at most maxText
	span    *span

	attrs  []attribute.KeyValue
	cuts   []string
	gaps   []string // keys of content that could not be read
	failed error    // the span cannot be described now, because ctx has ended
}

// attributes describes the span.
func (d *describer) attributes(run journal.RunID) ([]attribute.KeyValue, error) {
	s := d.span
	s.detail.describe(d)
	d.text(attr.GenAIConversationID, run.String())
	d.text(attr.RunID, run.String())
	d.text(attr.AgentPath, s.agent)
	d.number(attr.Step, s.step)
	d.number(attr.EntrySeq, s.seq)
	d.number(attr.EntryLast, s.last)
	if s.failure != "" {
		d.text(attr.ErrorType, s.failure)
	}
	if s.dropped > 0 {
		d.number(attr.EventsDropped, s.dropped)
	}
	return d.attrs, d.failed
}

// finish adds what the span does not show. It comes last, as events may be cut too.
func (d *describer) finish() []attribute.KeyValue {
	var out []attribute.KeyValue
	if len(d.cuts) > 0 {
		out = append(out, attribute.StringSlice(attr.Cut, d.cuts))
	}
	if len(d.gaps) > 0 {
		out = append(out, attribute.StringSlice(attr.Unread, d.gaps))
	}
	return out
}

// content reads what an attribute is to show. ok is false if there is none, it may not be shown, or
// it cannot be read; the last is noted.
func (d *describer) content(key string, ref journal.Ref) (b []byte, ok bool) {
	if ref.IsZero() || !d.capture {
		return nil, false
	}
	return d.read(key, ref)
}

// read is content whether or not it may be shown.
func (d *describer) read(key string, ref journal.Ref) (b []byte, ok bool) {
	if d.failed != nil {
		return nil, false
	}
	b, err := d.from.Content(d.ctx, ref)
	switch {
	case err == nil:
		return b, true
	case d.ctx.Err() != nil:
		d.failed = fmt.Errorf("read content: %w", d.ctx.Err())
	default: // erased, as a rule: the span is sent without it, and says so
		d.unread(key)
	}
	return nil, false
}

func (d *describer) unread(key string) { d.gaps = append(d.gaps, key) }

// frame reads the request that a question was made with. Its options are no content.
func (d *describer) frame(ref journal.Ref, at int64) genai.Frame {
	if f, ok := d.frames.find(ref); ok {
		return f
	}
	b, ok := d.read(attr.GenAIToolDefinitions, ref)
	if !ok {
		return genai.Frame{}
	}
	f, err := genai.ParseFrame(b, at)
	if err != nil {
		d.unread(attr.GenAIToolDefinitions)
		return genai.Frame{}
	}
	d.frames.keep(ref, f)
	return f
}

func (d *describer) text(key, value string) {
	if value != "" {
		d.attrs = append(d.attrs, attribute.String(key, valid(value)))
	}
}

func (d *describer) number(key string, value int64) {
	d.attrs = append(d.attrs, attribute.Int64(key, value))
}

func (d *describer) real(key string, value float64) {
	d.attrs = append(d.attrs, attribute.Float64(key, value))
}

func (d *describer) flag(key string, value bool) {
	d.attrs = append(d.attrs, attribute.Bool(key, value))
}

// long shows a text of any length, short one that should be a sentence.
func (d *describer) long(key, text string)  { d.most(key, text, d.limit) }
func (d *describer) short(key, text string) { d.most(key, text, min(d.limit, maxShort)) }

func (d *describer) most(key, text string, limit int) {
	d.cutText(key, genai.Cut(text, limit), len(text))
	if len(text) > limit {
		d.cuts[len(d.cuts)-1] = fmt.Sprintf("%s: %d of %d", key, limit, len(text))
	}
}

// cutText shows a text that was whole bytes long before it was cut.
func (d *describer) cutText(key, text string, whole int) {
	if whole > len(text) {
		d.cuts = append(d.cuts, fmt.Sprintf("%s: %d of %d", key, len(text), whole))
	}
	d.attrs = append(d.attrs, attribute.String(key, valid(text)))
}

func (d *describer) messages(key string, list []genai.Message) {
	if len(list) > 0 {
		text, whole := genai.Messages(list, d.limit)
		d.cutText(key, text, whole)
	}
}

// list shows as many items as fit, each whole or not at all.
func (d *describer) list(key string, items []string) {
	if len(items) == 0 {
		return
	}
	var shown []string
	size := 0
	for _, item := range items {
		if size += len(item); len(shown) == maxItems || size > min(d.limit, maxList) {
			d.cuts = append(d.cuts, fmt.Sprintf("%s: %d of %d items", key, len(shown), len(items)))
			break
		}
		shown = append(shown, valid(item))
	}
	d.attrs = append(d.attrs, attribute.StringSlice(key, shown))
}

func (d *describer) model(full string) {
	provider, model := splitModel(full)
	d.text(attr.GenAIProviderName, provider)
	d.text(attr.GenAIRequestModel, model)
}

// tokens shows counts; none at all means that nobody counted, which is not zero.
func (d *describer) tokens(t journal.Tokens, estimated int64) {
	if t == (journal.Tokens{}) {
		return
	}
	d.number(attr.GenAIUsageInput, t.Input)
	d.number(attr.GenAIUsageOutput, t.Output)
	if t.Cached > 0 {
		d.number(attr.GenAIUsageCacheRead, t.Cached)
	}
	if t.Reasoning > 0 {
		d.number(attr.GenAIUsageReasoning, t.Reasoning)
	}
	if estimated > 0 {
		d.number(attr.UsageEstimated, estimated)
	}
}

// event describes an event of the span.
func (d *describer) event(e event) []attribute.KeyValue {
	out := []attribute.KeyValue{attribute.Int64(attr.EntrySeq, e.seq)}
	for _, v := range e.values {
		if !v.ref.IsZero() {
			if b, ok := d.content(v.key, v.ref); ok {
				out = append(out, attribute.String(v.key, valid(d.eventText(e, v.key, string(b)))))
			}
			continue
		}
		switch val := v.val.(type) {
		case string:
			out = append(out, attribute.String(v.key, valid(val)))
		case int64:
			out = append(out, attribute.Int64(v.key, val))
		case bool:
			out = append(out, attribute.Bool(v.key, val))
		}
	}
	return out
}

func (d *describer) eventText(e event, key, text string) string {
	limit := min(d.limit, maxEvent)
	if len(text) > limit {
		d.cuts = append(d.cuts, fmt.Sprintf("%s of event %s: %d of %d", key, e.name, limit, len(text)))
	}
	return genai.Cut(text, limit)
}

// valid makes text of bytes: OTLP refuses a whole request in which one string is not UTF-8.
func valid(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }

// frames remembers the requests seen last: the agents of a run share a few.
type frames struct {
	refs   []journal.Ref
	parsed map[journal.Ref]genai.Frame
}

const maxFrames = 8

func (f *frames) find(ref journal.Ref) (genai.Frame, bool) {
	frame, ok := f.parsed[ref]
	return frame, ok
}

func (f *frames) keep(ref journal.Ref, frame genai.Frame) {
	if f.parsed == nil {
		f.parsed = map[journal.Ref]genai.Frame{}
	}
	if len(f.refs) == maxFrames {
		delete(f.parsed, f.refs[0])
		f.refs = f.refs[1:]
	}
	f.refs = append(f.refs, ref)
	f.parsed[ref] = frame
}
