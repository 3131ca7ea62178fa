package state

import (
	"encoding/binary"
	"errors"
	"fmt"

	"tachograph/schemas/journal"
)

// checkpointVersion is byte 0 of a checkpoint row.
const checkpointVersion = 1

// cached is a state on its way into a checkpoint: the one after the entry state.Next − 1.
type cached struct {
	state    *journal.State
	frontier *journal.Frontier
}

// checkpointRow is a checkpoint as it is stored; see the package comment.
type checkpointRow struct {
	state    journal.Hash
	frontier *journal.Frontier
	record   []byte
}

func (c checkpointRow) encode() []byte {
	b := append([]byte{checkpointVersion}, c.state[:]...)
	b = binary.AppendUvarint(b, uint64(c.frontier.Size()))
	nodes := c.frontier.Nodes()
	b = binary.AppendUvarint(b, uint64(len(nodes)))
	for _, n := range nodes {
		b = append(b, n[:]...)
	}
	return append(b, c.record...)
}

func decodeCheckpoint(b []byte) (c checkpointRow, err error) {
	if len(b) < 1+journal.HashSize || b[0] != checkpointVersion {
		return c, errors.New("read checkpoint: not in a form that this tacho knows")
	}
	b = b[1:]
	c.state, b = journal.Hash(b[:journal.HashSize]), b[journal.HashSize:]
	size, n := binary.Uvarint(b)
	if n <= 0 || size > journal.MaxInt {
		return c, errors.New("read checkpoint: number of entries missing")
	}
	b = b[n:]
	count, n := binary.Uvarint(b)
	if n <= 0 || count > 64 || uint64(len(b)-n) < count*journal.HashSize {
		return c, errors.New("read checkpoint: nodes missing")
	}
	b = b[n:]
	nodes := make([]journal.Hash, count)
	for i := range nodes {
		nodes[i], b = journal.Hash(b[:journal.HashSize]), b[journal.HashSize:]
	}
	if c.frontier, err = journal.ResumeFrontier(int64(size), nodes); err != nil {
		return c, fmt.Errorf("read checkpoint: %w", err)
	}
	c.record = append([]byte(nil), b...)
	return c, nil
}

// saveCheckpoint writes a checkpoint, without waiting for the disk: it is a cache, and the entries
// that it stands for are durable. So an error is only logged.
func (r *Run) saveCheckpoint(c cached) {
	r.cacheMu.Lock()
	defer r.cacheMu.Unlock()
	visited := make(map[journal.Hash]bool, len(r.chunks))
	record, chunks, err := c.state.SaveCheckpoint(func(name journal.Hash) bool {
		visited[name] = true
		return r.chunks[name]
	})
	if err != nil {
		r.store.log.Warn("make checkpoint", "run", r.id, "seq", c.state.Next-1, "error", err)
		return
	}
	batch := r.store.rows.db.NewBatch()
	for _, chunk := range chunks {
		batch.Set(hashKey(rowChunk, r.familyID, chunk.Name), chunk.Bytes, nil)
	}
	row := checkpointRow{c.state.Hash(), c.frontier, record}.encode()
	batch.Set(seqKey(rowCheckpoint, r.id, c.state.Next-1), row, nil)
	if err := r.store.rows.commit(batch, false); err != nil {
		r.store.log.Warn("write checkpoint", "run", r.id, "seq", c.state.Next-1, "error", err)
		return
	}
	r.chunks = visited
}

// loadCheckpoint makes the state of a checkpoint.
func (j *Journal) loadCheckpoint(row []byte) (checkpointRow, *journal.State, error) {
	c, err := decodeCheckpoint(row)
	if err != nil {
		return c, nil, err
	}
	state, err := journal.LoadCheckpoint(c.record, j.readChunks)
	if err != nil {
		return c, nil, err
	}
	if state.Next != c.frontier.Size() || state.Hash() != c.state {
		return c, nil, errors.New("read checkpoint: its state is not the one that was saved")
	}
	return c, state, nil
}

// chunksOf are the chunks that a checkpoint is made of.
func (j *Journal) chunksOf(c checkpointRow) (map[journal.Hash]bool, error) {
	names, err := journal.CheckpointChunks(c.record, j.readChunks)
	chunks := make(map[journal.Hash]bool, len(names))
	for _, name := range names {
		chunks[name] = true
	}
	return chunks, err
}

// readChunks is the journal.ChunkReader of the run's checkpoints.
func (j *Journal) readChunks(names []journal.Hash) ([][]byte, error) {
	texts := make([][]byte, len(names))
	for i, name := range names {
		var err error
		if texts[i], err = j.store.rows.get(hashKey(rowChunk, j.familyID, name)); err != nil {
			return nil, fmt.Errorf("chunk %s: %w", name.Short(), err)
		}
	}
	return texts, nil
}
