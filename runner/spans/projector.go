package spans

import (
	"errors"
	"fmt"
	"slices"

	"tachograph/schemas/attr"
	"tachograph/schemas/journal"
)

// projector makes spans of the entries of one run, in order. It is a pure function of the entries.
// Its memory is that of the agents and of what they have open, not of the journal's length.
//
// It trusts that the entries fold (the store checked them when they were written), and skips what
// makes no sense to it: a view has nobody to complain to.
type projector struct {
	run    journal.RunID
	first  journal.Entry // run.started
	agents map[string]*agent
	order  []*agent // as they appeared: what closes many spans closes them in this order
	closed []span   // by the entry at hand
}

func newProjector(run journal.RunID) *projector {
	return &projector{run: run, agents: map[string]*agent{}}
}

// project takes the next entry and returns the spans that it closes, children before parents. The
// slice is good until the next call. ended says that no other entry can close anything.
func (p *projector) project(line []byte) (closed []span, ended bool, err error) {
	e, err := journal.Decode(line)
	if err != nil {
		return nil, false, fmt.Errorf("project entry: %w", err)
	}
	if silent(e.Kind) {
		return nil, false, nil
	}
	body, err := journal.DecodeBody(e.Kind, e.Body)
	if errors.Is(err, journal.ErrUnknownKind) {
		return nil, false, nil // a newer tacho wrote it, and knows how to show it
	}
	if err != nil {
		return nil, false, fmt.Errorf("project entry %d: %w", e.Seq, err)
	}
	p.closed = p.closed[:0]
	p.apply(e, body)
	_, ended = body.(*journal.RunEnded)
	return p.closed, ended, nil
}

// silent says that entries of this kind show in no span, so their bodies need not be read.
func silent(k journal.Kind) bool {
	return k == journal.KindCheckpoint || len(k) >= len(journal.NotePrefix) && k[:len(journal.NotePrefix)] == journal.NotePrefix
}

// origin is when the run began, in nanoseconds since 1970; 0 before its first entry.
func (p *projector) origin() int64 {
	if p.first.Time.IsZero() {
		return 0
	}
	return p.first.Time.UnixNano()
}

func (p *projector) apply(e journal.Entry, body journal.Body) {
	switch b := body.(type) {
	case *journal.RunStarted:
		p.runStarted(e, b)
	case *journal.RunEnded:
		p.runEnded(e, b)
	case *journal.AgentSpawned:
		p.agentSpawned(e, b)
	case *journal.AgentEnded:
		p.agentEnded(e, b)
	case *journal.RolledBack:
		p.rolledBack(e, b)
	case *journal.Recovered:
		p.recovered(e, b)
	case *journal.Intent:
		p.intent(e, b)
	case *journal.ModelAsked:
		p.modelAsked(e, b)
	case *journal.ModelAnswered:
		p.modelAnswered(e, b)
	case *journal.ContextCompacted:
		p.compacted(e, b)
	case *journal.CallProposed:
		p.callProposed(e, b)
	case *journal.CallDecided:
		p.callDecided(e, b)
	case *journal.CallStarted:
		p.callStarted(e, b)
	case *journal.CallEnded:
		p.callEnded(e, b)
	case *journal.CallHeld, *journal.CallApproved, *journal.CallRefused, *journal.CallExpired:
		p.callAnswered(e, body)
	default:
		p.moment(e, body)
	}
}

// moment shows an entry as an event of its agent's span.
func (p *projector) moment(e journal.Entry, body journal.Body) {
	p.note(p.agent(e.Agent), newEvent(e, body))
}

// note adds events to an agent's span, or to that of an agent above if the span is closed.
func (p *projector) note(a *agent, events ...event) {
	for !a.open && a.agent != "/" {
		a = p.agent(parentPath(a.agent))
	}
	a.add(events...)
}

func (p *projector) emit(s *span) { p.closed = append(p.closed, *s) }

