package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
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
	return []Body{
		&RunStarted{}, &RunEnded{}, &Intent{}, &ModelAsked{}, &ModelAnswered{},
		&CallProposed{}, &CallDecided{}, &CallHeld{}, &CallApproved{}, &CallRefused{},
		&CallExpired{}, &CallStarted{}, &CallEnded{}, &ContextCompacted{}, &TaskChanged{},
		&AgentSpawned{}, &AgentEnded{}, &MessageSent{}, &MessageReceived{}, &WorkspaceTouched{},
		&WorkspaceMerged{}, &Checkpoint{}, &Snapshot{}, &RolledBack{}, &Paused{}, &Resumed{},
		&Stopped{}, &Recovered{}, &AlarmRaised{}, &PolicyChanged{}, &LimitChanged{},
	}
}

// ErrUnknownKind means that a newer tacho wrote the entry. It is kept and hashed; whoever folds
// stops before it.
var ErrUnknownKind = errors.New("unknown kind: written by a newer tacho")

// EncodeBody writes a body in its one spelling.
func EncodeBody(b Body) (json.RawMessage, error) {
	var raw []byte
	var err error
	if note, ok := b.(*Note); ok {
		if !strings.HasPrefix(string(note.Name), NotePrefix) {
			return nil, fmt.Errorf("encode body: %q does not begin with %q", note.Name, NotePrefix)
		}
		raw, err = marshal(note.Raw)
	} else {
		raw, err = marshal(b)
	}
	if err != nil {
		return nil, fmt.Errorf("encode body of %s: %w", b.Kind(), err)
	}
	return raw, nil
}

// DecodeBody reads the body of an entry of this kind. Like Decode it accepts one spelling only.
func DecodeBody(kind Kind, raw json.RawMessage) (Body, error) {
	if strings.HasPrefix(string(kind), NotePrefix) {
		return &Note{kind, slices.Clone(raw)}, nil
	}
	body := emptyBody(kind)
	if body == nil {
		return nil, fmt.Errorf("decode body of %.60q: %w", kind, ErrUnknownKind)
	}
	if err := json.Unmarshal(raw, body); err != nil {
		return nil, fmt.Errorf("decode body of %s: %w", kind, err)
	}
	again, err := marshal(body)
	if err != nil {
		return nil, fmt.Errorf("decode body of %s: %w", kind, err)
	}
	if !bytes.Equal(again, raw) {
		return nil, fmt.Errorf("decode body of %s: %w", kind, errSpelling)
	}
	if err := checkNumbers(reflect.ValueOf(body).Elem()); err != nil {
		return nil, fmt.Errorf("decode body of %s: %w", kind, err)
	}
	return body, nil
}

func emptyBody(kind Kind) Body {
	for _, b := range Kinds() {
		if b.Kind() == kind {
			return b
		}
	}
	return nil
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
		if v.Type().Elem() == reflect.TypeFor[T]() {
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

// checkNumbers refuses integers that not every JSON reader can hold.
func checkNumbers(v reflect.Value) error {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if err := checkNumbers(v.Field(i)); err != nil {
				return fmt.Errorf("%s: %w", strings.ToLower(v.Type().Field(i).Name), err)
			}
		}
	case reflect.Pointer:
		if !v.IsNil() {
			return checkNumbers(v.Elem())
		}
	case reflect.Slice:
		if v.IsNil() || v.Type().Elem().Kind() == reflect.Array {
			return nil
		}
		for i := range v.Len() {
			if err := checkNumbers(v.Index(i)); err != nil {
				return err
			}
		}
	case reflect.Int, reflect.Int64:
		if n := v.Int(); n > MaxInt || n < -MaxInt {
			return fmt.Errorf("%d is beyond ±(2^53−1)", n)
		}
	}
	return nil
}

// Committed is a body that carries the commitment to the state before it. The writer of the
// journal sets it, so no caller can commit to a state that it only believes in.
type Committed interface {
	Body
	Commitment() *Commit
}

func (c *Commit) Commitment() *Commit { return c }
