package journal

import (
	"errors"
	"fmt"
	"slices"
)

// Start makes the state before entry 0 of a run. A fork needs its parent's state at the seq that
// its first entry names; any other run takes nil.
func Start(parent *State) *State {
	if parent == nil {
		return &State{index: map[string]int{}}
	}
	s := parent.Clone()
	s.from = &Parent{parent.Run, parent.Next - 1, parent.Tip, parent.Hash()}
	s.Next, s.Tip, s.Epoch = 0, Hash{}, 0
	return s
}

// Apply folds one entry: its line, as stored. On error the state is as it was.
//
// Apply trusts the bytes no further than it must: it checks seq, link, run and epoch, that the
// body is one of the kind, that a commitment equals the hash of this state, and that the entry
// makes sense where it stands (a call that was never decided cannot start). So a fold that ends
// without error is a proof that the journal is coherent.
func (s *State) Apply(line []byte) (Entry, Body, error) {
	e, err := Decode(line)
	if err != nil {
		return e, nil, err
	}
	body, err := decodeBody(e.Kind, e.Body) // Decode has found it canonical
	if err != nil {
		return e, nil, fmt.Errorf("entry %d: %w", e.Seq, err)
	}
	if err := s.Fold(e, body, HashEntry(line)); err != nil {
		return e, body, fmt.Errorf("entry %d, %s: %w", e.Seq, e.Kind, err)
	}
	return e, body, nil
}

// Fold is Apply for a caller that has decoded the entry: hash is that of its line.
func (s *State) Fold(e Entry, body Body, hash Hash) error {
	if err := s.fits(e); err != nil {
		return err
	}
	if c, ok := body.(Committed); ok {
		if err := s.checkCommit(*c.Commitment()); err != nil {
			return err
		}
	}
	if _, ok := body.(*Note); !ok {
		paused := s.Status == StatusPaused
		step := &step{State: s, entry: e, hash: hash}
		if err := step.fold(body); err != nil {
			return err
		}
		s.passTime(e, body, paused)
		s.fresh = false
	}
	s.Next, s.Tip, s.Epoch = e.Seq+1, hash, e.Epoch
	return nil
}

func (s *State) fits(e Entry) error {
	switch {
	case e.Seq != s.Next:
		return fmt.Errorf("seq %d where %d is due", e.Seq, s.Next)
	case e.Prev != s.Tip:
		return fmt.Errorf("prev %s is not the hash of the entry before it, %s", e.Prev, s.Tip)
	case e.Epoch < s.Epoch:
		return fmt.Errorf("epoch %d after epoch %d", e.Epoch, s.Epoch)
	case e.Seq == 0 && e.Kind != KindRunStarted, e.Seq > 0 && e.Kind == KindRunStarted:
		return fmt.Errorf("%s at seq %d", e.Kind, e.Seq)
	case e.Seq > 0 && e.Run != s.Run:
		return fmt.Errorf("entry of run %s", e.Run)
	case e.Seq == 0 && e.Agent != "/", e.Seq > 0 && s.Agent(e.Agent) == nil && !isNote(e.Kind):
		return fmt.Errorf("agent %s does not exist", e.Agent)
	case s.Status == StatusEnded && e.Seq > 0 && !isNote(e.Kind):
		return errors.New("after the end of the run")
	}
	return nil
}

func (s *State) checkCommit(c Commit) error {
	if c.Fold != FoldVersion {
		return fmt.Errorf("fold version %d: this tacho knows %d", c.Fold, FoldVersion)
	}
	if c.State != s.Hash() {
		return fmt.Errorf("commits to state %s, but the entries before it fold to %s", c.State, s.Hash())
	}
	return nil
}

// passTime adds the time since the last entry to the active time, unless the run was paused, or
// down (recovered), or was waiting for a person alone.
func (s *State) passTime(e Entry, body Body, paused bool) {
	now := e.Time.UnixMicro()
	_, recovered := body.(*Recovered)
	_, resumed := body.(*Resumed)
	idle := e.Seq == 0 || paused || recovered || resumed || s.waiting(body)
	if !idle && now > s.lastUS {
		s.Usage.ActiveUS = min(s.Usage.ActiveUS+now-s.lastUS, MaxInt)
	}
	s.lastUS = max(s.lastUS, now)
	if e.Seq == 0 || recovered {
		s.lastUS = now
	}
}

// waiting says whether this entry is a person's answer to a hold.
func (s *State) waiting(body Body) bool {
	switch body.(type) {
	case *CallApproved, *CallRefused, *CallExpired:
		return true
	}
	return false
}

// step is one entry on its way into the state.
type step struct {
	*State
	entry Entry
	hash  Hash
}

// fold dispatches on the kind. Each case checks everything before it changes anything.
func (s *step) fold(body Body) error {
	switch b := body.(type) {
	case *RunStarted:
		return s.runStarted(b)
	case *RunEnded:
		return s.runEnded(b)
	case *Intent:
		return s.agent(func(a *Agent) error { a.Intent = b.Text; return nil })
	case *ModelAsked:
		return s.agent(func(a *Agent) error { return modelAsked(a, b, s.entry.Seq) })
	case *ModelAnswered:
		return s.modelAnswered(b)
	case *ContextCompacted:
		return s.agent(func(a *Agent) error { return compacted(a, b) })
	case *CallProposed, *CallDecided, *CallHeld, *CallApproved, *CallRefused, *CallExpired, *CallStarted, *CallEnded:
		return s.call(body)
	case *TaskChanged:
		return s.taskChanged(b)
	case *AgentSpawned:
		return s.agentSpawned(b)
	case *AgentEnded:
		return s.agentEnded(b)
	case *MessageSent:
		return s.messageSent(b)
	case *MessageReceived:
		return s.messageReceived(b)
	case *WorkspaceTouched:
		s.Root = b.Root
	case *WorkspaceMerged:
		s.Root = b.Root
	case *Checkpoint:
		return s.sameRoot(b.Root)
	case *Snapshot:
		return s.snapshot(b)
	case *RolledBack:
		return s.rolledBack(b)
	case *Paused:
		s.Status, s.Why = StatusPaused, b.Why
	case *Resumed:
		s.Status, s.Why, s.Hold = StatusRunning, "", false
	case *Stopped:
		s.Stop = "asked"
		if b.Now {
			s.Stop = "now"
		}
	case *Recovered:
		return s.recovered(b)
	case *AlarmRaised:
		s.Hold = s.Hold || b.Hold
	case *PolicyChanged:
		s.Policy = b.Policy
	case *LimitChanged:
		if err := b.Limits.check(); err != nil {
			return err
		}
		s.Limits = b.Limits
	default:
		return ErrUnknownKind
	}
	return nil
}

// agent changes a copy of the entry's agent.
func (s *step) agent(change func(*Agent) error) error {
	old := s.Agent(s.entry.Agent)
	if old == nil {
		return fmt.Errorf("agent %s does not exist", s.entry.Agent)
	}
	next := *old
	next.Calls, next.Notes = slices.Clone(old.Calls), slices.Clone(old.Notes)
	if err := change(&next); err != nil {
		return err
	}
	s.setAgent(&next)
	return nil
}

func (s *step) sameRoot(root Object) error {
	if root != s.Root {
		return fmt.Errorf("root %s where the workspace is at %s", root, s.Root)
	}
	return nil
}
