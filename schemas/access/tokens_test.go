package access_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tachograph/schemas/access"
	"tachograph/schemas/access/accesstest"
)

// TestTokens: what was made lets in, for what its role may, until it is taken back or has expired; a server sees that
// without being told.
func TestTokens(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server, _ := accesstest.Gate(t, dir, "tacho.test")
	others := access.TokensOf(dir) // another process's
	secrets := map[access.Role]string{}
	for role := range access.Roles {
		secret, _, err := others.Add("the-"+string(role), role, 0)
		if err != nil {
			t.Fatal(err)
		}
		secrets[role] = secret
	}
	for role, want := range map[access.Role]string{access.Viewer: "look", access.Operator: "look steer", access.Sender: "send", access.Admin: "look steer send"} {
		var may []string
		for _, right := range []access.Right{access.Look, access.Steer, access.Send} {
			caller, err := server.Whose(secrets[role], right)
			if err == nil {
				may = append(may, string(right))
			} else if !errors.Is(err, access.ErrRight) || !strings.Contains(err.Error(), "the-"+string(role)) {
				t.Errorf("%s, %s: %v", role, right, err)
			}
			if caller.Name != "the-"+string(role) {
				t.Errorf("%s is called %q", role, caller.Name)
			}
		}
		if got := strings.Join(may, " "); got != want {
			t.Errorf("%s may %q, want %q", role, got, want)
		}
	}
	for what, secret := range map[string]string{"none": "", "unknown": "tacho_" + strings.Repeat("A", 43), "its beginning": secrets[access.Admin][:20], "its hash": hashIn(t, dir)} {
		if _, err := server.Whose(secret, access.Look); !errors.Is(err, access.ErrToken) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := others.Remove("the-admin"); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Whose(secrets[access.Admin], access.Look); !errors.Is(err, access.ErrToken) {
		t.Errorf("taken back: %v", err)
	}
	short, _, err := others.Add("short", access.Viewer, time.Nanosecond)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.Whose(short, access.Look); !errors.Is(err, access.ErrToken) || !strings.Contains(err.Error(), "expired") {
		t.Errorf("expired: %v", err)
	}
}

func hashIn(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "tokens.json"))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), `"sha256": "`)
	return after[:64]
}

// TestTokenFile: only its owner reads it, no token stands in it, and a file that is damaged lets nobody in.
func TestTokenFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	gate, _ := accesstest.Gate(t, dir, "tacho.test")
	secret := accesstest.Token(t, gate, "alice", access.Admin)
	file := filepath.Join(dir, "tokens.json")
	text, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(text), secret) || strings.Contains(string(text), secret[len("tacho_"):]) {
		t.Errorf("the token stands in its file: %v\n%s", err, text)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	for _, damaged := range []string{"{", `{"v":2,"tokens":[]}`, `{"v":1,"tokens":[],"more":1}`, ""} {
		if err := os.WriteFile(file, []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := gate.Whose(secret, access.Look); !errors.Is(err, access.ErrToken) {
			t.Errorf("%q: %v", damaged, err)
		}
		if err := gate.Tokens.Remove("alice"); err == nil {
			t.Errorf("%q was changed", damaged)
		}
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := gate.Whose(secret, access.Look); err != nil {
		t.Errorf("mended: %v", err)
	}
}

// TestTokensTogether: those who change the file at the same time lose nothing of each other's.
func TestTokensTogether(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var all sync.WaitGroup
	const each, who = 10, 4
	for n := range who {
		all.Go(func() {
			for i := range each {
				if _, _, err := access.TokensOf(dir).Add(fmt.Sprintf("t%d-%d", n, i), access.Viewer, 0); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if list, err := access.TokensOf(dir).List(); err != nil || len(list) != each*who {
		t.Errorf("%d tokens, want %d: %v", len(list), each*who, err)
	}
	for name, role := range map[string]access.Role{"": access.Viewer, "a b": access.Viewer, "-x": access.Viewer, strings.Repeat("x", 65): access.Viewer, "x\n": access.Viewer, "ok": "root"} {
		if _, _, err := access.TokensOf(dir).Add(name, role, 0); !errors.Is(err, access.ErrUnfit) {
			t.Errorf("%q, %q: %v", name, role, err)
		}
	}
	if _, _, err := access.TokensOf(dir).Add("t0-0", access.Viewer, 0); err == nil {
		t.Error("a name was given twice")
	}
}
