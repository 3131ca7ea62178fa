package journal

// Kind says what an entry records. Kinds that begin with "note." carry a free body and never
// change state; every other kind has one struct below.
type Kind string

const (
	KindRunStarted       Kind = "run.started"
	KindRunEnded         Kind = "run.ended"
	KindIntent           Kind = "intent"
	KindModelAsked       Kind = "model.asked"
	KindModelAnswered    Kind = "model.answered"
	KindCallProposed     Kind = "call.proposed"
	KindCallDecided      Kind = "call.decided"
	KindCallHeld         Kind = "call.held"
	KindCallApproved     Kind = "call.approved"
	KindCallRefused      Kind = "call.refused"
	KindCallExpired      Kind = "call.expired"
	KindCallStarted      Kind = "call.started"
	KindCallEnded        Kind = "call.ended"
	KindContextCompacted Kind = "context.compacted"
	KindTaskChanged      Kind = "task.changed"
	KindAgentSpawned     Kind = "agent.spawned"
	KindAgentEnded       Kind = "agent.ended"
	KindMessageSent      Kind = "message.sent"
	KindMessageReceived  Kind = "message.received"
	KindWorkspaceTouched Kind = "workspace.touched"
	KindWorkspaceMerged  Kind = "workspace.merged"
	KindCheckpoint       Kind = "checkpoint"
	KindSnapshot         Kind = "snapshot"
	KindRolledBack       Kind = "rolledback"
	KindPaused           Kind = "paused"
	KindResumed          Kind = "resumed"
	KindStopped          Kind = "stopped"
	KindRecovered        Kind = "recovered"
	KindAlarmRaised      Kind = "alarm.raised"
	KindPolicyChanged    Kind = "policy.changed"
	KindLimitChanged     Kind = "limit.changed"

	// NotePrefix begins the kinds that anybody may add.
	NotePrefix = "note."
)

// Commit is the commitment of an entry to the state before it: the hash of the fold of all
// entries with a smaller seq, and the version of that fold. The writer of the journal fills it
// in; see [Committed].
type Commit struct {
	State Hash `json:"state"`
	Fold  int  `json:"fold"`
}

// Limits are a run's budgets. Zero means no limit. Money is in billionths of a US dollar.
type Limits struct {
	Steps    int64 `json:"steps"`
	Tokens   int64 `json:"tokens"` // input + output, cached input included
	CostNUSD int64 `json:"cost_nusd"`
	Seconds  int64 `json:"seconds"` // time in which the run was active, not paused or held
}

// Tokens is what one model answer used. Input includes Cached; Output includes Reasoning.
type Tokens struct {
	Input     int64 `json:"input"`
	Cached    int64 `json:"cached"`
	Output    int64 `json:"output"`
	Reasoning int64 `json:"reasoning"`
}

// Parent is where a fork begins: the state of another run of the family after its entry Seq.
type Parent struct {
	Run   RunID `json:"run"`
	Seq   int64 `json:"seq"`
	Entry Hash  `json:"entry"` // hash of that entry
	State Hash  `json:"state"` // of the fold of the entries 0 … Seq
}

// GivenResult is what a fork tells the model of a call in place of what its parent recorded.
type GivenResult struct {
	Call    int64 `json:"call"`    // as the parent named it: the seq of its call.proposed
	Message Ref   `json:"message"` // what the model is told
}

// RunStarted is entry 0. A fork has Parent; what was changed for it is in Results, Turn, Message and
// Spec, and By is who wanted it.
type RunStarted struct {
	Spec    Ref           `json:"spec"`              // the spec, as JSON
	Goal    Ref           `json:"goal"`              // the prompt
	Model   string        `json:"model"`             // provider/name
	Family  RunID         `json:"family"`            // the family's root run; the run itself if it is no fork
	Parent  *Parent       `json:"parent,omitzero"`   //
	Results []GivenResult `json:"results,omitempty"` // of calls of the newest answers at Parent, in order of Call
	Turn    Ref           `json:"turn,omitzero"`     // the next model answer of the root agent, given instead of asked for
	Message Ref           `json:"message,omitzero"`
	By      Ref           `json:"by,omitzero"` // who made the fork
	Base    Object        `json:"base"`        // the family's tree as it was before any run
	Root    Object        `json:"root"`        // the tree at the start of this run; of a fork: as it was at Parent, whatever Results say
	LeftOut int64         `json:"left_out"`    // what the copy of the user's directory left out, as files or directories; a fork has its parent's
	Policy  Ref           `json:"policy"`      // the policy set, as text
	Sandbox string        `json:"sandbox"`     // tier: "1", "2" or "off"
	Limits  Limits        `json:"limits"`
}

// RunEnded closes the journal. Outcome: done, failed or stopped.
type RunEnded struct {
	Outcome string `json:"outcome"`
	Reason  Ref    `json:"reason,omitzero"`
	Root    Object `json:"root"`
	Commit
}

