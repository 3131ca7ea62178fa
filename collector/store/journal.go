package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"tachograph/schemas/journal"
	"tachograph/schemas/record"
	"tachograph/schemas/tables"
)

// What replay asks for, of a run of this project. A run that is not there is ErrNotFound, what is of an erased
// family ErrErased.

// roots is what of a run's first entry leads to its content.
type roots struct {
	family journal.RunID
	base   journal.Object
}

// rootsOf reads the run's first entry, once.
func (s *Store) rootsOf(ctx context.Context, run journal.RunID) (roots, error) {
	s.rootsMu.Lock()
	r, ok := s.roots[run]
	s.rootsMu.Unlock()
	if ok {
		return r, nil
	}
	for line, err := range s.lines(ctx, run, 0, 0) {
		if err != nil {
			return roots{}, err
		}
		entry, err := journal.Decode(line)
		if err != nil {
			return roots{}, fmt.Errorf("first entry of run %s: %w", run, err)
		}
		body, err := journal.DecodeBody(entry.Kind, entry.Body)
		if err != nil {
			return roots{}, fmt.Errorf("first entry of run %s: %w", run, err)
		}
		started, ok := body.(*journal.RunStarted)
		if !ok {
			return roots{}, fmt.Errorf("first entry of run %s is %s, not its start", run, entry.Kind)
		}
		r = roots{started.Family, started.Base}
		s.rootsMu.Lock()
		if len(s.roots) >= maxSummaries {
			clear(s.roots)
		}
		s.roots[run] = r
		s.rootsMu.Unlock()
		return r, nil
	}
	return roots{}, fmt.Errorf("run %s: %w", run, ErrNotFound)
}

// of are the parameters that name a run of the project.
func (s *Store) of(ctx context.Context, run journal.RunID, more ...string) context.Context {
	return with(ctx, append([]string{"project", s.project, "run", run.String()}, more...)...)
}

// Family is the family of a run, and the root of the tree that it began with.
func (s *Store) Family(ctx context.Context, run journal.RunID) (journal.RunID, journal.Object, error) {
	r, err := s.rootsOf(ctx, run)
	return r.family, r.base, err
}

// Entries yields the stored lines of a run from seq on, in order, until the newest: each once, and where a worker
// that had lost its lease went on writing, those that count. Where one is missing the error says which.
func (s *Store) Entries(ctx context.Context, run journal.RunID, from int64) iter.Seq2[[]byte, error] {
	return s.lines(ctx, run, from, journal.MaxInt)
}

// EntriesTo is Entries up to the entry to, which a caller that knows where it will stop asks for: a question goes
// on being answered when nobody listens any more.
func (s *Store) EntriesTo(ctx context.Context, run journal.RunID, from, to int64) iter.Seq2[[]byte, error] {
	return s.lines(ctx, run, from, to)
}

// lines are the entries from … to.
func (s *Store) lines(ctx context.Context, run journal.RunID, from, to int64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		end, err := s.endOf(ctx, run, to)
		if err == nil && end.newest >= from {
			err = s.streamLines(ctx, run, from, min(to, end.newest), yield)
		}
		if err != nil {
			yield(nil, fmt.Errorf("read entries of run %s: %w", run, err))
		}
	}
}

// end is where a run ends, as far as was known when it was asked.
type end struct {
	newest int64 // seq of the newest entry that counts: the one of the highest epoch
	asked  time.Time
}

// endOf is the end of a run, as it was when somebody last asked: lately (Options.Remember), and when the entry to was there.
//
// A worker that takes a run over goes on from the last entry that is here. Where one that had lost its lease wrote in that very
// moment, entries behind that one which do not count may still be read while the end is remembered. Where entries
// that count stand beside them they are told apart; where not, their hashes do not link to those that do.
func (s *Store) endOf(ctx context.Context, run journal.RunID, to int64) (end, error) {
	now := time.Now()
	s.rootsMu.Lock()
	e, ok := s.ends[run]
	s.rootsMu.Unlock()
	if ok && to <= e.newest && now.Sub(e.asked) < s.remember {
		return e, nil
	}
	err := s.conn.QueryRow(s.of(ctx, run), question("newest")).Scan(&e.newest)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return end{}, err
	}
	e.asked = now
	s.rootsMu.Lock()
	defer s.rootsMu.Unlock()
	if len(s.ends) >= maxSummaries {
		clear(s.ends)
	}
	s.ends[run] = e
	return e, nil
}

// rivals are the entries that stand at one seq, of which one counts.
type rivals struct {
	seq    int64
	hashes [][32]byte
	lines  [][]byte
}

