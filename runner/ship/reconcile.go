package ship

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"

	"tachograph/runner/state"
	"tachograph/schemas/journal"
	"tachograph/schemas/record"
)

// check is what is known of the store.
type check struct {
	claim    int64     // what the cursor said when the run was first followed;
	once     bool      // the store was seen to have it
	have     int64     // entries from the first on that the store was seen to have,
	stored   int64     // and of those, with what they name where that is compared too
	since    time.Time // when have last grew, or what is missing was sent again
	due      time.Time
	pause    time.Duration
	suspect  bool  // records were rejected: what was acknowledged may not be there
	rejected int64 // records
	vain     int   // times that what was missing was sent again since the store had more
	err      error // the newest failure, nil if the last attempt succeeded
}

// maxVain is after how many attempts to mend Ship gives up. The follower goes on, ever more slowly.
const maxVain = 4

// Pause between two looks at the store while somebody waits or something is missing; it doubles.
const (
	pauseFirst = 200 * time.Millisecond
	pauseMost  = time.Hour
)

// reject counts records that the receiver threw away.
func (f *follower) reject(n int64, why error) {
	f.check.rejected += n
	f.check.suspect = true
	f.check.err = fmt.Errorf("the receiver rejected records: %w", why)
	f.log.Error("the receiver rejected records: they do not count as shipped", "records", n, "error", why)
}

// mustCheck says whether the store has to be asked before the run is shipped.
func (f *follower) mustCheck() bool {
	switch {
	case f.cfg.Store == nil:
		return false
	case f.check.suspect, !f.check.once:
		return true
	case f.course.isUrgent():
		return f.check.stored < f.next
	}
	return !f.cfg.Final && f.shipped.next < f.next
}

// hurried says whether the store is asked again soon: somebody waits, or nothing else is to come.
func (f *follower) hurried() bool { return f.course.isUrgent() || f.journal.Ended() }

// untilCheck is how long to wait for the next look at the store, at most most.
func (f *follower) untilCheck(most time.Duration) time.Duration {
	if !f.mustCheck() {
		return most
	}
	return max(min(f.check.due.Sub(f.cfg.Clock()), most), 0)
}

// compare asks the store what it has, and sends again what it lacks.
func (f *follower) compare() error {
	if !f.mustCheck() || f.cfg.Clock().Before(f.check.due) && !f.course.isUrgent() {
		return nil
	}
	if f.course.takeAfresh() {
		f.check.vain, f.check.pause = 0, 0
	}
	before := f.check.stored
	err := f.work(f.reconcile)
	if err != nil && (f.closing() || errors.Is(err, state.ErrErased)) {
		return err
	}
	if err != nil {
		f.check.err = err
		f.log.Warn("what is shipped cannot be confirmed", "error", err)
	}
	if f.check.stored > before || f.check.pause == 0 {
		f.check.pause = pauseFirst
	}
	pause := max(f.check.pause, f.cfg.CheckEvery)
	if f.hurried() {
		pause = f.check.pause
	}
	f.check.pause = min(f.check.pause*2, pauseMost)
	f.check.due = f.cfg.Clock().Add(pause)
	return nil
}

// reconcile is one comparison. What it finds missing in the middle is sent here, what is missing from some
// entry on by the next sendAll.
func (f *follower) reconcile() error {
	have, err := f.firstGap(f.working)
	if err != nil {
		return err
	}
	now := f.cfg.Clock()
	if have > f.check.have || f.check.since.IsZero() {
		f.check.since, f.check.vain = now, 0
	}
	f.check.have = have
	want := f.next
	switch {
	case !f.cfg.Final || f.check.suspect:
		if mended, err := f.confirmUpTo(have); mended || err != nil {
			return err
		}
		f.check.stored = f.shipped.next
	case f.course.isUrgent():
		f.check.stored = have
	default:
		// What was acknowledged here is final, though it may still be on its way.
		f.check.stored, want = have, f.check.claim
	}
	if have >= want {
		f.check.once, f.check.err = true, nil
		return nil
	}
	if f.onItsWay(now) {
		f.check.since = now
	}
	if now.Sub(f.check.since) < f.cfg.Patience {
		return nil
	}
	return f.rewind(have)
}

