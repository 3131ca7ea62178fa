package journal

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
)

// FoldVersion is the version of the fold in this file. A change to what any entry does to the
// state, or to what State.Hash covers, is a new version; the old fold stays, beside this one.
const FoldVersion = 1

// Run statuses.
const (
	StatusRunning = "running"
	StatusPaused  = "paused"
	StatusEnded   = "ended"
)

// Call phases, in the order in which a call goes through them.
const (
	CallIsProposed = "proposed"
	CallIsAllowed  = "allowed" // decided, or approved by a person
	CallIsDenied   = "denied"  // decided, refused or expired; its end is still to be written
	CallIsHeld     = "held"
	CallIsStarted  = "started"
	CallIsEnded    = "ended"
)

// ResultIsGiven is the status of a call whose result a fork gave.
const ResultIsGiven = "given"

// Call is a tool call of an agent's newest answer. Its id is the seq of call.proposed.
type Call struct {
	ID         int64  `json:"id"`
	Index      int64  `json:"index"`
	Tool       string `json:"tool"`
	Args       Ref    `json:"args"`
	Intent     int64  `json:"intent"`
	Effect     string `json:"effect"`
	Scope      string `json:"scope"`
	Idempotent bool   `json:"idempotent"`
	Targets    Ref    `json:"targets"`
	Phase      string `json:"phase"`
	Status     string `json:"status"`   // why it is denied, or how it ended
	Why        string `json:"why"`      // it is held
	Until      string `json:"until"`    // when a hold expires
	Approved   bool   `json:"approved"` // by a person, and not decided again since
	Proposed   Hash   `json:"proposed"` // hash of the entry call.proposed
	Policy     Ref    `json:"policy"`   // under which it was decided or approved
	Root       Object `json:"root"`     // at approval, then at start
	Attempt    int64  `json:"attempt"`  // starts so far
	Message    Ref    `json:"message"`  // what the model is told, once it ended
}

// Agent is one actor. It is immutable: the fold replaces it.
type Agent struct {
	Path    string
	Status  string // running, done, failed, stopped, undone (by a rollback)
	Model   string
	Goal    Ref
	Task    int64
	Step    int64 // turns so far; a rollback does not take it back
	List    List  // messages as last sent
	Intent  Ref
	Asked   int64 // seq of the model.asked that has no answer yet, −1 if none
	Attempt int64 // of the newest model.asked
	Answer  Ref   // newest assistant message, until it is part of List
	Finish  string
	Want    int64 // calls that Answer asks for
	Calls   []Call
	Notes   []Ref // messages that go into the list with the next model.asked, after the results
	Turn    Ref   // an answer given by a fork, to be taken instead of asking
	Session Ref   // of bash
}

// agentLine is the leaf of an agent in the state hash: this struct as JSON.
type agentLine struct {
	Path    string `json:"path"`
	Status  string `json:"status"`
	Model   string `json:"model"`
	Goal    Ref    `json:"goal"`
	Task    int64  `json:"task"`
	Step    int64  `json:"step"`
	Head    Hash   `json:"head"`
	Length  int64  `json:"length"`
	Intent  Ref    `json:"intent"`
	Asked   int64  `json:"asked"`
	Attempt int64  `json:"attempt"`
	Answer  Ref    `json:"answer"`
	Finish  string `json:"finish"`
	Want    int64  `json:"want"`
	Calls   []Call `json:"calls"`
	Notes   []Ref  `json:"notes"`
	Turn    Ref    `json:"turn"`
	Session Ref    `json:"session"`
}

func (a *Agent) line() agentLine {
	return agentLine{a.Path, a.Status, a.Model, a.Goal, a.Task, a.Step, a.List.Head(), int64(a.List.Len()),
		a.Intent, a.Asked, a.Attempt, a.Answer, a.Finish, a.Want, orEmpty(a.Calls), orEmpty(a.Notes), a.Turn, a.Session}
}

// Live says whether the agent can still act.
func (a *Agent) Live() bool { return a.Status == StatusRunning }

