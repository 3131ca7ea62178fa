// Package requests remembers what was begun under which idempotency key, so that a client that got no
// answer may ask again and nothing begins twice.
//
// A key is one file in a directory, named by the hash of the key, which itself is not written down:
//
//	<64 hex digits: SHA-256 of the key>.json
//	{"v":1,"body":"<SHA-256 of the body>","at":"<RFC 3339>","run":"<id>"}
//
// The file is durable, without a run, before the run is begun, and is replaced, with the run, before
// the client is answered. So a process that dies in between leaves a file without a run; whether a
// run was begun for it is then found among the runs, which is the caller's part (Begin's find).
//
// It must never forget a key that it answered for within [Keep], and never begin twice for one.
package requests

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"tachograph/schemas/journal"
)

// Keep is how long a key is remembered.
const Keep = 30 * 24 * time.Hour

// ErrReused means that the key came with another body before: the client made a mistake.
var ErrReused = errors.New("this key was used for another request")

// Log is an open directory of keys. One process uses it at a time.
type Log struct {
	dir   string
	clock func() time.Time

	mu   sync.Mutex
	busy map[string]chan struct{} // keys whose request is being answered
}

type record struct {
	V    int            `json:"v"`
	Body string         `json:"body"`
	At   time.Time      `json:"at"`
	Run  *journal.RunID `json:"run,omitempty"`
}

const suffix = ".json"

// Open opens the directory, makes it if need be, and drops keys that are older than Keep.
func Open(dir string, clock func() time.Time) (*Log, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open idempotency keys: %w", err)
	}
	l := &Log{dir: dir, clock: clock, busy: map[string]chan struct{}{}}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open idempotency keys: %w", err)
	}
	for _, f := range files {
		name, ok := strings.CutSuffix(f.Name(), suffix)
		if !ok {
			continue
		}
		if r, err := l.read(name); err == nil && clock().Sub(r.At) > Keep {
			if err := os.Remove(l.path(name)); err != nil {
				return nil, fmt.Errorf("drop old idempotency key: %w", err)
			}
		}
	}
	return l, nil
}

// Name is how the key is named on disk and in the run that it begins.
func Name(key string) string { return hash([]byte(key)) }

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Begin returns the run of a key, beginning it if the key is new. find looks for a run that was begun
// for this key not before since, by a process that did not live to say so; it is asked only if there
// may be one. Requests with one key wait for each other. An error of begin frees the key.
func (l *Log) Begin(ctx context.Context, key string, body []byte, find func(since time.Time) (journal.RunID, bool, error),
	begin func() (journal.RunID, error)) (run journal.RunID, again bool, err error) {
	name := Name(key)
	release, err := l.take(ctx, name)
	if err != nil {
		return run, false, err
	}
	defer release()
	r, err := l.read(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		r = record{V: 1, Body: hash(body), At: l.clock().UTC()}
		if err := l.write(name, r); err != nil {
			return run, false, err
		}
	case err != nil:
		return run, false, err
	case r.Body != hash(body):
		return run, false, ErrReused
	case r.Run != nil:
		return *r.Run, true, nil
	default:
		found, ok, err := find(r.At)
		if err != nil {
			return run, false, fmt.Errorf("look for the run of an idempotency key: %w", err)
		}
		if ok {
			r.Run = &found
			return found, true, l.write(name, r)
		}
	}
	if run, err = begin(); err != nil {
		return run, false, errors.Join(err, os.Remove(l.path(name)))
	}
	r.Run = &run
	return run, false, l.write(name, r)
}

// take waits until no other request with this key is under way.
func (l *Log) take(ctx context.Context, name string) (release func(), err error) {
	for {
		l.mu.Lock()
		other := l.busy[name]
		if other == nil {
			mine := make(chan struct{})
			l.busy[name] = mine
			l.mu.Unlock()
			return func() {
				l.mu.Lock()
				defer l.mu.Unlock()
				delete(l.busy, name)
				close(mine)
			}, nil
		}
		l.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (l *Log) path(name string) string { return filepath.Join(l.dir, name+suffix) }

func (l *Log) read(name string) (r record, err error) {
	text, err := os.ReadFile(l.path(name))
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(text, &r); err != nil || r.V != 1 || r.Body == "" {
		return r, fmt.Errorf("read idempotency key %s: the file is damaged; remove it if you are sure that its request need not be kept apart", l.path(name))
	}
	return r, nil
}

// write replaces the file of a key, durably.
func (l *Log) write(name string, r record) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	temporary := l.path(name) + ".new"
	f, err := os.OpenFile(temporary, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write idempotency key: %w", err)
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(temporary, l.path(name))
	}
	if err == nil {
		err = syncDir(l.dir)
	}
	if err != nil {
		return fmt.Errorf("write idempotency key: %w", err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
