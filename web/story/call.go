package story

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"tachograph/schemas/journal"
	"tachograph/schemas/verdict"
	"tachograph/web/api"
)

func (t *Teller) proposed(ctx context.Context, e journal.Entry, b *journal.CallProposed) ([]*api.Item, error) {
	item := t.item(e, api.ItemTypeCall)
	item.Step = ptr(b.Step)
	item.Call = &api.Call{Tool: b.Tool, Index: b.Index, Status: api.CallStatusProposed, Args: t.whole(ctx, b.Args),
		Effect: some(api.Effect(b.Effect)), Scope: some(api.Scope(b.Scope)), Idempotent: b.Idempotent, Targets: t.text(ctx, b.Targets, "")}
	if args, err := t.src.Content(ctx, t.run, b.Args); err == nil {
		item.Call.Summary = some(Summary(args))
	}
	why, err := t.takeIntent(ctx, b.Intent)
	if err != nil {
		return nil, err
	}
	if why.source != "" {
		item.Call.Intent = t.text(ctx, why.text, "")
		item.Call.IntentSource = ptr(api.CallIntentSource(why.source))
	}
	t.open[e.Seq] = item
	return []*api.Item{item}, nil
}

// takeIntent finds the intent of a call, which may lie before the first entry of this teller.
func (t *Teller) takeIntent(ctx context.Context, seq int64) (intent, error) {
	if seq < 0 {
		return intent{}, nil
	}
	if i := slices.IndexFunc(t.intents, func(in intent) bool { return in.seq == seq }); i >= 0 {
		found := t.intents[i]
		t.intents = slices.Delete(t.intents, i, i+1)
		return found, nil
	}
	for line, err := range t.src.Entries(ctx, t.run, seq) {
		if err != nil {
			return intent{}, err
		}
		_, body, err := decode(line)
		if b, ok := body.(*journal.Intent); ok && err == nil {
			return intent{seq, b.Text, b.Source}, nil
		}
		return intent{}, err
	}
	return intent{}, nil
}

// call takes an entry about a call. One that this teller has not seen begin is read first.
func (t *Teller) call(ctx context.Context, e journal.Entry, id int64, body journal.Body) ([]*api.Item, error) {
	item := t.open[id]
	if item == nil {
		var err error
		if item, err = t.missing(ctx, id, e.Seq); err != nil || item == nil || item.Call == nil {
			return nil, err
		}
		t.open[id] = item
	}
	c := item.Call
	switch b := body.(type) {
	case *journal.CallDecided:
		c.Decision = t.decision(ctx, e, b)
		c.Status = map[string]api.CallStatus{"allow": api.CallStatusAllowed, "deny": api.CallStatusDenied, "hold": api.CallStatusHeld}[b.Decision]
	case *journal.CallHeld:
		c.Status, c.Hold, c.Answer = api.CallStatusHeld, &api.Hold{Why: api.HoldWhy(b.Why), Seq: e.Seq, Since: e.Time, Until: Time(b.Until)}, nil
	case *journal.CallApproved:
		c.Status = api.CallStatusAllowed
		c.Answer = &api.HoldAnswer{Answer: api.HoldAnswerAnswerApproved, Seq: e.Seq, Time: e.Time, By: t.text(ctx, b.By, ""), Reason: t.text(ctx, b.Reason, "")}
	case *journal.CallRefused:
		c.Status = api.CallStatusRefused
		c.Answer = &api.HoldAnswer{Answer: api.HoldAnswerAnswerRefused, Seq: e.Seq, Time: e.Time, By: t.text(ctx, b.By, ""), Reason: t.text(ctx, b.Reason, "")}
	case *journal.CallExpired:
		c.Status, c.Answer = api.CallStatusExpired, &api.HoldAnswer{Answer: api.HoldAnswerAnswerExpired, Seq: e.Seq, Time: e.Time}
	case *journal.CallStarted:
		c.Status, c.Attempts, c.StartedAt, c.StartedSeq = api.CallStatusRunning, b.Attempt, ptr(e.Time), ptr(e.Seq)
	case *journal.CallEnded:
		t.ended(ctx, e, c, b)
		delete(t.open, id)
	}
	return []*api.Item{item}, nil
}

func (t *Teller) decision(ctx context.Context, e journal.Entry, b *journal.CallDecided) *api.Decision {
	d := &api.Decision{Decision: api.DecisionDecision(b.Decision), Engine: b.Engine, Errors: b.Errors, Seq: e.Seq, Time: e.Time}
	d.Policies, d.Reasons = Reasons(ctx, t.src, t.run, b.Reasons)
	return d
}

// Reasons are the ids of the policies that made a decision, and what they say; schemas/verdict specifies
// the content.
func Reasons(ctx context.Context, src Source, run journal.RunID, ref journal.Ref) (policies, reasons []string) {
	policies, reasons = []string{}, []string{}
	if ref.IsZero() {
		return policies, reasons
	}
	b, err := src.Content(ctx, run, ref)
	if err != nil {
		return policies, reasons
	}
	v, err := verdict.Decode(b)
	if err != nil {
		return policies, reasons
	}
	for _, id := range v.Policies() {
		policies = append(policies, Cut(id, maxReason))
	}
	for _, text := range v.Said() {
		reasons = append(reasons, Cut(text, maxReason))
	}
	return policies, reasons
}

const maxReason = 1 << 10

func (t *Teller) ended(ctx context.Context, e journal.Entry, c *api.Call, b *journal.CallEnded) {
	c.Status, c.EndedAt, c.EndedSeq = api.CallStatus(b.Status), ptr(e.Time), ptr(e.Seq)
	if c.Result = t.text(ctx, b.Message, PartContent); c.Result == nil {
		c.Result = t.text(ctx, b.Message, "")
	}
	c.Output = t.text(ctx, b.Output, "")
	if c.Attempts > 0 {
		c.Exit, c.DurationUs = ptr(b.Exit), ptr(b.MicroSec)
		c.Delta = &api.Delta{Files: b.Files, Added: b.Added, Removed: b.Removed, LeftOut: b.LeftOut}
		c.Observed = some(api.Effect(b.Observed))
	}
}

// telling are the arguments that say most of what a call does, best first.
var telling = []string{"command", "pattern", "path", "from", "glob", "call", "url", "query"}

// Summary is the argument that says most, in one line of at most 200 characters.
func Summary(args []byte) string {
	var fields map[string]any
	if json.Unmarshal(args, &fields) != nil {
		return ""
	}
	for _, key := range telling {
		if text, ok := fields[key].(string); ok && text != "" {
			return OneLine(text)
		}
	}
	return ""
}

// OneLine is the beginning of a text, at most 200 characters of it, in one line.
func OneLine(text string) string {
	const most = 200
	text = strings.Join(strings.Fields(Cut(text, 4*most)), " ")
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}

// Time reads a time of an entry's body; nil if there is none.
func Time(text string) *time.Time {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return nil
	}
	return &at
}
