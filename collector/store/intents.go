package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"tachograph/schemas/attr"
	"tachograph/schemas/genai"
	"tachograph/schemas/journal"
	"tachograph/schemas/tables"
)

// What the worker of collector/intents asks for, and who looks for intents by what they mean.

// Embedding names vectors that compare with one another.
type Embedding struct {
	Name       string // of the embedder
	Dimensions int    // of its vectors; 0: not known yet, then any number will do
}

func (e Embedding) parameters() []string {
	return []string{"embedder", e.Name, "dimensions", fmt.Sprint(max(0, e.Dimensions))}
}

// IntentSegment is a segment that brought spans with an intent, or tool calls of other people's agents: these state none,
// and get what a user or the assistant said last in their trace when they began.
type IntentSegment struct {
	Segment  [16]byte
	Received time.Time
	Spans    int64 // such spans, at most; a call before which nobody said anything gets no intent
}

func scanIntentSegment(r driver.Rows) (s IntentSegment, err error) {
	var id uuid.UUID
	var received int64
	err = r.Scan(&id, &received, &s.Spans)
	s.Segment, s.Received = id, time.UnixMilli(received).UTC()
	return s, err
}

// IntentSegments are the segments that were received since a time and have spans with an intent, whether there are vectors
// or not, oldest first: a question that costs next to nothing. It does not see a segment that comes with an
// earlier time of arrival than since, as a spool that could not be stored for a while brings it; see IntentBacklog.
func (s *Store) IntentSegments(ctx context.Context, since time.Time) ([]IntentSegment, error) {
	found, err := list(with(ctx, "project", s.project, "since", fmt.Sprint(since.UnixMilli())), s, question("intent_segments"), scanIntentSegment)
	if err != nil {
		return nil, fmt.Errorf("list segments with intents: %w", err)
	}
	return found, nil
}

// bucketIntents bounds the rows of `intents` that the engine holds in memory at once for IntentBacklog.
const bucketIntents = 500_000

// IntentBacklog are the segments, of any age, with spans whose intent has no row of that embedding, oldest first, and how many
// such spans each has. It reads the keys of all spans: tens of milliseconds for a million.
func (s *Store) IntentBacklog(ctx context.Context, e Embedding) ([]IntentSegment, error) {
	var rows uint64
	if err := s.conn.QueryRow(with(ctx, "project", s.project), "SELECT count() FROM intents WHERE project = {project:String}").Scan(&rows); err != nil {
		return nil, fmt.Errorf("count intents: %w", err)
	}
	buckets := rows/bucketIntents + 1
	all := map[[16]byte]IntentSegment{}
	for bucket := range buckets {
		found, err := list(with(ctx, append(e.parameters(), "project", s.project, "buckets", fmt.Sprint(buckets), "bucket", fmt.Sprint(bucket))...),
			s, question("intent_backlog"), scanIntentSegment)
		if err != nil {
			return nil, fmt.Errorf("list intents without vectors: %w", err)
		}
		for _, f := range found {
			f.Spans += all[f.Segment].Spans
			all[f.Segment] = f
		}
	}
	sorted := make([]IntentSegment, 0, len(all))
	for _, f := range all {
		sorted = append(sorted, f)
	}
	slices.SortFunc(sorted, func(a, b IntentSegment) int {
		return cmp.Or(a.Received.Compare(b.Received), slices.Compare(a.Segment[:], b.Segment[:]))
	})
	return sorted, nil
}

// IntentSpans are at most limit spans of a segment whose intent has no row of that embedding, in the order of their keys, after a
// key (zeros: from the beginning), as rows that lack the embedder's part: name, vector and distance.
func (s *Store) IntentSpans(ctx context.Context, of IntentSegment, e Embedding, afterTrace [16]byte, afterSpan uint64, limit int) ([]tables.Intent, error) {
	ctx = with(ctx, append(e.parameters(), "project", s.project, "seg", uuid.UUID(of.Segment).String(), "received", fmt.Sprint(of.Received.UnixMilli()),
		"after_trace", uuid.UUID(afterTrace).String(), "after_span", fmt.Sprint(afterSpan), "limit", fmt.Sprint(limit))...)
	found, err := list(ctx, s, question("intent_spans"), func(r driver.Rows) (tables.Intent, error) {
		i := tables.Intent{Project: s.project, Distance: tables.Absent}
		var trace uuid.UUID
		err := r.Scan(&trace, &i.SpanID, &i.Time, &i.AgentPath, &i.Tool, &i.Source, &i.Text)
		i.TraceID = trace
		return i, err
	})
	if err != nil {
		return nil, fmt.Errorf("read intents of segment %s: %w", uuid.UUID(of.Segment), err)
	}
	return found, nil
}

