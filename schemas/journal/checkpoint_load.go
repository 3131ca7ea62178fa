package journal

import (
	"encoding/json"
	"errors"
	"fmt"
)

// ErrCheckpoint: the record is damaged, or another tacho wrote it. Callers pass the checkpoint over, as any cache.
var ErrCheckpoint = errors.New("this tacho cannot read that checkpoint")

// decodeCheckpoint reads a record.
func decodeCheckpoint(record []byte) (*checkpointRecord, error) {
	rec := new(checkpointRecord)
	if err := json.Unmarshal(record, rec); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCheckpoint, err)
	}
	if rec.V != checkpointVersion || rec.Fold != FoldVersion {
		return nil, fmt.Errorf("%w: it is of version %d and fold version %d, known are %d and %d", ErrCheckpoint, rec.V, rec.Fold, checkpointVersion, FoldVersion)
	}
	return rec, nil
}

// nameList lists chunks, each once.
type nameList struct {
	names []Hash
	seen  map[Hash]bool
}

func (l *nameList) add(names ...Hash) {
	for _, name := range names {
		if !l.seen[name] {
			l.seen[name] = true
			l.names = append(l.names, name)
		}
	}
}

// agentChunks are those of agents.
func (rec *checkpointRecord) agentChunks() *nameList {
	list := &nameList{seen: map[Hash]bool{}}
	list.add(rec.Agents...)
	for _, m := range rec.Marks {
		list.add(m.Agents...)
	}
	return list
}

// addTasks adds the chunks of tasks.
func (rec *checkpointRecord) addTasks(list *nameList) {
	list.add(rec.Tasks...)
	for _, m := range rec.Marks {
		list.add(m.Tasks...)
	}
}

// CheckpointChunks lists the chunks that a checkpoint is made of, each once, those that others name
// after these. read is asked once, for those of agents. The names are not compared with the bytes:
// whoever loads the checkpoint does that.
func CheckpointChunks(record []byte, read ChunkReader) ([]Hash, error) {
	list, err := checkpointChunks(record, read)
	if err != nil {
		return nil, fmt.Errorf("list chunks of checkpoint: %w", err)
	}
	return list, nil
}

func checkpointChunks(record []byte, read ChunkReader) ([]Hash, error) {
	rec, err := decodeCheckpoint(record)
	if err != nil {
		return nil, err
	}
	list := rec.agentChunks()
	agents := list.names
	texts, err := read(agents)
	if err == nil && len(texts) != len(agents) {
		err = fmt.Errorf("%d chunks were read where %d were asked for", len(texts), len(agents))
	}
	if err != nil {
		return nil, err
	}
	rec.addTasks(list)
	for i, text := range texts {
		var save struct{ Blocks packed[Hash] }
		if err := json.Unmarshal(text, &save); err != nil {
			return nil, fmt.Errorf("%w: agent %s: %w", ErrCheckpoint, agents[i].Short(), err)
		}
		list.add(save.Blocks...)
	}
	return list.names, nil
}

// LoadCheckpoint makes the state again. It asks read once, for the chunks of agents and tasks, and proves that each list
// ends with the head that the state's hash covers, so record and chunks may come from anywhere. The state keeps read: the
// full blocks of its lists are read when their messages are asked for, see [List] and [State.ReadLists].
func LoadCheckpoint(record []byte, read ChunkReader) (*State, error) {
	s, err := loadCheckpoint(record, read)
	if err != nil {
		return nil, fmt.Errorf("load checkpoint: %w", err)
	}
	return s, nil
}

func loadCheckpoint(record []byte, read ChunkReader) (*State, error) {
	rec, err := decodeCheckpoint(record)
	if err != nil {
		return nil, err
	}
	list := rec.agentChunks()
	rec.addTasks(list)
	texts, err := read.named(list.names)
	if err != nil {
		return nil, err
	}
	r := &chunkReader{read: read, texts: make(map[Hash][]byte, len(texts)), blocks: map[Hash]*listBlock{}, agents: map[Hash]*Agent{}, tasks: map[Hash]*Task{}}
	for i, text := range texts {
		r.texts[list.names[i]] = text
	}
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
	return s, r.err
}

// chunkReader keeps the first error; what it returns after one is not used. The agents and tasks of
// a snapshot are mostly those of the state: what was read once is shared.
type chunkReader struct {
	read   ChunkReader
	texts  map[Hash][]byte // of agents and tasks
	blocks map[Hash]*listBlock
	agents map[Hash]*Agent
	tasks  map[Hash]*Task
	err    error
}

func (r *chunkReader) decode(name Hash, into any) {
	if r.err == nil {
		r.err = json.Unmarshal(r.texts[name], into)
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
	if r.err != nil {
		return nil
	}
	l, list := save.Agent, r.list(&save)
	if err := list.ends(l.Head, l.Length); err != nil {
		r.err = fmt.Errorf("agent %.60s: %w", l.Path, err)
	}
	return &Agent{Path: l.Path, Status: l.Status, Model: l.Model, Goal: l.Goal, Task: l.Task, Step: l.Step, List: list,
		Intent: l.Intent, Asked: l.Asked, Attempt: l.Attempt, Answer: l.Answer, Finish: l.Finish, Want: l.Want,
		Calls: l.Calls, Notes: l.Notes, Turn: l.Turn, Session: l.Session}
}

// list is a list whose full blocks are still to be read.
func (r *chunkReader) list(save *agentSave) List {
	list := List{full: make([]*listBlock, len(save.Blocks)), tail: save.Tail, before: save.Before, head: chain(save.Before, save.Tail...)}
	for i, name := range save.Blocks {
		if r.blocks[name] == nil {
			r.blocks[name] = &listBlock{name: name, read: r.read}
		}
		list.full[i] = r.blocks[name]
	}
	return list
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

// ReadLists reads the messages of all lists that the state holds, those of its snapshots too, and proves that they are
// what the heads commit to. After it, none of them is read again.
func (s *State) ReadLists() error {
	lists := s.lists()
	var blocks []*listBlock
	for _, l := range lists {
		blocks = append(blocks, l.full...)
	}
	if err := readBlocks(blocks); err != nil {
		return fmt.Errorf("messages of run %s: %w", s.Run, err)
	}
	for _, l := range lists {
		if err := l.open(0); err != nil {
			return err
		}
	}
	return nil
}

// lists are those of all agents, each once.
func (s *State) lists() []List {
	var lists []List
	seen := map[*Agent]bool{}
	add := func(agents []*Agent) {
		for _, a := range agents {
			if !seen[a] {
				seen[a] = true
				lists = append(lists, a.List)
			}
		}
	}
	add(s.agents)
	for _, m := range s.Marks {
		add(m.agents)
	}
	return lists
}