// onItsWay says whether the receiver is so far behind with what it acknowledged that nothing is known to be lost.
func (f *follower) onItsWay(now time.Time) bool {
	if f.cfg.Unstored == nil {
		return false
	}
	since := f.cfg.Unstored()
	return !since.IsZero() && now.Sub(since) >= f.cfg.Patience
}

// confirmUpTo confirms the entries before have, if all that they name is there too. Else it is sent
// again (mended).
func (f *follower) confirmUpTo(have int64) (mended bool, err error) {
	if have == 0 || have < f.shipped.next {
		return false, nil
	}
	sent, err := f.mend(f.shipped.next, have)
	if err != nil {
		return false, err
	}
	if sent > 0 {
		f.check.vain++
		f.log.Warn("the store lacked what entries name, it is sent again", "pieces", sent)
		return true, nil
	}
	tip, _, err := f.entryBefore(have)
	if err != nil {
		return false, err
	}
	if have == f.next {
		f.check.suspect, f.check.vain = false, 0
	}
	f.confirm(have, tip)
	return false, nil
}

// firstGap is how many entries, from the first on, the store has of those that were sent.
func (f *follower) firstGap(ctx context.Context) (int64, error) {
	count, tip, err := f.cfg.Store.RunState(ctx, f.journal.ID())
	if err != nil {
		return 0, err
	}
	if count == 0 {
		return 0, nil
	}
	if own, _, err := f.entryBefore(min(count, f.next)); err == nil && own == tip {
		return min(count, f.next), nil // the newest is where it is without a gap
	}
	before := func(n int64) (bool, error) {
		found, err := f.cfg.Store.CountBefore(ctx, f.journal.ID(), n)
		return found >= n, err
	}
	whole, err := before(f.next)
	if whole || err != nil {
		return f.next, err
	}
	low, high := int64(0), f.next // low have no gap, high have one
	for high-low > 1 {
		middle := low + (high-low)/2
		ok, err := before(middle)
		if err != nil {
			return 0, err
		}
		if ok {
			low = middle
		} else {
			high = middle
		}
	}
	return low, nil
}

// rewind has everything sent again from the entry next on.
func (f *follower) rewind(next int64) error {
	tip, when, err := f.entryBefore(next)
	if err != nil {
		return err
	}
	f.log.Warn("the store lacks entries, they are sent again", "from", next, "sent", f.next)
	f.check.since = f.cfg.Clock()
	f.check.vain++
	f.goTo(next, tip, when)
	f.heads, f.alike, f.saved = 0, nil, next-1
	f.namer.chunks = nil
	if f.shipped.next > next {
		f.confirm(next, tip)
	}
	return nil
}

// lackWindow is how many names the store is asked for at once.
const lackWindow = 1000

// mend asks the store for everything that the entries from … before to name, for the salt and the signed
// heads, and sends again what it lacks: sent pieces.
func (f *follower) mend(from, to int64) (sent int, err error) {
	m := mender{f: f, window: map[scopeKey][]piece{}}
	n := newNamer(f.journal, m.visit)
	if err := n.startAfter(f.working, from); err != nil {
		return 0, err
	}
	n.startChunks(f.working, from-1)
	for line, err := range f.journal.Entries(f.working, from) {
		if err != nil {
			return 0, err
		}
		e, err := journal.Decode(line)
		if err != nil || e.Seq >= to {
			break
		}
		if err := m.entry(n, e); err != nil {
			return 0, err
		}
	}
	if err := m.checkpoints(n, from, to); err != nil {
		return 0, err
	}
	if err := m.ask(); err != nil {
		return 0, err
	}
	if err := m.salt(); err != nil {
		return 0, err
	}
	err = m.heads(to)
	return m.sent, err
}

// mender collects names and asks for many at once.
type mender struct {
	f      *follower
	window map[scopeKey][]piece
	sent   int
}

type scopeKey struct{ space, scope string }

