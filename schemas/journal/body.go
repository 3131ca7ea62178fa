package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
)

// Body is the struct of one kind.
type Body interface{ Kind() Kind }

func (*RunStarted) Kind() Kind       { return KindRunStarted }
func (*RunEnded) Kind() Kind         { return KindRunEnded }
func (*Intent) Kind() Kind           { return KindIntent }
func (*ModelAsked) Kind() Kind       { return KindModelAsked }
func (*ModelAnswered) Kind() Kind    { return KindModelAnswered }
func (*CallProposed) Kind() Kind     { return KindCallProposed }
func (*CallDecided) Kind() Kind      { return KindCallDecided }
func (*CallHeld) Kind() Kind         { return KindCallHeld }
func (*CallApproved) Kind() Kind     { return KindCallApproved }
func (*CallRefused) Kind() Kind      { return KindCallRefused }
func (*CallExpired) Kind() Kind      { return KindCallExpired }
func (*CallStarted) Kind() Kind      { return KindCallStarted }
func (*CallEnded) Kind() Kind        { return KindCallEnded }
func (*ContextCompacted) Kind() Kind { return KindContextCompacted }
func (*TaskChanged) Kind() Kind      { return KindTaskChanged }
func (*AgentSpawned) Kind() Kind     { return KindAgentSpawned }
func (*AgentEnded) Kind() Kind       { return KindAgentEnded }
func (*MessageSent) Kind() Kind      { return KindMessageSent }
func (*MessageReceived) Kind() Kind  { return KindMessageReceived }
func (*WorkspaceTouched) Kind() Kind { return KindWorkspaceTouched }
func (*WorkspaceMerged) Kind() Kind  { return KindWorkspaceMerged }
func (*Checkpoint) Kind() Kind       { return KindCheckpoint }
func (*Snapshot) Kind() Kind         { return KindSnapshot }
func (*RolledBack) Kind() Kind       { return KindRolledBack }
func (*Paused) Kind() Kind           { return KindPaused }
func (*Resumed) Kind() Kind          { return KindResumed }
func (*Stopped) Kind() Kind          { return KindStopped }
func (*Recovered) Kind() Kind        { return KindRecovered }
func (*AlarmRaised) Kind() Kind      { return KindAlarmRaised }
func (*PolicyChanged) Kind() Kind    { return KindPolicyChanged }
func (*LimitChanged) Kind() Kind     { return KindLimitChanged }

// Note is a kind that begins with NotePrefix: any JSON object, kept and hashed, never folded.
type Note struct {
	Name Kind
	Raw  json.RawMessage
}

func (n *Note) Kind() Kind { return n.Name }

// Kinds returns an empty body of every kind but notes, in the order of the list in DESIGN.
func Kinds() []Body {
	kinds := kindNames()
	bodies := make([]Body, len(kinds))
	for i, kind := range kinds {
		bodies[i] = emptyBody(kind)
	}
	return bodies
}

func kindNames() []Kind {
	return []Kind{
		KindRunStarted, KindRunEnded, KindIntent, KindModelAsked, KindModelAnswered, KindCallProposed,
		KindCallDecided, KindCallHeld, KindCallApproved, KindCallRefused, KindCallExpired, KindCallStarted,
		KindCallEnded, KindContextCompacted, KindTaskChanged, KindAgentSpawned, KindAgentEnded, KindMessageSent,
		KindMessageReceived, KindWorkspaceTouched, KindWorkspaceMerged, KindCheckpoint, KindSnapshot, KindRolledBack,
		KindPaused, KindResumed, KindStopped, KindRecovered, KindAlarmRaised, KindPolicyChanged, KindLimitChanged,
	}
}

// emptyBody is nil for a kind that this tacho does not know.
func emptyBody(kind Kind) Body {
	switch kind {
	case KindRunStarted:
		return &RunStarted{}
	case KindRunEnded:
		return &RunEnded{}
	case KindIntent:
		return &Intent{}
	case KindModelAsked:
		return &ModelAsked{}
	case KindModelAnswered:
		return &ModelAnswered{}
	case KindCallProposed:
		return &CallProposed{}
	case KindCallDecided:
		return &CallDecided{}
	case KindCallHeld:
		return &CallHeld{}
	case KindCallApproved:
		return &CallApproved{}
	case KindCallRefused:
		return &CallRefused{}
	case KindCallExpired:
		return &CallExpired{}
	case KindCallStarted:
		return &CallStarted{}
	case KindCallEnded:
		return &CallEnded{}
	case KindContextCompacted:
		return &ContextCompacted{}
	case KindTaskChanged:
		return &TaskChanged{}
	case KindAgentSpawned:
		return &AgentSpawned{}
	case KindAgentEnded:
		return &AgentEnded{}
	case KindMessageSent:
		return &MessageSent{}
	case KindMessageReceived:
		return &MessageReceived{}
	case KindWorkspaceTouched:
		return &WorkspaceTouched{}
	case KindWorkspaceMerged:
		return &WorkspaceMerged{}
	case KindCheckpoint:
		return &Checkpoint{}
	case KindSnapshot:
		return &Snapshot{}
	case KindRolledBack:
		return &RolledBack{}
	case KindPaused:
		return &Paused{}
	case KindResumed:
		return &Resumed{}
	case KindStopped:
		return &Stopped{}
	case KindRecovered:
		return &Recovered{}
	case KindAlarmRaised:
		return &AlarmRaised{}
	case KindPolicyChanged:
		return &PolicyChanged{}
	case KindLimitChanged:
		return &LimitChanged{}
	}
	return nil
}

