package gate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tachograph/schemas/journal"
)

// Why a call is held, as call.held spells it.
const (
	whyPolicy = "policy"
	whyDoubt  = "doubt"
	whyAlarm  = "alarm"
)

// ErrNotHeld means that a call does not wait for a person (any more). The caller shows the error,
// which says what the call does instead.
var ErrNotHeld = errors.New("the call is not held")

// hold journals a decision that a person has to answer, and until when.
func (c *call) hold(ctx context.Context, d Decision, body *journal.CallDecided, actions []string) error {
	held := &journal.CallHeld{Call: c.id, Why: whyPolicy, Until: c.until()}
	written, err := c.c.Run.Append(ctx, c.draft(body), c.draft(held))
	if err != nil {
		return err
	}
	c.notify(written[:1], func(e *Event) { e.Decision, e.Actions = &d, actions })
	c.notify(written, func(e *Event) { e.Why, e.Until, e.Decision = held.Why, held.Until, &d })
	return nil
}

// alarm holds an allowed call because an alarm holds the run. d and body are a decision that is not
// journalled yet; nil if the call was allowed before.
func (c *call) alarm(ctx context.Context, d *Decision, body *journal.CallDecided, actions []string) error {
	held := &journal.CallHeld{Call: c.id, Why: whyAlarm, Until: c.until()}
	if body == nil {
		written, err := c.c.Run.Append(ctx, c.draft(held))
		if err == nil {
			c.notify(written, func(e *Event) { e.Why, e.Until = held.Why, held.Until })
		}
		return err
	}
	written, err := c.c.Run.Append(ctx, c.draft(body), c.draft(held))
	if err != nil {
		return err
	}
	c.notify(written[:1], func(e *Event) { e.Decision, e.Actions = d, actions })
	c.notify(written, func(e *Event) { e.Why, e.Until = held.Why, held.Until })
	return nil
}

func (c *call) until() string {
	if c.c.HoldFor <= 0 {
		return ""
	}
	return c.c.Clock().Add(c.c.HoldFor).UTC().Truncate(time.Second).Format(time.RFC3339)
}

// wait waits until the call is no longer held: somebody answered, or the hold expired.
func (c *call) wait(ctx context.Context, n now) (*Ended, error) {
	if n.call.Why == whyDoubt {
		end, asked, err := c.inDoubt(ctx, n)
		if !asked || err != nil {
			return end, err
		}
	}
	answered, leave := c.listen(c.id)
	defer leave()
	if now := c.look(c.req.Agent, c.id); now.call.Phase != journal.CallIsHeld {
		return nil, nil
	}
	var expired <-chan time.Time
	if n.call.Until != "" {
		until, err := time.Parse(time.RFC3339, n.call.Until)
		if err != nil {
			return nil, fmt.Errorf("read the end of the hold: %w", err)
		}
		expired = c.c.After(max(until.Sub(c.c.Clock()), 0))
	}
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-answered:
		return nil, nil
	case <-expired:
	}
	written, err := c.c.Run.Append(ctx, c.draft(&journal.CallExpired{Call: c.id}))
	if err != nil {
		if now := c.look(c.req.Agent, c.id); now.call.Phase != journal.CallIsHeld {
			return nil, nil // an answer came first
		}
		return nil, err
	}
	c.notify(written, func(*Event) {})
	return nil, nil
}

// inDoubt does what the spec says about a call that may have happened already. asked says that a
// person is to be asked.
func (c *call) inDoubt(ctx context.Context, n now) (end *Ended, asked bool, err error) {
	switch c.c.OnInDoubt {
	case "skip":
		end, ended := c.withoutStart(n, "skipped", skippedText)
		written, err := c.c.Run.Append(ctx, c.draft(ended))
		if err != nil {
			return nil, false, err
		}
		c.notify(written, func(e *Event) { e.Status, e.Root = ended.Status, ended.Root })
		return end, false, nil
	case "retry":
		return nil, false, c.Approve(ctx, c.id, "tacho", "on_in_doubt: retry")
	}
	if n.call.Until != "" || c.c.HoldFor <= 0 {
		return nil, true, nil
	}
	// The process that recovered the run did not know how long a hold lasts.
	held := &journal.CallHeld{Call: c.id, Why: whyDoubt, Until: c.until()}
	written, err := c.c.Run.Append(ctx, c.draft(held))
	if err == nil {
		c.notify(written, func(e *Event) { e.Why, e.Until = held.Why, held.Until })
	}
	return nil, false, err
}

// listen returns a channel that is signalled when a person answers the call.
func (g *Gate) listen(id int64) (answered <-chan struct{}, leave func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	ch := make(chan struct{}, 1)
	g.waiting[id] = ch
	return ch, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.waiting, id)
	}
}