func (m *mender) entry(n *namer, e journal.Entry) error {
	body, err := journal.DecodeBody(e.Kind, e.Body)
	if err != nil {
		return nil // as when it was sent: what it names is not known
	}
	if started, ok := body.(*journal.RunStarted); ok {
		n.base = started.Base
		objects, err := n.tree(m.f.working, started.Base)
		if err != nil {
			return err
		}
		for _, o := range objects {
			if err := m.visit(m.f.working, n.object(o.Name, hexName(started.Base), e.Seq, e.Time)); err != nil {
				return err
			}
		}
	}
	return n.entry(m.f.working, e, body)
}

func (m *mender) checkpoints(n *namer, from, to int64) error {
	for after := from - 1; ; {
		at, text, err := m.f.journal.CheckpointAfter(m.f.working, after)
		if errors.Is(err, state.ErrNotFound) || err == nil && at >= to {
			return nil
		}
		if err != nil {
			return err
		}
		after = at
		err = n.checkpoint(m.f.working, at, m.f.when, text)
		if err == nil {
			err = m.ask() // the record comes after its chunks
		}
		if err == nil { // small, and not asked for
			err = m.f.queue.add(item{event: record.Checkpoint, at: m.f.when, body: text, run: m.f.journal.ID(), seq: at})
		}
		if err != nil && !leftOut(err) {
			return err
		}
	}
}

func (m *mender) visit(_ context.Context, p piece) error {
	key := scopeKey{p.space, p.scope}
	m.window[key] = append(m.window[key], p)
	if len(m.window[key]) >= lackWindow {
		return m.askFor(key)
	}
	return nil
}

func (m *mender) ask() error {
	for key := range m.window {
		if err := m.askFor(key); err != nil {
			return err
		}
	}
	return nil
}

func (m *mender) askFor(key scopeKey) error {
	pieces := m.window[key]
	delete(m.window, key)
	names := make([]name, len(pieces))
	for i, p := range pieces {
		names[i] = p.name
	}
	lacks, err := m.f.cfg.Store.Lacks(m.f.working, key.space, key.scope, names)
	if err != nil {
		return err
	}
	for _, p := range pieces {
		if !slices.Contains(lacks, p.name) {
			continue
		}
		b, err := p.read(m.f.working)
		if errors.Is(err, state.ErrNotFound) {
			continue // it was never stored here either
		}
		if err != nil {
			return err
		}
		m.sent++
		for _, i := range p.cut(m.f.journal.ID(), b) {
			if err := m.f.queue.add(i); err != nil {
				return err
			}
		}
	}
	return nil
}

// salt sends the salt of the family, without which nobody can prove what entries name.
func (m *mender) salt() error {
	there, err := m.f.cfg.Store.HasSalt(m.f.working, m.f.journal.Family())
	if there || err != nil {
		return err
	}
	m.sent++
	m.f.salted = false
	return m.f.sendSalt(m.f.when)
}

// heads sends the signed heads over at most to entries that the store lacks.
func (m *mender) heads(to int64) error {
	local, err := m.f.journal.Heads(m.f.working)
	if err != nil {
		return err
	}
	there, err := m.f.cfg.Store.Heads(m.f.working, m.f.journal.ID())
	if err != nil {
		return err
	}
	has := make(map[string]bool, len(there))
	for _, text := range there {
		has[record.HashOf(text)] = true
	}
	for _, text := range local {
		size, err := headSize(text)
		if err != nil || size > to || has[record.HashOf(text)] {
			continue
		}
		m.sent++
		if err := m.f.sendHead(text, size); err != nil {
			return err
		}
	}
	return nil
}

// noKeys verifies nobody's signature: what is shipped is what is there.
type noKeys struct{}

func (noKeys) Verifier(name string, hash uint32) (note.Verifier, error) {
	return nil, &note.UnknownVerifierError{Name: name, KeyHash: hash}
}

func headSize(text []byte) (int64, error) {
	h, _, err := journal.OpenHead(text, noKeys{})
	return h.Size, err
}

func contains(list [][]byte, b []byte) bool {
	return slices.ContainsFunc(list, func(o []byte) bool { return bytes.Equal(o, b) })
}
