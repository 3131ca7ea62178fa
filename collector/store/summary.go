package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"tachograph/schemas/journal"
	"tachograph/schemas/tables"
)

// The table runs is what a list shows: a row each time a run has grown, the newest wins. It is folded from
// entries as they are inserted: one after the other where they follow what was folded before, and from all entries of
// the run where they do not (this process has just started, entries came out of order, or another process brought some).
//
// It is no state: a list must not stop where a journal is not coherent, and must not need a fork's parent. So
// agents and held calls of a fork are those that it has itself. replay proves; this counts.

// summaryKinds are the kinds whose body matters to a summary.
var summaryKinds = []string{
	string(journal.KindRunStarted), string(journal.KindRunEnded), string(journal.KindPaused), string(journal.KindResumed), string(journal.KindLimitChanged),
	string(journal.KindAgentSpawned), string(journal.KindModelAnswered), string(journal.KindCallDecided), string(journal.KindCallHeld), string(journal.KindCallApproved),
	string(journal.KindCallRefused), string(journal.KindCallExpired), string(journal.KindCallEnded), string(journal.KindRolledBack), string(journal.KindRecovered),
}

// runKey names a run.
type runKey struct {
	project string
	run     [16]byte
}

// summaryEntry is what a summary needs of an entry. Line is there if the kind is among summaryKinds.
type summaryEntry struct {
	seq, epoch int64
	hash, prev [32]byte
	time       int64
	kind       string
	line       []byte
}

// summary is a run as far as its entries are folded.
type summary struct {
	row   tables.Run
	epoch int64
	held  map[int64]bool
	last  int64 // time of the newest entry, microseconds, never going back but by a recovery
	ahead bool  // there are entries after one that has not come yet
}

// summaries are those of the runs that entries came in for lately.
type summaries struct {
	mu sync.Mutex
	of map[runKey]*summary
}

// maxSummaries bounds the runs that are remembered. One that was forgotten is folded again from its entries.
const maxSummaries = 4096

// grow notes an entry for the summary of its run.
func (b *Batch) grow(r *tables.Entry) {
	key := runKey{r.Project, r.Run}
	e := summaryEntry{seq: r.Seq, epoch: r.Epoch, hash: r.Hash, prev: r.Prev, time: r.Time, kind: r.Kind}
	if slices.Contains(summaryKinds, r.Kind) {
		e.line = slices.Clone(r.Line)
	}
	b.grown[key] = append(b.grown[key], e)
}

// follow writes the rows of runs for the entries of a segment.
func (s *Store) follow(ctx context.Context, b *Batch) error {
	if len(b.grown) == 0 {
		return nil
	}
	s.runs.mu.Lock()
	defer s.runs.mu.Unlock()
	if s.runs.of == nil {
		s.runs.of = map[runKey]*summary{}
	}
	if err := s.sumUpAll(ctx, b.grown); err != nil {
		for key := range b.grown {
			delete(s.runs.of, key)
		}
		return fmt.Errorf("sum up runs: %w", err)
	}
	changed := NewBatch(b.seg, b.received)
	for key := range b.grown {
		if sum := s.runs.of[key]; sum.row.Entries > 0 {
			changed.Run(&sum.row)
		}
	}
	if len(s.runs.of) > maxSummaries {
		for key := range maps.Keys(s.runs.of) {
			if delete(s.runs.of, key); len(s.runs.of) <= maxSummaries/2 {
				break
			}
		}
	}
	if changed.Rows() == 0 {
		return nil
	}
	t := changed.blocks[0]
	// Not exactly once: the newest row of a run wins, and equal ones are one.
	return s.lanes.with(ctx, func(l lane) error { return l.Insert(ctx, &sending{t.table, t.rows, changed.input(t)}, "") })
}

// sumUpAll brings the summaries of runs to after entries that have just been inserted. A run is folded from all its
// entries only where those that came now do not do: with hundreds of runs at once, a question for each would be
// most of what ClickHouse does.
func (s *Store) sumUpAll(ctx context.Context, grown map[runKey][]summaryEntry) error {
	met := map[string][]runKey{}  // by project: runs of which nothing was remembered,
	went := map[string][]runKey{} // and those that went on from what was
	var again []runKey
	for key, entries := range grown {
		slices.SortFunc(entries, func(x, y summaryEntry) int { return int(x.seq - y.seq) })
		sum, known := s.runs.of[key]
		if !known {
			sum = newSummary(key)
			s.runs.of[key] = sum
		}
		switch {
		case !sum.goOn(entries) || sum.ahead:
			again = append(again, key)
		case known:
			went[key.project] = append(went[key.project], key)
		default:
			met[key.project] = append(met[key.project], key)
		}
	}
	for project, keys := range went {
		others, err := s.withNext(ctx, project, keys)
		if err != nil {
			return err
		}
		again = append(again, others...)
	}
	for project, keys := range met {
		others, err := s.notWhole(ctx, project, keys)
		if err != nil {
			return err
		}
		again = append(again, others...)
	}
	for _, key := range again {
		if err := s.sumUp(ctx, key); err != nil {
			return fmt.Errorf("run %s: %w", uuid.UUID(key.run), err)
		}
	}
	return nil
}

