package journal

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
)

// A checkpoint is a cache of a state, cut into persistent chunks: a chunk is named by the SHA-256
// of its bytes, and what did not change since the last checkpoint has the same name and is not
// written again. It may be dropped at any time; the entries remain the truth. Its format is this
// package's own and carries its version and FoldVersion: a reader that does not know them folds from an
// earlier checkpoint, or from entry 0. Its parts are
//
//	record   JSON, checkpointRecord: the state, and the names of the chunks of agents and tasks
//	agent    JSON, agentSave: the agent's line, and its list: the names of full blocks, the head
//	         after them, the references that follow
//	task     JSON, Task
//	block    256 references of a list: the head before them, 32 bytes; the references, 32 bytes each
//
// A state is made of the record, the agents and the tasks, which proves the end of each list. That costs
// the same late in a run as early, but for 32 bytes for each 256 messages. Blocks are read and proved
// when somebody asks for their messages (List), or by [State.ReadLists].

// checkpointVersion changes whenever an older tacho could not read, or would misread, what is written.
const checkpointVersion = 2

// Chunk is a piece of a checkpoint.
type Chunk struct {
	Name  Hash
	Bytes []byte
}

type checkpointRecord struct {
	V      int        `json:"v"`
	Fold   int        `json:"fold"`
	State  stateSave  `json:"state"`
	Agents []Hash     `json:"agents"`
	Tasks  []Hash     `json:"tasks"`
	Marks  []markSave `json:"marks"`
}

// stateSave is a State without what is saved in chunks.
type stateSave struct {
	Run     RunID
	Family  RunID
	Parent  *Parent
	Next    int64
	Tip     Hash
	Epoch   int64
	Status  string
	Why     string
	Stop    string
	Hold    bool
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
	Undone  int64
	LastUS  int64
}

type markSave struct {
	Seq    int64
	State  Hash
	Root   Object
	Used   bool
	Agents []Hash
	Tasks  []Hash
}

type agentSave struct {
	Agent  agentLine
	Blocks packed[Hash] // full blocks of the list
	Before Hash         // head after them
	Tail   packed[Ref]
}

// packed are hashes one after another. JSON spells them in base64, which is shorter and sooner read than their own text.
type packed[T ~[HashSize]byte] []T

// MarshalText spells the hashes.
func (p packed[T]) MarshalText() ([]byte, error) {
	b := make([]byte, 0, len(p)*HashSize)
	for _, h := range p {
		hash := [HashSize]byte(h)
		b = append(b, hash[:]...)
	}
	return base64.StdEncoding.AppendEncode(nil, b), nil
}

// UnmarshalText reads what MarshalText spelt.
func (p *packed[T]) UnmarshalText(text []byte) error {
	b, err := base64.StdEncoding.Strict().AppendDecode(nil, text)
	if err == nil && len(b)%HashSize != 0 {
		err = fmt.Errorf("%d bytes are no hashes", len(b))
	}
	if err != nil {
		return err
	}
	*p = make(packed[T], len(b)/HashSize)
	for i := range *p {
		(*p)[i] = T(b[i*HashSize:])
	}
	return nil
}

// SaveCheckpoint cuts a state into chunks. The first chunk is the record, to be kept under the
// state's seq; known says which of the others are stored already, and those are left out. An error
// means that a block that is neither known nor here could not be read.
func (s *State) SaveCheckpoint(known func(Hash) bool) (record []byte, chunks []Chunk, err error) {
	w := &chunkWriter{known: known, seen: map[Hash]bool{}, names: map[any]Hash{}}
	rec := checkpointRecord{
		V:    checkpointVersion,
		Fold: FoldVersion,
		State: stateSave{s.Run, s.Family, s.Parent, s.Next, s.Tip, s.Epoch, s.Status, s.Why, s.Stop, s.Hold, s.Spec, s.Goal,
			s.Model, s.Policy, s.Sandbox, s.Base, s.Root, s.LeftOut, s.Limits, s.Usage, orEmpty(s.Mail), s.Undone, s.lastUS},
		Agents: w.agents(s.agents),
		Tasks:  w.tasks(s.tasks),
	}
	for _, m := range s.Marks {
		rec.Marks = append(rec.Marks, markSave{m.Seq, m.State, m.Root, m.Used, w.agents(m.agents), w.tasks(m.tasks)})
	}
	return mustMarshal(rec), w.chunks, w.err
}

// chunkWriter collects chunks. The agents and tasks of a snapshot are mostly those of the state, the
// very same pointers: each is encoded once.
type chunkWriter struct {
	known  func(Hash) bool
	seen   map[Hash]bool
	names  map[any]Hash // of an *Agent or *Task
	chunks []Chunk
	err    error // the first
}

func (w *chunkWriter) put(b []byte) Hash {
	name := Hash(sha256.Sum256(b))
	if w.lacks(name) {
		w.chunks = append(w.chunks, Chunk{name, b})
	}
	return name
}

// lacks says, once, that a chunk is not stored yet.
func (w *chunkWriter) lacks(name Hash) bool {
	if w.seen[name] {
		return false
	}
	w.seen[name] = true
	return !w.known(name)
}

// list puts the blocks of a list. It does not make, nor read, the bytes of those that are stored already: a long list
// has many.
func (w *chunkWriter) list(l List) packed[Hash] {
	names := make(packed[Hash], len(l.full))
	for i, b := range l.full {
		names[i] = b.name
		if !w.lacks(b.name) {
			continue
		}
		if err := l.open(i); err != nil {
			w.err = errors.Join(w.err, err)
			return names
		}
		w.chunks = append(w.chunks, Chunk{b.name, b.links.Load().bytes()})
	}
	return names
}

func (w *chunkWriter) agents(agents []*Agent) []Hash {
	names := make([]Hash, len(agents))
	for i, a := range agents {
		names[i] = w.once(a, func() any { return agentSave{a.line(), w.list(a.List), a.List.before, a.List.tail} })
	}
	return names
}

func (w *chunkWriter) tasks(tasks []*Task) []Hash {
	names := make([]Hash, len(tasks))
	for i, t := range tasks {
		names[i] = w.once(t, func() any { return t })
	}
	return names
}

// once puts what save gives, unless that was done for the same pointer.
func (w *chunkWriter) once(pointer any, save func() any) Hash {
	name, done := w.names[pointer]
	if !done {
		name = w.put(mustMarshal(save()))
		w.names[pointer] = name
	}
	return name
}
