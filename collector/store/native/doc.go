// Package native builds columns of ClickHouse's Native format, row by row, into memory that is used
// again. It knows types and bytes; it must never know a table, and never send anything.
//
// ch-go's own columns keep values and encode them at the end; these are encoded as they are appended, so
// that a value is copied once and a segment needs no second pass. They satisfy ch-go's proto.ColInput,
// which writes the block around them.
//
// A column in a block is its name, its type, a state prefix where the type has one, and
//
//	numbers, DateTime64    little-endian, one after the other
//	UUID                   its two halves, each as a little-endian uint64
//	FixedString(n)         n bytes a row
//	String                 uvarint length and the bytes, a row
//	Array(T)               a uint64 a row: elements up to and with this row; then the elements
//	Map(K, V)              the same, then all keys, then all values: pairs keep their order, and may repeat
//	LowCardinality(String) prefix: int64 1. Then int64 flags ‖ width of an index; int64 n, n strings;
//	                       int64 rows, an index a row, 1, 2, 4 or 8 bytes wide
//
// The prefix of an array or a map is that of what it holds, and what has no rows has no body.
//
// Not safe for use by several goroutines. Read first: column.go, then lowcard.go.
package native
