package replay

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"sync"
	"time"

	"tachograph/collector/store"
	"tachograph/schemas/journal"
	"tachograph/schemas/record"
)

// Database is ClickHouse as a Source: runs that were shipped, read on any machine. A question to it
// costs more than a row, so what will be asked for next is read with what is asked for: the neighbours
// of a file. It keeps some of that in memory. Its methods may be called concurrently.
type Database struct {
	store  *store.Store
	traces bool // lists hold other people's traces too
	cache  cache
}

// ClickHouse reads from an open ClickHouse. The caller closes it.
func ClickHouse(s *store.Store) *Database { return &Database{store: s} }

// ClickHouseWithTraces lists the traces of other people's agents among the runs: for lists that a person reads. There
// is nothing of them that a Source could give besides.
func ClickHouseWithTraces(s *store.Store) *Database { return &Database{store: s, traces: true} }

// Runs lists the runs, newest first.
func (d *Database) Runs(ctx context.Context) ([]Run, error) { return d.RunsBut(ctx, nil) }

// RunsBut implements selective.
func (d *Database) RunsBut(ctx context.Context, has func(run journal.RunID, entries int64) bool) ([]Run, error) {
	var skip func(store.Run) bool
	if has != nil {
		skip = func(r store.Run) bool { return has(r.ID, r.Entries) }
	}
	found, err := d.store.RunsBut(ctx, store.Page{}, skip)
	if err != nil {
		return nil, translated(err)
	}
	runs := make([]Run, 0, len(found))
	for _, r := range found {
		runs = append(runs, shownRun(r))
	}
	if d.traces {
		return d.addTraces(ctx, runs)
	}
	return runs, nil
}

// Run is one of them.
func (d *Database) Run(ctx context.Context, run journal.RunID) (Run, error) {
	found, err := d.store.Run(ctx, run)
	if d.traces && errors.Is(err, store.ErrNotFound) {
		return d.traceRun(ctx, run)
	}
	if err != nil {
		return Run{}, translated(err)
	}
	return shownRun(found), nil
}

func shownRun(r store.Run) Run {
	run := Run{ID: r.ID, Source: SourceTacho, Family: r.Family, Status: r.Status, Why: r.Why, Goal: r.GoalText, Model: r.Model,
		Started: r.Started.UTC().Format(time.RFC3339Nano), Last: r.Last.UTC().Format(time.RFC3339Nano),
		Entries: r.Entries, Tip: r.Tip, Agents: r.Agents, Held: r.Held, Usage: r.Usage, Limits: r.Limits}
	if !r.Parent.IsZero() {
		run.Parent = &Origin{r.Parent, r.ParentSeq}
	}
	return run
}

// Entries yields the stored lines of a run.
func (d *Database) Entries(ctx context.Context, run journal.RunID, from int64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for line, err := range d.store.Entries(ctx, run, from) {
			if !yield(line, translated(err)) || err != nil {
				return
			}
		}
	}
}

// EntriesTo is Entries up to the entry to.
func (d *Database) EntriesTo(ctx context.Context, run journal.RunID, from, to int64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for line, err := range d.store.EntriesTo(ctx, run, from, to) {
			if !yield(line, translated(err)) || err != nil {
				return
			}
		}
	}
}

// followEvery is how often a run that goes on is asked for new entries.
const followEvery = 500 * time.Millisecond

// Follow goes on with new entries until ctx ends or the run has ended.
func (d *Database) Follow(ctx context.Context, run journal.RunID, from int64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for next := max(from, 0); ; {
			for line, err := range d.Entries(ctx, run, next) {
				if ctx.Err() != nil || !yield(line, err) || err != nil {
					return
				}
				next++
			}
			if ended, err := d.endsBefore(ctx, run, next); ended || err != nil {
				if err != nil && ctx.Err() == nil {
					yield(nil, err)
				}
				return
			}
			select {
			case <-time.After(followEvery):
			case <-ctx.Done():
				return
			}
		}
	}
}

// endsBefore says whether the entry before next is the run's last.
func (d *Database) endsBefore(ctx context.Context, run journal.RunID, next int64) (bool, error) {
	for line, err := range d.EntriesTo(ctx, run, max(next-1, 0), next-1) {
		if err != nil {
			return false, err
		}
		e, err := journal.Decode(line)
		return err == nil && e.Kind == journal.KindRunEnded, err
	}
	return false, nil
}

