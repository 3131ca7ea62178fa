package state

import (
	"encoding/binary"
	"fmt"

	"tachograph/schemas/journal"
)

// Letters of the rows; see the package comment.
const (
	rowVersion    = 'v'
	rowFamily     = 'f'
	rowSalt       = 's'
	rowRemoval    = 'x'
	rowRun        = 'r'
	rowLease      = 'l'
	rowEntry      = 'e'
	rowCheckpoint = 'k'
	rowHead       = 'h'
	rowChunk      = 'c'
	rowContent    = 'n'
	rowObject     = 'o'
	rowBase       = 'b'
	rowBaseUse    = 'u'
)

// scopeID names a place for objects: a family, or a base tree that families share.
type scopeID [16]byte

func idKey(letter byte, id [16]byte) []byte { return append([]byte{letter}, id[:]...) }

func seqKey(letter byte, run journal.RunID, seq int64) []byte {
	return binary.BigEndian.AppendUint64(idKey(letter, run), uint64(seq))
}

func headKey(run journal.RunID, size int64, key uint32) []byte {
	return binary.BigEndian.AppendUint32(seqKey(rowHead, run, size), key)
}

func hashKey(letter byte, id [16]byte, hash [journal.HashSize]byte) []byte {
	return append(idKey(letter, id), hash[:]...)
}

func baseKey(root journal.Object) []byte { return append([]byte{rowBase}, root[:]...) }

func baseUseKey(scope scopeID, family journal.RunID) []byte {
	return append(idKey(rowBaseUse, scope), family[:]...)
}

// after is the first key that does not begin with prefix.
func after(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}

// decodeSeq reads the seq out of a key that seqKey or headKey made.
func decodeSeq(key []byte) (int64, error) {
	if len(key) < 25 {
		return 0, fmt.Errorf("read row key: %d bytes where at least 25 are due", len(key))
	}
	seq := binary.BigEndian.Uint64(key[17:25])
	if seq > journal.MaxInt {
		return 0, fmt.Errorf("read row key: seq %d out of range", seq)
	}
	return int64(seq), nil
}

// decodeHash reads the hash at the end of a key that hashKey made.
func decodeHash(key []byte) (hash [journal.HashSize]byte, err error) {
	if len(key) != 1+16+journal.HashSize {
		return hash, fmt.Errorf("read row key: %d bytes where %d are due", len(key), 1+16+journal.HashSize)
	}
	copy(hash[:], key[17:])
	return hash, nil
}
