package story

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"unicode/utf8"

	"tachograph/replay"
	"tachograph/schemas/chat"
	"tachograph/schemas/journal"
	"tachograph/web/api"
)

// Source is what is read of a journal; replay.Source is one.
type Source interface {
	Entries(ctx context.Context, run journal.RunID, from int64) iter.Seq2[[]byte, error]
	Content(ctx context.Context, run journal.RunID, ref journal.Ref) ([]byte, error)
}

// MaxText bounds a text in an item, in bytes.
const MaxText = 2 << 10

// Parts of a chat message, as the parameter of /content; "call/3" are the arguments of its call 3.
const (
	PartContent   = "content"
	PartReasoning = "reasoning"
	partCall      = "call/"
)

// PartOfCall names the arguments of a message's call.
func PartOfCall(index int) string { return partCall + strconv.Itoa(index) }

// ErrNoPart means that the message does not have the part. Callers say so.
var ErrNoPart = errors.New("it has no such part")

// Part is a part of a chat message. What is no chat message, or lacks the part, gives ErrNoPart.
func Part(message []byte, part string) (string, error) {
	if part == "" {
		return string(message), nil
	}
	m, err := chat.Parse(message)
	if err != nil {
		return "", fmt.Errorf("part %s: it is no message: %w", part, ErrNoPart)
	}
	switch {
	case part == PartContent && m.Content != nil:
		return *m.Content, nil
	case part == PartReasoning && m.ReasoningContent != nil:
		return *m.ReasoningContent, nil
	}
	if index, ok := strings.CutPrefix(part, partCall); ok {
		if i, err := strconv.Atoi(index); err == nil && i < len(m.ToolCalls) {
			return m.ToolCalls[i].Function.Arguments, nil
		}
	}
	return "", fmt.Errorf("part %s: %w", part, ErrNoPart)
}

// Show is a text or its beginning. Bytes that are not UTF-8 are shown as U+FFFD.
func Show(text string, ref journal.Ref, part string) *api.Text {
	shown := &api.Text{Text: Cut(text, MaxText), Size: int64(len(text)), Cut: len(text) > MaxText}
	if !ref.IsZero() {
		shown.Ref = ptr(ref.String())
	}
	if part != "" {
		shown.Part = ptr(part)
	}
	return shown
}

// Cut is at most limit bytes of a text, whole characters, as UTF-8.
func Cut(text string, limit int) string {
	if len(text) > limit {
		for limit > 0 && !utf8.RuneStart(text[limit]) {
			limit--
		}
		text = text[:limit]
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

// Read shows content, or says why it cannot be shown. It is nil if ref is, and if a message lacks
// the part.
func Read(ctx context.Context, src Source, run journal.RunID, ref journal.Ref, part string) *api.Text {
	if ref.IsZero() {
		return nil
	}
	b, err := src.Content(ctx, run, ref)
	if err != nil {
		return lost(ref, part, err)
	}
	text, err := Part(b, part)
	if err != nil {
		return nil
	}
	return Show(text, ref, part)
}

func lost(ref journal.Ref, part string, err error) *api.Text {
	why := api.TextLostDamaged
	switch {
	case errors.Is(err, replay.ErrErased):
		why = api.TextLostErased
	case errors.Is(err, replay.ErrNotFound):
		why = api.TextLostMissing
	}
	text := Show("", ref, part)
	text.Lost = &why
	return text
}

// text shows content; see Read.
func (t *Teller) text(ctx context.Context, ref journal.Ref, part string) *api.Text {
	return Read(ctx, t.src, t.run, ref, part)
}

// whole shows content that every entry of the kind names.
func (t *Teller) whole(ctx context.Context, ref journal.Ref) api.Text {
	if text := t.text(ctx, ref, ""); text != nil {
		return *text
	}
	return api.Text{}
}
