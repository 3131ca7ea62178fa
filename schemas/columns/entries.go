package columns

import (
	"io"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"tachograph/schemas/journal"
)

// EntriesSchema is that of a journal.
func EntriesSchema() *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{
		field("seq", arrow.PrimitiveTypes.Int64, false, "", "index in the journal and its Merkle tree"),
		field("epoch", arrow.PrimitiveTypes.Int64, false, "", "revision of the lease under which it was written"),
		field("time", nanoseconds, false, "ns", ""),
		field("agent", arrow.BinaryTypes.String, false, "", "path"),
		field("kind", arrow.BinaryTypes.String, false, "", ""),
		field("hash", &arrow.FixedSizeBinaryType{ByteWidth: journal.HashSize}, false, "", "RFC 6962 leaf hash of line"),
		field("line", arrow.BinaryTypes.Binary, false, "bytes", "as stored"),
	}, nil)
}

// Entries writes entries.
type Entries struct{ *stream }

// NewEntries begins a stream. Close it.
func NewEntries(w io.Writer) Entries { return Entries{newStream(w, EntriesSchema())} }

// Write adds an entry, given as its stored line.
func (s Entries) Write(line []byte) error {
	e, err := journal.Decode(line)
	if err != nil {
		return err
	}
	hash := journal.HashEntry(line)
	s.rows.Field(0).(*array.Int64Builder).Append(e.Seq)
	s.rows.Field(1).(*array.Int64Builder).Append(e.Epoch)
	s.rows.Field(2).(*array.TimestampBuilder).Append(arrow.Timestamp(e.Time.UnixNano()))
	s.rows.Field(3).(*array.StringBuilder).Append(e.Agent)
	s.rows.Field(4).(*array.StringBuilder).Append(string(e.Kind))
	s.rows.Field(5).(*array.FixedSizeBinaryBuilder).Append(hash[:])
	s.rows.Field(6).(*array.BinaryBuilder).Append(line)
	return s.added()
}