// Heads are the signed heads of a run.
func (d *Database) Heads(ctx context.Context, run journal.RunID) ([][]byte, error) {
	heads, err := d.store.Heads(ctx, run)
	return heads, translated(err)
}

// Salt makes the content names of the run's family.
func (d *Database) Salt(ctx context.Context, run journal.RunID) (journal.Salt, error) {
	salt, err := d.store.Salt(ctx, run)
	return salt, translated(err)
}

// Content reads what an entry of the run's family names.
func (d *Database) Content(ctx context.Context, run journal.RunID, ref journal.Ref) ([]byte, error) {
	if b, ok := d.cache.get(cacheKey{run, record.SpaceContent, ref}); ok {
		return b, nil
	}
	b, err := d.store.Content(ctx, run, ref)
	return b, translated(err)
}

// Ahead reads content that will be asked for. What is not there is no error here.
func (d *Database) Ahead(ctx context.Context, run journal.RunID, refs []journal.Ref) error {
	names := make([]name, len(refs))
	for i, ref := range refs {
		names[i] = name(ref)
	}
	_, err := d.pieces(ctx, run, record.SpaceContent, names)
	return err
}

// Chunks reads pieces of a checkpoint.
func (d *Database) Chunks(ctx context.Context, run journal.RunID, hashes []journal.Hash) ([][]byte, error) {
	names := make([]name, len(hashes))
	for i, h := range hashes {
		names[i] = name(h)
	}
	found, err := d.pieces(ctx, run, record.SpaceChunk, names)
	if err != nil {
		return nil, err
	}
	texts := make([][]byte, len(names))
	for i, n := range names {
		b, ok := found[n]
		if !ok {
			if b, err = d.store.Chunk(ctx, run, hashes[i]); err != nil { // which says what became of it
				return nil, translated(err)
			}
		}
		texts[i] = b
	}
	return texts, nil
}

// Checkpoint is the newest cached state at or before seq.
func (d *Database) Checkpoint(ctx context.Context, run journal.RunID, seq int64) (Checkpoint, error) {
	var wait sync.WaitGroup
	defer wait.Wait()
	wait.Go(func() { _, _, _ = d.store.Family(ctx, run) }) // the chunks will need it; should it fail, they ask again
	at, text, err := d.store.Checkpoint(ctx, run, seq)
	return Checkpoint{at, text}, translated(err)
}

// Object reads an object of the run's family, and with it others of its directory.
func (d *Database) Object(ctx context.Context, run journal.RunID, object journal.Object) ([]byte, error) {
	key := cacheKey{run, record.SpaceObject, object}
	b, ok := d.cache.get(key)
	if !ok {
		names := d.cache.neighbours(key)
		found, err := d.pieces(ctx, run, record.SpaceObject, names)
		if err != nil && len(names) > 1 { // one that is damaged must not hide the others
			found, err = nil, nil
		}
		if err != nil {
			return nil, err
		}
		if b, ok = found[object]; !ok {
			if b, err = d.store.Object(ctx, run, object); err != nil {
				return nil, translated(err)
			}
		}
	}
	d.cache.directory(run, b)
	return b, nil
}

// pieces reads what of the names is there, from the cache as far as it has it.
func (d *Database) pieces(ctx context.Context, run journal.RunID, space string, names []name) (map[name][]byte, error) {
	found := make(map[name][]byte, len(names))
	var ask []name
	for _, n := range names {
		if b, ok := d.cache.get(cacheKey{run, space, n}); ok {
			found[n] = b
		} else {
			ask = append(ask, n)
		}
	}
	read := []func(context.Context, journal.RunID, []name) (map[name][]byte, error){
		func(ctx context.Context, run journal.RunID, names []name) (map[name][]byte, error) {
			return d.store.Pieces(ctx, run, space, names)
		},
	}
	if space == record.SpaceObject {
		read = append(read, d.store.BasePieces)
	}
	for _, from := range read {
		if len(ask) == 0 {
			break
		}
		some, err := from(ctx, run, ask)
		if err != nil {
			return nil, translated(err)
		}
		var rest []name
		for _, n := range ask {
			b, ok := some[n]
			if !ok {
				rest = append(rest, n)
				continue
			}
			found[n] = b
			d.cache.put(cacheKey{run, space, n}, b)
		}
		ask = rest
	}
	return found, nil
}

