package state

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
	"weak"

	"github.com/cockroachdb/pebble/v2"

	"tachograph/schemas/journal"
)

func (id scopeID) String() string               { return hex.EncodeToString(id[:]) }
func (id scopeID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }
func (id *scopeID) UnmarshalText(b []byte) error {
	raw, err := hex.DecodeString(string(b))
	if err != nil || len(raw) != len(id) {
		return fmt.Errorf("parse scope %.40q: want 32 hex digits", b)
	}
	*id = scopeID(raw)
	return nil
}

// familyRecord is the row of a family.
type familyRecord struct {
	Base     scopeID        `json:"base"` // where the objects of the tree before any run stand
	Root     journal.Object `json:"root"` // of that tree; none until SealBase
	Volatile bool           `json:"volatile,omitzero"`
	Made     time.Time      `json:"made"`
}

// family is a root run and its forks: the scope of salt, content and objects.
type family struct {
	store *Store
	id    journal.RunID
	salt  journal.Salt

	use sync.RWMutex // held for reading while something is written; Remove waits for it

	mu      sync.Mutex
	rec     familyRecord
	pending map[journal.Object]pendingObject // large objects whose files are not durable yet
	gone    error

	flushMu sync.Mutex
}

func (f *family) own() scopeID { return scopeID(f.id) }

// alive is nil unless the family was removed.
func (f *family) alive() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.gone
}

func (f *family) end(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gone = err
}

// newFamily makes a family and its rows, in b.
func (s *Store) newFamily(b *pebble.Batch, id journal.RunID, o CreateOptions) (*family, error) {
	f := &family{store: s, id: id, pending: map[journal.Object]pendingObject{},
		rec: familyRecord{Volatile: o.Volatile, Made: s.o.Clock().UTC()}}
	if o.salt != nil {
		f.salt = *o.salt
	} else if _, err := io.ReadFull(s.o.Rand, f.salt[:]); err != nil {
		return nil, fmt.Errorf("make salt: %w", err)
	}
	if _, err := io.ReadFull(s.o.Rand, f.rec.Base[:]); err != nil {
		return nil, fmt.Errorf("make scope: %w", err)
	}
	for _, scope := range []scopeID{f.own(), f.rec.Base} {
		if err := s.files.makeScope(scope); err != nil {
			return nil, err
		}
	}
	b.Set(idKey(rowSalt, id), f.salt[:], nil)
	b.Set(baseUseKey(f.rec.Base, id), nil, nil)
	return f, f.put(b)
}

// put writes the family's row.
func (f *family) put(b *pebble.Batch) error {
	row, err := json.Marshal(f.rec)
	if err != nil {
		return fmt.Errorf("write family %s: %w", f.id, err)
	}
	return b.Set(idKey(rowFamily, f.id), row, nil)
}

// familyRow reads the row of a family, whether its salt is still there or not.
func (s *Store) familyRow(id journal.RunID) (rec familyRecord, err error) {
	row, err := s.rows.get(idKey(rowFamily, id))
	if err == nil {
		err = json.Unmarshal(row, &rec)
	}
	if err != nil {
		return rec, fmt.Errorf("read family %s: %w", id, err)
	}
	return rec, nil
}

// family opens a family; all its runs in this process share one. ErrErased if its salt is gone.
func (s *Store) family(id journal.RunID) (*family, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.families[id].Value(); f != nil {
		return f, f.alive()
	}
	rec, err := s.familyRow(id)
	if err != nil {
		return nil, err
	}
	salt, err := s.rows.get(idKey(rowSalt, id))
	if errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("family %s: %w", id, ErrErased)
	}
	if err == nil && len(salt) != len(journal.Salt{}) {
		err = fmt.Errorf("salt of family %s: %d bytes where %d are due", id, len(salt), len(journal.Salt{}))
	}
	if err != nil {
		return nil, fmt.Errorf("read family %s: %w", id, err)
	}
	f := &family{store: s, id: id, salt: journal.Salt(salt), rec: rec, pending: map[journal.Object]pendingObject{}}
	s.families[id] = weak.Make(f)
	return f, nil
}
