//go:build linux

package main

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"tachograph/schemas/access/accesstest"
)

// TestUpForOthers: a `tacho up` that other machines reach lets in who has a token, for what it is for; its own runs are
// shipped as ever, and another machine ships to it.
func TestUpForOthers(t *testing.T) {
	t.Parallel()
	k := newKilled(t, 2)
	files := accesstest.Certificate(t, t.TempDir(), "127.0.0.1")
	if text := k.tacho(exitUsage, "up", "--http", "0.0.0.0:0"); !strings.Contains(text, "--tls-cert") {
		t.Errorf("without a certificate it says %q", text)
	}
	u := k.up("--http", "0.0.0.0:0", "--otlp-http", "0.0.0.0:0", "--otlp-grpc", "0.0.0.0:0", "--tls-cert", files.Cert, "--tls-key", files.Key)
	if !strings.HasPrefix(u.HTTP, "https://127.0.0.1:") {
		t.Fatalf("it is at %s", u.HTTP)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: files.Pool}}}
	defer client.CloseIdleConnections()
	token := func(name, role string) string { // made while it is up
		var made shownToken
		if err := json.Unmarshal([]byte(k.tacho(exitDone, "token", "add", name, "--role", role, "--json")), &made); err != nil {
			t.Fatal(err)
		}
		return made.Token
	}
	viewer, sender := token("ada", "viewer"), token("agents", "sender")
	ask := func(method, url, secret, body string, want int) string {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		if secret != "" {
			request.Header.Set("Authorization", "Bearer "+secret)
		}
		a, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close()
		text, err := io.ReadAll(a.Body)
		if err != nil || a.StatusCode != want {
			t.Errorf("%s %s: %d, want %d: %.300s %v", method, url, a.StatusCode, want, text, err)
		}
		return string(text)
	}
	for path, may := range map[string]int{"/": 200, "/healthz": 200, "/readyz": 200, "/api/runs": 401, "/metrics": 401} {
		ask("GET", u.HTTP+path, "", "", may)
		ask("GET", u.HTTP+path, viewer, "", 200)
		ask("GET", u.HTTP+path, sender, "", map[int]int{200: 200, 401: 403}[may])
	}
	const at = 1795600000000000000
	trace := fmt.Sprintf(foreignTrace, at, at+5_000_000, at+1_000_000, at+2_000_000)
	ask("POST", u.OTLPHTTP+"/v1/traces", "", trace, 401)
	ask("POST", u.OTLPHTTP+"/v1/traces", viewer, trace, 403)
	ask("POST", u.OTLPHTTP+"/v1/traces", sender, trace, 200)
	u.settle(t, func() bool { return len(k.runs("--source", "otlp")) == 1 })

	k.tacho(exitDone, "run", "spec.yaml")
	k.tacho(exitDone, "ship", "last") // its own, without a token
	far := newKilled(t, 2)
	far.tacho(exitDone, "run", "spec.yaml")
	grpcs := "grpcs://" + u.OTLPGRPC
	far.env = []string{"SSL_CERT_FILE=" + files.Cert, "TACHO_SHIP_TOKEN=" + sender}
	far.tacho(exitDone, "ship", "last", "--ship", grpcs)
	id := far.runs()[0].ID.String()
	if text := far.tacho(exitFailed, "ship", "last", "--ship", "grpc://192.0.2.1:1"); !strings.Contains(text, "over TLS only") {
		t.Errorf("a token that would be sent without TLS: %q", text)
	}
	u.settle(t, func() bool { return len(k.runs("--source", "tacho", "--clickhouse", u.ClickHouse)) == 2 })
	if text := ask("GET", u.HTTP+"/api/runs/"+id, viewer, "", 200); !strings.Contains(text, id) {
		t.Errorf("the run from afar: %.300s", text)
	}
	k.tacho(exitDone, "token", "rm", "ada")
	ask("GET", u.HTTP+"/api/runs", viewer, "", 401)
	u.down()
}
