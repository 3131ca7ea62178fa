package ship

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"tachograph/schemas/journal"
)

// cursor says what of a run is shipped; see the package comment.
type cursor struct {
	run        journal.RunID
	next       int64
	tip        journal.Hash // of the entry before next; none if next is 0
	heads      int64
	checkpoint int64 // −1: none
	ended      bool  // nothing will follow
}

const cursorVersion = "tacho-ship-1"

func (c cursor) line() string {
	state := "open"
	if c.ended {
		state = "ended"
	}
	return fmt.Sprintf("%s %s %d %s %d %d %s\n", cursorVersion, c.run, c.next, c.tip, c.heads, c.checkpoint, state)
}

// parseCursor accepts what line writes, and no zero.
func parseCursor(text string) (c cursor, err error) {
	fields := strings.Split(strings.TrimSuffix(text, "\n"), " ")
	if len(fields) != 7 || fields[0] != cursorVersion {
		return c, fmt.Errorf("parse cursor: %.40q is not %q and six fields", text, cursorVersion)
	}
	var errs [5]error
	c.run, errs[0] = journal.ParseRunID(fields[1])
	c.next, errs[1] = strconv.ParseInt(fields[2], 10, 64)
	errs[2] = c.tip.UnmarshalText([]byte(fields[3]))
	c.heads, errs[3] = strconv.ParseInt(fields[4], 10, 64)
	c.checkpoint, errs[4] = strconv.ParseInt(fields[5], 10, 64)
	c.ended = fields[6] == "ended"
	if err := errors.Join(errs[:]...); err != nil {
		return cursor{}, fmt.Errorf("parse cursor: %w", err)
	}
	if c.next < 1 || c.tip.IsZero() || c.heads < 0 || c.checkpoint < -1 || c.line() != text {
		return cursor{}, fmt.Errorf("parse cursor: %.200q is not written as cursors are", text)
	}
	return c, nil
}

// ledger is the folder of one target's cursors.
type ledger struct{ dir string }

func openLedger(dir, target string) (ledger, error) {
	sum := sha256.Sum256([]byte(target))
	l := ledger{filepath.Join(dir, hex.EncodeToString(sum[:8]))}
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return l, fmt.Errorf("make folder of cursors: %w", err)
	}
	return l, nil
}

func (l ledger) file(run journal.RunID) string {
	return filepath.Join(l.dir, run.String()+".cursor")
}

// read reads a run's cursor; a run that has none starts at 0. An error means the same, and why.
func (l ledger) read(run journal.RunID) (cursor, error) {
	none := cursor{run: run, checkpoint: -1}
	text, err := os.ReadFile(l.file(run))
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
// one behind; there is one writer. A cursor at 0 is no file.
func (l ledger) write(c cursor) error {
	file := l.file(c.run)
	if c.next == 0 {
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove cursor: %w", err)
		}
		return nil
	}
	return replaceFile(file, c.line())
}

const baseVersion = "tacho-base-1"

func (l ledger) baseFile(root journal.Object) string {
	return filepath.Join(l.dir, hexName(root)+".base")
}

// readBase says whether a base tree was shipped whole, and which of its objects were not stored here.
func (l ledger) readBase(root journal.Object) (withheld []journal.Object, shipped bool) {
	text, err := os.ReadFile(l.baseFile(root))
	if err != nil {
		return nil, false
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if lines[0] != baseVersion || !strings.HasSuffix(string(text), "\n") {
		return nil, false
	}
	for _, line := range lines[1:] {
		var o journal.Object
		if err := o.UnmarshalText([]byte(line)); err != nil || o.IsZero() {
			return nil, false
		}
		withheld = append(withheld, o)
	}
	return withheld, true
}

func (l ledger) writeBase(root journal.Object, withheld []journal.Object) error {
	text := baseVersion + "\n"
	for _, o := range withheld {
		text += o.String() + "\n"
	}
	return replaceFile(l.baseFile(root), text)
}

func replaceFile(file, text string) error {
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		return fmt.Errorf("write cursor: %w", err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		return fmt.Errorf("write cursor: %w", err)
	}
	return nil
}