// streamLines reads the entries in order. That a worker went on after it had lost its lease shows where two entries
// stand at one seq, and only then it is looked up which of them count: from there on.
func (s *Store) streamLines(ctx context.Context, run journal.RunID, from, to int64, yield func([]byte, error) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	rows, err := s.conn.Query(s.of(ctx, run, "from", fmt.Sprint(from), "to", fmt.Sprint(to)), question("entries"))
	if err != nil {
		return err
	}
	defer rows.Close()
	next := max(from, 0)
	var counts map[int64][32]byte
	give := func(r rivals) (more bool, err error) {
		if len(r.lines) > 1 && counts == nil {
			links, err := s.links(ctx, runKey{s.project, run}, r.seq)
			if err != nil {
				return false, err
			}
			counts = chain(links)
		}
		for i, line := range r.lines {
			if counts != nil && counts[r.seq] != r.hashes[i] {
				continue
			}
			if r.seq != next {
				return false, fmt.Errorf("entry %d is not there, though entry %d is: `tacho ship` sends what is missing: %w", next, r.seq, ErrNotFound)
			}
			next++
			return yield(line, nil), nil
		}
		return true, nil // none counts: the next entry that does says that this one is missing
	}
	held := rivals{seq: -1}
	for rows.Next() {
		var seq int64
		var own string
		var line []byte
		if err := rows.Scan(&seq, &own, &line); err != nil {
			return err
		}
		if seq != held.seq && held.seq >= 0 {
			if more, err := give(held); !more || err != nil {
				return err
			}
			held = rivals{}
		}
		held.seq, held.hashes, held.lines = seq, append(held.hashes, hash(own)), append(held.lines, line)
	}
	if err := rows.Err(); err != nil || held.seq < 0 {
		return err
	}
	_, err = give(held)
	return err
}

// progress is how far a run has come here.
type progress struct {
	count  int64        // entries that are there, of those that count
	newest int64        // seq of the newest one; count is one more if none is missing
	tip    journal.Hash // its hash
	forked bool         // a worker went on after it had lost its lease: not all entries count
}

// progressOf reads how far a run has come. A run that is not there has no entries.
func (s *Store) progressOf(ctx context.Context, run journal.RunID) (p progress, err error) {
	var tip string
	var distinct, last int64
	if err := s.conn.QueryRow(s.of(ctx, run), question("run_state")).Scan(&p.count, &distinct, &last, &p.newest, &tip); err != nil {
		return p, fmt.Errorf("read how far run %s has come: %w", run, err)
	}
	p.tip, p.forked = hash(tip), distinct > p.count || last > p.newest
	return p, nil
}

// RunState says how far a run has come here, which a shipper compares with its own store: the number of its entries,
// and the hash of the newest of the highest epoch. 0 if it is not there.
func (s *Store) RunState(ctx context.Context, run journal.RunID) (count int64, tip journal.Hash, err error) {
	p, err := s.progressOf(ctx, run)
	if err != nil || !p.forked {
		return p.count, p.tip, err
	}
	links, err := s.links(ctx, runKey{s.project, run}, 0)
	return int64(len(chain(links))), p.tip, err
}

// CountBefore is the number of entries of a run with a seq below before.
func (s *Store) CountBefore(ctx context.Context, run journal.RunID, before int64) (n int64, err error) {
	err = s.conn.QueryRow(s.of(ctx, run, "before", fmt.Sprint(before)), question("count_before")).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count entries of run %s: %w", run, err)
	}
	return n, nil
}

// Lacks returns those of the names of a space that are not here, or not with all their parts. Scope is the UUID of a
// family, or, of objects, the 64 hex digits of a base tree's root (schemas/record).
func (s *Store) Lacks(ctx context.Context, space, scope string, names [][32]byte) ([][32]byte, error) {
	var lacks [][32]byte
	for len(names) > 0 {
		some := names[:min(len(names), maxNames)]
		names = names[len(some):]
		ctx, ask := with(ctx, "project", s.project, "root", scope, "names", namesParameter(some)), "has_base_pieces"
		if len(scope) != 2*len(some[0]) {
			ctx, ask = s.inSpace(ctx, scope, space, some), "has_pieces"
		}
		there, err := list(ctx, s, question(ask), func(r driver.Rows) (h [32]byte, err error) {
			var name string
			err = r.Scan(&name)
			return hash(name), err
		})
		if err != nil {
			return nil, fmt.Errorf("look for what is not there of %s %s: %w", space, scope, err)
		}
		has := make(map[[32]byte]bool, len(there))
		for _, name := range there {
			has[name] = true
		}
		for _, name := range some {
			if !has[name] {
				lacks = append(lacks, name)
			}
		}
	}
	return lacks, nil
}

