// Package gate is the policy enforcement point: the one door that each tool call passes. It decides
// on a call, holds it for a person where policy says so, journals it, and only then has it run.
//
// # A call's life
//
//	proposed ─ decided ┬ allow ───────────────────────────→ started ─ ended
//	                   ├ hold ─ held ┬ approved ─ (decided) ──↑
//	                   │             ├ refused ─→ ended
//	                   │             └ expired ─→ ended
//	                   └ deny ─→ ended
//
// Each arrow is an entry of the journal, durable before the next thing happens; the phases are those
// of [journal.Call]. What a call would touch is found by the package runner/gate/reach, what may be
// asked about it stands in schema.cedarschema, and the answer in the run's policy (cautious.cedar is
// the built-in one).
//
// Invariant: call.started is durable before a tool runs, and names the root of the workspace it acts
// on. Only a permit can be run, and [Gate.start] alone makes one, of an allowance and its entry.
//
// Invariant: after call.ended the workspace on disk is at the root that the entry names. A change
// that cannot be recorded is undone before the entry says so.
//
// Invariant: an approval is for this proposal, this policy and this root. If one differs when the
// call could start, it is decided again.
//
// Calls that may change the workspace run one at a time, those that only read it side by side: the
// lower layer of an overlay must not change while it is mounted, and a delta must be one call's.
//
// # Content
//
// What a model, tool or person wrote is content, named by a salted hash. The JSON forms are those of
// [Targets] and [Decision.JSON], and of workspace.Delta.
//
// The package must never let a call run that was not decided under the policy in force, never take
// back a fact because a parser did not see it, and never hand sandbox or tools to anybody else.
//
// Read first: gate.go (the way in), call.go (one call from phase to phase), run.go (the permit),
// hold.go. The policy half: policy.go, decide.go, validate.go.
package gate
