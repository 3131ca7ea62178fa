package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"
)

// Loopback has no token, because who may connect may also read the files. But a browser connects
// for whoever wrote the page that it shows, so a request is refused if
//
//   - its Host is not this machine's: a foreign name that resolves to 127.0.0.1 (DNS rebinding) makes
//     a page of that name same-origin with us;
//   - its Origin is not the Host that it asks: another site's script;
//   - the browser says that another site's page makes it (Sec-Fetch-Site), unless it is a person who
//     follows a link to a page;
//   - it changes something and is not application/json: a form of any page may post other types
//     without being asked first.
//
// What is served is told to be nothing but what it is: no sniffing, no frames, scripts and styles
// only from here.

// Limits of a request.
const (
	maxBody = 8 << 20
	maxURL  = 16 << 10
)

// policy is the Content-Security-Policy of the page. A stream or a document of ours that is opened
// by itself has nothing to load: see contentPolicy.
const (
	policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; " +
		"manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	contentPolicy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
)

// Listen listens on a loopback address. Any other is refused: it would need TLS and a token, which
// this version does not have.
func Listen(address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: write HOST:PORT, as in 127.0.0.1:7080", address)
	}
	if !isLoopback(host) {
		return nil, fmt.Errorf("listen on %s: only addresses of this machine alone (127.0.0.1, ::1, localhost) are served, "+
			"because TLS and tokens are not built yet; to reach it from elsewhere, tunnel: ssh -L 7080:127.0.0.1:7080 HOST", address)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w; port 0 picks a free one", address, err)
	}
	if at, ok := l.Addr().(*net.TCPAddr); !ok || !at.IP.IsLoopback() { // a name may resolve to anything
		return nil, errors.Join(fmt.Errorf("listen on %s: it is %s, which is not an address of this machine alone", address, l.Addr()), l.Close())
	}
	return l, nil
}

// isLoopback says whether a host is this machine and nobody else, by name or number.
func isLoopback(host string) bool {
	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Zone() == "" && ip.Unmap().IsLoopback()
}

// guard refuses what another site's page may have sent.
func guard(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r, h := c.Request(), c.Response().Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("Cache-Control", "no-store")
		if err := foreign(r); err != nil {
			return err
		}
		if len(r.RequestURI) > maxURL {
			return fail(kindTooLarge, "the address is longer than %d bytes", maxURL)
		}
		switch r.Method {
		case http.MethodGet, http.MethodHead:
			return next(c)
		}
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
			return fail(kindUnsupported, "a %s needs Content-Type: application/json (a body of {} will do where there is nothing to say)", r.Method)
		}
		return next(c)
	}
}

func foreign(r *http.Request) error {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if !isLoopback(strings.Trim(host, "[]")) {
		return fail(kindForeign, "the host %.100q is not this machine: open the page as http://127.0.0.1 or http://localhost and its port", r.Host)
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme != "http" || !strings.EqualFold(u.Host, r.Host) {
			return fail(kindForeign, "the page %.100q may not ask here: only pages that this server served may", origin)
		}
	}
	switch site := r.Header.Get("Sec-Fetch-Site"); site {
	case "", "none", "same-origin":
		return nil
	default:
		if r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Method == http.MethodGet && !strings.HasPrefix(r.URL.Path, "/api/") {
			return nil // a person follows a link
		}
		return fail(kindForeign, "another site's page may not ask here (Sec-Fetch-Site: %.40q)", site)
	}
}

// bounded bounds the body.
func bounded(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if r.ContentLength > maxBody {
			return fail(kindTooLarge, "the body has %d bytes; at most %d are taken", r.ContentLength, maxBody)
		}
		r.Body = http.MaxBytesReader(c.Response(), r.Body, maxBody)
		return next(c)
	}
}

// strictJSON reads bodies: a field that is not known is an error that names it.
type strictJSON struct{}

func (strictJSON) Serialize(c echo.Context, v any, indent string) error {
	enc := json.NewEncoder(c.Response())
	enc.SetIndent("", indent)
	return enc.Encode(v)
}

func (strictJSON) Deserialize(c echo.Context, v any) error { return readJSON(c.Request().Body, v) }

func readJSON(r io.Reader, v any) error {
	dec := json.NewDecoder(r)
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return bodyError(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fail(kindInvalid, "the body holds more than one JSON value")
	}
	return nil
}

// bodyError says what is wrong with a body, with the field if it is one.
func bodyError(err error) error {
	var big *http.MaxBytesError
	var typed *json.UnmarshalTypeError
	switch {
	case errors.As(err, &big):
		return fail(kindTooLarge, "the body is longer than %d bytes", big.Limit)
	case errors.As(err, &typed):
		name := strings.TrimPrefix(typed.Field, "Spec.") // of agentRequest, whose fields those are
		f := fail(kindInvalid, "field %q is a JSON %s, but should be a %s", name, typed.Value, typed.Type)
		f.field = name
		return f
	case errors.Is(err, io.EOF):
		return fail(kindMalformed, "the body is empty: send a JSON object, {} if there is nothing to say")
	}
	if name, ok := strings.CutPrefix(err.Error(), `json: unknown field `); ok {
		f := fail(kindInvalid, "field %s is not known: remove it", name)
		f.field = strings.Trim(name, `"`)
		return f
	}
	return fail(kindMalformed, "the body is not JSON as described: %v", strings.TrimPrefix(err.Error(), "json: "))
}
