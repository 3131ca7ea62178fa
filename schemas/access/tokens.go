package access

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Token is what is kept of one: a hash, from which nobody makes the token again.
type Token struct {
	Name    string     `json:"name"`
	Role    Role       `json:"role"`
	SHA256  string     `json:"sha256"` // of the whole token, as hex. It is 256 random bits: no salt or slow hash would add anything
	Created time.Time  `json:"created"`
	Expires *time.Time `json:"expires,omitempty"`
}

// ErrUnfit: no token can have that name or role.
var ErrUnfit = errors.New("unfit for a token")

// tokenPrefix lets people, and programs that look for secrets in files, see what they found.
const tokenPrefix = "tacho_"

// Tokens are the tokens of a data directory, in a file that only its owner reads. Whoever changes the file changes who
// may ask from then on: servers look whether it is another before each request.
type Tokens struct {
	file string

	mu     sync.Mutex
	as     stamp
	byHash map[string]Token
	fault  error // why the file could not be read: then nobody may ask
}

// TokensOf are the tokens of a data directory. The file need not be there.
func TokensOf(data string) *Tokens { return &Tokens{file: filepath.Join(data, "tokens.json")} }

func (t *Tokens) find(secret string, now time.Time) (Token, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if as := stampOf(t.file); t.byHash == nil || !as.same(t.as) {
		list, err := t.read()
		t.as, t.fault, t.byHash = as, err, make(map[string]Token, len(list))
		for _, token := range list {
			t.byHash[token.SHA256] = token
		}
	}
	if t.fault != nil {
		return Token{}, fmt.Errorf("%w, and this server cannot read who has one: see its tokens.json", ErrToken)
	}
	// Looked up by its hash: how long that takes says nothing about a token that nobody knows.
	token, known := t.byHash[hashOf(secret)]
	switch {
	case !known:
		return Token{}, fmt.Errorf("%w: this one is unknown, or was taken back", ErrToken)
	case token.Expires != nil && now.After(*token.Expires):
		return Token{}, fmt.Errorf("%w: that of %s expired at %s", ErrToken, token.Name, token.Expires.UTC().Format(time.RFC3339))
	}
	return token, nil
}

func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

type tokenFile struct {
	V      int     `json:"v"`
	Tokens []Token `json:"tokens"`
}

func (t *Tokens) read() ([]Token, error) {
	text, err := os.ReadFile(t.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read tokens: %w", err)
	}
	var f tokenFile
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil || f.V != 1 {
		return nil, fmt.Errorf("read tokens: %s is not a file of version 1 (%v): until it is mended or removed, nobody is let in", t.file, err)
	}
	return f.Tokens, nil
}

// List are all tokens, those that expired too, in the order in which they were made.
func (t *Tokens) List() ([]Token, error) { return t.read() }

var tokenName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}$`)

// Add makes a token, and returns it: it can be read nowhere afterwards. A life of 0 does not end.
func (t *Tokens) Add(name string, role Role, life time.Duration) (secret string, made Token, err error) {
	if !tokenName.MatchString(name) {
		return "", made, fmt.Errorf("name %.80q: %w: want up to 64 letters, digits and . _ @ + -, a letter or digit first", name, ErrUnfit)
	}
	if _, known := Roles[role]; !known {
		return "", made, fmt.Errorf("role %.40q: %w: want viewer, operator, sender or admin", role, ErrUnfit)
	}
	secret = tokenPrefix + base64.RawURLEncoding.EncodeToString(random(32))
	made = Token{Name: name, Role: role, SHA256: hashOf(secret), Created: time.Now().UTC().Truncate(time.Second)}
	if life > 0 {
		expires := made.Created.Add(life)
		made.Expires = &expires
	}
	err = t.change(func(list []Token) ([]Token, error) {
		if slices.ContainsFunc(list, func(old Token) bool { return old.Name == name }) {
			return nil, fmt.Errorf("there is a token %q already: `tacho token rm %s` takes it back", name, name)
		}
		return append(list, made), nil
	})
	return secret, made, err
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: crypto/rand
	return b
}

// Remove takes a token back: from now on it lets nobody in.
func (t *Tokens) Remove(name string) error {
	return t.change(func(list []Token) ([]Token, error) {
		left := slices.DeleteFunc(slices.Clone(list), func(old Token) bool { return old.Name == name })
		if len(left) == len(list) {
			return nil, fmt.Errorf("there is no token %.80q: `tacho token ls` lists them", name)
		}
		return left, nil
	})
}

// change replaces the file, durably. Others that change it wait; who reads it sees one or the other.
func (t *Tokens) change(edit func([]Token) ([]Token, error)) error {
	dir := filepath.Dir(t.file)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("change tokens: %w", err)
	}
	lock, err := os.OpenFile(strings.TrimSuffix(t.file, ".json")+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("change tokens: %w", err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("change tokens: %w", err)
	}
	list, err := t.read()
	if err == nil {
		list, err = edit(list)
	}
	if err != nil {
		return err
	}
	if err := write(t.file, tokenFile{1, list}); err != nil {
		return fmt.Errorf("change tokens: %w", err)
	}
	return nil
}

func write(file string, content tokenFile) error {
	text, err := json.MarshalIndent(content, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(file), "tokens-*.new") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	d, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
