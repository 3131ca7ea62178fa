package journal_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"

	"tachograph/schemas/journal"
)

// workerKey makes a key from its name, so that what it signs is always the same.
func workerKey(t testing.TB, name string) key {
	t.Helper()
	const algEd25519 = 1
	seed := sha256.Sum256([]byte(name))
	private := ed25519.NewKeyFromSeed(seed[:])
	public := append([]byte{algEd25519}, private.Public().(ed25519.PublicKey)...)
	id := sha256.Sum256(append([]byte(name+"\n"), public...))
	text := fmt.Sprintf("%s+%08x+", name, binary.BigEndian.Uint32(id[:]))
	signer, err := note.NewSigner("PRIVATE+KEY+" + text + base64.StdEncoding.EncodeToString(append([]byte{algEd25519}, seed[:]...)))
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(text + base64.StdEncoding.EncodeToString(public))
	if err != nil {
		t.Fatal(err)
	}
	return key{signer, verifier}
}

func someHead() journal.TreeHead {
	return journal.TreeHead{Run: runID(1), Domain: "tacho.local", Size: 66, Root: hash("root"), State: hash("state")}
}

func sign(t testing.TB, h journal.TreeHead, keys ...key) []byte {
	t.Helper()
	var signers []note.Signer
	for _, k := range keys {
		signers = append(signers, k.signer)
	}
	signed, err := journal.SignHead(h, signers...)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func TestHeadIsWhatWasSigned(t *testing.T) {
	t.Parallel()
	worker := workerKey(t, "worker")
	signed := sign(t, someHead(), worker)
	want := "tacho.local/run/" + runID(1).String() + "\n66\n"
	if !strings.HasPrefix(string(signed), want) {
		t.Errorf("signed head begins with %q, want %q", signed[:min(len(signed), 60)], want)
	}
	h, n, err := journal.OpenHead(signed, note.VerifierList(worker.verifier))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(someHead(), h); diff != "" {
		t.Errorf("head (-signed +opened):\n%s", diff)
	}
	if len(n.Sigs) != 1 || n.Sigs[0].Name != "worker" || len(n.UnverifiedSigs) != 0 {
		t.Errorf("signatures %v, unverified %v", n.Sigs, n.UnverifiedSigs)
	}
}

// Whose key is not known is said, and is no error: the caller decides what such a head is worth.
func TestHeadOfUnknownKey(t *testing.T) {
	t.Parallel()
	signed := sign(t, someHead(), workerKey(t, "worker"), workerKey(t, "witness"))
	for _, c := range []struct {
		name              string
		known             note.Verifiers
		valid, unverified int
	}{
		{"no key", note.VerifierList(), 0, 2},
		{"other key", note.VerifierList(workerKey(t, "somebody").verifier), 0, 2},
		{"one of two", note.VerifierList(workerKey(t, "witness").verifier), 1, 1},
	} {
		h, n, err := journal.OpenHead(signed, c.known)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if h != someHead() || len(n.Sigs) != c.valid || len(n.UnverifiedSigs) != c.unverified {
			t.Errorf("%s: head %+v, %d valid and %d unverified signatures", c.name, h, len(n.Sigs), len(n.UnverifiedSigs))
		}
	}
}

// Any line that is altered breaks the signature of a known key; so does a key that only has the
// name of a known one.
func TestHeadAltered(t *testing.T) {
	t.Parallel()
	worker := workerKey(t, "worker")
	known := note.VerifierList(worker.verifier)
	signed := string(sign(t, someHead(), worker))
	other := someHead()
	other.Root, other.State = hash("other root"), hash("other state")
	lines, otherLines := strings.Split(signed, "\n"), strings.Split(string(sign(t, other, worker)), "\n")
	for name, text := range map[string]string{
		"domain":     strings.Replace(signed, "tacho.local", "tacho.other", 1),
		"run":        strings.Replace(signed, runID(1).String(), runID(2).String(), 1),
		"size":       strings.Replace(signed, "\n66\n", "\n67\n", 1),
		"root":       strings.Replace(signed, lines[2], otherLines[2], 1),
		"state":      strings.Replace(signed, lines[3], otherLines[3], 1),
		"signature":  strings.Replace(signed, lines[5], otherLines[5], 1),
		"line added": strings.Replace(signed, "\n\n", "\nmore\n\n", 1),
		"cut off":    signed[:len(signed)-2],
	} {
		if text == signed {
			t.Fatalf("%s: nothing was altered", name)
		}
		if h, _, err := journal.OpenHead([]byte(text), known); err == nil {
			t.Errorf("%s: opened as %+v", name, h)
		}
	}
}

// A head that is signed well but is none, or that has a second spelling, is refused.
func TestHeadMalformed(t *testing.T) {
	t.Parallel()
	worker := workerKey(t, "worker")
	root, state := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32)), "state "+hash("state").String()
	origin := "tacho.local/run/" + runID(1).String()
	join := func(lines ...string) string { return strings.Join(lines, "\n") + "\n" }
	for name, text := range map[string]string{
		"no state":          join(origin, "66", root),
		"empty state":       join(origin, "66", root, "state "),
		"zero state":        join(origin, "66", root, "state sha256:"+strings.Repeat("0", 64)),
		"upper-case state":  join(origin, "66", root, strings.ToUpper(state)),
		"extra line":        join(origin, "66", root, state, "more"),
		"size 0":            join(origin, "0", root, state),
		"size with zero":    join(origin, "066", root, state),
		"negative size":     join(origin, "-1", root, state),
		"size overflows":    join(origin, "99999999999999999999", root, state),
		"short root":        join(origin, "66", root[:40], state),
		"root not base64":   join(origin, "66", "!"+root[1:], state),
		"root other base64": join(origin, "66", root[:42]+"d=", state),
		"no domain":         join("/run/"+runID(1).String(), "66", root, state),
		"no run":            join("tacho.local", "66", root, state),
		"upper-case run":    join(strings.ToUpper(origin), "66", root, state),
	} {
		signed, err := note.Sign(&note.Note{Text: text}, worker.signer)
		if err != nil {
			t.Fatal(err)
		}
		if h, _, err := journal.OpenHead(signed, note.VerifierList(worker.verifier)); err == nil {
			t.Errorf("%s: opened as %+v", name, h)
		}
	}
}

// What would be refused, or read otherwise, is not signed.
func TestHeadNotSigned(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*journal.TreeHead){
		"no state":            func(h *journal.TreeHead) { h.State = journal.Hash{} },
		"no entries":          func(h *journal.TreeHead) { h.Size = 0 },
		"no domain":           func(h *journal.TreeHead) { h.Domain = "" },
		"domain of two lines": func(h *journal.TreeHead) { h.Domain = "tacho.local\nmore" },
		"domain with a run":   func(h *journal.TreeHead) { h.Domain = "a/run/b" },
	} {
		h := someHead()
		change(&h)
		if signed, err := journal.SignHead(h, workerKey(t, "worker").signer); err == nil {
			t.Errorf("%s: signed as %q", name, signed)
		}
	}
}