// ForgetIntents deletes the intents of those of the traces that have no span any more. Whoever adds intents calls it
// afterwards: a family may have been erased since the spans were read. If the spans are still there, so is
// DeleteFamily's turn to delete intents, which comes after theirs.
func (s *Store) ForgetIntents(ctx context.Context, traces [][16]byte) error {
	for some := range slices.Chunk(traces, maxNames) {
		found, err := list(with(ctx, "project", s.project, "traces", uuidsParameter(some)), s,
			"SELECT DISTINCT trace_id FROM spans WHERE project = {project:String} AND trace_id IN ({traces:Array(UUID)})",
			func(r driver.Rows) (id uuid.UUID, err error) { return id, r.Scan(&id) })
		if err != nil {
			return fmt.Errorf("look for erased traces: %w", err)
		}
		gone := slices.DeleteFunc(slices.Clone(some), func(t [16]byte) bool { return slices.Contains(found, uuid.UUID(t)) })
		if len(gone) == 0 {
			continue
		}
		err = s.conn.Exec(with(ctx, "project", s.project, "traces", uuidsParameter(gone)),
			"ALTER TABLE intents DELETE WHERE project = {project:String} AND trace_id IN ({traces:Array(UUID)}) SETTINGS mutations_sync = 2")
		if err != nil {
			return fmt.Errorf("delete intents of erased traces: %w", err)
		}
	}
	return nil
}

// Goals are what people asked for in some traces, at most maxGoal bytes of each: of our runs what their journals say, of other
// people's traces the first text of a user in the messages of the oldest span that has messages. Traces without
// are not in the answer: they have none, none has come yet, or it was erased.
func (s *Store) Goals(ctx context.Context, traces [][16]byte) (map[[16]byte]string, error) {
	goals := map[[16]byte]string{}
	for some := range slices.Chunk(traces, maxNames) {
		if err := s.goalsOfRuns(ctx, some, goals); err != nil {
			return nil, fmt.Errorf("read goals of runs: %w", err)
		}
		var others [][16]byte
		for _, trace := range some {
			if goals[trace] == "" {
				others = append(others, trace)
			}
		}
		if err := s.goalsOfTraces(ctx, others, goals); err != nil {
			return nil, fmt.Errorf("read goals of traces: %w", err)
		}
	}
	return goals, nil
}

func (s *Store) goalsOfRuns(ctx context.Context, traces [][16]byte, into map[[16]byte]string) error {
	runs, err := list(with(ctx, "project", s.project, "traces", uuidsParameter(traces)), s, question("run_goals"), func(r driver.Rows) (run Run, err error) {
		var id, family uuid.UUID
		var goal string
		err = r.Scan(&id, &family, &goal)
		run.ID, run.Family, run.Goal = journal.RunID(id), journal.RunID(family), hash(goal)
		return run, err
	})
	if err == nil {
		err = s.fillGoals(ctx, runs)
	}
	if err != nil {
		return err
	}
	for _, run := range runs {
		if run.GoalText != "" {
			into[run.ID] = run.GoalText
		}
	}
	return nil
}

// opening is what a trace of somebody else began with.
type opening struct {
	trace    [16]byte
	family   [16]byte
	messages string   // as the attribute shows them
	whole    [32]byte // the name of all of them
	cut      bool
}

func (s *Store) goalsOfTraces(ctx context.Context, traces [][16]byte, into map[[16]byte]string) error {
	if len(traces) == 0 {
		return nil
	}
	openings, err := list(with(ctx, "project", s.project, "traces", uuidsParameter(traces), "key", attr.GenAIInputMessages), s, question("first_messages"),
		func(r driver.Rows) (o opening, err error) {
			var trace uuid.UUID
			var conversation, whole string
			var cut uint8
			err = r.Scan(&trace, &conversation, &o.messages, &whole, &cut)
			o.trace, o.whole, o.cut = trace, hash(whole), cut == 1
			o.family = tables.ConversationFamily(s.project, conversation, trace)
			return o, err
		})
	if err != nil {
		return err
	}
	var unread []opening // the user's text lies behind the cut
	for _, o := range openings {
		if goal := genai.First(o.messages, maxGoal); goal != "" {
			into[o.trace] = goal
		} else if o.cut {
			unread = append(unread, o)
		}
	}
	return s.readOn(ctx, unread, into)
}