// Heads are the signed heads of a run, oldest first.
func (s *Store) Heads(ctx context.Context, run journal.RunID) ([][]byte, error) {
	heads, err := list(s.of(ctx, run), s, question("heads"), func(r driver.Rows) (head []byte, err error) { return head, r.Scan(&head) })
	if err != nil {
		return nil, fmt.Errorf("read heads of run %s: %w", run, err)
	}
	if len(heads) == 0 {
		if p, err := s.progressOf(ctx, run); err != nil || p.count == 0 {
			return nil, errors.Join(err, fmt.Errorf("run %s: %w", run, ErrNotFound))
		}
	}
	return heads, nil
}

// Salt makes the content names of the run's family.
func (s *Store) Salt(ctx context.Context, run journal.RunID) (journal.Salt, error) {
	r, err := s.rootsOf(ctx, run)
	if err != nil {
		return journal.Salt{}, err
	}
	return s.FamilySalt(ctx, r.family)
}

// HasSalt says whether the salt of a family is there, or was erased and must not come again.
func (s *Store) HasSalt(ctx context.Context, family journal.RunID) (bool, error) {
	switch _, err := s.FamilySalt(ctx, family); {
	case err == nil, errors.Is(err, ErrErased):
		return true, nil
	case errors.Is(err, ErrNotFound):
		return false, nil
	default:
		return false, err
	}
}

// FamilySalt is the salt of a family: ErrErased if it was erased, ErrNotFound if it has not come.
func (s *Store) FamilySalt(ctx context.Context, family journal.RunID) (salt journal.Salt, err error) {
	var version uint8
	var bytes []byte
	err = s.conn.QueryRow(with(ctx, "project", s.project, "family", family.String()), question("salt")).Scan(&version, &bytes)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return salt, fmt.Errorf("salt of family %s: %w", family, ErrNotFound)
	case err != nil:
		return salt, fmt.Errorf("read salt of family %s: %w", family, err)
	case version == tables.FamilyErased:
		return salt, fmt.Errorf("family %s: %w", family, ErrErased)
	case len(bytes) != len(salt):
		return salt, fmt.Errorf("salt of family %s has %d bytes, not %d", family, len(bytes), len(salt))
	}
	copy(salt[:], bytes)
	return salt, nil
}

// Content reads what an entry of the run's family names.
func (s *Store) Content(ctx context.Context, run journal.RunID, ref journal.Ref) ([]byte, error) {
	return s.one(ctx, run, record.SpaceContent, ref)
}

// Chunk reads a piece of a checkpoint.
func (s *Store) Chunk(ctx context.Context, run journal.RunID, name journal.Hash) ([]byte, error) {
	return s.one(ctx, run, record.SpaceChunk, name)
}

// Object reads an object of the run's family: its own, or one of the tree that it began with.
func (s *Store) Object(ctx context.Context, run journal.RunID, name journal.Object) ([]byte, error) {
	r, err := s.rootsOf(ctx, run)
	if err != nil {
		return nil, err
	}
	found, err := s.Pieces(ctx, run, record.SpaceObject, [][32]byte{name})
	if err != nil {
		return nil, err
	}
	if b, ok := found[name]; ok {
		return b, nil
	}
	found, err = s.pieces(with(ctx, "project", s.project, "root", hexOf(r.base), "names", namesParameter([][32]byte{name})), "base_pieces")
	if err != nil {
		return nil, err
	}
	if b, ok := found[name]; ok {
		return b, nil
	}
	return nil, s.absent(ctx, r.family, record.SpaceObject, name)
}

// one reads one piece of the run's family.
func (s *Store) one(ctx context.Context, run journal.RunID, space string, name [32]byte) ([]byte, error) {
	found, err := s.Pieces(ctx, run, space, [][32]byte{name})
	if err != nil {
		return nil, err
	}
	if b, ok := found[name]; ok {
		return b, nil
	}
	r, err := s.rootsOf(ctx, run)
	if err != nil {
		return nil, err
	}
	return nil, s.absent(ctx, r.family, space, name)
}

// absent is the error for a piece that is not there.
func (s *Store) absent(ctx context.Context, family journal.RunID, space string, name [32]byte) error {
	if _, err := s.FamilySalt(ctx, family); errors.Is(err, ErrErased) {
		return fmt.Errorf("%s %s: %w", space, journal.Hash(name), err)
	}
	return fmt.Errorf("%s %s of family %s: %w", space, journal.Hash(name), family, ErrNotFound)
}

