package web_test

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"tachograph/schemas/access"
	"tachograph/schemas/access/accesstest"
	"tachograph/web/api"
)

// TestRoles: what each role may ask for where a token is needed, and what anybody may.
func TestRoles(t *testing.T) {
	t.Parallel()
	gate, _ := accesstest.Gate(t, t.TempDir(), "127.0.0.1")
	l := newLabBehind(t, gate, repair())
	bearer := map[string]string{"nobody": ""}
	for role := range access.Roles {
		bearer[string(role)] = "Bearer " + accesstest.Token(t, gate, string(role), role)
	}
	run := l.startAs(bearer["operator"])
	for _, c := range []struct{ method, path, body, may string }{
		{"GET", "/", "", "nobody viewer operator sender admin"},
		{"GET", "/runs/" + run, "", "nobody viewer operator sender admin"},
		{"GET", "/healthz", "", "nobody viewer operator sender admin"},
		{"GET", "/readyz", "", "nobody viewer operator sender admin"},
		{"DELETE", "/api/session", "{}", "nobody viewer operator sender admin"},
		{"GET", "/api/about", "", "viewer operator admin"},
		{"GET", "/api/openapi.yaml", "", "viewer operator admin"},
		{"GET", "/api/runs", "", "viewer operator admin"},
		{"HEAD", "/api/runs", "", "viewer operator admin"},
		{"GET", "/v1/agents", "", "viewer operator admin"},
		{"GET", "/api/runs/" + run + "/audit", "", "viewer operator admin"},
		{"POST", "/api/runs/" + run + "/verify", "{}", "viewer operator admin"},
		{"POST", "/api/runs/" + run + "/fork", `{"seq":1}`, "operator admin"},
		{"POST", "/v1/agents/" + run + "/pause", "{}", "operator admin"},
		{"POST", "/v1/agents/" + run + "/approvals/1", `{"decision":"approve"}`, "operator admin"},
		{"POST", "/v1/agents", "{}", "operator admin"},
		{"DELETE", "/api/runs", "{}", "operator admin"}, // who may not change anything is not told what could be changed
	} {
		for who, authorization := range bearer {
			a := l.do(c.method, c.path, c.body, "Authorization", authorization)
			refused := a.status == http.StatusUnauthorized || a.status == http.StatusForbidden
			if may := strings.Contains(" "+c.may+" ", " "+who+" "); may == refused {
				t.Errorf("%s %s as %s: %d %.200s", c.method, c.path, who, a.status, a.body)
			} else if refused && who == "nobody" && (a.status != http.StatusUnauthorized || a.header.Get("WWW-Authenticate") == "") {
				t.Errorf("%s %s as nobody: %d %v", c.method, c.path, a.status, a.header)
			} else if refused && who != "nobody" && c.method != "HEAD" {
				l.problem(a, http.StatusForbidden, "no_right")
			}
		}
	}
}

// startAs starts an agent with a token, and waits until it has ended.
func (l *lab) startAs(authorization string) (run string) {
	l.t.Helper()
	a := l.do(http.MethodPost, "/v1/agents", l.spec(nil), "Authorization", authorization)
	if a.status != http.StatusCreated {
		l.t.Fatalf("start: %d %s", a.status, a.body)
	}
	var agent api.Agent
	decode(l.t, a, &agent)
	l.rest(agent.RunId)
	return agent.RunId
}

// TestNobodySignsForOthers: the journal names the token that a person came with, whatever else the request says.
func TestNobodySignsForOthers(t *testing.T) {
	t.Parallel()
	gate, _ := accesstest.Gate(t, t.TempDir(), "127.0.0.1")
	l := newLabBehind(t, gate, repair())
	bearer := "Bearer " + accesstest.Token(t, gate, "ada", access.Operator)
	run := l.startAs(bearer)
	for said, want := range map[string]string{`{"seq":1}`: "ada (token)", `{"seq":1,"by":"ada"}`: "ada (token)", `{"seq":1,"by":"the boss"}`: "ada (token), who says: the boss"} {
		var forked api.Forked
		decode(t, l.do(http.MethodPost, "/api/runs/"+run+"/fork", said, "Authorization", bearer), &forked)
		var c api.Comparison
		decode(t, l.do(http.MethodGet, "/api/compare?a="+run+"&b="+forked.RunId, "", "Authorization", bearer), &c)
		if c.By == nil || c.By.Text != want {
			t.Errorf("%s: the fork was made by %+v, want %q", said, c.By, want)
		}
	}
}

// TestSession: a browser shows its token once, and is known by a cookie until it signs out.
func TestSession(t *testing.T) {
	t.Parallel()
	gate, _ := accesstest.Gate(t, t.TempDir(), "127.0.0.1")
	l := newLabBehind(t, gate, nil)
	viewer, sender := accesstest.Token(t, gate, "ada", access.Viewer), accesstest.Token(t, gate, "agents", access.Sender)
	l.problem(l.do(http.MethodPost, "/api/session", `{"token":"tacho_wrong"}`), http.StatusUnauthorized, "no_token")
	l.problem(l.do(http.MethodPost, "/api/session", `{"token":"`+sender+`"}`), http.StatusForbidden, "no_right")
	l.problem(l.do(http.MethodPost, "/api/session", `{"token":"`+viewer+`"}`, "Origin", "https://evil.example"), http.StatusForbidden, "foreign")
	a := l.do(http.MethodPost, "/api/session", `{"token":"`+viewer+`"}`)
	var about api.About
	decode(t, a, &about)
	if about.Person == nil || *about.Person != "ada" || about.Role == nil || *about.Role != api.RoleViewer || about.Runs {
		t.Errorf("signed in: %s", a.body)
	}
	response := http.Response{Header: a.header}
	cookie := response.Cookies()[0]
	if !cookie.Secure || !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode {
		t.Errorf("the cookie is %v", cookie)
	}
	with := []string{"Cookie", cookie.Name + "=" + cookie.Value}
	if a := l.do(http.MethodGet, "/api/runs", "", with...); a.status != http.StatusOK {
		t.Errorf("with the cookie: %d %s", a.status, a.body)
	}
	out := http.Response{Header: l.do(http.MethodDelete, "/api/session", "{}", with...).header}
	if c := out.Cookies()[0]; c.Name != cookie.Name || c.MaxAge >= 0 || c.Value != "" {
		t.Errorf("signing out sets %v", c)
	}

	own := newLab(t, nil) // where no token is needed
	if a := own.do(http.MethodPost, "/api/session", `{"token":"x"}`); a.status != http.StatusOK || a.header.Get("Set-Cookie") != "" {
		t.Errorf("on loopback: %d %v %s", a.status, a.header, a.body)
	}
}

// TestStreamEndsWithToken: what goes on for ever ends when the token is taken back.
func TestStreamEndsWithToken(t *testing.T) {
	t.Parallel()
	gate, _ := accesstest.Gate(t, t.TempDir(), "127.0.0.1")
	l := newLabBehind(t, gate, nil)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, l.http.URL+"/api/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+accesstest.Token(t, gate, "ada", access.Viewer))
	response, err := l.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	if !lines.Scan() {
		t.Fatalf("no stream: %d %v", response.StatusCode, lines.Err())
	}
	if err := gate.Tokens.Remove("ada"); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
	}
	if err := lines.Err(); err != nil {
		t.Log(fmt.Errorf("the stream was broken off: %w", err)) // either way it has ended
	}
}
