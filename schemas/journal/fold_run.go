package journal

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

func (s *step) runStarted(b *RunStarted) error {
	if err := s.checkParent(b); err != nil {
		return err
	}
	if err := b.Limits.check(); err != nil {
		return err
	}
	given, err := s.givenResults(b)
	if err != nil {
		return err
	}
	s.Run, s.Family, s.Parent = s.entry.Run, b.Family, b.Parent
	s.Status, s.Why, s.Stop, s.Hold = StatusRunning, "", "", false
	s.Spec, s.Goal, s.Model, s.Policy, s.Sandbox = b.Spec, b.Goal, b.Model, b.Policy, b.Sandbox
	s.Base, s.Root, s.LeftOut, s.Limits = b.Base, b.Root, b.LeftOut, b.Limits
	// A fork has its own budgets and its own snapshots, as every run has.
	s.Usage, s.Undone, s.Marks, s.from = Usage{}, 0, nil, nil
	if b.Parent == nil {
		s.setAgent(&Agent{Path: "/", Status: StatusRunning, Model: b.Model, Goal: b.Goal, Asked: -1})
		return nil
	}
	s.inherit(given)
	return s.agent(func(a *Agent) error {
		a.Status, a.Model, a.Goal, a.Turn = StatusRunning, b.Model, b.Goal, b.Turn
		if !b.Turn.IsZero() {
			dropOpenTurn(a)
		}
		if !b.Message.IsZero() {
			a.Notes = append(a.Notes, b.Message)
		}
		return nil
	})
}

// inherit makes a parent's state one that a fork can go on from. Names that are seqs of the parent
// would be taken for the fork's own: a request without an answer is asked anew, a call that has not
// ended is proposed anew, one that has ended gets the id −1, and mail is numbered −1, −2, …. A call
// whose result is given has ended, whatever the parent knew of it.
func (s *step) inherit(given map[int64]Ref) {
	for _, old := range slices.Clone(s.agents) {
		next := *old
		next.Asked, next.Calls = -1, nil
		for _, c := range old.Calls {
			if message, ok := given[c.ID]; ok {
				c.Phase, c.Status, c.Message = CallIsEnded, ResultIsGiven, message
				c.Why, c.Until, c.Approved = "", "", false
			}
			if c.Phase == CallIsEnded {
				c.ID = -1
				next.Calls = append(next.Calls, c)
			}
		}
		s.setAgent(&next)
	}
	s.Mail = slices.Clone(s.Mail)
	for i := range s.Mail {
		s.Mail[i].Sent = int64(-1 - i)
	}
}

// givenResults finds the calls whose results a fork gives. One that no model would ever be told is
// refused: the entry would claim a change that there is not.
func (s *step) givenResults(b *RunStarted) (map[int64]Ref, error) {
	if len(b.Results) > 0 && b.Parent == nil {
		return nil, errors.New("gives results of calls, but is no fork")
	}
	given := make(map[int64]Ref, len(b.Results))
	for i, r := range b.Results {
		if i > 0 && r.Call <= b.Results[i-1].Call {
			return nil, fmt.Errorf("gives the result of call %d after that of call %d", r.Call, b.Results[i-1].Call)
		}
		agent, call := s.Call(r.Call)
		switch {
		case r.Call < 0 || call == nil:
			return nil, fmt.Errorf("gives the result of call %d, which is none of a newest answer of its parent there", r.Call)
		case call.Index < 0:
			return nil, fmt.Errorf("gives the result of call %d, which is the spec's check: no model is told it", r.Call)
		case r.Message.IsZero():
			return nil, fmt.Errorf("gives no result of call %d", r.Call)
		case agent.Path != "/" && !agent.Live():
			return nil, fmt.Errorf("gives the result of call %d to agent %s, which is %s", r.Call, agent.Path, agent.Status)
		}
		given[r.Call] = r.Message
	}
	if root := s.Agent("/"); !b.Turn.IsZero() && root != nil && losesGiven(root, given) {
		return nil, errors.New("gives a result and the turn after it, but that answer has other calls that have not ended: it would be dropped")
	}
	return given, nil
}

// losesGiven says whether dropOpenTurn would forget a result that is given.
func losesGiven(a *Agent, given map[int64]Ref) bool {
	ended, some := int64(0), false
	for _, c := range a.Calls {
		_, ok := given[c.ID]
		some = some || ok
		if ok || c.Phase == CallIsEnded {
			ended++
		}
	}
	return some && ended < a.Want
}

