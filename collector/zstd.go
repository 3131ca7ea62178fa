package collector

import (
	"io"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/grpc/encoding"
)

// gRPC keeps its compressors in a map of the process that may be written only while it initialises, so this
// is the one place with an init.
func init() { encoding.RegisterCompressor(zstdCompressor{}) }

// zstdCompressor reads what senders compressed with zstd, which gRPC does not know by itself. The server
// bounds what is read of it.
type zstdCompressor struct{}

func (zstdCompressor) Name() string { return "zstd" }

func (zstdCompressor) Compress(w io.Writer) (io.WriteCloser, error) {
	return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
}

func (zstdCompressor) Decompress(r io.Reader) (io.Reader, error) {
	d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	return closing{d}, nil
}

// closing gives the decoder's memory back at the end.
type closing struct{ *zstd.Decoder }

func (c closing) Read(p []byte) (int, error) {
	n, err := c.Decoder.Read(p)
	if err != nil {
		c.Close()
	}
	return n, err
}