// goOn folds entries that follow. It says no where they do not, or where another worker took over before what was folded:
// then the summary is worth nothing.
func (s *summary) goOn(entries []summaryEntry) bool {
	for _, e := range entries {
		switch {
		case e.seq < s.row.Entries && e.epoch > s.epoch, e.seq == s.row.Entries && e.seq > 0 && e.prev != s.row.Tip, e.seq > s.row.Entries:
			return false
		case e.seq == s.row.Entries:
			s.add(e)
		} // else it came again
	}
	return true
}

// withNext are the runs that have an entry after those of their summary. Two collectors may each bring a part of one run at the
// same moment. Each looks after its own insert, so the one whose insert was seen last sees all, and its row wins; without
// looking, one that goes on from what it remembers would never learn that the other had already brought what comes next.
func (s *Store) withNext(ctx context.Context, project string, keys []runKey) (found []runKey, err error) {
	for some := range slices.Chunk(keys, maxNames) {
		places := make([]string, len(some))
		for i, key := range some {
			places[i] = fmt.Sprintf("('%s',%d)", uuid.UUID(key.run), s.runs.of[key].row.Entries)
		}
		runs, err := list(with(ctx, "project", project, "places", "["+strings.Join(places, ",")+"]"), s, question("has_next"),
			func(r driver.Rows) (id uuid.UUID, err error) { return id, r.Scan(&id) })
		if err != nil {
			return nil, err
		}
		for _, run := range runs {
			found = append(found, runKey{project, run})
		}
	}
	return found, nil
}

