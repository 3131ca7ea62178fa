package spans

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"tachograph/schemas/journal"
)

// cursor says which spans of a run have been sent: all that entries before next close.
type cursor struct {
	run   journal.RunID
	next  int64
	tip   journal.Hash // of the entry before next; none if next is 0
	ended bool         // nothing will follow
}

const cursorVersion = "tacho-spans-1"

func (c cursor) line() string {
	state := "open"
	if c.ended {
		state = "ended"
	}
	return fmt.Sprintf("%s %s %d %s %s\n", cursorVersion, c.run, c.next, c.tip, state)
}

// parseCursor accepts what line writes, and no zero.
func parseCursor(text string) (cursor, error) {
	var c cursor
	fields := strings.Split(strings.TrimSuffix(text, "\n"), " ")
	if len(fields) != 5 || fields[0] != cursorVersion {
		return c, fmt.Errorf("parse cursor: %.40q is not %q and four fields", text, cursorVersion)
	}
	var err error
	if c.run, err = journal.ParseRunID(fields[1]); err != nil {
		return c, fmt.Errorf("parse cursor: %w", err)
	}
	if c.next, err = strconv.ParseInt(fields[2], 10, 64); err != nil {
		return c, fmt.Errorf("parse cursor: %w", err)
	}
	if err := c.tip.UnmarshalText([]byte(fields[3])); err != nil {
		return c, fmt.Errorf("parse cursor: %w", err)
	}
	c.ended = fields[4] == "ended"
	if c.next < 1 || c.tip.IsZero() || c.line() != text {
		return cursor{}, fmt.Errorf("parse cursor: %.200q is not written as cursors are", text)
	}
	return c, nil
}

func cursorFile(dir string, run journal.RunID) string {
	return filepath.Join(dir, run.String()+".cursor")
}

// readCursor reads a run's cursor; a run that has none starts at 0. An error means the same, and why.
func readCursor(dir string, run journal.RunID) (cursor, error) {
	none := cursor{run: run}
	text, err := os.ReadFile(cursorFile(dir, run))
	if errors.Is(err, os.ErrNotExist) {
		return none, nil
	}
	if err != nil {
		return none, fmt.Errorf("read cursor: %w", err)
	}
	c, err := parseCursor(string(text))
	if err == nil && c.run != run {
		err = fmt.Errorf("read cursor: it is of run %s", c.run)
	}
	if err != nil {
		return none, err
	}
	return c, nil
}

// write replaces the file. The name of the new one is fixed, so that a killed process leaves at most
// one behind; there is one writer.
func (c cursor) write(dir string) error {
	file := cursorFile(dir, c.run)
	if err := os.WriteFile(file+".new", []byte(c.line()), 0o600); err != nil {
		return fmt.Errorf("write cursor: %w", err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		return fmt.Errorf("write cursor: %w", err)
	}
	return nil
}
