package state

import (
	"bytes"
	"testing"

	"tachograph/schemas/journal"
)

// Whatever a row holds, reading it ends with a value or an error, and what was packed comes back.
func FuzzCell(f *testing.F) {
	p, err := newPacker()
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(p.close)
	f.Add([]byte("text"))
	f.Add([]byte{cellZstd, 3, 0x28, 0xb5, 0x2f, 0xfd})
	f.Add([]byte{cellFile, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Add(bytes.Repeat([]byte("compress me "), 1000))
	f.Fuzz(func(t *testing.T, b []byte) {
		file := func() ([]byte, error) { return b, nil }
		if _, err := p.unpack(b, file); err == nil && len(b) == 0 {
			t.Fatal("nothing was unpacked")
		}
		packed := p.pack(b)
		got, err := p.unpack(packed.cell, func() ([]byte, error) { return packed.file, nil })
		if err != nil || !bytes.Equal(got, b) {
			t.Fatalf("%d bytes packed and unpacked: %d, %v", len(b), len(got), err)
		}
	})
}

// A checkpoint row that can be read is one that would be written.
func FuzzCheckpointRow(f *testing.F) {
	var frontier journal.Frontier
	for n := range 5 {
		frontier.Add(journal.Hash{byte(n)})
	}
	f.Add(checkpointRow{journal.Hash{1}, &frontier, []byte("{}")}.encode())
	f.Add([]byte{checkpointVersion})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decodeCheckpoint(b)
		if err != nil {
			return
		}
		again, err := decodeCheckpoint(c.encode())
		if err != nil || !bytes.Equal(again.encode(), c.encode()) {
			t.Fatalf("read again: %v", err)
		}
	})
}

// Keys and summaries of any bytes are read or refused.
func FuzzKey(f *testing.F) {
	f.Add(seqKey(rowEntry, journal.RunID{1}, 77))
	f.Add(hashKey(rowContent, journal.RunID{1}, journal.Ref{2}))
	f.Add([]byte(`{"id":"01970000-0000-7000-8000-000000000000","family":"01970000-0000-7000-8000-000000000000"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if seq, err := decodeSeq(b); err == nil && (seq < 0 || !bytes.HasPrefix(b, seqKey(b[0], journal.RunID(b[1:17]), seq))) {
			t.Fatalf("seq %d of key %x", seq, b)
		}
		if hash, err := decodeHash(b); err == nil && !bytes.HasSuffix(b, hash[:]) {
			t.Fatalf("hash %x of key %x", hash, b)
		}
		if info, err := decodeInfo(b); err == nil && (info.ID.IsZero() || info.Entries < 0) {
			t.Fatalf("summary %+v", info)
		}
		if end := after(b); end != nil && bytes.Compare(end, b) <= 0 {
			t.Fatalf("after %x comes %x", b, end)
		}
	})
}