// dropOpenTurn forgets an answer whose calls have not all ended, or that asked for none: the agent
// stands again where the model would be asked.
func dropOpenTurn(a *Agent) {
	complete := a.Want > 0 && len(a.Calls) == int(a.Want) && allEnded(a.Calls)
	if !complete {
		a.Answer, a.Finish, a.Want, a.Calls = Ref{}, "", 0, nil
	}
}

func (s *step) checkParent(b *RunStarted) error {
	switch {
	case b.Parent == nil && s.from != nil:
		return errors.New("names no parent, but a parent's state was given")
	case b.Parent == nil && b.Family != s.entry.Run:
		return errors.New("names no parent, but is not its family's root run")
	case b.Parent == nil:
		return nil
	case s.from == nil:
		return errors.New("is a fork: its parent's state is needed to fold it")
	case s.entry.Run == s.from.Run:
		return errors.New("is a fork of itself")
	case *b.Parent != *s.from:
		return fmt.Errorf("names parent %s at %d (entry %s, state %s), but that is %s at %d (entry %s, state %s)",
			b.Parent.Run, b.Parent.Seq, b.Parent.Entry, b.Parent.State, s.from.Run, s.from.Seq, s.from.Entry, s.from.State)
	case b.Family != s.State.Family || b.Base != s.State.Base || b.Root != s.State.Root:
		return errors.New("family, base or workspace root are not those of its parent")
	}
	return nil
}

func (s *step) runEnded(b *RunEnded) error {
	if err := s.sameRoot(b.Root); err != nil {
		return err
	}
	if err := checkOutcome(b.Outcome); err != nil {
		return err
	}
	s.Status, s.Why = StatusEnded, b.Outcome
	return nil
}

func checkOutcome(outcome string) error {
	switch outcome {
	case "done", "failed", "stopped":
		return nil
	}
	return fmt.Errorf("outcome %.20q is none of done, failed, stopped", outcome)
}

func (s *step) snapshot(b *Snapshot) error {
	if err := s.sameRoot(b.Root); err != nil {
		return err
	}
	s.LeftOut = b.LeftOut
	mark := &Mark{s.entry.Seq, b.State, b.Root, false, slices.Clone(s.agents), slices.Clone(s.tasks)}
	s.Marks = append(slices.Clone(s.Marks), mark)
	if len(s.Marks) > maxMarks {
		s.Marks = s.Marks[1:]
	}
	return nil
}

// rolledBack takes lists, tasks, sessions and workspace back to a snapshot, and forgets the later
// ones. What was spent stays spent, steps go on counting, and agents that did not exist yet are
// undone.
func (s *step) rolledBack(b *RolledBack) error {
	i := slices.IndexFunc(s.Marks, func(m *Mark) bool { return m.Seq == b.To && m.Root == b.Root })
	if i < 0 {
		return fmt.Errorf("rolls back to %d, which is no snapshot that is remembered", b.To)
	}
	mark := *s.Marks[i]
	mark.Used = true
	s.Marks = append(slices.Clone(s.Marks[:i]), &mark)
	then := map[string]*Agent{}
	for _, a := range mark.agents {
		then[a.Path] = a
	}
	for _, now := range slices.Clone(s.agents) {
		next := *now
		if old := then[now.Path]; old != nil {
			next = *old
			next.Step, next.Attempt, next.Asked = now.Step, now.Attempt, -1
			dropOpenTurn(&next)
		} else {
			next.Status, next.Asked, next.Calls = "undone", -1, nil
		}
		if now.Path == "/" {
			next.Notes = append(slices.Clone(next.Notes), b.Message)
		}
		s.setAgent(&next)
	}
	s.restoreTasks(mark.tasks)
	s.Root = b.Root
	s.Undone++
	return nil
}

func (s *step) restoreTasks(then []*Task) {
	for i, now := range slices.Clone(s.tasks) {
		next := *now
		next.Status = "dropped"
		if i < len(then) {
			next = *then[i]
		}
		s.setTask(&next)
	}
}

