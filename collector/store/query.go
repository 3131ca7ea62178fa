package store

import (
	"context"
	"embed"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

//go:embed *.sql
var sqlFiles embed.FS

// question is the SQL of a named question: the file NAME.sql beside this one.
func question(name string) string {
	text, err := sqlFiles.ReadFile(name + ".sql")
	if err != nil {
		panic("store: no file for question " + name) // the tests ask each
	}
	return string(text)
}

// with gives a query its parameters: names and values in turn. Values are never part of the SQL.
func with(ctx context.Context, pairs ...string) context.Context {
	parameters := clickhouse.Parameters{}
	for i := 0; i+1 < len(pairs); i += 2 {
		parameters[pairs[i]] = escape(pairs[i+1])
	}
	return clickhouse.Context(ctx, clickhouse.WithParameters(parameters))
}

// escape spells a value as the engine reads parameters: in the escapes of its tab-separated format. Quotes are
// left alone; the native protocol quotes, and HTTP needs no quotes.
func escape(v string) string {
	return strings.NewReplacer("\\", `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`, "\x00", `\0`).Replace(v)
}

// list asks a question and reads every row of the answer. It is for answers that are bounded.
func list[T any](ctx context.Context, s *Store, sql string, scan func(driver.Rows) (T, error)) (found []T, err error) {
	rows, err := s.conn.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		row, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("read row: %w", err)
		}
		found = append(found, row)
	}
	return found, rows.Err()
}

// hash reads a FixedString(32).
func hash(text string) (h [32]byte) {
	copy(h[:], text)
	return h
}

func hexOf(h [32]byte) string { return hex.EncodeToString(h[:]) }
