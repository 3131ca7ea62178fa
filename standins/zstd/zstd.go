// Package zstd stands in for github.com/DataDog/zstd, of which Pebble needs three functions where cgo is there: the C library
// costs a cold build 70 s of CPU, a sixth of it, and a C compiler. They are made of github.com/klauspost/compress, which is compiled
// anyway and which Pebble itself takes where cgo is not there; the format is the same (RFC 8878).
package zstd

import (
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// Ctx compresses and decompresses, for one goroutine at a time.
type Ctx interface {
	// CompressLevel compresses src into dst, which must have [CompressBound] of its length.
	CompressLevel(dst, src []byte, level int) ([]byte, error)
	// DecompressInto decompresses src into dst, which must be large enough, and returns how much that was.
	DecompressInto(dst, src []byte) (int, error)
}

// NewCtx makes one. It holds memory once it is used, and nothing that needs to be closed.
func NewCtx() Ctx { return &ctx{} }

type ctx struct {
	level   zstd.EncoderLevel
	encoder *zstd.Encoder
	decoder *zstd.Decoder
}

// CompressBound is how long the compressed form of so many bytes can be: what cannot be compressed is stored, in
// blocks of at most 128 KiB with 3 bytes each, behind at most 18 bytes.
func CompressBound(size int) int { return size + size>>8 + 64 }

func (c *ctx) CompressLevel(dst, src []byte, level int) ([]byte, error) {
	if want := zstd.EncoderLevelFromZstd(level); c.encoder == nil || c.level != want {
		encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(want), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithZeroFrames(true))
		if err != nil {
			return nil, err
		}
		c.encoder, c.level = encoder, want
	}
	out := c.encoder.EncodeAll(src, dst[:0])
	if len(out) > len(dst) {
		return nil, fmt.Errorf("compress %d bytes: %d do not fit into %d", len(src), len(out), len(dst))
	}
	return dst[:copy(dst, out)], nil // where it is already, unless the encoder wanted more room meanwhile
}

func (c *ctx) DecompressInto(dst, src []byte) (int, error) {
	if c.decoder == nil {
		decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return 0, err
		}
		c.decoder = decoder
	}
	out, err := c.decoder.DecodeAll(src, dst[:0])
	if err == nil && len(out) > len(dst) {
		err = fmt.Errorf("decompress %d bytes: %d do not fit into %d", len(src), len(out), len(dst))
	}
	return copy(dst, out), err
}
