// Package seen remembers keys for a day, so that what a sender sends again is known. It answers from
// memory and keeps its files only so that the next process knows the same. It must never say "seen" of
// what was not added, and memory is bounded: when too many keys come in a day, the oldest are forgotten
// early, and Stats says how far back it remembers.
//
// # Files
//
//	<dir>/<began, Unix ms, decimal>.keys    keys of 16 bytes, one after the other; a torn tail is cut off
//
// There are two generations: keys are added to the newer one; when it is a day old, or holds half of what
// is allowed, the older one is dropped and a new one begun. So a key is remembered for a day at least,
// unless the bound makes it less.
//
// Added keys reach the file with Save, and are durable after Sync. What is between is known from the
// spool, whose segments outlive Sync.
//
// # What can still come twice
//
// The set lies in the spool's directory, never on another disk, so that the two are lost, restored and moved together:
//
//   - The whole directory is lost: so is what was acknowledged and not stored, and what was stored in the last day is not
//     known again. A sender that then sends again what had been acknowledged doubles it. Senders do that only where the
//     answer was lost, so it is the requests that were in flight at that moment.
//   - Only the set is lost, or is older than the spool (a backup): the same, for what was stored before. What is still in
//     the spool is known from its segments (Collector.recall), so no backlog is doubled.
//   - Only the spool is lost: senders were told that those spans are safe, so they do not come again; if one does, it is
//     taken for known and dropped. To take them again, remove the set too.
//   - Two collectors before one ClickHouse have two sets: a sender must stay with one, or a balancer must send
//     each trace to the same one.
//   - The bound on memory makes the day shorter: Stats.Early counts it, /metrics and Metrics show since when it reaches back.
//
// Spans have no second line of defence: the table appends. Journal records do, the tables collapse them by what they are.
package seen

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Key is 16 bytes of a cryptographic hash, so that nobody can make two things with one key.
type Key = [16]byte

// Config of a Set.
type Config struct {
	Dir     string
	MaxKeys int           // in memory; a key takes about 40 bytes
	Window  time.Duration // how long a key is remembered, at least
	Now     func() time.Time
}

// Set is for any goroutine.
type Set struct {
	config Config

	mu      sync.Mutex
	newer   generation
	older   generation
	unsaved []byte
	early   int64
}

type generation struct {
	began time.Time
	keys  map[Key]struct{}
	file  *os.File
}

// Open reads what an earlier process remembered.
func Open(c Config) (*Set, error) {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open seen keys: %w", err)
	}
	s := &Set{config: c}
	names, err := filepath.Glob(filepath.Join(c.Dir, "*.keys"))
	if err != nil {
		return nil, fmt.Errorf("open seen keys: %w", err)
	}
	slices.SortFunc(names, func(a, b string) int { return beganOf(b).Compare(beganOf(a)) })
	for i, name := range names {
		g := &s.newer
		switch {
		case i == 1:
			g = &s.older
		case i > 1:
			if err := os.Remove(name); err != nil {
				return nil, errors.Join(fmt.Errorf("open seen keys: %w", err), s.Close())
			}
			continue
		}
		if err := g.load(name); err != nil {
			return nil, errors.Join(fmt.Errorf("open seen keys: %w", err), s.Close())
		}
	}
	if s.newer.file == nil {
		if err := s.begin(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func beganOf(name string) time.Time {
	ms, err := strconv.ParseInt(strings.TrimSuffix(filepath.Base(name), ".keys"), 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

func (g *generation) load(name string) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	g.began = beganOf(name)
	g.keys = make(map[Key]struct{}, len(b)/len(Key{}))
	whole := len(b) - len(b)%len(Key{})
	for at := 0; at < whole; at += len(Key{}) {
		g.keys[Key(b[at:])] = struct{}{}
	}
	if g.file, err = os.OpenFile(name, os.O_RDWR|os.O_APPEND, 0o600); err != nil {
		return err
	}
	return g.file.Truncate(int64(whole))
}

// begin makes the newer generation.
func (s *Set) begin() error {
	began := s.config.Now().Truncate(time.Millisecond)
	if !began.After(s.older.began) {
		began = s.older.began.Add(time.Millisecond)
	}
	name := filepath.Join(s.config.Dir, strconv.FormatInt(began.UnixMilli(), 10)+".keys")
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("begin seen keys: %w", err)
	}
	s.newer = generation{began: began, keys: map[Key]struct{}{}, file: f}
	return nil
}

// Add remembers a key and says whether it is new.
func (s *Set) Add(k Key) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.newer.keys[k]; ok {
		return false
	}
	if _, ok := s.older.keys[k]; ok {
		return false
	}
	s.newer.keys[k] = struct{}{}
	s.unsaved = append(s.unsaved, k[:]...)
	return true
}

// Forget takes keys back that were added after the last Save.
func (s *Set) Forget(keys []Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	gone := make(map[Key]bool, len(keys))
	for _, k := range keys {
		gone[k] = true
		delete(s.newer.keys, k)
	}
	kept := s.unsaved[:0]
	for at := 0; at < len(s.unsaved); at += len(Key{}) {
		if k := s.unsaved[at : at+len(Key{})]; !gone[Key(k)] {
			kept = append(kept, k...)
		}
	}
	s.unsaved = kept
}

// Save writes what was added to the file, and begins a new generation when it is time. After an error
// the keys are still remembered, and the next Save writes them.
func (s *Set) Save() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.save(); err != nil {
		return err
	}
	age := s.config.Now().Sub(s.newer.began)
	full := len(s.newer.keys) >= max(1, s.config.MaxKeys/2)
	if age < s.config.Window && !full {
		return nil
	}
	if full && age < s.config.Window {
		s.early++
	}
	return s.rotate()
}

func (s *Set) save() error {
	if len(s.unsaved) == 0 {
		return nil
	}
	n, err := s.newer.file.Write(s.unsaved)
	s.unsaved = append(s.unsaved[:0], s.unsaved[n:]...)
	if err != nil {
		return fmt.Errorf("save seen keys: %w", err)
	}
	return nil
}

func (s *Set) rotate() error {
	oldest := s.older
	if err := s.newer.file.Sync(); err != nil {
		return fmt.Errorf("save seen keys: %w", err)
	}
	newer := s.newer
	s.older = newer
	if err := s.begin(); err != nil {
		s.older, s.newer = oldest, newer
		return err
	}
	if oldest.file == nil {
		return nil
	}
	err := errors.Join(oldest.file.Close(), os.Remove(oldest.file.Name()))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("drop seen keys: %w", err)
	}
	return nil
}

// Sync makes durable what was added before.
func (s *Set) Sync() error {
	s.mu.Lock()
	err := s.save()
	file := s.newer.file
	s.mu.Unlock()
	if err != nil {
		return err
	}
	// The file may be rotated away meanwhile, which syncs it.
	if err := file.Sync(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("save seen keys: %w", err)
	}
	return nil
}

// Stats of a set.
type Stats struct {
	Keys  int
	Since time.Time // what was added after it is remembered
	Early int64     // generations that the bound on memory ended before their day
}

func (s *Set) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	since := s.older.began
	if since.IsZero() {
		since = s.newer.began
	}
	return Stats{Keys: len(s.newer.keys) + len(s.older.keys), Since: since, Early: s.early}
}

// Close saves and closes the files.
func (s *Set) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	if s.newer.file != nil {
		err = errors.Join(s.save(), s.newer.file.Close())
	}
	if s.older.file != nil {
		err = errors.Join(err, s.older.file.Close())
	}
	return err
}
