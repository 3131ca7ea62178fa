package main

import (
	"bytes"
	"encoding/base64"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/DataDog/zstd"
)

// TestStandInZstd: what stands in for the C library keeps to the bound, reads what it wrote, and reads what the C library
// wrote into older journals.
func TestStandInZstd(t *testing.T) {
	t.Parallel()
	noise := make([]byte, 300_000)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	c := zstd.NewCtx()
	for _, level := range []int{1, 3, 5, 7, 1} { // levels change, as they do between the levels of a store
		for _, size := range []int{0, 1, 7, 64, 1000, 32 << 10, 128 << 10, 128<<10 + 1, 300_000} {
			for name, src := range map[string][]byte{"noise": noise[:size], "zeros": make([]byte, size), "text": []byte(strings.Repeat("line of a tool's output\n", size/24+1))[:size]} {
				dst := make([]byte, zstd.CompressBound(size))
				out, err := c.CompressLevel(dst, src, level)
				if err != nil {
					t.Fatalf("%s, %d bytes, level %d: %v", name, size, level, err)
				}
				if len(out) == 0 || &out[0] != &dst[0] {
					t.Errorf("%s, %d bytes: it is nothing, or somewhere else: Pebble takes that for a fault", name, size)
				}
				back := make([]byte, size)
				if n, err := c.DecompressInto(back, out); err != nil || n != size || !bytes.Equal(back, src) {
					t.Errorf("%s, %d bytes, level %d: %d come back, %v", name, size, level, n, err)
				}
				if size > 1 {
					if _, err := c.DecompressInto(back[:size-1], out); err == nil {
						t.Errorf("%s, %d bytes went into %d", name, size, size-1)
					}
				}
			}
		}
	}
	old, err := base64.StdEncoding.DecodeString("KLUv/WAIBqUBAJQCdGhlIHF1aWNrIGJyb3duIGZveCBqdW1wcyBvdmVyIGxhenkgZG9nLiACANhC9WjBKic=") // zstd 1.5.7, level 7
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Repeat("the quick brown fox jumps over the lazy dog. ", 40)
	back := make([]byte, len(want))
	if n, err := c.DecompressInto(back, old); err != nil || string(back[:n]) != want {
		t.Errorf("of the C library: %q, %v", back[:n], err)
	}
	for i := range old {
		damaged := bytes.Clone(old)
		damaged[i] ^= 0x55
		if n, err := c.DecompressInto(back, damaged); err == nil && string(back[:n]) == want && i > 8 {
			t.Errorf("a changed byte %d is not noticed, nor does it change anything", i)
		}
	}
}