// ErrUnknownKind means that a newer tacho wrote the entry. It is kept and hashed; whoever folds
// stops before it.
var ErrUnknownKind = errors.New("unknown kind: written by a newer tacho")

// isNote says whether k is of the kinds that anybody may add: the prefix and at least a letter.
func isNote(k Kind) bool {
	return len(k) > len(NotePrefix) && k[:len(NotePrefix)] == NotePrefix && ValidKind(k)
}

// EncodeBody writes a body in its one spelling.
func EncodeBody(b Body) (json.RawMessage, error) {
	if note, ok := b.(*Note); ok {
		if !isNote(note.Name) {
			return nil, fmt.Errorf("encode body: %.60q is no kind that begins with %q", note.Name, NotePrefix)
		}
		if err := checkCanonical(note.Raw); err != nil {
			return nil, fmt.Errorf("encode body of %s: %w", note.Name, err)
		}
		return slices.Clone(note.Raw), nil
	}
	raw, err := marshal(oneSpelling(b))
	if err != nil {
		return nil, fmt.Errorf("encode body of %s: %w", b.Kind(), err)
	}
	return raw, nil
}

// DecodeBody reads the body of an entry of this kind. Like Decode it accepts one spelling only.
func DecodeBody(kind Kind, raw json.RawMessage) (Body, error) {
	if err := checkCanonical(raw); err != nil {
		return nil, fmt.Errorf("decode body of %.60q: %w", kind, err)
	}
	return decodeBody(kind, raw)
}

// decodeBody is DecodeBody of what is known to be canonical.
func decodeBody(kind Kind, raw json.RawMessage) (Body, error) {
	if isNote(kind) {
		if raw[0] != '{' {
			return nil, fmt.Errorf("decode body of %.60q: not a JSON object", kind)
		}
		return &Note{kind, slices.Clone(raw)}, nil
	}
	body := emptyBody(kind)
	if body == nil {
		return nil, fmt.Errorf("decode body of %.60q: %w", kind, ErrUnknownKind)
	}
	r := bodyReader{raw}
	err := r.object(reflect.ValueOf(body).Elem())
	if err == nil && len(r.rest) > 0 {
		err = errors.New("bytes after the value")
	}
	if err != nil {
		return nil, fmt.Errorf("decode body of %s: %w", kind, err)
	}
	return body, nil
}

// oneSpelling returns a body in which a list that must stand is written [] where it has no elements.
func oneSpelling(b Body) Body {
	switch b := b.(type) {
	case *ModelAsked:
		if b.New == nil {
			next := *b
			next.New = []Ref{}
			return &next
		}
	case *ContextCompacted:
		if b.New == nil {
			next := *b
			next.New = []Ref{}
			return &next
		}
	}
	return b
}

// CallOf is the call that an entry is about, named by the seq of its call.proposed. That entry itself
// does not hold its own seq, so ok is false for it.
func CallOf(body Body) (call int64, ok bool) {
	switch b := body.(type) {
	case *CallDecided:
		return b.Call, true
	case *CallHeld:
		return b.Call, true
	case *CallApproved:
		return b.Call, true
	case *CallRefused:
		return b.Call, true
	case *CallExpired:
		return b.Call, true
	case *CallStarted:
		return b.Call, true
	case *CallEnded:
		return b.Call, true
	}
	return 0, false
}

// Refs lists the content that a body names, in the order of its fields: only fields declared as
// Ref count, so text that looks like a reference stays text.
func Refs(b Body) []Ref {
	if _, ok := b.(*Note); ok {
		return nil
	}
	var refs []Ref
	collect(reflect.ValueOf(b).Elem(), func(r Ref) { refs = append(refs, r) })
	return refs
}

// Objects lists the trees that a body names by their root.
func Objects(b Body) []Object {
	if _, ok := b.(*Note); ok {
		return nil
	}
	var objects []Object
	collect(reflect.ValueOf(b).Elem(), func(o Object) { objects = append(objects, o) })
	return objects
}

// collect calls take for every non-zero T in the fields of v, in order.
func collect[T interface {
	~[HashSize]byte
	IsZero() bool
}](v reflect.Value, take func(T)) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			collect(v.Field(i), take)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			collect(v.Elem(), take)
		}
	case reflect.Slice:
		if element := v.Type().Elem(); element == reflect.TypeFor[T]() || element.Kind() == reflect.Struct {
			for i := range v.Len() {
				collect(v.Index(i), take)
			}
		}
	case reflect.Array:
		if v.Type() == reflect.TypeFor[T]() {
			if name := v.Interface().(T); !name.IsZero() {
				take(name)
			}
		}
	}
}

// Committed is a body that carries the commitment to the state before it. The writer of the
// journal sets it, so no caller can commit to a state that it only believes in.
type Committed interface {
	Body
	Commitment() *Commit
}

func (c *Commit) Commitment() *Commit { return c }
