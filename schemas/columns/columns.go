// Package columns writes spans and entries as Arrow IPC streams: what an answer with many rows, an
// export or a bulk path hands to a program that computes. It is the only package that imports Arrow.
//
// A stream is schema, record batches of at most [BatchRows] rows, end-of-stream. Units stand in the
// fields' metadata (key "unit"), and what a field means under "about". A value that was not sent is
// null, never 0.
//
//	spans    id, parent: 8 bytes as in OTLP; start, alive: timestamp[ns, UTC]; duration null: open
//	entries  line: the bytes as stored, hash: that of the Merkle tree's leaf
//
// No hash of ours covers Arrow bytes: another version of the library may write the same rows
// otherwise.
//
// It must never read a store or decide what is written; it is given rows. Read first: the lists of
// fields in spans.go and entries.go.
package columns

import (
	"fmt"
	"io"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/apache/arrow/go/v17/arrow/memory"
)

// BatchRows is how many rows a record batch holds at most.
const BatchRows = 4096

// Metadata keys of a field.
const (
	keyUnit  = "unit"
	keyAbout = "about"
)

var nanoseconds = &arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: "UTC"}

func field(name string, kind arrow.DataType, nullable bool, unit, about string) arrow.Field {
	var keys, values []string
	for _, pair := range [][2]string{{keyUnit, unit}, {keyAbout, about}} {
		if pair[1] != "" {
			keys, values = append(keys, pair[0]), append(values, pair[1])
		}
	}
	return arrow.Field{Name: name, Type: kind, Nullable: nullable, Metadata: arrow.NewMetadata(keys, values)}
}

// stream collects rows and writes them batch by batch.
type stream struct {
	out  *ipc.Writer
	rows *array.RecordBuilder
	n    int
}

func newStream(w io.Writer, schema *arrow.Schema) *stream {
	return &stream{out: ipc.NewWriter(w, ipc.WithSchema(schema)), rows: array.NewRecordBuilder(memory.DefaultAllocator, schema)}
}

// added counts a row, and writes the batch when it is full.
func (s *stream) added() error {
	if s.n++; s.n < BatchRows {
		return nil
	}
	return s.flush()
}

func (s *stream) flush() error {
	if s.n == 0 {
		return nil
	}
	s.n = 0
	batch := s.rows.NewRecord()
	defer batch.Release()
	if err := s.out.Write(batch); err != nil {
		return fmt.Errorf("write Arrow batch: %w", err)
	}
	return nil
}

// Close writes what is left and the end of the stream. The writer below stays open.
func (s *stream) Close() error {
	defer s.rows.Release()
	if err := s.flush(); err != nil {
		return err
	}
	if err := s.out.Close(); err != nil {
		return fmt.Errorf("end Arrow stream: %w", err)
	}
	return nil
}
