package state

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/mod/sumdb/note"
)

// openKey reads the worker's signing key, or makes it at the first start.
func (s *Store) openKey() error {
	keys := s.path("keys")
	if err := makeDir(s.fs, keys); err != nil {
		return err
	}
	secret, public := s.fs.PathJoin(keys, "worker.key"), s.fs.PathJoin(keys, "worker.pub")
	text, err := readFile(s.fs, secret)
	if errors.Is(err, os.ErrNotExist) {
		text, err = s.makeKey(secret)
	}
	if err != nil {
		return fmt.Errorf("open worker key: %w", err)
	}
	if s.signer, err = note.NewSigner(strings.TrimSpace(string(text))); err != nil {
		return fmt.Errorf("open worker key %s: %w", secret, err)
	}
	if text, err = readFile(s.fs, public); err != nil {
		return fmt.Errorf("open worker key: %w", err)
	}
	if s.key, err = note.NewVerifier(strings.TrimSpace(string(text))); err != nil {
		return fmt.Errorf("open worker key %s: %w", public, err)
	}
	if s.key.Name() != s.signer.Name() || s.key.KeyHash() != s.signer.KeyHash() {
		return fmt.Errorf("open worker key: %s is not the public half of %s", public, secret)
	}
	return nil
}

// makeKey writes the public half first, so that a key that is there is complete.
func (s *Store) makeKey(secret string) ([]byte, error) {
	skey, vkey, err := note.GenerateKey(s.o.Rand, s.o.Domain+"/worker")
	if err != nil {
		return nil, err
	}
	if err := writeFile(s.fs, s.fs.PathJoin(s.fs.PathDir(secret), "worker.pub"), []byte(vkey+"\n")); err != nil {
		return nil, err
	}
	return []byte(skey), writeFile(s.fs, secret, []byte(skey+"\n"))
}

// Key verifies what this worker signs.
func (s *Store) Key() note.Verifier { return s.key }

// KeyID is the name of the worker's key and its hash, as it stands in a signed head.
func (s *Store) KeyID() string { return fmt.Sprintf("%s+%08x", s.key.Name(), s.key.KeyHash()) }

// PublicKey is the verifier key of the worker that owns or owned the directory dir, as text. It can
// be read beside a living owner.
func PublicKey(dir string) (string, error) {
	text, err := readFile(vfs.Default, vfs.Default.PathJoin(dir, "keys", "worker.pub"))
	if err != nil {
		return "", fmt.Errorf("read worker key: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// Verifiers are the keys that this directory trusts; see [TrustedKeys].
func (s *Store) Verifiers() (note.Verifiers, error) { return trustedKeys(s.fs, s.path("keys")) }

// TrustedKeys are the keys that the directory dir trusts: keys/*.pub, one verifier key a line, lines
// that begin with # left out. A file that cannot be read as such is an error: a trust list that is
// silently shorter would be none. It can be read beside a living owner.
func TrustedKeys(dir string) (note.Verifiers, error) {
	return trustedKeys(vfs.Default, vfs.Default.PathJoin(dir, "keys"))
}

func trustedKeys(files vfs.FS, dir string) (note.Verifiers, error) {
	names, err := files.List(dir)
	if err != nil {
		return nil, fmt.Errorf("read trusted keys: %w", err)
	}
	seen := map[string]bool{}
	var list []note.Verifier
	for _, name := range names {
		if !strings.HasSuffix(name, ".pub") {
			continue
		}
		text, err := readFile(files, files.PathJoin(dir, name))
		if err != nil {
			return nil, fmt.Errorf("read trusted keys: %w", err)
		}
		for line := range strings.Lines(string(text)) {
			line = strings.TrimSpace(line)
			if line == "" || strings.HasPrefix(line, "#") || seen[line] {
				continue
			}
			v, err := note.NewVerifier(line)
			if err != nil {
				return nil, fmt.Errorf("read trusted keys: %s: %w", name, err)
			}
			seen[line] = true
			list = append(list, v)
		}
	}
	return note.VerifierList(list...), nil
}
