package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
)

// HashSize is the number of bytes of every hash in a journal (SHA-256).
const HashSize = sha256.Size

const hashPrefix = "sha256:"

// Hash commits to something that our own code wrote: an entry, a message list, a state, a tree
// head. As text it is "sha256:" and 64 lower-case hex digits; the zero Hash is the empty string
// and means "none".
type Hash [HashSize]byte

// Ref names content of one family: SHA-256(family salt ‖ bytes), so that who knows the hash and
// guesses the bytes still cannot confirm the guess once the salt is deleted. See [Salt.Name].
type Ref [HashSize]byte

// Object names a file or a directory object by the SHA-256 of its bytes alone, so that equal
// trees have equal names everywhere. See [NameObject].
type Object [HashSize]byte

func (h Hash) IsZero() bool   { return h == Hash{} }
func (r Ref) IsZero() bool    { return r == Ref{} }
func (o Object) IsZero() bool { return o == Object{} }

func (h Hash) String() string   { return hashText(h) }
func (r Ref) String() string    { return hashText(r) }
func (o Object) String() string { return hashText(o) }

// Short is the form shown to people: the first 12 hex digits.
func (h Hash) Short() string   { return hex.EncodeToString(h[:6]) }
func (r Ref) Short() string    { return hex.EncodeToString(r[:6]) }
func (o Object) Short() string { return hex.EncodeToString(o[:6]) }

func (h Hash) MarshalText() ([]byte, error)   { return appendHash(nil, h), nil }
func (r Ref) MarshalText() ([]byte, error)    { return appendHash(nil, r), nil }
func (o Object) MarshalText() ([]byte, error) { return appendHash(nil, o), nil }

func (h *Hash) UnmarshalText(b []byte) error   { return parseHash((*[HashSize]byte)(h), b) }
func (r *Ref) UnmarshalText(b []byte) error    { return parseHash((*[HashSize]byte)(r), b) }
func (o *Object) UnmarshalText(b []byte) error { return parseHash((*[HashSize]byte)(o), b) }

const hashLen = len(hashPrefix) + 2*HashSize

func hashText(h [HashSize]byte) string { return string(appendHash(nil, h)) }

func appendHash(b []byte, h [HashSize]byte) []byte {
	if h == [HashSize]byte{} {
		return b
	}
	b = append(slices.Grow(b, hashLen), hashPrefix...)
	return hex.AppendEncode(b, h[:])
}

// parseHash accepts exactly what hashText writes, so that a hash has one spelling.
func parseHash(into *[HashSize]byte, text []byte) error {
	if len(text) == 0 {
		*into = [HashSize]byte{}
		return nil
	}
	digits, ok := bytes.CutPrefix(text, []byte(hashPrefix))
	if !ok || len(digits) != 2*HashSize || bytes.ContainsAny(digits, "ABCDEF") {
		return fmt.Errorf("parse hash %.80q: want %q and %d lower-case hex digits", text, hashPrefix, 2*HashSize)
	}
	var h [HashSize]byte
	if _, err := hex.Decode(h[:], digits); err != nil {
		return fmt.Errorf("parse hash %.80q: %w", text, err)
	}
	if h == [HashSize]byte{} {
		return fmt.Errorf("parse hash %.80q: none is written %q", text, "")
	}
	*into = h
	return nil
}

// Salt makes the content names of one family unguessable. Deleting it (GDPR erasure) leaves
// every proof valid and every name meaningless.
type Salt [32]byte

// Name is the content name of b in the family of this salt.
func (s Salt) Name(b []byte) Ref {
	h := sha256.New()
	h.Write(s[:])
	h.Write(b)
	return Ref(h.Sum(nil))
}

// NameObject is the name of a file's bytes or of a directory object.
func NameObject(b []byte) Object { return Object(sha256.Sum256(b)) }