func (g *Gate) answered(id int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if ch := g.waiting[id]; ch != nil {
		select {
		case ch <- struct{}{}:
		default: // it has been told
		}
	}
}

// Approve lets a held call start. The approval is journalled with the proposal, policy and root that
// it is for, whether or not anybody waits for it. by and reason are content. ErrNotHeld if the call
// is not held.
func (g *Gate) Approve(ctx context.Context, id int64, by, reason string) error {
	return g.answer(ctx, id, by, reason, func(n now, who, why journal.Ref) journal.Body {
		return &journal.CallApproved{Call: id, Proposed: n.call.Proposed, Policy: n.policy, Root: n.root, By: who, Reason: why}
	})
}

// Refuse ends a held call without a start; the model is told the reason.
func (g *Gate) Refuse(ctx context.Context, id int64, by, reason string) error {
	return g.answer(ctx, id, by, reason, func(_ now, who, why journal.Ref) journal.Body {
		return &journal.CallRefused{Call: id, By: who, Reason: why}
	})
}

func (g *Gate) answer(ctx context.Context, id int64, by, reason string, body func(n now, who, why journal.Ref) journal.Body) error {
	agent := g.agentOf(id)
	n := g.look(agent, id)
	switch {
	case !n.found:
		return fmt.Errorf("answer call %d: no agent has it now: %w", id, ErrNotHeld)
	case n.call.Phase != journal.CallIsHeld:
		return fmt.Errorf("answer call %d: it is %s: %w", id, n.call.Phase, ErrNotHeld)
	}
	var why journal.Ref
	if reason != "" {
		why = g.c.Run.Stage([]byte(reason))
	}
	c := &call{Gate: g, id: id, req: Request{Agent: agent, Tool: n.call.Tool, Index: n.call.Index}}
	written, err := g.c.Run.Append(ctx, c.draft(body(n, g.c.Run.Stage([]byte(by)), why)))
	if err != nil {
		if now := g.look(agent, id); now.call.Phase != journal.CallIsHeld {
			err = errors.Join(err, ErrNotHeld) // another answer came first
		}
		return fmt.Errorf("answer call %d: %w", id, err)
	}
	c.notify(written, func(e *Event) { e.By, e.Reason = by, reason })
	g.answered(id)
	return nil
}

// agentOf finds whose call it is; "" if nobody's.
func (g *Gate) agentOf(id int64) (path string) {
	g.c.Run.View(func(s *journal.State) {
		if a, _ := s.Call(id); a != nil {
			path = a.Path
		}
	})
	return path
}

// denied ends a call that a person refused, that expired, or that was decided against by a process
// that did not come to write its end.
func (c *call) denied(ctx context.Context, n now) (*Ended, error) {
	text, err := c.lastWord(ctx, n.call.Status)
	if err != nil {
		return nil, err
	}
	end, ended := c.withoutStart(n, n.call.Status, text)
	written, err := c.c.Run.Append(ctx, c.draft(ended))
	if err != nil {
		return nil, err
	}
	c.notify(written, func(e *Event) { e.Status, e.Root = ended.Status, ended.Root })
	return end, nil
}

// lastWord reads from the journal why the call came to nothing, for the model.
func (c *call) lastWord(ctx context.Context, status string) (string, error) {
	if status == "expired" {
		return expiredText, nil
	}
	c.c.Run.State() // returns when the answer that was seen is durable: Entries gives nothing earlier
	var reasons journal.Ref
	for line, err := range c.c.Run.Entries(ctx, c.id) {
		if err != nil {
			return "", err
		}
		e, err := journal.Decode(line)
		if err != nil {
			return "", err
		}
		if e.Kind != journal.KindCallRefused && e.Kind != journal.KindCallDecided {
			continue
		}
		body, err := journal.DecodeBody(e.Kind, e.Body)
		if err != nil {
			return "", err
		}
		switch b := body.(type) {
		case *journal.CallRefused:
			if b.Call == c.id {
				reasons = b.Reason
			}
		case *journal.CallDecided:
			if b.Call == c.id {
				reasons = b.Reasons
			}
		}
	}
	var text []byte
	var err error
	if !reasons.IsZero() {
		if text, err = c.c.Run.Content(ctx, reasons); err != nil {
			return "", err
		}
	}
	if status == "refused" {
		return refusedText(string(text)), nil
	}
	var d Decision
	if err := json.Unmarshal(text, &d); err != nil {
		return "", fmt.Errorf("read reasons of the denial: %w", err)
	}
	return deniedText(d), nil
}
