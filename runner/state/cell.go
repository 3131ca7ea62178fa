package state

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// Kinds of cell; see the package comment.
const (
	cellRaw      = 0
	cellZstd     = 1
	cellFile     = 2
	cellFileZstd = 3
)

const (
	// compressFrom is the size from which compressing a value by itself pays; smaller ones are
	// compressed with their neighbours, by the block.
	compressFrom = 4 << 10
	// fileFrom is the size of the stored bytes from which they go to a file of their own: they
	// would be written twice more in the log and at every compaction.
	fileFrom = 64 << 10
	// maxCell bounds what is decompressed into memory, in bytes, and maxRatio by how much: a zstd
	// block of 4 bytes yields 128 KiB at most.
	maxCell  = 1 << 30
	maxRatio = 1 << 15
)

// packer compresses and decompresses. Its methods may be called concurrently.
type packer struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

func newPacker() (*packer, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2))
	if err != nil {
		return nil, fmt.Errorf("make compressor: %w", err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(maxCell),
		zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return nil, fmt.Errorf("make decompressor: %w", err)
	}
	return &packer{enc, dec}, nil
}

func (p *packer) close() {
	p.enc.Close()
	p.dec.Close()
}

// packed is a value ready to be stored: cell is the row, and file the bytes of its file, nil if
// the row holds them.
type packed struct {
	cell []byte
	file []byte
}

// pack does not keep b unless it says so in the result.
func (p *packer) pack(b []byte) packed {
	body, kind := b, byte(cellRaw)
	if len(b) >= compressFrom {
		if small := p.enc.EncodeAll(b, nil); len(small) < len(b)-len(b)/8 {
			body, kind = small, cellZstd
		}
	}
	if len(body) >= fileFrom {
		return packed{binary.AppendUvarint([]byte{kind + cellFile}, uint64(len(b))), body}
	}
	cell := []byte{kind}
	if kind != cellRaw {
		cell = binary.AppendUvarint(cell, uint64(len(b)))
	}
	return packed{cell: append(cell, body...)}
}

// unpack reads a cell. file reads the bytes of its file and is called only if it has one.
func (p *packer) unpack(cell []byte, file func() ([]byte, error)) ([]byte, error) {
	kind, size, body, err := decodeCell(cell)
	if err != nil {
		return nil, err
	}
	if kind >= cellFile {
		if body, err = file(); err != nil {
			return nil, err
		}
		kind -= cellFile
		if kind == cellRaw && uint64(len(body)) != size {
			return nil, fmt.Errorf("its file holds %d bytes where %d are due", len(body), size)
		}
	}
	if kind == cellRaw {
		return body, nil
	}
	if size/maxRatio > uint64(len(body)) {
		return nil, fmt.Errorf("decompress: %d bytes cannot become %d", len(body), size)
	}
	out, err := p.dec.DecodeAll(body, make([]byte, 0, size))
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	if uint64(len(out)) != size {
		return nil, fmt.Errorf("it decompresses to %d bytes where %d are due", len(out), size)
	}
	return out, nil
}

func decodeCell(cell []byte) (kind byte, size uint64, body []byte, err error) {
	if len(cell) == 0 || cell[0] > cellFileZstd {
		return 0, 0, nil, errors.New("row is no cell")
	}
	kind, body = cell[0], cell[1:]
	if kind == cellRaw {
		return kind, uint64(len(body)), body, nil
	}
	size, n := binary.Uvarint(body)
	if n <= 0 || size > maxCell {
		return 0, 0, nil, errors.New("row is no cell: length missing or too large")
	}
	if body = body[n:]; kind >= cellFile && len(body) > 0 {
		return 0, 0, nil, errors.New("row is no cell: bytes after a reference to a file")
	}
	return kind, size, body, nil
}
