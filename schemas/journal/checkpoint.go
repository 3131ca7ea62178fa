package journal

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
)

// A checkpoint is a cache of a state, cut into persistent chunks: a chunk is named by the SHA-256
// of its bytes, and what did not change since the last checkpoint has the same name and is not
// written again. It may be dropped at any time; the entries remain the truth. Its format is this
// package's own and carries FoldVersion: a reader that does not know the version folds from an
// earlier checkpoint, or from entry 0.

// Chunk is a piece of a checkpoint.
type Chunk struct {
	Name  Hash
	Bytes []byte
}

type checkpointRecord struct {
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
	Blocks []Hash // full blocks of the list
	Tail   []Ref
}

// SaveCheckpoint cuts a state into chunks. The first chunk is the record, to be kept under the
// state's seq; known says which of the others are stored already, and those are left out.
func (s *State) SaveCheckpoint(known func(Hash) bool) (record []byte, chunks []Chunk) {
	w := &chunkWriter{known: known, seen: map[Hash]bool{}, names: map[any]Hash{}}
	rec := checkpointRecord{
		Fold: FoldVersion,
		State: stateSave{s.Run, s.Family, s.Parent, s.Next, s.Tip, s.Epoch, s.Status, s.Why, s.Stop, s.Hold, s.Spec, s.Goal,
			s.Model, s.Policy, s.Sandbox, s.Base, s.Root, s.LeftOut, s.Limits, s.Usage, orEmpty(s.Mail), s.Undone, s.lastUS},
		Agents: w.agents(s.agents),
		Tasks:  w.tasks(s.tasks),
	}
	for _, m := range s.Marks {
		rec.Marks = append(rec.Marks, markSave{m.Seq, m.State, m.Root, m.Used, w.agents(m.agents), w.tasks(m.tasks)})
	}
	return mustMarshal(rec), w.chunks
}

// chunkWriter collects chunks. The agents and tasks of a snapshot are mostly those of the state, the
// very same pointers: each is encoded once.
type chunkWriter struct {
	known  func(Hash) bool
	seen   map[Hash]bool
	names  map[any]Hash // of an *Agent or *Task
	chunks []Chunk
}

func (w *chunkWriter) put(b []byte) Hash {
	name := Hash(sha256.Sum256(b))
	w.add(name, func() []byte { return b })
	return name
}

// block does not make the bytes of a block that is stored already: a long list has many.
func (w *chunkWriter) block(b *listBlock) Hash {
	w.add(b.name, b.bytes)
	return b.name
}

func (w *chunkWriter) add(name Hash, bytes func() []byte) {
	if w.seen[name] {
		return
	}
	w.seen[name] = true
	if !w.known(name) {
		w.chunks = append(w.chunks, Chunk{name, bytes()})
	}
}