func newEvent(e journal.Entry, body journal.Body) event {
	return event{attr.EventPrefix + string(e.Kind), e.Time, e.Seq, eventValues(body)}
}

// eventValues are the attributes of an event, in the order of the body's fields.
func eventValues(body journal.Body) []value {
	switch b := body.(type) {
	case *journal.CallHeld:
		return some(value{key: attr.Call, val: b.Call}, value{key: attr.Why, val: b.Why}, value{key: attr.Until, val: b.Until})
	case *journal.CallApproved:
		return some(value{key: attr.Call, val: b.Call}, value{key: attr.By, ref: b.By}, value{key: attr.Reason, ref: b.Reason})
	case *journal.CallRefused:
		return some(value{key: attr.Call, val: b.Call}, value{key: attr.By, ref: b.By}, value{key: attr.Reason, ref: b.Reason})
	case *journal.CallExpired:
		return some(value{key: attr.Call, val: b.Call})
	case *journal.ContextCompacted:
		return some(value{key: attr.Kept, val: b.Kept}, value{key: attr.Tail, val: b.Tail}, value{key: attr.Length, val: b.Length})
	case *journal.TaskChanged:
		return some(value{key: attr.Task, val: b.Task}, value{key: attr.Status, val: b.Status}, value{key: attr.To, val: b.Agent})
	case *journal.MessageSent:
		return some(value{key: attr.To, val: b.To})
	case *journal.MessageReceived:
		return some(value{key: attr.Sent, val: b.Sent})
	case *journal.Paused:
		return some(value{key: attr.Why, val: b.Why}, value{key: attr.By, ref: b.By})
	case *journal.Resumed:
		return some(value{key: attr.By, ref: b.By})
	case *journal.Stopped:
		return some(value{key: attr.By, ref: b.By}, value{key: attr.Now, val: b.Now})
	case *journal.AlarmRaised:
		return some(value{key: attr.Alarm, val: b.Alarm}, value{key: attr.Reason, ref: b.Reason}, value{key: attr.Hold, val: b.Hold})
	case *journal.PolicyChanged:
		return some(value{key: attr.By, ref: b.By})
	case *journal.LimitChanged:
		return some(value{key: attr.LimitStep, val: b.Limits.Steps}, value{key: attr.LimitTok, val: b.Limits.Tokens},
			value{key: attr.LimitCost, val: b.Limits.CostNUSD}, value{key: attr.LimitSecs, val: b.Limits.Seconds}, value{key: attr.By, ref: b.By})
	}
	return treeEventValues(body)
}

// treeEventValues are those of entries about the workspace and the state as a whole.
func treeEventValues(body journal.Body) []value {
	switch b := body.(type) {
	case *journal.WorkspaceTouched:
		return some(value{key: attr.Why, val: b.By}, value{key: attr.Root, val: b.Root.String()}, value{key: attr.Files, val: b.Files})
	case *journal.WorkspaceMerged:
		return some(value{key: attr.From, val: b.From.String()}, value{key: attr.Root, val: b.Root.String()},
			value{key: attr.Files, val: b.Files}, value{key: attr.Conflicts, val: b.Conflicts})
	case *journal.Snapshot:
		return some(value{key: attr.Why, val: b.Why}, value{key: attr.Root, val: b.Root.String()})
	case *journal.RolledBack:
		return some(value{key: attr.Snapshot, val: b.To}, value{key: attr.Root, val: b.Root.String()}, value{key: attr.Reason, ref: b.Reason})
	case *journal.Recovered:
		return some(value{key: attr.Doubt, val: int64(len(b.Doubt))}, value{key: attr.Rerun, val: int64(len(b.Rerun))},
			value{key: attr.Lost, val: int64(len(b.Lost))})
	}
	return nil
}

// some leaves out the values that an entry does not have.
func some(all ...value) []value {
	return slices.DeleteFunc(all, func(v value) bool { return v.ref.IsZero() && (v.val == nil || v.val == "") })
}
