package gate

import (
	"time"

	"tachograph/schemas/journal"
)

// Event is a step in a call's life, told as soon as its entry is durable: what spans, live views and
// counters need. At call.ended the tree may not be at the entry's root yet. Fields that the kind does
// not have are zero.
type Event struct {
	Kind  journal.Kind // call.proposed … call.ended
	Time  time.Time
	Seq   int64 // of the entry
	Agent string
	Call  int64
	Step  int64
	Index int64
	Tool  string

	// call.proposed
	Effect, Scope string
	Targets       *Targets
	// call.decided
	Decision *Decision
	Actions  []string
	// call.held
	Why, Until string
	// call.approved, call.refused
	By, Reason string
	// call.started, call.ended
	Attempt  int64
	Root     journal.Object
	Status   string
	Exit     int64
	Files    int64
	Added    int64
	Removed  int64
	Observed string
	Took     time.Duration
}