// recovered drops what a process that died had begun: the model is asked again, a call whose
// effect was dropped is allowed again, a call in doubt is held.
func (s *step) recovered(b *Recovered) error {
	if s.entry.Epoch <= s.Epoch {
		return fmt.Errorf("epoch %d is not above %d", s.entry.Epoch, s.Epoch)
	}
	if err := s.checkRecovered(b); err != nil {
		return err
	}
	for _, old := range slices.Clone(s.agents) {
		next := *old
		next.Calls = slices.Clone(old.Calls)
		next.Asked = -1
		for i := range next.Calls {
			recoverCall(&next.Calls[i], b)
		}
		s.setAgent(&next)
	}
	return nil
}

// checkRecovered demands that the entry names exactly what was under way: what it left out would
// wait for ever, or run a second time without anybody being asked.
func (s *step) checkRecovered(b *Recovered) error {
	var asked, started []int64
	for _, a := range s.agents {
		if a.Asked >= 0 {
			asked = append(asked, a.Asked)
		}
		for _, c := range a.Calls {
			if c.Phase == CallIsStarted {
				started = append(started, c.ID)
			}
		}
	}
	named := slices.Concat(b.Doubt, b.Rerun)
	lost := slices.Clone(b.Lost)
	for _, list := range [][]int64{asked, started, named, lost} {
		slices.Sort(list)
	}
	switch {
	case !slices.Equal(named, started):
		return fmt.Errorf("names the calls %d in doubt or run again, but %d were started", named, started)
	case !slices.Equal(lost, asked):
		return fmt.Errorf("names the questions %d lost, but %d were without an answer", lost, asked)
	}
	return nil
}

func recoverCall(c *Call, b *Recovered) {
	switch {
	case slices.Contains(b.Doubt, c.ID):
		c.Phase, c.Why, c.Approved = CallIsHeld, "doubt", false
	case slices.Contains(b.Rerun, c.ID):
		c.Phase = CallIsAllowed
	}
}

func (s *step) taskChanged(b *TaskChanged) error {
	if b.Task < 1 || b.Task > int64(len(s.tasks))+1 {
		return fmt.Errorf("task %d where %d exist", b.Task, len(s.tasks))
	}
	next := Task{ID: b.Task, After: []int64{}}
	if b.Task <= int64(len(s.tasks)) {
		next = *s.tasks[b.Task-1]
	}
	next.Status = b.Status
	if !b.Title.IsZero() {
		next.Title = b.Title
	}
	if b.Agent != "" {
		next.Agent = b.Agent
	}
	if b.After != nil {
		next.After = b.After
	}
	if !b.Result.IsZero() {
		next.Result = b.Result
	}
	s.setTask(&next)
	return nil
}

func (s *step) agentSpawned(b *AgentSpawned) error {
	if !ValidAgent(b.Path) || s.Agent(b.Path) != nil || parentPath(b.Path) != s.entry.Agent {
		return fmt.Errorf("agent %.40q cannot be added by %s", b.Path, s.entry.Agent)
	}
	s.setAgent(&Agent{Path: b.Path, Status: StatusRunning, Model: b.Model, Goal: b.Goal, Task: b.Task, Asked: -1})
	return nil
}

// parentPath is the path of the agent above: "/" for "/2", "/2" for "/2/1", "" for "/".
func parentPath(path string) string {
	if path == "/" {
		return ""
	}
	return path[:max(strings.LastIndexByte(path, '/'), 1)]
}

func (s *step) agentEnded(b *AgentEnded) error {
	old := s.Agent(b.Path)
	if old == nil || !old.Live() {
		return fmt.Errorf("agent %.40q is not running", b.Path)
	}
	if err := checkOutcome(b.Outcome); err != nil {
		return err
	}
	next := *old
	next.Status = b.Outcome
	s.setAgent(&next)
	return nil
}

func (s *step) messageSent(b *MessageSent) error {
	if s.Agent(b.To) == nil {
		return fmt.Errorf("to %.40q, which does not exist", b.To)
	}
	s.Mail = append(slices.Clone(s.Mail), Mail{s.entry.Seq, s.entry.Agent, b.To, b.Body})
	return nil
}

func (s *step) messageReceived(b *MessageReceived) error {
	i := slices.IndexFunc(s.Mail, func(m Mail) bool { return m.Sent == b.Sent && m.To == s.entry.Agent })
	if i < 0 {
		return fmt.Errorf("no message %d waits for %s", b.Sent, s.entry.Agent)
	}
	body := s.Mail[i].Body
	s.Mail = slices.Delete(slices.Clone(s.Mail), i, i+1)
	return s.agent(func(a *Agent) error { a.Notes = append(a.Notes, body); return nil })
}
