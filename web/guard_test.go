package web_test

import (
	"net/http"
	"strings"
	"testing"
)

func TestGuard(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	self := strings.TrimPrefix(l.http.URL, "http://")
	_, port, _ := strings.Cut(self, ":")
	for name, c := range map[string]struct {
		method, path, body string
		headers            []string
		status             int
		kind               string
	}{
		"as it should be":       {"GET", "/api/runs", "", nil, 200, ""},
		"localhost":             {"GET", "/api/runs", "", []string{"Host", "localhost:" + port}, 200, ""},
		"IPv6":                  {"GET", "/api/runs", "", []string{"Host", "[::1]:" + port}, 200, ""},
		"through a tunnel":      {"GET", "/api/runs", "", []string{"Host", "localhost:9999"}, 200, ""},
		"rebound name":          {"GET", "/api/runs", "", []string{"Host", "evil.example:" + port}, 403, "foreign"},
		"rebound with origin":   {"POST", "/v1/agents", "{}", []string{"Host", "evil.example", "Origin", "http://evil.example"}, 403, "foreign"},
		"looks like loopback":   {"GET", "/api/runs", "", []string{"Host", "127.0.0.1.evil.example"}, 403, "foreign"},
		"address of a network":  {"GET", "/api/runs", "", []string{"Host", "192.168.0.7:" + port}, 403, "foreign"},
		"the page too":          {"GET", "/", "", []string{"Host", "evil.example"}, 403, "foreign"},
		"own origin":            {"GET", "/api/runs", "", []string{"Origin", l.http.URL}, 200, ""},
		"foreign origin":        {"GET", "/api/runs", "", []string{"Origin", "http://evil.example"}, 403, "foreign"},
		"origin null":           {"GET", "/api/runs", "", []string{"Origin", "null"}, 403, "foreign"},
		"other port":            {"GET", "/api/runs", "", []string{"Origin", "http://127.0.0.1:1"}, 403, "foreign"},
		"another site's script": {"GET", "/api/runs", "", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"}, 403, "foreign"},
		"same site, other port": {"GET", "/api/runs", "", []string{"Sec-Fetch-Site", "same-site"}, 403, "foreign"},
		"a link to the page":    {"GET", "/runs/x", "", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, 200, ""},
		"a link to an answer":   {"GET", "/api/runs", "", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, 403, "foreign"},
		"a form":                {"POST", "/v1/agents", "a=b", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "unsupported_type"},
		"plain text":            {"POST", "/v1/agents", "{}", []string{"Content-Type", "text/plain"}, 415, "unsupported_type"},
		"with a charset":        {"POST", "/v1/agents", "{}", []string{"Content-Type", "application/json; charset=utf-8"}, 422, "invalid"},
		"no route":              {"GET", "/api/nothing", "", nil, 404, "not_found"},
		"no method":             {"DELETE", "/api/runs", "{}", nil, 405, "method"},
		"too large":             {"POST", "/v1/agents", strings.Repeat(" ", 9<<20), nil, 413, "too_large"},
		"empty":                 {"POST", "/v1/agents", "", nil, 400, "invalid"},
		"not JSON":              {"POST", "/v1/agents", "{", nil, 400, "invalid"},
		"two values":            {"POST", "/v1/agents", "{}{}", nil, 422, "invalid"},
		"long address":          {"GET", "/api/runs?q=" + strings.Repeat("x", 20<<10), "", nil, 413, "too_large"},
	} {
		a := l.do(c.method, c.path, c.body, c.headers...)
		if a.status != c.status {
			t.Errorf("%s: status %d, want %d: %.200s", name, a.status, c.status, a.body)
			continue
		}
		if c.kind != "" {
			l.problem(a, c.status, c.kind)
		}
		if a.header.Get("X-Content-Type-Options") != "nosniff" || a.header.Get("X-Frame-Options") != "DENY" || !strings.Contains(a.header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
			t.Errorf("%s: headers are %v", name, a.header)
		}
	}
}

func TestPage(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	for _, path := range []string{"/", "/runs/01970000-0000-7000-8000-000000000000", "/compare"} {
		a := l.do(http.MethodGet, path, "")
		if a.status != 200 || !strings.Contains(string(a.body), "<title>lab") || !strings.Contains(a.header.Get("Content-Security-Policy"), "script-src 'self'") ||
			strings.Contains(a.header.Get("Content-Security-Policy"), "unsafe") {
			t.Errorf("%s: %d %v %s", path, a.status, a.header, a.body)
		}
	}
	a := l.do(http.MethodGet, "/app.js", "", "Accept-Encoding", "gzip")
	if a.header.Get("Content-Encoding") != "gzip" || a.header.Get("Content-Type") != "text/javascript; charset=utf-8" || len(a.body) > 500 {
		t.Errorf("script came as %v, %d bytes", a.header, len(a.body))
	}
	if again := l.do(http.MethodGet, "/app.js", "", "If-None-Match", a.header.Get("ETag")); again.status != http.StatusNotModified {
		t.Errorf("again: %d", again.status)
	}
	for _, path := range []string{"/missing.js", "/../lab_test.go", "/%2e%2e/secret.txt", "/v1/nothing"} {
		if a := l.do(http.MethodGet, path, ""); a.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, a.status)
		}
	}
}