// notWhole are the runs that have other entries than those of their summary: an earlier process, or another, brought some.
func (s *Store) notWhole(ctx context.Context, project string, keys []runKey) (found []runKey, err error) {
	for some := range slices.Chunk(keys, maxNames) {
		ids := make([]string, len(some))
		for i, key := range some {
			ids[i] = "'" + uuid.UUID(key.run).String() + "'"
		}
		_, err := list(with(ctx, "project", project, "runs", "["+strings.Join(ids, ",")+"]"), s, question("ends"), func(r driver.Rows) (none struct{}, err error) {
			var id uuid.UUID
			var last, epoch int64
			err = r.Scan(&id, &last, &epoch)
			key := runKey{project, id}
			if sum := s.runs.of[key]; err == nil && (last >= sum.row.Entries || epoch > sum.epoch) {
				found = append(found, key)
			}
			return none, err
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// sumUp folds all entries of a run, up to the first that is missing.
func (s *Store) sumUp(ctx context.Context, key runKey) error {
	sum := newSummary(key)
	links, err := s.links(ctx, key, 0)
	if err != nil {
		return err
	}
	onChain := chain(links)
	rows, err := s.conn.Query(with(ctx, "project", key.project, "run", uuid.UUID(key.run).String(), "kinds", kindsParameter()), question("summary"))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var e summaryEntry
		var hashText, prev, line string
		if err := rows.Scan(&e.seq, &e.epoch, &hashText, &prev, &e.time, &e.kind, &line); err != nil {
			return err
		}
		e.hash, e.prev, e.line = hash(hashText), hash(prev), []byte(line)
		if at, ok := onChain[e.seq]; ok && at == e.hash && e.seq == sum.row.Entries {
			sum.add(e)
		} else if ok && e.seq > sum.row.Entries {
			sum.ahead = true
		}
	}
	s.runs.of[key] = sum
	return rows.Err()
}

// kindsParameter spells summaryKinds as an array.
func kindsParameter() string {
	text := "["
	for i, k := range summaryKinds {
		if i > 0 {
			text += ","
		}
		text += "'" + k + "'"
	}
	return text + "]"
}

func newSummary(key runKey) *summary {
	return &summary{row: tables.Run{Project: key.project, Run: key.run, ParentSeq: tables.Absent, Status: journal.StatusRunning}, held: map[int64]bool{}}
}

// add folds the next entry. A body that cannot be read (a newer tacho wrote it) counts as an entry, no more.
func (s *summary) add(e summaryEntry) {
	r := &s.row
	wasPaused := r.Status == journal.StatusPaused
	if entry, err := journal.Decode(e.line); err == nil {
		if body, err := journal.DecodeBody(entry.Kind, entry.Body); err == nil {
			s.fold(body)
		}
	}
	s.passTime(e, wasPaused)
	if e.seq == 0 {
		r.Started = e.time
	}
	r.Last, r.Entries, r.Version, r.Tip, s.epoch = e.time, e.seq+1, uint64(e.seq+1), e.hash, e.epoch
	r.Held = int64(len(s.held))
}

// passTime counts active time as journal.State does.
func (s *summary) passTime(e summaryEntry, wasPaused bool) {
	now := e.time / 1000
	kind := journal.Kind(e.kind)
	idle := e.seq == 0 || wasPaused
	switch kind {
	case journal.KindRecovered, journal.KindResumed, journal.KindCallApproved, journal.KindCallRefused, journal.KindCallExpired:
		idle = true
	}
	if len(e.kind) > 5 && e.kind[:5] == journal.NotePrefix {
		return
	}
	if !idle && now > s.last {
		s.row.ActiveUS += now - s.last
	}
	s.last = max(s.last, now)
	if e.seq == 0 || kind == journal.KindRecovered {
		s.last = now
	}
}

func (s *summary) fold(body journal.Body) {
	r := &s.row
	switch b := body.(type) {
	case *journal.RunStarted:
		r.Family, r.Goal, r.Model, r.Status, r.Agents = b.Family, b.Goal, b.Model, journal.StatusRunning, 1
		if b.Parent != nil {
			r.Parent, r.ParentSeq = b.Parent.Run, b.Parent.Seq
		}
		s.limit(b.Limits)
	case *journal.RunEnded:
		r.Status, r.Why = journal.StatusEnded, b.Outcome
	case *journal.Paused:
		r.Status, r.Why = journal.StatusPaused, b.Why
	case *journal.Resumed:
		r.Status, r.Why = journal.StatusRunning, ""
	case *journal.LimitChanged:
		s.limit(b.Limits)
	case *journal.AgentSpawned:
		r.Agents++
	case *journal.ModelAnswered:
		s.charge(b)
	case *journal.CallEnded:
		r.Calls++
		delete(s.held, b.Call)
	default:
		s.hold(body)
	}
}

// hold keeps the calls that wait for a person.
func (s *summary) hold(body journal.Body) {
	switch b := body.(type) {
	case *journal.CallDecided:
		if delete(s.held, b.Call); b.Decision == "hold" {
			s.held[b.Call] = true
		}
	case *journal.CallHeld:
		s.held[b.Call] = true
	case *journal.CallApproved:
		delete(s.held, b.Call)
	case *journal.CallRefused:
		delete(s.held, b.Call)
	case *journal.CallExpired:
		delete(s.held, b.Call)
	case *journal.RolledBack:
		clear(s.held) // a turn with calls that have not ended is dropped
	case *journal.Recovered:
		for _, call := range b.Doubt {
			s.held[call] = true
		}
	}
}

func (s *summary) limit(l journal.Limits) {
	s.row.LimitSteps, s.row.LimitTokens, s.row.LimitCostNUSD, s.row.LimitSeconds = l.Steps, l.Tokens, l.CostNUSD, l.Seconds
}

// charge counts as journal.Usage does.
func (s *summary) charge(b *journal.ModelAnswered) {
	r := &s.row
	if b.Status == "ok" || b.Status == "given" {
		r.Steps++
	}
	if !b.Priced && b.Status != "given" {
		r.Unpriced++
	}
	if b.Estimated {
		r.Estimated += b.Tokens.Input + b.Tokens.Output
	}
	r.InputTokens += b.Tokens.Input
	r.CachedTokens += b.Tokens.Cached
	r.OutputTokens += b.Tokens.Output
	r.ReasoningTokens += b.Tokens.Reasoning
	r.CostNUSD += b.CostNUSD
}

// link is an entry without its line.
type link struct {
	seq, epoch int64
	hash, prev [32]byte
}

// links are all entries of a run from seq on, those of lost epochs too, ordered by seq and epoch.
func (s *Store) links(ctx context.Context, key runKey, from int64) ([]link, error) {
	return list(with(ctx, "project", key.project, "run", uuid.UUID(key.run).String(), "from", fmt.Sprint(from)), s, question("links"), func(r driver.Rows) (l link, err error) {
		var own, prev string
		err = r.Scan(&l.seq, &l.epoch, &own, &prev)
		l.hash, l.prev = hash(own), hash(prev)
		return l, err
	})
}

// chain gives the hash that counts at each seq: from the newest entry of the highest epoch back through prev, as far as
// that reaches. Before a gap, the same again from the newest entry below it.
func chain(links []link) map[int64][32]byte {
	at := map[int64][]link{}
	var tip *link
	for i := range links {
		l := &links[i]
		at[l.seq] = append(at[l.seq], *l)
		if tip == nil || l.epoch > tip.epoch || l.epoch == tip.epoch && l.seq > tip.seq {
			tip = l
		}
	}
	found := map[int64][32]byte{}
	for tip != nil {
		found[tip.seq] = tip.hash
		tip = before(at, *tip)
	}
	return found
}

// before is the entry that l links to. If it is not there: the newest one of the highest epoch, not above its own,
// among those that are.
func before(at map[int64][]link, l link) *link {
	for _, p := range at[l.seq-1] {
		if p.hash == l.prev {
			return &p
		}
	}
	if l.seq == 0 || len(at[l.seq-1]) > 0 {
		return nil // seq 0, or entries that it does not link to: nothing before can be trusted to belong to it
	}
	var best *link
	for seq, all := range at {
		for _, p := range all {
			if seq < l.seq && p.epoch <= l.epoch && (best == nil || p.epoch > best.epoch || p.epoch == best.epoch && p.seq > best.seq) {
				best = &p
			}
		}
	}
	return best
}