// maxOpening bounds, in bytes, how far a user's text is looked for behind a long system prompt.
const maxOpening = 256 << 10

// readOn looks for goals in the values as they were before they were cut.
func (s *Store) readOn(ctx context.Context, openings []opening, into map[[16]byte]string) error {
	for some := range slices.Chunk(openings, 64) { // at most 16 MiB
		names, families := make([][32]byte, len(some)), make([][16]byte, len(some))
		for i, o := range some {
			names[i], families[i] = o.whole, o.family
		}
		_, err := list(with(ctx, "project", s.project, "families", uuidsParameter(families), "names", namesParameter(names), "size", fmt.Sprint(maxOpening)),
			s, question("beginnings"), func(r driver.Rows) (none struct{}, err error) {
				var family uuid.UUID
				var name, text string
				if err = r.Scan(&family, &name, &text); err != nil {
					return none, err
				}
				for _, o := range some {
					if o.family != [16]byte(family) || o.whole != hash(name) {
						continue
					}
					if goal := genai.First(text, maxGoal); goal != "" {
						into[o.trace] = goal
					}
				}
				return none, nil
			})
		if err != nil {
			return err
		}
	}
	return nil
}

func uuidsParameter(ids [][16]byte) string {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = "'" + uuid.UUID(id).String() + "'"
	}
	return "[" + strings.Join(texts, ",") + "]"
}

// Nearest asks for the intents whose vectors have the smallest angle to a vector. The zero times are no bounds.
type Nearest struct {
	Vector   []float32
	Embedder string // that made it
	From, To time.Time
	Limit    int // 10 if 0
}

// maxNearest bounds Nearest.Limit.
const maxNearest = 1000

// NearIntent is an intent that was found.
type NearIntent struct {
	TraceID   [16]byte
	SpanID    uint64
	Time      time.Time // start of the span
	AgentPath string
	Tool      string
	Source    string
	Text      string
	FromGoal  float32 // cosine distance to the run's goal; −1: not known
	Distance  float32 // cosine distance to the vector that was asked for: 0 the same direction, 1 nothing in common
}

// NearestIntents are found by comparing with all of the project's intents of the time: exact, and fast enough up to some 100,000.
func (s *Store) NearestIntents(ctx context.Context, n Nearest) ([]NearIntent, error) {
	vector, err := vectorParameter(n.Vector)
	if err != nil {
		return nil, fmt.Errorf("look for near intents: %w", err)
	}
	from, to := int64(math.MinInt64), int64(math.MaxInt64)
	if !n.From.IsZero() {
		from = n.From.UnixNano()
	}
	if !n.To.IsZero() {
		to = n.To.UnixNano()
	}
	limit := n.Limit
	if limit <= 0 {
		limit = 10
	}
	e := Embedding{Name: n.Embedder, Dimensions: len(n.Vector)}
	ctx = with(ctx, append(e.parameters(), "project", s.project, "vector", vector, "from", fmt.Sprint(from), "to", fmt.Sprint(to), "limit", fmt.Sprint(min(limit, maxNearest)))...)
	found, err := list(ctx, s, question("nearest_intents"), func(r driver.Rows) (i NearIntent, err error) {
		var trace uuid.UUID
		var start int64
		err = r.Scan(&trace, &i.SpanID, &start, &i.AgentPath, &i.Tool, &i.Source, &i.Text, &i.FromGoal, &i.Distance)
		i.TraceID, i.Time = trace, time.Unix(0, start).UTC()
		return i, err
	})
	if err != nil {
		return nil, fmt.Errorf("look for near intents: %w", err)
	}
	return found, nil
}

// vectorParameter spells a vector that has a direction.
func vectorParameter(v []float32) (string, error) {
	text, direction := []byte{'['}, false
	for i, x := range v {
		if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
			return "", fmt.Errorf("component %d of the vector is %v", i, x)
		}
		if i > 0 {
			text = append(text, ',')
		}
		text = strconv.AppendFloat(text, float64(x), 'g', -1, 32)
		direction = direction || x != 0
	}
	if !direction {
		return "", errors.New("the vector has no direction: it is of a text without a word")
	}
	return string(append(text, ']')), nil
}