// Task is a node of the task graph.
type Task struct {
	ID     int64   `json:"id"`
	Status string  `json:"status"`
	Title  Ref     `json:"title"`
	Agent  string  `json:"agent"`
	After  []int64 `json:"after"`
	Result Ref     `json:"result"`
}

// Usage is what a run has spent. Nothing takes it back: a rollback does not refund.
type Usage struct {
	Steps     int64  `json:"steps"` // model answers
	Calls     int64  `json:"calls"` // tool calls that ended
	Tokens    Tokens `json:"tokens"`
	Estimated int64  `json:"estimated"` // tokens of lost attempts among them
	CostNUSD  int64  `json:"cost_nusd"`
	Unpriced  int64  `json:"unpriced"`  // answers whose price is unknown
	ActiveUS  int64  `json:"active_us"` // microseconds, pauses, holds and downtime taken out
}

// Mail is a message between agents that was sent and not yet received.
type Mail struct {
	Sent int64  `json:"sent"`
	From string `json:"from"`
	To   string `json:"to"`
	Body Ref    `json:"body"`
}

// maxMarks is how many snapshots a state remembers, so that a rollback that did not help can be
// followed by one that goes further back.
const maxMarks = 8

// Mark is a snapshot as the state remembers it, for a rollback. It is immutable.
type Mark struct {
	Seq   int64
	State Hash
	Root  Object
	Used  bool // a rollback went here already

	agents []*Agent
	tasks  []*Task
}

// State is the fold of a journal's entries up to some seq: everything that the runner needs to go
// on from there. Its methods never change what an earlier Clone sees. It is not safe for concurrent
// use, not even Hash alone, which keeps what it computed.
type State struct {
	Run     RunID
	Family  RunID
	Parent  *Parent
	Next    int64 // seq of the entry that comes next
	Tip     Hash  // hash of the newest entry
	Epoch   int64
	Status  string
	Why     string // of a pause; the outcome, once ended
	Stop    string // "", "asked" or "now": the run is asked to end
	Hold    bool   // an alarm holds the agents at their next call
	Spec    Ref
	Goal    Ref
	Model   string
	Policy  Ref
	Sandbox string
	Base    Object
	Root    Object
	LeftOut int64
	Limits  Limits
	Usage   Usage
	Mail    []Mail
	Undone  int64   // rollbacks so far
	Marks   []*Mark // newest snapshots, oldest first, at most maxMarks

	from       *Parent // what a fork's entry 0 has to name; set by Start
	lastUS     int64   // time of the newest folded entry, microseconds since 1970
	agents     []*Agent
	index      map[string]int
	tasks      []*Task
	stale      []int // agents that changed since agentTree was brought up to date
	agentTree  merkle
	taskTree   merkle
	fresh      bool // hash below is that of this state
	cachedHash Hash
}

// stateLine is what the state hash covers: SHA-256 of this struct as JSON. Agents and Tasks are
// the RFC 6962 roots over the agents' lines in order of appearance and over the tasks as JSON.
// Next, Tip and Epoch are left out: they are the journal's own, and a note changes them.
type stateLine struct {
	Fold    int        `json:"fold"`
	Run     RunID      `json:"run"`
	Family  RunID      `json:"family"`
	Parent  *Parent    `json:"parent"`
	Status  string     `json:"status"`
	Why     string     `json:"why"`
	Stop    string     `json:"stop"`
	Hold    bool       `json:"hold"`
	Spec    Ref        `json:"spec"`
	Goal    Ref        `json:"goal"`
	Model   string     `json:"model"`
	Policy  Ref        `json:"policy"`
	Sandbox string     `json:"sandbox"`
	Base    Object     `json:"base"`
	Root    Object     `json:"root"`
	LeftOut int64      `json:"left_out"`
	Limits  Limits     `json:"limits"`
	Usage   Usage      `json:"usage"`
	Mail    []Mail     `json:"mail"`
	Undone  int64      `json:"undone"`
	Marks   []markLine `json:"marks"`
	Agents  Hash       `json:"agents"`
	Tasks   Hash       `json:"tasks"`
}

