package access_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"tachograph/schemas/access"
)

func TestListen(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"0.0.0.0:0", "[::]:0", ":0", "192.0.2.1:0", "example.org:0", "127.0.0.1.example.org:0", "127.1:0", "nonsense", ""} {
		l, _, err := access.Listen(address, nil)
		if err == nil {
			l.Close()
		}
		if !errors.Is(err, access.ErrAddress) {
			t.Errorf("%s: %v", address, err)
		}
	}
	l, gate, err := access.Listen("127.0.0.1:0", &access.Gate{})
	if err != nil || gate != nil {
		t.Fatal(gate, err)
	}
	defer l.Close()
	if taken, _, err := access.Listen(l.Addr().String(), nil); err == nil || errors.Is(err, access.ErrAddress) {
		t.Errorf("a port that is taken: %v, %v", taken, err)
	}
}

func TestGuard(t *testing.T) {
	t.Parallel()
	guarded := (*access.Gate)(nil).Guard(access.Send, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	for _, c := range []struct {
		name, host, header, value string
		allowed                   bool
	}{
		{"a program", "127.0.0.1:4318", "", "", true},
		{"the whole net 127", "127.9.9.9:4318", "", "", true},
		{"IPv6", "[::1]:4318", "", "", true},
		{"IPv6 without a port", "[::1]", "", "", true},
		{"IPv4 in IPv6", "[::ffff:127.0.0.1]:1", "", "", true},
		{"by name", "localhost:4318", "", "", true},
		{"by its whole name", "LOCALHOST.", "", "", true},
		{"another port, as through a tunnel", "localhost:9999", "", "", true},
		{"a rebound name", "evil.example:4318", "", "", false},
		{"a name that looks like an address", "127.0.0.1.evil.example", "", "", false},
		{"a name below localhost", "evil.localhost", "", "", false},
		{"an address of the network", "192.168.0.7:4318", "", "", false},
		{"every address", "0.0.0.0:4318", "", "", false},
		{"an address with a zone", "[::1%25lo]:4318", "", "", false},
		{"no host", "", "", "", false},
		{"our own page", "127.0.0.1:4318", "Origin", "http://127.0.0.1:4318", true},
		{"another site's page", "127.0.0.1:4318", "Origin", "http://evil.example", false},
		{"a page of another port", "127.0.0.1:4318", "Origin", "http://127.0.0.1:1", false},
		{"a page over TLS", "127.0.0.1:4318", "Origin", "https://127.0.0.1:4318", false},
		{"a page without an origin", "127.0.0.1:4318", "Origin", "null", false},
		{"a rebound page", "evil.example", "Origin", "http://evil.example", false},
		{"a script of another site", "127.0.0.1:4318", "Sec-Fetch-Site", "cross-site", false},
		{"a script of another port", "127.0.0.1:4318", "Sec-Fetch-Site", "same-site", false},
		{"a person", "127.0.0.1:4318", "Sec-Fetch-Site", "none", true},
	} {
		r := httptest.NewRequest(http.MethodPost, "/v1/traces", nil)
		r.Host = c.host
		if c.header != "" {
			r.Header.Set(c.header, c.value)
		}
		w := httptest.NewRecorder()
		guarded.ServeHTTP(w, r)
		if allowed := w.Code == http.StatusNoContent; allowed != c.allowed || !allowed && w.Code != http.StatusForbidden {
			t.Errorf("%s: %d %s", c.name, w.Code, w.Body)
		}
	}
}
