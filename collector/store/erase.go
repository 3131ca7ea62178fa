package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"tachograph/schemas/journal"
	"tachograph/schemas/tables"
)

// DeleteFamily erases what people, models, tools and files wrote in a family's runs: first the salt, so that no name in any
// journal can be matched with a guess any more; then content, checkpoints, and what telemetry repeats of it. Entries and heads
// stay, so that every proof stays valid; base trees stay, since other families share them.
//
// It returns once the rows are gone from the disk as far as ClickHouse sees to it; parts that it
// replaced are removed after some minutes. A record of the family that arrives later is stored, and served to nobody:
// DeleteFamily may be called again. It goes on where it was cut off when it is called again.
// The family of other people's traces is tables.ConversationFamily.
func (s *Store) DeleteFamily(ctx context.Context, family journal.RunID) error {
	if s.readOnly {
		return errors.New("delete family: the store was opened to be read only")
	}
	traces, err := s.tracesOf(ctx, family)
	if err != nil {
		return fmt.Errorf("delete family %s: %w", family, err)
	}
	tombstone := NewBatch(uuid.New(), time.Now())
	tombstone.Fresh = true
	tombstone.Family(&tables.Family{Project: s.project, Family: family, Version: tables.FamilyErased})
	if err := s.Insert(ctx, tombstone); err != nil {
		return fmt.Errorf("delete family %s: %w", family, err)
	}
	ctx = with(ctx, "project", s.project, "family", family.String(), "traces", traces)
	for _, statement := range erasures() {
		if err := s.conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("delete family %s: %w", family, err)
		}
	}
	s.rootsMu.Lock()
	clear(s.roots)
	s.rootsMu.Unlock()
	return nil
}

// erasures are in the order in which things are erased. Each waits until it is done.
func erasures() []string {
	const done = " SETTINGS mutations_sync = 2"
	statements := []string{
		"ALTER TABLE families DELETE WHERE project = {project:String} AND family = {family:UUID} AND version = 0" + done,
		"ALTER TABLE content DELETE WHERE project = {project:String} AND family = {family:UUID}" + done,
		"ALTER TABLE checkpoints DELETE WHERE project = {project:String} AND run IN ({traces:Array(UUID)})" + done,
	}
	for _, table := range []string{"spans", "open_spans", "intents", "logs", "scores", "profiles"} {
		statements = append(statements, "ALTER TABLE "+table+" DELETE WHERE project = {project:String} AND trace_id IN ({traces:Array(UUID)})"+done)
	}
	return statements
}

// tracesOf are the runs of a family, or the traces of a conversation, as an array.
func (s *Store) tracesOf(ctx context.Context, family journal.RunID) (string, error) {
	type trace struct {
		id           uuid.UUID
		conversation string
	}
	scan := func(r driver.Rows) (t trace, err error) { return t, r.Scan(&t.id, &t.conversation) }
	runs, err := list(with(ctx, "project", s.project, "family", family.String()), s, question("family_runs"), scan)
	if err != nil {
		return "", err
	}
	talks, err := list(with(ctx, "project", s.project), s, question("conversations"), scan)
	text := "['" + family.String() + "'"
	for _, t := range append(runs, talks...) {
		if t.conversation == "" || tables.ConversationFamily(s.project, t.conversation, t.id) == family {
			text += ",'" + t.id.String() + "'"
		}
	}
	return text + "]", err
}
