package otlp

import (
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// window bounds the history that a zstd frame may ask for, in bytes. 8 MiB is what RFC 8878 §3.1.1.1.2
// tells decoders to support.
const window = 8 << 20

// Expand reads a body to its end and undoes its content encoding: gzip, zstd, or none ("" or
// identity). At most limit bytes are made, whatever the body claims: more is ErrTooLarge. take is
// asked before memory grows by so many bytes and may refuse with an error of its own; size is how
// many bytes are expected, 0 if unknown.
func Expand(body io.Reader, encoding string, size, limit int, take func(bytes int) error) ([]byte, error) {
	from := &source{Reader: body}
	var (
		out []byte
		err error
	)
	switch encoding {
	case "", "identity":
		out, err = readUpTo(from, size, limit, take)
		var r refusal
		if errors.As(err, &r) {
			err = r.error
		}
		return out, err
	case "gzip", "x-gzip":
		var z *gzip.Reader
		if z, err = gzip.NewReader(from); err == nil {
			out, err = readUpTo(z, 4*size, limit, take)
		}
	case "zstd":
		var z *zstd.Decoder
		z, err = zstd.NewReader(from, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(window), zstd.WithDecoderLowmem(true))
		if err == nil {
			defer z.Close()
			out, err = readUpTo(z, 4*size, limit, take)
		}
	default:
		return nil, fmt.Errorf("%w: content encoding %.40q: send gzip, zstd or none", ErrMedia, encoding)
	}
	return out, from.blame(encoding, err)
}

// source remembers whether the connection broke, which is no fault of the body.
type source struct {
	io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// refusal is an error of take, which is passed on as it is.
type refusal struct{ error }

func (s *source) blame(encoding string, err error) error {
	var r refusal
	switch {
	case err == nil || errors.Is(err, ErrTooLarge):
		return err
	case errors.As(err, &r):
		return r.error
	case s.err != nil:
		return s.err
	case errors.Is(err, zstd.ErrWindowSizeExceeded) || errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return tooLarge("%s: %v", encoding, err)
	}
	return fmt.Errorf("%w: %s: %w", ErrMalformed, encoding, err)
}

// readUpTo reads r to its end. Memory is taken in steps that double, so what is claimed but not sent
// costs little.
func readUpTo(r io.Reader, size, limit int, take func(int) error) ([]byte, error) {
	const least = 4 << 10
	step := max(least, min(size+1, 1<<20, limit+1))
	if err := take(step); err != nil {
		return nil, refusal{err}
	}
	out := make([]byte, 0, step)
	for {
		n, err := r.Read(out[len(out):cap(out)])
		out = out[:len(out)+n]
		if len(out) > limit {
			return nil, tooLarge("more than %d bytes when decoded", limit)
		}
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if len(out) < cap(out) {
			continue
		}
		step = min(cap(out), limit+1-cap(out))
		if err := take(step); err != nil {
			return nil, refusal{err}
		}
		grown := make([]byte, len(out), cap(out)+step)
		copy(grown, out)
		out = grown
	}
}