// Intent says in one sentence why the agent does what follows. Source: declared or derived.
type Intent struct {
	Text   Ref    `json:"text"`
	Source string `json:"source"`
}

// ModelAsked precedes a request to a model. The list that is sent is the first Kept messages of
// the agent's list, then New; Head and Length are those of the result. The request's bytes are
// Frame with the messages, joined by commas, inserted At (byte offset).
type ModelAsked struct {
	Step    int64  `json:"step"`
	Attempt int64  `json:"attempt"` // from 1; more than 1 after a lost or failed attempt
	Model   string `json:"model"`
	Kept    int64  `json:"kept"`
	New     []Ref  `json:"new"`
	Head    Hash   `json:"head"`
	Length  int64  `json:"length"`
	Frame   Ref    `json:"frame"`
	At      int64  `json:"at"`
	Commit
}

// ModelAnswered follows ModelAsked. Status: ok, given (the turn was set by a fork), failed, lost
// (the process died while asking; Tokens are then estimated).
type ModelAnswered struct {
	Asked     int64  `json:"asked"` // seq of model.asked
	Status    string `json:"status"`
	Message   Ref    `json:"message,omitzero"` // the assistant message, as it goes back to the model
	Raw       Ref    `json:"raw,omitzero"`     // the provider's answer, byte for byte
	Error     Ref    `json:"error,omitzero"`
	Finish    string `json:"finish,omitzero"` // stop, tool_calls, length, content_filter or other
	Calls     int64  `json:"calls"`           // tool calls that it asks for
	Tokens    Tokens `json:"tokens"`
	Estimated bool   `json:"estimated,omitzero"`
	CostNUSD  int64  `json:"cost_nusd"`
	Priced    bool   `json:"priced"` // false: no price is known, and CostNUSD is 0 for that reason
}

// CallProposed is a tool call that the model asked for. A call is named by the seq of this entry.
// Effect: none, read, write, delete. Scope: workspace, machine, external.
type CallProposed struct {
	Step       int64  `json:"step"`
	Index      int64  `json:"index"` // among the calls of the answer, from 0; −1: the spec's check
	Tool       string `json:"tool"`
	Args       Ref    `json:"args"`   // JSON, the intent taken out
	Intent     int64  `json:"intent"` // seq of the intent entry, −1 if none
	Effect     string `json:"effect"`
	Scope      string `json:"scope"`
	Idempotent bool   `json:"idempotent"`
	Targets    Ref    `json:"targets,omitzero"` // JSON: normalised paths, hosts and commands
}

// CallDecided is what policy said: allow, deny or hold.
type CallDecided struct {
	Call     int64  `json:"call"`
	Decision string `json:"decision"`
	Engine   string `json:"engine"`
	Policy   Ref    `json:"policy"`
	Reasons  Ref    `json:"reasons,omitzero"` // JSON: ids and reasons of the policies that matched
	Errors   int64  `json:"errors,omitzero"`  // policy errors; any means deny
}

// CallHeld waits for a person. Why: policy, doubt (the call may have happened already), alarm.
type CallHeld struct {
	Call  int64  `json:"call"`
	Why   string `json:"why"`
	Until string `json:"until,omitzero"` // RFC 3339 UTC, seconds; after it the call expires
}

// CallApproved lets a held call start while these three still hold; else it is decided again.
type CallApproved struct {
	Call     int64  `json:"call"`
	Proposed Hash   `json:"proposed"` // hash of the entry call.proposed
	Policy   Ref    `json:"policy"`
	Root     Object `json:"root"`
	By       Ref    `json:"by"`
	Reason   Ref    `json:"reason,omitzero"`
}

// CallRefused is a person's no.
type CallRefused struct {
	Call   int64 `json:"call"`
	By     Ref   `json:"by"`
	Reason Ref   `json:"reason,omitzero"`
}

// CallExpired is a hold that nobody answered in time.
type CallExpired struct {
	Call int64 `json:"call"`
}

// CallStarted is durable before the effect begins.
type CallStarted struct {
	Call    int64  `json:"call"`
	Attempt int64  `json:"attempt"` // from 1
	Root    Object `json:"root"`
	Key     string `json:"key,omitzero"` // idempotency key, if the tool sends one
	Commit
}

// CallEnded is the outcome. Status: ok, error, timeout, killed, denied, refused, expired, skipped
// (the last four without a start). Message is what the model is told.
type CallEnded struct {
	Call     int64  `json:"call"`
	Status   string `json:"status"`
	Exit     int64  `json:"exit"`
	Message  Ref    `json:"message"`
	Output   Ref    `json:"output,omitzero"`  // whole output, where Message shows a part
	Session  Ref    `json:"session,omitzero"` // working directory and exported variables of bash
	Root     Object `json:"root"`             // of the workspace after the call
	Delta    Ref    `json:"delta,omitzero"`   // JSON: the paths that changed
	Files    int64  `json:"files"`
	Added    int64  `json:"added"`    // lines
	Removed  int64  `json:"removed"`  // lines
	LeftOut  int64  `json:"left_out"` // as Snapshot.LeftOut, after the call
	Observed string `json:"observed"` // effect that was seen: none, read, write, delete
	MicroSec int64  `json:"us"`       // wall time of the tool
}

