// Package script plays a model whose turns are written down. It is for demos and tests: everything
// round the model is real, and what the model says is known.
//
// [Script.Next] is a pure function of the script and the messages: it keeps no position, so a run
// that was recovered, rolled back or forked goes on where its messages say it is. The package must
// never read a clock, a file or anything else that would make two readings differ.
// Read [Script.Next] and then [Parse].
//
// # The file
//
// A script is one YAML 1.1 document (JSON is YAML). Unknown and doubled fields are refused by name
// and line. Durations are written as Go writes them: 300ms, 2s. What YAML 1.1 takes for a boolean
// (y, n, yes, no, on, off) or a number must be quoted where text is meant.
//
//	pace:   duration   time each turn takes, for people who watch; default 0
//	turns:  [item]     the start scene
//	scenes: [scene]    other scenes, tried in this order
//
//	scene:             turns that are played from a certain message on
//	  name:  text      for error messages
//	  when:  condition on one message, see below; required
//	  turns: [item]
//
//	item:              a turn, a turn that is repeated, or a group of turns that is repeated
//	  repeat: count    1 … 1,000,000; default 1
//	  turns:  [turn]   makes it a group; then no other field but repeat is allowed
//	  … the fields of a turn
//
//	turn:              one answer of the model; at least one of say, calls, fail
//	  label:     text  for error messages
//	  reasoning: text  reasoning_content; left out it is absent, "" makes it present and empty
//	  say:       text  content
//	  calls:     [call]
//	  finish:    stop, tool_calls, length, content_filter or other; default by calls
//	  usage:     {input, cached, output, reasoning} in tokens; default an estimate by length
//	  pace:      duration
//	  fail:      text  the model answers with this error instead; excludes say, calls, reasoning
//	  expect:    [expectation], all must hold before the turn is given
//
//	call:
//	  tool:   name     required
//	  intent: text     becomes the argument "intent", the first one
//	  args:   mapping  the arguments, in the order written; keys must be text
//	  raw:    text     the arguments as they are, broken ones too; excludes args and intent
//
//	expectation:       what the messages must say; a run whose script is not met fails
//	  from: last            the newest message (default)
//	        any             any message
//	        user, system, assistant   any message of that role (developer counts as system)
//	        tool            any result of the newest answer's calls
//	        a tool's name   the newest result of that tool
//	  call: number     the result of that call of the newest answer, from 1; excludes from
//	  contains:     text
//	  matches:      RE2 regular expression
//	  not_contains: text
//
//	condition:         as an expectation, for one message; no call. from is user, system (default:
//	                   both), tool or a tool's name
//
// At least one of contains, matches and not_contains is required. The first two hold if one of the
// selected messages' contents fits, each on its own; the third if none contains the text. An
// expectation that selects no message does not hold.
//
// In an item with repeat, and nowhere else, ${n} stands for the number of the repetition, from 1,
// and ${n+K}, ${n-K}, ${n*K}, ${n/K}, ${n%K} for what they compute on whole numbers: in reasoning,
// say, intent, args, raw, fail, contains and not_contains. Inside args they stand within text; for
// a number as such write raw. All other uses of "${" stay as they are, so shell commands need no
// escapes.
//
// # Which turn is next
//
// The call ids of a scripted answer carry its place: call_<scene>_<turn>_<length>_<index>, where
// scene 0 is the start scene and 1, 2, … are those of scenes, turns and calls count from 1 with
// repetitions unrolled, and length is the number of messages that were given. The newest message
// that tells the place decides:
//
//   - an answer whose first id has that form: its scene, the turn after it;
//   - a message that fits a scene's when: that scene, its first turn;
//   - else the beginning of the list: the start scene, its first turn.
//
// Each answer without such an id that is newer than that message counts as one turn. So a note
// "rolled back: …" from the runner, a message that a fork adds, or the task a sub-agent is given
// can open a scene of its own, and a compaction that keeps the newest answer loses nothing.
package script

import (
	"fmt"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"

	"tachograph/schemas/chat"
)

// Bounds of a script; Parse refuses what is larger.
const (
	MaxBytes  = 4 << 20    // of the file
	MaxRepeat = 1_000_000  // of one item
	MaxTurns  = 10_000_000 // of one scene, unrolled
)