// lastSeq is the greatest seq at which a piece of a space stands. Content and objects stand with the entry that needed
// them first, so that what an agent did in one go is one range. Chunks of checkpoints are needed again by each later one, and are
// asked for by name alone: they all stand at 0, where the primary key orders them by name.
func lastSeq(space string) int64 {
	if space == record.SpaceChunk {
		return 0
	}
	return journal.MaxInt
}

// inSpace are the parameters that name pieces of a family.
func (s *Store) inSpace(ctx context.Context, family, space string, names [][32]byte) context.Context {
	return with(ctx, "project", s.project, "family", family, "last", fmt.Sprint(lastSeq(space)), "space", space, "names", namesParameter(names))
}

// maxNames bounds the names in one question.
const maxNames = 1000

// Pieces reads several pieces of one space of the run's family in one question or few: those that are there, by
// name. Objects are those of the family alone, not of the tree that it began with. It is for callers who know what
// they will need, as a question costs more than a row.
func (s *Store) Pieces(ctx context.Context, run journal.RunID, space string, names [][32]byte) (map[[32]byte][]byte, error) {
	r, err := s.rootsOf(ctx, run)
	if err != nil {
		return nil, err
	}
	all := map[[32]byte][]byte{}
	for len(names) > 0 {
		some := names[:min(len(names), maxNames)]
		names = names[len(some):]
		found, err := s.pieces(s.inSpace(ctx, r.family.String(), space, some), "pieces")
		if err != nil {
			return nil, err
		}
		for name, b := range found {
			all[name] = b
		}
	}
	return all, nil
}

// pieces puts the parts of pieces together.
func (s *Store) pieces(ctx context.Context, name string) (map[[32]byte][]byte, error) {
	rows, err := s.conn.Query(ctx, question(name))
	if err != nil {
		return nil, fmt.Errorf("read content: %w", err)
	}
	defer rows.Close()
	found := map[[32]byte][]byte{}
	var piece struct {
		name    [32]byte
		next, n uint32
	}
	finish := func() error {
		if piece.next < piece.n {
			return fmt.Errorf("read %s: part %d of %d is not there: %w", journal.Hash(piece.name), piece.next, piece.n, ErrNotFound)
		}
		return nil
	}
	for rows.Next() {
		var own string
		var part, parts uint32
		var bytes []byte
		if err := rows.Scan(&own, &part, &parts, &bytes); err != nil {
			return nil, fmt.Errorf("read content: %w", err)
		}
		if h := hash(own); h != piece.name || part == 0 {
			if err := finish(); err != nil {
				return nil, err
			}
			piece.name, piece.next, piece.n = h, 0, parts
			found[h] = []byte{}
		}
		if part != piece.next {
			return nil, fmt.Errorf("read %s: part %d of %d is not there: %w", journal.Hash(piece.name), piece.next, piece.n, ErrNotFound)
		}
		piece.next++
		found[piece.name] = append(found[piece.name], bytes...)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read content: %w", err)
	}
	return found, finish()
}

// namesParameter spells names as an array of hex texts.
func namesParameter(names [][32]byte) string {
	text := make([]byte, 0, 2+67*len(names))
	text = append(text, '[')
	for i, n := range names {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(append(append(text, '\''), hexOf(n)...), '\'')
	}
	return string(append(text, ']'))
}

// Checkpoint is the newest cached state at or before seq: its seq, and the record that journal.LoadCheckpoint reads.
func (s *Store) Checkpoint(ctx context.Context, run journal.RunID, seq int64) (int64, []byte, error) {
	var at int64
	var bytes []byte
	err := s.conn.QueryRow(s.of(ctx, run, "seq", fmt.Sprint(seq)), question("checkpoint")).Scan(&at, &bytes)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return 0, nil, fmt.Errorf("checkpoint of run %s at or before %d: %w", run, seq, ErrNotFound)
	case err != nil:
		return 0, nil, fmt.Errorf("read checkpoint of run %s: %w", run, err)
	}
	return at, bytes, nil
}

// HasBase says whether the tree with this root is there as a whole: its root is what is shipped last.
func (s *Store) HasBase(ctx context.Context, root journal.Object) (bool, error) {
	var parts, all int64
	err := s.conn.QueryRow(with(ctx, "project", s.project, "root", hexOf(root)), question("has_base")).Scan(&parts, &all)
	if err != nil {
		return false, fmt.Errorf("look for base tree %s: %w", root, err)
	}
	return all > 0 && parts == all, nil
}
