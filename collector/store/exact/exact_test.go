package exact_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"tachograph/collector/store/exact"
)

// model is an engine as its faults were measured: a kill may take an insert's rows and keep its token; what fails in
// a life may have been stored; a client that gives up may leave its insert running, to end at any later time of
// that life.
type model struct {
	rng     *rand.Rand
	life    int
	tokens  map[string]bool
	rows    map[string]int // copies of a segment's rows, by table and segment
	running []func()       // inserts whose client has gone
}

// modelConn is a connection to the life in which it was made.
type modelConn struct {
	*model
	life int
}

var errLost = errors.New("connection lost")

func (c modelConn) Life() string { return fmt.Sprint("life", c.life) }

func (c modelConn) Present(_ context.Context, table string, segment [16]byte) (bool, error) {
	c.happen()
	if c.life != c.model.life || c.chance(5) {
		return false, errLost
	}
	return c.rows[table+string(segment[:])] > 0, nil
}

// store is what the engine does with an insert.
func (m *model) store(block, token string) {
	if m.tokens[block+token] {
		return
	}
	m.tokens[block+token] = true
	m.rows[block]++
}

// Insert takes table and segment as rows.
func (c modelConn) Insert(_ context.Context, block, token string) error {
	m := c.model
	m.happen()
	if c.life != m.life {
		return errLost
	}
	switch m.rng.IntN(10) {
	case 0: // refused
		return errLost
	case 1: // refused late: the token is kept, the rows are not
		m.tokens[block+token] = true
		return errLost
	case 2: // stored, and the answer is lost
		m.store(block, token)
		return errLost
	case 3: // the client gives up, the insert goes on
		m.running = append(m.running, func() { m.store(block, token) })
		return errLost
	case 4: // killed while it inserts
		if m.chance(50) {
			m.tokens[block+token] = true
		} else if m.chance(50) {
			m.store(block, token)
		}
		m.kill()
		return errLost
	}
	m.store(block, token)
	return nil
}

// happen lets the world go on between two steps.
func (m *model) happen() {
	if m.chance(10) {
		m.kill()
	}
	for len(m.running) > 0 && m.chance(30) {
		i := m.rng.IntN(len(m.running))
		m.running[i]()
		m.running = append(m.running[:i], m.running[i+1:]...)
	}
}

func (m *model) kill() {
	m.life++
	m.running = nil
}

func (m *model) chance(percent int) bool { return m.rng.IntN(100) < percent }

// TestModel inserts segments of two tables, through processes that die between tries, until Insert says that they
// are there. Then each must be, once.
func TestModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100_000) {
		m := &model{rng: rand.New(rand.NewPCG(seed, 1)), tokens: map[string]bool{}, rows: map[string]int{}}
		insertSegment(t, m, seed)
		for len(m.running) > 0 { // whatever still runs ends
			m.running[0]()
			m.running = m.running[1:]
		}
		for key, n := range m.rows {
			if n != 1 {
				t.Fatalf("seed %d: %q stands %d times", seed, key, n)
			}
		}
		if len(m.rows) != 2 {
			t.Fatalf("seed %d: %d of 2 tables have the segment", seed, len(m.rows))
		}
	}
}

func insertSegment(t *testing.T, m *model, seed uint64) {
	segment := [16]byte{byte(seed), byte(seed >> 8)}
	var blocks []exact.Block[string]
	for _, table := range []string{"a", "b"} {
		blocks = append(blocks, exact.Block[string]{Table: table, Rows: table + string(segment[:])})
	}
	progress := []*exact.Progress{{}, {}}
	for range 1000 {
		if err := exact.Insert(t.Context(), modelConn{m, m.life}, segment, blocks, progress); err == nil {
			return
		}
		if m.chance(40) { // this process dies; the next one knows nothing but that there is a segment
			progress = []*exact.Progress{{Tried: true}, {Tried: true}}
		}
	}
	t.Fatalf("seed %d: still not inserted after 1000 tries", seed)
}