// Script is a file that was read and checked. It never changes and may be shared.
type Script struct {
	name   string
	pace   time.Duration
	scenes []scene // 0 is the start scene; it may have no turns
}

// scene is a list of turns and the message that opens it.
type scene struct {
	name   string
	when   *condition // nil for the start scene
	blocks []block
	length int // turns, unrolled
}

// block is an item: turns that are played times over. first is the number of turns before it.
type block struct {
	turns    []turn
	times    int
	repeated bool // written with repeat: ${n} is replaced
	first    int
}

// turn is an answer as it was written, before ${n} is replaced.
type turn struct {
	label     string
	reasoning *string
	say       *string
	calls     []call
	finish    string
	usage     *chat.Usage
	pace      *time.Duration
	fail      *string
	expect    []condition
}

type call struct{ tool, arguments string }

// condition is an expectation or a when.
type condition struct {
	from                  string
	call                  int // from 1; 0: not by call
	contains, notContains *string
	matches               *regexp.Regexp
}

// Turn is an answer to give.
type Turn struct {
	Place   string // names the turn in errors, such as `scene "start", turn 3 (run the tests)`
	Message chat.Message
	Finish  string
	Usage   *chat.Usage   // nil: not written down
	Pace    time.Duration // how long the answer should take
	Fail    string        // not empty: the error to answer with, and Message is nil
}

// Name is what Parse was given.
func (s *Script) Name() string { return s.name }

// placeAt finds turn number i, from 0, and which repetition of its block it is, from 1; repetition
// is 0 in a block without repeat. Reports false behind the last turn.
func (sc *scene) placeAt(i int) (t *turn, repetition int, ok bool) {
	if i < 0 || i >= sc.length {
		return nil, 0, false
	}
	k := sort.Search(len(sc.blocks), func(k int) bool { return sc.blocks[k].first > i }) - 1
	b := &sc.blocks[k]
	i -= b.first
	if b.repeated {
		repetition = i/len(b.turns) + 1
	}
	return &b.turns[i%len(b.turns)], repetition, true
}

// place describes turn number i, from 0.
func (sc *scene) place(i int, label string) string {
	p := fmt.Sprintf("scene %q, turn %d", sc.name, i+1)
	if label != "" {
		p += " (" + label + ")"
	}
	return p
}

// idPrefix begins every call id that a script makes.
const idPrefix = "call_"

func callID(scene, turn, length, index int) string {
	return fmt.Sprintf("%s%d_%d_%d_%d", idPrefix, scene, turn+1, length, index+1)
}

// readID takes scene and turn, from 0, out of a call id; reports false if a script did not make it.
func readID(id string) (scene, turn int, ok bool) {
	rest, ok := strings.CutPrefix(id, idPrefix)
	parts := strings.Split(rest, "_")
	if !ok || len(parts) != 4 {
		return 0, 0, false
	}
	var n [4]int
	for i, p := range parts {
		v, err := strconv.Atoi(p)
		if err != nil || v < 0 || v > MaxTurns {
			return 0, 0, false
		}
		n[i] = v
	}
	if n[1] == 0 || n[3] == 0 {
		return 0, 0, false
	}
	return n[0], n[1] - 1, true
}

var placeholder = regexp.MustCompile(`\$\{n(?:([-+*/%])([0-9]{1,9}))?\}`)

// fill replaces ${n} and its kin. n is 0 outside of repetitions, where text stays as it is.
func fill(text string, n int) string {
	if n == 0 || !strings.Contains(text, "${n") {
		return text
	}
	return placeholder.ReplaceAllStringFunc(text, func(p string) string {
		m := placeholder.FindStringSubmatch(p)
		v, err := compute(n, m[1], m[2])
		if err != nil {
			return p // Parse refused it before; see checkPlaceholders
		}
		return strconv.Itoa(v)
	})
}

func compute(n int, op, operand string) (int, error) {
	if op == "" {
		return n, nil
	}
	k, err := strconv.Atoi(operand)
	if err != nil {
		return 0, err
	}
	switch op {
	case "+":
		return n + k, nil
	case "-":
		return n - k, nil
	case "*":
		return n * k, nil
	}
	if k == 0 {
		return 0, fmt.Errorf("division by zero")
	}
	if op == "/" {
		return n / k, nil
	}
	return n % k, nil
}