// ContextCompacted replaces the middle of an agent's list: the first Kept messages stay, New
// follow, then the last Tail messages stay.
type ContextCompacted struct {
	Kept   int64 `json:"kept"`
	New    []Ref `json:"new"`
	Tail   int64 `json:"tail"`
	Head   Hash  `json:"head"`
	Length int64 `json:"length"`
}

// TaskChanged makes or changes a task of the graph. Status: open, running, done, failed, dropped.
type TaskChanged struct {
	Task   int64   `json:"task"` // from 1, in order of making
	Status string  `json:"status"`
	Title  Ref     `json:"title,omitzero"` // kept when absent
	Agent  string  `json:"agent,omitzero"`
	After  []int64 `json:"after,omitzero"` // tasks that come before it: none when empty, kept when absent
	Result Ref     `json:"result,omitzero"`
}

// AgentSpawned adds the agent Path, a child of the entry's agent.
type AgentSpawned struct {
	Path  string `json:"path"`
	Goal  Ref    `json:"goal"`
	Model string `json:"model"`
	Task  int64  `json:"task,omitzero"`
}

// AgentEnded ends the agent Path. Outcome: done, failed or stopped.
type AgentEnded struct {
	Path    string `json:"path"`
	Outcome string `json:"outcome"`
	Result  Ref    `json:"result,omitzero"`
}

// MessageSent goes from the entry's agent to another one. It is named by its seq.
type MessageSent struct {
	To   string `json:"to"`
	Body Ref    `json:"body"`
}

// MessageReceived: the entry's agent took the message Sent into its list's next turn.
type MessageReceived struct {
	Sent int64 `json:"sent"`
}

// WorkspaceTouched is a change that no call made. By: recovery, person.
type WorkspaceTouched struct {
	By    string `json:"by"`
	Root  Object `json:"root"`
	Delta Ref    `json:"delta,omitzero"`
	Files int64  `json:"files"`
}

// WorkspaceMerged takes the result of another run or agent into this workspace.
type WorkspaceMerged struct {
	From      RunID  `json:"from"`
	FromRoot  Object `json:"from_root"`
	Root      Object `json:"root"`
	Delta     Ref    `json:"delta,omitzero"`
	Files     int64  `json:"files"`
	Conflicts int64  `json:"conflicts"`
}

// Checkpoint says that the folded state was written to the cache.
type Checkpoint struct {
	Root Object `json:"root"`
	Commit
}

// Snapshot is a rollback target. Why: started, interval, risky (before a call that cannot be
// undone), paused, stopped, ended, asked.
type Snapshot struct {
	Why     string `json:"why"`
	Root    Object `json:"root"`
	LeftOut int64  `json:"left_out"` // files or directories that Root does not cover: RunStarted.LeftOut and those that now lie in the tree
	Commit
}

// RolledBack takes lists, tasks and workspace back to the snapshot To. Message tells the agent.
type RolledBack struct {
	To      int64  `json:"to"` // seq of the snapshot
	Root    Object `json:"root"`
	Message Ref    `json:"message"`
	Reason  Ref    `json:"reason"`
}

// Paused stops every agent before its next model request or call. Why: asked, fork, budget,
// quota, alarm, model (it gives no answer).
type Paused struct {
	Why string `json:"why"`
	By  Ref    `json:"by,omitzero"`
}

// Resumed ends a pause.
type Resumed struct {
	By Ref `json:"by,omitzero"`
}

// Stopped asks the run to end. Now: the running call is killed.
type Stopped struct {
	By  Ref  `json:"by,omitzero"`
	Now bool `json:"now"`
}

// Recovered is the first entry of a process that took the run over. Doubt lists the calls that
// may have happened; Rerun those that are run again because their effect was dropped.
type Recovered struct {
	Doubt []int64 `json:"doubt,omitempty"`
	Rerun []int64 `json:"rerun,omitempty"`
	Lost  []int64 `json:"lost,omitempty"` // seqs of model.asked without an answer
}

// AlarmRaised records a condition that a person should look at.
type AlarmRaised struct {
	Alarm  string `json:"alarm"` // identifier, as "disk.full"
	Reason Ref    `json:"reason,omitzero"`
	Hold   bool   `json:"hold"` // the agents are held at their next call
}

// PolicyChanged replaces the policy set from here on.
type PolicyChanged struct {
	Policy Ref `json:"policy"`
	By     Ref `json:"by,omitzero"`
}

// LimitChanged replaces the budgets from here on.
type LimitChanged struct {
	Limits Limits `json:"limits"`
	By     Ref    `json:"by,omitzero"`
}