func (w *chunkWriter) agents(agents []*Agent) []Hash {
	names := make([]Hash, len(agents))
	for i, a := range agents {
		names[i] = w.once(a, func() any {
			save := agentSave{Agent: a.line(), Blocks: []Hash{}, Tail: orEmpty(a.List.tail)}
			for _, block := range a.List.full {
				save.Blocks = append(save.Blocks, w.block(block))
			}
			return save
		})
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

// CheckpointChunks lists the chunks that a checkpoint is made of, each once, those that others name
// after these. read returns chunks in the order of their names; it is asked once, for those of agents.
// The names are not compared with the bytes: whoever loads the checkpoint does that.
func CheckpointChunks(record []byte, read func([]Hash) ([][]byte, error)) ([]Hash, error) {
	var rec checkpointRecord
	if err := json.Unmarshal(record, &rec); err != nil {
		return nil, fmt.Errorf("list chunks of checkpoint: %w", err)
	}
	seen := map[Hash]bool{}
	once := func(into []Hash, names []Hash) []Hash {
		for _, name := range names {
			if !seen[name] {
				seen[name] = true
				into = append(into, name)
			}
		}
		return into
	}
	agents, tasks := once(nil, rec.Agents), once(nil, rec.Tasks)
	for _, m := range rec.Marks {
		agents, tasks = once(agents, m.Agents), once(tasks, m.Tasks)
	}
	texts, err := read(agents)
	if err == nil && len(texts) != len(agents) {
		err = fmt.Errorf("%d chunks were read where %d were asked for", len(texts), len(agents))
	}
	if err != nil {
		return nil, fmt.Errorf("list chunks of checkpoint: %w", err)
	}
	names := append(agents, tasks...)
	for i, text := range texts {
		var save struct{ Blocks []Hash }
		if err := json.Unmarshal(text, &save); err != nil {
			return nil, fmt.Errorf("list chunks of checkpoint: agent %s: %w", agents[i].Short(), err)
		}
		names = once(names, save.Blocks)
	}
	return names, nil
}

// LoadCheckpoint makes the state again, and proves that its lists have the heads that the state's hash
// covers, so record and chunks may come from anywhere. get reads a chunk by name. The proof costs
// two hashes a message: see LoadOwnCheckpoint.
func LoadCheckpoint(record []byte, get func(Hash) ([]byte, error)) (*State, error) {
	return loadCheckpoint(record, get, true)
}

// LoadOwnCheckpoint is LoadCheckpoint for whoever wrote the chunks: their bytes are compared with their
// names, but the full blocks of a list are taken to have the heads that stand in them. So it costs
// the same late in a run as early.
func LoadOwnCheckpoint(record []byte, get func(Hash) ([]byte, error)) (*State, error) {
	return loadCheckpoint(record, get, false)
}

func loadCheckpoint(record []byte, get func(Hash) ([]byte, error), prove bool) (*State, error) {
	var rec checkpointRecord
	if err := json.Unmarshal(record, &rec); err != nil {
		return nil, fmt.Errorf("load checkpoint: %w", err)
	}
	if rec.Fold != FoldVersion {
		return nil, fmt.Errorf("load checkpoint: fold version %d, this tacho knows %d", rec.Fold, FoldVersion)
	}
	r := &chunkReader{get: get, prove: prove, blocks: map[Hash]*listBlock{}, agents: map[Hash]*Agent{}, tasks: map[Hash]*Task{}}
	v := rec.State
	s := &State{Run: v.Run, Family: v.Family, Parent: v.Parent, Next: v.Next, Tip: v.Tip, Epoch: v.Epoch, Status: v.Status,
		Why: v.Why, Stop: v.Stop, Hold: v.Hold, Spec: v.Spec, Goal: v.Goal, Model: v.Model, Policy: v.Policy,
		Sandbox: v.Sandbox, Base: v.Base, Root: v.Root, LeftOut: v.LeftOut, Limits: v.Limits, Usage: v.Usage,
		Mail: v.Mail, Undone: v.Undone, lastUS: v.LastUS, index: map[string]int{}}
	for _, a := range r.readAgents(rec.Agents) {
		s.setAgent(a)
	}
	for _, t := range r.readTasks(rec.Tasks) {
		s.setTask(t)
	}
	for _, m := range rec.Marks {
		s.Marks = append(s.Marks, &Mark{m.Seq, m.State, m.Root, m.Used, r.readAgents(m.Agents), r.readTasks(m.Tasks)})
	}
	if r.err != nil {
		return nil, fmt.Errorf("load checkpoint: %w", r.err)
	}
	return s, nil
}

// chunkReader keeps the first error; what it returns after one is not used. The agents and tasks of
// a snapshot are mostly those of the state: what was read once is shared.
type chunkReader struct {
	get    func(Hash) ([]byte, error)
	prove  bool // compute the heads of full blocks
	blocks map[Hash]*listBlock
	agents map[Hash]*Agent
	tasks  map[Hash]*Task
	err    error
}

func (r *chunkReader) read(name Hash) []byte {
	if r.err != nil {
		return nil
	}
	b, err := r.get(name)
	if err == nil && Hash(sha256.Sum256(b)) != name {
		err = fmt.Errorf("chunk %s: its bytes have another hash", name)
	}
	if err != nil {
		r.err = err
		return nil
	}
	return b
}

func (r *chunkReader) decode(name Hash, into any) {
	if b := r.read(name); r.err == nil {
		r.err = json.Unmarshal(b, into)
	}
}

func (r *chunkReader) readAgents(names []Hash) []*Agent {
	agents := make([]*Agent, 0, len(names))
	for _, name := range names {
		if r.agents[name] == nil {
			r.agents[name] = r.readAgent(name)
		}
		if r.err != nil {
			return nil
		}
		agents = append(agents, r.agents[name])
	}
	return agents
}

func (r *chunkReader) readAgent(name Hash) *Agent {
	var save agentSave
	r.decode(name, &save)
	l := save.Agent
	list := r.readList(save)
	if r.err == nil && (list.Head() != l.Head || int64(list.Len()) != l.Length) {
		r.err = fmt.Errorf("agent %.60s: list %s of %d where %s of %d is due", l.Path, list.Head(), list.Len(), l.Head, l.Length)
	}
	return &Agent{Path: l.Path, Status: l.Status, Model: l.Model, Goal: l.Goal, Task: l.Task, Step: l.Step, List: list,
		Intent: l.Intent, Asked: l.Asked, Attempt: l.Attempt, Answer: l.Answer, Finish: l.Finish, Want: l.Want,
		Calls: l.Calls, Notes: l.Notes, Turn: l.Turn, Session: l.Session}
}

// readList reads a list; the state's hash covers its head alone, so the caller compares that.
func (r *chunkReader) readList(save agentSave) List {
	var list List
	if len(save.Tail) >= listChunk && r.err == nil {
		r.err = fmt.Errorf("%d references where less than %d are due", len(save.Tail), listChunk)
	}
	for _, name := range save.Blocks {
		block := r.readBlock(name, list.head)
		if r.err != nil {
			return List{}
		}
		list.full, list.head = append(list.full, block), block.head
	}
	if r.err != nil {
		return List{}
	}
	return list.Append(save.Tail...)
}

// readBlock reads the block that follows a list with the head before.
func (r *chunkReader) readBlock(name, before Hash) *listBlock {
	if block := r.blocks[name]; block != nil && block.before == before {
		return block
	}
	block := &listBlock{name: name, before: before}
	b := r.read(name)
	if r.err == nil && len(b) != (listChunk+1)*HashSize {
		r.err = fmt.Errorf("chunk %s: %d bytes are no list block", name, len(b))
	}
	if r.err != nil {
		return block
	}
	for i := range block.refs {
		copy(block.refs[i][:], b[i*HashSize:])
	}
	block.head = Hash(b[listChunk*HashSize:])
	if r.prove && chain(before, block.refs[:]...) != block.head {
		r.err = fmt.Errorf("chunk %s: its head is not that of its references after %s", name, before)
	}
	r.blocks[name] = block
	return block
}

func (r *chunkReader) readTasks(names []Hash) []*Task {
	tasks := make([]*Task, 0, len(names))
	for i, name := range names {
		t := r.tasks[name]
		if t == nil {
			t = new(Task)
			r.decode(name, t)
			r.tasks[name] = t
		}
		if r.err == nil && t.ID != int64(i+1) {
			r.err = fmt.Errorf("task %d where %d is due", t.ID, i+1)
		}
		if r.err != nil {
			return nil
		}
		tasks = append(tasks, t)
	}
	return tasks
}