// translated gives an error of the database the meaning that a Source gives it.
func translated(err error) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return &meaning{err, ErrNotFound}
	case errors.Is(err, store.ErrErased):
		return &meaning{err, ErrErased}
	}
	return err
}

// meaning reads as its error does, and matches what that means.
type meaning struct {
	error
	is error
}

func (m *meaning) Unwrap() []error { return []error{m.error, m.is} }

// name is what a piece is called in its space.
type name = [journal.HashSize]byte

type cacheKey struct {
	run   journal.RunID
	space string
	name  name
}

// Bounds of what a Database keeps, and of what it reads at once with an object.
const (
	cacheBytes     = 64 << 20 // of the newer generation; the older one may be as large
	neighbourCount = 256
	neighbourBytes = 8 << 20
)

// cache keeps what was read lately, in two generations, and knows which objects stand in one
// directory. What is in it is as little trusted as what is in the database.
type cache struct {
	mu         sync.Mutex
	newer, old map[cacheKey][]byte
	bytes      int
	dirs       map[cacheKey]*siblings // by child
}

// siblings are the entries of a directory.
type siblings struct {
	entries []journal.DirEntry
	index   map[name]int
}

func (c *cache) get(k cacheKey) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b, ok := c.newer[k]; ok {
		return b, true
	}
	b, ok := c.old[k]
	return b, ok
}

func (c *cache) put(k cacheKey, b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.newer == nil || c.bytes > cacheBytes {
		c.newer, c.old, c.bytes = map[cacheKey][]byte{}, c.newer, 0
	}
	c.newer[k] = b
	c.bytes += len(b) + 128
}

// directory remembers the entries of b, if that is a directory.
func (c *cache) directory(run journal.RunID, b []byte) {
	if !bytes.HasPrefix(b, []byte("tacho-dir-")) {
		return
	}
	entries, err := journal.DecodeDir(b)
	if err != nil || len(entries) == 0 {
		return
	}
	s := &siblings{entries, make(map[name]int, len(entries))}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.dirs) > 1<<16 {
		c.dirs = nil
	}
	if c.dirs == nil {
		c.dirs = map[cacheKey]*siblings{}
	}
	for i, e := range entries {
		s.index[name(e.Object)] = i
		c.dirs[cacheKey{run, record.SpaceObject, name(e.Object)}] = s
	}
}

// neighbours are the object and those that come after it in its directory and are not here yet.
func (c *cache) neighbours(k cacheKey) []name {
	c.mu.Lock()
	defer c.mu.Unlock()
	names := []name{k.name}
	s := c.dirs[k]
	if s == nil {
		return names
	}
	size := int64(0)
	for _, e := range s.entries[s.index[k.name]+1:] {
		if len(names) == neighbourCount || size+e.Size > neighbourBytes {
			break
		}
		key := cacheKey{k.run, k.space, name(e.Object)}
		_, here := c.newer[key]
		if _, was := c.old[key]; here || was || e.Object.IsZero() || e.Type == journal.TypeChunks {
			continue
		}
		names, size = append(names, name(e.Object)), size+e.Size
	}
	return names
}

// aheadSource is a Source that can read content before it is asked for.
type aheadSource interface {
	Ahead(ctx context.Context, run journal.RunID, refs []journal.Ref) error
}

// boundedSource is a Source that wants to know where a reader of entries will stop.
type boundedSource interface {
	EntriesTo(ctx context.Context, run journal.RunID, from, to int64) iter.Seq2[[]byte, error]
}

// where is the Source that has the run.
func where(ctx context.Context, src Source, run journal.RunID) Source {
	if u, ok := src.(*Union); ok {
		return u.of(ctx, run)
	}
	return src
}

// aheadOf tells the source which content will be asked for, if it wants to know. That it cannot be
// read is found when it is asked for.
func aheadOf(ctx context.Context, src Source, run journal.RunID, refs []journal.Ref) {
	if a, ok := where(ctx, src, run).(aheadSource); ok {
		_ = a.Ahead(ctx, run, refs)
	}
}

// aheadCount is how many pieces are read ahead at once.
const aheadCount = 64

// entriesTo are the entries from … to.
func entriesTo(ctx context.Context, src Source, run journal.RunID, from, to int64) iter.Seq2[[]byte, error] {
	if b, ok := where(ctx, src, run).(boundedSource); ok {
		return b.EntriesTo(ctx, run, from, to)
	}
	return src.Entries(ctx, run, from)
}
