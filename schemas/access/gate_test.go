package access_test

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"tachograph/schemas/access"
	"tachograph/schemas/access/accesstest"
)

// elsewhere is a server that is reached from other machines.
func elsewhere(t *testing.T, gate *access.Gate, files accesstest.Files) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(gate.Guard(access.Look, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, access.From(r.Context()).Name)
	})))
	s.TLS = gate.TLS("h2", "http/1.1")
	s.StartTLS()
	t.Cleanup(s.Close)
	s.Client().Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: files.Pool, ServerName: "tacho.test"}
	return s
}

// TestGuardElsewhere: a request needs a name of the certificate as its host, no other site behind it, and a token.
func TestGuardElsewhere(t *testing.T) {
	t.Parallel()
	gate, files := accesstest.Gate(t, t.TempDir(), "tacho.test", "127.0.0.1")
	viewer, sender := accesstest.Token(t, gate, "alice", access.Viewer), accesstest.Token(t, gate, "agents", access.Sender)
	s := elsewhere(t, gate, files)
	for _, c := range []struct {
		name, host string
		headers    []string
		status     int
	}{
		{"with a token", "tacho.test", []string{"Authorization", "Bearer " + viewer}, 200},
		{"with a scheme in small letters", "tacho.test", []string{"Authorization", "bearer " + viewer}, 200},
		{"by address", "127.0.0.1:443", []string{"Authorization", "Bearer " + viewer}, 200},
		{"with the cookie", "tacho.test", []string{"Cookie", access.Cookie + "=" + viewer}, 200},
		{"our own page", "tacho.test:7080", []string{"Cookie", access.Cookie + "=" + viewer, "Origin", "https://tacho.test:7080", "Sec-Fetch-Site", "same-origin"}, 200},
		{"without a token", "tacho.test", nil, 401},
		{"with an unknown one", "tacho.test", []string{"Authorization", "Bearer tacho_x"}, 401},
		{"with another scheme", "tacho.test", []string{"Authorization", "Basic " + viewer}, 401},
		{"with one that may not look", "tacho.test", []string{"Authorization", "Bearer " + sender}, 403},
		{"a header that says more than the cookie", "tacho.test", []string{"Authorization", "Bearer x", "Cookie", access.Cookie + "=" + viewer}, 401},
		{"a rebound name", "evil.example", []string{"Authorization", "Bearer " + viewer}, 403},
		{"loopback's name, which the certificate lacks", "localhost", []string{"Authorization", "Bearer " + viewer}, 403},
		{"another site's page", "tacho.test", []string{"Cookie", access.Cookie + "=" + viewer, "Origin", "https://evil.example"}, 403},
		{"our page without TLS", "tacho.test", []string{"Cookie", access.Cookie + "=" + viewer, "Origin", "http://tacho.test"}, 403},
		{"a script of another site", "tacho.test", []string{"Cookie", access.Cookie + "=" + viewer, "Sec-Fetch-Site", "cross-site"}, 403},
	} {
		r, err := http.NewRequest(http.MethodGet, s.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = c.host
		for i := 0; i < len(c.headers); i += 2 {
			r.Header.Set(c.headers[i], c.headers[i+1])
		}
		a, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(a.Body)
		a.Body.Close()
		if a.StatusCode != c.status || c.status == 200 && string(body) != "alice" {
			t.Errorf("%s: %d %s, want %d", c.name, a.StatusCode, body, c.status)
		}
		if c.status == 401 && !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%s: WWW-Authenticate is %q", c.name, a.Header.Get("WWW-Authenticate"))
		}
	}
	cookie := access.SignIn(viewer)
	if !cookie.Secure || !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Path != "/" || cookie.Domain != "" || !strings.HasPrefix(cookie.Name, "__Host-") {
		t.Errorf("the cookie is %v", cookie)
	}
}

func move(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// TestCertificateReplaced: a new certificate is used without a restart, a broken one is not.
func TestCertificateReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := accesstest.Certificate(t, dir, "old.test")
	var told strings.Builder
	c, err := access.OpenCertificate(files.Cert, files.Key, slog.New(slog.NewTextHandler(&told, nil)))
	if err != nil {
		t.Fatal(err)
	}
	gate := &access.Gate{Certificate: c}
	serves := func() string {
		chosen, err := gate.TLS().GetCertificate(&tls.ClientHelloInfo{})
		if err != nil {
			t.Fatal(err)
		}
		return chosen.Leaf.DNSNames[0]
	}
	accesstest.Certificate(t, dir, "new.test")
	if got := serves(); got != "new.test" || gate.Host("new.test") != nil || gate.Host("old.test") == nil {
		t.Errorf("it serves %s", got)
	}
	other := accesstest.Certificate(t, t.TempDir(), "other.test")
	move(t, other.Key, files.Key)
	if got := serves(); got != "new.test" || !strings.Contains(told.String(), "the old one is used on") {
		t.Errorf("with the key of another it serves %s, and says %q", got, told.String())
	}
	move(t, other.Cert, files.Cert)
	if got := serves(); got != "other.test" {
		t.Errorf("with its certificate too it serves %s", got)
	}
	if _, err := access.OpenCertificate(files.Cert, files.Cert, nil); err == nil {
		t.Error("a certificate without a key was taken")
	}
	nameless := accesstest.Certificate(t, t.TempDir())
	if _, err := access.OpenCertificate(nameless.Cert, nameless.Key, nil); err == nil || !strings.Contains(err.Error(), "alternative name") {
		t.Errorf("a certificate for no name: %v", err)
	}
}