// markLine is a snapshot in the state hash.
type markLine struct {
	Seq   int64 `json:"seq"`
	State Hash  `json:"state"`
	Used  bool  `json:"used"`
}

// Hash commits to the whole state. It costs the same however long the journal is.
func (s *State) Hash() Hash {
	if s.fresh {
		return s.cachedHash
	}
	marks := make([]markLine, len(s.Marks))
	for i, m := range s.Marks {
		marks[i] = markLine{m.Seq, m.State, m.Used}
	}
	s.updateAgentTree()
	line := stateLine{FoldVersion, s.Run, s.Family, s.Parent, s.Status, s.Why, s.Stop, s.Hold, s.Spec, s.Goal, s.Model,
		s.Policy, s.Sandbox, s.Base, s.Root, s.LeftOut, s.Limits, s.Usage, orEmpty(s.Mail), s.Undone,
		marks, s.agentTree.root(), s.taskTree.root()}
	s.cachedHash, s.fresh = sha256.Sum256(mustMarshal(line)), true
	return s.cachedHash
}

// updateAgentTree sets the leaves of the agents that changed. Few entries commit to a state, so an
// agent's leaf is made for those only and not for each entry.
func (s *State) updateAgentTree() {
	slices.Sort(s.stale) // new agents are appended in order
	for _, i := range s.stale {
		s.agentTree.set(i, mustMarshal(s.agents[i].line()))
	}
	s.stale = s.stale[:0]
}

// Agent returns the agent with that path, nil if there is none.
func (s *State) Agent(path string) *Agent {
	if i, ok := s.index[path]; ok {
		return s.agents[i]
	}
	return nil
}

// Agents returns all agents in order of appearance.
func (s *State) Agents() []*Agent { return slices.Clone(s.agents) }

// Tasks returns the task graph in order of making.
func (s *State) Tasks() []*Task { return slices.Clone(s.tasks) }

// Target is the snapshot that the next rollback should go to: the newest that none went to yet,
// else the oldest that is remembered; nil if there is no snapshot.
func (s *State) Target() *Mark {
	for i := len(s.Marks) - 1; i >= 0; i-- {
		if !s.Marks[i].Used {
			return s.Marks[i]
		}
	}
	if len(s.Marks) > 0 {
		return s.Marks[0]
	}
	return nil
}

// Call finds a call of an agent's newest answer, nil if there is none with that id.
func (s *State) Call(id int64) (*Agent, *Call) {
	for _, a := range s.agents {
		for i := range a.Calls {
			if a.Calls[i].ID == id {
				call := a.Calls[i]
				return a, &call
			}
		}
	}
	return nil, nil
}

// Clone is a copy that later entries do not change.
func (s *State) Clone() *State {
	next := *s
	next.agents = slices.Clone(s.agents)
	next.tasks = slices.Clone(s.tasks)
	next.index, next.stale = maps.Clone(s.index), slices.Clone(s.stale)
	next.Mail, next.Marks = slices.Clone(s.Mail), slices.Clone(s.Marks)
	next.agentTree, next.taskTree = s.agentTree.clone(), s.taskTree.clone()
	return &next
}

func (s *State) setAgent(a *Agent) {
	i, ok := s.index[a.Path]
	if !ok {
		i = len(s.agents)
		s.index[a.Path] = i
		s.agents = append(s.agents, nil)
	}
	s.agents[i] = a
	if !slices.Contains(s.stale, i) {
		s.stale = append(s.stale, i)
	}
}

func (s *State) setTask(t *Task) {
	i := int(t.ID - 1)
	if i == len(s.tasks) {
		s.tasks = append(s.tasks, nil)
	}
	s.tasks[i] = t
	s.taskTree.set(i, mustMarshal(t))
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// mustMarshal encodes structs of numbers, names and hashes, which cannot fail.
func mustMarshal(v any) []byte {
	b, err := marshal(v)
	if err != nil {
		panic(fmt.Sprintf("journal: encode %T: %v", v, err))
	}
	return b
}
