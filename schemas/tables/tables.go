// Package tables is the form of what lies in ClickHouse: the statements that make the tables, and one
// struct for a row of each. It is words and their formats; it never speaks to a database.
//
// A file NNNN_name.sql is one change. Files are applied in order, each once, and never edited after they
// were released: [Migrations] gives each a checksum, collector/store keeps it and refuses a database
// that was made by other words. A statement ends with a semicolon at the end of a line. Names are those of the
// database of the connection.
//
// A struct's fields carry the column's name as `ch` tag, in the order of the table, all but the
// columns seg and received: these two are of the segment that a row comes with, not of the row. A test
// compares structs and tables on the real engine. Go types stand for column types as follows:
//
//	string   String, LowCardinality(String)     [16]byte  UUID, in the order of its text
//	[]byte   String                             [32]byte  FixedString(32)
//	int64    Int64; DateTime64(9): nanoseconds since 1970
//	[]Attr   two columns: the pairs as Map(LowCardinality(String), String), their types beside it
//
// A time of OTLP is a uint64; as int64 of the same bits it goes there and back without loss.
//
// Read first: 0001_spans.sql and spans.go, then value.go (how values that are no strings are kept),
// 0002_journal.sql and journal.go.
package tables

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"
)

//go:embed *.sql
var files embed.FS

// Migration is one file.
type Migration struct {
	Number     int      // from 1, without gaps
	Name       string   // of the file, without .sql
	Checksum   string   // SHA-256 of the file, hex
	Statements []string // in order
}

// Migrations are all files in the order in which they are applied.
func Migrations() ([]Migration, error) {
	names, err := files.ReadDir(".")
	if err != nil {
		return nil, fmt.Errorf("list migrations: %w", err)
	}
	var all []Migration
	for _, entry := range names {
		text, err := files.ReadFile(entry.Name())
		if err != nil {
			return nil, fmt.Errorf("read migration: %w", err)
		}
		m := Migration{Name: strings.TrimSuffix(path.Base(entry.Name()), ".sql")}
		if _, err := fmt.Sscanf(m.Name, "%04d_", &m.Number); err != nil {
			return nil, fmt.Errorf("migration %s: want a name as 0001_spans.sql", entry.Name())
		}
		sum := sha256.Sum256(text)
		m.Checksum, m.Statements = hex.EncodeToString(sum[:]), Statements(string(text))
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b Migration) int { return a.Number - b.Number })
	for i, m := range all {
		if m.Number != i+1 {
			return nil, fmt.Errorf("migration %s: want number %d: numbers have no gaps", m.Name, i+1)
		}
	}
	return all, nil
}

// Statements takes a file apart: a statement ends with a semicolon at the end of a line. Pieces that
// are comments only are dropped.
func Statements(file string) []string {
	var found []string
	for piece := range strings.SplitSeq(file+"\n", ";\n") {
		code := false
		for line := range strings.SplitSeq(piece, "\n") {
			line = strings.TrimSpace(line)
			code = code || line != "" && !strings.HasPrefix(line, "--")
		}
		if code {
			found = append(found, strings.TrimSpace(piece))
		}
	}
	return found
}
