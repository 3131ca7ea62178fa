package spans

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"go.opentelemetry.io/otel/trace"

	"tachograph/schemas/attr"
	"tachograph/schemas/journal"
)

// Names of spans in their ids; an agent's has its path behind it.
const (
	namePlan  = attr.OperationPlan
	nameChat  = attr.OperationChat
	nameCall  = attr.OperationExecuteTool
	nameAgent = attr.OperationInvokeAgent + " "
)

// Error types (error.type) of spans that did not end by themselves; the others are statuses that
// entries spell.
const (
	ErrorRolledBack = "rolledback" // a rollback undid it
	ErrorRunEnded   = "run_ended"  // the run ended meanwhile
	ErrorLost       = "lost"       // nobody waits for the answer any more
)

// TraceID is the trace of a run.
func TraceID(run journal.RunID) trace.TraceID { return trace.TraceID(run) }

// SpanID is the id of the span that the entry seq of run opened; see the package comment for name.
func SpanID(run journal.RunID, seq int64, name string) trace.SpanID {
	const domain = "tacho-span-v1\n"
	b := make([]byte, 0, len(domain)+len(run)+8+len(name))
	b = append(append(b, domain...), run[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(seq))
	sum := sha256.Sum256(append(b, name...))
	for at := 0; at+8 <= len(sum); at += 8 {
		if id := trace.SpanID(sum[at : at+8]); id.IsValid() {
			return id
		}
	}
	panic("spans: a SHA-256 of zeros")
}

// span is one span as the journal shows it, open or closed. Texts in it are names of content, read
// when the span is made; so an open span is small, and projecting a journal reads entries only.
type span struct {
	id, parent trace.SpanID // parent is zero for the root
	name       string
	kind       trace.SpanKind
	start, end time.Time
	agent      string // path
	step       int64
	seq, last  int64 // of the entries that opened and closed it

	failure string      // error.type; empty: it went well
	because journal.Ref // says more about the failure
	links   []link
	events  []event
	dropped int64 // events

	detail detail
}

// link points to a span of another run, or to an earlier one of this run.
type link struct {
	run      journal.RunID
	span     trace.SpanID
	relation string
}

// event is a moment in a span.
type event struct {
	name   string
	time   time.Time
	seq    int64
	values []value
}

// value is an attribute whose value may be content that is not read yet.
type value struct {
	key string
	val any         // string, int64 or bool
	ref journal.Ref // content, if not zero
}

// maxEvents bounds the events of one span; the newest stay, because they tell how it ended.
const maxEvents = 512

func (s *span) add(events ...event) {
	s.events = append(s.events, events...)
	if over := len(s.events) - maxEvents; over > 0 {
		s.dropped += int64(over)
		s.events = append(s.events[:0], s.events[over:]...)
	}
}

// close ends the span at an entry. failure is the error.type, empty for none.
func (s *span) close(e journal.Entry, failure string) {
	s.end, s.last, s.failure = e.Time, e.Seq, failure
}

// detail is what a span of one kind says besides.
type detail interface{ describe(d *describer) }
