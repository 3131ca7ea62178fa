package journal

import "golang.org/x/mod/sumdb/tlog"

// merkle is a Merkle tree whose leaves can be replaced, with the shape and the hashes of RFC 6962
// §2.1 (leaf SHA-256(0x00 ‖ bytes), node SHA-256(0x01 ‖ left ‖ right), a lone right node goes up
// unchanged). Setting a leaf costs O(log n), so a state with 300 agents is hashed as quickly as
// one with three. The root of no leaves is the zero Hash.
type merkle struct{ levels [][]Hash }

func (m *merkle) len() int {
	if len(m.levels) == 0 {
		return 0
	}
	return len(m.levels[0])
}

func (m *merkle) root() Hash {
	if m.len() == 0 {
		return Hash{}
	}
	return m.levels[len(m.levels)-1][0]
}

// set replaces leaf i, or appends it if i is len.
func (m *merkle) set(i int, leaf []byte) {
	hash := Hash(tlog.RecordHash(leaf))
	for level := 0; ; level++ {
		if level == len(m.levels) {
			m.levels = append(m.levels, nil)
		}
		row := &m.levels[level]
		if i == len(*row) {
			*row = append(*row, hash)
		} else {
			(*row)[i] = hash
		}
		if len(*row) == 1 {
			m.levels = m.levels[:level+1]
			return
		}
		left, right := i&^1, i|1
		if right < len(*row) {
			hash = Hash(tlog.NodeHash(tlog.Hash((*row)[left]), tlog.Hash((*row)[right])))
		} else {
			hash = (*row)[left]
		}
		i /= 2
	}
}

func (m *merkle) clone() merkle {
	levels := make([][]Hash, len(m.levels))
	for i, row := range m.levels {
		levels[i] = append([]Hash(nil), row...)
	}
	return merkle{levels}
}
